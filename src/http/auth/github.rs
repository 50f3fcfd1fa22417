//! Authentication by GitHub: by a bearer token, or by the session of a browser.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::caller::{Caller, SessionRenewal, github_claim};
use super::cookies::{CookieSealer, candidates};
use super::remembered::Remembered;
use super::session::Session;
use super::sign_in::BrowserSignIn;
use super::token_verifier::TokenVerifier;
use crate::config::Allowlist;
use crate::github::Account;
use crate::http::error::Answer;
use crate::http::error_code::Code;
use crate::now::Now;
use crate::owners::{LoginClaim, Owners};

/// In bytes; GitHub's longest tokens are well below.
const MAX_TOKEN_BYTES: usize = 1024;

/// The bearer token in `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer<'a> {
    /// No header, or another scheme.
    None,
    /// A well-formed token.
    Token(&'a str),
    /// Not a possible token, or more than one header.
    Malformed,
}

/// Authenticates bearer tokens and browser sessions in the mode `github`.
pub(super) struct GitHubAuthenticator {
    pub(super) allowed: Allowlist,
    pub(super) owners: Owners,
    pub(super) tokens: TokenVerifier,
    pub(super) cookies: CookieSealer,
    pub(super) sessions: Remembered<BrowserSession>,
    /// `None` without an OAuth app: browsers can't sign in.
    pub(super) sign_in: Option<BrowserSignIn>,
}

/// A session, and what it claims.
pub(super) struct BrowserSession {
    session: Session,
    claim: Arc<LoginClaim>,
}

impl GitHubAuthenticator {
    /// Authenticates by the bearer token, or without one by the session cookie.
    pub(super) async fn authenticate(&self, headers: &HeaderMap, now: Now) -> Answer<Caller> {
        match Bearer::of(headers) {
            Bearer::Token(token) => self.authenticate_token(token, now).await,
            Bearer::Malformed => Err(Code::TokenInvalid.into()),
            Bearer::None => self.authenticate_cookie(headers, now).await,
        }
    }

    async fn authenticate_token(&self, token: &str, now: Now) -> Answer<Caller> {
        let claim = self.tokens.verify(token, now).await?;
        self.check_allowed(&claim)?;
        let confirmed = self.owners.confirm(&claim, now).await?;
        Ok(Caller::new(confirmed, claim))
    }

    async fn authenticate_cookie(&self, headers: &HeaderMap, now: Now) -> Answer<Caller> {
        let known = self.session(headers, now).ok_or(Code::NotSignedIn)?;
        self.check_allowed(&known.claim)?;
        if let Some(renewed) = known.session.renew(now) {
            // Boxed, so that this rare case doesn't enlarge every request's future.
            return Box::pin(self.renew(&known.claim, renewed, now)).await;
        }
        let confirmed = self.owners.confirm(&known.claim, now).await?;
        Ok(Caller::new(confirmed, Arc::clone(&known.claim)))
    }

    /// Authenticates by a session that is due for its renewal.
    async fn renew(&self, claim: &Arc<LoginClaim>, renewed: Session, now: Now) -> Answer<Caller> {
        // Another instance may just have ended the session, so don't rely on the cached generation for a renewal.
        let confirmed = self.owners.reconfirm(claim, now).await?;
        let mut caller = Caller::new(confirmed, Arc::clone(claim));
        if let Some(cookie) = self.session_cookie(&renewed, now) {
            let owners = self.owners.clone();
            caller.renewal = Some(Box::new(SessionRenewal {
                cookie,
                claim: Arc::clone(claim),
                owners,
            }));
        }
        Ok(caller)
    }

    /// The browser's session, unless it has expired. Doesn't check whether it was ended by a sign-out.
    fn session(&self, headers: &HeaderMap, now: Now) -> Option<Arc<BrowserSession>> {
        let name = self.cookies.names.session;
        let open = |sealed| {
            let session = Session::parse(&self.cookies.open(name, sealed)?)?;
            let claim = Arc::new(github_claim(&session.account, Some(session.generation)));
            Some(Arc::new(BrowserSession { session, claim }))
        };
        let known =
            candidates(headers, name).find_map(|sealed| self.sessions.get(sealed, || open(sealed)));
        known.filter(|it| it.session.is_valid(now))
    }

    /// Ends the browser's session and all others of the same user.
    pub(super) async fn sign_out(&self, headers: &HeaderMap, now: Now) -> Answer<()> {
        let Some(known) = self.session(headers, now) else {
            return Ok(());
        };
        self.owners.end_sessions(&known.claim).await?;
        tracing::info!(user = %known.claim.login, "signed out");
        Ok(())
    }

    /// Checked on every request, because the allowlist may have changed since the session began.
    fn check_allowed(&self, claim: &LoginClaim) -> Result<(), Code> {
        let allowed = self.allowed.allows(claim.login.as_str());
        allowed.then_some(()).ok_or(Code::LoginNotAllowed)
    }

    /// Starts a session after a completed sign-in. Returns its `Set-Cookie` value.
    pub(super) async fn begin_session(&self, account: Account, now: Now) -> Answer<HeaderValue> {
        let claim = github_claim(&account, None);
        self.check_allowed(&claim)?;
        let confirmed = self.owners.reconfirm(&claim, now).await?;
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

impl<'a> Bearer<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Self::None;
        };
        let bytes = value.as_bytes();
        let is_bearer = bytes.len() >= 6 && bytes[..6].eq_ignore_ascii_case(b"bearer");
        if !is_bearer {
            return Self::None;
        }
        if values.next().is_some() {
            return Self::Malformed;
        }
        let token = bytes[6..].strip_prefix(b" ").map(<[u8]>::trim_ascii);
        let fits = |token: &&[u8]| {
            // Without an early end, so that many bytes are compared at once.
            (1..=MAX_TOKEN_BYTES).contains(&token.len())
                && token.iter().fold(true, |fit, b| fit & b.is_ascii_graphic())
        };
        let token = token.filter(fits).and_then(|it| str::from_utf8(it).ok());
        token.map_or(Self::Malformed, Self::Token)
    }
}
