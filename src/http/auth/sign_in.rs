//! The OAuth sign-in of a browser: redirect to GitHub, callback, code exchange.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;

use super::callback::{CallbackQuery, CallbackStep, SignInCookie, decide};
use super::cookie_sealer::CookieSealer;
use super::pending_sign_in::{ConsumedStates, PendingSignIn, SIGN_IN_TTL};
use super::permits::acquire;
use super::return_to::ReturnTo;
use crate::config::{OAuthApp, PublicUrl};
use crate::github::{Account, CodeExchange, OAuth, Transport};
use crate::http::error::ApiError;
use crate::http::error_code::Code;
use crate::http::negotiate;
use crate::now::Now;

/// Concurrent exchanges of authorization codes.
const MAX_CODE_EXCHANGES: usize = 64;

/// Signs browsers in by the OAuth app.
pub(super) struct BrowserSignIn {
    oauth: OAuth,
    transport: Arc<Transport>,
    consumed_states: ConsumedStates,
    permits: Semaphore,
}

/// A callback that is matched to the browser's sign-in.
pub(super) struct ResumedSignIn {
    pub(super) sign_in: Result<PendingSignIn, Code>,
    /// Whether to expire the sign-in cookie.
    pub(super) expires_cookie: bool,
}

impl BrowserSignIn {
    /// # Errors
    /// A message if the OAuth app's URLs can't be used.
    pub(super) fn new(
        app: &OAuthApp,
        web_url: &str,
        public_url: &PublicUrl,
        transport: &Arc<Transport>,
    ) -> Result<Self, String> {
        let default = || format!("{public_url}/auth/github/callback");
        let callback = app.redirect_uri.clone().unwrap_or_else(default);
        Ok(Self {
            oauth: OAuth::new(app, web_url, &callback)?,
            transport: Arc::clone(transport),
            consumed_states: ConsumedStates::default(),
            permits: Semaphore::new(MAX_CODE_EXCHANGES),
        })
    }

    /// Begins a sign-in. Returns the URL of GitHub's authorization page and the `Set-Cookie` value to send with it.
    ///
    /// # Errors
    /// [`Code::OauthNotConfigured`] without a key for cookies.
    pub(super) fn begin(
        &self,
        cookies: &CookieSealer,
        return_to: ReturnTo,
        now: Now,
    ) -> Result<(String, HeaderValue), ApiError> {
        let begun = self.oauth.begin();
        let pending = PendingSignIn::new(&begun, return_to, now);
        let cookie = cookies.set(cookies.names.sign_in, pending.to_text(), SIGN_IN_TTL);
        Ok((begun.url, cookie.ok_or(Code::OauthNotConfigured)?))
    }

    /// Matches a callback to the browser's sign-in.
    pub(super) fn resume(
        &self,
        cookies: &CookieSealer,
        headers: &HeaderMap,
        query: &CallbackQuery,
        now: Now,
    ) -> ResumedSignIn {
        let name = cookies.names.sign_in;
        let opened = cookies.open(headers, name);
        let cookie = match opened.and_then(|text| PendingSignIn::parse(&text)) {
            Some(pending) => SignInCookie::Opened(pending),
            None => match negotiate::cookies(headers, name).next() {
                Some(_) => SignInCookie::Unreadable,
                None => SignInCookie::Missing,
            },
        };
        match decide(cookie, query, now) {
            CallbackStep::Refuse { expires_cookie } => ResumedSignIn {
                sign_in: Err(Code::SignInExpired),
                expires_cookie,
            },
            CallbackStep::UseUp { then } => ResumedSignIn {
                sign_in: match self.consumed_states.consume(&query.state) {
                    true => then,
                    false => Err(Code::SignInExpired),
                },
                expires_cookie: true,
            },
        }
    }

    /// Exchanges the code, reads the account and drops the token.
    ///
    /// # Errors
    /// If GitHub rejects the code or can't be reached.
    pub(super) async fn redeem(
        &self,
        pending: &PendingSignIn,
        code: &str,
    ) -> Result<Account, ApiError> {
        let unavailable = |error| ApiError::auth_unavailable(&error);
        let _permit = acquire(&self.permits).await.map_err(unavailable)?;
        let exchanged = self
            .oauth
            .exchange(&self.transport, code, pending.verifier());
        let token = match exchanged.await.map_err(unavailable)? {
            CodeExchange::Token(token) => token,
            CodeExchange::Refused => return Err(Code::SignInFailed.into()),
        };
        let account = self.transport.account(&token).await.map_err(unavailable)?;
        Ok(account.ok_or(Code::TokenInvalid)?)
    }
}
