//! Git's names of files' contents.

use std::fmt;
use std::str::FromStr;

use utoipa::ToSchema;

use super::words::as_text;

/// The Git blob SHA-1 of `bytes`, which is also the `etag` of a task in API responses.
pub fn git_sha(bytes: &[u8]) -> GitSha {
    use sha1::{Digest, Sha1};
    let head = format!("blob {}\0", bytes.len());
    let hasher = Sha1::new().chain_update(head).chain_update(bytes);
    GitSha(hasher.finalize().into())
}

/// A git blob SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, derive_more::Debug, ToSchema)]
#[debug("{self}")]
#[schema(value_type = String, pattern = "^[0-9a-f]{40}$")]
pub struct GitSha(pub [u8; 20]);

impl GitSha {
    /// Git's null id, which names no object.
    pub const NULL: Self = Self([0; 20]);
}

impl fmt::Display for GitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for GitSha {
    type Err = BadGitSha;
    fn from_str(text: &str) -> Result<Self, BadGitSha> {
        decode_hex(text).map(Self).ok_or(BadGitSha)
    }
}

/// Decodes exactly `N` bytes.
pub(crate) fn decode_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // `from_str_radix` would also take a sign.
    if hex.len() != 2 * N || !hex.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

as_text!(GitSha);

/// Not forty hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a git SHA is forty hexadecimal digits")]
pub struct BadGitSha;
