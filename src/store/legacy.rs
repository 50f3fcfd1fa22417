//! Unused blobs of the older service (src/store/README.md, "Blobs of the older service"). It first kept everything in
//! shared folders, and some of it per user later.

use super::key::TEXT;
use super::key::{BlobKey, Prefix};

impl BlobKey {
    /// The key of `name` below `prefix`, if it is a blob that the older service recreates when needed:
    /// `timeline_*.json` in the artifacts, `cacheVersion.txt` and `lastHeadSha.txt` in the state, and a `.txt` per
    /// `Idempotency-Key`. Never `nextId.txt`, which can't be recreated.
    pub fn leftover(prefix: &Prefix, name: &str) -> Option<Self> {
        let folders: Vec<&str> = prefix.as_str().trim_end_matches('/').split('/').collect();
        let is_leftover = match folders[..] {
            ["artifacts"] | ["artifacts", _] => is_timeline(name),
            ["state", Prefix::IDEMPOTENCY] => is_cache_marker(name) || is_record(name),
            ["state"] | ["state", _] => is_cache_marker(name),
            ["state", _, Prefix::IDEMPOTENCY] => is_record(name),
            _ => false,
        };
        (is_leftover && !name.chars().any(is_forbidden)).then(|| Self {
            path: format!("{prefix}{name}"),
            content_type: TEXT,
        })
    }
}

fn is_timeline(name: &str) -> bool {
    name.starts_with("timeline_") && name.ends_with(".json")
}

fn is_cache_marker(name: &str) -> bool {
    matches!(name, "cacheVersion.txt" | "lastHeadSha.txt")
}

/// Excludes `nextId.txt`: a user may be called `idempotency`, whose counter is in the same folder.
fn is_record(name: &str) -> bool {
    name.ends_with(".txt") && name != "nextId.txt"
}

/// A character that no key contains.
fn is_forbidden(c: char) -> bool {
    c == '/' || c == '\\' || c.is_control()
}
