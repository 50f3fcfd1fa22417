//! A repository in memory behind a simulated GitHub, whose reads are answered by lagging replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use codex_miroir::config::RepositoryConfig;
use codex_miroir::github::{
    BatchCommit, BranchMove, CommitOutcome, Comparison, CreatedCommit, EntryKind, FileCommit,
    GitHubError, HeadCommit, HeadLookup, Pull, PullStatus, RateLimit, Repository, TreeEntry,
    TreePage,
};
use codex_miroir::task::{GitSha, git_sha};

use crate::world::{Call, Reply, World};

/// The branch that mirrors the tasks.
pub(crate) const MAIN: &str = "main";

/// The folder of the only user's files.
pub(crate) const FOLDER: &str = "notes/codex/anna/tasks/";

/// A request to GitHub.
#[derive(Debug, Clone)]
pub(crate) enum GitCall {
    ReadHead,
    Compare(GitSha, GitSha),
    Moves,
    Tree(GitSha, bool),
    Blob(GitSha),
    Put {
        path: String,
        branch: String,
        /// `None` removes the file.
        bytes: Option<Bytes>,
        replaces: Option<GitSha>,
    },
    Commit {
        parent: GitSha,
        files: Vec<(String, Bytes, bool)>,
    },
    BranchHead(String),
    CreateBranch(String, GitSha),
    FileSha(String, String),
    OpenPull(String),
    FindPull(String),
    OpenPulls,
    Pull(u64),
}

impl GitCall {
    pub(crate) fn writes(&self) -> bool {
        matches!(
            self,
            Self::Put { .. } | Self::Commit { .. } | Self::CreateBranch(..) | Self::OpenPull(_)
        )
    }
}

/// The response to a [`GitCall`].
#[derive(Debug, Clone)]
pub(crate) enum GitReply {
    Sha(Option<GitSha>),
    Compared(Comparison),
    Moves(Vec<BranchMove>),
    Tree(Option<TreePage>),
    Blob(Option<Bytes>),
    Commit(CommitOutcome),
    Done(bool),
    Pull(Option<Pull>),
    Numbers(BTreeSet<u64>),
    PullStatus(PullStatus),
    FindPull(Option<PullStatus>),
    /// An error with this HTTP status.
    Refused(u16),
    Limited,
}

/// An entry at a path of a commit's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: EntryKind,
    pub(crate) sha: GitSha,
}

/// All paths of a commit, without folders.
pub(crate) type Paths = BTreeMap<String, Node>;

#[derive(Debug)]
struct Commit {
    /// The first is the branch's commit before this one.
    parents: Vec<GitSha>,
    /// The moment of its creation.
    at: u64,
    paths: Paths,
}

/// A move of a branch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    /// The moment.
    pub(crate) at: u64,
    pub(crate) before: Option<GitSha>,
    /// `None`: the branch was deleted.
    pub(crate) after: Option<GitSha>,
    pub(crate) forced: bool,
}

impl Move {
    /// The time as GitHub reports it, in whole seconds; here moves are at least 10 s apart.
    pub(crate) fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.at.cast_signed() * 10, 0).unwrap()
    }
}

/// A pull request.
#[derive(Debug)]
pub(crate) struct PullRequest {
    pub(crate) branch: String,
    /// The moments of its changes: whether it was open then, and the merge commit.
    states: Vec<(u64, bool, Option<GitSha>)>,
}

/// The whole repository, and how far each replica is.
pub(crate) struct GitHub {
    commits: BTreeMap<GitSha, Commit>,
    blobs: BTreeMap<GitSha, Bytes>,
    /// The entries of each tree, and the moment of its creation.
    folders: BTreeMap<GitSha, (u64, Vec<TreeEntry>)>,
    branches: BTreeMap<String, Vec<Move>>,
    pub(crate) pulls: Vec<PullRequest>,
    /// Moves of the main branch whose webhook deliveries are still to be collected.
    pub(crate) deliveries: Vec<Move>,
    /// Per instance: the moments up to which its two replicas have caught up.
    pub(crate) replicas: Vec<[u64; 2]>,
    /// The logical clock: every change advances it.
    pub(crate) moment: u64,
    /// Whether recursive trees are truncated.
    pub(crate) truncates_trees: bool,
    /// Whether the branch's activity can be read.
    pub(crate) has_activity_api: bool,
    /// Reads of the head by a replica that lacked a commit of the service's.
    pub(crate) behind: u64,
    /// Blobs that were read.
    pub(crate) blobs_read: u64,
    own: BTreeSet<GitSha>,
    /// Each file of the service's own commits: its path, and the commits before and with it.
    pub(crate) own_files: Vec<(String, GitSha, GitSha)>,
}

