//! Error responses: the only place where an error becomes a status and a body (`src/http/README.md`, "Refusals").

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::Code;
use super::auth::{AuthError, SignInMethod, easyauth_sign_in_path};
use super::error_page;
use super::extract::{X_CODEX_VERSION, accepted_language, wants_page};
use super::response::Always;
use crate::codex::{Limited, ReadError, Refusal, TaskError, Version};
use crate::git_sync::GitSyncError;
use crate::github::GitHubError;
use crate::owners::OwnerError;
use crate::task::{EditError, GitSha};
use crate::view::Language;

/// An error response. The client sees no internal message, path or key; the cause is kept for the log.
#[derive(Debug, Clone)]
pub struct ApiError(Box<ErrorBody>);

#[derive(Debug, Clone)]
struct ErrorBody {
    code: Code,
    message: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    stems: Option<Arc<[String]>>,
    line: Option<u32>,
    count: Option<usize>,
    head: Option<GitSha>,
    retry_after: Option<Duration>,
    version: Option<Version>,
    cause: Option<Arc<str>>,
    as_page: Option<Language>,
}

/// `Retry-After` for a transient failure.
const RETRY_SOON: Duration = Duration::from_secs(2);

/// `Retry-After` for a failure that an operator has to fix first.
const RETRY_LATER: Duration = Duration::from_secs(60);

impl ApiError {
    /// An error response; `message` is one sentence that tells the client what to do.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(ErrorBody {
            code,
            message: message.into(),
            field: None,
            stems: None,
            line: None,
            count: None,
            head: None,
            retry_after: None,
            version: None,
            cause: None,
            as_page: None,
        }))
    }

    /// 500 `internal`: a bug, such as a broken invariant or a panic.
    pub(super) fn internal_error() -> Self {
        let message = "Something broke: try again, and report the requestId.";
        Self::new(Code::Internal, message)
    }

    /// Names the parameter or member at fault.
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Sets `Retry-After`, rounded up to whole seconds and at least 1.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Lists the stems that the request can use instead.
    fn stems(mut self, stems: Vec<String>) -> Self {
        self.0.stems = Some(stems.into());
        self
    }

    /// Sets `count`: how many files `mass_delete` would remove.
    fn count(mut self, count: usize) -> Self {
        self.0.count = Some(count);
        self
    }

    /// Sets `head`: the branch's commit, for `history_rewritten`.
    fn head(mut self, head: GitSha) -> Self {
        self.0.head = Some(head);
        self
    }

    /// Sets the line at fault in the task's file.
    fn line(mut self, line: Option<u32>) -> Self {
        self.0.line = line;
        self
    }

    /// Sets the version of the user's data for `x-codex-version`.
    fn version(mut self, version: Option<Version>) -> Self {
        self.0.version = version;
        self
    }

    /// Attaches the cause, for the log only.
    pub fn caused_by(mut self, cause: &impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string().into());
        self
    }

    /// Renders it as an HTML page if the request accepts HTML, in the language it prefers.
    pub(super) fn into_page_for(mut self, headers: &HeaderMap) -> Self {
        self.0.as_page = wants_page(headers).then(|| accepted_language(headers));
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The cause for the log; usually `None` for a client error.
    pub(super) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The HTTP status of its code.
    pub fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    /// The JSON body; with the request id on 5xx, where the log has the cause.
    pub(super) fn document<'a>(&'a self, request_id: &'a str) -> ErrorDocument<'a> {
        let error = &self.0;
        ErrorDocument {
            ok: Always,
            code: error.code,
            error: &error.message,
            field: error.field.as_deref(),
            stems: error.stems.as_deref(),
            line: error.line,
            count: error.count,
            head: error.head,
            request_id: self.status().is_server_error().then_some(request_id),
        }
    }

    /// The response: JSON, or a page after [`Self::into_page_for`].
    pub(super) fn respond(&self, request_id: &str) -> Response {
        let status = self.status();
        let error = &self.0;
        let (bytes, kind) = match error.as_page {
            Some(language) => {
                let name = serde_json::to_value(error.code).unwrap_or_default();
                let name = name.as_str().unwrap_or_default();
                let page = error_page::page(error.code, name, language);
                (page, "text/html; charset=utf-8")
            }
            // Only strings, numbers and a flag: serialization can't fail.
            None => (
                serde_json::to_vec(&self.document(request_id)).unwrap_or_default(),
                "application/json; charset=utf-8",
            ),
        };
        let mut response = (status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if error.as_page.is_some() {
            headers.insert(CONTENT_SECURITY_POLICY, error_page::POLICY.clone());
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(version) = error.version {
            headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
        }
        if let Some(after) = error.retry_after {
            // Rounded up, so that a client that obeys isn't too early.
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64),
            );
        }
        response
    }
}

