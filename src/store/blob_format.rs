//! The `format` member of JSON blobs, which lets two versions of the service share one container
//! (src/user_state/README.md, "What is stored").

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The format version of a JSON blob, stored as `"major.minor"`. A newer minor version only adds members; a newer major
/// version may change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobFormat {
    /// A blob of a newer major version must not be written.
    pub major: u32,
    /// A newer minor version is kept when the blob is written back.
    pub minor: u32,
}

impl BlobFormat {
    /// The format that this version of the service writes.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// The format of a blob; `None` if it has no readable `format` member.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct FormatHeader {
            format: BlobFormat,
        }
        let head: FormatHeader = serde_json::from_slice(bytes).ok()?;
        Some(head.format)
    }

    /// Whether the major version is newer, so that this version of the service must not write the blob.
    pub fn is_read_only(self) -> bool {
        self.major > Self::CURRENT.major
    }

    /// Whether a newer version of the service wrote these bytes, which explains why they can't be parsed.
    pub fn is_from_newer(bytes: &[u8]) -> bool {
        Self::of(bytes).is_some_and(|format| format > Self::CURRENT)
    }
}

impl Default for BlobFormat {
    fn default() -> Self {
        Self::CURRENT
    }
}

impl Serialize for BlobFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}.{}", self.major, self.minor))
    }
}

impl<'de> Deserialize<'de> for BlobFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split_once('.').and_then(|(major, minor)| {
            Some(Self {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            })
        });
        parts.ok_or_else(|| serde::de::Error::custom("format is written major.minor"))
    }
}
