//! Git's trees: read, walked, and edited by path.

use std::collections::BTreeMap;

use super::git::{Git, is_sha};

/// Git's modes of files, symbolic links, submodules and folders.
pub(super) const FILE: &str = "100644";
pub(super) const EXECUTABLE: &str = "100755";
pub(super) const LINK: &str = "120000";
pub(super) const SUBMODULE: &str = "160000";
pub(super) const FOLDER: &str = "040000";

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: String,
    pub(super) name: Vec<u8>,
    pub(super) sha: String,
}

/// An entry of a walk, whose name is the whole path.
pub(super) type Walked = Entry;

/// The edit of each path: the new mode and object, or removal.
pub(super) type Edits = BTreeMap<Vec<u8>, Option<(String, String)>>;

impl Entry {
    /// `blob`, `tree` or `commit`.
    pub(super) fn kind(&self) -> &'static str {
        match self.mode.as_str() {
            FOLDER => "tree",
            SUBMODULE => "commit",
            _ => "blob",
        }
    }

    pub(super) fn path(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Git sorts a folder as if its name ended in a slash.
    fn rank(&self) -> Vec<u8> {
        let mut rank = self.name.clone();
        if self.mode == FOLDER {
            rank.push(b'/');
        }
        rank
    }
}

/// The entries of a stored tree.
pub(super) fn parse(bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').unwrap();
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let mode = String::from_utf8_lossy(&rest[..space]);
        let sha = rest[end + 1..end + 21].iter();
        entries.push(Entry {
            mode: format!("{mode:0>6}"),
            name: rest[space + 1..end].to_vec(),
            sha: sha.map(|byte| format!("{byte:02x}")).collect(),
        });
        rest = &rest[end + 21..];
    }
    entries
}

/// Stores a tree, in git's order.
pub(super) fn write(git: &mut Git, mut entries: Vec<Entry>) -> String {
    entries.sort_by_key(Entry::rank);
    let mut bytes = Vec::new();
    for entry in entries {
        assert!(is_sha(&entry.sha), "{entry:?}");
        bytes.extend(entry.mode.trim_start_matches('0').bytes());
        bytes.push(b' ');
        bytes.extend(&entry.name);
        bytes.push(0);
        let digits = entry.sha.as_bytes().chunks(2);
        bytes.extend(
            digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()),
        );
    }
    git.write("tree", &bytes)
}

/// The entries of the tree with this SHA.
pub(super) fn read(git: &mut Git, sha: &str) -> Vec<Entry> {
    let bytes = git.read_as("tree", sha);
    parse(&bytes.unwrap_or_default())
}

/// Records a tree that git created itself, with all new objects in it.
pub(super) fn adopt(git: &mut Git, sha: &str) {
    let entries = read(git, sha);
    if !git.note(sha) {
        return;
    }
    for entry in entries {
        match entry.kind() {
            "tree" => adopt(git, &entry.sha),
            "blob" => drop(git.note(&entry.sha)),
            _ => {}
        }
    }
}

/// Everything below a tree, each folder before its contents.
pub(super) fn walk(git: &mut Git, sha: &str) -> Vec<Walked> {
    let mut found = Vec::new();
    walk_below(git, sha, b"", &mut found);
    found
}

fn walk_below(git: &mut Git, sha: &str, above: &[u8], found: &mut Vec<Walked>) {
    for mut entry in read(git, sha) {
        entry.name = join(above, &entry.name);
        let folder = (entry.mode == FOLDER).then(|| (entry.sha.clone(), entry.name.clone()));
        found.push(entry);
        if let Some((sha, path)) = folder {
            walk_below(git, &sha, &path, found);
        }
    }
}

fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    match above {
        [] => name.to_vec(),
        _ => [above, b"/", name].concat(),
    }
}

/// The entry at a path.
pub(super) fn find(git: &mut Git, tree: &str, path: &str) -> Option<Entry> {
    let mut sha = tree.to_owned();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let entry = read(git, &sha)
            .into_iter()
            .find(|entry| entry.name == part.as_bytes())?;
        if parts.peek().is_none() {
            return Some(entry);
        }
        if entry.mode != FOLDER {
            return None;
        }
        sha = entry.sha;
    }
    None
}

