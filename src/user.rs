//! The user whose files a request is about.

use std::fmt;
use std::hash::{Hash, Hasher};

/// Characters of a user's name, at most.
const MAX_LENGTH: usize = 64;

/// A user's name, as it is in storage paths: 1–64 of `A–Z a–z 0–9 - _`.
///
/// Parsed once at the edge; after that it is safe in a path. The text lies in the value itself: as a key it is compared
/// without following a pointer, which would cost more than the comparison where many users are cached.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserId {
    // Zeros follow, which come before every character that is allowed.
    text: [u8; MAX_LENGTH],
    length: u8,
}

/// The text can't be a user's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a user name is 1 to 64 of A-Z, a-z, 0-9, '-' and '_'")]
pub struct BadUserId;

impl UserId {
    /// Takes `text` when every character is allowed, else refuses it.
    pub fn parse(text: &str) -> Result<Self, BadUserId> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if !(1..=MAX_LENGTH).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(BadUserId);
        }
        let mut user = Self {
            text: [0; MAX_LENGTH],
            length: text.len() as u8,
        };
        user.text[..text.len()].copy_from_slice(text.as_bytes());
        Ok(user)
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        // All of it is ASCII.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The same for every letter case: GitHub's logins are the same in any.
    pub fn folded(&self) -> Self {
        let mut folded = self.clone();
        folded.text.make_ascii_lowercase();
        folded
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }
}

// Of the text alone, not of what follows it.
impl Hash for UserId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
