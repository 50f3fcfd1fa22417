//! Authentication and authorization of requests (`src/http/README.md`, "Signing in", "Who may enter").
//!
//! A bearer token takes precedence over a cookie: a client that sends one means it. Credentials are never logged and
//! never part of a refusal.

mod bearer;
mod by_github;
mod cookies;
mod cors;
mod denial;
mod easyauth;
mod flight;
mod origin;
mod return_to;
mod seal;
mod session;
mod sign_in;
mod tokens;
mod upkeep;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use tower_http::cors::CorsLayer;

use super::extract::Caller;
use crate::codex::{Claim, Codex, Confirmed};
use crate::config::{Allowed, Auth, Config, PublicUrl, Secret};
use crate::github::Transport;
use crate::now::Now;
use crate::user::UserId;

pub(super) use bearer::Bearer;
pub(super) use cookies::CookieNames;
pub(super) use denial::Denial;
pub(super) use flight::Flight;
pub(super) use origin::X_FORWARDED_HOST;
pub(super) use return_to::ReturnTo;
pub(super) use upkeep::{CookieUpkeep, WithUpkeep};

use by_github::{ByGitHub, Identified};

/// The door: knows who may enter and by what they are known.
pub struct Gate {
    mode: Mode,
    public_url: PublicUrl,
    allowed_origins: Vec<HeaderValue>,
    cookies: CookieNames,
}

enum Mode {
    Dev { user: UserId },
    GitHub(Box<ByGitHub>),
    EasyAuth { provider: String, allowed: Allowed },
}

/// How people get in here, for what a refusal advises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door<'a> {
    /// Whoever reaches it is in.
    Dev,
    /// By a GitHub token.
    Tokens,
    /// By a GitHub token, or by GitHub's pages.
    TokensAndPages,
    /// By the platform's pages for this provider.
    Platform(&'a str),
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// Whose files.
    pub(super) user: UserId,
    /// What the provider calls them.
    pub(super) login: String,
}

impl Gate {
    /// One local user, without any sign-in.
    pub fn dev(user: UserId) -> Self {
        let public_url = PublicUrl::default();
        Self {
            mode: Mode::Dev { user },
            cookies: CookieNames::of(&public_url),
            public_url,
            allowed_origins: Vec::new(),
        }
    }

    /// As the settings say; `transport` is the way to GitHub.
    ///
    /// # Errors
    /// When a setting can't be used after all, in words.
    pub fn new(config: &Config, transport: &Arc<Transport>) -> Result<Self, String> {
        let public_url = config.public_url.clone();
        let mode = match &config.auth {
            Auth::Dev { user } => Mode::Dev { user: user.clone() },
            Auth::EasyAuth { provider, allowed } => Mode::EasyAuth {
                provider: provider.clone(),
                allowed: allowed.clone(),
            },
            Auth::GitHub {
                allowed,
                oauth,
                session_keys,
            } => {
                let gate = ByGitHub::new(config, transport, allowed, oauth.as_ref(), session_keys);
                Mode::GitHub(Box::new(gate?))
            }
        };
        let origins = config.allowed_origins.iter();
        let origins = origins.map(|it| HeaderValue::try_from(it).map_err(|it| it.to_string()));
        Ok(Self {
            mode,
            cookies: CookieNames::of(&public_url),
            public_url,
            allowed_origins: origins.collect::<Result<_, _>>()?,
        })
    }

    /// What cookies are called here, and how they are set.
    pub(super) fn cookies(&self) -> &CookieNames {
        &self.cookies
    }