/// The JSON body of every error response.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Refusal, examples(json!({
    "ok": false, "code": "invalid_field", "field": "kategorie",
    "error": "kategorie can't be that: kategorie must be one of arbeit, privat.",
})))]
pub(super) struct ErrorDocument<'a> {
    #[schema(inline)]
    ok: Always<false>,
    code: Code,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stems: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    head: Option<GitSha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
}

/// An empty body with the error as an extension: `render_error` writes the body in `request_id`, where the id is
/// known.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::from(refusal.error).version(refusal.version)
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Read(error) => error.into(),
            TaskError::OutcomeUnknown => Self::new(
                Code::OutcomeUnknown,
                "Whether it was written can't be known yet: repeat it soon, with the same Idempotency-Key if it had one.",
            )
            .retry_after(RETRY_SOON)
            .caused_by(&error),
            TaskError::TooMany { retry_after, of } => {
                let message = match of {
                    Limited::Rebuilds => "Too many rebuilds in a minute: read without nocache, or try again later.",
                    Limited::Writes => "Too many changes in a minute: try again later.",
                };
                Self::new(Code::TooManyRequests, message).retry_after(retry_after)
            }
            TaskError::NotFound => {
                Self::new(Code::TaskNotFound, "There is no such task: look for it in /api/tasks?status=alle.")
            }
            TaskError::Ambiguous { stems } => Self::new(
                Code::AmbiguousId,
                "Several tasks have this number: ask by one of the stems.",
            )
            .stems(stems),
            TaskError::Unreadable(problem) => {
                let why = problem.message.trim_end_matches('.');
                let message = format!("The task's file can't be read, so mend it by hand: {why}.");
                Self::new(Code::TaskUnreadable, message).line(problem.line)
            }
            TaskError::Edit(error) => error.into(),
            TaskError::PreconditionFailed => Self::new(
                Code::PreconditionFailed,
                "The task has changed: get it again, and decide anew.",
            ),
            TaskError::Conflict => Self::new(
                Code::Conflict,
                "Others kept changing the task, and nothing was written: try again.",
            ),
            TaskError::IdsExhausted => Self::new(
                Code::IdsExhausted,
                "All 10,000 task numbers are taken: remove files of tasks that are long done.",
            ),
            TaskError::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "This Idempotency-Key came with another body before: use a new key.",
            ),
        }
    }
}

