//! The report as it is printed.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::differences::Difference;
use crate::codex::{BlobFormat, ChangeKind, Version};
use crate::owners::AccountIdentity;
use crate::store::StoreError;
use crate::task::ProblemCode;

/// Everything that determines what a user is shown. `--json` prints it serialised.
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
    /// The number the next task gets.
    pub next_id: u32,
    /// The blob's format.
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
    /// The op's id.
    pub op: String,
    /// Its version.
    pub version: Version,
    /// When it was recorded, by the storage's clock.
    pub at: DateTime<Utc>,
    /// Its age, by the storage's clock.
    pub age_seconds: i64,
    /// Past the pending expiry: the next read recovers it.
    pub overdue: bool,
    /// The files it changes.
    pub files: Vec<PendingIntentFile>,
}

/// A file of a write intent.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingIntentFile {
    /// Its name.
    pub name: String,
    /// What the op does to it.
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
    /// The version it was built from.
    pub built_from: Version,
    /// When its files were listed.
    pub cache_created_at: DateTime<Utc>,
    /// Its age, by the storage's clock; `None` if that is unknown or in the future.
    pub age_seconds: Option<i64>,
    /// The number of files in its table.
    pub files: usize,
    /// Whether an instance with an empty cache would use it now.
    pub taken: bool,
    /// Why it wouldn't.
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
    /// Its name.
    pub name: String,
    /// The problem.
    pub code: ProblemCode,
    /// Its line, if it has one.
    pub line: Option<u32>,
}

/// A file that the store failed to return.
#[derive(Debug, Clone, Serialize)]
pub struct FailedRead {
    /// Its name.
    pub name: String,
    /// The store's error.
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
    /// The folder's name.
    pub user_id: String,
    /// Its `owner.json`.
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
    /// Their paths.
    pub blobs: Vec<String>,
}

impl<T> Section<T> {
    pub(super) fn unreadable(error: &StoreError) -> Self {
        let reason = error.to_string();
        Self::Unreadable { reason }
    }

    pub(super) fn damaged(reason: &str) -> Self {
        let reason = reason.to_owned();
        Self::Damaged { reason }
    }

    /// Whether the blob exists, parseable or not.
    fn exists(&self) -> bool {
        matches!(self, Self::Present(_) | Self::Damaged { .. })
    }

    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }
}

impl InspectReport {
    /// Whether anything is stored for the user; an unreadable section counts.
    pub fn is_there(&self) -> bool {
        self.state.exists()
            || self.artifact.exists()
            || self.raw.exists()
            || self.owner.exists()
            || self.git.exists()
            || self.queue.exists()
            || self.leftovers.exists()
            || !self.is_complete()
    }

    /// Whether the store returned everything.
    pub fn is_complete(&self) -> bool {
        let failed = |raw: &Section<RawSection>| match raw {
            Section::Present(raw) => !raw.failed.is_empty(),
            other => other.is_unreadable(),
        };
        !(failed(&self.raw)
            || self.state.is_unreadable()
            || self.artifact.is_unreadable()
            || self.owner.is_unreadable()
            || self.spellings.is_unreadable()
            || self.git.is_unreadable()
            || self.queue.is_unreadable()
            || self.leftovers.is_unreadable())
    }
}
