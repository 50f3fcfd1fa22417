//! What handlers take from a request.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, COOKIE, IF_NONE_MATCH,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName};

use super::{ApiError, App, Code};
use crate::codex::{Encoding, Entry, Freshness, Version, Want};
use crate::context;
use crate::now::Now;
use crate::task::TaskRef;
use crate::user::UserId;
use crate::view::Language;

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The version of the user's data, in requests and answers.
pub(super) const X_CODEX_VERSION: HeaderName = HeaderName::from_static("x-codex-version");

/// The one place where the clocks are read, once for each request; unless whoever hands over the request
/// has said when it arrived, which no client can.
pub(super) fn moment(extensions: &Extensions) -> Now {
    let said = extensions.get().copied();
    said.unwrap_or_else(Now::read)
}

/// When the request arrived that these are parts of; outside of the layer that notes it, now.
fn arrived(parts: &Parts) -> Now {
    context::arrived().unwrap_or_else(|| moment(&parts.extensions))
}

impl<S: Sync> FromRequestParts<S> for Now {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(arrived(parts))
    }
}

/// Whose files a request is about. A handler that takes it can't be reached by anybody else.
///
/// Refuses with 401 `not_signed_in`, `token_invalid`, `token_foreign`; 403 `host_not_allowed`,
/// `cross_origin`, `login_not_allowed`, `login_reassigned`; 503 `auth_unavailable`,
/// `storage_unavailable`, `newer_format`, `owner_unreadable`.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub user: UserId,
    /// What memory had of them.
    pub known: Option<Arc<Entry>>,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let now = arrived(parts);
        let caller = app.gate().caller(app.codex(), parts, now).await;
        let caller = caller.map_err(|denial| app.denied(denial))?;
        context::note_user(&caller.user);
        Ok(caller)
    }
}

/// A task named in the path.
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

/// The path names no task that could be.
pub(super) fn bad_id() -> ApiError {
    let message =
        "A task is named by its four digits or its whole file stem, as in 0042 or 0042-Steuer.";
    ApiError::new(Code::InvalidId, message).field("id")
}

/// What a request about a user's tasks brings along.
pub(super) fn want(headers: &HeaderMap, caller: Caller, now: Now) -> Want {
    Want {
        seen: known_version(headers, &caller.user),
        user: caller.user,
        known: caller.known,
        freshness: match wants_strict(headers) {
            true => Freshness::Strict,
            false => Freshness::Bounded,
        },
        now,
    }
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
                // Some clients write a cookie's value in quotes (RFC 6265, 4.1.1).
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

/// Whether a change is to be answered only after its commit: `Prefer: wait` (RFC 7240) or `?git=wait`.
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
    let asked = query
        .unwrap_or_default()
        .split('&')
        .any(|it| it == "git=wait");
    asked || preferences.into_iter().any(|it| name(it) == "wait")
}

/// Whether a browser asks, for a person to read the answer.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/html"))
}

/// The language that a page is to be in: of German and English the one that is wished for more
/// (RFC 9110, 12.5.4), the earlier one of equals, and German when neither is.
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