impl From<GitSyncError> for ApiError {
    fn from(trouble: GitSyncError) -> Self {
        let away = "GitHub can't be reached, or grants no more requests for now: try again later.";
        match &trouble {
            GitSyncError::Off => Self::new(
                Code::GithubNotConfigured,
                "GitHub mode is off: set GITHUB_OWNER, GITHUB_REPO and credentials.",
            ),
            GitSyncError::GitHub(GitHubError::Limited { retry_after }) => {
                Self::new(Code::GithubUnavailable, away).retry_after(*retry_after)
            }
            GitSyncError::GitHub(GitHubError::Denied { .. }) => Self::new(
                Code::GithubDenied,
                "GitHub doesn't let the service at the repository: check the repository's name, the branch and the credentials.",
            )
            .retry_after(RETRY_LATER)
            .caused_by(&trouble),
            GitSyncError::GitHub(_) => Self::new(Code::GithubUnavailable, away)
                .retry_after(RETRY_SOON)
                .caused_by(&trouble),
            GitSyncError::Storage(error) => Refusal::from(error.clone()).into(),
            GitSyncError::TooMany { retry_after } => {
                let (retry_after, of) = (*retry_after, Limited::Rebuilds);
                TaskError::TooMany { retry_after, of }.into()
            }
            GitSyncError::NewerFormat => Self::new(
                Code::NewerFormat,
                "A newer version of the service wrote what Git is known to hold: use that version.",
            )
            .retry_after(RETRY_LATER),
            GitSyncError::Contended => TaskError::Conflict.into(),
            GitSyncError::MassDelete(count) => Self::new(
                Code::MassDelete,
                format!("{count} files have gone from Git, which is more than half: send clean=true&confirm={count} to remove them here."),
            )
            .count(*count),
            GitSyncError::HistoryRewritten { head, .. } => {
                Self::new(Code::HistoryRewritten, trouble.user_message()).head(*head)
            }
        }
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::BadText { field } => Self::new(
                Code::InvalidField,
                "This text holds a control character, a line break where one line is meant, or a non-character: remove it.",
            )
            .field(field),
            EditError::TooLarge => Self::new(
                Code::TaskTooLarge,
                "The task would be larger than 1 MiB, or have more tags than can be read: shorten it.",
            ),
            EditError::NotEditable { line } => Self::new(
                Code::FrontMatterNotEditable,
                "The front matter can't be changed here without touching something else: edit the file by hand.",
            )
            .line(Some(line)),
            EditError::Unreadable(problem) => TaskError::Unreadable(problem).into(),
            EditError::NotATask => TaskError::NotFound.into(),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let refusal = match error {
            ReadError::Store(_) | ReadError::TimedOut => Self::new(
                Code::StorageUnavailable,
                "The storage can't be reached: try again soon.",
            )
            .retry_after(RETRY_SOON),
            ReadError::Contended => Self::new(
                Code::Busy,
                "Tasks kept changing while they were read: try again.",
            )
            .retry_after(RETRY_SOON),
            ReadError::NewerFormat(_) => Self::new(
                Code::NewerFormat,
                "The data was written by a newer version of the service: update this one.",
            ),
            ReadError::Broken => Self::internal_error(),
        };
        refusal.caused_by(&error)
    }
}

impl ApiError {
    /// The error response for a failed authentication; the message suits the sign-in method.
    pub(super) fn denied(error: AuthError, method: SignInMethod<'_>) -> Self {
        let (code, message) = match error {
            AuthError::Owner(error) => return error.into(),
            AuthError::NotSignedIn => return Self::new(Code::NotSignedIn, not_signed_in(method)),
            AuthError::Unavailable { retry_after, cause } => {
                let message = "GitHub can't say now who you are: try again soon.";
                let refusal = Self::new(Code::AuthUnavailable, message);
                return refusal.retry_after(retry_after).caused_by(&cause);
            }
            AuthError::TokenInvalid => (
                Code::TokenInvalid,
                match method {
                    SignInMethod::BearerTokenOrOAuth => {
                        "GitHub doesn't know this token: make a new one, or sign in again."
                    }
                    _ => "GitHub doesn't know this token: make a new one.",
                },
            ),
            AuthError::TokenForeign => (
                Code::TokenForeign,
                match method {
                    SignInMethod::BearerTokenOrOAuth => {
                        "This token wasn't given to this service: use a personal access token, or sign in at /auth/github."
                    }
                    _ => "Tokens of apps aren't taken here: use a personal access token of GitHub.",
                },
            ),
            AuthError::LoginNotAllowed => (
                Code::LoginNotAllowed,
                "This login may not enter: ask the operator to name it in CODEX_ALLOWED_LOGINS.",
            ),
            AuthError::CrossOrigin => (
                Code::CrossOrigin,
                match method {
                    SignInMethod::BearerToken | SignInMethod::BearerTokenOrOAuth => {
                        "A page of another site can't change tasks: open this service's own page, or send Authorization: Bearer."
                    }
                    SignInMethod::Dev | SignInMethod::EasyAuth(_) => {
                        "A page of another site can't change tasks: open this service's own page."
                    }
                },
            ),
            AuthError::HostNotAllowed => (
                Code::HostNotAllowed,
                "Without sign-in only this machine may ask: use localhost or 127.0.0.1 in the address.",
            ),
            AuthError::OAuthNotConfigured => (
                Code::OauthNotConfigured,
                "Nobody signs in by GitHub's pages here: that takes CODEX_AUTH=github and GITHUB_OAUTH_CLIENT_ID with its secret.",
            ),
            AuthError::SignInExpired => (
                Code::SignInExpired,
                "This sign-in wasn't begun in this browser, took too long or was ended before: begin again at /auth/github.",
            ),
            AuthError::AccessDenied => (
                Code::AccessDenied,
                "The sign-in was declined at GitHub: begin again at /auth/github to allow it.",
            ),
            AuthError::SignInFailed => (
                Code::SignInFailed,
                "GitHub didn't confirm this sign-in: begin again at /auth/github.",
            ),
        };
        Self::new(code, message)
    }
}

