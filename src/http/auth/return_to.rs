//! Where somebody goes on after signing in.

/// A path on this service, perhaps with a query: nothing that a browser could take for another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct ReturnTo(String);

impl ReturnTo {
    /// No path is longer: it travels in a cookie.
    pub(in crate::http) const MAX: usize = 1024;

    /// Takes a path of visible ASCII that begins with one `/`. Browsers read `\` as `/` and skip tabs and
    /// line breaks, so neither may be in it.
    pub(in crate::http) fn parse(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let local = text.starts_with('/') && !text.starts_with("//");
        (visible && local && text.len() <= Self::MAX).then(|| Self(text.to_owned()))
    }

    pub(in crate::http) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}
