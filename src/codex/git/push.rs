//! Commits what Git doesn't have yet: one commit for each file while they are few, one for all when they are many
//! (`src/codex/git/README.md`, "Out").

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::book::Book;
use super::plan::{Plan, Unpushed, unpushed};
use super::reconcile::is_done;
use super::report::SyncMode;
use super::{Git, GitMutation, GitTrouble, Made, want};
use crate::cache::{Entry, Freshness};
use crate::codex::Codex;
use crate::github::{
    Committed, FileToCommit, FileToPut, FilesToCommit, GitHubError, Side, Story, message_of_all,
};
use crate::now::Now;
use crate::store::WriteIds;
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// Up to so many files get a commit of their own.
const FEW: usize = 10;

/// No commit has more files; the rest get the next.
const MANY: usize = 1_000;

/// Nor more bytes of texts, which are held at once.
const MAX_BYTES: usize = 16 << 20;

/// How often it is looked anew because something moved, here or there.
const ROUNDS: u32 = 12;

/// How often Git's side is looked at.
const LOOKS: u32 = 3;

/// Files read from the store at once.
const READS: usize = 8;

/// A file about to be committed.
pub(super) struct Outgoing {
    pub file: Unpushed,
    pub text: Bytes,
    writes: WriteIds,
    pub story: Story,
    /// Its task is done.
    pub done: bool,
    /// Contents of the file that were about to be committed when this was noted to be.
    pub open: Vec<GitSha>,
}

/// What one look at what is to be committed came to.
pub(super) enum Round {
    /// There is nothing (more).
    Nothing,
    /// Something was committed, or moved here: go on.
    Again,
    /// Git has something else than was thought, or may have: look there first.
    Look,
}

/// What became of a file on its way to Git.
pub(super) enum Sent {
    Done(Made),
    /// Git has something else than it replaces. It isn't there, and won't be.
    Stale,
    /// It isn't there, and won't be.
    Refused(GitTrouble),
    /// Nobody knows, or it wasn't tried: the others needn't be tried either.
    Unknown(GitTrouble),
}

impl Sent {
    pub(super) fn of(sent: Result<Committed, GitHubError>) -> Self {
        match sent {
            Ok(Committed::Done(commit)) => Self::Done(Made {
                commit: commit.sha,
                html_url: commit.html_url,
                parent: commit.parent,
                pull: None,
            }),
            Ok(Committed::Stale) => Self::Stale,
            Err(error) => error.into(),
        }
    }
}

impl From<GitHubError> for Sent {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::Denied { .. } => Self::Refused(error.into()),
            error => Self::Unknown(error.into()),
        }
    }
}

impl Codex {
    /// Commits what Git doesn't have of this user's files, as far as it can.
    ///
    /// # Errors
    /// Why something isn't committed, after the others were tried.
    pub(super) async fn push(
        &self,
        git: &Arc<Git>,
        user: &UserId,
        until: Instant,
        now: Now,
    ) -> Result<(), GitTrouble> {
        let _only = git.only_push(user).await;
        let (mut looks, mut blocked) = (0, vec![]);
        for _ in 0..ROUNDS {
            let round = self.push_round(git, user, &blocked, looks > 0, now.later());
            match round.await? {
                Round::Nothing => return Ok(()),
                Round::Again => {}
                Round::Look if looks == LOOKS => return Err(GitTrouble::Contended),
                Round::Look => {
                    looks += 1;
                    let mode = SyncMode::by_itself(Some(until));
                    let report = self.reconcile(git, user, now.later(), mode).await?;
                    if report.closed {
                        // Nor what is written from now on.
                        return Ok(());
                    }
                    blocked = report.blocked;
                }
            }
        }
        Err(GitTrouble::Contended)
    }

    async fn push_round(
        &self,
        git: &Git,
        user: &UserId,
        blocked: &[FileName],
        looked: bool,
        now: Now,
    ) -> Result<Round, GitTrouble> {
        // A request is made of several steps, which two may not take side by side.
        let _proposing = match git.repository.pull_prefix() {
            Some(_) => Some(git.branch.lock().await),
            None => None,
        };
        let (book, _) = self.book(user).await?;
        let strictly = want(user, now, Freshness::Strict);
        let entry = self.cache.read(&strictly).await?.entry;
        let mut waiting = unpushed(&book, entry.table());
        waiting.retain(|it| !blocked.contains(&it.name));
        if waiting.is_empty() {
            return Ok(Round::Nothing);
        }
        // How an earlier push ended must be known first, or there would be more and more to know. And beside a folder
        // that the user's was renamed to no other one is to be made.
        let open = |it: &Unpushed| !book.pushing.of(&it.name).is_empty();
        if !looked && (waiting.iter().any(open) || book.renamed) {
            return Ok(Round::Look);
        }
        match git.repository.pull_prefix() {
            Some(prefix) => self.propose(git, user, &book, waiting, prefix).await,
            None if waiting.len() > FEW => self.push_many(git, user, &book, &entry, blocked).await,
            None => self.push_few(git, user, &book, waiting).await,
        }
    }

