//! Deleting a user's data. Every step is idempotent: an interrupted deletion is run again from the start.

mod holdings;
pub mod plan;
mod report;

use std::time::Duration;

use super::error::AdminError;
use super::storage::{UserFolder, change, names, now, readable, write_all};
use crate::codex::{Codex, Consistency, FileOp, ReadRequest, State, TaskError};
use crate::git_sync::{Mirrored, UserSyncState, forget_mirrored, mirrored};
use crate::now::Now;
use crate::shared_cache::SharedSnapshots;
use crate::store::{
    Blob, BlobKey, BlobStore, BlobStoreExt, DeleteOutcome, ETag, ListedBlob, Prefix,
};
use crate::task::{FileName, TOMBSTONE_FILE};
use crate::user::UserId;
use plan::{BlobRemoval, is_creating, may_forget, refuse, removal};

pub use holdings::{Holdings, holdings};
pub use report::{DeletionReport, Storage};

/// Passes that are made while removed blobs keep reappearing.
const MAX_PASSES: u32 = 5;

/// The interval at which pending creates are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Attempts to delete one blob that other writers keep changing.
const MAX_ATTEMPTS: u32 = 5;

/// The parameters of a deletion.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// The user to delete.
    pub user: UserId,
    /// Delete even if `git.json` lists files: a sync would import them again.
    pub despite_git: bool,
    /// How long to wait for another writer's pending create: until it may be recovered, plus a margin.
    pub pending_timeout: Duration,
    /// When the deletion began.
    pub now: Now,
}

/// Deletes everything that is stored for a user, and reports what remains.
///
/// `codex` works on the same store, with GitHub mode off, so that it leaves no hints.
///
/// # Errors
/// [`AdminError`]. What was removed until then stays removed; the deletion can be repeated.
pub async fn delete(
    store: &dyn BlobStore,
    codex: &Codex,
    deletion: &Deletion,
) -> Result<DeletionReport, AdminError> {
    let mut driver = DeletionDriver {
        store,
        codex,
        user: &deletion.user,
        request: ReadRequest::new(deletion.user.clone(), Consistency::Strict, deletion.now),
        report: DeletionReport::default(),
    };
    match driver.run(deletion).await {
        Ok(()) => Ok(driver.report),
        Err(error @ (AdminError::Store(_) | AdminError::Read(_) | AdminError::Write(_))) => {
            Err(AdminError::Interrupted(Box::new(error)))
        }
        Err(error) => Err(error),
    }
}

/// Removes the user's snapshot from the cache that instances share, after the blobs: until then an instance may leave it
/// there again. Says what was done.
///
/// # Errors
/// [`AdminError::InShared`].
pub async fn delete_shared(
    shared: &dyn SharedSnapshots,
    user: &UserId,
) -> Result<&'static str, AdminError> {
    Ok(match shared.remove(user).await? {
        true => "In Redis: the snapshot that instances share is removed.",
        false => "In Redis: nothing.",
    })
}

/// A running deletion.
struct DeletionDriver<'a> {
    store: &'a dyn BlobStore,
    codex: &'a Codex,
    user: &'a UserId,
    request: ReadRequest,
    report: DeletionReport,
}

/// A file in the task folder.
struct FileToDelete {
    key: BlobKey,
    etag: ETag,
    /// Its name, if it is a task file.
    task: Option<FileName>,
}

