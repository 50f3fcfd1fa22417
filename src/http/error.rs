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

use super::always::Always;
use super::error_code::Code;
use super::error_page;
use super::header_names::{HTML, JSON, X_CODEX_VERSION};
use super::negotiate::{accepted_language, wants_page};
use crate::codex::{Limited, ReadError, Refusal, TaskError, Version};
use crate::git_sync::GitSyncError;
use crate::github::GitHubError;
use crate::owners::OwnerError;
use crate::task::{EditError, GitSha};
use crate::view::Language;

/// An error response. The client sees no internal message, path or key; the cause is kept for the log.
#[derive(Debug, Clone)]
pub struct ApiError(Box<ErrorDocument>);

/// A handler's response or a part of it, else the error response.
pub(super) type Answer<T = Response> = Result<T, ApiError>;

/// The JSON body of every error response.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Refusal, examples(json!({
    "ok": false, "code": "invalid_field", "field": "kategorie",
    "error": "kategorie can't be that: kategorie must be one of arbeit, privat.",
})))]
pub(super) struct ErrorDocument {
    #[schema(inline)]
    ok: Always<false>,
    code: Code,
    error: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    stems: Option<Vec<String>>,
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
    request_id: Option<String>,
    // Not of the body, but of the rest of the response and of the log.
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    version: Option<Version>,
    #[serde(skip)]
    cause: Option<Arc<str>>,
    #[serde(skip)]
    as_page: Option<Language>,
}

/// `Retry-After` for a transient failure.
const RETRY_SOON: Duration = Duration::from_secs(2);

/// `Retry-After` when GitHub can't be asked who the caller is, and names no time itself.
const RETRY_SIGN_IN: Duration = Duration::from_secs(5);

/// `Retry-After` for a failure that an operator has to fix first.
const RETRY_LATER: Duration = Duration::from_secs(60);

impl ApiError {
    /// An error response; `message` is one sentence that tells the client what to do. `From<Code>` takes the code's own.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(ErrorDocument {
            code,
            error: message.into(),
            ..ErrorDocument::default()
        }))
    }

    fn with(mut self, set: impl FnOnce(&mut ErrorDocument)) -> Self {
        set(&mut self.0);
        self
    }

    /// 503 `auth_unavailable`: GitHub can't be asked who the caller is.
    pub(super) fn auth_unavailable(error: &GitHubError) -> Self {
        let retry_after = match error {
            GitHubError::Limited { retry_after } => *retry_after,
            GitHubError::Unavailable { .. }
            | GitHubError::Denied { .. }
            | GitHubError::Unexpected { .. } => RETRY_SIGN_IN,
        };
        let refusal = Self::from(Code::AuthUnavailable).retry_after(retry_after);
        refusal.caused_by(error)
    }

    /// Names the parameter or member at fault.
    pub fn field(self, field: impl Into<Cow<'static, str>>) -> Self {
        self.with(|it| it.field = Some(field.into()))
    }

    /// Sets `Retry-After`, rounded up to whole seconds and at least 1.
    pub fn retry_after(self, after: Duration) -> Self {
        self.with(|it| it.retry_after = Some(after))
    }

    /// Attaches the cause, for the log only.
    pub fn caused_by(self, cause: &impl fmt::Display) -> Self {
        self.with(|it| it.cause = Some(cause.to_string().into()))
    }

    /// Renders it as an HTML page if the request accepts HTML, in the language it prefers.
    pub(super) fn into_page_for(self, headers: &HeaderMap) -> Self {
        self.with(|it| it.as_page = wants_page(headers).then(|| accepted_language(headers)))
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
    pub(super) fn into_document(self, request_id: &str) -> ErrorDocument {
        let id = self.status().is_server_error();
        let id = id.then(|| request_id.to_owned());
        *self.with(|it| it.request_id = id).0
    }

    /// The response: JSON, or a page after [`Self::into_page_for`].
    pub(super) fn respond(self, request_id: &str) -> Response {
        let status = self.status();
        let document = self.into_document(request_id);
        let (bytes, kind) = match document.as_page {
            Some(language) => (error_page::page(document.code, language), HTML),
            // Only strings, numbers and a flag: serialization can't fail.
            None => (serde_json::to_vec(&document).unwrap_or_default(), JSON),
        };
        let mut response = (status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, kind);
        if document.as_page.is_some() {
            headers.insert(CONTENT_SECURITY_POLICY, error_page::POLICY.clone());
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(version) = document.version {
            headers.insert(X_CODEX_VERSION, HeaderValue::from(version.0));
        }
        if let Some(after) = document.retry_after {
            // Rounded up, so that a client that obeys isn't too early.
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64),
            );
        }
        response
    }
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

