//! The origin at which browsers reach the service, and those that CORS allows.

use std::net::{IpAddr, SocketAddr};

use url::Url;

use super::lookup::{ConfigError, Lookup, comma_separated, valid};
use crate::net;

/// The service's public origin (`CODEX_PUBLIC_URL`): scheme, host and optional port. The only source for the OAuth
/// callback, the check of a request's origin, and the cookie attribute `Secure`.
#[derive(Debug, Clone, PartialEq, Eq, derive_more::Display)]
#[display("{origin}")]
pub struct PublicUrl {
    origin: String,
    /// Set if no setting names the origin: the loopback address, used with the bound port.
    loopback: Option<IpAddr>,
}

impl PublicUrl {
    /// Parses an origin: https, or http with a loopback host. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        (is_private(&url) && is_origin(&url)).then(|| Self {
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

    /// Whether it is an address of this machine.
    pub fn is_loopback(&self) -> bool {
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

/// Whether what is sent there stays private: https, or http on this machine.
pub(super) fn is_private(url: &Url) -> bool {
    let is_loopback = || net::is_loopback(url.host_str().unwrap_or_default());
    url.scheme() == "https" || url.scheme() == "http" && is_loopback()
}

/// Whether the URL has no name, password, query and fragment.
pub(super) fn is_bare(url: &Url) -> bool {
    let anonymous = url.username().is_empty() && url.password().is_none();
    anonymous && url.query().is_none() && url.fragment().is_none()
}

/// Whether the URL has only scheme, host and port.
fn is_origin(url: &Url) -> bool {
    is_bare(url) && url.has_host() && url.path() == "/"
}

pub(super) fn public_url(
    settings: &Lookup<'_>,
    bind: IpAddr,
    port: u16,
) -> Result<PublicUrl, ConfigError> {
    let name = "CODEX_PUBLIC_URL";
    let allowed =
        "an https address without a path, as in https://codex.example; http only for this machine";
    let (variable, text) = match (settings.trimmed(name), settings.trimmed("WEBSITE_HOSTNAME")) {
        (Some(text), _) => (name, text),
        (None, Some(host)) => ("WEBSITE_HOSTNAME", platform_url(&host)),
        (None, None) => {
            let loopback = IpAddr::from([127, 0, 0, 1]);
            let ip = if bind.is_loopback() { bind } else { loopback };
            let url = PublicUrl::of_address(ip, port);
            return url.ok_or_else(|| ConfigError::new(name, "is not set", allowed));
        }
    };
    valid(variable, &text, allowed, PublicUrl::parse)
}

pub(super) fn allowed_origins(settings: &Lookup<'_>) -> Result<Vec<String>, ConfigError> {
    let name = "CODEX_ALLOWED_ORIGINS";
    let text = settings.text(name).unwrap_or_default();
    let origin = |part: String| {
        let web = |url: &Url| matches!(url.scheme(), "http" | "https") && is_origin(url);
        let url = Url::parse(&part).ok().filter(web);
        let origin = url.map(|url| url.origin().ascii_serialization());
        let allowed = "origins separated by commas, as in https://app.example";
        origin.ok_or_else(|| ConfigError::new(name, format!("holds {part:?}"), allowed))
    };
    comma_separated(&text).into_iter().map(origin).collect()
}

/// The URL for `WEBSITE_HOSTNAME`. The Functions host sets it on a developer's machine, too, where it serves plain
/// http.
fn platform_url(host: &str) -> String {
    let name = host.split(':').next().unwrap_or_default();
    let secure = if net::is_loopback(name) { "" } else { "s" };
    format!("http{secure}://{host}")
}