    /// The files' texts, of those that still are what the index says.
    pub(super) async fn outgoing(
        &self,
        user: &UserId,
        book: &Book,
        waiting: Vec<Unpushed>,
    ) -> Result<Vec<Outgoing>, GitTrouble> {
        let texts = stream::iter(waiting).map(|file| async move {
            let blob = self.raw(user, &file.name, &file.etag).await?;
            // What has come from Git just now is no news for it: a look finds that out.
            let blob = blob.filter(|blob| !book.is_taken(&file.name, &blob.writes));
            let Some(blob) = blob else { return Ok(None) };
            let in_git = file.replaces.is_some();
            let was_done = book.done.contains(file.name.as_str());
            Ok::<_, GitTrouble>(Some(Outgoing {
                story: Story::of(&file.name, &blob.bytes, in_git, was_done),
                done: is_done(&file.name, &blob.bytes),
                open: vec![],
                text: blob.bytes,
                writes: blob.writes,
                file,
            }))
        });
        let (mut texts, mut outgoing, mut bytes) = (texts.buffered(READS).boxed(), vec![], 0);
        while let Some(text) = texts.try_next().await? {
            let Some(it) = text else { continue };
            bytes += it.text.len();
            outgoing.push(it);
            if bytes > MAX_BYTES {
                break;
            }
        }
        Ok(outgoing)
    }

    /// Notes what is about to be committed, so that it is known again in a tree when the answer gets lost. What has
    /// come from Git since the book was read isn't.
    pub(super) async fn mark_pushing(
        &self,
        git: &Git,
        user: &UserId,
        outgoing: &mut Vec<Outgoing>,
    ) -> Result<(), GitTrouble> {
        let wait = git.repository.wait();
        if !wait.is_zero() {
            let retry_after = wait;
            return Err(GitHubError::Limited { retry_after }.into());
        }
        let is_news = |book: &Book, it: &Outgoing| {
            let name = &it.file.name;
            book.base(name) == it.file.replaces && !book.is_taken(name, &it.writes)
        };
        let mark = |book: &mut Book| {
            for it in outgoing.iter() {
                if is_news(book, it) && !git.breaks(GitMutation::PushIsNotNoted) {
                    book.pushing.begin(&it.file.name, it.file.sha);
                }
            }
        };
        let book = self.change_book(user, mark).await?;
        outgoing.retain(|it| is_news(&book, it));
        for it in outgoing {
            it.open = book.pushing.of(&it.file.name).to_vec();
        }
        Ok(())
    }

    /// A commit for each.
    async fn push_few(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        waiting: Vec<Unpushed>,
    ) -> Result<Round, GitTrouble> {
        let mut outgoing = self.outgoing(user, book, waiting).await?;
        if outgoing.is_empty() {
            return Ok(Round::Look);
        }
        self.mark_pushing(git, user, &mut outgoing).await?;
        if outgoing.is_empty() {
            return Ok(Round::Look);
        }
        self.send_each(git, user, &outgoing).await
    }

    async fn send_each(
        &self,
        git: &Git,
        user: &UserId,
        outgoing: &[Outgoing],
    ) -> Result<Round, GitTrouble> {
        let mut sent = vec![];
        for it in outgoing {
            let path = git.path(user, &it.file.name);
            let put = FileToPut {
                path: &path,
                branch: None,
                bytes: &it.text,
                replaces: it.file.replaces,
                message: &it.story.message(),
            };
            let outcome = {
                let _one_writer = git.branch.lock().await;
                Sent::of(git.repository.put_file(&put).await)
            };
            let unknown = matches!(outcome, Sent::Unknown(_));
            sent.push((it, outcome));
            if unknown {
                break;
            }
        }
        self.note_sent(git, user, sent).await
    }

