//! Committing what Git doesn't have yet: a commit for each file while they are few, one for all when they
//! are many (SPEC.md 5, "Out").

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use futures::{StreamExt, TryStreamExt};

use super::book::Book;
use super::plan::{Plan, Unpushed, unpushed};
use super::reconcile::{SyncMode, is_done};
use super::{Git, GitTrouble, Made, want};
use crate::cache::Freshness;
use crate::codex::Codex;
use crate::github::{
    CommitMade, Committed, FileToPut, FilesToCommit, GitHubError, Story, message_of_all,
};
use crate::now::Now;
use crate::user::UserId;

/// Up to so many files get a commit of their own.
const FEW: usize = 10;

/// How often it is looked anew because something moved, here or there.
const ROUNDS: u32 = 8;

/// How often Git may turn out to have something else, each time it was looked at.
const MAX_STALE: u32 = 3;

/// Files read from the store at once.
const READS: usize = 8;

/// A file about to be committed.
pub(super) struct Outgoing {
    pub file: Unpushed,
    pub text: Bytes,
    pub story: Story,
    /// Its task is done.
    pub done: bool,
}

/// What one look at what is to be committed came to.
pub(super) enum Round {
    /// There is nothing (more). Whether that is sure, since nothing is being written.
    Nothing(bool),
    /// Something was committed, or moved: look again.
    Again,
    /// Git has something else than was thought.
    Stale,
}

impl Codex {
    /// Commits what Git doesn't have of this user's files. Whether surely nothing is left.
    pub(super) async fn push(
        &self,
        git: &Arc<Git>,
        user: &UserId,
        now: Now,
    ) -> Result<bool, GitTrouble> {
        let mut stale = 0;
        for _ in 0..ROUNDS {
            let round = {
                let _one_writer = git.branch.lock().await;
                self.push_round(git, user, now.later()).await?
            };
            match round {
                Round::Nothing(sure) => return Ok(sure),
                Round::Again => {}
                // Something that isn't a task's text may be in a file's place there.
                Round::Stale if stale == MAX_STALE => return Ok(false),
                Round::Stale => {
                    stale += 1;
                    let mode = SyncMode::by_itself(None);
                    self.reconcile(git, user, now.later(), mode).await?;
                }
            }
        }
        Ok(false)
    }

    async fn push_round(&self, git: &Git, user: &UserId, now: Now) -> Result<Round, GitTrouble> {
        let (book, _) = self.book(user).await?;
        let entry = self
            .cache
            .read(&want(user, now, Freshness::Strict))
            .await?
            .entry;
        let waiting = unpushed(&book, entry.table());
        if waiting.is_empty() {
            return Ok(Round::Nothing(entry.knowledge.exact));
        }
        let (outgoing, moved) = match git.repository.pull_prefix() {
            None if waiting.len() > FEW => {
                return self.push_many(git, user, &book, now.later()).await;
            }
            _ => self.outgoing(user, &book, waiting).await?,
        };
        self.mark_pushing(user, &outgoing).await?;
        let round = match git.repository.pull_prefix() {
            None => self.push_few(git, user, &outgoing).await?,
            Some(prefix) => self.propose(git, user, &book, &outgoing, prefix).await?,
        };
        Ok(if moved { Round::Again } else { round })
    }

    /// The files' texts, of those that still are what the index says; and whether some aren't.
    async fn outgoing(
        &self,
        user: &UserId,
        book: &Book,
        waiting: Vec<Unpushed>,
    ) -> Result<(Vec<Outgoing>, bool), GitTrouble> {
        let number = waiting.len();
        let texts = stream::iter(waiting).map(|file| async move {
            let blob = self.raw(user, &file.name, &file.etag).await?;
            let Some(blob) = blob else { return Ok(None) };
            let in_git = file.replaces.is_some();
            let was_done = book.done.contains(file.name.as_str());
            Ok::<_, GitTrouble>(Some(Outgoing {
                story: Story::of(&file.name, &blob.bytes, in_git, was_done),
                done: is_done(&file.name, &blob.bytes),
                text: blob.bytes,
                file,
            }))
        });
        let texts: Vec<Option<Outgoing>> = texts.buffered(READS).try_collect().await?;
        let outgoing: Vec<Outgoing> = texts.into_iter().flatten().collect();
        let moved = outgoing.len() < number;
        Ok((outgoing, moved))
    }

