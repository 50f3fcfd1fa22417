//! The report, as `--json` prints it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::differences::Difference;
use crate::codex::{ChangeKind, Version};
use crate::owners::AccountIdentity;
use crate::store::{BlobFormat, StoreError};
use crate::task::ProblemCode;

/// Everything that determines what a user is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectReport {
    /// The user.
    pub user_id: String,
    /// When the state was read, by the storage's clock.
    pub asked_at: Option<DateTime<Utc>>,
    /// The state was written while the rest was read, so the sections may be of different points in time.
    pub moved_meanwhile: bool,
    /// `state.json`.
    pub state: Section<StateSection>,
    /// The write intents in it, by version.
    pub pending: Vec<PendingIntent>,
    /// The artifact.
    pub artifact: Section<ArtifactSection>,
    /// The differences between the artifact and the files; `None` if either is absent or can't be read.
    pub differences: Option<Vec<Difference>>,
    /// The task files.
    pub raw: Section<RawSection>,
    /// `owner.json`.
    pub owner: Section<AccountIdentity>,
    /// Folders of the same login in another letter case; a sign-in resolves to one of them.
    pub spellings: Section<Vec<CaseVariant>>,
    /// `git.json`.
    pub git: Section<GitSection>,
    /// Files whose present version Git lacks, by `git.json`; `None` where GitHub mode is off and was never on.
    pub unpushed: Option<Vec<String>>,
    /// The hint in the queue.
    pub queue: Section<Hint>,
    /// Other blobs in the user's folders, such as the older service's.
    pub leftovers: Section<Leftovers>,
}

/// A section of the report, on a blob or folder that may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Section<T> {
    /// It doesn't exist.
    Absent,
    /// It exists, but can't be parsed.
    Damaged {
        /// What is wrong with it, and what follows.
        reason: String,
    },
    /// The store failed to return it.
    Unreadable {
        /// The store's error.
        reason: String,
    },
    /// Its contents.
    Present(T),
}

/// The contents of `state.json`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateSection {
    /// The newest change, finished or not.
    pub version: Version,
    /// Every change up to this one is finished.
    pub finished: Version,
    pub next_id: u32,
    pub format: BlobFormat,
    /// A newer version of the service wrote it, so this one may not change it.
    pub read_only: bool,
    /// Creates that are recorded under their `Idempotency-Key`.
    pub idempotency_records: usize,
    /// Files that were merged with Git's version, and not changed since.
    pub merged: Vec<String>,
    /// The last value that was read of the older service's `nextId.txt`.
    pub legacy_next_id: Option<u32>,
}

/// A write intent: an op whose file changes may or may not have landed yet.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingIntent {
    pub op: String,
    pub version: Version,
    /// When it was recorded, by the storage's clock.
    pub at: DateTime<Utc>,
    /// Its age, by the storage's clock.
    pub age_seconds: i64,
    /// Past the pending expiry: the next read recovers it.
    pub overdue: bool,
    pub files: Vec<PendingIntentFile>,
}

/// A file of a write intent.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingIntentFile {
    pub name: String,
    pub kind: ChangeKind,
    /// Whether the change has landed; unknown if the file can't be read.
    pub landed: Option<bool>,
}

/// The artifact's header, and whether it is valid.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactSection {
    /// The program, with its version, that wrote it.
    pub built_by: String,
    pub built_from: Version,
    pub cache_created_at: DateTime<Utc>,
    /// Its age, by the storage's clock; `None` if that is unknown or in the future.
    pub age_seconds: Option<i64>,
    pub files: usize,
    /// Whether an instance with an empty cache would use it now, and why it wouldn't.
    pub taken: bool,
    pub reason: Option<&'static str>,
}

/// The task files.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RawSection {
    /// All of them, without tombstones.
    pub files: usize,
    /// Those that are tasks.
    pub tasks: usize,
    /// Those that can't be parsed as tasks, with the code that `problems` gives.
    pub unreadable: Vec<UnreadableTask>,
    /// Tombstones of creates that recovery undid; they count as absent.
    pub settled: Vec<String>,
    /// Those that aren't `.md`.
    pub others: usize,
    /// Those that the store failed to return.
    pub failed: Vec<FailedRead>,
}

