//! The OAuth sign-in of a browser: redirect to GitHub, callback, code exchange.

use http::{HeaderMap, HeaderValue};

use super::github::GitHubAuthenticator;
use super::{
    AuthBackend, AuthError, Authenticator, PendingSignIn, ReturnTo, cookies, pending_sign_in,
};
use crate::codex::Codex;
use crate::github::{CodeExchange, OAuth};
use crate::now::Now;

/// The result of matching a callback to the browser's sign-in cookie.
#[derive(Debug)]
pub(in crate::http) struct ResumedSignIn {
    pub(in crate::http) sign_in: Result<PendingSignIn, AuthError>,
    /// Whether to expire the cookie. Not if it belongs to another sign-in, which may be in progress in another window
    /// of the browser.
    pub(in crate::http) expires_cookie: bool,
}

impl ResumedSignIn {
    fn keeping_cookie(error: AuthError) -> Self {
        let (sign_in, expires_cookie) = (Err(error), false);
        Self {
            sign_in,
            expires_cookie,
        }
    }
}

impl Authenticator {
    /// Begins a sign-in. Returns the URL of GitHub's authorization page and the `Set-Cookie` value to send with it.
    ///
    /// # Errors
    /// [`AuthError::OAuthNotConfigured`].
    pub(in crate::http) fn begin_sign_in(
        &self,
        return_to: ReturnTo,
        now: Now,
    ) -> Result<(String, HeaderValue), AuthError> {
        let (github, oauth) = self.oauth_backend()?;
        let begun = oauth.begin();
        let pending = PendingSignIn::new(&begun, return_to, now);
        let name = self.cookies.sign_in;
        let sealed = github.sealer.seal(name, &pending.to_text());
        let cookie =
            sealed.and_then(|it| self.cookies.set(name, &it, pending_sign_in::SIGN_IN_TTL));
        let cookie = cookie.ok_or(AuthError::OAuthNotConfigured)?;
        Ok((begun.url, cookie))
    }

    /// Finds the browser's sign-in with the callback's `state` and consumes it: each state can be used once.
    pub(in crate::http) fn resume_sign_in(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: Now,
    ) -> ResumedSignIn {
        let github = match self.oauth_backend() {
            Ok((github, _)) => github,
            Err(error) => return ResumedSignIn::keeping_cookie(error),
        };
        let sealed = || cookies::values(headers, self.cookies.sign_in);
        let opened = sealed().find_map(|it| github.sealer.open(self.cookies.sign_in, it));
        let Some(pending) = opened.and_then(|text| PendingSignIn::parse(&text)) else {
            return ResumedSignIn {
                sign_in: Err(AuthError::SignInExpired),
                expires_cookie: sealed().next().is_some(),
            };
        };
        if !pending.has_state(state) {
            return ResumedSignIn::keeping_cookie(AuthError::SignInExpired);
        }
        let usable = !pending.is_expired(now) && github.consumed_states.consume(state);
        ResumedSignIn {
            sign_in: usable.then_some(pending).ok_or(AuthError::SignInExpired),
            expires_cookie: true,
        }
    }

    /// Completes a sign-in: exchanges the code, reads the account and drops the token. Returns the session's
    /// `Set-Cookie` value.
    ///
    /// # Errors
    /// If GitHub rejects the code or can't be reached, or the account isn't allowed or isn't the login's owner.
    pub(in crate::http) async fn complete_sign_in(
        &self,
        codex: &Codex,
        pending: &PendingSignIn,
        code: &str,
        now: Now,
    ) -> Result<HeaderValue, AuthError> {
        let (github, oauth) = self.oauth_backend()?;
        if code.is_empty() {
            return Err(AuthError::SignInFailed);
        }
        let permit = github.tokens.code_permit().await?;
        let exchanged = oauth.exchange(&github.transport, code, pending.verifier());
        let token = match exchanged.await? {
            CodeExchange::Token(token) => token,
            CodeExchange::Refused => return Err(AuthError::SignInFailed),
        };
        let account = github.transport.account(&token).await?;
        drop(permit);
        let account = account.ok_or(AuthError::TokenInvalid)?;
        github
            .begin_session(codex, &self.cookies, account, now)
            .await
    }

    fn oauth_backend(&self) -> Result<(&GitHubAuthenticator, &OAuth), AuthError> {
        match &self.backend {
            AuthBackend::GitHub(github) => match &github.oauth {
                Some(oauth) => Ok((github, oauth)),
                None => Err(AuthError::OAuthNotConfigured),
            },
            AuthBackend::Dev { .. } | AuthBackend::EasyAuth { .. } => {
                Err(AuthError::OAuthNotConfigured)
            }
        }
    }
}
