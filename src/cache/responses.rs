//! Rendered responses, kept with the snapshot they are rendered from.

use std::io::Write;
use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::user_state::Version;
use crate::view::Language;

/// One snapshot's responses; each is rendered on first demand.
#[derive(Debug, Default, Clone)]
#[repr(C)]
pub(super) struct RenderedResponses {
    json: ResponseEncodings,
    german: ResponseEncodings,
    english: ResponseEncodings,
}

/// A response's encodings.
#[derive(Debug, Default, Clone)]
#[repr(C)]
struct ResponseEncodings {
    gzip: OnceLock<PackedResponse>,
    identity: OnceLock<PackedResponse>,
}

/// A response in one encoding: entity tag, version, body length and body in one allocation.
#[derive(Debug, Clone)]
pub(super) struct PackedResponse {
    bytes: Bytes,
    etag_end: usize,
    version_end: usize,
    length_end: usize,
}

impl PackedResponse {
    pub(super) fn new(etag: &str, version: Version, plain: &[u8], encoding: Encoding) -> Self {
        let packed;
        let body = match encoding {
            Encoding::Identity => plain,
            Encoding::Gzip => {
                packed = gzip(plain);
                &packed
            }
        };
        let (version, length) = (version.to_string(), body.len().to_string());
        let etag_end = etag.len();
        let version_end = etag_end + version.len();
        let bytes = [etag.as_bytes(), version.as_bytes(), length.as_bytes(), body].concat();
        Self {
            bytes: bytes.into(),
            etag_end,
            version_end,
            length_end: version_end + length.len(),
        }
    }
}

/// The format of a timeline response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// The timeline as JSON.
    Json,
    /// The printable HTML page.
    Html(Language),
}

/// The `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Uncompressed.
    Identity,
    /// gzip.
    Gzip,
}

/// A rendered response, ready to send.
#[derive(Debug, Clone)]
pub struct PageBytes {
    /// Weak entity tag, quoted; the same on all instances with the same files.
    pub etag: Bytes,
    /// The version shown, in decimal digits.
    pub version: Bytes,
    /// The body.
    pub bytes: Bytes,
    /// The body's length in bytes, in decimal digits.
    pub length: Bytes,
    /// Whether this call rendered it, so that the snapshot has to be weighed again.
    pub rendered: bool,
}

impl RenderedResponses {
    /// The response in this format and encoding; calls `render` on first demand.
    pub(super) fn get_or_render(
        &self,
        format: PageFormat,
        encoding: Encoding,
        render: impl FnOnce() -> PackedResponse,
    ) -> PageBytes {
        let page = match format {
            PageFormat::Json => &self.json,
            PageFormat::Html(Language::German) => &self.german,
            PageFormat::Html(Language::English) => &self.english,
        };
        let slot = match encoding {
            Encoding::Identity => &page.identity,
            Encoding::Gzip => &page.gzip,
        };
        let mut rendered = false;
        let packed = slot.get_or_init(|| {
            rendered = true;
            render()
        });
        let part = |part: Range<usize>| packed.bytes.slice(part);
        PageBytes {
            etag: part(0..packed.etag_end),
            version: part(packed.etag_end..packed.version_end),
            length: part(packed.version_end..packed.length_end),
            bytes: part(packed.length_end..packed.bytes.len()),
            rendered,
        }
    }

    /// Size of the responses rendered so far, in bytes.
    pub(super) fn weight(&self) -> usize {
        let pages = [&self.json, &self.german, &self.english];
        let pages = pages.into_iter();
        let encodings = pages.flat_map(|page| [&page.gzip, &page.identity]);
        let rendered = encodings.filter_map(|slot| slot.get());
        rendered.map(|packed| packed.bytes.len()).sum()
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::new(6));
    // Writing into a `Vec` can't fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}
