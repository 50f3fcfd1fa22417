//! The steps of a deletion.

use std::time::Duration;

use super::{DeleteError, Deletion, DeletionReport};
use crate::admin::ask;
use crate::codex::{
    BatchItem, ChangeKind, Codex, Consistency, FileOp, FileOutcome, MAX_BATCH, Mirrored, PendingOp,
    ReadRequest, State, SyncStateSummary, WeekError, forget_mirrored, mirrored,
};
use crate::store::{Blob, BlobKey, BlobStore, DeleteOutcome, ETag, ListedBlob, Prefix, StoreError};
use crate::task::{FileName, TOMBSTONE_FILE};

/// The interval at which pending creates are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Attempts to delete one blob that other writers keep changing.
const MAX_ATTEMPTS: u32 = 5;

/// A running deletion.
pub(super) struct Removal<'a> {
    store: &'a dyn BlobStore,
    codex: &'a Codex,
    deletion: &'a Deletion,
    pub(super) report: DeletionReport,
}

/// The files in the user's task folder, by how they are removed.
#[derive(Default)]
struct FilesToDelete {
    /// Task files: removed through the write protocol.
    tasks: Vec<(FileName, ETag)>,
    /// Other files: removed directly.
    others: Vec<(BlobKey, ETag)>,
    tombstones: usize,
}

impl FilesToDelete {
    fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.others.is_empty()
    }
}

impl<'a> Removal<'a> {
    pub(super) fn new(store: &'a dyn BlobStore, codex: &'a Codex, deletion: &'a Deletion) -> Self {
        Self {
            store,
            codex,
            deletion,
            report: DeletionReport::default(),
        }
    }

    /// One pass over everything. Returns whether nothing reappeared during it.
    pub(super) async fn run_pass(&mut self) -> Result<bool, DeleteError> {
        let user = &self.deletion.user;
        // The hint goes first, so that no worker starts to push these files now.
        self.remove(&BlobKey::hint(user)).await?;
        self.remove_files().await?;
        let Some(state) = self.quiescent_state().await? else {
            return Ok(false);
        };
        self.remove_git().await?;
        self.remove_artifacts().await?;
        self.remove_state_blobs().await?;
        self.remove_records().await?;
        if let Some(state) = state
            && !self
                .remove_version(&BlobKey::state(user), &state.etag)
                .await?
        {
            return Ok(false);
        }
        // A writer that was active when the hint was removed may have left another one, through which a sync
        // would import everything from Git again.
        self.remove(&BlobKey::hint(user)).await?;
        self.remove(&BlobKey::owner(user)).await?;
        self.verify_removed().await
    }

    /// Removes the task files; where there is a state, under write intents, so that instances see it.
    async fn remove_files(&mut self) -> Result<(), DeleteError> {
        let files = self.files().await?;
        for (key, etag) in files.others {
            self.remove_version(&key, &etag).await?;
        }
        let state = ask::get(self.store, &BlobKey::state(&self.deletion.user)).await?;
        let known = state.value.is_some_and(|blob| is_state(&blob));
        if !known {
            // Without a state document no instance has a version; the next read lists the files.
            for (name, etag) in files.tasks {
                if let Ok(key) = BlobKey::raw(&self.deletion.user, name.as_str()) {
                    self.remove_version(&key, &etag).await?;
                }
            }
            return Ok(());
        }
        let mut changes: Vec<BatchItem> = files.tasks.into_iter().map(removal_of).collect();
        while !changes.is_empty() {
            let batch = changes.split_off(changes.len().saturating_sub(MAX_BATCH));
            changes.extend(self.remove_batch(batch).await?);
        }
        self.codex.finish_writes().await;
        Ok(())
    }

    /// Removes files under one write intent. Returns those that were not attempted before its deadline.
    async fn remove_batch(&mut self, batch: Vec<BatchItem>) -> Result<Vec<BatchItem>, DeleteError> {
        let done = self
            .codex
            .write_files(&self.read_request(), batch.clone())
            .await;
        let outcomes = done.map_err(DeleteError::Write)?.outcomes;
        let removed = outcomes.iter().filter(|it| **it == FileOutcome::Done);
        self.report.removed += removed.count();
        let files = batch.into_iter().zip(&outcomes);
        let not_attempted = files.filter(|(_, outcome)| **outcome == FileOutcome::NotAttempted);
        let not_attempted: Vec<BatchItem> = not_attempted.map(|(file, _)| file).collect();
        match not_attempted.len() == outcomes.len() {
            true => Err(DeleteError::TooSlow),
            false => Ok(not_attempted),
        }
    }

