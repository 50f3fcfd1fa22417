//! Authentication and authorization of requests (`src/http/README.md`, "Signing in", "Who may enter").
//!
//! A bearer token takes precedence over a cookie, because a client sends one explicitly. Credentials are never logged
//! and never part of an error response.

mod bearer;
pub mod callback;
mod caller;
mod cookie_sealer;
mod cookies;
mod cors;
mod easyauth;
mod github;
mod origin;
pub mod pending_sign_in;
mod permits;
pub mod return_to;
mod session;
mod sign_in;
mod sign_in_method;
mod token_verifier;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use tower_http::cors::CorsLayer;

use crate::codex::Codex;
use crate::config::{Allowlist, Auth, Config, PublicUrl};
use crate::github::Transport;
use crate::http::error::ApiError;
use crate::http::error_code::Code;
use crate::now::Now;
use crate::user::UserId;

pub(super) use caller::{Caller, SessionRenewal};
pub(super) use cookies::{CookieNames, VERSION};
pub(super) use origin::X_FORWARDED_HOST;
pub(super) use return_to::ReturnTo;
pub(super) use sign_in_method::SignInMethod;

use bearer::Bearer;
use callback::CallbackQuery;
use caller::account_name;
use github::GitHubAuthenticator;
use sign_in::BrowserSignIn;

/// Authenticates requests by the configured sign-in mode and authorizes the login against the allowlist.
pub struct Authenticator {
    backend: AuthBackend,
    public_url: PublicUrl,
    allowed_origins: Vec<HeaderValue>,
    cookies: CookieNames,
}

enum AuthBackend {
    Dev {
        user: UserId,
    },
    GitHub(Box<GitHubAuthenticator>),
    EasyAuth {
        provider: String,
        allowed: Allowlist,
    },
}

/// The answer to a callback of GitHub's sign-in pages.
pub(super) struct CalledBack {
    /// Where to go on, and the `Set-Cookie` value of the session.
    pub(super) session: Result<(ReturnTo, HeaderValue), ApiError>,
    /// Whether to expire the sign-in cookie.
    pub(super) expires_cookie: bool,
}

impl Authenticator {
    /// Mode `dev`: every request acts as `user`.
    pub fn dev(user: UserId) -> Self {
        Self::with(AuthBackend::Dev { user }, PublicUrl::default(), Vec::new())
    }

    fn with(
        backend: AuthBackend,
        public_url: PublicUrl,
        allowed_origins: Vec<HeaderValue>,
    ) -> Self {
        Self {
            backend,
            cookies: CookieNames::of(&public_url),
            public_url,
            allowed_origins,
        }
    }

    /// Builds the authenticator from the settings; `transport` sends the requests to GitHub.
    ///
    /// # Errors
    /// A message if the OAuth app's URLs or an allowed origin can't be used.
    pub fn new(config: &Config, transport: &Arc<Transport>) -> Result<Self, String> {
        let backend = match &config.auth {
            Auth::Dev { user } => AuthBackend::Dev { user: user.clone() },
            Auth::EasyAuth { provider, allowed } => AuthBackend::EasyAuth {
                provider: provider.clone(),
                allowed: allowed.clone(),
            },
            Auth::GitHub {
                allowed,
                oauth,
                session_keys,
            } => {
                let oauth = oauth.as_ref();
                let github =
                    GitHubAuthenticator::new(config, transport, allowed, oauth, session_keys);
                AuthBackend::GitHub(Box::new(github?))
            }
        };
        let origins = config.allowed_origins.iter();
        let origins = origins.map(|it| HeaderValue::try_from(it).map_err(|it| it.to_string()));
        let origins = origins.collect::<Result<_, _>>()?;
        Ok(Self::with(backend, config.public_url.clone(), origins))
    }

    /// Names and attributes of the cookies.
    pub(super) fn cookies(&self) -> &CookieNames {
        &self.cookies
    }

