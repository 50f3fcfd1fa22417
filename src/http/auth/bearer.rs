//! The `Authorization: Bearer` header.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// In bytes; GitHub's longest tokens are well below.
const MAX_TOKEN_BYTES: usize = 1024;

/// The bearer token in `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer<'a> {
    /// No header, or another scheme.
    None,
    /// A well-formed token.
    Token(&'a str),
    /// Not a possible token, or more than one header.
    Malformed,
}

impl<'a> Bearer<'a> {
    /// Reads the header.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Self::None;
        };
        let bytes = value.as_bytes();
        let is_bearer = bytes.len() >= 6 && bytes[..6].eq_ignore_ascii_case(b"bearer");
        if !is_bearer {
            return Self::None;
        }
        if values.next().is_some() {
            return Self::Malformed;
        }
        let text = value.to_str().ok();
        let token = text.and_then(|text| text[6..].strip_prefix(' '));
        let fits = |token: &&str| {
            (1..=MAX_TOKEN_BYTES).contains(&token.len())
                && token.bytes().all(|b| b.is_ascii_graphic())
        };
        let token = token.map(str::trim).filter(fits);
        token.map_or(Self::Malformed, Self::Token)
    }
}