    /// As `CODEX_AUTH` calls it.
    pub(super) fn mode(&self) -> &'static str {
        match &self.mode {
            Mode::Dev { .. } => "dev",
            Mode::GitHub(_) => "github",
            Mode::EasyAuth { .. } => "easyauth",
        }
    }

    /// How people get in here.
    pub(super) fn door(&self) -> Door<'_> {
        match &self.mode {
            Mode::Dev { .. } => Door::Dev,
            Mode::GitHub(gate) if gate.oauth.is_some() => Door::TokensAndPages,
            Mode::GitHub(_) => Door::Tokens,
            Mode::EasyAuth { provider, .. } => Door::Platform(provider),
        }
    }

    /// Where a browser that nobody is signed in with can be sent, to come back to this path. Whom the
    /// platform has let in already it would send back at once.
    pub(super) fn sign_in_page(&self, headers: &HeaderMap, path: &str) -> Option<String> {
        let (page, parameter) = match self.door() {
            Door::TokensAndPages => ("/auth/github".to_owned(), "return_to"),
            Door::Platform(provider) if !headers.contains_key(easyauth::PRINCIPAL) => {
                (platform_page(provider), "post_login_redirect_uri")
            }
            Door::Dev | Door::Tokens | Door::Platform(_) => return None,
        };
        let path: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
        Some(format!("{page}?{parameter}={path}"))
    }

    /// What every answer does about cookies, where people sign in. Without that the service is at a name
    /// that it shares with other programs, whose cookie `session` may be.
    pub(super) fn upkeep(&self) -> CookieUpkeep {
        let dev = matches!(self.mode, Mode::Dev { .. });
        CookieUpkeep::new((!dev).then_some(self.cookies))
    }

    /// Lets pages of `CODEX_ALLOWED_ORIGINS` read answers.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        cors::layer(&self.allowed_origins)
    }

    /// Whether the request may be looked at at all: it names this machine where it must, and a change
    /// comes from the service's own page or brings a token.
    pub(super) fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<(), Denial> {
        let dev = matches!(self.mode, Mode::Dev { .. });
        if dev && !origin::names_this_machine(headers) {
            return Err(Denial::Host);
        }
        // A page can't add this header to a request to another site without having been allowed to.
        if method.is_safe() || Bearer::of(headers) != Bearer::None {
            return Ok(());
        }
        let own = match dev {
            true => origin::is_of_own_host(headers),
            false => origin::is_of(self.public_url.origin(), headers),
        };
        own.then_some(()).ok_or(Denial::CrossOrigin)
    }

    /// Whose files the request is about, when whoever asks may.
    pub(super) async fn caller(
        &self,
        codex: &Codex,
        parts: &Parts,
        now: Now,
    ) -> Result<Caller, Denial> {
        self.admit(&parts.method, &parts.headers)?;
        match &self.mode {
            Mode::Dev { user } => Ok(Caller {
                user: user.clone(),
                known: None,
            }),
            Mode::GitHub(gate) => {
                let identified = gate.identify(codex, parts, &self.cookies, now);
                Ok(identified.await?.caller)
            }
            Mode::EasyAuth { provider, allowed } => {
                let identified = by_platform(codex, &parts.headers, provider, allowed, now);
                Ok(identified.await?.0)
            }
        }
    }

    /// The same, with what the provider calls them.
    pub(super) async fn person(
        &self,
        codex: &Codex,
        parts: &Parts,
        now: Now,
    ) -> Result<Person, Denial> {
        self.admit(&parts.method, &parts.headers)?;
        match &self.mode {
            Mode::Dev { user } => Ok(Person {
                user: user.clone(),
                login: user.to_string(),
            }),
            Mode::GitHub(gate) => {
                let identified = gate.identify(codex, parts, &self.cookies, now);
                let Identified { caller, login } = identified.await?;
                let login = login.to_string();
                let user = caller.user;
                Ok(Person { user, login })
            }
            Mode::EasyAuth { provider, allowed } => {
                let identified = by_platform(codex, &parts.headers, provider, allowed, now);
                let (caller, login) = identified.await?;
                let user = caller.user;
                Ok(Person { user, login })
            }
        }
    }

    /// Ends the session that the browser has here, and the person's others; where the platform or nobody signs people
    /// in there is none.
    pub(super) async fn sign_out(
        &self,
        codex: &Codex,
        headers: &HeaderMap,
        now: Now,
    ) -> Result<(), Denial> {
        match &self.mode {
            Mode::GitHub(gate) => gate.sign_out(codex, headers, &self.cookies, now).await,
            Mode::Dev { .. } | Mode::EasyAuth { .. } => Ok(()),
        }
    }
}

async fn by_platform(
    codex: &Codex,
    headers: &HeaderMap,
    provider: &str,
    allowed: &Allowed,
    now: Now,
) -> Result<(Caller, String), Denial> {
    let it = easyauth::principal(headers, provider).ok_or(Denial::NotSignedIn)?;
    if !allowed.lets_in(&it.name) && !allowed.lets_in(it.user.as_str()) {
        return Err(Denial::NotAllowed);
    }
    let claim = Claim {
        login: it.user,
        holder: it.holder,
        session: None,
    };
    let confirmed = codex.confirm_owner(&claim, now).await?;
    Ok((confirmed.into(), it.name))
}

impl From<Confirmed> for Caller {
    fn from(confirmed: Confirmed) -> Self {
        let Confirmed { user, known, .. } = confirmed;
        Self { user, known }
    }
}

/// Where the platform lets people sign in.
pub(super) fn platform_page(provider: &str) -> String {
    format!("/.auth/login/{provider}")
}

/// The text as its SHA-256: what tokens and states are remembered by.
fn sha256(text: &str) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).into()
}

/// A secret of the settings as the seed of keys for cookies, whatever its length.
fn key_seed(secret: &Secret) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let seed = Sha256::new().chain_update("codex-miroir cookies 1\0");
    seed.chain_update(secret.reveal()).finalize().into()
}