/// The message for a request without credentials.
fn not_signed_in(method: SignInMethod<'_>) -> Cow<'static, str> {
    match method {
        SignInMethod::BearerTokenOrOAuth => "Nobody is signed in: send Authorization: Bearer with a GitHub token, or sign in at /auth/github.".into(),
        SignInMethod::Dev | SignInMethod::BearerToken => {
            "Nobody is signed in: send Authorization: Bearer with a personal access token of GitHub."
                .into()
        }
        SignInMethod::EasyAuth(provider) => {
            let page = easyauth_sign_in_path(provider);
            format!("Nobody is signed in by {provider}: sign in at {page}.").into()
        }
    }
}

impl From<OwnerError> for ApiError {
    fn from(error: OwnerError) -> Self {
        let refusal = match &error {
            OwnerError::Reassigned => {
                let message = "This login belonged to another account when its tasks were made: ask the operator whose they are.";
                return Self::new(Code::LoginReassigned, message);
            }
            OwnerError::NewerFormat => Self::new(
                Code::NewerFormat,
                "The data was written by a newer version of the service: update this one.",
            ),
            OwnerError::Unreadable => Self::new(
                Code::OwnerUnreadable,
                "Whose these tasks are can't be read: the operator must mend owner.json.",
            ),
            OwnerError::SessionEnded => {
                return Self::new(Code::NotSignedIn, "The session was ended: sign in again.");
            }
            OwnerError::Store(_) | OwnerError::Contended => Self::new(
                Code::StorageUnavailable,
                "The storage can't be reached: try again soon.",
            )
            .retry_after(RETRY_SOON),
        };
        refusal.caused_by(&error)
    }
}

/// The fallback for paths that aren't routes.
pub(super) async fn no_such_route(headers: HeaderMap) -> ApiError {
    not_found().into_page_for(&headers)
}

/// 404 `not_found`: no such route, or none for this caller.
pub(super) fn not_found() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "There is nothing at this path; the week is at /codex.",
    )
}

/// The fallback for methods that a route doesn't have; the router sets `Allow`.
pub(super) async fn no_such_method() -> ApiError {
    wrong_method()
}

/// 405 `method_not_allowed`.
pub(super) fn wrong_method() -> ApiError {
    ApiError::new(
        Code::MethodNotAllowed,
        "This path knows other methods: see the Allow header.",
    )
}

/// Replaces the empty response that [`IntoResponse`] made by the rendered error, and keeps the headers added since, but
/// for `Content-Length`.
pub(super) fn render_error(response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions().get::<ApiError>() else {
        return response;
    };
    let mut rendered = error.respond(request_id);
    let own = rendered.headers().clone();
    for (name, value) in response.headers() {
        if name != CONTENT_LENGTH && !own.contains_key(name) {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    rendered
}
