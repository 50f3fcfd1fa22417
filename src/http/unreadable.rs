//! A request whose line or headers can't be read never comes to a route. What hyper says then is a status alone; here
//! it becomes an answer like every other.

use axum::body::to_bytes;
use futures::FutureExt;
use http::header::CONTENT_LENGTH;

use super::request_id::{NOSNIFF, X_CONTENT_TYPE_OPTIONS, X_REQUEST_ID};
use super::{ApiError, Code};
use crate::context::RequestId;

/// What hyper says by itself: the status, as it follows the version.
const REFUSALS: [(&[u8], Code, &str); 3] = [
    (
        b" 431 ",
        Code::HeadersTooLarge,
        "The request's headers are too large: send at most 100, and 64 KiB of them with the request's line; fewer cookies may help.",
    ),
    (
        b" 414 ",
        Code::UriTooLong,
        "The request's address is too long: use fewer or shorter parameters.",
    ),
    (
        b" 400 ",
        Code::InvalidRequest,
        "The request's line or headers can't be read as HTTP/1.1.",
    ),
];

const END: &[u8] = b"\r\n\r\n";

/// An answer in place of hyper's own.
pub struct Unreadable {
    /// Why.
    pub code: Code,
    /// What the client is told the request is called.
    pub request_id: RequestId,
    /// Head and body.
    pub bytes: Vec<u8>,
}

/// What is to be sent in place of these bytes, if they are hyper's own refusal. A route's answer has headers that tell
/// it apart; seeing that costs an answer without an error one comparison.
pub fn unreadable(answer: &[u8]) -> Option<Unreadable> {
    let after_version = answer.strip_prefix(b"HTTP/1.")?.get(1..)?;
    if !after_version.starts_with(b" 4") {
        return None;
    }
    let (_, code, message) = REFUSALS.iter().find(|it| after_version.starts_with(it.0))?;
    let head = answer.strip_suffix(END)?;
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
    let (parts, body) = ApiError::new(*code, *message).respond(id).into_parts();
    // It is there, so that nobody waits.
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
    Some(Unreadable {
        code,
        request_id,
        bytes: whole,
    })
}
