//! The cookies: their names and attributes, and the sealing of those whose values are secret.

use std::time::Duration;

use cookie::{Cookie, CookieJar, Key};
use http::{HeaderMap, HeaderValue};

use crate::codex::Version;
use crate::config::{PublicUrl, Secret};
use crate::http::hash::sha256;
use crate::http::negotiate;
use crate::user::UserId;

/// The legacy service stored a live GitHub token in this cookie. It is never read, only expired.
const LEGACY_SESSION: &str = "session";

/// Holds the highest version that the client has seen.
pub(in crate::http) const VERSION: &str = "codex_version";

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
        let secure = public_url.is_https();
        let [session, sign_in] = match secure {
            true => ["__Host-codex_session", "__Host-codex_sign_in"],
            false => ["codex_session", "codex_sign_in"],
        };
        Self {
            session,
            sign_in,
            secure,
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

/// The values of the request's cookies with this name that are tried.
pub(super) fn candidates<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    negotiate::cookies(headers, name).take(MAX_CANDIDATES)
}

/// Encrypts and authenticates the values of cookies. The first key seals, all of them open, so that keys can be rotated.
pub(super) struct CookieSealer {
    keys: Vec<Key>,
    pub(super) names: CookieNames,
}

impl CookieSealer {
    /// Keys from secrets of any length.
    pub(super) fn new(secrets: &[Secret], names: CookieNames) -> Self {
        let seed = |it: &Secret| sha256(["codex-miroir cookies 1\0", it.reveal()].concat());
        let keys = secrets.iter().map(|it| Key::derive_from(&seed(it)));
        Self {
            keys: keys.collect(),
            names,
        }
    }

    /// The `Set-Cookie` value of the cookie `name` with `text` sealed: it doesn't open under another name. `None` without
    /// a key.
    pub(super) fn set(&self, name: &str, text: String, max_age: Duration) -> Option<HeaderValue> {
        let mut jar = CookieJar::new();
        jar.private_mut(self.keys.first()?)
            .add(Cookie::new(name.to_owned(), text));
        self.names.set(name, jar.get(name)?.value(), max_age)
    }

    /// The text that was sealed for the cookie `name`, by any of the keys.
    pub(super) fn open(&self, name: &'static str, sealed: &[u8]) -> Option<String> {
        let sealed = str::from_utf8(sealed).ok()?;
        let jar = CookieJar::new();
        let opened = self.keys.iter().find_map(|key| {
            let cookie = Cookie::new(name, sealed.to_owned());
            jar.private(key).decrypt(cookie)
        });
        Some(opened?.value().to_owned())
    }
}
