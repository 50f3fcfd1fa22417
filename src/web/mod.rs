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
    /// The content compressed with gzip; `None` for an image, which is compressed already.
    pub gzip: Option<&'static [u8]>,
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
    let icons = [&ICON, &TOUCH_ICON, &ICON_192, &ICON_512, &MASKABLE_512];
    [&STYLE, &SCRIPT, &MANIFEST_DE, &MANIFEST_EN]
        .into_iter()
        .chain(icons)
        .find(|it| it.path == path)
}