impl Default for GitHub {
    fn default() -> Self {
        let mut hub = Self {
            commits: BTreeMap::new(),
            blobs: BTreeMap::new(),
            folders: BTreeMap::new(),
            branches: BTreeMap::new(),
            pulls: vec![],
            deliveries: vec![],
            replicas: vec![],
            moment: 0,
            truncates_trees: false,
            has_activity_api: true,
            behind: 0,
            blobs_read: 0,
            own: BTreeSet::new(),
            own_files: vec![],
        };
        hub.push(MAIN, |paths, hub| {
            let sha = hub.blob(b"The first commit\n".to_vec().into());
            let kind = EntryKind::File;
            paths.insert("README.md".to_owned(), Node { kind, sha });
        });
        hub.deliveries.clear();
        hub
    }
}

impl GitHub {
    /// The number of commits that the service has made.
    pub(crate) fn own_commits(&self) -> u64 {
        self.own.len() as u64
    }

    /// The text of a blob.
    pub(crate) fn content(&self, sha: GitSha) -> String {
        let bytes = self.blobs.get(&sha).cloned().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A commit on `parent`, on no branch.
    pub(crate) fn commit_without_branch(&mut self, parent: GitSha, paths: Paths) -> GitSha {
        self.create_commit(vec![parent], paths)
    }

    /// The head of a branch.
    pub(crate) fn head(&self, branch: &str) -> Option<GitSha> {
        self.branches.get(branch)?.last()?.after
    }

    /// All paths of a commit.
    pub(crate) fn paths(&self, commit: GitSha) -> &Paths {
        &self.commits[&commit].paths
    }

    /// All paths of the main branch's head.
    pub(crate) fn now(&self) -> Paths {
        let head = self.head(MAIN);
        head.map_or_else(Paths::new, |head| self.paths(head).clone())
    }

    /// Every branch that ever existed.
    pub(crate) fn branches(&self) -> impl Iterator<Item = &str> {
        self.branches.keys().map(String::as_str)
    }

    /// The moves of a branch, oldest first.
    pub(crate) fn moves(&self, branch: &str) -> &[Move] {
        self.branches.get(branch).map_or(&[], Vec::as_slice)
    }

    /// The text of a file of a commit.
    pub(crate) fn text(&self, commit: GitSha, path: &str) -> Option<String> {
        let node = self.commits[&commit].paths.get(path)?;
        let bytes = self.blobs.get(&node.sha)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Stores a blob.
    pub(crate) fn blob(&mut self, bytes: Bytes) -> GitSha {
        let sha = git_sha(&bytes);
        self.blobs.insert(sha, bytes);
        sha
    }

    /// A person with a clone pushes a commit to a branch.
    pub(crate) fn push(
        &mut self,
        branch: &str,
        change: impl FnOnce(&mut Paths, &mut Self),
    ) -> GitSha {
        let parent = self.head(branch);
        let mut paths = parent.map_or_else(Paths::new, |it| self.paths(it).clone());
        change(&mut paths, self);
        let commit = self.create_commit(parent.into_iter().collect(), paths);
        self.move_branch(branch, Some(commit), false);
        commit
    }

    /// Moves a branch, or deletes it.
    pub(crate) fn move_branch(&mut self, branch: &str, after: Option<GitSha>, forced: bool) {
        self.moment += 1;
        let at = self.moment;
        let moves = self.branches.entry(branch.to_owned()).or_default();
        let before = moves.last().and_then(|it| it.after);
        let moved = Move {
            at,
            before,
            after,
            forced,
        };
        moves.push(moved);
        if branch == MAIN {
            self.deliveries.push(moved);
        }
        if after.is_none() {
            // GitHub closes its open pull requests.
            let of_branch = |it: &&mut PullRequest| it.branch == branch && it.is_open();
            for pull in self.pulls.iter_mut().filter(of_branch) {
                pull.states.push((at, false, None));
            }
        }
    }

    fn create_commit(&mut self, parents: Vec<GitSha>, paths: Paths) -> GitSha {
        self.moment += 1;
        let sha = git_sha(format!("commit {} on {parents:?}", self.moment).as_bytes());
        let root = self.keep_folders("", &paths);
        let at = self.moment;
        let root = self.folders[&root].1.clone();
        self.folders.insert(sha, (at, root));
        let commit = Commit { parents, at, paths };
        self.commits.insert(sha, commit);
        sha
    }

    /// Stores the tree of a folder and of those in it.
    fn keep_folders(&mut self, prefix: &str, paths: &Paths) -> GitSha {
        let mut entries: BTreeMap<String, (EntryKind, GitSha)> = BTreeMap::new();
        for (path, node) in paths.range(prefix.to_owned()..) {
            let Some(rest) = path.strip_prefix(prefix) else {
                break;
            };
            match rest.split_once('/') {
                None => drop(entries.insert(rest.to_owned(), (node.kind, node.sha))),
                Some((folder, _)) => match entries.get(folder) {
                    // A Git tree has no two entries of one name.
                    Some((kind, _)) => assert_eq!(*kind, EntryKind::Folder, "{prefix}{folder}"),
                    None => {
                        let sha = self.keep_folders(&format!("{prefix}{folder}/"), paths);
                        entries.insert(folder.to_owned(), (EntryKind::Folder, sha));
                    }
                },
            }
        }
        let sha = git_sha(format!("folder {entries:?}").as_bytes());
        let entries = entries.into_iter().map(|(path, (kind, sha))| TreeEntry {
            path,
            kind,
            sha,
            size: self.blobs.get(&sha).map(|it| it.len() as u64),
        });
        let entries = entries.collect();
        let at = self.moment;
        self.folders.entry(sha).or_insert((at, entries));
        sha
    }

    fn recursive(&self, sha: GitSha, prefix: &str, found: &mut Vec<TreeEntry>) {
        for entry in &self.folders[&sha].1 {
            let path = format!("{prefix}{}", entry.path);
            let inside = format!("{path}/");
            let (kind, sha) = (entry.kind, entry.sha);
            found.push(TreeEntry {
                path,
                ..entry.clone()
            });
            if kind == EntryKind::Folder {
                self.recursive(sha, &inside, found);
            }
        }
    }

    /// Merges a pull request. `with_history` makes a merge commit; otherwise only the changes arrive, as after a
    /// squash or a rebase.
    pub(crate) fn merge(&mut self, number: usize, with_history: bool) {
        let branch = self.pulls[number].branch.clone();
        let Some(head) = self.head(&branch) else {
            return;
        };
        let theirs = self.paths(head).clone();
        let of_base = self
            .merge_base(head, self.head(MAIN))
            .map(|it| self.paths(it).clone());
        let of_base = of_base.unwrap_or_default();
        let mut paths = self.now();
        let names: BTreeSet<&String> = theirs.keys().chain(of_base.keys()).collect();
        for name in names {
            // The branch's changes; on a conflict the reviewer takes the branch's side.
            if theirs.get(name) != of_base.get(name) {
                match theirs.get(name) {
                    // A file can't be merged below an entry that is no folder.
                    Some(_) if !Self::is_free(&paths, name) => return,
                    Some(node) => drop(paths.insert(name.clone(), *node)),
                    None => drop(paths.remove(name)),
                }
            }
        }
        let second = with_history.then_some(head);
        let parents = self.head(MAIN).into_iter().chain(second).collect();
        let commit = self.create_commit(parents, paths);
        self.move_branch(MAIN, Some(commit), false);
        self.set_pull(number, false, Some(commit));
    }

    fn merge_base(&self, one: GitSha, other: Option<GitSha>) -> Option<GitSha> {
        let of_other = self.history(other?);
        let both = self
            .history(one)
            .into_iter()
            .filter(|it| of_other.contains(it));
        both.max_by_key(|it| self.commits[it].at)
    }

    /// The file of the branch's head commit, if the service made that commit.
    pub(crate) fn file_of(&self, branch: &str) -> Option<&str> {
        let head = self.head(branch)?;
        let own = self.own_files.iter().find(|(.., commit)| *commit == head);
        own.map(|(path, ..)| path.as_str())
    }

    /// All files that the service has committed to a branch.
    pub(crate) fn files_of(&self, branch: &str) -> BTreeSet<&str> {
        let moves = self.moves(branch).iter().filter_map(|it| it.after);
        let commits: BTreeSet<GitSha> = moves.collect();
        let own = self.own_files.iter();
        let own = own.filter(|(.., commit)| commits.contains(commit));
        own.map(|(path, ..)| path.as_str()).collect()
    }

    pub(crate) fn set_pull(&mut self, number: usize, open: bool, merged_by: Option<GitSha>) {
        self.moment += 1;
        let at = self.moment;
        self.pulls[number].states.push((at, open, merged_by));
    }

    /// A commit and all its ancestors.
    fn history(&self, commit: GitSha) -> BTreeSet<GitSha> {
        let (mut found, mut open) = (BTreeSet::new(), vec![commit]);
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(&self.commits[&next].parents);
            }
        }
        found
    }

