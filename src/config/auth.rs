//! Who may enter, and how the service knows who asks (`src/config/README.md`, "Signing in").

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use url::Url;

use super::{ConfigError, Lookup, Secret};
use crate::net;
use crate::user::UserId;

/// How the service knows who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// One local user (`CODEX_DEV_USER`, default `local`); requests must come by a loopback name.
    Dev {
        /// Whose files every request is about.
        user: UserId,
    },
    /// GitHub tokens and, with an OAuth app, the sessions of browsers.
    GitHub {
        /// Who may enter.
        allowed: Allowed,
        /// `GITHUB_OAUTH_CLIENT_ID`, without which nobody signs in by a browser.
        oauth: Option<OAuthApp>,
        /// `CODEX_SESSION_KEY`, else derived from the OAuth app's secret: the first seals, all open.
        session_keys: Vec<Secret>,
    },
    /// The platform in front (`WEBSITE_SITE_NAME`) has checked who it is (App Service Authentication).
    EasyAuth {
        /// `CODEX_EASYAUTH_IDP`, default `github`: the only provider whose word counts, in lower case.
        provider: String,
        /// Who may enter.
        allowed: Allowed,
    },
}

/// An OAuth app of GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthApp {
    /// `GITHUB_OAUTH_CLIENT_ID`.
    pub client_id: String,
    /// `GITHUB_OAUTH_CLIENT_SECRET`.
    pub client_secret: Secret,
    /// `GITHUB_OAUTH_REDIRECT_URI`, where it is set: the callback at the public URL's origin, perhaps
    /// with a query.
    pub redirect_uri: Option<String>,
}

/// Who may enter (`CODEX_ALLOWED_LOGINS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Whoever signs in.
    Everyone,
    /// These, in any letter case.
    Logins(Vec<String>),
}

/// Where people reach the service (`CODEX_PUBLIC_URL`): a scheme, a host and perhaps a port. The only
/// source for the OAuth callback, for what counts as the service's own page, and for `Secure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    /// Nothing said what it is: the loopback address, with the port that is bound.
    loopback: Option<IpAddr>,
}

impl Auth {
    /// The one local user, where there is no sign-in.
    pub fn dev_user(&self) -> Option<&UserId> {
        match self {
            Self::Dev { user } => Some(user),
            Self::GitHub { .. } | Self::EasyAuth { .. } => None,
        }
    }

    /// As `CODEX_AUTH` calls it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Dev { .. } => "dev",
            Self::GitHub { .. } => "github",
            Self::EasyAuth { .. } => "easyauth",
        }
    }
}

/// Who may enter, in words.
impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dev { user } => write!(f, "whoever reaches this address, as {user}"),
            Self::GitHub { allowed, .. } => write!(f, "{allowed}"),
            Self::EasyAuth { provider, allowed } => write!(f, "{allowed}, by {provider}"),
        }
    }
}

impl Allowed {
    /// Whether somebody by this name may enter.
    pub fn lets_in(&self, name: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Logins(logins) => logins.iter().any(|it| it.eq_ignore_ascii_case(name)),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Logins(logins) => f.write_str(&logins.join(", ")),
        }
    }
}

impl PublicUrl {
    /// Takes an address that is nothing but an origin: https, or http for this machine.
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

    /// The same once the port is known: only the address that nothing else named depends on it.
    pub fn on_port(self, port: u16) -> Self {
        let bound = self.loopback.and_then(|ip| Self::of_address(ip, port));
        bound.unwrap_or(self)
    }

    /// As browsers write it in `Origin`: without a slash at its end.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn is_this_machine(&self) -> bool {
        let url = Url::parse(&self.origin);
        url.is_ok_and(|url| url.host_str().is_some_and(net::is_loopback))
    }

    /// Whether cookies may be marked `Secure`.
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }
}

/// Where nothing says more, the default port on this machine.
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

/// Nothing but scheme, host and port.
fn is_origin(url: &Url) -> bool {
    let bare = url.username().is_empty() && url.password().is_none();
    bare && url.has_host() && url.path() == "/" && url.query().is_none() && url.fragment().is_none()
}

