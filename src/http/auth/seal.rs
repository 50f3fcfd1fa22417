//! Cookies that nobody but this service can read or make.

use std::fmt;

use cookie::{Cookie, CookieJar, Key};

use super::key_seed;
use crate::config::Secret;

/// The keys: the first seals, all open.
pub(super) struct Seals(Vec<Key>);

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seals")
    }
}

impl Seals {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let keys = secrets.iter().map(|it| Key::derive_from(&key_seed(it)));
        Self(keys.collect())
    }

    /// The value for a cookie of this name, and of no other; `None` without a key.
    pub(super) fn seal(&self, name: &str, text: &str) -> Option<String> {
        let key = self.0.first()?;
        let mut jar = CookieJar::new();
        let cookie = Cookie::new(name.to_owned(), text.to_owned());
        jar.private_mut(key).add(cookie);
        jar.get(name).map(|sealed| sealed.value().to_owned())
    }

    /// What was sealed for this name; `None` for whatever wasn't.
    pub(super) fn open(&self, name: &'static str, sealed: &str) -> Option<String> {
        let jar = CookieJar::new();
        let mut keys = self.0.iter();
        keys.find_map(|key| {
            let cookie = Cookie::new(name, sealed.to_owned());
            let opened = jar.private(key).decrypt(cookie)?;
            Some(opened.value().to_owned())
        })
    }
}
