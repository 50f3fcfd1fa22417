//! The OAuth sign-in of a browser: redirect to GitHub, callback, code exchange.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::callback::{
    CallbackQuery, CallbackStep, PendingSignIn, ReturnTo, SIGN_IN_TTL, SignInCookie, decide,
};
use super::cookies::{CookieSealer, candidates};
use super::token_verifier::acquire;
use crate::config::{Config, OAuthApp};
use crate::github::{Account, CodeExchange, OAuth, Transport};
use crate::http::error::{Answer, ApiError};
use crate::http::error_code::Code;
use crate::http::hash::sha256;
use crate::http::negotiate;
use crate::now::Now;

/// Concurrent exchanges of authorization codes.
const MAX_CODE_EXCHANGES: usize = 64;

/// Consumed states to remember. For older ones only GitHub's single use of the code prevents a replay.
const MAX_CONSUMED: u64 = 10_000;

/// Signs browsers in by the OAuth app.
pub(super) struct BrowserSignIn {
    oauth: OAuth,
    transport: Arc<Transport>,
    /// Hashes of the states that a callback has already presented. Prevents the replay of a copied sign-in cookie.
    consumed_states: Cache<[u8; 32], ()>,
    permits: Semaphore,
}

impl BrowserSignIn {
    /// # Errors
    /// A message if the OAuth app's URLs can't be used.
    pub(super) fn new(
        app: &OAuthApp,
        config: &Config,
        transport: &Arc<Transport>,
    ) -> Result<Self, String> {
        let callback = app.callback(&config.public_url);
        Ok(Self {
            oauth: OAuth::new(app, &config.github.web_url, &callback)?,
            transport: Arc::clone(transport),
            consumed_states: Cache::builder()
                .max_capacity(MAX_CONSUMED)
                .time_to_live(SIGN_IN_TTL)
                .build(),
            permits: Semaphore::new(MAX_CODE_EXCHANGES),
        })
    }

    /// Begins a sign-in. Returns the URL of GitHub's authorization page and the `Set-Cookie` value to send with it; there
    /// is none without a key for cookies.
    pub(super) fn begin(
        &self,
        cookies: &CookieSealer,
        return_to: ReturnTo,
        now: Now,
    ) -> Answer<(String, HeaderValue)> {
        let begun = self.oauth.begin();
        let pending = PendingSignIn::new(&begun, return_to, now);
        let cookie = cookies.set(cookies.names.sign_in, pending.to_text(), SIGN_IN_TTL);
        Ok((begun.url, cookie.ok_or(Code::OauthNotConfigured)?))
    }

    /// Matches a callback to the browser's sign-in. Returns it, and whether to expire its cookie.
    pub(super) fn resume(
        &self,
        cookies: &CookieSealer,
        headers: &HeaderMap,
        query: &CallbackQuery,
        now: Now,
    ) -> (Result<PendingSignIn, Code>, bool) {
        let name = cookies.names.sign_in;
        let opened = candidates(headers, name).find_map(|it| cookies.open(name, it));
        let cookie = match opened.and_then(|text| PendingSignIn::parse(&text)) {
            Some(pending) => SignInCookie::Opened(pending),
            None => match negotiate::cookies(headers, name).next() {
                Some(_) => SignInCookie::Unreadable,
                None => SignInCookie::Missing,
            },
        };
        match decide(cookie, query, now) {
            CallbackStep::Refuse { expires_cookie } => (Err(Code::SignInExpired), expires_cookie),
            CallbackStep::UseUp { then } => {
                let states = self.consumed_states.entry(sha256(&query.state));
                match states.or_insert(()).is_fresh() {
                    true => (then, true),
                    false => (Err(Code::SignInExpired), true),
                }
            }
        }
    }

    /// Exchanges the code, reads the account and drops the token.
    pub(super) async fn redeem(&self, pending: &PendingSignIn, code: &str) -> Answer<Account> {
        let unavailable = |error| ApiError::auth_unavailable(&error);
        let _permit = acquire(&self.permits).await.map_err(unavailable)?;
        let exchanged = self
            .oauth
            .exchange(&self.transport, code, &pending.verifier);
        let token = match exchanged.await.map_err(unavailable)? {
            CodeExchange::Token(token) => token,
            CodeExchange::Refused => return Err(Code::SignInFailed.into()),
        };
        let account = self.transport.account(&token).await.map_err(unavailable)?;
        Ok(account.ok_or(Code::TokenInvalid)?)
    }
}
