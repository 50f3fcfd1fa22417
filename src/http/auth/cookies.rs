//! Names and attributes of the cookies.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::codex::Version;
use crate::config::PublicUrl;
use crate::http::negotiate;
use crate::user::UserId;

/// The legacy service stored a live GitHub token in this cookie. It is never read, only expired.
const LEGACY_SESSION: &str = "session";

/// Holds the highest version that the client has seen.
pub(in crate::http) const VERSION: &str = "codex_version";

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
    fn secure(&self) -> &'static str {
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

    /// The `Set-Cookie` value of the version that the client has seen.
    pub(in crate::http) fn version(&self, user: &UserId, version: Version) -> Option<HeaderValue> {
        let secure = self.secure();
        let cookie = format!("{VERSION}={user}:{version}; Path=/; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(cookie).ok()
    }

    fn expire(&self, name: &str) -> Option<HeaderValue> {
        self.set(name, "", Duration::ZERO)
    }

    /// Expires the cookie of the sign-in in progress.
    pub(in crate::http) fn expire_sign_in(&self) -> Option<HeaderValue> {
        self.expire(self.sign_in)
    }

    /// Expires the legacy service's session cookie, if the request has it.
    pub(in crate::http) fn expire_legacy(&self, request: &HeaderMap) -> Option<HeaderValue> {
        negotiate::cookies(request, LEGACY_SESSION).next()?;
        self.expire(LEGACY_SESSION)
    }

    /// Expires every cookie that this service or the legacy one sets.
    pub(in crate::http) fn expire_all(&self) -> impl Iterator<Item = HeaderValue> {
        let names = [self.session, self.sign_in, VERSION, LEGACY_SESSION];
        names.into_iter().filter_map(|name| self.expire(name))
    }
}
