//! CORS for the origins that the operator allows.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::CorsLayer;

/// Allows these origins, without credentials (cookies). `None` if there are no origins.
pub(super) fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let named = |names: &[&'static str]| -> Vec<HeaderName> {
        names.iter().copied().map(HeaderName::from_static).collect()
    };
    let mut sent = vec![
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::CACHE_CONTROL,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
    ];
    sent.extend(named(&["idempotency-key", "prefer", "x-codex-version"]));
    let mut shown = vec![header::ETAG, header::LOCATION, header::RETRY_AFTER];
    shown.extend(named(&["x-codex-version", "x-codex-cache", "x-request-id"]));
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
    ];
    let layer = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods(methods)
        .allow_headers(sent)
        .expose_headers(shown)
        .max_age(Duration::from_secs(600));
    Some(layer)
}
