//! PR mode: a change goes onto a branch and into a pull request instead of onto the branch that mirrors
//! the tasks (SPEC.md 5, "PR mode").

use super::book::{Book, PullNote};
use super::push::{Outgoing, Round};
use super::{Git, GitTrouble, Made};
use crate::codex::Codex;
use crate::github::{CommitMade, Committed, FileToPut, Pull};
use crate::task::GitSha;
use crate::user::UserId;

/// How many branches of a name are tried, when those of earlier requests were never deleted.
const MAX_BRANCHES: u32 = 20;

/// Where a change goes.
struct Place {
    branch: String,
    /// What the branch has of the file.
    has: Option<GitSha>,
    /// Its open request.
    pull: Option<Pull>,
}

impl Codex {
    /// A branch and a pull request for each, or the open one that a file has already.
    pub(super) async fn propose(
        &self,
        git: &Git,
        user: &UserId,
        book: &Book,
        outgoing: &[Outgoing],
        prefix: &str,
    ) -> Result<Round, GitTrouble> {
        for it in outgoing {
            let note = book.pulls.get(it.file.name.as_str());
            let Some(place) = self.place(git, user, it, note, prefix).await? else {
                return Ok(Round::Stale);
            };
            let Some(commit) = commit(git, user, it, &place).await? else {
                return Ok(Round::Stale);
            };
            let pull = match place.pull {
                Some(pull) => pull,
                None => {
                    git.repository
                        .open_pull(&place.branch, &it.story.message())
                        .await?
                }
            };
            self.note_proposed(git, user, it, place.branch, pull, commit)
                .await?;
        }
        Ok(Round::Again)
    }

    /// The branch of the file's open request, else a branch for a new one. `None` when Git has something
    /// else than the change replaces.
    async fn place(
        &self,
        git: &Git,
        user: &UserId,
        it: &Outgoing,
        note: Option<&PullNote>,
        prefix: &str,
    ) -> Result<Option<Place>, GitTrouble> {
        let path = git.path(user, &it.file.name);
        if let Some(note) = note {
            let pull = git.repository.pull(note.pull.number).await?;
            if pull.open {
                let branch = note.branch.clone();
                let has = git.repository.file_on(&branch, &path).await?;
                let pull = Some(pull);
                return Ok(Some(Place { branch, has, pull }));
            }
        }
        let Some(head) = git.snapshot().await?.commit() else {
            return Ok(None);
        };
        let first = it.story.branch(prefix, user);
        for number in 1..=MAX_BRANCHES {
            let branch = match number {
                1 => first.clone(),
                number => format!("{first}-{number}"),
            };
            let new = git.repository.make_branch(&branch, head).await?;
            let has = git.repository.file_on(&branch, &path).await?;
            let pull = match new {
                true => None,
                false => git.repository.pull_of(&branch).await?,
            };
            if new && has != it.file.replaces {
                return Ok(None);
            }
            // One that was left by a push that broke off, or whose request is open.
            let fits = pull.is_some() || has == it.file.replaces || has == Some(it.file.sha);
            if fits {
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
        branch: String,
        pull: Pull,
        commit: Option<CommitMade>,
    ) -> Result<(), GitTrouble> {
        let (name, sha) = (&it.file.name, it.file.sha);
        if let Some(commit) = commit {
            let made = Made {
                commit: commit.sha,
                html_url: commit.html_url,
                pull: Some(pull.clone()),
            };
            git.recent.insert((user.clone(), name.clone(), sha), made);
        }
        tracing::info!(%user, op = "propose", task = %name.id(), pull = pull.number, "proposed");
        // It stays among what was pushed: a tree that shows it has it from there.
        let note = PullNote { branch, sha, pull };
        let change = |book: &mut Book| {
            book.pulls.insert(name.to_string(), note.clone());
            book.last_error = None;
        };
        self.change_book(user, change).await.map(drop)
    }
}

/// The commit on the branch; `Some(None)` when it has the text already, `None` when it has moved.
async fn commit(
    git: &Git,
    user: &UserId,
    it: &Outgoing,
    place: &Place,
) -> Result<Option<Option<CommitMade>>, GitTrouble> {
    if place.has == Some(it.file.sha) {
        return Ok(Some(None));
    }
    let path = git.path(user, &it.file.name);
    let put = FileToPut {
        path: &path,
        branch: Some(&place.branch),
        bytes: &it.text,
        replaces: place.has,
        message: &it.story.message(),
    };
    match git.repository.put_file(&put).await? {
        Committed::Done(commit) => Ok(Some(Some(commit))),
        Committed::Stale => Ok(None),
    }
}