    /// Whether `commit` is `earlier`, or a descendant of it.
    pub(crate) fn descends_from(&self, commit: GitSha, earlier: GitSha) -> bool {
        self.history(commit).contains(&earlier)
    }

    /// The first parent, to which the main branch could be reset.
    pub(crate) fn before(&self, commit: GitSha) -> Option<GitSha> {
        self.commits[&commit].parents.first().copied()
    }

    /// Performs a request; reads are answered by one of the instance's two replicas.
    pub(crate) fn answer(&mut self, instance: usize, id: u64, call: &GitCall) -> GitReply {
        let replica = (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % 2;
        let seen = self.replicas[instance][replica];
        let branch_at = |branch: &str| {
            let moves = self.branches.get(branch)?;
            moves.iter().rfind(|it| it.at <= seen)?.after
        };
        match call {
            GitCall::ReadHead => {
                let head = branch_at(MAIN);
                let newest = self.head(MAIN);
                let behind = head != newest && newest.is_some_and(|it| self.own.contains(&it));
                self.behind += u64::from(behind);
                GitReply::Sha(head)
            }
            GitCall::Compare(base, head) => {
                let known = |sha: &GitSha| self.commits.get(sha).is_some_and(|it| it.at <= seen);
                GitReply::Compared(match (known(base), known(head)) {
                    (true, true) if base == head => Comparison::Identical,
                    (true, true) if self.history(*head).contains(base) => Comparison::Ahead,
                    (true, true) if self.history(*base).contains(head) => Comparison::Behind,
                    (true, true) => Comparison::Diverged,
                    _ => Comparison::Unknown,
                })
            }
            GitCall::Moves if !self.has_activity_api => GitReply::Refused(404),
            GitCall::Moves => {
                let seen = self.moves(MAIN).iter().filter(|it| it.at <= seen).rev();
                let moves = seen.take(100).map(|it| BranchMove {
                    before: it.before,
                    after: it.after,
                    at: it.time(),
                });
                GitReply::Moves(moves.collect())
            }
            GitCall::Tree(sha, recursive) => {
                let found = self.folders.get(sha).filter(|(at, _)| *at <= seen);
                let Some((_, entries)) = found else {
                    return GitReply::Tree(None);
                };
                let mut entries = entries.clone();
                let truncated = *recursive && self.truncates_trees && entries.len() > 1;
                match (recursive, truncated) {
                    (true, true) => entries.truncate(entries.len() / 2),
                    (true, false) => {
                        entries.clear();
                        self.recursive(*sha, "", &mut entries);
                    }
                    (false, _) => {}
                }
                GitReply::Tree(Some(TreePage { entries, truncated }))
            }
            GitCall::Blob(sha) => {
                self.blobs_read += 1;
                GitReply::Blob(self.blobs.get(sha).cloned())
            }
            GitCall::BranchHead(branch) => GitReply::Sha(branch_at(branch)),
            GitCall::FileSha(branch, path) => {
                let named = branch.parse().ok();
                let named =
                    named.filter(|sha| self.commits.get(sha).is_some_and(|it| it.at <= seen));
                let head = named.or_else(|| branch_at(branch));
                let node = head.and_then(|it| self.commits[&it].paths.get(path));
                GitReply::Sha(node.map(|it| it.sha))
            }
            GitCall::FindPull(branch) => {
                let of_branch = |(_, it): &(usize, &PullRequest)| {
                    it.branch == *branch && it.states[0].0 <= seen
                };
                let known = self.pulls.iter().enumerate().filter(of_branch).rev();
                let known: Vec<_> = known.collect();
                let open = known.iter().find(|(_, it)| it.state(seen).1);
                let one = open.or(known.first());
                GitReply::FindPull(one.map(|(number, it)| self.pull_at(*number, it, seen)))
            }
            GitCall::OpenPulls => {
                let open = self.pulls.iter().enumerate();
                // The listing is limited to the newest.
                let open = open.rev().filter(|(_, it)| it.state(seen).1).take(3);
                GitReply::Numbers(open.map(|(number, _)| number as u64).collect())
            }
            GitCall::Pull(number) => match self.pulls.get(*number as usize) {
                Some(pull) if pull.states[0].0 <= seen => {
                    GitReply::PullStatus(self.pull_at(*number as usize, pull, seen))
                }
                _ => GitReply::Refused(404),
            },
            GitCall::Put {
                path,
                branch,
                bytes,
                replaces,
            } => self.put(path, branch, bytes.as_ref(), *replaces),
            GitCall::Commit { parent, files } => self.commit(*parent, files),
            GitCall::CreateBranch(branch, at) => {
                let absent = self.head(branch).is_none();
                if absent {
                    self.move_branch(branch, Some(*at), false);
                }
                GitReply::Done(absent)
            }
            GitCall::OpenPull(branch) => {
                if self.head(branch).is_none() {
                    return GitReply::Refused(422);
                }
                if self
                    .pulls
                    .iter()
                    .any(|it| it.branch == *branch && it.is_open())
                {
                    return GitReply::Pull(None);
                }
                self.moment += 1;
                self.pulls.push(PullRequest {
                    branch: branch.clone(),
                    states: vec![(self.moment, true, None)],
                });
                let number = self.pulls.len() - 1;
                let as_pull = self.pulls[number].as_pull(number, self.moment);
                GitReply::Pull(Some(as_pull))
            }
        }
    }

    /// A pull request, by a replica that has caught up to the moment `seen`.
    fn pull_at(&self, number: usize, pull: &PullRequest, seen: u64) -> PullStatus {
        let (at, open, merged_by) = pull.state(seen);
        let moves = self.moves(&pull.branch).iter();
        // Once closed, it keeps the head that it had then.
        let until = if open { seen } else { at };
        let mut head = moves.filter(|it| it.at <= until).filter_map(|it| it.after);
        PullStatus {
            pull: pull.as_pull(number, seen),
            merged_by,
            head: head.next_back().unwrap(),
        }
    }

    /// Whether a file can be at `path`: every parent is absent or a folder, and `path` itself is no folder.
    pub(crate) fn is_free(paths: &Paths, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        let blocked = folders.into_iter().any(|it| paths.contains_key(it));
        let inside = format!("{path}/");
        let is_folder = paths.range(inside.clone()..).next();
        !blocked && !is_folder.is_some_and(|(it, _)| it.starts_with(&inside))
    }

    fn put(
        &mut self,
        path: &str,
        branch: &str,
        bytes: Option<&Bytes>,
        replaces: Option<GitSha>,
    ) -> GitReply {
        let Some(parent) = self.head(branch) else {
            return GitReply::Refused(404);
        };
        let mut paths = self.paths(parent).clone();
        let before = paths.get(path).copied();
        if before.map(|it| it.sha) != replaces {
            return GitReply::Commit(CommitOutcome::Stale);
        }
        if !Self::is_free(&paths, path) {
            return GitReply::Refused(422);
        }
        let kind = before.map_or(EntryKind::File, |it| it.kind);
        match bytes {
            Some(bytes) => {
                let sha = self.blob(bytes.clone());
                paths.insert(path.to_owned(), Node { kind, sha });
            }
            None => drop(paths.remove(path)),
        }
        let commit = self.create_commit(vec![parent], paths);
        self.own.insert(commit);
        self.own_files.push((path.to_owned(), parent, commit));
        self.move_branch(branch, Some(commit), false);
        GitReply::Commit(commit_done(commit, parent))
    }

    fn commit(&mut self, parent: GitSha, files: &[(String, Bytes, bool)]) -> GitReply {
        let mut paths = self.paths(parent).clone();
        for (path, bytes, executable) in files {
            if !Self::is_free(&paths, path) {
                return GitReply::Refused(422);
            }
            let kind = match executable {
                true => EntryKind::Executable,
                false => EntryKind::File,
            };
            let sha = self.blob(bytes.clone());
            paths.insert(path.clone(), Node { kind, sha });
        }
        if self.head(MAIN) != Some(parent) {
            return GitReply::Commit(CommitOutcome::Stale);
        }
        let commit = self.create_commit(vec![parent], paths);
        self.own.insert(commit);
        let files = files
            .iter()
            .map(|(path, ..)| (path.clone(), parent, commit));
        self.own_files.extend(files);
        self.move_branch(MAIN, Some(commit), false);
        GitReply::Commit(commit_done(commit, parent))
    }
}

fn commit_done(commit: GitSha, parent: GitSha) -> CommitOutcome {
    CommitOutcome::Done(CreatedCommit {
        sha: commit,
        html_url: String::new(),
        parent: Some(parent),
    })
}

impl PullRequest {
    pub(crate) fn is_open(&self) -> bool {
        self.states.last().is_some_and(|(_, open, _)| *open)
    }

