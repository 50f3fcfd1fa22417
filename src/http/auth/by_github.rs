//! People known by GitHub: by a token they send, or by the session that their browser has.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::super::extract::Caller;
use super::cookies::{self, CookieNames};
use super::flight::Used;
use super::seal::Seals;
use super::session::Session;
use super::tokens::Tokens;
use super::{Bearer, Denial};
use crate::codex::{Claim, Codex, Holder};
use crate::config::{Allowed, Config, OAuthApp, PublicUrl, Secret};
use crate::context;
use crate::github::{Account, OAuth, Transport};
use crate::now::Now;
use crate::user::UserId;

/// What it takes to know people by GitHub.
pub(super) struct ByGitHub {
    allowed: Allowed,
    pub(super) transport: Arc<Transport>,
    pub(super) tokens: Tokens,
    pub(super) seals: Seals,
    pub(super) oauth: Option<OAuth>,
    pub(super) used: Used,
}

/// Somebody who may enter.
pub(super) struct Identified {
    pub(super) caller: Caller,
    /// What GitHub calls them.
    pub(super) login: UserId,
}

fn by_browser(app: &OAuthApp, pages: &str, public_url: &PublicUrl) -> Result<OAuth, String> {
    let default = || format!("{public_url}/auth/github/callback");
    let callback = app.redirect_uri.clone().unwrap_or_else(default);
    OAuth::new(app, pages, &callback)
}

impl ByGitHub {
    /// As the settings say.
    ///
    /// # Errors
    /// When one can't be used after all, in words.
    pub(super) fn new(
        config: &Config,
        transport: &Arc<Transport>,
        allowed: &Allowed,
        oauth: Option<&OAuthApp>,
        session_keys: &[Secret],
    ) -> Result<Self, String> {
        let (pages, public_url) = (&config.github.web_url, &config.public_url);
        Ok(Self {
            allowed: allowed.clone(),
            transport: Arc::clone(transport),
            tokens: Tokens::new(Arc::clone(transport), oauth.cloned()),
            seals: Seals::new(session_keys),
            oauth: oauth
                .map(|app| by_browser(app, pages, public_url))
                .transpose()?,
            used: Used::default(),
        })
    }

    /// Whose files the request is about: by its token, else by its cookie.
    pub(super) async fn identify(
        &self,
        codex: &Codex,
        parts: &Parts,
        cookies: &CookieNames,
        now: Now,
    ) -> Result<Identified, Denial> {
        match Bearer::of(&parts.headers) {
            Bearer::Token(token) => self.by_token(codex, token, now).await,
            Bearer::Unusable => Err(Denial::TokenInvalid),
            Bearer::None => self.by_cookie(codex, parts, cookies, now).await,
        }
    }

    async fn by_token(&self, codex: &Codex, token: &str, now: Now) -> Result<Identified, Denial> {
        let account = self.tokens.whose(token, now).await?;
        let claim = self.claim(&account, None)?;
        let caller = codex.confirm_owner(&claim, now).await?.into();
        let login = claim.login;
        Ok(Identified { caller, login })
    }

    async fn by_cookie(
        &self,
        codex: &Codex,
        parts: &Parts,
        cookies: &CookieNames,
        now: Now,
    ) -> Result<Identified, Denial> {
        let session = self.session(&parts.headers, cookies, now);
        let session = session.ok_or(Denial::NotSignedIn)?;
        let claim = self.claim(session.account(), Some(session.generation()))?;
        let Some(renewed) = session.renewed(now) else {
            let caller = codex.confirm_owner(&claim, now).await?.into();
            let login = claim.login;
            return Ok(Identified { caller, login });
        };
        // It may have been ended at another instance just now.
        let caller = codex.reconfirm_owner(&claim, now).await?.into();
        let login = claim.login.clone();
        if let Some(cookie) = self.session_cookie(cookies, &renewed, now) {
            let codex = codex.clone();
            context::set_cookie(cookie, move || !codex.has_ended(&claim));
        }
        Ok(Identified { caller, login })
    }

    /// The session that the browser has, if its time isn't over; whether it was ended isn't looked at.
    fn session(&self, headers: &HeaderMap, cookies: &CookieNames, now: Now) -> Option<Session> {
        let mut sealed = cookies::named(headers, cookies.session);
        let opened = sealed.find_map(|it| self.seals.open(cookies.session, it));
        let session = opened.and_then(|text| Session::parse(&text));
        session.filter(|it| it.is_valid(now))
    }

    /// Ends the browser's session, and every other that the person has.
    pub(super) async fn sign_out(
        &self,
        codex: &Codex,
        headers: &HeaderMap,
        cookies: &CookieNames,
        now: Now,
    ) -> Result<(), Denial> {
        let Some(session) = self.session(headers, cookies, now) else {
            return Ok(());
        };
        let claim = claim(session.account(), Some(session.generation()));
        codex.end_sessions(&claim).await?;
        tracing::info!(user = %claim.login, "signed out");
        Ok(())
    }

    /// On every request: the list may have changed, and so may the login's owner, whom the claim is held against.
    fn claim(&self, account: &Account, session: Option<u64>) -> Result<Claim, Denial> {
        let allowed = self.allowed.lets_in(account.login.as_str());
        let claim = allowed.then(|| claim(account, session));
        claim.ok_or(Denial::NotAllowed)
    }

    /// A session of somebody who has just been let in, as the browser gets it.
    pub(super) async fn begin_session(
        &self,
        codex: &Codex,
        cookies: &CookieNames,
        account: Account,
        now: Now,
    ) -> Result<HeaderValue, Denial> {
        let claim = self.claim(&account, None)?;
        let confirmed = codex.reconfirm_owner(&claim, now).await?;
        tracing::info!(user = %claim.login, "signed in");
        let session = Session::new(account, confirmed.session_generation, now);
        let cookie = self.session_cookie(cookies, &session, now);
        cookie.ok_or(Denial::NoBrowserSignIn)
    }

    /// The session as the browser gets it.
    fn session_cookie(
        &self,
        cookies: &CookieNames,
        session: &Session,
        now: Now,
    ) -> Option<HeaderValue> {
        let sealed = self.seals.seal(cookies.session, &session.to_text())?;
        cookies.set(cookies.session, &sealed, session.life(now))
    }
}

fn claim(account: &Account, session: Option<u64>) -> Claim {
    let number = account.number;
    Claim {
        login: account.login.clone(),
        holder: Holder::GitHub { number },
        session,
    }
}
