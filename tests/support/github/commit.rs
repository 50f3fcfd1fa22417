//! Commits: written, parsed, and a branch's history.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::git::Git;
use super::tree::{self, Difference};

/// An author or committer, with the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) at: DateTime<Utc>,
}

/// A commit of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) sha: String,
    pub(crate) tree: String,
    pub(crate) parents: Vec<String>,
    pub(crate) author: Signature,
    pub(crate) committer: Signature,
    pub(crate) message: String,
    /// The paths that differ from the first parent's tree, with the blob that is there now.
    pub(crate) changes: BTreeMap<String, Option<String>>,
}

/// The paths that a commit touched, for a push payload.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) modified: Vec<String>,
}

impl Signature {
    fn line(&self) -> String {
        // Removes characters that would end a name or an address in git's format.
        let clean = |text: &str| text.replace(['<', '>', '\n', '\0'], "").trim().to_owned();
        let at = self.at.timestamp();
        format!("{} <{}> {at} +0000", clean(&self.name), clean(&self.email))
    }

    fn parse(line: &str) -> Self {
        let (name, rest) = line.split_once('<').unwrap_or((line, ""));
        let (email, time) = rest.split_once('>').unwrap_or((rest, ""));
        let seconds = time.split_whitespace().next();
        let seconds = seconds.and_then(|seconds| seconds.parse().ok());
        Self {
            name: name.trim_end().to_owned(),
            email: email.to_owned(),
            at: DateTime::from_timestamp(seconds.unwrap_or(0), 0).unwrap(),
        }
    }
}

/// Stores a commit.
pub(super) fn write(
    git: &mut Git,
    tree: &str,
    parents: &[String],
    author: &Signature,
    committer: &Signature,
    message: &str,
) -> String {
    let mut text = format!("tree {tree}\n");
    for parent in parents {
        text += &format!("parent {parent}\n");
    }
    text += &format!(
        "author {}\ncommitter {}\n\n{message}",
        author.line(),
        committer.line()
    );
    git.write("commit", text.as_bytes())
}

/// The commit with this SHA, without its changes.
pub(super) fn read(git: &mut Git, sha: &str) -> Option<Commit> {
    let bytes = git.read_as("commit", sha)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, message) = text.split_once("\n\n").unwrap_or((&text, ""));
    let values = |key: &str| -> Vec<String> {
        let lines = head.lines().filter_map(|line| line.split_once(' '));
        let values = lines.filter(|(name, _)| *name == key);
        values.map(|(_, value)| value.to_owned()).collect()
    };
    let signature = |key| Signature::parse(values(key).first().map_or("", String::as_str));
    Some(Commit {
        sha: sha.to_owned(),
        tree: values("tree").remove(0),
        parents: values("parent"),
        author: signature("author"),
        committer: signature("committer"),
        message: message.to_owned(),
        changes: BTreeMap::new(),
    })
}

/// The SHA of a commit's tree.
pub(super) fn tree_of(git: &mut Git, sha: &str) -> Option<String> {
    read(git, sha).map(|commit| commit.tree)
}

/// The differences between a commit and its first parent.
pub(super) fn differences(git: &mut Git, commit: &Commit) -> Vec<Difference> {
    let parent = commit.parents.first();
    let before = parent.and_then(|parent| tree_of(git, parent));
    tree::differences(git, before.as_deref(), Some(&commit.tree))
}

/// The paths that a commit touched.
pub(super) fn touched(git: &mut Git, commit: &Commit, at_most: usize) -> Touched {
    let mut touched = Touched::default();
    for difference in differences(git, commit).into_iter().take(at_most) {
        let list = match (&difference.old, &difference.new) {
            (None, _) => &mut touched.added,
            (_, None) => &mut touched.removed,
            _ => &mut touched.modified,
        };
        list.push(difference.path);
    }
    touched
}

/// Every commit reachable from `tip` and from none of `without`, oldest first.
pub(super) fn between(git: &mut Git, tip: &str, without: &[String]) -> Vec<String> {
    // The common case of a push, handled without calling git.
    if let (Some(commit), [before]) = (read(git, tip), without)
        && commit.parents == [before.clone()]
    {
        return vec![tip.to_owned()];
    }
    let mut arguments = vec!["rev-list", "--reverse", "--topo-order", tip, "--not"];
    arguments.extend(without.iter().map(String::as_str));
    git.run(&arguments).lines().map(str::to_owned).collect()
}

/// A branch's commits, newest first, with the changes of each.
pub(super) fn log(git: &mut Git, tip: &str) -> Vec<Commit> {
    let listed = git.run(&["rev-list", "--topo-order", tip]);
    let mut commits = Vec::new();
    for sha in listed.lines() {
        let mut commit = read(git, sha).unwrap();
        let changes = differences(git, &commit).into_iter();
        commit.changes = changes
            .map(|difference| (difference.path, difference.new.map(|entry| entry.sha)))
            .collect();
        commits.push(commit);
    }
    commits
}

/// The blobs that were ever at a path on any ref.
pub(super) fn blobs_at(git: &mut Git, path: &str) -> BTreeSet<String> {
    let commits = git.run(&["rev-list", "--all"]);
    commits
        .lines()
        .filter_map(|commit| git.look(&format!("{commit}:{path}")))
        .map(|(sha, _, _)| sha)
        .collect()
}
