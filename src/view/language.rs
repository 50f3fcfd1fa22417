//! The languages that pages are written in.

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// German, as the words in the files are.
    German,
    /// English, for those who ask for it.
    English,
}

impl Language {
    /// As HTML's `lang` says it (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Self::German => "de",
            Self::English => "en",
        }
    }
}
