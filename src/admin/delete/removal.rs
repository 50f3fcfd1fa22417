//! The steps of a deletion.

use std::time::Duration;

use super::{DeleteError, Deletion, Kept};
use crate::admin::ask;
use crate::codex::{
    Act, ChangeKind, Codex, FileChange, FileFate, Freshness, GitNote, MAX_BATCH, Mirrored,
    PendingOp, State, Want, WeekError, forget_mirrored, mirrored,
};
use crate::store::{Blob, BlobStore, Deleted, ETag, Key, Listed, Prefix, StoreError};
use crate::task::{FileName, SETTLED_FILE};

/// Between two looks at an op that somebody has begun.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a single blob is tried that others keep writing.
const ATTEMPTS: u32 = 5;

/// A deletion under way.
pub(super) struct Removal<'a> {
    store: &'a dyn BlobStore,
    codex: &'a Codex,
    deletion: &'a Deletion,
    pub(super) kept: Kept,
}

/// The user's task files, by what becomes of them.
#[derive(Default)]
struct Files {
    /// To be removed by the write protocol.
    tasks: Vec<(FileName, ETag)>,
    /// To be removed as they are: not called as task files are.
    others: Vec<(Key, ETag)>,
    settled: usize,
}

impl Files {
    fn are_gone(&self) -> bool {
        self.tasks.is_empty() && self.others.is_empty()
    }
}

impl<'a> Removal<'a> {
    pub(super) fn new(store: &'a dyn BlobStore, codex: &'a Codex, deletion: &'a Deletion) -> Self {
        Self {
            store,
            codex,
            deletion,
            kept: Kept::default(),
        }
    }

    /// One pass over everything. Whether nothing has come back meanwhile.
    pub(super) async fn round(&mut self) -> Result<bool, DeleteError> {
        let user = &self.deletion.user;
        // First, so that nobody who looks for work begins to share these files with Git now.
        self.remove(&Key::hint(user)).await?;
        self.remove_files().await?;
        let Some(state) = self.quiet_state().await? else {
            return Ok(false);
        };
        self.remove_git().await?;
        self.remove_cached().await?;
        self.remove_beside().await?;
        self.remove_records().await?;
        if let Some(state) = state
            && !self.remove_version(&Key::state(user), &state.etag).await?
        {
            return Ok(false);
        }
        // Whoever was at work when the first one went may have left another one, by which all would be taken
        // from Git again.
        self.remove(&Key::hint(user)).await?;
        self.remove(&Key::owner(user)).await?;
        self.look_back().await
    }

    /// Removes the task files. Where there is a state, under marks, so that instances follow.
    async fn remove_files(&mut self) -> Result<(), DeleteError> {
        let files = self.files().await?;
        for (key, etag) in files.others {
            self.remove_version(&key, &etag).await?;
        }
        let state = ask::get(self.store, &Key::state(&self.deletion.user)).await?;
        let known = state.value.is_some_and(|blob| is_state(&blob));
        if !known {
            // Nobody has a version of it: whoever comes next lists the files.
            for (name, etag) in files.tasks {
                if let Ok(key) = Key::raw(&self.deletion.user, name.as_str()) {
                    self.remove_version(&key, &etag).await?;
                }
            }
            return Ok(());
        }
        let mut changes: Vec<FileChange> = files.tasks.into_iter().map(removal_of).collect();
        while !changes.is_empty() {
            let batch = changes.split_off(changes.len().saturating_sub(MAX_BATCH));
            changes.extend(self.remove_batch(batch).await?);
        }
        self.codex.finish_writes().await;
        Ok(())
    }

    /// Removes files under one mark. Those that its time wasn't enough for.
    async fn remove_batch(
        &mut self,
        batch: Vec<FileChange>,
    ) -> Result<Vec<FileChange>, DeleteError> {
        let done = self.codex.write_files(&self.want(), batch.clone()).await;
        let fates = done.map_err(DeleteError::Write)?.fates;
        let removed = fates.iter().filter(|it| **it == FileFate::Done);
        self.kept.removed += removed.count();
        let files = batch.into_iter().zip(&fates);
        let untried = files.filter(|(_, fate)| **fate == FileFate::Untried);
        let untried: Vec<FileChange> = untried.map(|(file, _)| file).collect();
        match untried.len() == fates.len() {
            true => Err(DeleteError::TooSlow),
            false => Ok(untried),
        }
    }