/// Settings that put sign-in in the place of one local user, also when others are still missing: half a
/// configuration must not be an open door.
const SIGN_IN: [&str; 13] = [
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

/// Where the router takes what GitHub's page sends back.
const CALLBACK: &str = "/auth/github/callback";

/// A session key that is shorter could be guessed.
const MIN_SESSION_KEY: usize = 32;

enum Mode {
    Dev,
    GitHub,
    EasyAuth,
}

impl<F: Fn(&str) -> Option<String>> Lookup<F> {
    pub(super) fn auth(&self, bind: IpAddr, public: &PublicUrl) -> Result<Auth, ConfigError> {
        let oauth = self.oauth()?;
        let session_keys = self.session_keys(oauth.as_ref())?;
        match self.mode(bind, public)? {
            Mode::Dev => self.dev_user().map(|user| Auth::Dev { user }),
            Mode::GitHub => {
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
            Mode::EasyAuth => {
                let provider = self.provider()?;
                let allowed = self.allowed(provider == "github")?;
                Ok(Auth::EasyAuth { provider, allowed })
            }
        }
    }

    fn trimmed(&self, name: &str) -> Option<String> {
        self.text(name).map(|text| text.trim().to_owned())
    }

    /// In lower case, as the platform writes it; it is part of the address where people sign in.
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

    fn mode(&self, bind: IpAddr, public: &PublicUrl) -> Result<Mode, ConfigError> {
        let refuse = |was: String, allowed: &str| Err(ConfigError::new("CODEX_AUTH", was, allowed));
        let on_azure = self.text("WEBSITE_SITE_NAME").is_some();
        let public = self.text("CODEX_PUBLIC_URL").is_some() && !public.is_this_machine();
        let configured = SIGN_IN.iter().any(|name| self.text(name).is_some());
        match self.trimmed("CODEX_AUTH").as_deref() {
            Some("dev") if on_azure => refuse(
                "is dev while WEBSITE_SITE_NAME is set".to_owned(),
                "github or easyauth on Azure, where strangers reach the service",
            ),
            Some("dev") if public => refuse(
                "is dev while CODEX_PUBLIC_URL is another address than this machine's".to_owned(),
                "github or easyauth where others reach the service",
            ),
            Some("dev") => Ok(Mode::Dev),
            Some("github") => Ok(Mode::GitHub),
            Some("easyauth") if self.platform_authenticates() && on_azure => Ok(Mode::EasyAuth),
            Some("easyauth") if self.platform_authenticates() => refuse(
                "is easyauth while WEBSITE_SITE_NAME isn't set".to_owned(),
                "github or dev outside Azure: nobody takes off a header there that says who somebody is",
            ),
            Some("easyauth") => refuse(
                "is easyauth while WEBSITE_AUTH_ENABLED isn't true".to_owned(),
                "github as long as the platform's authentication is off: anybody could say who they are",
            ),
            Some(other) => refuse(format!("is {other:?}"), "github, easyauth or dev"),
            None if on_azure || configured => Ok(Mode::GitHub),
            None if public => refuse(
                "is not set while CODEX_PUBLIC_URL is another address than this machine's"
                    .to_owned(),
                "github or easyauth",
            ),
            None if bind.is_loopback() && !self.is_hosted() => Ok(Mode::Dev),
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

    /// `by_login` when they are names as GitHub has them.
    fn allowed(&self, by_login: bool) -> Result<Allowed, ConfigError> {
        let name = "CODEX_ALLOWED_LOGINS";
        let (logins, was) = match self.text(name) {
            Some(text) => (parts(&text), "names nobody"),
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
            return Ok(Allowed::Everyone);
        }
        let odd = logins.iter().find(|login| UserId::parse(login).is_err());
        match odd.filter(|_| by_login) {
            Some(odd) => {
                let allowed = "logins separated by commas, as in anna,ben, or * for everyone";
                Err(ConfigError::new(name, format!("holds {odd:?}"), allowed))
            }
            None => Ok(Allowed::Logins(logins)),
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
            // Every instance knows it, so that all open what one has sealed.
            return Ok(oauth.iter().map(|it| it.client_secret.clone()).collect());
        };
        let keys = parts(&text);
        let short = |key: &String| key.chars().count() < MIN_SESSION_KEY;
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

    /// `CODEX_ALLOWED_ORIGINS`: pages of these may read answers.
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
        parts(&text).into_iter().map(origin).collect()
    }
}

/// The Functions host on a developer's machine sets the platform's variable, too, and speaks plain http.
fn platform_url(host: &str) -> String {
    let name = host.split(':').next().unwrap_or_default();
    let scheme = if net::is_loopback(name) {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{host}")
}

/// What stands between commas.
fn parts(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}