    /// The available sign-in method.
    pub(super) fn sign_in_method(&self) -> SignInMethod<'_> {
        match &self.backend {
            AuthBackend::Dev { .. } => SignInMethod::Dev,
            AuthBackend::GitHub(github) if github.sign_in.is_some() => {
                SignInMethod::BearerTokenOrOAuth
            }
            AuthBackend::GitHub(_) => SignInMethod::BearerToken,
            AuthBackend::EasyAuth { provider, .. } => SignInMethod::EasyAuth(provider),
        }
    }

    /// The cookies by which to expire the legacy service's on every response. `None` in `dev`: cookies ignore the port, so
    /// on `localhost` a cookie named `session` may belong to another program.
    pub(super) fn legacy_cookies(&self) -> Option<CookieNames> {
        (!self.is_dev()).then_some(self.cookies)
    }

    fn is_dev(&self) -> bool {
        matches!(self.backend, AuthBackend::Dev { .. })
    }

    /// CORS for the origins in `CODEX_ALLOWED_ORIGINS`; `None` without any.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        cors::layer(&self.allowed_origins)
    }

    /// Protects against DNS rebinding and cross-site request forgery: in `dev` the request must name a loopback host,
    /// and an unsafe method must come from the service's own page or carry a bearer token.
    ///
    /// # Errors
    /// [`Code::HostNotAllowed`], [`Code::CrossOrigin`].
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
        codex: &Codex,
        parts: &Parts,
        now: Now,
    ) -> Result<Caller, ApiError> {
        let headers = &parts.headers;
        let caller = match (self.check_origin(&parts.method, headers), &self.backend) {
            (Err(code), _) => Err(code.into()),
            (_, AuthBackend::Dev { user }) => Ok(Caller::dev(user.clone())),
            (_, AuthBackend::GitHub(github)) => github.authenticate(codex, headers, now).await,
            (_, AuthBackend::EasyAuth { provider, allowed }) => {
                easyauth_caller(codex, headers, provider, allowed, now).await
            }
        };
        caller.map_err(|error| self.sign_in_method().advise(error))
    }

    /// Ends the browser's session and all others of the same user. Ends nothing in the modes without sessions of their
    /// own, `dev` and `easyauth`.
    ///
    /// # Errors
    /// Those of [`Self::check_origin`]; if the storage can't be reached. Then no session has ended.
    pub(super) async fn sign_out(
        &self,
        codex: &Codex,
        method: &Method,
        headers: &HeaderMap,
        now: Now,
    ) -> Result<(), ApiError> {
        let ended = match (self.check_origin(method, headers), &self.backend) {
            (Err(code), _) => Err(code.into()),
            (_, AuthBackend::GitHub(github)) => github.sign_out(codex, headers, now).await,
            (_, AuthBackend::Dev { .. } | AuthBackend::EasyAuth { .. }) => Ok(()),
        };
        ended.map_err(|error| self.sign_in_method().advise(error))
    }

    /// Begins a browser's sign-in. Returns the URL of GitHub's authorization page and the `Set-Cookie` value to send with
    /// it.
    ///
    /// # Errors
    /// [`Code::OauthNotConfigured`].
    pub(super) fn begin_sign_in(
        &self,
        return_to: ReturnTo,
        now: Now,
    ) -> Result<(String, HeaderValue), ApiError> {
        let (github, sign_in) = self.browser_sign_in()?;
        sign_in.begin(&github.cookies, return_to, now)
    }

    /// Ends a browser's sign-in: redeems the code for the account, and begins a session.
    pub(super) async fn call_back(
        &self,
        codex: &Codex,
        headers: &HeaderMap,
        query: &CallbackQuery,
        now: Now,
    ) -> CalledBack {
        let mut expires_cookie = false;
        let session = async {
            let (github, sign_in) = self.browser_sign_in()?;
            let resumed = sign_in.resume(&github.cookies, headers, query, now);
            expires_cookie = resumed.expires_cookie;
            let pending = resumed.sign_in?;
            let account = sign_in.redeem(&pending, &query.code).await?;
            let session = github.begin_session(codex, account, now).await?;
            Ok((pending.return_to().clone(), session))
        };
        CalledBack {
            session: session.await,
            expires_cookie,
        }
    }

    fn browser_sign_in(&self) -> Result<(&GitHubAuthenticator, &BrowserSignIn), Code> {
        match &self.backend {
            AuthBackend::GitHub(github) => Some(&**github),
            AuthBackend::Dev { .. } | AuthBackend::EasyAuth { .. } => None,
        }
        .and_then(|github| Some((github, github.sign_in.as_ref()?)))
        .ok_or(Code::OauthNotConfigured)
    }
}

async fn easyauth_caller(
    codex: &Codex,
    headers: &HeaderMap,
    provider: &str,
    allowed: &Allowlist,
    now: Now,
) -> Result<Caller, ApiError> {
    let claim = easyauth::principal(headers, provider).ok_or(Code::NotSignedIn)?;
    if !allowed.allows(account_name(&claim)) && !allowed.allows(claim.login.as_str()) {
        return Err(Code::LoginNotAllowed.into());
    }
    let confirmed = codex.owners().confirm(&claim, now).await?;
    Ok(Caller::new(confirmed, claim))
}
