//! Static responses: the same for all users for the life of the process.

use std::io::Write;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::hash::{hex, sha256};
use super::negotiate::{Representation, accepted_encoding};
use crate::codex::Encoding;
use crate::web::Asset;

/// A static body, plain and where that helps gzipped, with its content type and strong `ETag`.
pub(super) struct StaticResponse {
    kind: HeaderValue,
    etag: HeaderValue,
    plain: Bytes,
    gzip: Option<Bytes>,
}

impl StaticResponse {
    /// For content generated at run time: computes the gzipped form and the `ETag`.
    pub(super) fn new(kind: HeaderValue, bytes: Vec<u8>) -> Self {
        let etag = HeaderValue::try_from(format!("\"{}\"", hex(&sha256(&bytes)[..8])));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory can't fail.
        let _ = gzip.write_all(&bytes);
        Self {
            kind,
            etag: etag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
            plain: bytes.into(),
            gzip: gzip.finish().ok().map(Bytes::from),
        }
    }

    /// The response, or 304 when `If-None-Match` matches. `cache` is its `Cache-Control`.
    pub(super) fn answer(&self, request: &HeaderMap, cache: &'static str) -> Response {
        let etag = self.etag.to_str().unwrap_or_default();
        let encoding = match self.gzip {
            Some(_) => accepted_encoding(request),
            None => Encoding::Identity,
        };
        let representation = Representation::of(request, etag, encoding);
        let body = match (representation, &self.gzip) {
            (Representation::NotModified, _) => Bytes::new(),
            (Representation::Full(Encoding::Gzip), Some(gzip)) => gzip.clone(),
            (Representation::Full(_), _) => self.plain.clone(),
        };
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if representation == Representation::NotModified {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, self.kind.clone());
        if representation == Representation::Full(Encoding::Gzip) {
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
            gzip: asset.gzip.map(Bytes::from_static),
        }
    }
}

/// The `Content-Security-Policy` of a page that has this inline style sheet and loads nothing.
pub(super) fn page_policy(stylesheet: &str) -> HeaderValue {
    let hash = STANDARD.encode(sha256(stylesheet));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}