/// A file with a problem.
#[derive(Debug, Clone, Serialize)]
pub struct UnreadableTask {
    pub name: String,
    pub code: ProblemCode,
    pub line: Option<u32>,
}

/// A file that the store failed to return.
#[derive(Debug, Clone, Serialize)]
pub struct FailedRead {
    pub name: String,
    pub reason: String,
}

/// The contents of `git.json`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GitSection {
    /// The repository, branch and folder it is about (`owner/name@branch:folder`).
    pub place: Option<String>,
    /// Whether that is the present mirror; if not, the contents are ignored.
    pub current: bool,
    /// The commit of the last comparison.
    pub commit: Option<String>,
    /// The time of the last comparison.
    pub synced_at: Option<DateTime<Utc>>,
    /// How many files Git is known to hold.
    pub files: usize,
    /// Files with a push intent: their commit may or may not have been made.
    pub pushing: Vec<String>,
    /// Files with an intent to import them from Git.
    pub taking: Vec<String>,
    /// Files with an intent to create a pull request's branch.
    pub proposing: Vec<String>,
    /// Files with an open pull request, and its URL.
    pub pulls: Vec<(String, String)>,
    /// The last error: code, message, and the time since which it persists.
    pub last_error: Option<(String, String, DateTime<Utc>)>,
}

/// A folder of the same login in another letter case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseVariant {
    pub user_id: String,
    pub owner: Section<AccountIdentity>,
}

/// A hint in the queue.
#[derive(Debug, Clone, Serialize)]
pub struct Hint {
    /// The time it was left, as it is in the blob.
    pub since: String,
}

/// Blobs in the user's folders that this version doesn't use.
#[derive(Debug, Clone, Serialize)]
pub struct Leftovers {
    pub blobs: Vec<String>,
}

impl<T> Section<T> {
    pub(super) fn unreadable(error: &StoreError) -> Self {
        let reason = error.to_string();
        Self::Unreadable { reason }
    }

    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Damaged { reason }
    }

    pub(super) fn present(&self) -> Option<&T> {
        match self {
            Self::Present(it) => Some(it),
            Self::Absent | Self::Damaged { .. } | Self::Unreadable { .. } => None,
        }
    }

    pub(super) fn map<P>(self, map: impl FnOnce(T) -> P) -> Section<P> {
        match self {
            Self::Absent => Section::Absent,
            Self::Damaged { reason } => Section::Damaged { reason },
            Self::Unreadable { reason } => Section::Unreadable { reason },
            Self::Present(it) => Section::Present(map(it)),
        }
    }

    /// Whether it is absent, and whether it is unreadable.
    fn flags(&self) -> (bool, bool) {
        let is_unreadable = matches!(self, Self::Unreadable { .. });
        (matches!(self, Self::Absent), is_unreadable)
    }
}

impl InspectReport {
    /// The flags of all sections but that of the spellings, whose blobs are other users'.
    fn flags(&self) -> [(bool, bool); 7] {
        [
            self.state.flags(),
            self.artifact.flags(),
            self.raw.flags(),
            self.owner.flags(),
            self.git.flags(),
            self.queue.flags(),
            self.leftovers.flags(),
        ]
    }

    /// Whether anything is stored for the user; an unreadable section counts.
    pub fn is_there(&self) -> bool {
        let is_absent = self.flags().iter().all(|(is_absent, _)| *is_absent);
        !is_absent || !self.is_complete()
    }

    /// Whether the store returned everything.
    pub fn is_complete(&self) -> bool {
        let sections = self.flags().into_iter().chain([self.spellings.flags()]);
        let are_failed = self.raw.present().is_some_and(|raw| !raw.failed.is_empty());
        !are_failed && !sections.into_iter().any(|(_, is_unreadable)| is_unreadable)
    }
}
