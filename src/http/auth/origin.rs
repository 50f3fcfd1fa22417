//! The origin of a request, against cross-site request forgery and DNS rebinding. A page of another site can send a
//! change here although it can't read the response; the browser's headers name the page's origin.

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName};

use crate::net;

pub(in crate::http) const X_FORWARDED_HOST: HeaderName =
    HeaderName::from_static("x-forwarded-host");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The header's value, if it is present; one that isn't visible ASCII counts as empty.
fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or(""))
}

/// Whether the page is this service's own, by `Origin` or else by `Sec-Fetch-Site`; `None` without both headers.
fn is_own(headers: &HeaderMap, own: impl Fn(&str) -> bool) -> Option<bool> {
    let by_origin = header_text(headers, &ORIGIN).map(own);
    let by_site = header_text(headers, &SEC_FETCH_SITE).map(|site| site == "same-origin");
    by_origin.or(by_site)
}

/// Whether the page has this origin. A request without both headers doesn't count: it may come from a form in an old
/// browser, with the browser's cookies.
pub(super) fn is_origin(origin: &str, headers: &HeaderMap) -> bool {
    is_own(headers, |it| it == origin).unwrap_or(false)
}

/// Whether the page's origin is the host that the request names. For `dev`, which has no cookies to protect: a request
/// without both headers counts as one of a command-line client. Only http is served there.
pub(super) fn is_request_host(headers: &HeaderMap) -> bool {
    let named = [&X_FORWARDED_HOST, &HOST];
    let host = named.into_iter().find(|name| headers.contains_key(*name));
    let host = host.and_then(|name| parse_authority(only(headers, name)?));
    let own = |origin: &str| {
        let authority = origin.strip_prefix("http://").and_then(parse_authority);
        authority.is_some() && authority == host
    };
    is_own(headers, own).unwrap_or(true)
}

/// Whether `Host` and, if present, `X-Forwarded-Host` name a loopback host. Against DNS rebinding: a site can point its
/// own name to 127.0.0.1, but the request's host is then that name.
pub(super) fn names_loopback_host(headers: &HeaderMap) -> bool {
    let local = |name| only(headers, name).is_some_and(is_loopback_host);
    local(&HOST) && (!headers.contains_key(X_FORWARDED_HOST) || local(&X_FORWARDED_HOST))
}

/// The names by which a client on this machine nearly always calls it: compared first, because parsing a host would take
/// 2,000 of the 25,000 instructions of a read from memory.
const USUAL_LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];

fn is_loopback_host(host: &str) -> bool {
    let is = |name: &&str| host.strip_prefix(*name).is_some_and(is_port_or_nothing);
    USUAL_LOOPBACK.iter().any(is)
        || parse_authority(host).is_some_and(|it| net::is_loopback(it.host()))
}

/// The header's text; `None` if it is missing, repeated or not visible ASCII.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Parses `host` or `host:port`. Accepts nothing else, such as user information.
fn parse_authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let rest = text.strip_prefix(authority.host())?;
    is_port_or_nothing(rest).then_some(authority)
}

/// Whether this is what may follow a host: nothing, or a colon and a port.
fn is_port_or_nothing(rest: &str) -> bool {
    let is_port = |it: &str| it.bytes().all(|b| b.is_ascii_digit()) && it.parse::<u16>().is_ok();
    rest.strip_prefix(':').map_or(rest.is_empty(), is_port)
}
