//! What becomes of pull requests: reviewers merge them as they are or changed, or close them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::book::{Book, PullNote};
use super::order::{LOOKS, PAUSE, lags};
use super::reconcile::Reconciling;
use super::{Git, GitMutation, GitTrouble};
use crate::codex::Codex;
use crate::github::{Comparison, GitHubError, GitSnapshot, PullSeen, Side, UserTree};
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// Which requests were open, and when that was asked.
pub(super) type OpenPulls = (Instant, Arc<BTreeSet<u64>>);

/// A request that was merged.
pub(super) struct Merged {
    name: FileName,
    /// The content that is noted of it.
    proposed: GitSha,
    /// What was merged, before a reviewer's changes to it.
    had: Option<GitSha>,
}

/// A request that may have brought what Git has of a file.
enum Request {
    Noted(PullNote),
    /// It may have been opened, and the answer never came.
    Unheard {
        branch: String,
        /// The commit its branch was made from.
        from: GitSha,
        /// What may have been proposed by it.
        sent: Vec<GitSha>,
    },
}

/// What became of the pull requests that are noted.
pub(super) enum Pulls {
    /// It is known.
    Known,
    /// One was merged: it is to be looked what Git has now.
    Merged,
    /// One was merged since the branch was looked at.
    MergedSince,
}

impl Codex {
    /// Notes that requests were merged.
    pub(super) async fn note_merged(
        &self,
        git: &Git,
        user: &UserId,
        merged: &[Merged],
    ) -> Result<(), GitTrouble> {
        let note = |book: &mut Book| {
            for it in merged {
                match git.breaks(GitMutation::ReviewIsUndone) {
                    true => drop(book.pulls.remove(it.name.as_str())),
                    false => book.pull_merged(&it.name, it.proposed, it.had),
                }
            }
        };
        self.change_book(user, note).await.map(drop)
    }

