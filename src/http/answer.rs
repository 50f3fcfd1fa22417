//! How answers look.

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
use crate::codex::{GitState, Read, Requests, TaskChanged, Version};
use crate::task::GitSha;
use crate::user::UserId;

/// Which layer answered.
pub(super) const X_CODEX_CACHE: HeaderName = HeaderName::from_static("x-codex-cache");
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A cache may keep the answer, and asks each time whether it is still so.
const ASKED_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");

/// A flag that is the same in every answer of its kind, by which clients tell the kinds apart.
pub(super) struct Always<const IS: bool>;

impl<const IS: bool> Serialize for Always<IS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(IS)
    }
}

impl<const IS: bool> PartialSchema for Always<IS> {
    fn schema() -> RefOr<Schema> {
        // utoipa's schemas have no `const`; what it calls extensions stands beside their other members. Without a
        // type, which says no more, and with which the Python generator looks no further.
        let constant = Extensions::from_iter([("const", IS)]);
        let flag = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        flag.extensions(Some(constant)).into()
    }
}

impl<const IS: bool> ToSchema for Always<IS> {}

/// A JSON answer that no cache may keep without asking.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    // Documents are strings, numbers and lists of them: nothing in them can fail to serialise.
    let bytes = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, ASKED_AGAIN);
    response
}

/// The client has the content already that its `If-None-Match` names.
pub(super) fn unchanged() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(CACHE_CONTROL, ASKED_AGAIN);
    response
}

/// Sends a browser on. Where it comes from stays untold: the address may hold a sign-in's code.
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

/// What a page may do that is this style sheet and nothing else.
pub(super) fn page_policy(stylesheet: &str) -> HeaderValue {
    let hash = STANDARD.encode(Sha256::digest(stylesheet));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// Names what a read showed, and what it took.
pub(super) fn describe_read(headers: &mut HeaderMap, read: &Read, requests: Requests) {
    let version = read.entry.knowledge.hi;
    headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
    headers.insert(X_CODEX_CACHE, HeaderValue::from_static(read.layer.as_str()));
    headers.insert(SERVER_TIMING, server_timing(requests));
}

/// Names the version that contains what was written, in a header and, for browsers that go on to other
/// pages, in a cookie; and what it took.
pub(super) fn describe_write(
    headers: &mut HeaderMap,
    app: &App,
    user: &UserId,
    version: Version,
    requests: Requests,
) {
    name_version(headers, app, user, version);
    headers.insert(SERVER_TIMING, server_timing(requests));
}

/// Names the version that contains what was done.
pub(super) fn name_version(headers: &mut HeaderMap, app: &App, user: &UserId, version: Version) {
    headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
    let secure = app.gate().cookies().secure();
    let cookie = format!("codex_version={user}:{version}; Path=/; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.insert(SET_COOKIE, cookie);
    }
}

/// What an answer says of Git.
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

impl From<GitState> for GitFields {
    fn from(state: GitState) -> Self {
        let (commit, pull) = match state.made {
            Some(made) => (Some((made.commit, made.html_url)), made.pull),
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

/// The answer to a change of a task.
pub(super) fn changed(
    app: &App,
    user: &UserId,
    task: &TaskChanged,
    document: &impl Serialize,
) -> Response {
    let mut response = json(StatusCode::OK, document);
    let headers = response.headers_mut();
    describe_write(headers, app, user, task.version, task.requests);
    insert_etag(headers, task.etag);
    response
}

/// Names a task's content.
pub(super) fn insert_etag(headers: &mut HeaderMap, etag: GitSha) {
    if let Ok(etag) = HeaderValue::try_from(format!("\"{etag}\"")) {
        headers.insert(ETAG, etag);
    }
}

/// The storage requests this answer needed.
pub(super) fn server_timing(requests: Requests) -> HeaderValue {
    let Requests { reads, writes } = requests;
    if reads == 0 && writes == 0 {
        return HeaderValue::from_static(r#"reads;desc="0", writes;desc="0""#);
    }
    let text = format!(r#"reads;desc="{reads}", writes;desc="{writes}""#);
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
