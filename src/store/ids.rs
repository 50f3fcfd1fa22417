//! Versions of blobs, and the writes that made them.

use std::str::FromStr;
use std::sync::Arc;

use derive_more::{Debug, Display};
use serde::{Deserialize, Serialize};

/// A version of a blob, without quotes: listings return ETags bare, headers quoted.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[debug("{_0}")]
#[serde(from = "String", into = "String")]
pub struct ETag(Arc<str>);

impl ETag {
    /// Parses an ETag with or without quotes.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let bare = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        Self(bare.unwrap_or(text).into())
    }

    /// The ETag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ETag in quotes, as used in headers.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl From<String> for ETag {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<ETag> for String {
    fn from(etag: ETag) -> Self {
        etag.as_str().to_owned()
    }
}

/// Identifies one PUT of a task file, so that it can be recognised after its response was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display)]
#[display("{_0:016x}")]
pub struct WriteId(pub u64);

impl FromStr for WriteId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// The write ids of a blob: that of its latest PUT and of up to fifteen before it, newest first. Shown as stored in blob
/// metadata and sidecars: separated by spaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Display)]
#[display("{}", _0.iter().map(WriteId::to_string).collect::<Vec<_>>().join(" "))]
pub struct WriteIds(Vec<WriteId>);

impl WriteIds {
    /// The maximum number of ids per blob. A write is recognised until this many others have followed it.
    pub const MAX: usize = 16;

    /// The ids for a PUT with `id` that replaces the blob carrying `self`.
    pub fn with_newest(&self, id: WriteId) -> Self {
        let ids = std::iter::once(id).chain(self.0.iter().copied());
        Self(ids.take(Self::MAX).collect())
    }

    /// Whether the blob's content is the result of this write or of a later one that replaced it.
    pub fn contains(&self, id: WriteId) -> bool {
        self.0.contains(&id)
    }

    /// The write that made this version; `None` if another program wrote it.
    pub fn newest(&self) -> Option<WriteId> {
        self.0.first().copied()
    }

    /// Whether another program wrote this version.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses the displayed form. Skips invalid ids; such a write just isn't recognised.
    pub fn parse(text: &str) -> Self {
        let ids = text.split(' ').filter_map(|id| id.parse().ok());
        Self(ids.take(Self::MAX).collect())
    }
}
