//! `git.json`, the base of the three-way comparison (`src/codex/git/README.md`, "git.json"), changed by compare-and-swap.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::GitTrouble;
use crate::cache::Format;
use crate::codex::Codex;
use crate::github::Pull;
use crate::store::{ETag, GetIf, Got, Key, Put, PutIf, WriteId, WriteIds, Written};
use crate::task::{FileName, GitSha};
use crate::user::UserId;

/// How often a swap is tried again because somebody else was quicker.
const ROUNDS: u32 = 20;

/// How many contents are remembered of a file whose way to or from Git nobody knows the end of.
const MAX_OPEN: usize = 8;

/// So many commits are remembered that the branch was set away from.
const MAX_LEFT: usize = 4;

/// A write that was noted longer ago isn't under way any more: marks end before, and so do requests.
const TAKING_ENDS: TimeDelta = TimeDelta::minutes(5);

/// What Git is known to hold of a user's files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Book {
    pub format: Format,
    /// Which repository, branch and folder this is about. Of another place nothing is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// The commit that was last looked at, or made here on such a one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<GitSha>,
    /// Other commits made here, since the branch was looked at. What comes after `commit` and all of these is newer
    /// than everything said here.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub also: Vec<GitSha>,
    /// Commits that the branch was set away from, the last ones: what is shown of their history isn't newer, although
    /// it may come after what the branch was set to.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left: Vec<GitSha>,
    /// When it was looked at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub synced_at: Option<DateTime<Utc>>,
    /// The base: what Git holds of each file, by name.
    #[serde(default)]
    pub files: BTreeMap<String, GitSha>,
    /// Those among them that Git holds as done.
    #[serde(default)]
    pub done: BTreeSet<String>,
    /// Files that have gone from Git, and stay here until somebody confirms that.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub held: BTreeSet<String>,
    /// Folders that Git has for the login in another letter case, and from which nothing is taken.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub respelt: Vec<String>,
    /// It hasn't the login's own folder beside those: that was renamed, and no other one is to be made.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub renamed: bool,
    /// What was about to be committed, by name: it may be in Git.
    #[serde(default)]
    pub pushing: Open,
    /// What was about to be taken from Git, by name: it may be in the store.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub taking: BTreeMap<String, Vec<Taking>>,
    /// The branch that is about to be made for a file's pull request, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub proposing: BTreeMap<String, String>,
    /// The commit that branch is made from, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub proposing_from: BTreeMap<String, GitSha>,
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

/// A content of Git's, alone or merged with ours, about to be written here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taking {
    /// What Git had.
    pub sha: GitSha,
    /// What Git was known to hold before. Where that has moved since, what was written was made of something else.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    base: Option<GitSha>,
    /// The write that brings it: whatever has this among its write ids has come from it.
    write: String,
    /// When it was noted.
    at: DateTime<Utc>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Taking {
    pub(super) fn new(
        sha: GitSha,
        base: Option<GitSha>,
        write: WriteId,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            sha,
            base,
            write: write.to_string(),
            at,
            unknown: Map::new(),
        }
    }

    /// Whether these write ids have it.
    pub(super) fn is_in(&self, writes: &WriteIds) -> bool {
        self.write.parse().is_ok_and(|id| writes.contains(id))
    }

    /// Whether it was made for what Git is known to hold now.
    pub(super) fn is_on(&self, base: Option<GitSha>) -> bool {
        self.base == base
    }

    fn is_by(&self, write: WriteId) -> bool {
        self.write == write.to_string()
    }

    /// Whether it is too old to be still under way.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        now - self.at > TAKING_ENDS
    }
}

/// A pull request with a file's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullNote {
    /// Its branch.
    pub branch: String,
    /// The content that the branch has.
    pub sha: GitSha,
    /// The branch's commit with it: what is shown of the branch without that is old.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(ignore)]
    pub commit: Option<GitSha>,
    /// The request, as it was last seen.
    #[serde(flatten)]
    pub pull: Pull,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl PullNote {
    pub(super) fn new(branch: String, sha: GitSha, commit: GitSha, pull: Pull) -> Self {
        Self {
            branch,
            sha,
            commit: Some(commit),
            pull,
            unknown: Map::new(),
        }
    }

    /// Only the members this version knows and tells.
    pub(super) fn known(mut self) -> Self {
        self.commit = None;
        self.unknown.clear();
        self
    }
}

