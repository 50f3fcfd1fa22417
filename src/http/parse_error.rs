//! Responses to requests that hyper can't parse. Such a request reaches no route, and hyper answers with a bare status;
//! here that becomes an error response like every other.

use axum::body::to_bytes;
use futures::FutureExt;
use http::header::CONTENT_LENGTH;

use super::error::ApiError;
use super::error_code::Code;
use super::header_names::{NOSNIFF, X_CONTENT_TYPE_OPTIONS, X_REQUEST_ID};
use crate::context::RequestId;

/// The errors that hyper answers itself, by the status as it follows the HTTP version.
const PARSE_ERRORS: [(&[u8], Code); 3] = [
    (b" 431 ", Code::HeadersTooLarge),
    (b" 414 ", Code::UriTooLong),
    (b" 400 ", Code::InvalidRequest),
];

const END: &[u8] = b"\r\n\r\n";

/// A response that replaces hyper's own.
pub struct ParseErrorResponse {
    /// The stable code.
    pub code: Code,
    /// The id in its `x-request-id`.
    pub request_id: RequestId,
    /// The whole response: status line, headers and body.
    pub bytes: Vec<u8>,
}

/// The replacement for `response`, if that is hyper's own: a 400, 414 or 431 with only the headers hyper sets. A
/// route's response has others. A response that isn't an error costs one comparison.
pub fn parse_error_response(response: &[u8]) -> Option<ParseErrorResponse> {
    let after_version = response.strip_prefix(b"HTTP/1.")?.get(1..)?;
    if !after_version.starts_with(b" 4") {
        return None;
    }
    let (_, code) = PARSE_ERRORS
        .iter()
        .find(|it| after_version.starts_with(it.0))?;
    let head = response.strip_suffix(END)?;
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?;
    let bare = lines.clone().all(|it| {
        let name = it.split(':').next().unwrap_or_default();
        ["connection", "content-length", "date"].contains(&name)
    });
    if !bare {
        return None;
    }
    let request_id = RequestId::next();
    let id = std::str::from_utf8(request_id.as_bytes()).ok()?;
    let (parts, body) = ApiError::from(*code).respond(id).into_parts();
    // The body is in memory, so the future is ready at once.
    let body = to_bytes(body, usize::MAX).now_or_never()?.ok()?;
    let mut whole = format!("{status}\r\n").into_bytes();
    let mut header = |name: &str, value: &[u8]| {
        whole.extend_from_slice(name.as_bytes());
        whole.extend_from_slice(b": ");
        whole.extend_from_slice(value);
        whole.extend_from_slice(b"\r\n");
    };
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        if name != CONTENT_LENGTH.as_str() {
            header(name, value.as_bytes());
        }
    }
    for (name, value) in &parts.headers {
        header(name.as_str(), value.as_bytes());
    }
    header(X_REQUEST_ID.as_str(), id.as_bytes());
    header(X_CONTENT_TYPE_OPTIONS.as_str(), NOSNIFF.as_bytes());
    header(CONTENT_LENGTH.as_str(), body.len().to_string().as_bytes());
    whole.extend_from_slice(b"\r\n");
    whole.extend_from_slice(&body);
    let code = *code;
    Some(ParseErrorResponse {
        code,
        request_id,
        bytes: whole,
    })
}
