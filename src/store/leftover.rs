//! What the older service left in the container and nothing here reads (src/store/README.md, "Blobs of the older
//! service"). It kept everything in one place at first, and later some of it per user.

use super::key::TEXT;
use super::{Key, Prefix};

impl Key {
    /// The blob `name` below `prefix`, if it is one of the older service's that it makes again when it
    /// needs them: `timeline_*.json` among the artifacts, `cacheVersion.txt` and `lastHeadSha.txt` beside
    /// the state, a text for each `Idempotency-Key`. Never `nextId.txt`, which holds what nothing else knows.
    pub fn leftover(prefix: &Prefix, name: &str) -> Option<Self> {
        let folders: Vec<&str> = prefix.as_str().trim_end_matches('/').split('/').collect();
        let is_one = match folders[..] {
            ["artifacts"] | ["artifacts", _] => is_timeline(name),
            ["state", Prefix::IDEMPOTENCY] => is_kept_beside(name) || is_record(name),
            ["state"] | ["state", _] => is_kept_beside(name),
            ["state", _, Prefix::IDEMPOTENCY] => is_record(name),
            _ => false,
        };
        (is_one && !name.chars().any(is_odd)).then(|| Self {
            path: format!("{prefix}{name}"),
            content_type: TEXT,
        })
    }
}

fn is_timeline(name: &str) -> bool {
    name.starts_with("timeline_") && name.ends_with(".json")
}

fn is_kept_beside(name: &str) -> bool {
    matches!(name, "cacheVersion.txt" | "lastHeadSha.txt")
}

/// A user may be called `idempotency`, whose next number lies there, too.
fn is_record(name: &str) -> bool {
    name.ends_with(".txt") && name != "nextId.txt"
}

/// No key has it.
fn is_odd(c: char) -> bool {
    c == '/' || c == '\\' || c.is_control()
}
