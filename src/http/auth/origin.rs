//! Which page sent a request. A page of another site may send a change here without being able to read
//! the answer; a browser says which page it was.

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderName};

use crate::net;

pub(in crate::http) const X_FORWARDED_HOST: HeaderName =
    HeaderName::from_static("x-forwarded-host");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Of a header that is there; nothing readable counts as empty.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or(""))
}

/// Whether the page is this service's own, by `Origin`, else by `Sec-Fetch-Site`; `None` when the request
/// has neither.
fn is_own(headers: &HeaderMap, own: impl Fn(&str) -> bool) -> Option<bool> {
    let by_origin = text(headers, &ORIGIN).map(own);
    let by_site = text(headers, &SEC_FETCH_SITE).map(|site| site == "same-origin");
    by_origin.or(by_site)
}

/// Whether the page is one of the service at `origin`. A request that doesn't say may come from an old
/// browser's form, and then with the browser's cookies.
pub(super) fn is_of(origin: &str, headers: &HeaderMap) -> bool {
    is_own(headers, |it| it == origin).unwrap_or(false)
}

/// Whether the page is one of the host that the request names; without sign-in, where a request that says
/// nothing is a command-line client's. Only http is spoken there.
pub(super) fn is_of_own_host(headers: &HeaderMap) -> bool {
    let named = [&X_FORWARDED_HOST, &HOST];
    let host = named.into_iter().find(|name| headers.contains_key(*name));
    let host = host.and_then(|name| authority(headers, name));
    let own = |origin: &str| {
        let authority = origin.strip_prefix("http://").and_then(strictly);
        authority.is_some() && authority == host
    };
    is_own(headers, own).unwrap_or(true)
}

/// Against DNS rebinding: a page of another site may make its own name point to 127.0.0.1, but then the
/// request names that site.
pub(super) fn names_this_machine(headers: &HeaderMap) -> bool {
    let local =
        |name| authority(headers, name).is_some_and(|it: Authority| net::is_loopback(it.host()));
    local(&HOST) && (!headers.contains_key(X_FORWARDED_HOST) || local(&X_FORWARDED_HOST))
}

/// The one host that the header names; `None` when it names none, several, or something else.
fn authority(headers: &HeaderMap, name: &HeaderName) -> Option<Authority> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => strictly(value.to_str().ok()?),
        _ => None,
    }
}

/// A host, perhaps with a port, and nothing else.
fn strictly(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let rest = text.strip_prefix(authority.host())?;
    let port = rest.strip_prefix(':');
    let port =
        port.map(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    port.unwrap_or(rest.is_empty()).then_some(authority)
}
