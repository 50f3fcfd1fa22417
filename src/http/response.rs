//! Building blocks of responses: JSON, redirects and their headers.

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::App;
use super::extract::X_CODEX_VERSION;
use crate::codex::{Read, ReadRequest, Requests, TaskChanged, Version};
use crate::git_sync::PushState;
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// The cache layer that served a read.
pub(super) const X_CODEX_CACHE: HeaderName = HeaderName::from_static("x-codex-cache");
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A client may store the response, and must revalidate it before each use (RFC 9111, 5.2.2.4).
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// A JSON boolean that is constant for a response type, so that clients can discriminate a union by it.
pub(super) struct Always<const IS: bool>;

impl<const IS: bool> Serialize for Always<IS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(IS)
    }
}

impl<const IS: bool> PartialSchema for Always<IS> {
    fn schema() -> RefOr<Schema> {
        // utoipa's schemas have no `const`, but its extensions are serialized beside their other members. No `type`: it
        // is redundant, and with one the Python generator ignores `const`.
        let constant = Extensions::from_iter([("const", IS)]);
        let flag = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        flag.extensions(Some(constant)).into()
    }
}

impl<const IS: bool> ToSchema for Always<IS> {}

/// A JSON response that a cache must revalidate before each use.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    // Only strings, numbers and lists of them: serialization can't fail.
    let bytes = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, REVALIDATE);
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

/// The `Content-Security-Policy` of a page that has this inline style sheet and loads nothing.
pub(super) fn page_policy(stylesheet: &str) -> HeaderValue {
    let hash = STANDARD.encode(Sha256::digest(stylesheet));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
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
    app: &App,
    user: &UserId,
    version: Version,
    requests: Requests,
) {
    insert_version(headers, app, user, version);
    headers.insert(SERVER_TIMING, server_timing(requests));
}

/// Inserts the version that contains a write: as a header, and as a cookie for browsers that navigate to other pages.
pub(super) fn insert_version(headers: &mut HeaderMap, app: &App, user: &UserId, version: Version) {
    headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
    let secure = app.authenticator().cookies().secure();
    let cookie = format!("codex_version={user}:{version}; Path=/; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.insert(SET_COOKIE, cookie);
    }
}

/// The members of a write's response about its commit.
#[derive(Serialize, ToSchema)]
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
    /// After a request that has `written` this file, or found it to be there already; with `wait`, after the commit.
    pub(super) async fn after(
        app: &App,
        request: &ReadRequest,
        file: (&FileName, GitSha),
        written: bool,
        wait: bool,
    ) -> Self {
        let state = match app.codex().git() {
            Ok(git) => git.push_state_after(request, file, written, wait).await,
            Err(_) => PushState::default(),
        };
        let (commit, pull) = match state.published {
            Some(published) => (Some((published.commit, published.html_url)), published.pull),
            None => (None, None),
        };
        let (commit_sha, html_url) = commit.unzip();
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

/// 200 for a change of a task, with the headers of a write and the new `ETag`.
pub(super) fn write_response(
    app: &App,
    user: &UserId,
    task: &TaskChanged,
    document: &impl Serialize,
) -> Response {
    let mut response = json(StatusCode::OK, document);
    let headers = response.headers_mut();
    insert_write_headers(headers, app, user, task.version, task.requests);
    insert_etag(headers, task.etag);
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
