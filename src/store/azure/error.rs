//! Classifies SDK errors: some of them are regular outcomes.

use std::error::Error as _;

use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{HeaderName, Headers};
use chrono::{DateTime, Utc};

use crate::net;
use crate::store::blob_store::StoreResponse;
use crate::store::error::StoreError;

/// The meaning of an SDK error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AzureErrorKind {
    /// 304: `If-None-Match` names the current version.
    Unchanged,
    /// Precondition failed. A create of an existing blob gets 409 from Azurite and 412 from Azure; any write to the
    /// path of a folder may get either.
    Refused,
    NoBlob,
    NoContainer,
    ContainerExists,
    /// Anything else: no outcome.
    Other,
}

impl AzureErrorKind {
    pub(super) fn of(error: &Error) -> Self {
        let ErrorKind::HttpResponse {
            status, error_code, ..
        } = error.kind()
        else {
            return Self::Other;
        };
        // Without storage's own error code, a 404 may come from a proxy or a mistyped endpoint.
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
            _ => Self::Other,
        }
    }
}

/// The call in progress, for error messages.
#[derive(Clone, Copy)]
pub(super) struct CallContext<'a> {
    pub(super) operation: &'static str,
    pub(super) path: &'a str,
}

impl CallContext<'_> {
    /// A result with the response's `Date`. Fails if the response has none.
    pub(super) fn response<T>(
        self,
        value: T,
        headers: &Headers,
    ) -> Result<StoreResponse<T>, StoreError> {
        let date = headers
            .get_optional_str(&HeaderName::from_static("date"))
            .and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        match date {
            Some(date) => Ok(StoreResponse {
                value,
                date: date.with_timezone(&Utc),
            }),
            None => Err(self.unavailable(
                "the response has no Date header, so it isn't from storage".to_owned(),
            )),
        }
    }

    /// A result whose response the SDK reported as an error.
    pub(super) fn response_from_error<T>(
        self,
        value: T,
        error: &Error,
    ) -> Result<StoreResponse<T>, StoreError> {
        match error.kind() {
            ErrorKind::HttpResponse {
                raw_response: Some(response),
                ..
            } => self.response(value, response.headers()),
            _ => Err(self.store_error(error)),
        }
    }

    /// Maps an error without an outcome to [`StoreError`].
    pub(super) fn store_error(self, error: &Error) -> StoreError {
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

    /// The error for a success response without an ETag.
    pub(super) fn missing_etag(self) -> StoreError {
        self.unavailable("the response has no ETag, so it isn't from storage".to_owned())
    }

    fn unavailable(self, reason: String) -> StoreError {
        StoreError::Unavailable {
            operation: self.operation,
            key: self.path.to_owned(),
            reason,
        }
    }
}

/// Whether the blob is in the archive tier: it is listed, but unreadable until it is rehydrated.
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

/// The cause, without anything that may contain a secret: the body of an authentication error repeats the signed text,
/// and the HTTP client's messages repeat the URL including its signature.
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
    if let Some(fault) = net::certificate_error(error) {
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
