//! The bytes of answers, made once and kept with the entry they are made from.

use std::io::Write;
use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::state::Version;
use crate::view::Language;

/// Those that were asked for so far.
#[derive(Debug, Default, Clone)]
#[repr(C)]
pub(super) struct Answers {
    json: Page,
    german: Page,
    english: Page,
}

/// One format of an answer.
#[derive(Debug, Default, Clone)]
#[repr(C)]
struct Page {
    gzip: OnceLock<Packed>,
    identity: OnceLock<Packed>,
}

/// One packing of an answer: entity tag, version, the body's length and the body, in one piece of memory.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    bytes: Bytes,
    etag_end: usize,
    version_end: usize,
    length_end: usize,
}

impl Packed {
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

/// What the timeline is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// The timeline document.
    Json,
    /// The printable page.
    Html(Language),
}

/// How the bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// gzip.
    Gzip,
}

/// An answer, ready to be sent.
#[derive(Debug, Clone)]
pub struct PageBytes {
    /// Weak entity tag, quoted: equal on all instances that know the same files.
    pub etag: Bytes,
    /// The version that it shows, in decimal digits.
    pub version: Bytes,
    /// The body.
    pub bytes: Bytes,
    /// How many bytes the body has, in decimal digits.
    pub length: Bytes,
    /// Whether this call made the body, so that the entry weighs more now.
    pub made: bool,
}

impl Answers {
    /// The answer in this form, by `make` on first demand.
    pub(super) fn get_or_make(
        &self,
        format: PageFormat,
        encoding: Encoding,
        make: impl FnOnce() -> Packed,
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
        let mut made = false;
        let packed = slot.get_or_init(|| {
            made = true;
            make()
        });
        let part = |part: Range<usize>| packed.bytes.slice(part);
        PageBytes {
            etag: part(0..packed.etag_end),
            version: part(packed.etag_end..packed.version_end),
            length: part(packed.version_end..packed.length_end),
            bytes: part(packed.length_end..packed.bytes.len()),
            made,
        }
    }

    /// Bytes of those made so far.
    pub(super) fn weight(&self) -> usize {
        let pages = [&self.json, &self.german, &self.english];
        let made = pages
            .into_iter()
            .flat_map(|page| [&page.gzip, &page.identity]);
        made.filter_map(|slot| slot.get())
            .map(|packed| packed.bytes.len())
            .sum()
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::new(6));
    // Writing into a vector can't fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}