/// The tree with these edits; folders that become empty are removed. `None` for the empty tree.
pub(super) fn edit(git: &mut Git, tree: Option<&str>, edits: &Edits) -> Option<String> {
    let entries = tree.map_or_else(Vec::new, |sha| read(git, sha)).into_iter();
    let mut entries: BTreeMap<Vec<u8>, (String, String)> = entries
        .map(|entry| (entry.name, (entry.mode, entry.sha)))
        .collect();
    let mut below: BTreeMap<&[u8], Edits> = BTreeMap::new();
    for (path, edit) in edits {
        match path.iter().position(|byte| *byte == b'/') {
            Some(slash) => {
                let folder = below.entry(&path[..slash]).or_default();
                folder.insert(path[slash + 1..].to_vec(), edit.clone());
            }
            None => put(&mut entries, path, edit.clone()),
        }
    }
    for (name, edits) in below {
        let folder = entries.get(name).filter(|(mode, _)| mode == FOLDER);
        let folder = folder.map(|(_, sha)| sha.clone());
        let only_removes = edits.values().all(Option::is_none);
        if folder.is_none() && only_removes {
            continue;
        }
        let folder = edit(git, folder.as_deref(), &edits);
        let folder = folder.map(|sha| (FOLDER.to_owned(), sha));
        put(&mut entries, name, folder);
    }
    let entries = entries.into_iter();
    let entries: Vec<Entry> = entries
        .map(|(name, (mode, sha))| Entry { mode, name, sha })
        .collect();
    (!entries.is_empty()).then(|| write(git, entries))
}

/// The same, but the empty tree is returned as a tree.
pub(super) fn edited(git: &mut Git, tree: Option<&str>, edits: &Edits) -> String {
    edit(git, tree, edits).unwrap_or_else(|| write(git, Vec::new()))
}

fn put(
    entries: &mut BTreeMap<Vec<u8>, (String, String)>,
    name: &[u8],
    object: Option<(String, String)>,
) {
    match object {
        Some(object) => entries.insert(name.to_vec(), object),
        None => entries.remove(name),
    };
}

/// A difference between two trees: the path, the old entry and the new one.
pub(super) struct Difference {
    pub(super) path: String,
    pub(super) old: Option<Entry>,
    pub(super) new: Option<Entry>,
}

/// The files that differ, by path; identical folders aren't read.
pub(super) fn differences(git: &mut Git, old: Option<&str>, new: Option<&str>) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(git, old, new, b"", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn compare(
    git: &mut Git,
    old: Option<&str>,
    new: Option<&str>,
    above: &[u8],
    found: &mut Vec<Difference>,
) {
    if old == new {
        return;
    }
    let mut names: BTreeMap<Vec<u8>, [Option<Entry>; 2]> = BTreeMap::new();
    for (side, tree) in [old, new].into_iter().enumerate() {
        for entry in tree.map_or_else(Vec::new, |sha| read(git, sha)) {
            let sides = names.entry(entry.name.clone()).or_default();
            sides[side] = Some(entry);
        }
    }
    for (name, sides) in names {
        if sides[0] == sides[1] {
            continue;
        }
        let path = join(above, &name);
        let [old_folder, new_folder] = sides.each_ref().map(folder);
        if old_folder.is_some() || new_folder.is_some() {
            compare(
                git,
                old_folder.as_deref(),
                new_folder.as_deref(),
                &path,
                found,
            );
        }
        let [old, new] = sides.map(|entry| entry.filter(|entry| entry.mode != FOLDER));
        if old.is_some() || new.is_some() {
            let path = String::from_utf8_lossy(&path).into_owned();
            found.push(Difference { path, old, new });
        }
    }
}

fn folder(entry: &Option<Entry>) -> Option<String> {
    let entry = entry.as_ref().filter(|entry| entry.mode == FOLDER)?;
    Some(entry.sha.clone())
}
