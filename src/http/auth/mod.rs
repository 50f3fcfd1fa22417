//! Authentication and authorization of requests (`src/http/README.md`, "Signing in", "Who may enter").
//!
//! A bearer token takes precedence over a cookie, because a client sends one explicitly. Credentials are never logged
//! and never part of an error response.

mod bearer;
mod cookie_sealer;
mod cookies;
mod cors;
mod easyauth;
mod error;
mod github;
mod legacy_cookie;
mod origin;
mod pending_sign_in;
mod return_to;
mod session;
mod sign_in;
mod token_verifier;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use tower_http::cors::CorsLayer;

use super::extract::Caller;
use crate::codex::Codex;
use crate::config::{Allowlist, Auth, Config, PublicUrl, Secret};
use crate::github::Transport;
use crate::now::Now;
use crate::owners::{ConfirmedOwner, LoginClaim};
use crate::user::UserId;

pub(super) use bearer::Bearer;
pub(super) use cookies::CookieNames;
pub(super) use error::AuthError;
pub(super) use legacy_cookie::{ExpireLegacyCookie, ExpireLegacyCookieLayer};
pub(super) use origin::X_FORWARDED_HOST;
pub(super) use pending_sign_in::PendingSignIn;
pub(super) use return_to::ReturnTo;

use github::{GitHubAuthenticator, GitHubCaller};

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

/// The available sign-in method, from which error messages derive their advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignInMethod<'a> {
    /// None: every request acts as the one local user.
    Dev,
    /// A GitHub token in `Authorization: Bearer`.
    BearerToken,
    /// A GitHub token, or a browser session through the OAuth app.
    BearerTokenOrOAuth,
    /// App Service Authentication, with this identity provider.
    EasyAuth(&'a str),
}

/// The authenticated user, for `GET /auth/me`.
#[derive(Debug, Clone)]
pub(super) struct CurrentUser {
    /// The user whose files the request reads and writes.
    pub(super) user: UserId,
    /// The provider's name for the account.
    pub(super) login: String,
}

impl Authenticator {
    /// Mode `dev`: every request acts as `user`.
    pub fn dev(user: UserId) -> Self {
        let public_url = PublicUrl::default();
        Self {
            backend: AuthBackend::Dev { user },
            cookies: CookieNames::of(&public_url),
            public_url,
            allowed_origins: Vec::new(),
        }
    }

    /// Builds the authenticator from the settings; `transport` sends the requests to GitHub.
    ///
    /// # Errors
    /// A message if the OAuth app's URLs or an allowed origin can't be used.
    pub fn new(config: &Config, transport: &Arc<Transport>) -> Result<Self, String> {
        let public_url = config.public_url.clone();
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
        Ok(Self {
            backend,
            cookies: CookieNames::of(&public_url),
            public_url,
            allowed_origins: origins.collect::<Result<_, _>>()?,
        })
    }

    /// Names and attributes of the cookies.
    pub(super) fn cookies(&self) -> &CookieNames {
        &self.cookies
    }

