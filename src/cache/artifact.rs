//! The artifact layer: a user's parsed files as one blob, so that a new instance needs no listing. Disposable: it is
//! valid only while the state document is at the version it was built from.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use crate::store::{BlobFormat, BlobKey, BlobStore, BlobStoreExt, PutIf};
use crate::task::{
    ContentView, Datum, FileRecord, FileView, FixedSlot, FixedSlotView, GitSha, Kategorie, Parsed,
    Problem, Slot, Status, Task, TaskTable, TaskView,
};
use crate::user::UserId;
use crate::user_state::{State, Version};

/// The format written, and the only one read. The minor version is raised whenever the parser's result for the same
/// task file changes, so that no result of an older parser is used.
pub(super) const FORMAT: BlobFormat = BlobFormat { major: 1, minor: 2 };

/// A parsed `artifacts/{user}/timeline.json`.
#[derive(Debug)]
pub struct Artifact {
    /// Name and version of the program that wrote it.
    pub built_by: String,
    /// The state document's version when the files were listed, with nothing pending before or after.
    pub built_from: Version,
    /// When the files were listed, by the storage clock.
    pub listed_at: DateTime<Utc>,
    /// The parsed files.
    pub table: TaskTable,
}

/// Why a reader rejects an artifact, or what the shared cache has, and lists the files instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactRejection {
    /// The state document has write intents.
    Pending,
    /// It was built from another version than the state document's.
    OtherVersion,
    /// The listing is older than the TTL, or in the future: then the storage clock has been set back and its age is
    /// unknown.
    Expired,
}

/// How far apart the `Date`s of two simultaneous responses may be.
const CLOCK_STEP: TimeDelta = TimeDelta::seconds(2);

impl Artifact {
    /// Age of the listing at `date`, by the storage clock. `None` if it is in the future.
    pub fn age(&self, date: DateTime<Utc>) -> Option<Duration> {
        let age = date - self.listed_at;
        (age >= -CLOCK_STEP).then(|| age.to_std().unwrap_or_default())
    }

    /// Why a reader that finds this state document at `date` rejects the artifact; `None` if it accepts it.
    pub fn rejection(
        &self,
        state: &State,
        date: DateTime<Utc>,
        ttl: Duration,
    ) -> Option<ArtifactRejection> {
        match () {
            () if !state.pending.is_empty() => Some(ArtifactRejection::Pending),
            () if self.built_from != state.version => Some(ArtifactRejection::OtherVersion),
            () if !self.is_within_ttl(date, ttl) => Some(ArtifactRejection::Expired),
            () => None,
        }
    }

    /// Whether the listing is younger than `ttl` and not in the future.
    pub(super) fn is_within_ttl(&self, date: DateTime<Utc>, ttl: Duration) -> bool {
        self.age(date).is_some_and(|age| age < ttl)
    }

    /// Parses a blob. `None` if it is damaged, of another format or user, or the older service's artifact of the same
    /// name; readers treat that as no artifact.
    pub fn parse(bytes: &[u8], user: &UserId) -> Option<Self> {
        let document: ArtifactDocument<'_> = serde_json::from_slice(bytes).ok()?;
        if document.format != FORMAT || document.user_id != user.as_str() {
            return None;
        }
        let files = document.files.into_iter().map(FileDocument::into_record);
        Some(Self {
            built_by: document.built_by.into_owned(),
            built_from: document.built_from,
            listed_at: document.cache_created_at,
            table: TaskTable::new(files.collect()),
        })
    }
}

/// Reads a user's artifact. A failure is logged and treated as no artifact: it costs a listing.
pub(super) async fn read_artifact(store: &dyn BlobStore, user: &UserId) -> Option<Artifact> {
    match store.read(&BlobKey::artifact(user)).await {
        Ok(blob) => Artifact::parse(&blob?.bytes, user),
        Err(error) => {
            tracing::warn!(%user, %error, "the artifact can't be read; reads cost a listing");
            None
        }
    }
}

