//! What the SDK's errors mean: some are answers.

use std::error::Error as _;

use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{HeaderName, Headers};
use chrono::{DateTime, Utc};

use crate::net;
use crate::store::{Answer, StoreError};

/// An error that is an answer of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 304: `If-None-Match` names the current version.
    Unchanged,
    /// The condition doesn't hold. A create on an existing blob gets 409 from Azurite and 412 from
    /// Azure, and so may any write where a folder is.
    Refused,
    NoBlob,
    NoContainer,
    ContainerExists,
    /// None of these: no answer.
    Failure,
}

impl Verdict {
    pub(super) fn of(error: &Error) -> Self {
        let ErrorKind::HttpResponse {
            status, error_code, ..
        } = error.kind()
        else {
            return Self::Failure;
        };
        // Without storage's own code a 404 may be anybody's, a proxy's or a mistyped endpoint's.
        match (
            u16::from(*status),
            error_code.as_deref().unwrap_or_default(),
        ) {
            (304, _) => Self::Unchanged,
            (412, code) if !code.starts_with("Lease") => Self::Refused,
            (409, "BlobAlreadyExists" | "ResourceTypeMismatch" | "PathAlreadyExists") => {
                Self::Refused
            }
            (409, "ContainerAlreadyExists") => Self::ContainerExists,
            (404, "BlobNotFound") => Self::NoBlob,
            (404, "ContainerNotFound") => Self::NoContainer,
            _ => Self::Failure,
        }
    }
}

/// Which call is being answered, for errors.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) path: &'a str,
}

impl Call<'_> {
    /// An answer with the store's time.
    pub(super) fn answer<T>(self, value: T, headers: &Headers) -> Result<Answer<T>, StoreError> {
        let date = headers
            .get_optional_str(&HeaderName::from_static("date"))
            .and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        match date {
            Some(date) => Ok(Answer {
                value,
                date: date.with_timezone(&Utc),
            }),
            None => Err(self.unavailable("an answer without a date isn't storage's".to_owned())),
        }
    }

    /// An answer that came as an error.
    pub(super) fn answer_in<T>(self, value: T, error: &Error) -> Result<Answer<T>, StoreError> {
        match error.kind() {
            ErrorKind::HttpResponse {
                raw_response: Some(response),
                ..
            } => self.answer(value, response.headers()),
            _ => Err(self.failed(error)),
        }
    }

    /// No answer.
    pub(super) fn failed(self, error: &Error) -> StoreError {
        let (operation, key) = (self.operation, self.path.to_owned());
        if is_archived(error) {
            return StoreError::Unreadable {
                key,
                reason: reason(error),
            };
        }
        match error.http_status().map(u16::from) {
            Some(401 | 403) => StoreError::Denied {
                operation,
                key,
                reason: reason(error),
            },
            _ => self.unavailable(reason(error)),
        }
    }

    /// A success that doesn't say what a success says.
    pub(super) fn unanswered(self) -> StoreError {
        self.unavailable("an answer without an ETag isn't storage's".to_owned())
    }

    fn unavailable(self, reason: String) -> StoreError {
        StoreError::Unavailable {
            operation: self.operation,
            key: self.path.to_owned(),
            reason,
        }
    }
}

/// In the archive tier a blob is listed but can't be read, until somebody brings it back.
fn is_archived(error: &Error) -> bool {
    let ErrorKind::HttpResponse {
        error_code: Some(code),
        ..
    } = error.kind()
    else {
        return false;
    };
    code == "BlobArchived" || code == "BlobBeingRehydrated"
}

/// What went wrong, without what may hold a secret: the body of a refused request repeats the text
/// that was signed, and the HTTP client's messages repeat the URL, signature included.
pub(super) fn reason(error: &Error) -> String {
    if let ErrorKind::HttpResponse {
        status, error_code, ..
    } = error.kind()
    {
        let code = error_code.as_deref().unwrap_or_default();
        return format!("{} {code}", u16::from(*status))
            .trim_end()
            .to_owned();
    }
    if let Some(fault) = net::certificate_fault(error) {
        return fault;
    }
    let mut source = error.source();
    while let Some(inner) = source {
        match (inner.downcast_ref::<reqwest::Error>(), inner.source()) {
            (Some(http), _) if http.is_timeout() => return "timed out".to_owned(),
            (_, Some(deeper)) => source = Some(deeper),
            (None, None) => return inner.to_string(),
            (Some(_), None) => break,
        }
    }
    error.kind().to_string()
}
