//! The repository from the view of a second clone: the test's pushes, and the results it checks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::GitHub;
use super::commit::{self, Commit, Signature};
use super::git::blob_sha;
use super::tree::{self, EXECUTABLE, Edits, Entry, FILE, FOLDER, LINK, SUBMODULE};
use super::world::World;

/// What a commit does to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    File(Vec<u8>),
    Executable(Vec<u8>),
    /// A symbolic link to this target.
    Link(String),
    /// A submodule at this commit of another repository.
    Submodule(String),
    Delete,
}

impl Change {
    /// The mode and the bytes, if it is a blob.
    fn blob(&self) -> Option<(&'static str, &[u8])> {
        match self {
            Self::File(bytes) => Some((FILE, bytes)),
            Self::Executable(bytes) => Some((EXECUTABLE, bytes)),
            Self::Link(target) => Some((LINK, target.as_bytes())),
            Self::Submodule(_) | Self::Delete => None,
        }
    }
}

impl From<&str> for Change {
    fn from(text: &str) -> Self {
        Self::File(text.as_bytes().to_vec())
    }
}

impl From<String> for Change {
    fn from(text: String) -> Self {
        Self::File(text.into_bytes())
    }
}

impl From<Vec<u8>> for Change {
    fn from(bytes: Vec<u8>) -> Self {
        Self::File(bytes)
    }
}

impl World {
    fn edits(&mut self, changes: &[(&str, Change)]) -> Edits {
        let blobs: Vec<_> = changes.iter().filter_map(|(_, one)| one.blob()).collect();
        let bytes: Vec<&[u8]> = blobs.iter().map(|(_, bytes)| *bytes).collect();
        let mut blobs = self.git.write_blobs(&bytes).into_iter();
        let edits = changes.iter().map(|(path, change)| {
            let edit = match (change, change.blob()) {
                (_, Some((mode, _))) => blobs.next().map(|sha| (mode.to_owned(), sha)),
                (Change::Submodule(sha), _) => Some((SUBMODULE.to_owned(), sha.clone())),
                _ => None,
            };
            (path.as_bytes().to_vec(), edit)
        });
        edits.collect()
    }

    /// A commit of this user's clone that no ref names yet.
    fn make_commit(&mut self, by: u64, parent: Option<&str>, tree: &str, message: &str) -> String {
        let login = &self.people.users[&by].login;
        let person = Signature {
            name: login.clone(),
            email: format!("{login}@example.org"),
            at: self.now(),
        };
        let parents: Vec<String> = parent.iter().map(|sha| (*sha).to_owned()).collect();
        commit::write(&mut self.git, tree, &parents, &person, &person, message)
    }

