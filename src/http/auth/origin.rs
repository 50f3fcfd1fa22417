//! Which page sent a request. A page of another site may send a change here without being able to read
//! the answer; a browser says which page it was.

use http::header::{HOST, ORIGIN};
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
/// nothing is a command-line client's.
pub(super) fn is_of_own_host(headers: &HeaderMap) -> bool {
    let host = [&X_FORWARDED_HOST, &HOST];
    let host = host.into_iter().find_map(|name| text(headers, name));
    let own = |origin: &str| {
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        authority.is_some() && authority == host
    };
    is_own(headers, own).unwrap_or(true)
}

/// Against DNS rebinding: a page of another site may make its own name point to 127.0.0.1, but then the
/// request names that site.
pub(super) fn names_this_machine(headers: &HeaderMap) -> bool {
    let hosts = headers.get_all(HOST).iter();
    let mut named = hosts.chain(headers.get_all(X_FORWARDED_HOST).iter());
    headers.contains_key(HOST) && named.all(|host| host.to_str().is_ok_and(is_loopback))
}

/// Whether a `Host` header names this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    net::is_loopback(name)
}
