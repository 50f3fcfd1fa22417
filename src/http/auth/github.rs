//! Authentication by GitHub: by a bearer token, or by the session of a browser.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::bearer::Bearer;
use super::caller::{Caller, SessionRenewal};
use super::cookie_sealer::CookieSealer;
use super::cookies::CookieNames;
use super::session::Session;
use super::sign_in::BrowserSignIn;
use super::token_verifier::TokenVerifier;
use crate::codex::Codex;
use crate::config::{Allowlist, Config, OAuthApp, Secret};
use crate::github::{Account, Transport};
use crate::http::error::ApiError;
use crate::http::error_code::Code;
use crate::now::Now;
use crate::owners::{AccountIdentity, LoginClaim};

/// Authenticates bearer tokens and browser sessions in the mode `github`.
pub(super) struct GitHubAuthenticator {
    allowed: Allowlist,
    tokens: TokenVerifier,
    pub(super) cookies: CookieSealer,
    /// `None` without an OAuth app: browsers can't sign in.
    pub(super) sign_in: Option<BrowserSignIn>,
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
        let sign_in = oauth.map(|app| BrowserSignIn::new(app, web_url, public_url, transport));
        Ok(Self {
            allowed: allowed.clone(),
            tokens: TokenVerifier::new(Arc::clone(transport), oauth.cloned()),
            cookies: CookieSealer::new(session_keys, CookieNames::of(public_url)),
            sign_in: sign_in.transpose()?,
        })
    }

    /// Authenticates by the bearer token, or without one by the session cookie.
    pub(super) async fn authenticate(
        &self,
        codex: &Codex,
        headers: &HeaderMap,
        now: Now,
    ) -> Result<Caller, ApiError> {
        match Bearer::of(headers) {
            Bearer::Token(token) => self.authenticate_token(codex, token, now).await,
            Bearer::Malformed => Err(Code::TokenInvalid.into()),
            Bearer::None => self.authenticate_cookie(codex, headers, now).await,
        }
    }

    async fn authenticate_token(
        &self,
        codex: &Codex,
        token: &str,
        now: Now,
    ) -> Result<Caller, ApiError> {
        let account = self.tokens.verify(token, now).await?;
        let claim = self.allowed_claim(&account, None)?;
        let confirmed = codex.owners().confirm(&claim, now).await?;
        Ok(Caller::new(confirmed, claim))
    }

    async fn authenticate_cookie(
        &self,
        codex: &Codex,
        headers: &HeaderMap,
        now: Now,
    ) -> Result<Caller, ApiError> {
        let session = self.session(headers, now).ok_or(Code::NotSignedIn)?;
        let claim = self.allowed_claim(session.account(), Some(session.generation()))?;
        let Some(renewed) = session.renew(now) else {
            let confirmed = codex.owners().confirm(&claim, now).await?;
            return Ok(Caller::new(confirmed, claim));
        };
        // Another instance may just have ended the session, so don't rely on the cached generation for a renewal.
        let confirmed = codex.owners().reconfirm(&claim, now).await?;
        let mut caller = Caller::new(confirmed, claim.clone());
        if let Some(cookie) = self.session_cookie(&renewed, now) {
            let owners = codex.owners().clone();
            caller.renewal = Some(Box::new(SessionRenewal {
                cookie,
                claim,
                owners,
            }));
        }
        Ok(caller)
    }

    /// The browser's session, unless it has expired. Doesn't check whether it was ended by a sign-out.
    fn session(&self, headers: &HeaderMap, now: Now) -> Option<Session> {
        let opened = self.cookies.open(headers, self.cookies.names.session);
        let session = opened.and_then(|text| Session::parse(&text));
        session.filter(|it| it.is_valid(now))
    }

    /// Ends the browser's session and all others of the same user.
    pub(super) async fn sign_out(
        &self,
        codex: &Codex,
        headers: &HeaderMap,
        now: Now,
    ) -> Result<(), ApiError> {
        let Some(session) = self.session(headers, now) else {
            return Ok(());
        };
        let claim = claim(session.account(), Some(session.generation()));
        codex.owners().end_sessions(&claim).await?;
        tracing::info!(user = %claim.login, "signed out");
        Ok(())
    }

    /// The claim to check against the login's owner record. Checked on every request, because the allowlist and the
    /// owner may have changed since the token was verified or the session began.
    fn allowed_claim(&self, account: &Account, session: Option<u64>) -> Result<LoginClaim, Code> {
        let allowed = self.allowed.allows(account.login.as_str());
        let claim = allowed.then(|| claim(account, session));
        claim.ok_or(Code::LoginNotAllowed)
    }

    /// Starts a session after a completed sign-in. Returns its `Set-Cookie` value.
    pub(super) async fn begin_session(
        &self,
        codex: &Codex,
        account: Account,
        now: Now,
    ) -> Result<HeaderValue, ApiError> {
        let claim = self.allowed_claim(&account, None)?;
        let confirmed = codex.owners().reconfirm(&claim, now).await?;
        tracing::info!(user = %claim.login, "signed in");
        let session = Session::new(account, confirmed.session_generation, now);
        let cookie = self.session_cookie(&session, now);
        Ok(cookie.ok_or(Code::OauthNotConfigured)?)
    }

    /// The session's `Set-Cookie` value; `None` without a session key.
    fn session_cookie(&self, session: &Session, now: Now) -> Option<HeaderValue> {
        let name = self.cookies.names.session;
        self.cookies
            .set(name, session.to_text(), session.max_age(now))
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
