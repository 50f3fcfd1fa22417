//! Static responses: the same for all users for the life of the process.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use std::io::Write;

use super::extract::{accepted_encoding, is_not_modified};
use crate::codex::Encoding;
use crate::web::Asset;

/// A static body, plain and gzipped, with its content type and strong `ETag`.
pub(super) struct StaticResponse {
    kind: HeaderValue,
    etag: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
}

impl StaticResponse {
    /// For content generated at run time: computes the gzipped form and the `ETag`.
    pub(super) fn new(kind: &'static str, bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes);
        let hex: String = digest[..8].iter().map(|it| format!("{it:02x}")).collect();
        let etag = HeaderValue::try_from(format!("\"{hex}\""));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory can't fail.
        let _ = gzip.write_all(&bytes);
        Self {
            kind: HeaderValue::from_static(kind),
            etag: etag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
            plain: bytes.into(),
            gzip: gzip.finish().unwrap_or_default().into(),
        }
    }

    /// The response, or 304 when `If-None-Match` matches. `cache` is its `Cache-Control`.
    pub(super) fn answer(&self, request: &HeaderMap, cache: &'static str) -> Response {
        let not_modified = is_not_modified(request, self.etag.to_str().unwrap_or_default());
        let encoding = accepted_encoding(request);
        let bytes = match (not_modified, encoding) {
            (true, _) => Bytes::new(),
            (false, Encoding::Gzip) => self.gzip.clone(),
            (false, Encoding::Identity) => self.plain.clone(),
        };
        let mut response = Response::new(Body::from(bytes));
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if not_modified {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, self.kind.clone());
        if encoding == Encoding::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

impl From<&'static Asset> for StaticResponse {
    fn from(asset: &'static Asset) -> Self {
        Self {
            kind: HeaderValue::from_static(asset.kind),
            etag: HeaderValue::from_static(asset.etag),
            plain: Bytes::from_static(asset.plain),
            gzip: Bytes::from_static(asset.gzip),
        }
    }
}