    /// Open, and unchanged since its creation.
    pub(crate) fn is_untouched(&self) -> bool {
        self.is_open() && self.states.len() == 1
    }

    /// The moment of the merge, and the merge commit.
    pub(crate) fn merged(&self) -> Option<(u64, GitSha)> {
        let (at, _, commit) = self.states.last()?;
        Some((*at, (*commit)?))
    }

    fn state(&self, seen: u64) -> (u64, bool, Option<GitSha>) {
        let state = self.states.iter().rfind(|(at, ..)| *at <= seen);
        state.copied().unwrap_or_default()
    }

    fn as_pull(&self, number: usize, seen: u64) -> Pull {
        Pull {
            number: number as u64,
            html_url: String::new(),
            open: self.state(seen).1,
        }
    }
}

/// One instance's connection to GitHub.
pub(crate) struct SimRepository {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) instance: usize,
    /// One in so many calls is slow.
    pub(crate) slow_one_in: u64,
    pub(crate) config: RepositoryConfig,
}

impl SimRepository {
    async fn request(
        &self,
        operation: &'static str,
        call: GitCall,
    ) -> Result<GitReply, GitHubError> {
        let reply = World::call(
            &self.world,
            self.instance,
            self.slow_one_in,
            Call::Git(call),
        )
        .await;
        match reply {
            Ok(Reply::Git(GitReply::Refused(status))) => {
                Err(GitHubError::Denied { operation, status })
            }
            Ok(Reply::Git(GitReply::Limited)) => Err(GitHubError::Limited {
                retry_after: Duration::from_secs(2),
            }),
            Ok(Reply::Git(reply)) => Ok(reply),
            Ok(other) => unreachable!("{other:?}"),
            Err(error) => Err(GitHubError::Unavailable {
                operation,
                reason: error.to_string(),
            }),
        }
    }
}

