//! Authentication and authorization of requests (`src/http/README.md`, "Signing in", "Who may enter").
//!
//! A bearer token takes precedence over a cookie, because a client sends one explicitly. Credentials are never logged
//! and never part of an error response.

pub mod callback;
mod caller;
mod cookies;
mod cors;
mod easyauth;
mod github;
mod origin;
mod remembered;
mod session;
mod sign_in;
mod token_verifier;

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use tower_http::cors::CorsLayer;

use crate::config::{Auth, Config, PublicUrl};
use crate::github::Transport;
use crate::http::error::{Answer, ApiError};
use crate::http::error_code::Code;
use crate::now::Now;
use crate::owners::{LoginClaim, OwnerError, Owners};
use crate::user::UserId;

pub(super) use callback::ReturnTo;
pub(super) use caller::{Caller, SessionRenewal};
pub(super) use cookies::{CookieNames, VERSION};
pub(super) use origin::X_FORWARDED_HOST;

use callback::CallbackQuery;
use caller::account_name;
use cookies::CookieSealer;
use easyauth::{EasyAuthenticator, PRINCIPAL};
use github::{Bearer, GitHubAuthenticator};
use remembered::Remembered;
use sign_in::BrowserSignIn;
use token_verifier::TokenVerifier;

/// Authenticates requests by the configured sign-in mode and authorizes the login against the allowlist.
pub struct Authenticator {
    backend: AuthBackend,
    public_url: PublicUrl,
    /// Names and attributes of the cookies.
    pub(super) cookies: CookieNames,
    /// For the origins in `CODEX_ALLOWED_ORIGINS`; `None` without any.
    pub(super) cors: Option<CorsLayer>,
}

enum AuthBackend {
    /// Every request acts as the one local user.
    Dev {
        user: UserId,
    },
    GitHub(Box<GitHubAuthenticator>),
    EasyAuth(EasyAuthenticator),
}

/// The answer to a callback of GitHub's sign-in pages.
pub(super) struct CalledBack {
    /// Where to go on, and the `Set-Cookie` value of the session.
    pub(super) session: Answer<(ReturnTo, HeaderValue)>,
    /// Whether to expire the sign-in cookie.
    pub(super) expires_cookie: bool,
}

/// Which part of the memory layer's size the credentials of one kind may take beside it: where there is room for the weeks
/// of many people, there is for their credentials.
const CREDENTIALS_SHARE: u64 = 8;

impl Authenticator {
    /// Mode `dev`: every request acts as `user`.
    pub fn dev(user: UserId) -> Self {
        let public_url = PublicUrl::default();
        Self {
            backend: AuthBackend::Dev { user },
            cookies: CookieNames::of(&public_url),
            public_url,
            cors: None,
        }
    }

    /// Builds the authenticator from the settings; `transport` sends the requests to GitHub.
    ///
    /// # Errors
    /// A message if the OAuth app's URLs or an allowed origin can't be used.
    pub fn new(
        config: &Config,
        transport: &Arc<Transport>,
        owners: &Owners,
    ) -> Result<Self, String> {
        let owners = owners.clone();
        let for_credentials = config.memory_max_bytes / CREDENTIALS_SHARE;
        let backend = match &config.auth {
            Auth::Dev { user } => AuthBackend::Dev { user: user.clone() },
            Auth::EasyAuth { provider, allowed } => AuthBackend::EasyAuth(EasyAuthenticator {
                provider: provider.clone(),
                allowed: allowed.clone(),
                owners,
                principals: Remembered::new(for_credentials),
            }),
            Auth::GitHub {
                allowed,
                oauth,
                session_keys,
            } => AuthBackend::GitHub(Box::new(GitHubAuthenticator {
                allowed: allowed.clone(),
                owners,
                tokens: TokenVerifier::new(Arc::clone(transport), oauth.clone(), for_credentials),
                cookies: CookieSealer::new(session_keys, CookieNames::of(&config.public_url)),
                sessions: Remembered::new(for_credentials),
                sign_in: match oauth {
                    Some(app) => Some(BrowserSignIn::new(app, config, transport)?),
                    None => None,
                },
            })),
        };
        Ok(Self {
            backend,
            cookies: CookieNames::of(&config.public_url),
            public_url: config.public_url.clone(),
            cors: cors::layer(&config.allowed_origins)?,
        })
    }

