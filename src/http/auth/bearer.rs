//! `Authorization: Bearer`.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// GitHub's longest tokens are well below it.
const MAX_TOKEN: usize = 1024;

/// What `Authorization` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Bearer<'a> {
    /// Nothing, or something that isn't about bearer tokens.
    None,
    /// Here is one.
    Token(&'a str),
    /// Something that can't be a token, or several.
    Unusable,
}

impl<'a> Bearer<'a> {
    /// Of a request.
    pub(in crate::http) fn of(headers: &'a HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return Self::None;
        };
        let bytes = value.as_bytes();
        let is_bearer = bytes.len() >= 6 && bytes[..6].eq_ignore_ascii_case(b"bearer");
        let (true, None) = (is_bearer, values.next()) else {
            return if is_bearer {
                Self::Unusable
            } else {
                Self::None
            };
        };
        let token = value
            .to_str()
            .ok()
            .and_then(|text| text[6..].strip_prefix(' '));
        let fits = |token: &&str| {
            (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
        };
        let token = token.map(str::trim).filter(fits);
        token.map_or(Self::Unusable, Self::Token)
    }
}