macro_rules! request {
    ($self:ident, $operation:literal, $call:expr, $variant:ident) => {
        match $self.request($operation, $call).await? {
            GitReply::$variant(value) => value,
            other => unreachable!("{other:?}"),
        }
    };
}

#[async_trait]
impl Repository for SimRepository {
    fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    fn wait(&self) -> Duration {
        Duration::ZERO
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        None
    }

    async fn head(&self, known: Option<&HeadCommit>) -> Result<HeadLookup, GitHubError> {
        let Some(commit) = request!(self, "head", GitCall::ReadHead, Sha) else {
            return Ok(HeadLookup::Empty);
        };
        let etag = Some(commit.to_string());
        match known.is_some_and(|known| known.etag == etag) {
            true => Ok(HeadLookup::Unchanged),
            false => Ok(HeadLookup::At(HeadCommit { commit, etag })),
        }
    }

    async fn compare(&self, base: GitSha, head: GitSha) -> Result<Comparison, GitHubError> {
        Ok(request!(
            self,
            "compare",
            GitCall::Compare(base, head),
            Compared
        ))
    }

    async fn moves(&self) -> Result<Vec<BranchMove>, GitHubError> {
        Ok(request!(self, "moves", GitCall::Moves, Moves))
    }

    async fn tree(&self, sha: GitSha, recursive: bool) -> Result<TreePage, GitHubError> {
        let (operation, status) = ("tree", 404);
        let page = request!(self, "tree", GitCall::Tree(sha, recursive), Tree);
        page.ok_or(GitHubError::Denied { operation, status })
    }

