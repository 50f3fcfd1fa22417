//! User names.

use std::hash::{Hash, Hasher};

use derive_more::{Debug, Display};

/// The maximum length of a user name in characters.
const MAX_LENGTH: usize = 64;

/// A user name as used in storage paths: 1–64 of `A–Z a–z 0–9 - _`.
///
/// Parsed once at the system boundary and safe to use in paths afterwards. The text is stored inline: as a map key it
/// is compared without following a pointer, which would cost more than the comparison itself with many cached users.
#[derive(Debug, Display, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[display("{}", self.as_str())]
#[debug("{self}")]
pub struct UserId {
    // Padded with zeros, which sort before every allowed character.
    text: [u8; MAX_LENGTH],
    length: u8,
}

/// Not a valid user name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a user name is 1 to 64 of A-Z, a-z, 0-9, '-' and '_'")]
pub struct BadUserId;

impl UserId {
    /// Parses a user name; fails if it is empty, too long or contains any other character.
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

    /// The name as given.
    pub fn as_str(&self) -> &str {
        // Always valid: the text is ASCII.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The name in lower case, for case-insensitive comparison: GitHub logins are case-insensitive.
    pub fn folded(&self) -> Self {
        let mut folded = self.clone();
        folded.text.make_ascii_lowercase();
        folded
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }
}

// Hashes the text without its padding.
impl Hash for UserId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
