//! Proposes changes by pull requests in place of commits to the mirrored branch (`src/codex/git/README.md`,
//! "Pull requests").

use super::book::{Book, PullNote};
use super::order::lags;
use super::plan::Unpushed;
use super::push::{Outgoing, Round, Sent};
use super::{Git, GitTrouble, Made};
use crate::cache::{Act, FileChange, FileFate};
use crate::codex::Codex;
use crate::github::{Comparison, FileToPut, GitHubError, Pull, Side, UserTree, merge};
use crate::task::GitSha;
use crate::user::UserId;

/// So many branches of a name are counted, when those of earlier requests were never deleted; then they are named
/// after the content, or where that was proposed before after the commit they are made from.
const COUNTED: u32 = 3;

/// The branch that mirrors the tasks, as it was seen before anything is proposed.
#[derive(Clone, Copy)]
struct Seen<'a> {
    head: Option<GitSha>,
    tree: &'a UserTree,
}

/// What came of proposing a change.
enum Proposal {
    Done(Proposed),
    /// Git has something else than the change replaces, or the file was changed here.
    Stale,
    /// A reviewer has changed the branch to this content.
    Reviewed {
        /// What was proposed before.
        proposed: GitSha,
        /// What the branch has.
        has: GitSha,
        /// The branch's commit with it.
        commit: GitSha,
    },
}

/// Where a change goes, if that is known.
enum Open {
    At(Place),
    /// A reviewer has changed what the branch has.
    Reviewed {
        proposed: GitSha,
        has: GitSha,
        commit: GitSha,
    },
    /// The request was merged: it is to be looked anew.
    Outdated,
    /// There is no open request.
    No,
}

/// Where a change goes.
struct Place {
    branch: String,
    /// What the branch has of the file.
    has: Option<GitSha>,
    /// Its open request.
    pull: Option<Pull>,
}

/// A change that is in a pull request.
struct Proposed {
    branch: String,
    made: Made,
    pull: Pull,
}

impl Codex {
    /// A branch and a pull request for each, or the open one that a file has already.
    pub(super) async fn propose(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        waiting: Vec<Unpushed>,
        prefix: &str,
    ) -> Result<Round, GitTrouble> {
        let snapshot = git.snapshot_after(book, None).await?;
        let mut outgoing = self.outgoing(user, book, waiting).await?;
        if outgoing.is_empty() {
            return Ok(Round::Look);
        }
        let tree = self.tree_of(&snapshot, user).await?;
        let seen = Seen {
            head: snapshot.commit(),
            tree: &tree,
        };
        self.mark_pushing(git, user, &mut outgoing).await?;
        if outgoing.is_empty() {
            return Ok(Round::Look);
        }
        let mut sent = vec![];
        for it in &outgoing {
            let outcome = match self.propose_one(git, user, book, it, seen, prefix).await {
                Ok(Proposal::Done(proposed)) => {
                    self.note_proposed(git, user, it, proposed).await?;
                    continue;
                }
                Ok(Proposal::Reviewed {
                    proposed,
                    has,
                    commit,
                }) => {
                    let review = (has, commit);
                    match self.take_review(git, user, it, proposed, review).await {
                        Ok(()) => continue,
                        Err(trouble) => Sent::Refused(trouble),
                    }
                }
                Ok(Proposal::Stale) => Sent::Stale,
                // The others needn't wait for a request of which GitHub tells late, or something odd.
                Err(GitTrouble::GitHub(error))
                    if error == lags() || matches!(error, GitHubError::Unexpected { .. }) =>
                {
                    Sent::Refused(error.into())
                }
                Err(GitTrouble::GitHub(error)) => error.into(),
                Err(trouble) => Sent::Refused(trouble),
            };
            let unknown = matches!(outcome, Sent::Unknown(_));
            sent.push((it, outcome));
            if unknown {
                break;
            }
        }
        self.note_sent(git, user, sent).await
    }