    fn want(&self) -> Want {
        Want {
            user: self.deletion.user.clone(),
            seen: None,
            known: None,
            freshness: Freshness::Strict,
            now: self.deletion.now.later(),
        }
    }

    async fn files(&mut self) -> Result<Files, StoreError> {
        let prefix = Prefix::raw(&self.deletion.user);
        let listed = ask::list(self.store, &prefix).await?.value.blobs;
        let mut files = Files::default();
        for file in listed {
            self.sort(file, &mut files).await?;
        }
        self.kept.settled = files.settled;
        Ok(files)
    }

    async fn sort(&mut self, file: Listed, files: &mut Files) -> Result<(), StoreError> {
        let Ok(key) = Key::raw(&self.deletion.user, &file.name) else {
            self.note_odd(file.name);
            return Ok(());
        };
        if file.size == SETTLED_FILE.len() as u64 && self.is_settled(&key).await? {
            files.settled += 1;
            return Ok(());
        }
        match file.name.parse::<FileName>() {
            Ok(name) => files.tasks.push((name, file.etag)),
            Err(_) => files.others.push((key, file.etag)),
        }
        Ok(())
    }

    /// Whether it holds nothing of the user's, and stands in the way of a create that may still come.
    async fn is_settled(&self, key: &Key) -> Result<bool, StoreError> {
        match ask::get(self.store, key).await {
            Ok(answer) => {
                let bytes = answer.value.map(|blob| blob.bytes);
                Ok(bytes.is_some_and(|bytes| bytes == SETTLED_FILE.as_bytes()))
            }
            Err(StoreError::Unreadable { .. } | StoreError::NotAFile { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The state, in a version in which no create was under way, and after which no file was there; `Some(None)`
    /// where there is no state, and `None` when files have come back.
    ///
    /// Updates and removals that somebody has begun don't matter: without the file they must fail.
    async fn quiet_state(&mut self) -> Result<Option<Option<Blob>>, DeleteError> {
        let key = Key::state(&self.deletion.user);
        let until = self.deletion.now.later().started + self.deletion.patience;
        loop {
            let answer = ask::get(self.store, &key).await?;
            let state = answer.value.as_ref();
            let state = state.and_then(|blob| State::parse(&blob.bytes).ok().flatten());
            let creating = state.is_some_and(|it| it.pending.values().any(creates));
            if !creating {
                let gone = self.files().await?.are_gone();
                return Ok(gone.then_some(answer.value));
            }
            if self.deletion.now.later().started >= until {
                return Err(DeleteError::Contended);
            }
            tokio::time::sleep(PAUSE).await;
            // Settles what is past its time.
            let settled = self.codex.week(&self.want()).await;
            settled.map(drop).or_else(tolerated)?;
        }
    }

    /// Removes what is known of Git, and the name in `state/.github.json` if Git holds nothing: while Git has
    /// the folder the name keeps the service from taking it in again.
    async fn remove_git(&mut self) -> Result<(), DeleteError> {
        let user = &self.deletion.user;
        let key = Key::git(user);
        for _ in 0..ATTEMPTS {
            let Some(blob) = ask::get(self.store, &key).await?.value else {
                return Ok(());
            };
            let Ok(note) = GitNote::parse(&blob.bytes) else {
                return Err(DeleteError::Newer("git.json"));
            };
            // Before git.json goes, which tells whether that is so.
            if note.is_some_and(|note| holds_nothing(&note)) {
                forget_mirrored(self.store, user).await?;
            }
            if self.remove_version(&key, &blob.etag).await? {
                return Ok(());
            }
        }
        Err(DeleteError::Contended)
    }

    async fn remove_cached(&mut self) -> Result<(), DeleteError> {
        let user = &self.deletion.user;
        let listed = ask::list(self.store, &Prefix::artifacts(user)).await?;
        for blob in listed.value.blobs {
            match Key::in_artifacts(user, &blob.name) {
                Ok(key) => self.remove(&key).await?,
                Err(_) => self.note_odd(blob.name),
            }
        }
        Ok(())
    }

    /// What lies beside the state and whose it is, which go last.
    async fn remove_beside(&mut self) -> Result<(), DeleteError> {
        let user = &self.deletion.user;
        let last = [Key::state(user), Key::owner(user)];
        let listed = ask::list(self.store, &Prefix::state(user)).await?;
        for blob in listed.value.blobs {
            match Key::in_state(user, &blob.name) {
                Ok(key) if last.iter().any(|it| it.path() == key.path()) => {}
                Ok(key) => self.remove(&key).await?,
                Err(_) => self.note_odd(blob.name),
            }
        }
        Ok(())
    }

    /// The older service's records of the user.
    async fn remove_records(&mut self) -> Result<(), DeleteError> {
        let prefix = Prefix::legacy_idempotency(&self.deletion.user);
        let listed = ask::list(self.store, &prefix).await?;
        for blob in listed.value.blobs {
            if let Some(key) = Key::leftover(&prefix, &blob.name) {
                self.remove(&key).await?;
            }
        }
        Ok(())
    }

    /// Once, however often it is met.
    fn note_odd(&mut self, name: String) {
        if !self.kept.odd.contains(&name) {
            self.kept.odd.push(name);
        }
    }

    /// Removes a blob in whatever version is there.
    async fn remove(&mut self, key: &Key) -> Result<(), DeleteError> {
        for _ in 0..ATTEMPTS {
            let Some(blob) = ask::get(self.store, key).await?.value else {
                return Ok(());
            };
            if self.remove_version(key, &blob.etag).await? {
                return Ok(());
            }
        }
        Err(DeleteError::Contended)
    }

    /// Removes a blob if it is still this one. Whether it is gone.
    async fn remove_version(&mut self, key: &Key, etag: &ETag) -> Result<bool, DeleteError> {
        let call = self.store.delete(key, etag);
        let deleted = ask::in_time("delete", key.path(), call).await?.value;
        self.kept.removed += usize::from(deleted == Deleted::Done);
        Ok(match deleted {
            Deleted::Done | Deleted::Absent => true,
            // It may have gone, by this very request or another.
            Deleted::Refused => ask::get(self.store, key).await?.value.is_none(),
        })
    }

    /// Whether everything has stayed away that was removed. A user who was asked for meanwhile has an empty
    /// week now, which is a new one.
    async fn look_back(&mut self) -> Result<bool, DeleteError> {
        let user = &self.deletion.user;
        let hint = ask::get(self.store, &Key::hint(user)).await?.value;
        if hint.is_some() || !self.files().await?.are_gone() {
            return Ok(false);
        }
        let records = Prefix::legacy_idempotency(user);
        let records = ask::list(self.store, &records).await?.value.blobs;
        for record in records {
            self.note_odd(record_name(&record.name));
        }
        self.kept.mirrored = mirrored(self.store, user).await? != Mirrored::No;
        let beside = ask::list(self.store, &Prefix::state(user)).await?.value;
        self.kept.came_back = beside.blobs.into_iter().map(|it| it.name).collect();
        if self.kept.came_back.is_empty() {
            // An instance that had listed the files before may have written it since.
            self.remove_cached().await?;
        }
        Ok(true)
    }
}

/// Below the user's state.
fn record_name(name: &str) -> String {
    format!("{}/{name}", Prefix::IDEMPOTENCY)
}

fn removal_of((name, etag): (FileName, ETag)) -> FileChange {
    FileChange {
        name,
        act: Act::Remove(etag),
        merged: vec![],
        write: None,
    }
}

/// Whether it is known that Git holds nothing of the user's, and nothing is on its way there.
fn holds_nothing(note: &GitNote) -> bool {
    note.place.is_some() && note.files.is_empty() && note.pushing.is_empty()
}

fn creates(op: &PendingOp) -> bool {
    op.files.iter().any(|file| file.kind == ChangeKind::Create)
}

fn is_state(blob: &Blob) -> bool {
    State::parse(&blob.bytes).is_ok_and(|state| state.is_some())
}

/// The read was only for what it settles; that it came to nothing shows in the state.
fn tolerated(error: WeekError) -> Result<(), DeleteError> {
    match error {
        WeekError::TooMany { .. } => Ok(()),
        WeekError::Read(error) => Err(DeleteError::Write(error.into())),
    }
}
