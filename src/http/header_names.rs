//! Names of headers that aren't among those of the crate `http`, and values that several responses have.

use http::{HeaderName, HeaderValue};

/// Makes repeating a create safe.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Preferences of the client (RFC 7240).
pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The storage requests that a response needed.
pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// The cache layer that served a read.
pub(super) const X_CODEX_CACHE: HeaderName = HeaderName::from_static("x-codex-cache");
/// `on` while a plain read shows other instances' changes at once.
pub(super) const X_CODEX_HINTS: HeaderName = HeaderName::from_static("x-codex-hints");
/// The version of the user's data, in requests and responses.
pub(super) const X_CODEX_VERSION: HeaderName = HeaderName::from_static("x-codex-version");
/// The id of a request, in its response and in the log. The outermost service sets it, with [`NOSNIFF`], unless both come
/// from the template of a read from memory; nothing else may set it.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Forbids content sniffing, with [`NOSNIFF`].
pub(super) const X_CONTENT_TYPE_OPTIONS: HeaderName =
    HeaderName::from_static("x-content-type-options");
pub(super) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// The content type of JSON.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// The content type of pages.
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
