//! PURE. What a request's headers ask for: which representation, how current, which language.

use std::mem;

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::header_names::PREFER;
use crate::codex::{Encoding, IfMatch};
use crate::view::Language;

/// What a request for content gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Representation {
    /// 304: the client has it.
    NotModified,
    /// 200 with the content in this coding.
    Full(Encoding),
}

impl Representation {
    /// For content with this `ETag`, which would be sent in `encoding`.
    pub fn of(headers: &HeaderMap, etag: &str, encoding: Encoding) -> Self {
        match is_not_modified(headers, etag) {
            true => Self::NotModified,
            false => Self::Full(encoding),
        }
    }
}

/// A header's text; `None` if it isn't ASCII. What `HeaderValue::to_str` returns, which looks at byte after byte: a
/// cookie is long, and looked at for each cookie's name.
pub fn ascii(value: &HeaderValue) -> Option<&str> {
    let bytes = value.as_bytes();
    bytes.is_ascii().then(|| std::str::from_utf8(bytes).ok())?
}

/// The header's text; `None` if it is missing or isn't visible ASCII.
pub fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    ascii(headers.get(name)?)
}

/// The members of one line of a header that is a comma-separated list; an empty one if it isn't visible ASCII.
fn members(line: &HeaderValue) -> impl Iterator<Item = &str> {
    let line = ascii(line).unwrap_or_default();
    line.split(',').map(str::trim_ascii)
}

/// The members of all lines of a header that is a comma-separated list.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().flat_map(members)
}

/// The values of all cookies with this name in one line of `Cookie`, but those that aren't ASCII. By bytes: a session's
/// cookie is long, and each line is looked at for several names.
pub fn cookies_in<'a>(line: &'a HeaderValue, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let line = line.as_bytes();
    let ends = memchr::memchr_iter(b';', line).chain([line.len()]);
    let pairs = ends.scan(0, |start, end| {
        Some(&line[mem::replace(start, end + 1)..end])
    });
    pairs.filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=").filter(|it| it.is_ascii())
    })
}

/// The values of all cookies with this name: without the prefix `__Host-` a browser may send several.
pub fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    lines.flat_map(move |line| cookies_in(line, name))
}

/// Whether the response to a write waits for its commit: `Prefer: wait` (RFC 7240) or `?git=wait`.
pub fn waits_for_git(headers: &HeaderMap, query: &str) -> bool {
    let is_wait = |preference: &str| {
        let name = preference.split([';', '=']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("wait")
    };
    query.split('&').any(|it| it == "git=wait") || list(headers, PREFER).any(is_wait)
}

/// Whether the client accepts `text/html`, as a browser's navigation does.
pub fn wants_page(headers: &HeaderMap) -> bool {
    list(headers, ACCEPT)
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/html"))
}

/// The language of a page: German or English, by the higher weight in `Accept-Language` (RFC 9110, 12.5.4). The first
/// of equal weights; German when it has neither.
pub fn accepted_language(headers: &HeaderMap) -> Language {
    let mut best = (0.0, Language::German);
    for range in list(headers, ACCEPT_LANGUAGE) {
        let (range, weight) = range.split_once(';').unwrap_or((range, "q=1"));
        let weight = weight.trim().strip_prefix("q=");
        let weight: f32 = weight.and_then(|it| it.trim().parse().ok()).unwrap_or(0.0);
        let primary = range.trim().split('-').next().unwrap_or_default();
        let language = match primary.to_ascii_lowercase().as_str() {
            "de" => Language::German,
            "en" => Language::English,
            _ => continue,
        };
        if weight > best.0 {
            best = (weight, language);
        }
    }
    best.1
}

/// Whether this line of `Cache-Control` asks for strong consistency: `no-cache`.
pub fn requires_strong(line: &HeaderValue) -> bool {
    members(line).any(|directive| directive.eq_ignore_ascii_case("no-cache"))
}

/// Whether `If-None-Match` matches `etag` or is `*`, by weak comparison (RFC 9110, 8.8.3.2).
pub fn is_not_modified(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag| str::strip_prefix(tag, "W/").unwrap_or(tag);
    list(headers, IF_NONE_MATCH).any(|tag| tag == "*" || opaque(tag) == opaque(etag))
}

/// The precondition in `If-Match` (RFC 9110, 13.1.1). A tag that this service can't have issued matches nothing.
pub fn if_match(headers: &HeaderMap) -> Option<IfMatch> {
    headers.get(IF_MATCH)?;
    if list(headers, IF_MATCH).any(|tag| tag == "*") {
        return Some(IfMatch::Any);
    }
    let etags = list(headers, IF_MATCH).filter_map(|tag| {
        let tag = tag.strip_prefix('"')?.strip_suffix('"')?;
        tag.parse().ok()
    });
    Some(IfMatch::OneOf(etags.collect()))
}

/// The content coding by `Accept-Encoding` (RFC 9110, 12.5.3): gzip where `gzip`, else `*`, is listed without `q=0`.
pub fn accepted_encoding(headers: &HeaderMap) -> Encoding {
    let (mut gzip, mut any) = (None, None);
    // First in nearly all requests, and not worth two iterators; whatever follows.
    let first = headers.get(ACCEPT_ENCODING).map(HeaderValue::as_bytes);
    if let Some(b"gzip" | [b'g', b'z', b'i', b'p', b',', ..]) = first {
        return Encoding::Gzip;
    }
    for item in list(headers, ACCEPT_ENCODING) {
        let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=");
        let accepted = weight.is_none_or(|q| q.trim().parse() != Ok(0.0));
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") => gzip = Some(accepted),
            "*" => any = Some(accepted),
            _ => {}
        }
    }
    match gzip.or(any) {
        Some(true) => Encoding::Gzip,
        _ => Encoding::Identity,
    }
}
