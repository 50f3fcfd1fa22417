//! PR mode: a change goes onto a branch and into a pull request instead of onto the branch that mirrors
//! the tasks (SPEC.md 5, "PR mode").

use super::book::{Book, PullNote};
use super::plan::Unpushed;
use super::push::{Outgoing, Round, Sent};
use super::{Git, GitTrouble, Made};
use crate::codex::Codex;
use crate::github::{FileToPut, GitHubError, GitSnapshot, Pull, Side};
use crate::task::GitSha;
use crate::user::UserId;

/// How many branches of a name are tried, when those of earlier requests were never deleted.
const MAX_BRANCHES: u32 = 50;

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
        let snapshot = git.snapshot().await?;
        let outgoing = self.outgoing(user, book, waiting).await?;
        if outgoing.is_empty() {
            return Ok(Round::Look);
        }
        self.mark_pushing(git, user, &outgoing).await?;
        let mut sent = vec![];
        for it in &outgoing {
            let outcome = match self
                .propose_one(git, user, book, it, &snapshot, prefix)
                .await
            {
                Ok(Some(proposed)) => {
                    self.note_proposed(git, user, it, proposed).await?;
                    continue;
                }
                Ok(None) => Sent::Stale,
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

    /// `None` when Git has something else than the change replaces.
    async fn propose_one(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        it: &Outgoing,
        snapshot: &GitSnapshot,
        prefix: &str,
    ) -> Result<Option<Proposed>, GitTrouble> {
        let place = match self.open_place(git, user, book, it).await? {
            Some(place) => Some(place),
            None => {
                let theirs = snapshot.user(user).files.get(&it.file.name).copied();
                let replaces = it.file.replaces.map(Side::Content);
                let Some(head) = snapshot.commit().filter(|_| theirs == replaces) else {
                    return Ok(None);
                };
                self.new_place(git, user, book, it, head, prefix).await?
            }
        };
        let Some(place) = place else { return Ok(None) };
        let made = if place.has == Some(it.file.sha) {
            None
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
                Sent::Stale => return Ok(None),
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
                        let pull = git.repository.pull_of(&branch).await?;
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
        Ok(Some(Proposed { branch, made, pull }))
    }

    /// The branch of the file's open request, if it has one.
    async fn open_place(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        it: &Outgoing,
    ) -> Result<Option<Place>, GitTrouble> {
        let Some(note) = book.pulls.get(it.file.name.as_str()) else {
            return Ok(None);
        };
        let pull = git.repository.pull(note.pull.number).await?;
        if !pull.open {
            return Ok(None);
        }
        let (branch, path) = (note.branch.clone(), git.path(user, &it.file.name));
        let has = git.repository.file_on(&branch, &path).await?;
        let pull = Some(pull);
        Ok(Some(Place { branch, has, pull }))
    }

    /// A branch for a new request; `None` when there is a request by now. One that is there already is only taken when it is noted as this file's
    /// own: left by a push that broke off.
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
        let first = it.story.branch(prefix, user);
        let own = book.proposing.get(name.as_str());
        for number in 1..=MAX_BRANCHES {
            let branch = match number {
                1 => first.clone(),
                number => format!("{first}-{number}"),
            };
            let mut is_own = own == Some(&branch);
            if !is_own && git.repository.has_branch(&branch).await? {
                // Another instance may be at it, or done with it, since that was read.
                let (newer, _) = self.book(user).await?;
                is_own = newer.proposing.get(name.as_str()) == Some(&branch);
                match is_own {
                    false if newer.is_proposed(name, it.file.sha) => return Ok(None),
                    false => continue,
                    true => {}
                }
            }
            if !is_own {
                let note = |book: &mut Book| {
                    book.proposing.insert(name.to_string(), branch.clone());
                };
                self.change_book(user, note).await?;
            }
            // One that was made since it was looked for is another instance's, which is about the same.
            is_own |= !git.repository.make_branch(&branch, head).await?;
            let path = git.path(user, name);
            let has = git.repository.file_on(&branch, &path).await?;
            let pull = match is_own {
                true => git.repository.pull_of(&branch).await?,
                false => None,
            };
            return Ok(Some(Place { branch, has, pull }));
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
        let (name, sha) = (&it.file.name, it.file.sha);
        tracing::info!(%user, op = "propose", task = %name.id(), pull = pull.number, "proposed");
        let made = Made {
            pull: Some(pull.clone()),
            ..made
        };
        git.remember(user, name, sha, made);
        // It stays among what was pushed: a tree that shows it has it from there.
        let note = PullNote::new(branch, sha, pull);
        let change = |book: &mut Book| book.propose(name, note.clone());
        self.change_book(user, change).await.map(drop)
    }

    /// Learns which requests were closed without being merged. What they hold stays here, and isn't
    /// proposed again before the next edit.
    pub(super) async fn refresh_pulls(&self, git: &Git, user: &UserId) -> Result<(), GitTrouble> {
        let (book, _) = self.book(user).await?;
        for (name, note) in book.pulls.iter().filter(|(_, note)| note.pull.open) {
            let pull = match git.repository.pull(note.pull.number).await {
                Ok(pull) => pull,
                Err(GitHubError::Denied { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if pull != note.pull {
                let change = |book: &mut Book| {
                    if let Some(note) = book.pulls.get_mut(name) {
                        note.pull = pull.clone();
                    }
                };
                self.change_book(user, change).await?;
            }
        }
        Ok(())
    }
}
