//! The redirect target after a sign-in.

/// A path of this service with an optional query; nothing that a browser could resolve to another origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Maximum length in bytes, because it is stored in a cookie.
    pub(in crate::http) const MAX: usize = 1024;

    /// Accepts a path of visible ASCII that begins with exactly one `/`. Rejects `\`, which browsers treat as `/`, and
    /// tabs and line breaks, which they ignore.
    pub(in crate::http) fn parse(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let local = text.starts_with('/') && !text.starts_with("//");
        (visible && local && text.len() <= Self::MAX).then(|| Self(text.to_owned()))
    }

    /// The path.
    pub(in crate::http) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}
