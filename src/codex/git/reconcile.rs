//! Bringing one user's files to what Git and the store agree on, by the write protocol and in its
//! batches.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use tokio::time::Instant;

use super::book::{Book, LastError, Open, Taking};
use super::mutation::newcomers;
use super::plan::{Change, Kind, Plan};
use super::report::{SyncMode, UserReport};
use super::{Git, GitMutation, GitTrouble, want};
use crate::cache::{Act, Entry, FileChange, FileFate, Freshness, MAX_BATCH, ReadError};
use crate::codex::Codex;
use crate::github::{GitHubError, SkipCode, Skipped, UserTree, merge};
use crate::now::Now;
use crate::store::{Blob, ETag, GetIf, Got, Key, WriteIds};
use crate::task::{FileName, GitSha, MAX_FILE_BYTES, Parsed, Status, git_sha, parse};
use crate::user::UserId;

/// How often it is looked anew because files changed meanwhile.
const ROUNDS: u32 = 6;

/// So many files in a row that can't be written say that it isn't the files.
const MAX_FAILURES: u32 = 2;

/// Files fetched at once, from GitHub and the store.
const FETCHES: usize = 16;

/// A file's new text, ready to be written.
struct Ready {
    change: FileChange,
    base: Option<GitSha>,
    /// What Git has, and whether as done; `None` for a file that goes.
    theirs: Option<(GitSha, bool)>,
    merged: bool,
    /// What was merged isn't what Git has.
    differs: bool,
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
    /// What Git held before this sync.
    pub before: Option<BTreeMap<String, GitSha>>,
    /// Removals that somebody has confirmed.
    pub confirmed: BTreeSet<FileName>,
    /// Files that this sync has removed.
    pub removed: BTreeSet<FileName>,
    /// What was about to be committed when it was looked at what Git has.
    pub pushing: Open,
    /// How often it has waited for what becomes of pull requests.
    pub waited: u32,
}

