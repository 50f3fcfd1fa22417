//! `git.json`: what Git is known to hold of a user's files (SPEC.md 5), changed by compare-and-swap.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::GitTrouble;
use crate::cache::Format;
use crate::codex::Codex;
use crate::github::Pull;
use crate::store::{ETag, GetIf, Got, Key, Put, PutIf, Written};
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// How often a swap is tried again because somebody else was quicker.
const ROUNDS: u32 = 20;

/// How many contents are remembered of a file whose way to or from Git nobody knows the end of.
const MAX_OPEN: usize = 8;

/// What Git is known to hold of a user's files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Book {
    pub format: Format,
    /// Which repository, branch and folder this is about. Of another place nothing is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// The commit that was last looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<GitSha>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub synced_at: Option<DateTime<Utc>>,
    /// The base: what Git holds of each file, by name.
    #[serde(default)]
    pub files: BTreeMap<String, GitSha>,
    /// Those among them that Git holds as done.
    #[serde(default)]
    pub done: BTreeSet<String>,
    /// What was about to be committed, by name: it may be in Git.
    #[serde(default)]
    pub pushing: Open,
    /// What was about to be taken from Git, by name: it may be in the store.
    #[serde(default)]
    pub taking: Open,
    /// The branch that is about to be made for a file's pull request, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub proposing: BTreeMap<String, String>,
    /// Pull requests that hold what isn't merged yet, by file.
    #[serde(default)]
    pub pulls: BTreeMap<String, PullNote>,
    /// What went wrong last, until something goes well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<LastError>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// Contents whose way nobody knows the end of, by file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Open(BTreeMap<String, Vec<GitSha>>);

/// A pull request with a file's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullNote {
    /// Its branch.
    pub branch: String,
    /// The content that the branch has.
    pub sha: GitSha,
    /// The request, as it was last seen.
    #[serde(flatten)]
    pub pull: Pull,
}

/// What went wrong last between Git and the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// When it was first noticed.
    pub at: DateTime<Utc>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            format: Format::CURRENT,
            place: None,
            commit: None,
            synced_at: None,
            files: BTreeMap::new(),
            done: BTreeSet::new(),
            pushing: Open::default(),
            taking: Open::default(),
            proposing: BTreeMap::new(),
            pulls: BTreeMap::new(),
            last_error: None,
            unknown: Map::new(),
        }
    }
}

impl Open {
    /// Of one file.
    pub(super) fn of(&self, name: &FileName) -> &[GitSha] {
        self.0.get(name.as_str()).map_or(&[], |it| it)
    }

    /// One more.
    pub(super) fn begin(&mut self, name: &FileName, sha: GitSha) {
        let open = self.0.entry(name.to_string()).or_default();
        if !open.contains(&sha) {
            open.push(sha);
        }
        if open.len() > MAX_OPEN {
            open.remove(0);
        }
    }

    /// How this one ended is known.
    pub(super) fn end(&mut self, name: &FileName, sha: GitSha) {
        let Some(open) = self.0.get_mut(name.as_str()) else {
            return;
        };
        open.retain(|it| *it != sha);
        if open.is_empty() {
            self.0.remove(name.as_str());
        }
    }

    /// Every file with one.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Also those of another.
    pub(super) fn join(&mut self, other: &Self) {
        for (name, contents) in &other.0 {
            let mine = self.0.entry(name.clone()).or_default();
            mine.extend(
                contents
                    .iter()
                    .filter(|sha| !mine.contains(sha))
                    .copied()
                    .collect::<Vec<_>>(),
            );
        }
    }
}

impl Book {
    /// What Git holds of a file.
    pub(super) fn base(&self, name: &FileName) -> Option<GitSha> {
        self.files.get(name.as_str()).copied()
    }

    /// A pull request has this content already.
    pub(super) fn is_proposed(&self, name: &FileName, sha: GitSha) -> bool {
        let note = self.pulls.get(name.as_str());
        note.is_some_and(|note| note.sha == sha)
    }

