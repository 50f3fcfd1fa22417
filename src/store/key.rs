//! Names of blobs and folders in storage (src/store/README.md, "Blob layout").

use derive_more::Display;

use crate::task::FileName;
use crate::user::UserId;

/// The path of a blob, relative to the container or root folder.
///
/// Invariants: relative, `/`-separated, no empty, `.` or `..` segment, no `\`, no control character. Safe to append to
/// a container URL (percent-encoded) or to a folder path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Display)]
pub struct BlobKey(String);

/// A folder prefix that ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Display)]
pub struct Prefix(String);

impl BlobKey {
    /// `raw/{user}/tasks/{name}`: a task file, the source of truth. A [`FileName`] is always a valid last segment.
    pub fn task(user: &UserId, name: &FileName) -> Self {
        Self(format!("{}{name}", Prefix::raw(user)))
    }

    /// `raw/{user}/tasks/{name}`: any blob that a listing returns there.
    pub fn raw(user: &UserId, name: &str) -> Option<Self> {
        Self::inside(&Prefix::raw(user), name)
    }

    /// Any blob that a listing returns in the folder; `None` if the name isn't a valid last segment.
    pub fn inside(folder: &Prefix, name: &str) -> Option<Self> {
        let odd = |c: char| c == '/' || c == '\\' || c.is_control();
        let valid = !matches!(name, "" | "." | "..") && !name.contains(odd);
        valid.then(|| Self(format!("{folder}{name}")))
    }

    /// The key of `name` below `prefix`, if it is an unused blob of the older service, which recreates it when needed:
    /// `timeline_*.json` in the artifacts, `cacheVersion.txt` and `lastHeadSha.txt` in the state, and a `.txt` per
    /// `Idempotency-Key`. The older service first kept everything in shared folders, and some of it per user later.
    pub fn leftover(prefix: &Prefix, name: &str) -> Option<Self> {
        let is_timeline = name.starts_with("timeline_") && name.ends_with(".json");
        let is_cache_marker = matches!(name, "cacheVersion.txt" | "lastHeadSha.txt");
        // `nextId.txt` can't be recreated: a user may be called `idempotency`, whose counter is in the same folder.
        let is_record = name.ends_with(".txt") && name != "nextId.txt";
        let folders: Vec<&str> = prefix.0.trim_end_matches('/').split('/').collect();
        let is_leftover = match folders[..] {
            ["artifacts"] | ["artifacts", _] => is_timeline,
            ["state", Prefix::IDEMPOTENCY] => is_cache_marker || is_record,
            ["state"] | ["state", _] => is_cache_marker,
            ["state", _, Prefix::IDEMPOTENCY] => is_record,
            _ => false,
        };
        is_leftover.then(|| Self::inside(prefix, name))?
    }

    /// `artifacts/{user}/timeline.json`: the cached artifact; disposable.
    pub fn artifact(user: &UserId) -> Self {
        Self(format!("artifacts/{user}/timeline.json"))
    }

    /// `state/{user}/state.json`: the state document.
    pub fn state(user: &UserId) -> Self {
        Self(format!("state/{user}/state.json"))
    }

    /// `state/{user}/owner.json`: the account that owns the user name.
    pub fn owner(user: &UserId) -> Self {
        Self(format!("state/{user}/owner.json"))
    }

    /// `state/{user}/nextId.txt`: the older service's counter, in decimal.
    pub fn legacy_next_id(user: &UserId) -> Self {
        Self(format!("state/{user}/nextId.txt"))
    }

    /// `state/{user}/git.json`: the user's Git sync state.
    pub fn git(user: &UserId) -> Self {
        Self(format!("state/{user}/git.json"))
    }

    /// `state/{user}/calendar.json`: the hash of the address of the user's calendar.
    pub fn calendar(user: &UserId) -> Self {
        Self(format!("state/{user}/calendar.json"))
    }

    /// `state/.github.json`: the sync state of the whole repository. Not a valid user name.
    pub fn github() -> Self {
        Self("state/.github.json".to_owned())
    }

    /// `queue/{user}`: a hint that changes of this user still have to be synchronised with Git.
    pub fn hint(user: &UserId) -> Self {
        Self(format!("queue/{user}"))
    }

    /// A blob that never exists; reading it shows whether the store responds.
    pub fn probe() -> Self {
        Self("state/.probe".to_owned())
    }

    /// `state/.trial-{id}`: a blob that `doctor` writes and removes. Not a valid user name.
    pub fn trial(id: u64) -> Self {
        Self(format!("state/{}{id:016x}", Self::TRIAL))
    }

    /// The start of the name of [`Self::trial`] below [`Prefix::all_state`].
    pub const TRIAL: &str = ".trial-";

    /// The path relative to the container or root folder.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// The MIME type, for stores that keep one.
    pub fn content_type(&self) -> &'static str {
        match &*self.0 {
            path if path.starts_with("raw/") => "text/markdown; charset=utf-8",
            path if path.ends_with(".json") => "application/json; charset=utf-8",
            _ => "text/plain; charset=utf-8",
        }
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