impl DeletionDriver<'_> {
    async fn run(&mut self, deletion: &Deletion) -> Result<(), AdminError> {
        let held = holdings(self.store, self.user).await?;
        refuse(&held, deletion.despite_git)?;
        for _ in 0..MAX_PASSES {
            if self.pass(deletion).await? {
                return Ok(());
            }
        }
        Err(AdminError::Contended)
    }

    /// Takes every step, in an order that matters. Returns false as soon as something has reappeared: then another
    /// pass is needed.
    async fn pass(&mut self, deletion: &Deletion) -> Result<bool, AdminError> {
        let hint = BlobKey::hint(self.user);
        // So that no worker starts to push these files now.
        self.remove(&hint).await?;
        // Running instances see each removal.
        self.remove_task_files().await?;
        let state = self.settle(deletion).await?;
        if !self.task_folder().await?.is_empty() {
            return Ok(false);
        }
        // No reconcile restores a removed file from Git any more.
        self.remove_git().await?;
        for folder in [
            UserFolder::Artifacts,
            UserFolder::State,
            UserFolder::Records,
        ] {
            self.remove_folder(folder).await?;
        }
        // In a version in which no create was pending and no file was left, so that every instance lists the folder
        // anew at its next read.
        if let Some(etag) = state
            && !self
                .remove_version(&BlobKey::state(self.user), &etag)
                .await?
        {
            return Ok(false);
        }
        // A writer that was active when the first hint was removed may have left another one, through which a sync
        // would import everything from Git again.
        self.remove(&hint).await?;
        // Last, so that no other account can claim the login before.
        self.remove(&BlobKey::owner(self.user)).await?;
        self.verify().await
    }

    /// Removes the task files: where there is a state, through the write protocol.
    async fn remove_task_files(&mut self) -> Result<(), AdminError> {
        let files = self.task_folder().await?.into_iter();
        let (tasks, others): (Vec<_>, Vec<_>) = files.partition(|file| file.task.is_some());
        self.remove_files(others).await?;
        let state = self.store.read(&BlobKey::state(self.user)).await?;
        if state.as_ref().and_then(parse_state).is_none() {
            // Without a state document no instance has a version; the next read lists the files.
            return self.remove_files(tasks).await;
        }
        let removal = |file: FileToDelete| Some(change(file.task?, FileOp::Remove(file.etag)));
        let changes = tasks.into_iter().filter_map(removal).collect();
        let (removed, _) = write_all(self.codex, &self.request, changes).await?;
        self.report.removed += removed;
        self.codex.finish_writes().await;
        Ok(())
    }

    async fn remove_files(&mut self, files: Vec<FileToDelete>) -> Result<(), AdminError> {
        for file in files {
            self.remove_version(&file.key, &file.etag).await?;
        }
        Ok(())
    }

    /// The files in the task folder, but for tombstones: those are no user data, and block creates that may still land.
    async fn task_folder(&mut self) -> Result<Vec<FileToDelete>, AdminError> {
        let listed = self.store.list(&Prefix::raw(self.user)).await?.value.blobs;
        self.report.tombstones = 0;
        let mut files = vec![];
        for file in listed {
            let Some(key) = BlobKey::raw(self.user, &file.name) else {
                self.report.note_invalid(file.name);
                continue;
            };
            if file.size == TOMBSTONE_FILE.len() as u64 && self.is_tombstone(&key).await? {
                self.report.tombstones += 1;
                continue;
            }
            let (etag, task) = (file.etag, file.name.parse().ok());
            files.push(FileToDelete { key, etag, task });
        }
        Ok(files)
    }

    async fn is_tombstone(&self, key: &BlobKey) -> Result<bool, AdminError> {
        let blob = readable(self.store.read(key).await)?.flatten();
        Ok(blob.is_some_and(|blob| blob.bytes == TOMBSTONE_FILE.as_bytes()))
    }

    /// Waits until no create is pending. Returns the state document in which none is.
    async fn settle(&self, deletion: &Deletion) -> Result<Option<ETag>, AdminError> {
        let deadline = deletion.now.later().started + deletion.pending_timeout;
        loop {
            let blob = self.store.read(&BlobKey::state(self.user)).await?;
            let state = blob.as_ref().and_then(parse_state);
            if !state.as_ref().is_some_and(is_creating) {
                return Ok(blob.map(|blob| blob.etag));
            }
            if deletion.now.later().started >= deadline {
                return Err(AdminError::Contended);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            // The read is only for its recovery of overdue write intents; where the rebuild limit stops it, the next
            // look at the state shows that.
            match self.codex.reader().week(&now(&self.request)).await {
                Ok(_) | Err(TaskError::TooMany { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes `git.json`, and the name in `state/.github.json` if Git holds nothing.
    async fn remove_git(&mut self) -> Result<(), AdminError> {
        let key = BlobKey::git(self.user);
        for _ in 0..MAX_ATTEMPTS {
            let Some(blob) = self.store.read(&key).await? else {
                return Ok(());
            };
            let note = UserSyncState::parse(&blob.bytes);
            let note = note.map_err(|_| AdminError::Newer("git.json"))?;
            // Before git.json goes: it is the only record of what Git holds.
            if note.is_some_and(|note| may_forget(&note)) {
                forget_mirrored(self.store, self.user).await?;
            }
            if self.remove_version(&key, &blob.etag).await? {
                return Ok(());
            }
        }
        Err(AdminError::Contended)
    }

    async fn remove_folder(&mut self, folder: UserFolder) -> Result<(), AdminError> {
        let listed = self.store.list(&folder.prefix(self.user)).await?;
        for ListedBlob { name, .. } in listed.value.blobs {
            match removal(folder, self.user, &name) {
                BlobRemoval::Now(key) => self.remove(&key).await?,
                BlobRemoval::Later => {}
                BlobRemoval::Impossible => self.report.note_invalid(name),
            }
        }
        Ok(())
    }

    /// Removes a blob in whatever version exists.
    async fn remove(&mut self, key: &BlobKey) -> Result<(), AdminError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(blob) = self.store.read(key).await? else {
                return Ok(());
            };
            if self.remove_version(key, &blob.etag).await? {
                return Ok(());
            }
        }
        Err(AdminError::Contended)
    }

    /// Removes a blob if it still has this ETag. Returns whether it is gone.
    async fn remove_version(&mut self, key: &BlobKey, etag: &ETag) -> Result<bool, AdminError> {
        let deleted = self.store.delete(key, etag).await?.value;
        self.report.removed += usize::from(deleted == DeleteOutcome::Done);
        Ok(match deleted {
            DeleteOutcome::Done | DeleteOutcome::Absent => true,
            // Another request, or this one by a lost answer, may have deleted it.
            DeleteOutcome::Refused => self.store.read(key).await?.is_none(),
        })
    }

    /// Whether everything that was removed is still gone. What a request during the deletion created is a new,
    /// empty week, and is only reported.
    async fn verify(&mut self) -> Result<bool, AdminError> {
        let hint = self.store.read(&BlobKey::hint(self.user)).await?;
        if hint.is_some() || !self.task_folder().await?.is_empty() {
            return Ok(false);
        }
        for record in names(self.store, &UserFolder::Records.prefix(self.user)).await? {
            let name = format!("{}/{record}", Prefix::IDEMPOTENCY);
            self.report.note_invalid(name);
        }
        self.report.mirrored = mirrored(self.store, self.user).await? != Mirrored::No;
        self.report.recreated = names(self.store, &Prefix::state(self.user)).await?;
        if self.report.recreated.is_empty() {
            // An instance with an older listing may have written the artifact since.
            self.remove_folder(UserFolder::Artifacts).await?;
        }
        Ok(true)
    }
}

fn parse_state(blob: &Blob) -> Option<State> {
    State::parse(&blob.bytes).ok().flatten()
}
