//! Bringing one user's files to what Git and the store agree on, by the write protocol and in its
//! batches.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use tokio::time::Instant;

use super::book::Book;
use super::plan::{Change, Kind, Plan};
use super::{Git, GitTrouble, want};
use crate::cache::{
    Act, Entry, FileChange, FileFate, Freshness, MAX_BATCH, ReadError, WriteError, Writer,
};
use crate::codex::Codex;
use crate::github::{GitHubError, GitSnapshot, SkipCode, Skipped, merge};
use crate::now::Now;
use crate::store::{Blob, ETag, GetIf, Got, Key, StoreError, WriteIds};
use crate::task::{FileName, GitSha, MAX_FILE_BYTES, Parsed, Status, git_sha, parse};
use crate::user::UserId;

/// How often it is looked anew because files changed meanwhile.
const ROUNDS: u32 = 6;

/// Files fetched at once, from GitHub and the store.
const FETCHES: usize = 16;

/// How far a sync may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyncMode {
    /// Whether files may be removed.
    pub removes: bool,
    /// So many removals somebody has confirmed.
    pub confirmed: Option<usize>,
    /// A mass removal is refused before anything is done, instead of being left out.
    pub refuses: bool,
    /// When to leave the rest to the timer.
    pub until: Option<Instant>,
    /// The claim on the user's files was taken back already.
    pub released: bool,
}

impl SyncMode {
    /// As the service does it without being asked.
    pub(super) fn by_itself(until: Option<Instant>) -> Self {
        Self {
            removes: true,
            confirmed: None,
            refuses: false,
            until,
            released: false,
        }
    }
}

/// What became of one user's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserReport {
    /// Files that were written.
    pub changed: usize,
    /// Files that were removed.
    pub deleted: usize,
    /// Files in which both sides' changes were brought together.
    pub merged: usize,
    /// What was passed over, and why.
    pub skipped: Vec<Skipped>,
    /// How many files the store has that Git doesn't have as they are.
    pub unpushed: usize,
    /// The commit this is about.
    pub commit: Option<GitSha>,
    /// The files' fingerprint in that commit.
    pub folder: Option<GitSha>,
    /// Something is left for another time.
    pub unfinished: bool,
}

impl UserReport {
    /// Whether there is something here that Git doesn't have.
    pub(super) fn has_news(&self) -> bool {
        self.unpushed > 0 || self.merged > 0
    }
}

/// A file's new text, ready to be written.
struct Ready {
    change: FileChange,
    base: Option<GitSha>,
    /// What Git has, and whether as done; `None` for a file that goes.
    theirs: Option<(GitSha, bool)>,
    merged: bool,
}

/// What came of getting a file's new text.
enum Prepared {
    Ready(Ready),
    /// It isn't what was decided about any more.
    Moved,
    /// It can't be had.
    Failed(FileName, GitTrouble),
}

/// One sync of one user's files.
pub(super) struct Reconciling<'a> {
    pub codex: &'a Codex,
    pub git: &'a Git,
    pub user: &'a UserId,
    pub now: Now,
    pub mode: SyncMode,
    pub report: UserReport,
}