    fn commits_on(&mut self, by: u64, parent: Option<String>, commits: &[Told<'_>]) -> Vec<String> {
        let mut parent = parent;
        let mut made = Vec::new();
        for (changes, message) in commits {
            let tree = parent
                .as_deref()
                .and_then(|sha| commit::tree_of(&mut self.git, sha));
            let edits = self.edits(changes);
            let tree = tree::edited(&mut self.git, tree.as_deref(), &edits);
            let sha = self.make_commit(by, parent.as_deref(), &tree, message);
            made.push(sha.clone());
            parent = Some(sha);
        }
        made
    }
}

/// A commit to be made: the changes and the message.
pub(crate) type Told<'a> = (&'a [(&'a str, Change)], &'a str);

/// Pushes from a second clone; each causes one delivery.
impl GitHub {
    /// Adds a commit to the branch, which it creates if necessary. Returns its SHA.
    pub(crate) fn commit(&self, branch: &str, changes: &[(&str, Change)], message: &str) -> String {
        self.push(branch, &[(changes, message)]).remove(0)
    }

    /// The same as Git does it: refused if the branch isn't at `tip` any more.
    pub(crate) fn commit_onto(
        &self,
        branch: &str,
        tip: &str,
        changes: &[(&str, Change)],
        message: &str,
    ) -> Option<String> {
        self.hub.work(|world| {
            world.branch(branch).filter(|it| it == tip)?;
            let tip = Some(tip.to_owned());
            let made = world.commits_on(world.owner, tip, &[(changes, message)]);
            world.move_branch(branch, made.last()?);
            made.into_iter().next()
        })
    }

    /// Several commits in one push, oldest first.
    pub(crate) fn push(&self, branch: &str, commits: &[Told<'_>]) -> Vec<String> {
        self.hub.work(|world| {
            let tip = world.branch(branch);
            let made = world.commits_on(world.owner, tip, commits);
            world.move_branch(branch, made.last().unwrap());
            made
        })
    }

    /// A commit on top of the branch by another user, such as a reviewer.
    pub(crate) fn commit_by(
        &self,
        login: &str,
        branch: &str,
        changes: &[(&str, Change)],
        message: &str,
    ) -> String {
        self.hub.work(|world| {
            let by = world.people.id_of(login);
            let tip = world.branch(branch);
            let made = world.commits_on(by, tip, &[(changes, message)]).remove(0);
            let reference = format!("refs/heads/{branch}");
            world.push(&reference, &made, by).unwrap();
            made
        })
    }

    /// Rewrites the branch: these commits on top of `base`, whatever the branch was.
    pub(crate) fn force_push(
        &self,
        branch: &str,
        base: Option<&str>,
        commits: &[Told<'_>],
    ) -> Vec<String> {
        self.hub.work(|world| {
            let made = world.commits_on(world.owner, base.map(str::to_owned), commits);
            let tip = made.last().map(String::as_str).or(base);
            world.move_branch(branch, tip.unwrap());
            made
        })
    }

    /// Moves the branch to this commit, forced if necessary; creates it if it doesn't exist.
    pub(crate) fn set_branch(&self, branch: &str, sha: &str) {
        self.hub.work(|world| world.move_branch(branch, sha));
    }

    pub(crate) fn delete_branch(&self, branch: &str) {
        self.hub
            .work(|world| world.drop_branch(branch, world.owner));
    }

    /// Renames the branch, as on the settings page.
    pub(crate) fn rename_branch(&self, branch: &str, new: &str) {
        self.hub
            .work(|world| world.rename_branch(branch, new, world.owner));
    }

    /// A commit whose tree has, in one folder, files with arbitrary names: `..`, slashes, invalid UTF-8. Git itself
    /// would refuse them.
    pub(crate) fn commit_odd_names(
        &self,
        branch: &str,
        folder: &str,
        files: &[(&[u8], &[u8])],
        message: &str,
    ) -> String {
        self.hub.work(|world| {
            let tip = world.branch(branch).unwrap();
            let root = commit::tree_of(&mut world.git, &tip).unwrap();
            let standing = match folder {
                "" => Some(root.clone()),
                _ => tree::find(&mut world.git, &root, folder).map(|entry| entry.sha),
            };
            let mut entries =
                standing.map_or_else(Vec::new, |sha| tree::read(&mut world.git, &sha));
            for (name, bytes) in files {
                entries.retain(|entry| entry.name != *name);
                entries.push(Entry {
                    mode: FILE.to_owned(),
                    name: name.to_vec(),
                    sha: world.git.write("blob", bytes),
                });
            }
            let mut tree = tree::write(&mut world.git, entries);
            if !folder.is_empty() {
                let edit = Some((FOLDER.to_owned(), tree));
                let edits = Edits::from([(folder.as_bytes().to_vec(), edit)]);
                tree = tree::edited(&mut world.git, Some(&root), &edits);
            }
            let sha = world.make_commit(world.owner, Some(&tip), &tree, message);
            world.move_branch(branch, &sha);
            sha
        })
    }
}

impl World {
    #[track_caller]
    fn move_branch(&mut self, branch: &str, sha: &str) {
        let by = self.owner;
        self.push(&format!("refs/heads/{branch}"), sha, by).unwrap();
    }
}

/// Reads of the repository.
impl GitHub {
    /// The commit of a branch.
    pub(crate) fn head(&self, branch: &str) -> Option<String> {
        self.hub.work(|world| world.branch(branch))
    }

    /// The names of all branches.
    pub(crate) fn branches(&self) -> Vec<String> {
        let refs = self.hub.work(|world| world.git.refs("refs/heads/"));
        let names = refs
            .iter()
            .filter_map(|(name, _)| name.strip_prefix("refs/heads/"));
        names.map(str::to_owned).collect()
    }

    /// Every file of a branch; none if there is no such branch.
    pub(crate) fn files(&self, branch: &str) -> BTreeMap<String, Vec<u8>> {
        self.hub.work(|world| {
            let tip = world.branch(branch);
            let tree = tip.and_then(|tip| commit::tree_of(&mut world.git, &tip));
            let walked = tree.map_or_else(Vec::new, |tree| tree::walk(&mut world.git, &tree));
            let mut files = BTreeMap::new();
            for entry in walked.iter().filter(|entry| entry.kind() == "blob") {
                let bytes = world.git.read_as("blob", &entry.sha).unwrap();
                files.insert(entry.path(), bytes);
            }
            files
        })
    }

    /// A branch's commits, newest first.
    pub(crate) fn log(&self, branch: &str) -> Vec<Commit> {
        self.hub.work(|world| match world.branch(branch) {
            Some(tip) => commit::log(&mut world.git, &tip),
            None => Vec::new(),
        })
    }

    /// Whether a file with these bytes was ever at this path, on any ref.
    pub(crate) fn blob_in_history(&self, path: &str, content: &[u8]) -> bool {
        let blobs = self
            .hub
            .work(|world| commit::blobs_at(&mut world.git, path));
        blobs.contains(&blob_sha(content))
    }

    /// The bare repository's folder, to clone it or to query it with git. Pushes past the hub cause no deliveries.
    pub(crate) fn git_dir(&self) -> PathBuf {
        self.hub.work(|world| world.git.path())
    }
}
