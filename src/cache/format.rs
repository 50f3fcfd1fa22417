//! The `format` member of JSON blobs, by which two versions of the service can use one container
//! (src/cache/README.md, "What is stored").

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `major.minor` of a JSON blob. A newer minor only adds members; a newer major may mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format {
    /// Another one can't be written by this version.
    pub major: u32,
    /// Newer ones are written back as they are.
    pub minor: u32,
}

impl Format {
    /// What this version writes.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// What a blob says it is; `None` when it says nothing.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: Format,
        }
        let head: Head = serde_json::from_slice(bytes).ok()?;
        Some(head.format)
    }

    /// A newer major version wrote it: this one must not write it.
    pub fn is_read_only(self) -> bool {
        self.major > Self::CURRENT.major
    }

    /// Whether a newer version wrote these bytes. When they can't be read, that is why.
    pub fn is_of_newer(bytes: &[u8]) -> bool {
        Self::of(bytes).is_some_and(|format| format > Self::CURRENT)
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}.{}", self.major, self.minor))
    }
}

impl<'de> Deserialize<'de> for Format {
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