    /// The mode's name in `CODEX_AUTH`.
    pub(super) fn mode(&self) -> &'static str {
        match &self.backend {
            AuthBackend::Dev { .. } => "dev",
            AuthBackend::GitHub(_) => "github",
            AuthBackend::EasyAuth { .. } => "easyauth",
        }
    }

    /// The available sign-in method.
    pub(super) fn sign_in_method(&self) -> SignInMethod<'_> {
        match &self.backend {
            AuthBackend::Dev { .. } => SignInMethod::Dev,
            AuthBackend::GitHub(github) if github.oauth.is_some() => {
                SignInMethod::BearerTokenOrOAuth
            }
            AuthBackend::GitHub(_) => SignInMethod::BearerToken,
            AuthBackend::EasyAuth { provider, .. } => SignInMethod::EasyAuth(provider),
        }
    }

    /// The URL to which to redirect a browser that isn't signed in, with `path` as the return path; `None` if browsers
    /// can't sign in here. With a platform principal also `None`: the platform would redirect back at once, in a loop.
    pub(super) fn sign_in_url(&self, headers: &HeaderMap, path: &str) -> Option<String> {
        let (page, parameter) = match self.sign_in_method() {
            SignInMethod::BearerTokenOrOAuth => ("/auth/github".to_owned(), "return_to"),
            SignInMethod::EasyAuth(provider) if !headers.contains_key(easyauth::PRINCIPAL) => {
                (easyauth_sign_in_path(provider), "post_login_redirect_uri")
            }
            SignInMethod::Dev | SignInMethod::BearerToken | SignInMethod::EasyAuth(_) => {
                return None;
            }
        };
        let path: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
        Some(format!("{page}?{parameter}={path}"))
    }

    /// Expires the legacy service's cookie on every response. Not in `dev`: cookies ignore the port, so on `localhost`
    /// a cookie named `session` may belong to another program.
    pub(super) fn legacy_cookie_layer(&self) -> ExpireLegacyCookieLayer {
        let dev = matches!(self.backend, AuthBackend::Dev { .. });
        ExpireLegacyCookieLayer::new((!dev).then_some(self.cookies))
    }

    /// CORS for the origins in `CODEX_ALLOWED_ORIGINS`; `None` without any.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        cors::layer(&self.allowed_origins)
    }

    /// Protects against DNS rebinding and cross-site request forgery: in `dev` the request must name a loopback host,
    /// and an unsafe method must come from the service's own page or carry a bearer token.
    ///
    /// # Errors
    /// [`AuthError::HostNotAllowed`], [`AuthError::CrossOrigin`].
    pub(super) fn check_origin(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), AuthError> {
        let dev = matches!(self.backend, AuthBackend::Dev { .. });
        if dev && !origin::names_loopback_host(headers) {
            return Err(AuthError::HostNotAllowed);
        }
        // A page can't set `Authorization` on a cross-origin request unless a CORS preflight allows it.
        if method.is_safe() || Bearer::of(headers) != Bearer::None {
            return Ok(());
        }
        let own = match dev {
            true => origin::is_request_host(headers),
            false => origin::is_origin(self.public_url.origin(), headers),
        };
        own.then_some(()).ok_or(AuthError::CrossOrigin)
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
    ) -> Result<Caller, AuthError> {
        self.check_origin(&parts.method, &parts.headers)?;
        match &self.backend {
            AuthBackend::Dev { user } => Ok(Caller { user: user.clone() }),
            AuthBackend::GitHub(github) => {
                let authenticated = github.authenticate(codex, parts, &self.cookies, now);
                Ok(authenticated.await?.caller)
            }
            AuthBackend::EasyAuth { provider, allowed } => {
                let headers = &parts.headers;
                let authenticated = easyauth_caller(codex, headers, provider, allowed, now);
                Ok(authenticated.await?.0)
            }
        }
    }

    /// Like [`Self::caller`], with the provider's name for the account.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn current_user(
        &self,
        codex: &Codex,
        parts: &Parts,
        now: Now,
    ) -> Result<CurrentUser, AuthError> {
        self.check_origin(&parts.method, &parts.headers)?;
        match &self.backend {
            AuthBackend::Dev { user } => Ok(CurrentUser {
                user: user.clone(),
                login: user.to_string(),
            }),
            AuthBackend::GitHub(github) => {
                let authenticated = github.authenticate(codex, parts, &self.cookies, now);
                let GitHubCaller { caller, login } = authenticated.await?;
                let login = login.to_string();
                let user = caller.user;
                Ok(CurrentUser { user, login })
            }
            AuthBackend::EasyAuth { provider, allowed } => {
                let headers = &parts.headers;
                let authenticated = easyauth_caller(codex, headers, provider, allowed, now);
                let (caller, login) = authenticated.await?;
                let user = caller.user;
                Ok(CurrentUser { user, login })
            }
        }
    }

    /// Ends the browser's session and all others of the same user. Does nothing in the modes without sessions of their
    /// own, `dev` and `easyauth`.
    ///
    /// # Errors
    /// If the storage can't be reached; then no session has ended.
    pub(super) async fn sign_out(
        &self,
        codex: &Codex,
        headers: &HeaderMap,
        now: Now,
    ) -> Result<(), AuthError> {
        match &self.backend {
            AuthBackend::GitHub(github) => {
                github.sign_out(codex, headers, &self.cookies, now).await
            }
            AuthBackend::Dev { .. } | AuthBackend::EasyAuth { .. } => Ok(()),
        }
    }
}

/// Returns the caller and the provider's name for the account.
async fn easyauth_caller(
    codex: &Codex,
    headers: &HeaderMap,
    provider: &str,
    allowed: &Allowlist,
    now: Now,
) -> Result<(Caller, String), AuthError> {
    let principal = easyauth::principal(headers, provider).ok_or(AuthError::NotSignedIn)?;
    if !allowed.allows(&principal.name) && !allowed.allows(principal.user.as_str()) {
        return Err(AuthError::LoginNotAllowed);
    }
    let claim = LoginClaim {
        login: principal.user,
        identity: principal.identity,
        session: None,
    };
    let confirmed = codex.owners().confirm(&claim, now).await?;
    Ok((confirmed.into(), principal.name))
}

impl From<ConfirmedOwner> for Caller {
    fn from(confirmed: ConfirmedOwner) -> Self {
        Self {
            user: confirmed.user,
        }
    }
}

/// App Service Authentication's sign-in path for the provider.
pub(super) fn easyauth_sign_in_path(provider: &str) -> String {
    format!("/.auth/login/{provider}")
}

/// SHA-256. Tokens and states are kept in memory only as this hash.
fn sha256(text: &str) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).into()
}

/// Derives a 32-byte seed for the cookie keys from a secret of any length.
fn key_seed(secret: &Secret) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let seed = Sha256::new().chain_update("codex-miroir cookies 1\0");
    seed.chain_update(secret.reveal()).finalize().into()
}
