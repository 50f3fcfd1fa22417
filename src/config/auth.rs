//! Authentication and authorization settings (`src/config/README.md`, "Signing in").

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use url::Url;

use super::{ConfigError, Lookup, Secret};
use crate::net;
use crate::user::UserId;

/// The authentication mode (`CODEX_AUTH`), with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// One local user (`CODEX_DEV_USER`, default `local`); requests must name a loopback host.
    Dev {
        /// The user as which every request acts.
        user: UserId,
    },
    /// GitHub tokens and, with an OAuth app, browser sessions.
    GitHub {
        /// The logins that are authorized.
        allowed: Allowlist,
        /// The OAuth app (`GITHUB_OAUTH_CLIENT_ID`), without which browsers can't sign in.
        oauth: Option<OAuthApp>,
        /// `CODEX_SESSION_KEY`, else the OAuth app's secret: the first key seals, all of them open.
        session_keys: Vec<Secret>,
    },
    /// The platform authenticates requests (App Service Authentication, only where `WEBSITE_SITE_NAME` is set).
    EasyAuth {
        /// `CODEX_EASYAUTH_IDP`, default `github`: the only identity provider that is accepted, in lower case.
        provider: String,
        /// The logins that are authorized.
        allowed: Allowlist,
    },
}

/// A GitHub OAuth app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthApp {
    /// `GITHUB_OAUTH_CLIENT_ID`.
    pub client_id: String,
    /// `GITHUB_OAUTH_CLIENT_SECRET`.
    pub client_secret: Secret,
    /// `GITHUB_OAUTH_REDIRECT_URI`, if it is set: the callback at the public URL's origin, with an optional query.
    pub redirect_uri: Option<String>,
}

/// The logins that are authorized (`CODEX_ALLOWED_LOGINS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowlist {
    /// Every authenticated account.
    Everyone,
    /// These, compared without regard to ASCII case.
    Logins(Vec<String>),
}

/// The service's public origin (`CODEX_PUBLIC_URL`): scheme, host and optional port. The only source for the OAuth
/// callback, the check of a request's origin, and the cookie attribute `Secure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    /// Set if no setting names the origin: the loopback address, used with the bound port.
    loopback: Option<IpAddr>,
}

impl Auth {
    /// The local user in `dev`; `None` in the other modes.
    pub fn dev_user(&self) -> Option<&UserId> {
        match self {
            Self::Dev { user } => Some(user),
            Self::GitHub { .. } | Self::EasyAuth { .. } => None,
        }
    }

    /// The mode's name in `CODEX_AUTH`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Dev { .. } => "dev",
            Self::GitHub { .. } => "github",
            Self::EasyAuth { .. } => "easyauth",
        }
    }
}

/// The authorized logins, for the log line at the start.
impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dev { user } => write!(f, "whoever reaches this address, as {user}"),
            Self::GitHub { allowed, .. } => write!(f, "{allowed}"),
            Self::EasyAuth { provider, allowed } => write!(f, "{allowed}, by {provider}"),
        }
    }
}

impl Allowlist {
    /// Whether this name is authorized.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Logins(logins) => logins.iter().any(|it| it.eq_ignore_ascii_case(name)),
        }
    }
}

impl fmt::Display for Allowlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Logins(logins) => f.write_str(&logins.join(", ")),
        }
    }
}

impl PublicUrl {
    /// Parses an origin: https, or http with a loopback host. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        let plain = net::is_loopback(url.host_str().unwrap_or_default());
        let scheme = url.scheme() == "https" || url.scheme() == "http" && plain;
        (scheme && is_origin(&url)).then(|| Self {
            origin: url.origin().ascii_serialization(),
            loopback: None,
        })
    }

    fn of_address(ip: IpAddr, port: u16) -> Option<Self> {
        let url = Self::parse(&format!("http://{}", SocketAddr::new(ip, port)))?;
        let loopback = Some(ip);
        Some(Self { loopback, ..url })
    }

    /// Sets the bound port if no setting names the origin; else returns it unchanged.
    pub fn on_port(self, port: u16) -> Self {
        let bound = self.loopback.and_then(|ip| Self::of_address(ip, port));
        bound.unwrap_or(self)
    }

    /// The origin as in the header `Origin`, without a trailing slash.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn is_loopback(&self) -> bool {
        let url = Url::parse(&self.origin);
        url.is_ok_and(|url| url.host_str().is_some_and(net::is_loopback))
    }

    /// Whether the scheme is https, so that cookies can be `Secure`.
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }
}