/// Writes the artifact of an exact snapshot. A failure is logged and costs the next new instance a listing. Does nothing
/// if the state document has a newer major format: then the artifact is left to that version of the service.
pub(super) async fn write_artifact(store: &dyn BlobStore, entry: &Snapshot) {
    let state = entry.bounds.state.as_ref();
    if state.is_some_and(|stored| stored.state.is_read_only()) {
        return;
    }
    let key = BlobKey::artifact(&entry.user);
    if let Err(error) = store.write(&key, artifact_bytes(entry), PutIf::Any).await {
        tracing::warn!(user = %entry.user, %error, "the artifact could not be written; reads cost a listing");
    }
}

pub(super) fn artifact_bytes(entry: &Snapshot) -> Vec<u8> {
    let document = ArtifactDocument {
        format: FORMAT,
        built_by: Cow::Borrowed(concat!("codex-miroir ", env!("CARGO_PKG_VERSION"))),
        built_from: entry.bounds.hi,
        cache_created_at: entry.listed_at(),
        user_id: Cow::Borrowed(entry.user.as_str()),
        files: entry.table().iter().map(FileDocument::of).collect(),
    };
    // Strings, numbers and lists of them: serialization can't fail.
    serde_json::to_vec(&document).unwrap_or_default()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactDocument<'a> {
    format: BlobFormat,
    built_by: Cow<'a, str>,
    built_from: Version,
    cache_created_at: DateTime<Utc>,
    user_id: Cow<'a, str>,
    files: Vec<FileDocument<'a>>,
}

#[derive(Serialize, Deserialize)]
struct FileDocument<'a> {
    name: Cow<'a, str>,
    etag: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha: Option<GitSha>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Cow<'a, Problem>>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    settled: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDocument<'a> {
    title: Cow<'a, str>,
    kategorie: Kategorie,
    status: Status,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    tags: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Datum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_slot: Option<Slot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_slot_problem: Option<Cow<'a, Problem>>,
    #[serde(rename = "abgeschlossen_am", skip_serializing_if = "Option::is_none")]
    abgeschlossen_am: Option<Slot>,
}

impl<'a> FileDocument<'a> {
    fn of(file: FileView<'a>) -> Self {
        let mut document = Self {
            name: file.name.into(),
            etag: file.etag.into(),
            sha: file.sha,
            task: None,
            problem: None,
            settled: false,
        };
        match file.content {
            ContentView::Task(task) => document.task = Some(TaskDocument::of(task)),
            ContentView::NotATask => {}
            ContentView::Tombstone => document.settled = true,
            ContentView::Unreadable(problem) => document.problem = Some(Cow::Borrowed(problem)),
        }
        document
    }

    fn into_record(self) -> FileRecord {
        let content = match (self.task, self.problem, self.settled) {
            (Some(task), _, _) => Parsed::Task(task.into_task()),
            (None, Some(problem), _) => Parsed::Unreadable(problem.into_owned()),
            (None, None, true) => Parsed::Tombstone,
            (None, None, false) => Parsed::NotATask,
        };
        FileRecord {
            name: self.name.into_owned(),
            etag: self.etag.into_owned(),
            sha: self.sha,
            content,
        }
    }
}

impl<'a> TaskDocument<'a> {
    fn of(task: TaskView<'a>) -> Self {
        let (fixed_slot, fixed_slot_problem) = match task.fixed_slot {
            FixedSlotView::None => (None, None),
            FixedSlotView::At(slot) => (Some(slot), None),
            FixedSlotView::Invalid(problem) => (None, Some(Cow::Borrowed(problem))),
        };
        Self {
            title: task.title.text(),
            kategorie: task.kategorie,
            status: task.status,
            tags: task.tags.iter().map(Cow::Borrowed).collect(),
            deadline: task.deadline,
            fixed_slot,
            fixed_slot_problem,
            abgeschlossen_am: task.abgeschlossen_am,
        }
    }

    fn into_task(self) -> Task {
        Task {
            title: self.title.into_owned(),
            kategorie: self.kategorie,
            status: self.status,
            tags: self.tags.into_iter().map(Cow::into_owned).collect(),
            deadline: self.deadline,
            fixed_slot: match (self.fixed_slot, self.fixed_slot_problem) {
                (_, Some(problem)) => FixedSlot::Invalid(Box::new(problem.into_owned())),
                (Some(slot), None) => FixedSlot::At(slot),
                (None, None) => FixedSlot::None,
            },
            abgeschlossen_am: self.abgeschlossen_am,
        }
    }
}