    /// Notes what is about to be committed, so that it is known again in a tree when the answer gets lost.
    async fn mark_pushing(&self, user: &UserId, outgoing: &[Outgoing]) -> Result<(), GitTrouble> {
        let mark = |book: &mut Book| {
            for it in outgoing {
                book.push(&it.file.name, it.file.sha);
            }
        };
        self.change_book(user, mark).await.map(drop)
    }

    /// A commit for each.
    async fn push_few(
        &self,
        git: &Git,
        user: &UserId,
        outgoing: &[Outgoing],
    ) -> Result<Round, GitTrouble> {
        let mut made = vec![];
        let mut round: Result<Round, GitTrouble> = Ok(Round::Again);
        for it in outgoing {
            let path = git.path(user, &it.file.name);
            let put = FileToPut {
                path: &path,
                branch: None,
                bytes: &it.text,
                replaces: it.file.replaces,
                message: &it.story.message(),
            };
            match git.repository.put_file(&put).await {
                Ok(Committed::Done(commit)) => made.push((it, commit)),
                // What is wrong with one file doesn't stop the others.
                Ok(Committed::Stale) if round.is_ok() => round = Ok(Round::Stale),
                Ok(Committed::Stale) => {}
                Err(error @ GitHubError::Denied { status: 422, .. }) => round = Err(error.into()),
                Err(error) => {
                    round = Err(error.into());
                    break;
                }
            }
        }
        self.note_committed(git, user, &made).await?;
        round
    }

    /// One commit for all, on top of a tree that was looked at.
    async fn push_many(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        now: Now,
    ) -> Result<Round, GitTrouble> {
        let snapshot = git.snapshot().await?;
        let entry = self
            .cache
            .read(&want(user, now, Freshness::Strict))
            .await?
            .entry;
        let mut files = Plan::of(book, entry.table(), snapshot.user(user)).unpushed;
        files.retain(|it| it.replaces == book.base(&it.name));
        let Some(parent) = snapshot.commit() else {
            // The first commit of a repository can only be made by a file of its own.
            files.truncate(1);
            let (outgoing, _) = self.outgoing(user, book, files).await?;
            self.mark_pushing(user, &outgoing).await?;
            return self.push_few(git, user, &outgoing).await;
        };
        let (outgoing, _) = self.outgoing(user, book, files).await?;
        if outgoing.is_empty() {
            return Ok(Round::Stale);
        }
        self.mark_pushing(user, &outgoing).await?;
        let stories: Vec<Story> = outgoing.iter().map(|it| it.story.clone()).collect();
        let files = outgoing
            .iter()
            .map(|it| (git.path(user, &it.file.name), it.text.clone()));
        let commit = FilesToCommit {
            parent,
            files: files.collect(),
            message: &message_of_all(&stories),
        };
        match git.repository.commit(&commit).await? {
            Committed::Stale => Ok(Round::Stale),
            Committed::Done(commit) => {
                let made: Vec<_> = outgoing.iter().map(|it| (it, commit.clone())).collect();
                self.note_committed(git, user, &made).await?;
                Ok(Round::Again)
            }
        }
    }

    /// Git holds these now.
    async fn note_committed(
        &self,
        git: &Git,
        user: &UserId,
        made: &[(&Outgoing, CommitMade)],
    ) -> Result<(), GitTrouble> {
        if made.is_empty() {
            return Ok(());
        }
        let note = |book: &mut Book| {
            for (it, _) in made {
                // Somebody else may have moved it on meanwhile.
                if book.base(&it.file.name) == it.file.replaces {
                    book.hold(&it.file.name, it.file.sha, Some(it.done));
                }
                book.forget_push(&it.file.name, it.file.sha);
            }
            book.last_error = None;
        };
        for (it, commit) in made {
            let key = (user.clone(), it.file.name.clone(), it.file.sha);
            let made = Made {
                commit: commit.sha,
                html_url: commit.html_url.clone(),
                pull: None,
            };
            git.recent.insert(key, made);
            tracing::info!(%user, op = "push", task = %it.file.name.id(), commit = %commit.sha, "committed");
        }
        self.change_book(user, note).await.map(drop)
    }
}