    /// Puts a change onto its branch, and opens its pull request.
    async fn propose_one(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        it: &Outgoing,
        seen: Seen<'_>,
        prefix: &str,
    ) -> Result<Proposal, GitTrouble> {
        let place = match self.open_place(git, user, book, it, seen.head).await? {
            Open::At(place) => Some(place),
            Open::Reviewed {
                proposed,
                has,
                commit,
            } => {
                return Ok(Proposal::Reviewed {
                    proposed,
                    has,
                    commit,
                });
            }
            Open::Outdated => return Ok(Proposal::Stale),
            Open::No => {
                let theirs = seen.tree.side(&it.file.name);
                let replaces = it.file.replaces.map_or(Side::Absent, Side::Content);
                let Some(head) = seen.head.filter(|_| theirs == replaces) else {
                    return Ok(Proposal::Stale);
                };
                self.new_place(git, user, book, it, head, prefix).await?
            }
        };
        let Some(place) = place else {
            return Ok(Proposal::Stale);
        };
        let made = if place.has == Some(it.file.sha) {
            None
        } else if self
            .raw(user, &it.file.name, &it.file.etag)
            .await?
            .is_none()
        {
            // It was changed since it was read, and the branch may have what it became. While the store still has it,
            // an own text that the branch had before is older.
            return Ok(Proposal::Stale);
        } else {
            let path = git.path(user, &it.file.name);
            let put = FileToPut {
                path: &path,
                branch: Some(&place.branch),
                bytes: &it.text,
                replaces: place.has,
                message: &it.story.message(),
            };
            match Sent::of(git.repository.put_file(&put).await) {
                Sent::Done(made) => Some(made),
                Sent::Stale => return Ok(Proposal::Stale),
                Sent::Refused(trouble) | Sent::Unknown(trouble) => return Err(trouble),
            }
        };
        let branch = place.branch;
        let pull = match place.pull {
            Some(pull) => pull,
            None => {
                let title = it.story.message();
                match git.repository.open_pull(&branch, &title).await? {
                    Some(pull) => pull,
                    // Another instance was quicker.
                    None => {
                        let pull = git.open_pull_of(&branch).await?;
                        pull.ok_or(GitTrouble::Contended)?
                    }
                }
            }
        };
        let made = match made {
            Some(made) => made,
            None => {
                let commit = git.repository.branch_head(&branch).await?;
                let html_url = pull.html_url.clone();
                Made {
                    commit,
                    html_url,
                    parent: None,
                    pull: None,
                }
            }
        };
        Ok(Proposal::Done(Proposed { branch, made, pull }))
    }

    /// The branch of the file's open request, if it has one.
    async fn open_place(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        it: &Outgoing,
        head: Option<GitSha>,
    ) -> Result<Open, GitTrouble> {
        let name = &it.file.name;
        let Some(note) = book.pulls.get(name.as_str()) else {
            return Ok(Open::No);
        };
        let seen = git.repository.pull(note.pull.number).await?;
        if let Some(commit) = seen.merged_by {
            match git.has_been_at(commit, head).await? {
                Some(true) => {
                    let merged = git.merged(user, name, note, seen.head).await?;
                    self.note_merged(git, user, &[merged]).await?;
                    return Ok(Open::Outdated);
                }
                Some(false) => return Err(lags().into()),
                None => {}
            }
        }
        if !seen.pull.open {
            return Ok(Open::No);
        }
        let (branch, path) = (note.branch.clone(), git.path(user, name));
        // At a commit that isn't older than what was put there. A reviewer may have rewritten the branch.
        let commit = git.repository.branch_head(&branch).await?;
        if let Some(before) = note.commit {
            match git.compare(before, commit).await? {
                Comparison::Identical | Comparison::Ahead | Comparison::Diverged => {}
                Comparison::Behind | Comparison::Unknown => return Err(lags().into()),
            }
        }
        let has = git.repository.file_on(&commit.to_string(), &path).await?;
        if let Some(has) = has.filter(|has| *has != note.sha && *has != it.file.sha) {
            // Or an own push: of which nobody heard, or another instance's, since the book was read.
            let (newer, _) = self.book(user).await?;
            let is_own = newer.pushing.of(name).contains(&has) || newer.is_proposed(name, has);
            if !is_own {
                let proposed = note.sha;
                return Ok(Open::Reviewed {
                    proposed,
                    has,
                    commit,
                });
            }
        }
        let pull = Some(seen.pull);
        Ok(Open::At(Place { branch, has, pull }))
    }

    /// A reviewer has changed what was proposed, and it was changed here, too: both go into the file, which is then
    /// proposed as it is.
    async fn take_review(
        &self,
        git: &Git,
        user: &UserId,
        it: &Outgoing,
        proposed: GitSha,
        (has, commit): (GitSha, GitSha),
    ) -> Result<(), GitTrouble> {
        let Unpushed { name, etag, .. } = &it.file;
        let theirs = git.blob(has).await?;
        let base = git.repository.blob(proposed).await?;
        let Some(ours) = self.raw(user, name, etag).await? else {
            return Ok(());
        };
        let merged = merge(name, base.as_deref(), &ours.bytes, &theirs);
        if merged.bytes != ours.bytes {
            let change = FileChange {
                name: name.clone(),
                act: Act::Replace {
                    bytes: merged.bytes.into(),
                    etag: etag.clone(),
                    writes: ours.writes,
                },
                merged: merged.conflicts,
                write: None,
            };
            let writer = self.writer_for(user, (git.clock)(), "review");
            let done = self.cache.write_batch(writer, vec![change]).await?;
            if done.fates != [FileFate::Done] {
                return Ok(());
            }
        }
        // Only now: whoever comes upon the branch before merges once more.
        let note = |book: &mut Book| {
            if let Some(note) = book.pulls.get_mut(name.as_str())
                && note.sha == proposed
            {
                note.sha = has;
                note.commit = Some(commit);
            }
        };
        self.change_book(user, note).await.map(drop)
    }