    fn read_request(&self) -> ReadRequest {
        ReadRequest {
            user: self.deletion.user.clone(),
            seen: None,
            consistency: Consistency::Strict,
            now: self.deletion.now.later(),
        }
    }

    async fn files(&mut self) -> Result<FilesToDelete, StoreError> {
        let prefix = Prefix::raw(&self.deletion.user);
        let listed = ask::list(self.store, &prefix).await?.value.blobs;
        let mut files = FilesToDelete::default();
        for file in listed {
            self.classify(file, &mut files).await?;
        }
        self.report.tombstones = files.tombstones;
        Ok(files)
    }

    async fn classify(
        &mut self,
        file: ListedBlob,
        files: &mut FilesToDelete,
    ) -> Result<(), StoreError> {
        let Ok(key) = BlobKey::raw(&self.deletion.user, &file.name) else {
            self.record_invalid_name(file.name);
            return Ok(());
        };
        if file.size == TOMBSTONE_FILE.len() as u64 && self.is_tombstone(&key).await? {
            files.tombstones += 1;
            return Ok(());
        }
        match file.name.parse::<FileName>() {
            Ok(name) => files.tasks.push((name, file.etag)),
            Err(_) => files.others.push((key, file.etag)),
        }
        Ok(())
    }

    /// Whether the file is a tombstone: no user data, and it blocks a create that may still land.
    async fn is_tombstone(&self, key: &BlobKey) -> Result<bool, StoreError> {
        match ask::get(self.store, key).await {
            Ok(answer) => {
                let bytes = answer.value.map(|blob| blob.bytes);
                Ok(bytes.is_some_and(|bytes| bytes == TOMBSTONE_FILE.as_bytes()))
            }
            Err(StoreError::Unreadable { .. } | StoreError::NotAFile { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The state document in a version without pending creates, after which the folder was found empty:
    /// `Some(None)` without a state document, `None` if files have reappeared.
    ///
    /// Pending updates and removals don't matter: without the file their conditions fail.
    async fn quiescent_state(&mut self) -> Result<Option<Option<Blob>>, DeleteError> {
        let key = BlobKey::state(&self.deletion.user);
        let deadline = self.deletion.now.later().started + self.deletion.pending_timeout;
        loop {
            let answer = ask::get(self.store, &key).await?;
            let state = answer.value.as_ref();
            let state = state.and_then(|blob| State::parse(&blob.bytes).ok().flatten());
            let creating = state.is_some_and(|it| it.pending.values().any(is_create));
            if !creating {
                let gone = self.files().await?.is_empty();
                return Ok(gone.then_some(answer.value));
            }
            if self.deletion.now.later().started >= deadline {
                return Err(DeleteError::Contended);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            // The read recovers overdue write intents.
            let read = self.codex.week(&self.read_request()).await;
            read.map(drop).or_else(ignore_rate_limit)?;
        }
    }

    /// Removes `git.json`, and the user's entry in `state/.github.json` if Git holds nothing: while Git has the
    /// folder, the entry keeps the service from importing it again.
    async fn remove_git(&mut self) -> Result<(), DeleteError> {
        let user = &self.deletion.user;
        let key = BlobKey::git(user);
        for _ in 0..MAX_ATTEMPTS {
            let Some(blob) = ask::get(self.store, &key).await?.value else {
                return Ok(());
            };
            let Ok(note) = SyncStateSummary::parse(&blob.bytes) else {
                return Err(DeleteError::Newer("git.json"));
            };
            // Before git.json goes: it is the only record of what Git holds.
            if note.is_some_and(|note| holds_nothing(&note)) {
                forget_mirrored(self.store, user).await?;
            }
            if self.remove_version(&key, &blob.etag).await? {
                return Ok(());
            }
        }
        Err(DeleteError::Contended)
    }

    async fn remove_artifacts(&mut self) -> Result<(), DeleteError> {
        let user = &self.deletion.user;
        let listed = ask::list(self.store, &Prefix::artifacts(user)).await?;
        for blob in listed.value.blobs {
            match BlobKey::in_artifacts(user, &blob.name) {
                Ok(key) => self.remove(&key).await?,
                Err(_) => self.record_invalid_name(blob.name),
            }
        }
        Ok(())
    }

    /// Removes what lies below `state/{user}/`, but for the state and the owner record, which go last.
    async fn remove_state_blobs(&mut self) -> Result<(), DeleteError> {
        let user = &self.deletion.user;
        let last = [BlobKey::state(user), BlobKey::owner(user)];
        let listed = ask::list(self.store, &Prefix::state(user)).await?;
        for blob in listed.value.blobs {
            match BlobKey::in_state(user, &blob.name) {
                Ok(key) if last.iter().any(|it| it.path() == key.path()) => {}
                Ok(key) => self.remove(&key).await?,
                Err(_) => self.record_invalid_name(blob.name),
            }
        }
        Ok(())
    }

    /// Removes the older service's idempotency records of the user.
    async fn remove_records(&mut self) -> Result<(), DeleteError> {
        let prefix = Prefix::legacy_idempotency(&self.deletion.user);
        let listed = ask::list(self.store, &prefix).await?;
        for blob in listed.value.blobs {
            if let Some(key) = BlobKey::leftover(&prefix, &blob.name) {
                self.remove(&key).await?;
            }
        }
        Ok(())
    }

    /// Records each name once, though every pass meets it.
    fn record_invalid_name(&mut self, name: String) {
        if !self.report.invalid_names.contains(&name) {
            self.report.invalid_names.push(name);
        }
    }

    /// Removes a blob in whatever version exists.
    async fn remove(&mut self, key: &BlobKey) -> Result<(), DeleteError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(blob) = ask::get(self.store, key).await?.value else {
                return Ok(());
            };
            if self.remove_version(key, &blob.etag).await? {
                return Ok(());
            }
        }
        Err(DeleteError::Contended)
    }

    /// Removes a blob if it still has this ETag. Returns whether it is gone.
    async fn remove_version(&mut self, key: &BlobKey, etag: &ETag) -> Result<bool, DeleteError> {
        let call = self.store.delete(key, etag);
        let deleted = ask::with_timeout("delete", key.path(), call).await?.value;
        self.report.removed += usize::from(deleted == DeleteOutcome::Done);
        Ok(match deleted {
            DeleteOutcome::Done | DeleteOutcome::Absent => true,
            // Another request, or this one by a lost answer, may have deleted it.
            DeleteOutcome::Refused => ask::get(self.store, key).await?.value.is_none(),
        })
    }

    /// Whether everything that was removed is still gone. What a request during the deletion created is a new,
    /// empty week, and is only reported.
    async fn verify_removed(&mut self) -> Result<bool, DeleteError> {
        let user = &self.deletion.user;
        let hint = ask::get(self.store, &BlobKey::hint(user)).await?.value;
        if hint.is_some() || !self.files().await?.is_empty() {
            return Ok(false);
        }
        let records = Prefix::legacy_idempotency(user);
        let records = ask::list(self.store, &records).await?.value.blobs;
        for record in records {
            self.record_invalid_name(record_name(&record.name));
        }
        self.report.mirrored = mirrored(self.store, user).await? != Mirrored::No;
        let beside = ask::list(self.store, &Prefix::state(user)).await?.value;
        self.report.recreated = beside.blobs.into_iter().map(|it| it.name).collect();
        if self.report.recreated.is_empty() {
            // An instance with an older listing may have written the artifact since.
            self.remove_artifacts().await?;
        }
        Ok(true)
    }
}

/// A record's path below `state/{user}/`.
fn record_name(name: &str) -> String {
    format!("{}/{name}", Prefix::IDEMPOTENCY)
}

fn removal_of((name, etag): (FileName, ETag)) -> BatchItem {
    BatchItem {
        name,
        operation: FileOp::Remove(etag),
        merged: vec![],
        write: None,
    }
}

/// Whether Git is known to hold none of the user's files, and no push is under way.
fn holds_nothing(note: &SyncStateSummary) -> bool {
    note.place.is_some() && note.files.is_empty() && note.pushing.is_empty()
}

fn is_create(op: &PendingOp) -> bool {
    op.files.iter().any(|file| file.kind == ChangeKind::Create)
}

fn is_state(blob: &Blob) -> bool {
    State::parse(&blob.bytes).is_ok_and(|state| state.is_some())
}

/// The read is only for its recovery; where the rebuild limit stops it, the next look at the state shows that.
fn ignore_rate_limit(error: WeekError) -> Result<(), DeleteError> {
    match error {
        WeekError::TooMany { .. } => Ok(()),
        WeekError::Read(error) => Err(DeleteError::Write(error.into())),
    }
}