    /// Git holds this now, as done or not where that is known. A pull request that brought it there is
    /// done with.
    pub(super) fn hold(&mut self, name: &FileName, sha: GitSha, done: Option<bool>) {
        let key = name.as_str();
        self.files.insert(key.to_owned(), sha);
        match done {
            Some(true) => drop(self.done.insert(key.to_owned())),
            Some(false) => drop(self.done.remove(key)),
            None => {}
        }
        if self.is_proposed(name, sha) {
            self.pulls.remove(key);
        }
        self.pushing.end(name, sha);
        self.taking.end(name, sha);
    }

    /// Git doesn't hold the file (any more).
    pub(super) fn drop(&mut self, name: &FileName) {
        self.files.remove(name.as_str());
        self.done.remove(name.as_str());
    }

    /// Remembers what went wrong, since when, or that nothing does any more.
    pub(super) fn trouble(&mut self, trouble: Option<(&str, String)>, at: DateTime<Utc>) {
        self.last_error = trouble.map(|(code, message)| match self.last_error.take() {
            Some(before) if before.code == code => LastError { message, ..before },
            _ => LastError {
                code: code.to_owned(),
                message,
                at,
            },
        });
    }

    /// Something got into Git, so whatever kept it from there is over; removals that are held back aren't.
    pub(super) fn went_well(&mut self) {
        let held = |it: &LastError| it.code == "mass_delete";
        self.last_error = self.last_error.take().filter(held);
    }

    fn read(bytes: &[u8]) -> Result<Option<Self>, GitTrouble> {
        #[derive(Deserialize)]
        struct Head {
            format: Format,
        }
        let newer = |format: Format| format.major > Format::CURRENT.major;
        if let Ok(head) = serde_json::from_slice::<Head>(bytes)
            && newer(head.format)
        {
            return Err(GitTrouble::NewerFormat);
        }
        Ok(serde_json::from_slice(bytes).ok())
    }
}

impl Codex {
    /// The user's `git.json`. One that is lost, damaged, or about another repository counts as empty: then
    /// what both sides have is merged, and nothing is lost.
    pub(super) async fn book(&self, user: &UserId) -> Result<(Book, Option<ETag>), GitTrouble> {
        let place = self.git()?.place();
        let got = self.store.get(&Key::git(user), GetIf::Any).await?.value;
        let (book, etag) = match got {
            Got::Blob(blob) => (Book::read(&blob.bytes)?, Some(blob.etag)),
            Got::Absent | Got::Changed | Got::Unchanged => (None, None),
        };
        let book = book.filter(|it| it.place.as_ref() == Some(&place));
        let fresh = || Book {
            place: Some(place.clone()),
            ..Book::default()
        };
        Ok((book.unwrap_or_else(fresh), etag))
    }

    /// Changes the user's `git.json`. `change` may be applied again to a newer one, so it looks before it
    /// changes something.
    pub(super) async fn change_book(
        &self,
        user: &UserId,
        change: impl Fn(&mut Book) + Send,
    ) -> Result<Book, GitTrouble> {
        for _ in 0..ROUNDS {
            let (before, etag) = self.book(user).await?;
            let mut book = before.clone();
            change(&mut book);
            if book == before {
                return Ok(book);
            }
            let put = Put {
                // Maps with string keys, strings and numbers: nothing in it can fail to serialise.
                bytes: serde_json::to_vec(&book).unwrap_or_default().into(),
                ..Put::default()
            };
            let condition = etag.map_or(PutIf::Absent, PutIf::Same);
            match self.store.put(&Key::git(user), put, condition).await?.value {
                Written::Done(_) => return Ok(book),
                // Somebody else was quicker, or it was this very write: the next look shows.
                Written::Refused => {}
            }
        }
        Err(GitTrouble::Contended)
    }
}