    /// A branch for a new request; `None` when there is a request by now, or another branch for one, than when the
    /// `book` was read. A branch that is there already is only taken when it is noted as this file's own, left by a
    /// push that broke off, and nobody has changed the file there.
    async fn new_place(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        it: &Outgoing,
        head: GitSha,
        prefix: &str,
    ) -> Result<Option<Place>, GitTrouble> {
        let name = &it.file.name;
        let key = name.as_str();
        let path = git.path(user, name);
        let mut begun = book.proposing.get(key).cloned();
        let is_news = |newer: &Book, begun: &Option<String>| {
            newer.pulls.get(key) != book.pulls.get(key)
                || newer.proposing.get(key) != begun.as_ref()
        };
        let first = it.story.branch(prefix, user);
        let counted = (2..=COUNTED).map(|number| format!("{first}-{number}"));
        let named = [it.file.sha, head].map(|sha| format!("{first}-{:.7}", sha.to_string()));
        let others = [first.clone()].into_iter().chain(counted).chain(named);
        // The one that was begun may have a request that nobody has noted, whatever it is named after.
        let others = others.filter(|it| begun.as_ref() != Some(it));
        let branches: Vec<String> = begun.iter().cloned().chain(others).collect();
        for branch in branches {
            let there = git.repository.has_branch(&branch).await?;
            // After that: another instance may be at it, or done with it.
            let (newer, _) = self.book(user).await?;
            if is_news(&newer, &begun) {
                return Ok(None);
            }
            let is_own = begun.as_ref() == Some(&branch);
            if there && !is_own {
                continue;
            }
            if !is_own {
                let note = |newer: &mut Book| {
                    if !is_news(newer, &begun) {
                        newer.begin_proposing(name, &branch, head);
                    }
                };
                let newer = self.change_book(user, note).await?;
                begun = Some(branch.clone());
                if is_news(&newer, &begun) {
                    return Ok(None);
                }
            }
            // One that was made since it was looked for is another instance's, which is about the same.
            let is_new = git.repository.make_branch(&branch, head).await?;
            let has = git.repository.file_on(&branch, &path).await?;
            if is_new && !is_own {
                let pull = None;
                return Ok(Some(Place { branch, has, pull }));
            }
            let (newer, _) = self.book(user).await?;
            if is_news(&newer, &begun) {
                return Ok(None);
            }
            let is_known = |has: &GitSha| {
                Some(*has) == it.file.replaces || newer.pushing.of(name).contains(has)
            };
            if has.as_ref().is_none_or(is_known) {
                let seen = git.repository.pull_of(&branch).await?;
                // One that was merged since the branch was looked at has brought what was put there before.
                if let Some(commit) = seen.as_ref().and_then(|it| it.merged_by)
                    && git.has_been_at(commit, Some(head)).await? == Some(false)
                {
                    return Err(lags().into());
                }
                let pull = seen.map(|it| it.pull).filter(|it| it.open);
                return Ok(Some(Place { branch, has, pull }));
            }
        }
        Err(GitTrouble::Contended)
    }

    async fn note_proposed(
        &self,
        git: &Git,
        user: &UserId,
        it: &Outgoing,
        proposed: Proposed,
    ) -> Result<(), GitTrouble> {
        let Proposed { branch, made, pull } = proposed;
        let made_on = made.commit;
        let (name, sha) = (&it.file.name, it.file.sha);
        tracing::info!(%user, op = "propose", task = %name.id(), pull = pull.number, "proposed");
        let made = Made {
            pull: Some(pull.clone()),
            ..made
        };
        git.remember(user, name, sha, made);
        // It stays among what was pushed: a tree that shows it has it from there.
        let note = PullNote::new(branch, sha, made_on, pull);
        let change = |book: &mut Book| book.propose(name, note.clone());
        self.change_book(user, change).await.map(drop)
    }
}

impl Git {
    async fn open_pull_of(&self, branch: &str) -> Result<Option<Pull>, GitHubError> {
        let seen = self.repository.pull_of(branch).await?;
        Ok(seen.map(|it| it.pull).filter(|it| it.open))
    }
}
