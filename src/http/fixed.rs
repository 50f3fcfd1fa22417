//! Answers that are the same for everybody, as long as the process lives.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use std::io::Write;

use super::extract::{accepted_encoding, has_already};
use crate::codex::Encoding;
use crate::web::Asset;

/// Bytes, plain and packed, and what they are.
pub(super) struct Fixed {
    kind: HeaderValue,
    etag: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
}

impl Fixed {
    /// Of what is made when it is first asked for.
    pub(super) fn new(kind: &'static str, bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes);
        let hex: String = digest[..8].iter().map(|it| format!("{it:02x}")).collect();
        let etag = HeaderValue::try_from(format!("\"{hex}\""));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        // Nothing fails that is written to memory.
        let _ = gzip.write_all(&bytes);
        Self {
            kind: HeaderValue::from_static(kind),
            etag: etag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
            plain: bytes.into(),
            gzip: gzip.finish().unwrap_or_default().into(),
        }
    }

    /// The answer, or 304 when the client has it already. `cache` is what may be done with it.
    pub(super) fn answer(&self, request: &HeaderMap, cache: &'static str) -> Response {
        let unchanged = has_already(request, self.etag.to_str().unwrap_or_default());
        let encoding = accepted_encoding(request);
        let bytes = match (unchanged, encoding) {
            (true, _) => Bytes::new(),
            (false, Encoding::Gzip) => self.gzip.clone(),
            (false, Encoding::Identity) => self.plain.clone(),
        };
        let mut response = Response::new(Body::from(bytes));
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if unchanged {
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

impl From<&'static Asset> for Fixed {
    fn from(asset: &'static Asset) -> Self {
        Self {
            kind: HeaderValue::from_static(asset.kind),
            etag: HeaderValue::from_static(asset.etag),
            plain: Bytes::from_static(asset.plain),
            gzip: Bytes::from_static(asset.gzip),
        }
    }
}
