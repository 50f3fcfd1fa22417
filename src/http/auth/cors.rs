//! CORS for the origins that the operator allows.

use std::time::Duration;

use http::{HeaderValue, Method, header};
use tower_http::cors::CorsLayer;

use crate::http::header_names::{
    IDEMPOTENCY_KEY, PREFER, X_CODEX_CACHE, X_CODEX_VERSION, X_REQUEST_ID,
};

/// Allows these origins, without credentials (cookies). `None` if there are no origins.
///
/// # Errors
/// A message if one can't be in a header.
pub(super) fn layer(origins: &[String]) -> Result<Option<CorsLayer>, String> {
    if origins.is_empty() {
        return Ok(None);
    }
    let origins = origins.iter().map(HeaderValue::try_from);
    let origins = origins.collect::<Result<Vec<_>, _>>();
    let sent = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::CACHE_CONTROL,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        IDEMPOTENCY_KEY,
        PREFER,
        X_CODEX_VERSION,
    ];
    let shown = [
        header::ETAG,
        header::LOCATION,
        header::RETRY_AFTER,
        X_CODEX_VERSION,
        X_CODEX_CACHE,
        X_REQUEST_ID,
    ];
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let layer = CorsLayer::new()
        .allow_origin(origins.map_err(|it| it.to_string())?)
        .allow_methods(methods)
        .allow_headers(sent)
        .expose_headers(shown)
        .max_age(Duration::from_secs(600));
    Ok(Some(layer))
}