    async fn blob(&self, sha: GitSha) -> Result<Option<Bytes>, GitHubError> {
        Ok(request!(self, "blob", GitCall::Blob(sha), Blob))
    }

    async fn commit_file(&self, file: &FileCommit<'_>) -> Result<CommitOutcome, GitHubError> {
        let call = GitCall::Put {
            path: file.path.to_owned(),
            branch: file.branch.unwrap_or(MAIN).to_owned(),
            bytes: file.bytes.map(|bytes| bytes.to_vec().into()),
            replaces: file.replaces,
        };
        Ok(request!(self, "put", call, Commit))
    }

    async fn commit(&self, commit: &BatchCommit<'_>) -> Result<CommitOutcome, GitHubError> {
        let files = commit.files.iter();
        let files = files.map(|it| (it.path.clone(), it.bytes.clone(), it.executable));
        let (parent, files) = (commit.parent, files.collect());
        let call = GitCall::Commit { parent, files };
        Ok(request!(self, "commit", call, Commit))
    }

    async fn branch_head(&self, branch: &str) -> Result<Option<GitSha>, GitHubError> {
        let call = GitCall::BranchHead(branch.to_owned());
        Ok(request!(self, "branch", call, Sha))
    }

    async fn create_branch(&self, branch: &str, at: GitSha) -> Result<bool, GitHubError> {
        let call = GitCall::CreateBranch(branch.to_owned(), at);
        Ok(request!(self, "make branch", call, Done))
    }

    async fn file_sha_at(&self, branch: &str, path: &str) -> Result<Option<GitSha>, GitHubError> {
        let call = GitCall::FileSha(branch.to_owned(), path.to_owned());
        Ok(request!(self, "file", call, Sha))
    }

    async fn open_pull(&self, branch: &str, _: &str) -> Result<Option<Pull>, GitHubError> {
        let call = GitCall::OpenPull(branch.to_owned());
        Ok(request!(self, "open", call, Pull))
    }

    async fn find_pull(&self, branch: &str) -> Result<Option<PullStatus>, GitHubError> {
        let call = GitCall::FindPull(branch.to_owned());
        Ok(request!(self, "pull of", call, FindPull))
    }

    async fn open_pulls(&self) -> Result<BTreeSet<u64>, GitHubError> {
        Ok(request!(self, "open pulls", GitCall::OpenPulls, Numbers))
    }

    async fn pull(&self, number: u64) -> Result<PullStatus, GitHubError> {
        Ok(request!(self, "pull", GitCall::Pull(number), PullStatus))
    }
}
