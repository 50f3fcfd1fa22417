#![doc = include_str!("README.md")]

use crate::view::Language;

/// A file as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Where it is: of all but the page and the worker with a hash of the content, so that it never changes there.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// Its entity tag, quotes included.
    pub etag: &'static str,
    /// Its bytes.
    pub plain: &'static [u8],
    /// The same, gzip.
    pub gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/web.rs"));

/// The service worker, which keeps the page for when there is no connection.
pub const SERVICE_WORKER: &Asset = &WORKER;

/// The page.
pub fn page(language: Language) -> &'static Asset {
    match language {
        Language::German => &GERMAN,
        Language::English => &ENGLISH,
    }
}

/// The file at this path, of those whose content never changes.
pub fn at(path: &str) -> Option<&'static Asset> {
    [&STYLE, &SCRIPT, &ICON, &MANIFEST]
        .into_iter()
        .find(|it| it.path == path)
}