/// What went wrong last between Git and the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastError {
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// When it was first noticed.
    pub at: DateTime<Utc>,
    /// Members this version doesn't know; they survive a rewrite.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl LastError {
    /// Only the members this version knows: nobody is told the others.
    pub(super) fn known(mut self) -> Self {
        self.unknown.clear();
        self
    }

    /// Whether it is about what a look has found, not about something that failed.
    pub(super) fn is_of_look(&self) -> bool {
        matches!(
            self.code.as_str(),
            "mass_delete" | "other_spelling" | "not_a_file"
        )
    }
}

impl Default for Book {
    fn default() -> Self {
        Self {
            format: Format::CURRENT,
            place: None,
            commit: None,
            also: vec![],
            left: vec![],
            synced_at: None,
            files: BTreeMap::new(),
            done: BTreeSet::new(),
            held: BTreeSet::new(),
            respelt: vec![],
            renamed: false,
            pushing: Open::default(),
            taking: BTreeMap::new(),
            proposing: BTreeMap::new(),
            proposing_from: BTreeMap::new(),
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

    /// How all of a file's ended is known.
    pub(super) fn end_all(&mut self, name: &FileName) {
        self.0.remove(name.as_str());
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

    /// The commits that Git is known to have been at: only from what comes after all of them anything follows.
    pub(super) fn known_heads(&self) -> Vec<GitSha> {
        self.commit.iter().chain(&self.also).copied().collect()
    }

    /// Whether a look that found what comes after `passed`, at `head`, is the newest one still. Else another one has
    /// found, or made, something of which nobody has asked whether it is newer.
    pub(super) fn is_newest(&self, head: Option<GitSha>, passed: &[GitSha]) -> bool {
        let mut known = self.commit.iter().chain(&self.also);
        known.all(|it| Some(*it) == head || passed.contains(it))
    }

    /// The branch was looked at, at `head`, to which it was set from those that it has `left`.
    pub(super) fn look_at(&mut self, head: GitSha, left: &[GitSha]) {
        self.commit = Some(head);
        self.also.clear();
        self.left.retain(|it| *it != head && !left.contains(it));
        self.left.extend_from_slice(left);
        let over = self.left.len().saturating_sub(MAX_LEFT);
        self.left.drain(..over);
    }

    /// A commit was made here, on `parent`.
    pub(super) fn commit_made(&mut self, commit: GitSha, parent: Option<GitSha>) {
        let on = |it: &GitSha| Some(*it) == parent;
        if self.commit.as_ref().is_none_or(on) {
            self.commit = Some(commit);
        } else if self.commit != Some(commit) && !self.also.contains(&commit) {
            self.also.retain(|it| !on(it));
            self.also.push(commit);
        }
    }

    /// A pull request was merged with what it proposed, or with what its reviewers made of that: whatever Git has
    /// now came after it.
    /// What was proposed later than what it `had` wasn't merged.
    pub(super) fn pull_merged(&mut self, name: &FileName, proposed: GitSha, had: Option<GitSha>) {
        // Of one that isn't noted the answer never came.
        let is_unheard =
            self.proposing.contains_key(name.as_str()) && self.pushing.of(name).contains(&proposed);
        if !self.is_proposed(name, proposed) && !is_unheard {
            return;
        }
        if had != Some(proposed) {
            self.pulls.remove(name.as_str());
        }
        if let Some(had) = had {
            self.hold(name, had, None);
        }
    }

    /// Whether there are pull requests that are open as far as is known.
    pub(super) fn has_open_pulls(&self) -> bool {
        self.pulls.values().any(|note| note.pull.open)
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
        // What was proposed is there, with every commit on the way to it.
        if self.is_proposed(name, sha) {
            self.pulls.remove(key);
            self.pushing.end_all(name);
        }
        let is_sent = self.pushing.of(name).contains(&sha);
        self.pushing.end(name, sha);
        // By anything else it isn't known what becomes of a request that is about to be opened.
        if is_sent || self.pushing.of(name).is_empty() {
            self.end_proposing(key);
        }
    }

    /// Git holds this by a write that was answered, there or here: none of the commits that were `open` before it,
    /// which were all conditional, can land any more, unless Git gets back what they replace; whoever hears of one that
    /// did notes it anew. Those begun since may have.
    pub(super) fn hold_after_write(
        &mut self,
        name: &FileName,
        sha: GitSha,
        done: bool,
        open: &[GitSha],
    ) {
        self.hold(name, sha, Some(done));
        for it in open {
            self.pushing.end(name, *it);
        }
        if self.pushing.of(name).is_empty() {
            self.end_proposing(name.as_str());
        }
    }

    /// Whether there is a branch for a request, open or about to be opened, where commits of the file wait whatever the
    /// service's own branch holds.
    pub(super) fn waits_on_a_branch(&self, name: &FileName) -> bool {
        let note = self.pulls.get(name.as_str());
        self.proposing.contains_key(name.as_str()) || note.is_some_and(|note| note.pull.open)
    }

    /// Whether a file with these write ids has come from Git by a take whose end isn't noted.
    pub(super) fn is_taken(&self, name: &FileName, writes: &WriteIds) -> bool {
        let takes = self.taking.get(name.as_str());
        takes.is_some_and(|takes| takes.iter().any(|it| it.is_in(writes)))
    }

    /// Whether something was about to be taken that wasn't yet when this was `asked`.
    pub(super) fn takes_since(
        &self,
        asked: &BTreeMap<String, Vec<Taking>>,
        name: &FileName,
    ) -> bool {
        let before = asked.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        let takes = self.taking.get(name.as_str()).into_iter().flatten();
        takes.into_iter().any(|it| !before.contains(it))
    }

    /// Something is about to be taken.
    pub(super) fn begin_taking(&mut self, name: &FileName, taking: Taking) {
        let open = self.taking.entry(name.to_string()).or_default();
        open.retain(|it| it.write != taking.write);
        open.push(taking);
        if open.len() > MAX_OPEN {
            open.remove(0);
        }
    }

    /// This write is answered, and so are those that the file it replaced had in it. Others stay: what was to make
    /// the file where it isn't there may still do so once somebody has removed it.
    pub(super) fn end_taking(&mut self, name: &FileName, write: WriteId, replaced: &WriteIds) {
        self.end_takings(name, |it| it.is_by(write) || it.is_in(replaced));
    }

    /// These writes are in the file.
    pub(super) fn end_takings_in(&mut self, name: &FileName, writes: &WriteIds) {
        self.end_takings(name, |it| it.is_in(writes));
    }

    fn end_takings(&mut self, name: &FileName, ends: impl Fn(&Taking) -> bool) {
        if let Some(open) = self.taking.get_mut(name.as_str()) {
            open.retain(|it| !ends(it));
            if open.is_empty() {
                self.taking.remove(name.as_str());
            }
        }
    }

    /// A pull request has this content now: the one known of, or another.
    pub(super) fn propose(&mut self, name: &FileName, mut note: PullNote) {
        if let Some(before) = self.pulls.remove(name.as_str())
            && before.branch == note.branch
        {
            note.unknown = before.unknown;
        }
        self.pulls.insert(name.to_string(), note);
        self.end_proposing(name.as_str());
    }

    /// A branch is about to be made from this commit.
    pub(super) fn begin_proposing(&mut self, name: &FileName, branch: &str, from: GitSha) {
        self.proposing.insert(name.to_string(), branch.to_owned());
        self.proposing_from.insert(name.to_string(), from);
    }

    fn end_proposing(&mut self, name: &str) {
        self.proposing.remove(name);
        self.proposing_from.remove(name);
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
                unknown: Map::new(),
            },
        });
    }

