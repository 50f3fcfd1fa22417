//! What handlers extract from a request.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, COOKIE, IF_NONE_MATCH,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName};

use super::{ApiError, App, Code};
use crate::codex::{Consistency, Encoding, ReadRequest, Version};
use crate::context;
use crate::now::Now;
use crate::task::TaskRef;
use crate::user::UserId;
use crate::view::Language;

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The version of the user's data, in requests and responses.
pub(super) const X_CODEX_VERSION: HeaderName = HeaderName::from_static("x-codex-version");

/// When the request arrived: as set in its extensions by the caller of the service (tests; no client can), else now.
/// The only place where a request's time is read, once per request.
pub(super) fn arrival_or_now(extensions: &Extensions) -> Now {
    let arrival = extensions.get().copied();
    arrival.unwrap_or_else(Now::read)
}

/// When the request arrived, as the request-id layer recorded it; outside of that layer [`arrival_or_now`].
fn arrival(parts: &Parts) -> Now {
    context::arrived().unwrap_or_else(|| arrival_or_now(&parts.extensions))
}

impl<S: Sync> FromRequestParts<S> for Now {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(arrival(parts))
    }
}

/// The authenticated user. A handler that extracts it can't be reached without authentication.
///
/// Errors: 401 `not_signed_in`, `token_invalid`, `token_foreign`; 403 `host_not_allowed`,
/// `cross_origin`, `login_not_allowed`, `login_reassigned`; 503 `auth_unavailable`,
/// `storage_unavailable`, `newer_format`, `owner_unreadable`.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub user: UserId,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let now = arrival(parts);
        let caller = app.authenticator().caller(app.codex(), parts, now).await;
        let caller = caller.map_err(|error| app.denied(error))?;
        context::set_user(&caller.user);
        Ok(caller)
    }
}

/// The task that the path names, else 400 `invalid_id`.
#[derive(Debug, Clone)]
pub(super) struct TaskPath(pub TaskRef);

impl FromRequestParts<App> for TaskPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let id = path.ok().and_then(|Path(id)| id.parse().ok());
        id.map(Self).ok_or_else(bad_id)
    }
}

/// 400 `invalid_id`: the path segment is no possible task id or stem.
pub(super) fn bad_id() -> ApiError {
    let message =
        "A task is named by its four digits or its whole file stem, as in 0042 or 0042-Steuer.";
    ApiError::new(Code::InvalidId, message).field("id")
}

/// The read request of a caller: the lower bound of the version and the consistency that the headers ask for.
pub(super) fn read_request(headers: &HeaderMap, caller: Caller, now: Now) -> ReadRequest {
    ReadRequest {
        seen: client_version(headers, &caller.user),
        user: caller.user,
        consistency: match requires_strong(headers) {
            true => Consistency::Strict,
            false => Consistency::Bounded,
        },
        now,
    }
}

/// The highest version that the client has seen: the maximum of header and cookie. Another user's cookie and values
/// that aren't numbers are ignored.
pub(super) fn client_version(headers: &HeaderMap, user: &UserId) -> Option<Version> {
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
                // Some clients quote a cookie's value (RFC 6265, 4.1.1).
                .trim_matches('"')
                .split_once(':')?;
            if owner == user.as_str() {
                version.parse().ok()
            } else {
                None
            }
        });
    by_header.into_iter().chain(by_cookie).max().map(Version)
}

/// Whether the response to a write waits for its commit: `Prefer: wait` (RFC 7240) or `?git=wait`.
pub(super) fn waits_for_git(headers: &HeaderMap, query: Option<&str>) -> bool {
    let values = headers.get_all(PREFER).iter();
    let preferences = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let name = |it: &str| {
        it.split([';', '='])
            .next()
            .unwrap_or("")
            .trim()
            .to_ascii_lowercase()
    };
    let by_query = query
        .unwrap_or_default()
        .split('&')
        .any(|it| it == "git=wait");
    by_query || preferences.into_iter().any(|it| name(it) == "wait")
}

/// Whether the client accepts `text/html`, as a browser's navigation does.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/html"))
}

/// The language of a page: German or English, by the higher weight in `Accept-Language` (RFC 9110, 12.5.4). The first
/// of equal weights; German when it has neither.
pub(super) fn accepted_language(headers: &HeaderMap) -> Language {
    let mut best = (0.0, Language::German);
    let values = headers.get_all(ACCEPT_LANGUAGE).iter();
    let ranges = values.filter_map(|value| value.to_str().ok());
    for range in ranges.flat_map(|value| value.split(',')) {
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

/// Whether the request asks for strong consistency: `Cache-Control: no-cache`.
pub(super) fn requires_strong(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

/// Whether `If-None-Match` matches `etag` or is `*`, by weak comparison (RFC 9110, 8.8.3.2).
pub(super) fn is_not_modified(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let values = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

/// The content coding by `Accept-Encoding` (RFC 9110, 12.5.3): gzip where `gzip`, else `*`, is listed without `q=0`.
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