    /// Learns what became of requests that are open as far as is known. What one holds that was closed without
    /// being merged stays here, and isn't proposed again before the next edit.
    pub(super) async fn refresh_pulls(
        &self,
        git: &Git,
        user: &UserId,
        head: Option<GitSha>,
        since: Instant,
    ) -> Result<Pulls, GitTrouble> {
        let (book, _) = self.book(user).await?;
        let noted = book.pulls.iter().filter(|(_, note)| note.pull.open);
        let noted: Vec<_> = noted.collect();
        if noted.is_empty() {
            return Ok(Pulls::Known);
        }
        let open = git.open_pulls(since).await?;
        let ended = noted
            .into_iter()
            .filter(|(_, note)| !open.contains(&note.pull.number));
        let mut became = Pulls::Known;
        let mut merged = vec![];
        for (name, note) in ended {
            let seen = match git.repository.pull(note.pull.number).await {
                Ok(seen) => seen,
                Err(GitHubError::Denied { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if let (Some(commit), Ok(name)) = (seen.merged_by, name.parse()) {
                match git.has_been_at(commit, head).await? {
                    Some(true) => {
                        merged.push(git.merged(user, &name, note, seen.head).await?);
                        continue;
                    }
                    Some(false) => {
                        became = Pulls::MergedSince;
                        continue;
                    }
                    None => {}
                }
            }
            if seen.pull != note.pull {
                let change = |book: &mut Book| {
                    if let Some(note) = book.pulls.get_mut(name) {
                        note.pull = seen.pull.clone();
                    }
                };
                self.change_book(user, change).await?;
            }
        }
        if merged.is_empty() {
            return Ok(became);
        }
        self.note_merged(git, user, &merged).await?;
        Ok(Pulls::Merged)
    }
}

impl Git {
    async fn look_at(&self, request: &Request) -> Result<Option<PullSeen>, GitHubError> {
        match request {
            Request::Noted(note) => self.repository.pull(note.pull.number).await.map(Some),
            Request::Unheard { branch, .. } => self.repository.pull_of(branch).await,
        }
    }

    /// Requests that are open, asked since then: looks at the same time share the answer.
    async fn open_pulls(&self, since: Instant) -> Result<Arc<BTreeSet<u64>>, GitHubError> {
        let mut last = self.open_pulls.lock().await;
        if let Some((at, numbers)) = &*last
            && *at >= since
        {
            return Ok(Arc::clone(numbers));
        }
        let at = (self.clock)().started;
        let numbers = Arc::new(self.repository.open_pulls().await?);
        *last = Some((at, Arc::clone(&numbers)));
        Ok(numbers)
    }

    /// A merged request, whose branch was at `head` then. What was put there later wasn't merged.
    pub(super) async fn merged(
        &self,
        user: &UserId,
        name: &FileName,
        note: &PullNote,
        head: GitSha,
    ) -> Result<Merged, GitTrouble> {
        let put_later = match note.commit {
            Some(commit) => match self.compare(commit, head).await? {
                Comparison::Identical | Comparison::Ahead | Comparison::Diverged => false,
                Comparison::Behind => true,
                Comparison::Unknown => return Err(lags().into()),
            },
            None => false,
        };
        let had = match put_later {
            true => {
                let path = self.path(user, name);
                self.repository.file_on(&head.to_string(), &path).await?
            }
            false => Some(note.sha),
        };
        Ok(Merged {
            name: name.clone(),
            proposed: note.sha,
            had,
        })
    }
}

impl Reconciling<'_> {
    /// Finds out whether it is by its pull request that Git has something else of a file than before. Then what the
    /// request proposed is what Git's has come from, and a reviewer's change to it stands. Whether there was one.
    pub(super) async fn settle_pulls(
        &mut self,
        book: &Book,
        snapshot: &GitSnapshot,
        tree: &UserTree,
    ) -> Result<bool, GitTrouble> {
        let has_moved = |(key, request): (&String, Request)| {
            let name: FileName = key.parse().ok()?;
            let before = book.base(&name).map_or(Side::Absent, Side::Content);
            let now = tree.side(&name);
            let is_known = match &request {
                Request::Noted(note) => now == Side::Content(note.sha),
                Request::Unheard { sent, .. } => {
                    matches!(now, Side::Content(sha) if sent.contains(&sha))
                }
            };
            let moved = !is_known && now != before && now != Side::Other;
            moved.then_some((name, request))
        };
        let noted = book.pulls.iter();
        let noted = noted.map(|(name, note)| (name, Request::Noted(note.clone())));
        let unheard = book.proposing.iter();
        let unheard = unheard.filter(|(name, _)| !book.pulls.contains_key(*name));
        let unheard = unheard.filter_map(|(key, branch)| {
            let sent = book.pushing.of(&key.parse().ok()?).to_vec();
            let (branch, from) = (branch.clone(), *book.proposing_from.get(key)?);
            Some((key, Request::Unheard { branch, from, sent }))
        });
        let mut open: Vec<(FileName, Request)> =
            noted.chain(unheard).filter_map(has_moved).collect();
        let mut merged = vec![];
        // GitHub may tell late that one was merged: once in a sync they get a while.
        while !open.is_empty() {
            let mut still = vec![];
            for (name, request) in open {
                let seen = match self.git.look_at(&request).await {
                    Ok(seen) => seen,
                    Err(GitHubError::Denied { .. } | GitHubError::Unexpected { .. }) => continue,
                    Err(error) => return Err(error.into()),
                };
                let merged_by = seen.as_ref().and_then(|it| Some((it.merged_by?, it.head)));
                match merged_by {
                    Some((commit, head)) => {
                        let been = self.git.has_been_at(commit, snapshot.commit()).await?;
                        if been == Some(true) {
                            merged.extend(self.merged(&name, &request, head).await?);
                        }
                    }
                    None if seen.is_none_or(|it| it.pull.open) => still.push((name, request)),
                    None => {}
                }
            }
            if still.is_empty() || self.waited == LOOKS {
                break;
            }
            self.waited += 1;
            tokio::time::sleep(PAUSE).await;
            open = still;
        }
        if merged.is_empty() {
            return Ok(false);
        }
        let codex = self.codex;
        codex.note_merged(self.git, self.user, &merged).await?;
        Ok(true)
    }

    /// What the merged request has brought, if that is known.
    async fn merged(
        &self,
        name: &FileName,
        request: &Request,
        head: GitSha,
    ) -> Result<Option<Merged>, GitTrouble> {
        let (from, sent) = match request {
            Request::Noted(note) => {
                return self.git.merged(self.user, name, note, head).await.map(Some);
            }
            Request::Unheard { from, sent, .. } => (*from, sent),
        };
        // An earlier request may have had a branch of that name.
        match self.git.compare(from, head).await? {
            Comparison::Ahead => {}
            Comparison::Unknown => return Err(lags().into()),
            Comparison::Identical | Comparison::Behind | Comparison::Diverged => return Ok(None),
        }
        let path = self.git.path(self.user, name);
        let had = self
            .git
            .repository
            .file_on(&head.to_string(), &path)
            .await?;
        let proposed = match (had.filter(|had| sent.contains(had)), &sent[..]) {
            (Some(had), _) => had,
            // What a reviewer has made of the only one that can have been there.
            (None, [only]) => *only,
            (None, _) => return Ok(None),
        };
        Ok(Some(Merged {
            name: name.clone(),
            proposed,
            had: Some(proposed),
        }))
    }
}
