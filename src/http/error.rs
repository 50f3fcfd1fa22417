//! The only place where an error becomes a status and a body (SPEC.md 1 and 8).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::codex::{ReadError, WeekError};

/// A refusal, as the client is told: no internal message, path or key. What led to it is kept for the
/// log.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: Code,
    message: &'static str,
    field: Option<&'static str>,
    retry_after: Option<Duration>,
    cause: Option<Arc<str>>,
}

/// The stable code of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A query parameter holds something it can't.
    InvalidQuery,
    /// The request names a host that isn't this machine.
    HostNotAllowed,
    /// No such route.
    NotFound,
    /// The route knows other methods.
    MethodNotAllowed,
    /// More than this instance grants one user.
    TooManyRequests,
    /// The store can't be reached.
    StorageUnavailable,
    /// Tasks kept changing while their bodies were read.
    Busy,
    /// A newer version of the service wrote the user's state.
    NewerFormat,
    /// A defect.
    Internal,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidQuery => StatusCode::BAD_REQUEST,
            Self::HostNotAllowed => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::StorageUnavailable | Self::Busy | Self::NewerFormat => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// When a client may try again what failed for a reason that passes.
const SOON: Duration = Duration::from_secs(2);

impl ApiError {
    /// A refusal; `message` is one sentence that says what to do.
    pub fn new(code: Code, message: &'static str) -> Self {
        Self {
            code,
            message,
            field: None,
            retry_after: None,
            cause: None,
        }
    }

    /// Names the parameter or member at fault.
    pub fn field(self, field: &'static str) -> Self {
        Self {
            field: Some(field),
            ..self
        }
    }

    /// Says when to come back.
    pub fn retry_after(self, after: Duration) -> Self {
        Self {
            retry_after: Some(after),
            ..self
        }
    }

    /// Keeps for the log what led to it.
    pub fn caused_by(self, cause: &impl fmt::Display) -> Self {
        Self {
            cause: Some(cause.to_string().into()),
            ..self
        }
    }

    /// What led to it; nothing for what the client did wrong.
    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// The response, with the request's id where it helps the operator to find the reason.
    pub(super) fn respond(&self, request_id: &str) -> Response {
        let status = self.status();
        let document = ErrorDocument {
            ok: false,
            code: self.code,
            error: self.message,
            field: self.field,
            request_id: status.is_server_error().then_some(request_id),
        };
        // Strings and a flag: nothing in it can fail to serialise.
        let bytes = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            // Rounded up: who obeys must not come too early.
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64),
            );
        }
        response
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorDocument<'a> {
    ok: bool,
    code: Code,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// The body is written where the request's id is known: in `request_id`.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<WeekError> for ApiError {
    fn from(error: WeekError) -> Self {
        match error {
            WeekError::TooMany { retry_after } => {
                let message =
                    "Too many rebuilds in a minute: read without nocache, or try again later.";
                Self::new(Code::TooManyRequests, message).retry_after(retry_after)
            }
            WeekError::Read(error) => error.into(),
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
            .retry_after(SOON),
            ReadError::Contended => Self::new(
                Code::Busy,
                "Tasks kept changing while they were read: try again.",
            )
            .retry_after(SOON),
            ReadError::NewerFormat(_) => Self::new(
                Code::NewerFormat,
                "The data was written by a newer version of the service: update this one.",
            ),
            ReadError::Broken => Self::new(
                Code::Internal,
                "Something broke: try again, and report the requestId.",
            ),
        };
        refusal.caused_by(&error)
    }
}

/// Any path that isn't a route.
pub(super) async fn no_such_route() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "There is nothing at this path; the week is at /codex.",
    )
}

/// A route asked with a method it doesn't know; `Allow` names those it does.
pub(super) async fn no_such_method() -> ApiError {
    ApiError::new(
        Code::MethodNotAllowed,
        "This path knows other methods: see the Allow header.",
    )
}

/// The empty body that [`IntoResponse`] left has a length of its own.
pub(super) fn replace_error(response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions().get::<ApiError>() else {
        return response;
    };
    let mut told = error.respond(request_id);
    for (name, value) in response.headers() {
        if name != CONTENT_LENGTH && !told.headers().contains_key(name) {
            told.headers_mut().insert(name, value.clone());
        }
    }
    told
}