impl Reconciling<'_> {
    /// Looks at the three sides and brings them together, again while they move, until a look finds
    /// nothing to change.
    pub(super) async fn run(mut self) -> Result<UserReport, GitTrouble> {
        for _ in 0..ROUNDS {
            if self.round().await? {
                return Ok(self.report);
            }
        }
        self.report.unfinished = true;
        Ok(self.report)
    }

    /// One look, and what follows from it. Whether it was the last one.
    async fn round(&mut self) -> Result<bool, GitTrouble> {
        // In this order: see the module's first page.
        let (mut book, _) = self.codex.book(self.user).await?;
        let mut before = self
            .before
            .get_or_insert_with(|| book.files.clone())
            .clone();
        let want = want(self.user, self.now.later(), Freshness::Rebuilt);
        let entry = self.codex.cache.read(&want).await?.entry;
        // Only those: what is held since then may have come here after the listing, too.
        let is_here = |name: &String| {
            let file = entry.table().find(name);
            file.is_some_and(|file| !file.is_settled())
        };
        let over = book.held.iter().filter(|name| !is_here(name)).cloned();
        let over: BTreeSet<String> = over.collect();
        let asked = book.taking.clone();
        if !asked.is_empty() {
            book = self.settle_takes(&book, &entry).await?;
        }
        let passed = book.known_heads();
        let confirmed = self.mode.confirmed_head;
        let snapshot = self.git.snapshot_after(&book, confirmed).await?;
        let left = self.git.left_by(&passed, snapshot.commit()).await?;
        if let Some(head) = confirmed.filter(|it| Some(*it) == snapshot.commit()) {
            // Also where something else is to be confirmed then.
            let confirm = |book: &mut Book| {
                if book.is_newest(Some(head), &passed) {
                    book.look_at(head, &left);
                }
            };
            self.codex.change_book(self.user, &confirm).await?;
            confirm(&mut book);
        }
        let (newer, _) = self.codex.book(self.user).await?;
        book.pushing.join(&newer.pushing);
        self.pushing = book.pushing.clone();
        let tree = self.codex.tree_of(&snapshot, self.user).await?;
        let tree = tree.as_ref();
        if self.git.breaks(GitMutation::GuardCountsLater) {
            before.extend(newcomers(tree));
        }
        if self.settle_pulls(&newer, &snapshot, tree).await? {
            return Ok(false);
        }
        let mut plan = Plan::of(&book, entry.table(), tree);
        if self.git.breaks(GitMutation::NeverInGitIsGone) {
            plan.remove_what_git_never_had();
        }
        if snapshot.commit().is_none() && !book.files.is_empty() {
            // From a repository that has lost its commits nothing follows.
            plan.agreed.clear();
        }
        // Also where the file that was seen may have come from a take that wasn't noted yet when it was asked for those.
        let moved =
            plan.keep_unmoved(&newer) | plan.leave_out(|name| newer.takes_since(&asked, name));
        self.report.commit = snapshot.commit();
        self.report.folder = tree.folder;
        self.report.closed = tree.closed;
        self.report.skipped = tree.skipped.clone();
        self.report.unpushed = plan.unpushed.len();
        self.report.blocked = std::mem::take(&mut plan.blocked);
        let held = self.guard(&mut plan, tree, &newer, &before, &over)?;
        let changes = std::mem::take(&mut plan.changes);
        self.report.clean = changes.is_empty() && !moved && entry.knowledge.exact;
        let last = changes.is_empty() && !moved;
        let noted = self
            .note(&plan, &newer, tree, (&passed, &left), held)
            .await?;
        if !noted.is_newest(snapshot.commit(), &[]) && snapshot.commit().is_some() {
            return Ok(false);
        }
        let changes = self.allowed(changes, &noted);
        self.apply(changes).await?;
        Ok(last || self.report.unfinished)
    }

    /// Finds out, for takes whose end isn't noted, whether the files here have come from them: then that is
    /// what Git was known to hold.
    async fn settle_takes(&self, book: &Book, entry: &Entry) -> Result<Book, GitTrouble> {
        let mut came_from = vec![];
        for (name, takes) in &book.taking {
            let Ok(name) = name.parse::<FileName>() else {
                continue;
            };
            let file = entry.table().find(name.as_str());
            let Some(file) = file.filter(|file| !file.is_settled()) else {
                continue;
            };
            let etag = ETag::new(file.etag);
            if let Some(blob) = self.codex.raw(self.user, &name, &etag).await? {
                let newest = takes.iter().rev().find(|it| it.is_in(&blob.writes));
                let sha = newest.map(|it| it.is_on(book.base(&name)).then_some(it.sha));
                came_from.extend(sha.map(|sha| (name, sha, blob.writes.clone())));
            }
        }
        let now = self.now.later().utc;
        let settle = |newer: &mut Book| {
            for (name, sha, writes) in &came_from {
                if let Some(sha) = sha
                    && newer.base(name) == book.base(name)
                {
                    newer.hold(name, *sha, None);
                }
                newer.end_takings_in(name, writes);
            }
            newer.taking.retain(|_, takes| {
                takes.retain(|it| !it.is_over(now));
                !takes.is_empty()
            });
        };
        self.codex.change_book(self.user, &settle).await?;
        // As it was before the store was read, or it would say of files that Git has them which nobody here has seen.
        let mut book = book.clone();
        settle(&mut book);
        Ok(book)
    }

    /// Carries changes out, as far as it goes.
    async fn apply(&mut self, changes: Vec<Change>) -> Result<(), GitTrouble> {
        if !changes.is_empty() {
            // Whatever becomes of this, somebody will look again.
            self.codex.leave_hint(self.user, self.now.later()).await?;
        }
        for batch in changes.chunks(MAX_BATCH) {
            if self.is_late() {
                self.report.unfinished = true;
                return Ok(());
            }
            let prepared = stream::iter(batch.to_vec()).map(|change| self.prepare(change));
            let prepared: Vec<Prepared> = prepared.buffered(FETCHES).collect().await;
            let mut ready = vec![];
            let mut failed = 0;
            for prepared in prepared {
                match prepared {
                    Prepared::Ready(it) => ready.push(it),
                    Prepared::Moved => {}
                    Prepared::Failed(name, trouble) => {
                        failed += 1;
                        self.fail(&name, &trouble);
                    }
                }
            }
            // One file that can't be had doesn't stop the others; none at all is an outage.
            if failed == batch.len() {
                return Ok(());
            }
            self.take(ready).await?;
        }
        Ok(())
    }

    /// Writes a batch, and one by one when something in it can't be written.
    async fn take(&mut self, ready: Vec<Ready>) -> Result<(), GitTrouble> {
        if !self.note_takes(&ready).await? || self.write(&ready).await.is_ok() {
            return Ok(());
        }
        let mut failures = 0;
        for mut it in ready {
            // As a write of its own: the one before may have landed, and the file have been removed again.
            it.change.write = Some(self.codex.cache.write_id());
            let it = std::slice::from_ref(&it);
            if !self.note_takes(it).await? {
                return Ok(());
            }
            match self.write(it).await {
                Ok(()) => failures = 0,
                Err(trouble) => {
                    self.fail(&it[0].change.name, &trouble);
                    failures += 1;
                }
            }
            if failures >= MAX_FAILURES {
                // It isn't the files.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Notes what is about to be taken. `false`: another look has found something newer meanwhile, and what that has
    /// removed must not be made again.
    async fn note_takes(&self, ready: &[Ready]) -> Result<bool, GitTrouble> {
        let now = self.now.later().utc;
        let head = self.report.commit;
        let is_past = |book: &Book| head.is_some() && !book.is_newest(head, &[]);
        let note = |book: &mut Book| {
            if is_past(book) {
                return;
            }
            for it in ready {
                if self.git.breaks(GitMutation::BaseBeforeWrite)
                    && let Some((theirs, done)) = it.theirs
                {
                    book.hold(&it.change.name, theirs, Some(done));
                }
                if self.git.breaks(GitMutation::TakeIsNotNoted) {
                    break;
                }
                if let (Some((theirs, _)), Some(write)) = (it.theirs, it.change.write) {
                    let taking = Taking::new(theirs, it.base, write, now);
                    book.begin_taking(&it.change.name, taking);
                }
            }
        };
        Ok(!is_past(&self.codex.change_book(self.user, note).await?))
    }

    /// Writes files under one mark after another, as long as it goes on.
    async fn write(&mut self, ready: &[Ready]) -> Result<(), GitTrouble> {
        let mut left: Vec<&Ready> = ready.iter().collect();
        while !left.is_empty() {
            let changes = left.iter().map(|it| it.change.clone()).collect();
            let writer = self.codex.writer_for(self.user, self.now.later(), "sync");
            let done = self.codex.cache.write_batch(writer, changes).await?;
            let mut untried = vec![];
            let mut tried = vec![];
            for (it, fate) in left.into_iter().zip(&done.fates) {
                match fate {
                    FileFate::Untried => untried.push(it),
                    fate => tried.push((it, *fate == FileFate::Done)),
                }
            }
            self.follow(&tried).await?;
            if tried.is_empty() {
                return Err(GitTrouble::Contended);
            }
            left = untried;
        }
        Ok(())
    }

    /// The base follows what was written, where nobody else has moved it meanwhile.
    async fn follow(&mut self, tried: &[(&Ready, bool)]) -> Result<(), GitTrouble> {
        let follow = |book: &mut Book| {
            for (it, landed) in tried {
                let name = &it.change.name;
                let unmoved = book.base(name) == it.base;
                match it.theirs {
                    // What was merged here is for the request's branch, and so are the commits that wait there.
                    Some((theirs, done))
                        if *landed && unmoved && it.differs && book.waits_on_a_branch(name) =>
                    {
                        book.hold(name, theirs, Some(done));
                    }
                    Some((theirs, done)) if *landed && unmoved => {
                        book.hold_after_write(name, theirs, done, self.pushing.of(name));
                    }
                    None if *landed && unmoved => book.drop(name),
                    _ => {}
                }
                let replaced = match &it.change.act {
                    Act::Replace { writes, .. } if *landed => writes.clone(),
                    _ => WriteIds::default(),
                };
                if let Some(write) = it.change.write {
                    book.end_taking(name, write, &replaced);
                }
            }
        };
        self.codex.change_book(self.user, follow).await?;
        for (it, _) in tried.iter().filter(|(_, landed)| *landed) {
            match (it.theirs, it.merged) {
                (None, _) => {
                    self.removed.insert(it.change.name.clone());
                    self.report.deleted += 1;
                }
                (Some(_), true) => self.report.merged += 1,
                (Some(_), false) => self.report.changed += 1,
            }
        }
        Ok(())
    }

    /// What both sides have already, and when it was looked at.
    async fn note(
        &mut self,
        plan: &Plan,
        before: &Book,
        tree: &UserTree,
        (passed, left): (&[GitSha], &[GitSha]),
        waiting: Option<BTreeSet<FileName>>,
    ) -> Result<Book, GitTrouble> {
        let (commit, at) = (self.report.commit, self.now.utc);
        let waiting: Option<BTreeSet<String>> =
            waiting.map(|names| names.iter().map(FileName::to_string).collect());
        let said = |code, name| {
            let said = self.report.skipped.iter().find(|it| it.code == code);
            said.map(|it| (name, it.message.clone()))
        };
        let held = said(SkipCode::MassDelete, "mass_delete");
        let respelt = said(SkipCode::OtherSpelling, "other_spelling");
        let blocked = self.report.blocked.first().map(|name| {
            let path = self.git.path(self.user, name);
            (
                "not_a_file",
                format!("In Git {path} isn't a plain file of at most 1 MiB: move it away there."),
            )
        });
        let (by_hand, removes) = (self.mode.by_hand, self.mode.removes);
        let note = |book: &mut Book| {
            if !book.is_newest(commit, passed) {
                return;
            }
            for agreed in &plan.agreed {
                if book.base(&agreed.name) == agreed.before {
                    agreed.note(book);
                }
            }
            book.respelt = tree.respelt.iter().map(UserId::to_string).collect();
            book.renamed = !tree.respelt.is_empty() && tree.folder.is_none();
            if book.commit != commit || by_hand {
                book.synced_at = Some(at);
            }
            if let Some(head) = commit {
                book.look_at(head, left);
            }
            if let Some(waiting) = &waiting {
                // Those that were held before are among them, or are over.
                book.held.retain(|name| !before.held.contains(name));
                book.held.extend(waiting.iter().cloned());
            }
            let found = held.as_ref().or(respelt.as_ref()).or(blocked.as_ref());
            if found.is_some()
                || removes && book.last_error.as_ref().is_some_and(LastError::is_of_look)
            {
                book.trouble(found.map(|(code, message)| (*code, message.clone())), at);
            }
        };
        self.codex.change_book(self.user, note).await
    }

    fn is_late(&self) -> bool {
        let passed = |until: Instant| until <= self.now.later().started;
        self.mode.until.is_some_and(passed)
    }

    /// A file that can't be taken now is left for another time, and the others aren't.
    fn fail(&mut self, name: &FileName, trouble: &GitTrouble) {
        let user = self.user;
        tracing::warn!(%user, task = %name.id(), error = %trouble, "a file of Git's can't be taken");
        self.report.unfinished = true;
        self.report.skipped.push(Skipped {
            file: self.git.path(self.user, name),
            code: SkipCode::Failed,
            message: "It couldn't be fetched or written; it is tried again.".to_owned(),
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
                    write: Some(self.codex.cache.write_id()),
                },
                base: change.base,
                theirs,
                merged,
                differs: false,
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
        let text = self.git.blob(theirs).await?;
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
        let differs = merged.bytes != text;
        let act = replace(merged.bytes.into());
        let ready = ready(act, held, merged.conflicts, true);
        Ok(ready.map(|it| Ready { differs, ..it }))
    }
}

impl Git {
    /// A task file's text, which Git has.
    pub(super) async fn blob(&self, sha: GitSha) -> Result<Bytes, GitTrouble> {
        let operation = "read a file";
        let unexpected = |reason| GitHubError::Unexpected { operation, reason };
        let blob = self.repository.blob(sha).await?;
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
