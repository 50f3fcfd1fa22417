//! Classifies SDK errors: some of them are regular outcomes.

use std::error::Error as _;

use azure_core::error::{Error, ErrorKind};
use azure_core::http::Etag;
use azure_core::http::headers::{HeaderName, Headers};
use chrono::{DateTime, Utc};

use crate::net;
use crate::store::blob_store::{StoreAnswer, StoreResponse};
use crate::store::error::StoreError;
use crate::store::ids::ETag;

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
    /// The blob is in the archive tier: it is listed, but unreadable until it is rehydrated.
    Archived,
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
            (_, "BlobArchived" | "BlobBeingRehydrated") => Self::Archived,
            _ => Self::Other,
        }
    }
}

/// The call in progress, for error messages.
#[derive(Clone, Copy)]
pub(super) struct CallContext<'a> {
    operation: &'static str,
    path: &'a str,
}

impl<'a> CallContext<'a> {
    pub(super) fn new(operation: &'static str, path: &'a str) -> Self {
        Self { operation, path }
    }

    /// A result with the response's `Date`. Fails if the response has none.
    pub(super) fn response<T>(self, value: T, headers: &Headers) -> StoreAnswer<T> {
        let date = headers
            .get_optional_str(&HeaderName::from_static("date"))
            .and_then(|text| DateTime::parse_from_rfc2822(text).ok())
            .ok_or_else(|| self.without("Date header"))?
            .with_timezone(&Utc);
        Ok(StoreResponse { value, date })
    }

    /// The ETag of a success response.
    pub(super) fn etag(self, etag: Option<&Etag>) -> Result<ETag, StoreError> {
        let etag = etag.ok_or_else(|| self.without("ETag"))?;
        Ok(ETag::new(etag.as_ref()))
    }

    fn without(self, part: &str) -> StoreError {
        let reason = format!("the response has no {part}, so it isn't from storage");
        StoreError::unavailable(self.operation, self.path, reason)
    }

    /// What `outcome` makes of a response that the SDK reported as an error.
    pub(super) fn outcome<T>(
        self,
        error: &Error,
        outcome: impl FnOnce(AzureErrorKind) -> Option<T>,
    ) -> StoreAnswer<T> {
        match (outcome(AzureErrorKind::of(error)), error.kind()) {
            (
                Some(value),
                ErrorKind::HttpResponse {
                    raw_response: Some(response),
                    ..
                },
            ) => self.response(value, response.headers()),
            _ => Err(self.store_error(error)),
        }
    }

    /// Maps an error without an outcome to [`StoreError`].
    pub(super) fn store_error(self, error: &Error) -> StoreError {
        let (operation, key, reason) = (self.operation, self.path.to_owned(), reason(error));
        match error.http_status().map(u16::from) {
            _ if AzureErrorKind::of(error) == AzureErrorKind::Archived => {
                StoreError::Unreadable { key, reason }
            }
            Some(401 | 403) => StoreError::Denied {
                operation,
                key,
                reason,
            },
            _ => StoreError::unavailable(operation, self.path, reason),
        }
    }

    /// The entry isn't a file, but a folder of a hierarchical namespace.
    pub(super) fn not_a_file(self) -> StoreError {
        let key = self.path.to_owned();
        StoreError::NotAFile { key }
    }
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
