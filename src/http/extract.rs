//! What handlers take from a request.

use std::convert::Infallible;
use std::time::Instant;

use axum::extract::FromRequestParts;
use chrono::Utc;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, COOKIE, HOST, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::{ApiError, App, Code};
use crate::codex::{Encoding, Version};
use crate::config::Auth;
use crate::now::Now;
use crate::user::UserId;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The version of the user's data, in requests and answers.
pub(super) const X_CODEX_VERSION: HeaderName = HeaderName::from_static("x-codex-version");

/// The one place where the clocks are read.
impl<S: Sync> FromRequestParts<S> for Now {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            utc: Utc::now(),
            mono: Instant::now(),
        })
    }
}

/// Whose files a request is about. A handler that takes it can't be reached by anybody else.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub UserId);

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match app.auth() {
            Auth::Dev { user } => {
                only_loopback(&parts.headers)?;
                Ok(Self(user.clone()))
            }
        }
    }
}

/// Against DNS rebinding: a page of another site may make its own name point to 127.0.0.1, but then
/// the request names that site (SPEC.md 6, `CODEX_AUTH=dev`).
fn only_loopback(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut named = headers
        .get_all(HOST)
        .iter()
        .chain(headers.get_all(X_FORWARDED_HOST).iter());
    if headers.contains_key(HOST) && named.all(|host| host.to_str().is_ok_and(is_loopback)) {
        return Ok(());
    }
    let message =
        "Without sign-in only this machine may ask: use localhost or 127.0.0.1 in the address.";
    Err(ApiError::new(Code::HostNotAllowed, message))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// The highest version the client says it has seen: the larger of header and cookie. A cookie of
/// another user, and whatever isn't a number, is ignored.
pub(super) fn known_version(headers: &HeaderMap, user: &UserId) -> Option<Version> {
    let by_header = headers
        .get(X_CODEX_VERSION)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let by_cookie = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| {
            let (owner, version) = cookie
                .trim()
                .strip_prefix("codex_version=")?
                .split_once(':')?;
            if owner == user.as_str() {
                version.parse().ok()
            } else {
                None
            }
        });
    by_header.into_iter().chain(by_cookie).max().map(Version)
}

/// `Cache-Control: no-cache`: the answer must contain everything up to now.
pub(super) fn wants_strict(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

/// Whether the client already has what `etag` names, compared weakly (RFC 9110, 8.8.3.2).
pub(super) fn has_already(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let values = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

/// The packing the client takes: gzip unless it says nothing of it, or refuses it with `q=0`
/// (RFC 9110, 12.5.3).
pub(super) fn accepted_encoding(headers: &HeaderMap) -> Encoding {
    let mut gzip = None;
    let mut any = None;
    for value in headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
    {
        for item in value.split(',') {
            let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
            let refused = weight
                .trim()
                .strip_prefix("q=")
                .is_some_and(|q| q.trim().parse() == Ok(0.0));
            match coding.trim() {
                coding if coding.eq_ignore_ascii_case("gzip") => gzip = Some(!refused),
                "*" => any = Some(!refused),
                _ => {}
            }
        }
    }
    if gzip.or(any).unwrap_or(false) {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}
