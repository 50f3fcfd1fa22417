//! The cookies' names and how they are set.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::config::PublicUrl;

/// The older service kept a live GitHub token in it. It is never looked at, only expired.
pub(super) const OLDER_SESSION: &str = "session";

/// Names the version a client has seen.
const VERSION: &str = "codex_version";

/// More cookies of one name than this aren't tried.
const MAX_TRIES: usize = 4;

/// What cookies are called here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct CookieNames {
    /// Who is signed in.
    pub(super) session: &'static str,
    /// A sign-in under way.
    pub(super) flight: &'static str,
    secure: bool,
}

impl CookieNames {
    /// With https a browser takes them from nobody but this host, and sends them to nobody else.
    pub(super) fn of(public_url: &PublicUrl) -> Self {
        match public_url.is_https() {
            true => Self {
                session: "__Host-codex_session",
                flight: "__Host-codex_sign_in",
                secure: true,
            },
            false => Self {
                session: "codex_session",
                flight: "codex_sign_in",
                secure: false,
            },
        }
    }

    /// `; Secure` where browsers come by https.
    pub(in crate::http) fn secure(&self) -> &'static str {
        if self.secure { "; Secure" } else { "" }
    }

    /// A cookie that no script reads and no other site's form sends.
    pub(super) fn set(&self, name: &str, value: &str, life: Duration) -> Option<HeaderValue> {
        let (seconds, secure) = (life.as_secs(), self.secure());
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn expire(&self, name: &str) -> Option<HeaderValue> {
        self.set(name, "", Duration::ZERO)
    }

    /// Ends the sign-in under way.
    pub(in crate::http) fn expire_flight(&self) -> Option<HeaderValue> {
        self.expire(self.flight)
    }

    /// Ends the older service's session.
    pub(super) fn expire_older(&self) -> Option<HeaderValue> {
        self.expire(OLDER_SESSION)
    }

    /// Ends everything that this service or the older one has set.
    pub(in crate::http) fn expire_all(&self) -> impl Iterator<Item = HeaderValue> {
        let names = [self.session, self.flight, VERSION, OLDER_SESSION];
        names.into_iter().filter_map(|name| self.expire(name))
    }
}

/// The values of cookies with this name: a browser may hold several on plain http.
pub(super) fn named<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let lines = lines.filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    pairs
        .filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
        .take(MAX_TRIES)
}
