//! Building blocks of responses: JSON, redirects and their headers.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Asked;
use super::header_names::{JSON, SERVER_TIMING, X_CODEX_CACHE, X_CODEX_VERSION};
use super::negotiate::waits_for_git;
use crate::codex::{ChangeOutcome, Read, Requests, Version};
use crate::git_sync::PushState;
use crate::task::{FileName, GitSha};

/// A client may store the response, and must revalidate it before each use (RFC 9111, 5.2.2.4).
pub(super) const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// A JSON response that a cache must revalidate before each use.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    // Only strings, numbers and lists of them: serialization can't fail.
    let bytes = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, REVALIDATE);
    response
}

/// The response, which nothing may store.
pub(super) fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 304, for a request whose `If-None-Match` matches.
pub(super) fn not_modified() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(CACHE_CONTROL, REVALIDATE);
    response
}

/// 302 to `location`, without a `Referer` to it: the current address may hold an authorization code.
pub(super) fn redirect(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(LOCATION, location);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Inserts the headers of a read: version, cache layer and the storage requests it needed.
pub(super) fn insert_read_headers(headers: &mut HeaderMap, read: &Read, requests: Requests) {
    let version = read.entry.bounds.hi;
    headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
    headers.insert(X_CODEX_CACHE, HeaderValue::from_static(read.layer.as_str()));
    headers.insert(SERVER_TIMING, server_timing(requests));
}

/// Inserts the headers of a write: the version that contains it, and the storage requests it needed.
pub(super) fn insert_write_headers(
    headers: &mut HeaderMap,
    asked: &Asked,
    version: Version,
    requests: Requests,
) {
    insert_version(headers, asked, version);
    headers.insert(SERVER_TIMING, server_timing(requests));
}

/// Inserts the version that contains a write: as a header, and as a cookie for browsers that navigate to other pages.
pub(super) fn insert_version(headers: &mut HeaderMap, asked: &Asked, version: Version) {
    headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
    let cookies = &asked.app.authenticator.cookies;
    if let Some(cookie) = cookies.version(&asked.reader.user, version) {
        headers.insert(SET_COOKIE, cookie);
    }
}

/// The members of a write's response about its commit.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GitFields {
    git_pushed: bool,
    git_pending: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = GitSha, required = false)]
    commit_sha: Option<GitSha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    html_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pr_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pr_number: Option<u64>,
}

impl GitFields {
    /// After a request that has `written` this file, or found it to be there already; after the commit, if the client
    /// waits for it. The future doesn't hold `asked`, whose body isn't `Sync`.
    pub(super) fn after<'a>(
        asked: &'a Asked,
        name: &'a FileName,
        sha: GitSha,
        written: bool,
    ) -> impl Future<Output = Self> + 'a {
        Self::of(asked, name, Some(sha), written)
    }

    /// The same after a request that has removed this file.
    pub(super) fn after_deletion<'a>(
        asked: &'a Asked,
        name: &'a FileName,
    ) -> impl Future<Output = Self> + 'a {
        Self::of(asked, name, None, true)
    }

    fn of<'a>(
        asked: &'a Asked,
        name: &'a FileName,
        sha: Option<GitSha>,
        written: bool,
    ) -> impl Future<Output = Self> + 'a {
        let (git, request) = (asked.app.codex.git(), &asked.reader);
        let wait = waits_for_git(asked.headers(), asked.query());
        async move {
            let Ok(git) = git else {
                return Self::default();
            };
            let state = PushState::after(git, request, name, sha, written, wait).await;
            let (commit, pull) = state.published.unzip();
            let (commit_sha, html_url) = commit.map(|it| (it.sha, it.html_url)).unzip();
            let pull = pull.flatten();
            Self {
                git_pushed: state.pushed,
                git_pending: state.pending,
                commit_sha,
                html_url,
                pr_number: pull.as_ref().map(|it| it.number),
                pr_url: pull.map(|it| it.html_url),
            }
        }
    }
}

/// 200 for a change of a task, with the headers of a write and the new `ETag`.
pub(super) fn write_response<T>(
    asked: &Asked,
    done: &ChangeOutcome<T>,
    etag: GitSha,
    document: &impl Serialize,
) -> Response {
    let mut response = json(StatusCode::OK, document);
    let headers = response.headers_mut();
    insert_write_headers(headers, asked, done.version, done.requests);
    insert_etag(headers, etag);
    response
}

/// Inserts the strong `ETag` of a task's file.
pub(super) fn insert_etag(headers: &mut HeaderMap, etag: GitSha) {
    if let Ok(etag) = HeaderValue::try_from(format!("\"{etag}\"")) {
        headers.insert(ETAG, etag);
    }
}

/// `Server-Timing`: the storage requests that the response needed.
pub(super) fn server_timing(requests: Requests) -> HeaderValue {
    let Requests { reads, writes } = requests;
    if reads == 0 && writes == 0 {
        return HeaderValue::from_static(r#"reads;desc="0", writes;desc="0""#);
    }
    let text = format!(r#"reads;desc="{reads}", writes;desc="{writes}""#);
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
