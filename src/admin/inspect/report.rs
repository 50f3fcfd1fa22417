//! What was seen of a user, as it is printed.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::differences::Difference;
use crate::codex::{ChangeKind, Format, Holder, Version};
use crate::store::StoreError;
use crate::task::ProblemCode;

/// Everything that has a say in what a user is shown. Serialised it is what `--json` prints.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whose.
    pub user_id: String,
    /// When the state was read, by the storage's clock.
    pub asked_at: Option<DateTime<Utc>>,
    /// The state was written while the rest was read, so that the parts may not be of one moment.
    pub moved_meanwhile: bool,
    /// `state.json`.
    pub state: Part<StatePart>,
    /// The marks in it.
    pub pending: Vec<Mark>,
    /// The artifact.
    pub artifact: Part<ArtifactPart>,
    /// Where it and the files differ; nothing where one of them isn't there or can't be read.
    pub differences: Option<Vec<Difference>>,
    /// The task files.
    pub raw: Part<RawPart>,
    /// `owner.json`.
    pub owner: Part<Holder>,
    /// Folders of the same login in another letter case; whoever signs in has one of them.
    pub spellings: Part<Vec<Spelling>>,
    /// `git.json`.
    pub git: Part<GitPart>,
    /// Files that Git doesn't have as they are, as far as `git.json` tells; nothing where GitHub mode is off
    /// and was never on.
    pub unpushed: Option<Vec<String>>,
    /// The hint in the queue.
    pub queue: Part<Hint>,
    /// What lies beside the known blobs, as the older service left it.
    pub leftovers: Part<Leftovers>,
}

/// Something that may be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Part<T> {
    /// It isn't.
    Absent,
    /// It is, and isn't what it should be.
    Damaged {
        /// What is known of it.
        reason: String,
    },
    /// The store didn't hand it out.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// It is.
    Present(T),
}

/// What `state.json` says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatePart {
    /// The newest change, finished or not.
    pub version: Version,
    /// Every change up to this one is finished.
    pub finished: Version,
    /// The number the next task gets.
    pub next_id: u32,
    /// Of the blob.
    pub format: Format,
    /// A newer version of the service wrote it, so that this one changes nothing.
    pub read_only: bool,
    /// How many creates are remembered by their `Idempotency-Key`.
    pub idempotency_records: usize,
    /// Files that were merged with what Git had, and not changed since.
    pub merged: Vec<String>,
    /// What the older service's `nextId.txt` said last.
    pub legacy_next_id: Option<u32>,
}

/// An op whose files may or may not have changed yet.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// Its name.
    pub op: String,
    /// Its version.
    pub version: Version,
    /// When it was set.
    pub at: DateTime<Utc>,
    /// How old it is, by the storage's clock.
    pub age_seconds: i64,
    /// The next read settles it.
    pub overdue: bool,
    /// What it writes.
    pub files: Vec<MarkedFile>,
}

/// A file of a mark.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MarkedFile {
    /// Its name.
    pub name: String,
    /// What the op does to it.
    pub kind: ChangeKind,
    /// Whether that has happened; unknown where the files can't be read.
    pub landed: Option<bool>,
}

/// What the artifact says of itself.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactPart {
    /// The program that wrote it.
    pub built_by: String,
    /// The version it was built from.
    pub built_from: Version,
    /// When its files were listed.
    pub cache_created_at: DateTime<Utc>,
    /// How long ago that was, by the storage's clock.
    pub age_seconds: Option<i64>,
    /// How many files it knows.
    pub files: usize,
    /// Whether a reader with an empty memory takes it now.
    pub taken: bool,
    /// Why not.
    pub reason: Option<&'static str>,
}

/// The task files.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RawPart {
    /// All of them, without settled ones.
    pub files: usize,
    /// Those that are tasks.
    pub tasks: usize,
    /// Those that can't be read as tasks, for a reason that stands in `problems`.
    pub unreadable: Vec<Unreadable>,
    /// Those that stand where a create was given up, and count as absent.
    pub settled: Vec<String>,
    /// Those that aren't `.md`.
    pub others: usize,
    /// Those that the store didn't hand out now.
    pub failed: Vec<Failed>,
}

/// A file with a problem.
#[derive(Debug, Clone, Serialize)]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// The problem.
    pub code: ProblemCode,
    /// Where, if it has a line.
    pub line: Option<u32>,
}

/// A file that the store didn't hand out.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What `git.json` says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GitPart {
    /// Which repository, branch and folder it is about.
    pub place: Option<String>,
    /// That is where the files are mirrored now; else it counts as empty.
    pub current: bool,
    /// The commit that was last looked at.
    pub commit: Option<String>,
    /// When that was.
    pub synced_at: Option<DateTime<Utc>>,
    /// How many files Git is known to hold.
    pub files: usize,
    /// Files that were about to be committed, and nobody knows the end of it.
    pub pushing: Vec<String>,
    /// Files that were about to be taken from Git.
    pub taking: Vec<String>,
    /// Files for whose pull request a branch was about to be made.
    pub proposing: Vec<String>,
    /// Files with an open pull request, and its address.
    pub pulls: Vec<(String, String)>,
    /// What went wrong last: a code, a sentence, since when.
    pub last_error: Option<(String, String, DateTime<Utc>)>,
}

/// A folder of the same login in another letter case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spelling {
    /// Its name.
    pub user_id: String,
    /// Its `owner.json`.
    pub owner: Part<Holder>,
}

/// A hint in the queue.
#[derive(Debug, Clone, Serialize)]
pub struct Hint {
    /// Since when, as it says.
    pub since: String,
}

/// What lies beside the known blobs.
#[derive(Debug, Clone, Serialize)]
pub struct Leftovers {
    /// Paths.
    pub blobs: Vec<String>,
}

impl<T> Part<T> {
    pub(super) fn unreadable(error: &StoreError) -> Self {
        let reason = error.to_string();
        Self::Unreadable { reason }
    }

    pub(super) fn damaged(reason: &str) -> Self {
        let reason = reason.to_owned();
        Self::Damaged { reason }
    }

    /// Whether something is there, whatever it is.
    fn exists(&self) -> bool {
        matches!(self, Self::Present(_) | Self::Damaged { .. })
    }

    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }
}

impl Report {
    /// Whether there is anything of the user in storage: something unreadable may be.
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

    /// Whether the store handed out everything.
    pub fn is_complete(&self) -> bool {
        let failed = |raw: &Part<RawPart>| match raw {
            Part::Present(raw) => !raw.failed.is_empty(),
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