    /// Nothing waits for Git any more, so whatever kept it from there is over; what a look has found wrong
    /// isn't.
    pub(super) fn went_well(&mut self) {
        self.last_error = self.last_error.take().filter(LastError::is_of_look);
    }
}

/// Reads a blob of what is known of Git; `None` for one that is damaged. What a newer version wrote is never
/// damaged, only not understood.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, GitTrouble> {
    let read = serde_json::from_slice(bytes).ok();
    let read_only = Format::of(bytes).is_some_and(Format::is_read_only);
    if read_only || (read.is_none() && Format::is_of_newer(bytes)) {
        return Err(GitTrouble::NewerFormat);
    }
    Ok(read)
}

impl Codex {
    /// The user's `git.json`. One that is lost, damaged, or about another repository counts as empty: then
    /// what both sides have is merged, and nothing is lost.
    pub(super) async fn book(&self, user: &UserId) -> Result<(Book, Option<ETag>), GitTrouble> {
        let place = self.git()?.place();
        let got = self.store.get(&Key::git(user), GetIf::Any).await?.value;
        let (book, etag): (Option<Book>, _) = match got {
            Got::Blob(blob) => (parse(&blob.bytes)?, Some(blob.etag)),
            Got::Absent | Got::Changed | Got::Unchanged => (None, None),
        };
        let mut book = book.filter(|it| it.place.as_ref() == Some(&place));
        if let (Some(book), None) = (&mut book, self.git()?.repository.pull_prefix()) {
            // Pull requests of another time are no reason to hold anything back.
            book.pulls.clear();
            book.proposing.clear();
            book.proposing_from.clear();
        }
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