/// The loopback address with the default port.
impl Default for PublicUrl {
    fn default() -> Self {
        Self {
            origin: "http://127.0.0.1:7071".to_owned(),
            loopback: None,
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// Whether the URL has only scheme, host and port.
fn is_origin(url: &Url) -> bool {
    let bare = url.username().is_empty() && url.password().is_none();
    bare && url.has_host() && url.path() == "/" && url.query().is_none() && url.fragment().is_none()
}

/// Any of these settings makes `github` the default mode in place of `dev`, even if others are missing: an incomplete
/// configuration must not leave the service open.
const SIGN_IN_SETTINGS: [&str; 13] = [
    "GITHUB_OWNER",
    "GITHUB_REPO",
    "GITHUB_TOKEN",
    "GITHUB_APP_ID",
    "GITHUB_APP_PRIVATE_KEY",
    "GITHUB_APP_INSTALLATION_ID",
    "GITHUB_WEBHOOK_SECRET",
    "GITHUB_OAUTH_CLIENT_ID",
    "GITHUB_OAUTH_CLIENT_SECRET",
    "GITHUB_OAUTH_REDIRECT_URI",
    "CODEX_ALLOWED_LOGINS",
    "CODEX_SESSION_KEY",
    "CODEX_EASYAUTH_IDP",
];

/// The route of the OAuth callback.
const CALLBACK: &str = "/auth/github/callback";

/// In characters; a shorter session key could be guessed.
const MIN_SESSION_KEY_CHARS: usize = 32;

enum AuthModeSetting {
    Dev,
    GitHub,
    EasyAuth,
}

impl<F: Fn(&str) -> Option<String>> Lookup<F> {
    pub(super) fn auth(&self, bind: IpAddr, public: &PublicUrl) -> Result<Auth, ConfigError> {
        let oauth = self.oauth()?;
        let session_keys = self.session_keys(oauth.as_ref())?;
        match self.mode(bind, public)? {
            AuthModeSetting::Dev => self.dev_user().map(|user| Auth::Dev { user }),
            AuthModeSetting::GitHub => {
                let allowed = self.allowed(true)?;
                let redirect_uri = self.redirect_uri(public)?;
                Ok(Auth::GitHub {
                    allowed,
                    oauth: oauth.map(|app| OAuthApp {
                        redirect_uri,
                        ..app
                    }),
                    session_keys,
                })
            }
            AuthModeSetting::EasyAuth => {
                let provider = self.provider()?;
                let allowed = self.allowed(provider == "github")?;
                Ok(Auth::EasyAuth { provider, allowed })
            }
        }
    }

    fn trimmed(&self, name: &str) -> Option<String> {
        self.text(name).map(|text| text.trim().to_owned())
    }

    /// In lower case, as the platform writes it; it is a segment of the sign-in URL.
    fn provider(&self) -> Result<String, ConfigError> {
        let name = "CODEX_EASYAUTH_IDP";
        let Some(text) = self.trimmed(name) else {
            return Ok("github".to_owned());
        };
        let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if !text.bytes().all(fits) {
            let allowed = "a provider's name of letters, digits, '-' and '_', as in github or aad";
            return Err(ConfigError::new(name, format!("is {text:?}"), allowed));
        }
        Ok(text.to_ascii_lowercase())
    }

    fn mode(&self, bind: IpAddr, public: &PublicUrl) -> Result<AuthModeSetting, ConfigError> {
        let refuse = |was: String, allowed: &str| Err(ConfigError::new("CODEX_AUTH", was, allowed));
        let on_azure = self.text("WEBSITE_SITE_NAME").is_some();
        let public = self.text("CODEX_PUBLIC_URL").is_some() && !public.is_loopback();
        let configured = SIGN_IN_SETTINGS
            .iter()
            .any(|name| self.text(name).is_some());
        match self.trimmed("CODEX_AUTH").as_deref() {
            Some("dev") if on_azure => refuse(
                "is dev while WEBSITE_SITE_NAME is set".to_owned(),
                "github or easyauth on Azure, where strangers reach the service",
            ),
            Some("dev") if public => refuse(
                "is dev while CODEX_PUBLIC_URL is another address than this machine's".to_owned(),
                "github or easyauth where others reach the service",
            ),
            Some("dev") => Ok(AuthModeSetting::Dev),
            Some("github") => Ok(AuthModeSetting::GitHub),
            Some("easyauth") if self.platform_authenticates() && on_azure => {
                Ok(AuthModeSetting::EasyAuth)
            }
            Some("easyauth") if self.platform_authenticates() => refuse(
                "is easyauth while WEBSITE_SITE_NAME isn't set".to_owned(),
                "github or dev outside Azure: nobody takes off a header there that says who somebody is",
            ),
            Some("easyauth") => refuse(
                "is easyauth while WEBSITE_AUTH_ENABLED isn't true".to_owned(),
                "github as long as the platform's authentication is off: anybody could say who they are",
            ),
            Some(other) => refuse(format!("is {other:?}"), "github, easyauth or dev"),
            None if on_azure || configured => Ok(AuthModeSetting::GitHub),
            None if public => refuse(
                "is not set while CODEX_PUBLIC_URL is another address than this machine's"
                    .to_owned(),
                "github or easyauth",
            ),
            None if bind.is_loopback() && !self.is_hosted() => Ok(AuthModeSetting::Dev),
            None => refuse(
                "is not set while others may reach the service".to_owned(),
                "github, easyauth, or dev if every local caller may act as the one user",
            ),
        }
    }

    fn platform_authenticates(&self) -> bool {
        let enabled = self.trimmed("WEBSITE_AUTH_ENABLED");
        enabled.is_some_and(|it| it.eq_ignore_ascii_case("true"))
    }

    fn dev_user(&self) -> Result<UserId, ConfigError> {
        let name = self.text("CODEX_DEV_USER");
        let name = name.unwrap_or_else(|| "local".to_owned());
        UserId::parse(&name).map_err(|_| {
            let allowed = "1 to 64 of A-Z, a-z, 0-9, '-' and '_'";
            ConfigError::new("CODEX_DEV_USER", format!("is {name:?}"), allowed)
        })
    }

    /// `by_login`: the names are GitHub logins and must be valid as such.
    fn allowed(&self, by_login: bool) -> Result<Allowlist, ConfigError> {
        let name = "CODEX_ALLOWED_LOGINS";
        let (logins, was) = match self.text(name) {
            Some(text) => (comma_separated(&text), "names nobody"),
            None => {
                let owner = self.trimmed("GITHUB_OWNER");
                let was = "is not set, nor is GITHUB_OWNER";
                (owner.into_iter().collect(), was)
            }
        };
        if logins.is_empty() {
            let allowed = "logins separated by commas, as in anna,ben, or * for everyone";
            return Err(ConfigError::new(name, was, allowed));
        }
        if logins.iter().any(|login| login == "*") {
            return Ok(Allowlist::Everyone);
        }
        let odd = logins.iter().find(|login| UserId::parse(login).is_err());
        match odd.filter(|_| by_login) {
            Some(odd) => {
                let allowed = "logins separated by commas, as in anna,ben, or * for everyone";
                Err(ConfigError::new(name, format!("holds {odd:?}"), allowed))
            }
            None => Ok(Allowlist::Logins(logins)),
        }
    }

    fn oauth(&self) -> Result<Option<OAuthApp>, ConfigError> {
        let names = ["GITHUB_OAUTH_CLIENT_ID", "GITHUB_OAUTH_CLIENT_SECRET"];
        let by = |it: Option<Secret>| it.map(|it| it.reveal().to_owned());
        let client_id = by(self.header_secret(names[0])?);
        match (client_id, self.header_secret(names[1])?) {
            (Some(client_id), Some(client_secret)) => Ok(Some(OAuthApp {
                client_id,
                client_secret,
                redirect_uri: None,
            })),
            (None, None) => Ok(None),
            (id, _) => {
                let (missing, other) = match id {
                    None => (names[0], names[1]),
                    Some(_) => (names[1], names[0]),
                };
                let allowed = format!("set together with {other}, or neither of them");
                Err(ConfigError::new(missing, "is not set", allowed))
            }
        }
    }

    fn redirect_uri(&self, public: &PublicUrl) -> Result<Option<String>, ConfigError> {
        let name = "GITHUB_OAUTH_REDIRECT_URI";
        let Some(text) = self.trimmed(name) else {
            return Ok(None);
        };
        let fits = |url: &Url| {
            url.origin().ascii_serialization() == public.origin() && url.path() == CALLBACK
        };
        match Url::parse(&text).ok().filter(fits) {
            Some(url) => Ok(Some(url.into())),
            None => {
                let allowed = format!(
                    "{public}{CALLBACK}, which is where CODEX_PUBLIC_URL or its default says people reach the service"
                );
                Err(ConfigError::new(name, format!("is {text:?}"), allowed))
            }
        }
    }

    fn session_keys(&self, oauth: Option<&OAuthApp>) -> Result<Vec<Secret>, ConfigError> {
        let name = "CODEX_SESSION_KEY";
        let Some(text) = self.text(name) else {
            // The same on every instance, so that each one can open the others' cookies.
            return Ok(oauth.iter().map(|it| it.client_secret.clone()).collect());
        };
        let keys = comma_separated(&text);
        let short = |key: &String| key.chars().count() < MIN_SESSION_KEY_CHARS;
        if keys.is_empty() || keys.iter().any(short) {
            let allowed =
                "random text of at least 32 characters; several, separated by commas, to change it";
            return Err(ConfigError::new(name, "holds a shorter key", allowed));
        }
        Ok(keys.into_iter().map(Secret::new).collect())
    }

    pub(super) fn public_url(&self, bind: IpAddr, port: u16) -> Result<PublicUrl, ConfigError> {
        let name = "CODEX_PUBLIC_URL";
        let allowed = "an https address without a path, as in https://codex.example; http only for this machine";
        let (variable, text) = match (self.trimmed(name), self.trimmed("WEBSITE_HOSTNAME")) {
            (Some(text), _) => (name, text),
            (None, Some(host)) => ("WEBSITE_HOSTNAME", platform_url(&host)),
            (None, None) => {
                let loopback = IpAddr::from([127, 0, 0, 1]);
                let ip = if bind.is_loopback() { bind } else { loopback };
                let url = PublicUrl::of_address(ip, port);
                return url.ok_or_else(|| ConfigError::new(name, "is not set", allowed));
            }
        };
        let url = PublicUrl::parse(&text);
        url.ok_or_else(|| ConfigError::new(variable, format!("is {text:?}"), allowed))
    }

    /// `CODEX_ALLOWED_ORIGINS`: the origins that CORS allows.
    pub(super) fn allowed_origins(&self) -> Result<Vec<String>, ConfigError> {
        let name = "CODEX_ALLOWED_ORIGINS";
        let text = self.text(name).unwrap_or_default();
        let origin = |part: String| {
            let url = Url::parse(&part).ok();
            let web = |url: &Url| matches!(url.scheme(), "http" | "https") && is_origin(url);
            match url.filter(web) {
                Some(url) => Ok(url.origin().ascii_serialization()),
                None => {
                    let allowed = "origins separated by commas, as in https://app.example";
                    Err(ConfigError::new(name, format!("holds {part:?}"), allowed))
                }
            }
        };
        comma_separated(&text).into_iter().map(origin).collect()
    }
}

/// The URL for `WEBSITE_HOSTNAME`. The Functions host sets it on a developer's machine, too, where it serves plain
/// http.
fn platform_url(host: &str) -> String {
    let name = host.split(':').next().unwrap_or_default();
    let scheme = if net::is_loopback(name) {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{host}")
}

/// Splits at commas, trims the parts and drops empty ones.
fn comma_separated(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}
