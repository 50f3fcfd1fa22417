//! The user whose files a request is about.

use std::fmt;
use std::sync::Arc;

/// A user's name, as it stands in storage paths: 1–64 of `A–Z a–z 0–9 - _` (SPEC.md 4).
///
/// Parsed once at the edge; whoever holds one may put it into a path. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

/// The text can't be a user's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a user name is 1 to 64 of A-Z, a-z, 0-9, '-' and '_'")]
pub struct BadUserId;

impl UserId {
    /// Takes `text` when every character is allowed, else refuses it.
    pub fn parse(text: &str) -> Result<Self, BadUserId> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BadUserId)
        }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
