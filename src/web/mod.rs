#![doc = include_str!("README.md")]

use crate::view::Language;

/// A static file of the web app.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// URL path. Except for the page and the worker it has a hash of the content, so it can be cached for ever.
    pub path: &'static str,
    /// Media type.
    pub kind: &'static str,
    /// Entity tag with quotes.
    pub etag: &'static str,
    /// The content.
    pub plain: &'static [u8],
    /// The content compressed with gzip.
    pub gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/web.rs"));

/// The service worker, which caches the page for offline use.
pub const SERVICE_WORKER: &Asset = &WORKER;

/// The page in a language.
pub fn page(language: Language) -> &'static Asset {
    match language {
        Language::German => &GERMAN,
        Language::English => &ENGLISH,
    }
}

/// The asset at this path, of those with a content hash in their names.
pub fn at(path: &str) -> Option<&'static Asset> {
    [&STYLE, &SCRIPT, &ICON, &MANIFEST]
        .into_iter()
        .find(|it| it.path == path)
}
