//! Cookies whose values are encrypted and authenticated.

use std::time::Duration;

use cookie::{Cookie, CookieJar, Key};
use http::{HeaderMap, HeaderValue};

use super::cookies::CookieNames;
use crate::config::Secret;
use crate::http::hash::sha256;
use crate::http::negotiate;

/// Limits how many cookies of the same name are tried.
const MAX_CANDIDATES: usize = 4;

/// The keys: the first one seals, all of them open, so that keys can be rotated.
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

    /// The text of the first of the request's cookies that was sealed for this name, by any of the keys.
    pub(super) fn open(&self, headers: &HeaderMap, name: &'static str) -> Option<String> {
        let jar = CookieJar::new();
        let mut sealed = negotiate::cookies(headers, name).take(MAX_CANDIDATES);
        sealed.find_map(|sealed| {
            let opened = self.keys.iter().find_map(|key| {
                let cookie = Cookie::new(name, sealed.to_owned());
                jar.private(key).decrypt(cookie)
            });
            Some(opened?.value().to_owned())
        })
    }
}
