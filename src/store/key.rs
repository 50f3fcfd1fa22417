//! Names of blobs and folders in storage (src/store/README.md, "Blob layout").

use std::fmt;

use crate::task::FileName;
use crate::user::UserId;

/// The path of a blob and its content type.
///
/// Invariants: relative, `/`-separated, no empty, `.` or `..` segment, no `\`, no control character. Safe to append to
/// a container URL (percent-encoded) or to a folder path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey {
    pub(super) path: String,
    pub(super) content_type: &'static str,
}

/// A folder prefix that ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

/// Not a valid last segment of a blob path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a blob name")]
pub struct BadBlobName;

const JSON: &str = "application/json; charset=utf-8";
const MARKDOWN: &str = "text/markdown; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

impl BlobKey {
    /// `raw/{user}/tasks/{name}`: a task file, the source of truth. A [`FileName`] is always a valid last segment.
    pub fn task(user: &UserId, name: &FileName) -> Self {
        Self {
            path: format!("{}{name}", Prefix::raw(user)),
            content_type: MARKDOWN,
        }
    }

    /// `raw/{user}/tasks/{name}`: any blob that a listing returns there.
    pub fn raw(user: &UserId, name: &str) -> Result<Self, BadBlobName> {
        Self::inside(&Prefix::raw(user), name, MARKDOWN)
    }

    /// `state/{user}/{name}`: any blob that a listing returns there, including those of the older service.
    pub fn in_state(user: &UserId, name: &str) -> Result<Self, BadBlobName> {
        Self::inside(&Prefix::state(user), name, TEXT)
    }

    /// `artifacts/{user}/{name}`: any blob that a listing returns there, including those of the older service.
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

    /// `artifacts/{user}/timeline.json`: the cached artifact; disposable.
    pub fn artifact(user: &UserId) -> Self {
        Self {
            path: format!("artifacts/{user}/timeline.json"),
            content_type: JSON,
        }
    }

    /// `state/{user}/state.json`: the state document.
    pub fn state(user: &UserId) -> Self {
        Self {
            path: format!("state/{user}/state.json"),
            content_type: JSON,
        }
    }

    /// `state/{user}/owner.json`: the account that owns the user name.
    pub fn owner(user: &UserId) -> Self {
        Self {
            path: format!("state/{user}/owner.json"),
            content_type: JSON,
        }
    }

    /// `state/{user}/nextId.txt`: the older service's counter, in decimal.
    pub fn legacy_next_id(user: &UserId) -> Self {
        Self {
            path: format!("state/{user}/nextId.txt"),
            content_type: TEXT,
        }
    }

    /// `state/{user}/git.json`: the user's Git sync state.
    pub fn git(user: &UserId) -> Self {
        Self {
            path: format!("state/{user}/git.json"),
            content_type: JSON,
        }
    }

    /// `state/.github.json`: the sync state of the whole repository. Not a valid user name.
    pub fn github() -> Self {
        Self {
            path: "state/.github.json".to_owned(),
            content_type: JSON,
        }
    }

    /// `queue/{user}`: a hint that changes of this user still have to be synchronised with Git.
    pub fn hint(user: &UserId) -> Self {
        Self {
            path: format!("queue/{user}"),
            content_type: TEXT,
        }
    }

    /// A blob that never exists; reading it shows whether the store responds.
    pub fn probe() -> Self {
        Self {
            path: "state/.probe".to_owned(),
            content_type: TEXT,
        }
    }

    /// The path relative to the container or root folder.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The MIME type, for stores that keep one.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl Prefix {
    /// `raw/{user}/tasks/`: all task files of a user.
    pub fn raw(user: &UserId) -> Self {
        Self(format!("raw/{user}/tasks/"))
    }

    /// `raw/`: one folder per user who has task files.
    pub fn all_raw() -> Self {
        Self("raw/".to_owned())
    }

    /// `state/`: one folder per user, and blobs of no user.
    pub fn all_state() -> Self {
        Self("state/".to_owned())
    }

    /// `artifacts/`: one folder per user.
    pub fn all_artifacts() -> Self {
        Self("artifacts/".to_owned())
    }

    /// `state/{user}/`: a user's state.
    pub fn state(user: &UserId) -> Self {
        Self(format!("state/{user}/"))
    }

    /// `artifacts/{user}/`: a user's cached artifacts.
    pub fn artifacts(user: &UserId) -> Self {
        Self(format!("artifacts/{user}/"))
    }

    /// The last folder name of [`Self::legacy_idempotency`].
    pub const IDEMPOTENCY: &str = "idempotency";

    /// `state/{user}/idempotency/`: the older service's idempotency records.
    pub fn legacy_idempotency(user: &UserId) -> Self {
        Self(format!("state/{user}/{}/", Self::IDEMPOTENCY))
    }

    /// `queue/`: one hint per user with changes to synchronise.
    pub fn queue() -> Self {
        Self("queue/".to_owned())
    }

    /// The path, ending in `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
