//! People known by GitHub: by a token they send, or by the session that their browser has.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;

use super::cookies::{self, CookieNames};
use super::flight::Used;
use super::seal::Seals;
use super::session::Session;
use super::tokens::Tokens;
use super::{Bearer, Denial};
use crate::codex::{Codex, Holder};
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
    ) -> Result<UserId, Denial> {
        match Bearer::of(&parts.headers) {
            Bearer::Token(token) => self.by_token(codex, token, now).await,
            Bearer::Unusable => Err(Denial::TokenInvalid),
            Bearer::None => self.by_cookie(codex, parts, cookies, now).await,
        }
    }

    async fn by_token(&self, codex: &Codex, token: &str, now: Now) -> Result<UserId, Denial> {
        let account = self.tokens.whose(token, now).await?;
        self.let_in(codex, &account, now).await?;
        Ok(account.login.clone())
    }

    async fn by_cookie(
        &self,
        codex: &Codex,
        parts: &Parts,
        cookies: &CookieNames,
        now: Now,
    ) -> Result<UserId, Denial> {
        let mut sealed = cookies::named(&parts.headers, cookies.session);
        let opened = sealed.find_map(|it| self.seals.open(cookies.session, it));
        let session = opened.and_then(|text| Session::parse(&text));
        let session = session.filter(|it| it.is_valid(now));
        let session = session.ok_or(Denial::NotSignedIn)?;
        self.let_in(codex, session.account(), now).await?;
        if let Some(renewed) = session.renewed(now)
            && let Some(cookie) = self.session_cookie(cookies, &renewed, now)
        {
            context::set_cookie(cookie);
        }
        Ok(session.into_account().login)
    }

    /// On every request: the list may have changed, and so may the login's owner.
    pub(super) async fn let_in(
        &self,
        codex: &Codex,
        account: &Account,
        now: Now,
    ) -> Result<(), Denial> {
        if !self.allowed.lets_in(account.login.as_str()) {
            return Err(Denial::NotAllowed);
        }
        let number = account.number;
        let holder = Holder::GitHub { number };
        Ok(codex.confirm_owner(&account.login, &holder, now).await?)
    }

    /// The session as the browser gets it.
    pub(super) fn session_cookie(
        &self,
        cookies: &CookieNames,
        session: &Session,
        now: Now,
    ) -> Option<HeaderValue> {
        let sealed = self.seals.seal(cookies.session, &session.to_text())?;
        cookies.set(cookies.session, &sealed, session.life(now))
    }
}
