//! The languages of the pages.

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// German, the default: the values in task files are German, too.
    German,
    /// English, if the request prefers it.
    English,
}

impl Language {
    /// The BCP 47 tag, for HTML's `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::German => "de",
            Self::English => "en",
        }
    }
}