    /// One commit for all, on top of a tree that was looked at.
    async fn push_many(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        entry: &Entry,
        blocked: &[FileName],
    ) -> Result<Round, GitTrouble> {
        // In this order: see the module's first page.
        let snapshot = git.snapshot_after(book, None).await?;
        let (newer, _) = self.book(user).await?;
        let tree = self.tree_of(&snapshot, user).await?;
        let mut plan = Plan::of(&newer, entry.table(), &tree);
        plan.keep_unmoved(book);
        let mut files = plan.unpushed;
        files.retain(|it| it.replaces == newer.base(&it.name));
        files.retain(|it| !blocked.contains(&it.name));
        let Some(parent) = snapshot.commit() else {
            // The first commit of a repository can only be made by a file of its own.
            files.truncate(1);
            return self.push_few(git, user, &newer, files).await;
        };
        files.truncate(MANY);
        let mut outgoing = self.outgoing(user, &newer, files).await?;
        if outgoing.is_empty() {
            return Ok(Round::Look);
        }
        self.mark_pushing(git, user, &mut outgoing).await?;
        if outgoing.is_empty() {
            return Ok(Round::Look);
        }
        let stories: Vec<Story> = outgoing.iter().map(|it| it.story.clone()).collect();
        let files = outgoing.iter().map(|it| FileToCommit {
            path: git.path(user, &it.file.name),
            bytes: it.text.clone(),
            executable: tree.executable.contains(&it.file.name),
        });
        let commit = FilesToCommit {
            parent,
            files: files.collect(),
            message: &message_of_all(&stories),
        };
        let committed = {
            let _one_writer = git.branch.lock().await;
            git.repository.commit(&commit).await
        };
        if let Err(GitHubError::Denied { .. }) = committed {
            // One of them may be what is refused; the others aren't to wait for it.
            return self.send_each(git, user, &outgoing).await;
        }
        let sent = outgoing.iter().map(|it| (it, Sent::of(committed.clone())));
        self.note_sent(git, user, sent.collect()).await
    }

    /// Notes what became of files on their way to Git.
    pub(super) async fn note_sent(
        &self,
        git: &Git,
        user: &UserId,
        sent: Vec<(&Outgoing, Sent)>,
    ) -> Result<Round, GitTrouble> {
        for (it, outcome) in &sent {
            if let Sent::Done(made) = outcome {
                // First, so that whoever finds it noted as committed also finds where.
                git.remember(user, &it.file.name, it.file.sha, made.clone());
                git.order.made(made.parent, made.commit);
            }
        }
        let note = |book: &mut Book| {
            for (it, outcome) in &sent {
                let (name, sha) = (&it.file.name, it.file.sha);
                // What is refused here may have been committed by another attempt.
                let Sent::Done(made) = outcome else { continue };
                if !git.breaks(GitMutation::OwnCommitIsForgotten) {
                    book.commit_made(made.commit, made.parent);
                }
                let base = book.base(name);
                if base == it.file.replaces {
                    book.hold_after_write(name, sha, it.done, &it.open);
                } else if base != Some(sha) {
                    // Somebody else has moved it on meanwhile, and this one was ended with that. It has landed all the
                    // same, on what Git had got back: a tree that shows it has it from here.
                    book.pushing.begin(name, sha);
                }
            }
        };
        let book = self.change_book(user, note).await?;
        self.end_replaced(git, user, &book, &sent).await?;
        let mut round = Round::Again;
        let mut trouble = None;
        for (it, outcome) in sent {
            let task = it.file.name.id();
            match outcome {
                Sent::Done(made) => {
                    tracing::info!(%user, op = "push", %task, commit = %made.commit, "committed");
                }
                Sent::Stale => round = Round::Look,
                Sent::Refused(error) | Sent::Unknown(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok(round), Err)
    }

    /// Ends those contents that were committed after the base had moved, and that Git has replaced since: when they
    /// are there again, somebody wants that.
    async fn end_replaced(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        sent: &[(&Outgoing, Sent)],
    ) -> Result<(), GitTrouble> {
        let late = sent.iter().filter_map(|(it, outcome)| match outcome {
            Sent::Done(made) if book.base(&it.file.name) != Some(it.file.sha) => {
                Some((&it.file, made.commit))
            }
            _ => None,
        });
        let late: Vec<(&Unpushed, GitSha)> = late.collect();
        if late.is_empty() {
            return Ok(());
        }
        let snapshot = git.snapshot().await?;
        let tree = self.tree_of(&snapshot, user).await?;
        let mut replaced = vec![];
        for (file, commit) in late {
            let is_other = match tree.side(&file.name) {
                Side::Content(sha) => sha != file.sha,
                Side::Absent => true,
                Side::Other => false,
            };
            // Else it is shown as it was before, or the branch was set back.
            if is_other && git.follows(Some(commit), &snapshot).await? {
                replaced.push(file);
            }
        }
        let end = |book: &mut Book| {
            for file in &replaced {
                book.pushing.end(&file.name, file.sha);
            }
        };
        self.change_book(user, end).await.map(drop)
    }
}
