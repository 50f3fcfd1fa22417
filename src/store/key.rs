//! The names of everything in storage (src/store/README.md, "Blob layout").

use std::fmt;

use crate::user::UserId;

/// Where one blob is, and what it holds.
///
/// Invariants: relative, `/`-separated, no empty, `.` or `..` segment, no `\`, no control character;
/// safe to append to a container URL (percent-encoded) or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) path: String,
    pub(super) content_type: &'static str,
}

/// A folder of blobs, ending in `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

/// The text can't be the last part of a blob's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a blob name")]
pub struct BadBlobName;

const JSON: &str = "application/json; charset=utf-8";
const MARKDOWN: &str = "text/markdown; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

impl Key {
    /// `raw/{user}/tasks/{name}`: a task file, the truth.
    pub fn raw(user: &UserId, name: &str) -> Result<Self, BadBlobName> {
        Self::inside(&Prefix::raw(user), name, MARKDOWN)
    }

    /// `state/{user}/{name}`: whatever a listing shows there, also what the older service left.
    pub fn in_state(user: &UserId, name: &str) -> Result<Self, BadBlobName> {
        Self::inside(&Prefix::state(user), name, TEXT)
    }

    /// `artifacts/{user}/{name}`: whatever a listing shows there, also what the older service left.
    pub fn in_artifacts(user: &UserId, name: &str) -> Result<Self, BadBlobName> {
        Self::inside(&Prefix::artifacts(user), name, TEXT)
    }

    fn inside(
        folder: &Prefix,
        name: &str,
        content_type: &'static str,
    ) -> Result<Self, BadBlobName> {
        let odd = |c: char| c == '/' || c == '\\' || c.is_control();
        if name.is_empty() || name == "." || name == ".." || name.chars().any(odd) {
            return Err(BadBlobName);
        }
        Ok(Self {
            path: format!("{folder}{name}"),
            content_type,
        })
    }

    /// `artifacts/{user}/timeline.json`: the cached artifact, disposable.
    pub fn artifact(user: &UserId) -> Self {
        Self {
            path: format!("artifacts/{user}/timeline.json"),
            content_type: JSON,
        }
    }

    /// `state/{user}/state.json`: the durable bookkeeping.
    pub fn state(user: &UserId) -> Self {
        Self {
            path: format!("state/{user}/state.json"),
            content_type: JSON,
        }
    }

    /// `state/{user}/owner.json`: whose account the user's name stands for.
    pub fn owner(user: &UserId) -> Self {
        Self {
            path: format!("state/{user}/owner.json"),
            content_type: JSON,
        }
    }

    /// `state/{user}/nextId.txt`: the older service's next id, decimal.
    pub fn legacy_next_id(user: &UserId) -> Self {
        Self {
            path: format!("state/{user}/nextId.txt"),
            content_type: TEXT,
        }
    }

    /// `state/{user}/git.json`: what Git is known to hold.
    pub fn git(user: &UserId) -> Self {
        Self {
            path: format!("state/{user}/git.json"),
            content_type: JSON,
        }
    }

    /// `state/.github.json`: how far the whole repository has been taken in. No user is called that.
    pub fn github() -> Self {
        Self {
            path: "state/.github.json".to_owned(),
            content_type: JSON,
        }
    }

    /// `queue/{user}`: this user has something that Git or the store doesn't have yet.
    pub fn hint(user: &UserId) -> Self {
        Self {
            path: format!("queue/{user}"),
            content_type: TEXT,
        }
    }

    /// A blob that never exists: asking for it shows whether the store answers at all.
    pub fn probe() -> Self {
        Self {
            path: "state/.probe".to_owned(),
            content_type: TEXT,
        }
    }

    /// From the container's or folder's top.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What a store that keeps content types is told.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl Prefix {
    /// `raw/{user}/tasks/`: all task files of a user.
    pub fn raw(user: &UserId) -> Self {
        Self(format!("raw/{user}/tasks/"))
    }

    /// `raw/`: a folder for each user who has task files.
    pub fn all_raw() -> Self {
        Self("raw/".to_owned())
    }

    /// `state/`: a folder for each user, and what belongs to none.
    pub fn all_state() -> Self {
        Self("state/".to_owned())
    }

    /// `artifacts/`: a folder for each user.
    pub fn all_artifacts() -> Self {
        Self("artifacts/".to_owned())
    }

    /// `state/{user}/`: a user's bookkeeping.
    pub fn state(user: &UserId) -> Self {
        Self(format!("state/{user}/"))
    }

    /// `artifacts/{user}/`: what is cached of a user.
    pub fn artifacts(user: &UserId) -> Self {
        Self(format!("artifacts/{user}/"))
    }

    /// The last folder of [`Self::legacy_idempotency`].
    pub const IDEMPOTENCY: &str = "idempotency";

    /// `state/{user}/idempotency/`: the older service's records of a user.
    pub fn legacy_idempotency(user: &UserId) -> Self {
        Self(format!("state/{user}/{}/", Self::IDEMPOTENCY))
    }

    /// `queue/`: a hint for each user who has something to share with Git.
    pub fn queue() -> Self {
        Self("queue/".to_owned())
    }

    /// Ends in `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