impl Reconciling<'_> {
    /// Looks at the three sides and brings them together, again while they move.
    pub(super) async fn run(mut self) -> Result<UserReport, GitTrouble> {
        for _ in 0..ROUNDS {
            // In this order: see the module's first page.
            let (book, _) = self.codex.book(self.user).await?;
            let snapshot = self.git.snapshot().await?;
            let want = want(self.user, self.now.later(), Freshness::Rebuilt);
            let entry = self.codex.cache.read(&want).await?.entry;
            if self.round(&book, &snapshot, &entry).await? {
                return Ok(self.report);
            }
        }
        self.report.unfinished = true;
        Ok(self.report)
    }

    /// Whether it is done.
    async fn round(
        &mut self,
        book: &Book,
        snapshot: &GitSnapshot,
        entry: &Arc<Entry>,
    ) -> Result<bool, GitTrouble> {
        let tree = snapshot.user(self.user);
        let mut plan = Plan::of(book, entry.table(), tree);
        self.report.commit = snapshot.commit();
        self.report.folder = tree.folder;
        self.report.skipped = tree.skipped.clone();
        self.report.unpushed = plan.unpushed.len();
        self.guard(&mut plan, snapshot, entry)?;
        let changes = std::mem::take(&mut plan.changes);
        if !changes.is_empty() && !self.mode.released {
            self.codex.release(self.user, tree.folder).await?;
        }
        let mut settled = self.apply(changes).await?;
        if self.is_late() {
            self.report.unfinished = true;
            settled = true;
        }
        self.note(&plan, snapshot).await?;
        Ok(settled)
    }

    /// Holds back removals that nobody may have meant.
    fn guard(
        &mut self,
        plan: &mut Plan,
        snapshot: &GitSnapshot,
        entry: &Entry,
    ) -> Result<(), GitTrouble> {
        let removals = plan.removals();
        // From a repository without a commit nothing follows.
        if !self.mode.removes || snapshot.commit().is_none() {
            plan.keep_all();
        } else if plan.is_mass_delete(entry.table()) && self.mode.confirmed != Some(removals) {
            if self.mode.refuses {
                return Err(GitTrouble::MassDelete(removals));
            }
            plan.keep_all();
            self.report.skipped.push(Skipped {
                file: entry.folder().as_str().to_owned(),
                code: SkipCode::MassDelete,
                message: format!(
                    "{removals} files have gone from Git, which is more than half: POST /sync?clean=true&confirm={removals} removes them here."
                ),
            });
        }
        Ok(())
    }

    /// Carries changes out. Whether nothing has to be looked at anew.
    async fn apply(&mut self, changes: Vec<Change>) -> Result<bool, GitTrouble> {
        let mut settled = true;
        for batch in changes.chunks(MAX_BATCH) {
            if self.is_late() {
                return Ok(false);
            }
            let mut ready = vec![];
            let mut failed = vec![];
            let user = self.user;
            let prepared = stream::iter(batch.to_vec()).map(|change| self.prepare(change));
            let prepared: Vec<Prepared> = prepared.buffered(FETCHES).collect().await;
            for prepared in prepared {
                match prepared {
                    Prepared::Ready(it) => ready.push(it),
                    Prepared::Moved => settled = false,
                    Prepared::Failed(name, trouble) => failed.push((name, trouble)),
                }
            }
            // One file that can't be had doesn't stop the others; none at all is another matter.
            if ready.is_empty() && failed.len() == batch.len() {
                return Err(failed.swap_remove(0).1);
            }
            for (name, trouble) in failed {
                tracing::warn!(%user, task = %name.id(), error = %trouble, "a file of Git's can't be taken");
                self.skip(
                    &name,
                    "It couldn't be fetched; it is tried again within the hour.",
                );
                self.report.unfinished = true;
            }
            settled &= self.write(ready).await?;
        }
        Ok(settled)
    }

    /// Writes a batch, as far as it goes. Whether nothing has to be looked at anew.
    async fn write(&mut self, mut ready: Vec<Ready>) -> Result<bool, GitTrouble> {
        let mut settled = true;
        while !ready.is_empty() {
            let changes = ready.iter().map(|it| it.change.clone()).collect();
            let writer = Writer {
                user: self.user.clone(),
                now: self.now.later(),
                hint: None,
            };
            let done = match self.codex.cache.write_batch(writer, changes).await {
                Ok(done) => done,
                Err(WriteError::Read(ReadError::Store(StoreError::Denied { .. }))) => {
                    // The first one can't be stored; the others may be.
                    let refused = ready.remove(0);
                    self.skip(&refused.change.name, "The storage refuses it.");
                    self.report.unfinished = true;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let user = self.user;
            let version = done.version.0;
            tracing::info!(%user, op = "sync", files = ready.len(), version, "written");
            let mut left = vec![];
            let mut landed = vec![];
            for (it, fate) in ready.into_iter().zip(&done.fates) {
                match fate {
                    FileFate::Done => landed.push(it),
                    FileFate::Untried => left.push(it),
                    FileFate::Lost => settled = false,
                }
            }
            self.follow(&landed).await?;
            if landed.is_empty() && !left.is_empty() {
                return Ok(false);
            }
            ready = left;
        }
        Ok(settled)
    }

    /// The base follows what was written, where nobody else has moved it meanwhile.
    async fn follow(&mut self, landed: &[Ready]) -> Result<(), GitTrouble> {
        if landed.is_empty() {
            return Ok(());
        }
        let follow = |book: &mut Book| {
            for it in landed {
                let name = &it.change.name;
                if book.base(name) != it.base {
                    continue;
                }
                match it.theirs {
                    Some((theirs, done)) => {
                        book.hold(name, theirs, Some(done));
                        book.forget_push(name, theirs);
                    }
                    None => book.drop(name),
                }
            }
        };
        self.codex.change_book(self.user, follow).await?;
        for it in landed {
            match (it.theirs, it.merged) {
                (None, _) => self.report.deleted += 1,
                (Some(_), true) => self.report.merged += 1,
                (Some(_), false) => self.report.changed += 1,
            }
        }
        Ok(())
    }

    /// What both sides have already, and when it was looked at.
    async fn note(&mut self, plan: &Plan, snapshot: &GitSnapshot) -> Result<(), GitTrouble> {
        let (commit, at) = (snapshot.commit(), self.now.utc);
        let held = self
            .report
            .skipped
            .iter()
            .find(|it| it.code == SkipCode::MassDelete);
        let held = held.map(|it| ("mass_delete", it.message.clone()));
        let note = |book: &mut Book| {
            for agreed in &plan.agreed {
                if book.base(&agreed.name) == agreed.before {
                    agreed.note(book);
                }
            }
            book.commit = commit;
            book.synced_at = Some(at);
            book.trouble(
                held.as_ref()
                    .map(|(code, message)| (*code, message.clone())),
                at,
            );
        };
        self.codex.change_book(self.user, note).await?;
        Ok(())
    }

    fn is_late(&self) -> bool {
        let passed = |until: Instant| until <= self.now.later().started;
        self.mode.until.is_some_and(passed)
    }

    fn skip(&mut self, name: &FileName, message: &str) {
        self.report.skipped.push(Skipped {
            file: self.git.path(self.user, name),
            code: SkipCode::Failed,
            message: message.to_owned(),
        });
    }

    /// Gets everything that a change needs.
    async fn prepare(&self, change: Change) -> Prepared {
        match self.try_prepare(&change).await {
            Ok(Some(ready)) => Prepared::Ready(ready),
            Ok(None) => Prepared::Moved,
            Err(trouble) => Prepared::Failed(change.name, trouble),
        }
    }

    async fn try_prepare(&self, change: &Change) -> Result<Option<Ready>, GitTrouble> {
        let name = &change.name;
        let ready = |act, theirs, fields: Vec<String>, merged| {
            Some(Ready {
                change: FileChange {
                    name: name.clone(),
                    act,
                    merged: fields,
                },
                base: change.base,
                theirs,
                merged,
            })
        };
        let (base, theirs) = match (change.kind, &change.etag) {
            (Kind::Remove, Some(etag)) => {
                return Ok(ready(Act::Remove(etag.clone()), None, vec![], false));
            }
            (Kind::Remove, None) => return Ok(None),
            (Kind::Take(theirs), _) => (None, theirs),
            (Kind::Merge(base, theirs), _) => (base, theirs),
        };
        let text = self.blob(theirs).await?;
        let held = Some((theirs, is_done(name, &text)));
        let Some(etag) = &change.etag else {
            return Ok(ready(Act::Create(text), held, vec![], false));
        };
        let ours = self.codex.raw(self.user, name, etag).await?;
        let Some(Blob {
            bytes: ours,
            writes,
            ..
        }) = ours
        else {
            return Ok(None);
        };
        let replace = |bytes: Bytes| Act::Replace {
            bytes,
            etag: etag.clone(),
            writes: WriteIds::clone(&writes),
        };
        if let Kind::Take(_) = change.kind {
            return Ok(ready(replace(text), held, vec![], false));
        }
        let base = match base {
            // Git may have forgotten it, after its history was rewritten.
            Some(base) => self.git.repository.blob(base).await?,
            None => None,
        };
        let merged = merge(name, base.as_deref(), &ours, &text);
        Ok(ready(
            replace(merged.bytes.into()),
            held,
            merged.conflicts,
            true,
        ))
    }

    async fn blob(&self, sha: GitSha) -> Result<Bytes, GitTrouble> {
        let operation = "read a file";
        let unexpected = |reason| GitHubError::Unexpected { operation, reason };
        let blob = self.git.repository.blob(sha).await?;
        let bytes = blob.ok_or(unexpected("it isn't there"))?;
        if bytes.len() > MAX_FILE_BYTES || git_sha(&bytes) != sha {
            return Err(unexpected("it isn't what it is called").into());
        }
        Ok(bytes)
    }
}

impl Codex {
    /// A task file, if it still is this version.
    pub(super) async fn raw(
        &self,
        user: &UserId,
        name: &FileName,
        etag: &ETag,
    ) -> Result<Option<Blob>, GitTrouble> {
        let key = Key::raw(user, name.as_str()).map_err(|_| ReadError::Broken)?;
        let got = self.store.get(&key, GetIf::Same(etag.clone())).await?.value;
        Ok(match got {
            Got::Blob(blob) => Some(blob),
            Got::Absent | Got::Changed | Got::Unchanged => None,
        })
    }
}

/// Whether this text is that of a task that is done.
pub(super) fn is_done(name: &FileName, text: &[u8]) -> bool {
    matches!(parse(name, text), Parsed::Task(task) if task.status == Status::Abgeschlossen)
}
