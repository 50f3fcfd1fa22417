//! Authenticated encryption of cookie values.

use std::fmt;

use cookie::{Cookie, CookieJar, Key};

use super::key_seed;
use crate::config::Secret;

/// The keys: the first one seals, all of them open, so that keys can be rotated.
pub(super) struct CookieSealer(Vec<Key>);

impl fmt::Debug for CookieSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSealer")
    }
}

impl CookieSealer {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let keys = secrets.iter().map(|it| Key::derive_from(&key_seed(it)));
        Self(keys.collect())
    }

    /// Seals the value for the cookie `name`: it doesn't open under another name. `None` without a key.
    pub(super) fn seal(&self, name: &str, text: &str) -> Option<String> {
        let key = self.0.first()?;
        let mut jar = CookieJar::new();
        let cookie = Cookie::new(name.to_owned(), text.to_owned());
        jar.private_mut(key).add(cookie);
        jar.get(name).map(|sealed| sealed.value().to_owned())
    }

    /// The value that was sealed for this name; `None` if it wasn't, or by none of the keys.
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
