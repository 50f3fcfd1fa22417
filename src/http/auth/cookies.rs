//! Names and attributes of the cookies.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::config::PublicUrl;

/// The legacy service stored a live GitHub token in this cookie. It is never read, only expired.
pub(super) const LEGACY_SESSION: &str = "session";

/// Holds the highest version that the client has seen.
const VERSION: &str = "codex_version";

/// Limits how many cookies of the same name are tried.
const MAX_CANDIDATES: usize = 4;

/// The cookies' names, and whether they are `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct CookieNames {
    /// The browser's session.
    pub(super) session: &'static str,
    /// A sign-in in progress.
    pub(super) sign_in: &'static str,
    secure: bool,
}

impl CookieNames {
    /// Over https the names have the prefix `__Host-`: browsers accept such cookies only from this host, `Secure` and
    /// without `Domain`, and send them only to it.
    pub(super) fn of(public_url: &PublicUrl) -> Self {
        match public_url.is_https() {
            true => Self {
                session: "__Host-codex_session",
                sign_in: "__Host-codex_sign_in",
                secure: true,
            },
            false => Self {
                session: "codex_session",
                sign_in: "codex_sign_in",
                secure: false,
            },
        }
    }

    /// `; Secure` over https, else nothing.
    pub(in crate::http) fn secure(&self) -> &'static str {
        if self.secure { "; Secure" } else { "" }
    }

    /// A `Set-Cookie` value with `HttpOnly` and `SameSite=Lax`; `None` if `value` can't be in a header.
    pub(super) fn set(&self, name: &str, value: &str, max_age: Duration) -> Option<HeaderValue> {
        let (seconds, secure) = (max_age.as_secs(), self.secure());
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn expire(&self, name: &str) -> Option<HeaderValue> {
        self.set(name, "", Duration::ZERO)
    }

    /// Expires the cookie of the sign-in in progress.
    pub(in crate::http) fn expire_sign_in(&self) -> Option<HeaderValue> {
        self.expire(self.sign_in)
    }

    /// Expires the legacy service's session cookie.
    pub(super) fn expire_legacy(&self) -> Option<HeaderValue> {
        self.expire(LEGACY_SESSION)
    }

    /// Expires every cookie that this service or the legacy one sets.
    pub(in crate::http) fn expire_all(&self) -> impl Iterator<Item = HeaderValue> {
        let names = [self.session, self.sign_in, VERSION, LEGACY_SESSION];
        names.into_iter().filter_map(|name| self.expire(name))
    }
}

/// The values of all cookies with this name: without the prefix `__Host-` a browser may send several.
pub(super) fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let lines = lines.filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    pairs
        .filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
        .take(MAX_CANDIDATES)
}