/// The error with the code's own sentence.
impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self::new(code, code.sentence())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::from(refusal.error).with(|it| it.version = refusal.version)
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Read(error) => error.into(),
            TaskError::OutcomeUnknown => Self::from(Code::OutcomeUnknown)
                .retry_after(RETRY_SOON)
                .caused_by(&error),
            TaskError::TooMany { retry_after, of } => match of {
                Limited::Rebuilds => Self::from(Code::TooManyRequests),
                Limited::Writes => Self::new(
                    Code::TooManyRequests,
                    "Too many changes in a minute: try again later.",
                ),
                Limited::Addresses => Self::new(
                    Code::TooManyRequests,
                    "Too many wrong addresses of calendars came within a minute: try again later.",
                ),
            }
            .retry_after(retry_after),
            TaskError::NotFound => Code::TaskNotFound.into(),
            TaskError::Ambiguous { stems } => {
                Self::from(Code::AmbiguousId).with(|it| it.stems = Some(stems))
            }
            TaskError::Unreadable(problem) => {
                let why = problem.message.trim_end_matches('.');
                let message = format!("The task's file can't be read, so mend it by hand: {why}.");
                Self::new(Code::TaskUnreadable, message).with(|it| it.line = problem.line)
            }
            TaskError::Edit(error) => error.into(),
            TaskError::PreconditionFailed => Code::PreconditionFailed.into(),
            TaskError::Conflict => Code::Conflict.into(),
            TaskError::IdsExhausted => Code::IdsExhausted.into(),
            TaskError::KeyReused => Code::IdempotencyKeyReused.into(),
        }
    }
}

impl From<GitSyncError> for ApiError {
    fn from(trouble: GitSyncError) -> Self {
        match &trouble {
            GitSyncError::Off => Code::GithubNotConfigured.into(),
            GitSyncError::GitHub(GitHubError::Limited { retry_after }) => {
                Self::from(Code::GithubUnavailable).retry_after(*retry_after)
            }
            GitSyncError::GitHub(GitHubError::Denied { .. }) => Self::from(Code::GithubDenied)
                .retry_after(RETRY_LATER)
                .caused_by(&trouble),
            GitSyncError::GitHub(_) => Self::from(Code::GithubUnavailable)
                .retry_after(RETRY_SOON)
                .caused_by(&trouble),
            GitSyncError::Storage(error) => Refusal::from(error.clone()).into(),
            GitSyncError::TooMany { retry_after } => {
                Self::from(Code::TooManyRequests).retry_after(*retry_after)
            }
            GitSyncError::NewerFormat => Self::new(
                Code::NewerFormat,
                "A newer version of the service wrote what Git is known to hold: use that version.",
            )
            .retry_after(RETRY_LATER),
            GitSyncError::Contended => Code::Conflict.into(),
            GitSyncError::MassDelete(count) => Self::new(
                Code::MassDelete,
                format!("{count} files have gone from Git, which is more than half: send clean=true&confirm={count} to remove them here."),
            )
            .with(|it| it.count = Some(*count)),
            GitSyncError::HistoryRewritten { head, .. } => {
                Self::new(Code::HistoryRewritten, trouble.shown().1)
                    .with(|it| it.head = Some(*head))
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
            EditError::TooLarge => Code::TaskTooLarge.into(),
            EditError::NotEditable { line } => {
                Self::from(Code::FrontMatterNotEditable).with(|it| it.line = Some(line))
            }
            EditError::Unreadable(_) | EditError::NotATask => TaskError::from(error).into(),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let refusal = match error {
            ReadError::Store(_) | ReadError::TimedOut => {
                Self::from(Code::StorageUnavailable).retry_after(RETRY_SOON)
            }
            ReadError::Contended => Self::from(Code::Busy).retry_after(RETRY_SOON),
            ReadError::NewerFormat(_) => Code::NewerFormat.into(),
            ReadError::Broken => Code::Internal.into(),
        };
        refusal.caused_by(&error)
    }
}

impl From<OwnerError> for ApiError {
    fn from(error: OwnerError) -> Self {
        let refusal = match &error {
            OwnerError::Reassigned => return Code::LoginReassigned.into(),
            OwnerError::SessionEnded => return Code::NotSignedIn.into(),
            OwnerError::NewerFormat => Code::NewerFormat.into(),
            OwnerError::Unreadable => Code::OwnerUnreadable.into(),
            OwnerError::Store(_) | OwnerError::Contended => {
                Self::from(Code::StorageUnavailable).retry_after(RETRY_SOON)
            }
        };
        refusal.caused_by(&error)
    }
}

/// The fallback for paths that aren't routes.
pub(super) async fn no_such_route(headers: HeaderMap) -> ApiError {
    ApiError::from(Code::NotFound).into_page_for(&headers)
}

/// The fallback for methods that a route doesn't have; the router sets `Allow`.
pub(super) async fn no_such_method(headers: HeaderMap) -> ApiError {
    ApiError::from(Code::MethodNotAllowed).into_page_for(&headers)
}

/// Replaces the empty response that [`IntoResponse`] made by the rendered error, and keeps the headers added since, but
/// for `Content-Length`.
pub(super) fn render_error(mut response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else {
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