    /// The URL to which to redirect a browser that isn't signed in, with `path` as the return path; `None` if browsers
    /// can't sign in here. With a platform principal also `None`: the platform would redirect back at once, in a loop.
    pub(super) fn sign_in_url(&self, headers: &HeaderMap, path: &str) -> Option<String> {
        let (page, parameter) = match &self.backend {
            AuthBackend::GitHub(github) if github.sign_in.is_some() => {
                ("/auth/github".to_owned(), "return_to")
            }
            AuthBackend::EasyAuth(platform) if !headers.contains_key(PRINCIPAL) => {
                (platform.sign_in_path(), "post_login_redirect_uri")
            }
            _ => return None,
        };
        let path: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
        Some(format!("{page}?{parameter}={path}"))
    }

    /// Whether GitHub tokens are the only way to sign in.
    pub(super) fn takes_only_tokens(&self) -> bool {
        matches!(&self.backend, AuthBackend::GitHub(github) if github.sign_in.is_none())
    }

    /// Where the platform ends its own session, which this service can't end.
    pub(super) fn platform_logout(&self) -> Option<&'static str> {
        matches!(self.backend, AuthBackend::EasyAuth(_)).then_some("/.auth/logout")
    }

    /// The error response for a failed authentication. The codes' own sentences suit a service where both a token and the
    /// browser's sign-in are possible; for other methods it says something else.
    fn advise(&self, error: ApiError) -> ApiError {
        let advice: Cow<'static, str> = match (error.code(), &self.backend) {
            (_, AuthBackend::GitHub(github)) if github.sign_in.is_some() => return error,
            (Code::CrossOrigin, AuthBackend::GitHub(_)) => return error,
            (Code::NotSignedIn, AuthBackend::EasyAuth(platform)) => {
                let (provider, page) = (&platform.provider, platform.sign_in_path());
                format!("Nobody is signed in by {provider}: sign in at {page}.").into()
            }
            (Code::NotSignedIn, _) => {
                "Nobody is signed in: send Authorization: Bearer with a personal access token of GitHub.".into()
            }
            (Code::TokenInvalid, _) => "GitHub doesn't know this token: make a new one.".into(),
            (Code::TokenForeign, _) => {
                "Tokens of apps aren't taken here: use a personal access token of GitHub.".into()
            }
            (Code::CrossOrigin, _) => {
                "A page of another site can't change tasks: open this service's own page.".into()
            }
            _ => return error,
        };
        ApiError::new(error.code(), advice)
    }

    /// The cookies by which to expire the legacy service's on every response. `None` in `dev`: cookies ignore the port, so
    /// on `localhost` a cookie named `session` may belong to another program.
    pub(super) fn legacy_cookies(&self) -> Option<CookieNames> {
        (!self.is_dev()).then_some(self.cookies)
    }

    fn is_dev(&self) -> bool {
        matches!(self.backend, AuthBackend::Dev { .. })
    }

    /// Protects against DNS rebinding and cross-site request forgery: in `dev` the request must name a loopback host,
    /// and an unsafe method must come from the service's own page or carry a bearer token.
    fn check_origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), Code> {
        let dev = self.is_dev();
        if dev && !origin::names_loopback_host(headers) {
            return Err(Code::HostNotAllowed);
        }
        // A page can't set `Authorization` on a cross-origin request unless a CORS preflight allows it.
        if method.is_safe() || Bearer::of(headers) != Bearer::None {
            return Ok(());
        }
        let own = match dev {
            true => origin::is_request_host(headers),
            false => origin::is_origin(self.public_url.origin(), headers),
        };
        own.then_some(()).ok_or(Code::CrossOrigin)
    }

    /// Authenticates and authorizes the request. Returns the user whose files it is about.
    ///
    /// # Errors
    /// Those of [`Self::check_origin`]; if the caller isn't authenticated, isn't on the allowlist or isn't the login's
    /// owner; if GitHub or the storage can't be reached.
    pub(super) async fn caller(
        &self,
        method: &Method,
        headers: &HeaderMap,
        now: Now,
    ) -> Answer<Caller> {
        let caller = match (self.check_origin(method, headers), &self.backend) {
            (Err(code), _) => Err(code.into()),
            (_, AuthBackend::Dev { user }) => Ok(Caller::dev(user.clone())),
            (_, AuthBackend::GitHub(github)) => github.authenticate(headers, now).await,
            (_, AuthBackend::EasyAuth(platform)) => platform.authenticate(headers, now).await,
        };
        caller.map_err(|error| self.advise(error))
    }

    /// Whether the account, which has authenticated before, may still read the user's files: it is on the allowlist and
    /// owns the user's login. `None` is an account of the mode `dev`, and may in this mode only.
    pub(super) async fn may_read(
        &self,
        account: Option<&LoginClaim>,
        user: &UserId,
        now: Now,
    ) -> Answer<bool> {
        let (allowed, owners) = match &self.backend {
            AuthBackend::Dev { user: local } => return Ok(user == local),
            AuthBackend::GitHub(github) => (&github.allowed, &github.owners),
            AuthBackend::EasyAuth(platform) => (&platform.allowed, &platform.owners),
        };
        let is_allowed = |it: &&LoginClaim| {
            let names = [account_name(it), it.login.as_str()];
            names.iter().any(|name| allowed.allows(name))
        };
        let Some(account) = account.filter(is_allowed) else {
            return Ok(false);
        };
        match owners.confirm_recorded(account, now).await {
            Ok(owner) => Ok(owner.user == *user),
            Err(OwnerError::Reassigned | OwnerError::SessionEnded) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the browser's session and all others of the same user. Ends nothing in the modes without sessions of their
    /// own, `dev` and `easyauth`.
    ///
    /// # Errors
    /// Those of [`Self::check_origin`]; if the storage can't be reached. Then no session has ended.
    pub(super) async fn sign_out(
        &self,
        method: &Method,
        headers: &HeaderMap,
        now: Now,
    ) -> Answer<()> {
        let ended = match (self.check_origin(method, headers), &self.backend) {
            (Err(code), _) => Err(code.into()),
            (_, AuthBackend::GitHub(github)) => github.sign_out(headers, now).await,
            (_, AuthBackend::Dev { .. } | AuthBackend::EasyAuth(_)) => Ok(()),
        };
        ended.map_err(|error| self.advise(error))
    }

    /// Begins a browser's sign-in. Returns the URL of GitHub's authorization page and the `Set-Cookie` value to send with
    /// it.
    pub(super) fn begin_sign_in(
        &self,
        return_to: ReturnTo,
        now: Now,
    ) -> Answer<(String, HeaderValue)> {
        let (github, sign_in) = self.browser_sign_in()?;
        sign_in.begin(&github.cookies, return_to, now)
    }

    /// Ends a browser's sign-in: redeems the code for the account, and begins a session.
    pub(super) async fn call_back(
        &self,
        headers: &HeaderMap,
        query: &CallbackQuery,
        now: Now,
    ) -> CalledBack {
        let mut expires_cookie = false;
        let session = async {
            let (github, sign_in) = self.browser_sign_in()?;
            let pending;
            (pending, expires_cookie) = sign_in.resume(&github.cookies, headers, query, now);
            let pending = pending?;
            let account = sign_in.redeem(&pending, &query.code).await?;
            let session = github.begin_session(account, now).await?;
            Ok((pending.return_to, session))
        };
        CalledBack {
            session: session.await,
            expires_cookie,
        }
    }

    fn browser_sign_in(&self) -> Result<(&GitHubAuthenticator, &BrowserSignIn), Code> {
        match &self.backend {
            AuthBackend::GitHub(github) => github.sign_in.as_ref().map(|it| (&**github, it)),
            AuthBackend::Dev { .. } | AuthBackend::EasyAuth(_) => None,
        }
        .ok_or(Code::OauthNotConfigured)
    }
}
