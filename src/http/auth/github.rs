//! Authentication by GitHub: by a bearer token, or by the session of a browser.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::super::extract::Caller;
use super::cookie_sealer::CookieSealer;
use super::cookies::{self, CookieNames};
use super::pending_sign_in::ConsumedStates;
use super::session::Session;
use super::token_verifier::TokenVerifier;
use super::{AuthError, Bearer};
use crate::codex::Codex;
use crate::config::{Allowlist, Config, OAuthApp, PublicUrl, Secret};
use crate::context;
use crate::github::{Account, OAuth, Transport};
use crate::now::Now;
use crate::owners::{AccountIdentity, LoginClaim};
use crate::user::UserId;

/// Authenticates bearer tokens and browser sessions in the mode `github`.
pub(super) struct GitHubAuthenticator {
    allowed: Allowlist,
    pub(super) transport: Arc<Transport>,
    pub(super) tokens: TokenVerifier,
    pub(super) sealer: CookieSealer,
    pub(super) oauth: Option<OAuth>,
    pub(super) consumed_states: ConsumedStates,
}

/// An authenticated and allowed caller.
pub(super) struct GitHubCaller {
    pub(super) caller: Caller,
    /// The GitHub login.
    pub(super) login: UserId,
}

fn oauth_client(app: &OAuthApp, web_url: &str, public_url: &PublicUrl) -> Result<OAuth, String> {
    let default = || format!("{public_url}/auth/github/callback");
    let callback = app.redirect_uri.clone().unwrap_or_else(default);
    OAuth::new(app, web_url, &callback)
}

impl GitHubAuthenticator {
    /// Builds it from the settings.
    ///
    /// # Errors
    /// A message if the OAuth app's URLs can't be used.
    pub(super) fn new(
        config: &Config,
        transport: &Arc<Transport>,
        allowed: &Allowlist,
        oauth: Option<&OAuthApp>,
        session_keys: &[Secret],
    ) -> Result<Self, String> {
        let (web_url, public_url) = (&config.github.web_url, &config.public_url);
        Ok(Self {
            allowed: allowed.clone(),
            transport: Arc::clone(transport),
            tokens: TokenVerifier::new(Arc::clone(transport), oauth.cloned()),
            sealer: CookieSealer::new(session_keys),
            oauth: oauth
                .map(|app| oauth_client(app, web_url, public_url))
                .transpose()?,
            consumed_states: ConsumedStates::default(),
        })
    }

    /// Authenticates by the bearer token, or without one by the session cookie.
    pub(super) async fn authenticate(
        &self,
        codex: &Codex,
        parts: &Parts,
        cookies: &CookieNames,
        now: Now,
    ) -> Result<GitHubCaller, AuthError> {
        match Bearer::of(&parts.headers) {
            Bearer::Token(token) => self.authenticate_token(codex, token, now).await,
            Bearer::Malformed => Err(AuthError::TokenInvalid),
            Bearer::None => self.authenticate_cookie(codex, parts, cookies, now).await,
        }
    }

    async fn authenticate_token(
        &self,
        codex: &Codex,
        token: &str,
        now: Now,
    ) -> Result<GitHubCaller, AuthError> {
        let account = self.tokens.verify(token, now).await?;
        let claim = self.allowed_claim(&account, None)?;
        let caller = codex.owners().confirm(&claim, now).await?.into();
        let login = claim.login;
        Ok(GitHubCaller { caller, login })
    }

    async fn authenticate_cookie(
        &self,
        codex: &Codex,
        parts: &Parts,
        cookies: &CookieNames,
        now: Now,
    ) -> Result<GitHubCaller, AuthError> {
        let session = self.session(&parts.headers, cookies, now);
        let session = session.ok_or(AuthError::NotSignedIn)?;
        let claim = self.allowed_claim(session.account(), Some(session.generation()))?;
        let Some(renewed) = session.renew(now) else {
            let caller = codex.owners().confirm(&claim, now).await?.into();
            let login = claim.login;
            return Ok(GitHubCaller { caller, login });
        };
        // Another instance may just have ended the session, so don't rely on the cached generation for a renewal.
        let caller = codex.owners().reconfirm(&claim, now).await?.into();
        let login = claim.login.clone();
        if let Some(cookie) = self.session_cookie(cookies, &renewed, now) {
            let owners = codex.owners().clone();
            context::set_cookie(cookie, move || !owners.is_session_ended(&claim));
        }
        Ok(GitHubCaller { caller, login })
    }

    /// The browser's session, unless it has expired. Doesn't check whether it was ended by a sign-out.
    fn session(&self, headers: &HeaderMap, cookies: &CookieNames, now: Now) -> Option<Session> {
        let mut sealed = cookies::values(headers, cookies.session);
        let opened = sealed.find_map(|it| self.sealer.open(cookies.session, it));
        let session = opened.and_then(|text| Session::parse(&text));
        session.filter(|it| it.is_valid(now))
    }

    /// Ends the browser's session and all others of the same user.
    pub(super) async fn sign_out(
        &self,
        codex: &Codex,
        headers: &HeaderMap,
        cookies: &CookieNames,
        now: Now,
    ) -> Result<(), AuthError> {
        let Some(session) = self.session(headers, cookies, now) else {
            return Ok(());
        };
        let claim = claim(session.account(), Some(session.generation()));
        codex.owners().end_sessions(&claim).await?;
        tracing::info!(user = %claim.login, "signed out");
        Ok(())
    }

    /// The claim to check against the login's owner record. Checked on every request, because the allowlist and the
    /// owner may have changed since the token was verified or the session began.
    fn allowed_claim(
        &self,
        account: &Account,
        session: Option<u64>,
    ) -> Result<LoginClaim, AuthError> {
        let allowed = self.allowed.allows(account.login.as_str());
        let claim = allowed.then(|| claim(account, session));
        claim.ok_or(AuthError::LoginNotAllowed)
    }

    /// Starts a session after a completed sign-in. Returns its `Set-Cookie` value.
    pub(super) async fn begin_session(
        &self,
        codex: &Codex,
        cookies: &CookieNames,
        account: Account,
        now: Now,
    ) -> Result<HeaderValue, AuthError> {
        let claim = self.allowed_claim(&account, None)?;
        let confirmed = codex.owners().reconfirm(&claim, now).await?;
        tracing::info!(user = %claim.login, "signed in");
        let session = Session::new(account, confirmed.session_generation, now);
        let cookie = self.session_cookie(cookies, &session, now);
        cookie.ok_or(AuthError::OAuthNotConfigured)
    }

    /// The session's `Set-Cookie` value; `None` without a session key.
    fn session_cookie(
        &self,
        cookies: &CookieNames,
        session: &Session,
        now: Now,
    ) -> Option<HeaderValue> {
        let sealed = self.sealer.seal(cookies.session, &session.to_text())?;
        cookies.set(cookies.session, &sealed, session.max_age(now))
    }
}

fn claim(account: &Account, session: Option<u64>) -> LoginClaim {
    let number = account.number;
    LoginClaim {
        login: account.login.clone(),
        identity: AccountIdentity::GitHub { number },
        session,
    }
}
