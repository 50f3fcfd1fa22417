//! The invariants between the store and the repository, checked after every step.
//!
//! Every text carries tokens: `t1.` of a client's change, `e1.` of an editor's, `g1.` of a person's with a clone, and
//! the day of a completion. A version that the sync wrote may lack a token of the version before only if Git had
//! that token in the file and has lost it since, that is, if a person has seen and replaced it. Likewise a commit
//! of the service's may lack a token only if the store had it and lost it, or if both sides had changed the file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use codex_miroir::github::EntryKind;
use codex_miroir::task::{FileName, GitSha, TOMBSTONE_FILE, git_sha};
use serde_json::Value;
use tokio::time::Instant;

use super::repository::{FOLDER, MAIN};
use crate::world::{FileVersion, RAW, World};

/// The hint that Git lacks something.
const HINT: &str = "queue/anna";

/// The path of `git.json`.
const SYNC_STATE: &str = "state/anna/git.json";

/// More removals than this at once may need a confirmation.
const MASS_REMOVAL_MIN: usize = 5;

/// How long a removal may be in flight that was decided before another instance recorded the file as held.
const MAX_IN_FLIGHT: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Checker {
    /// For each checked version of each file, whether the sync wrote it.
    seen: BTreeMap<String, Vec<bool>>,
    /// The number of files in the service's commits that were checked.
    commits: usize,
    /// Acknowledged changes with a hint that Git hasn't had yet: file and token.
    hinted_changes: Vec<(String, String)>,
    /// The tokens that were ever in a file of the store.
    known_tokens: BTreeSet<String>,
    /// Removals that need a confirmation: the files' texts, until a confirmation or another change.
    mass_removals: BTreeMap<String, String>,
    /// All bases that `git.json` has recorded for each file.
    bases: BTreeMap<String, BTreeSet<GitSha>>,
    /// Files whose removal `git.json` holds: the number of the branch's moves by then, and the time.
    held: BTreeMap<String, (usize, Instant)>,
    /// Files of which a client has requested the deletion.
    deletions: BTreeSet<String>,
    /// Files that were deleted while Git was known to have this text, with the number of the branch's moves by then.
    deleted: BTreeMap<String, (String, usize)>,
    /// The ETag of the last `git.json` that was read.
    sync_state: Option<String>,
    /// The number of removals ever held.
    pub(crate) held_ever: u64,
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> BTreeSet<String> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && !".-".contains(it));
    let is_token = |word: &&str| {
        let number = word
            .strip_prefix(['t', 'e', 'g'])
            .and_then(|it| it.strip_suffix('.'));
        let is_day = word.len() == 10 && word[5..].starts_with(".19");
        is_day || number.is_some_and(|it| it.parse::<u32>().is_ok())
    };
    words.filter(is_token).map(str::to_owned).collect()
}

fn text_of_version(version: &FileVersion) -> Option<&str> {
    let text = version.text.as_deref()?;
    (text != TOMBSTONE_FILE).then_some(text)
}

/// A file's text after each move of a branch. While another kind of entry is at its path, or at that of a parent
/// folder, the file counts as it was before.
fn texts(world: &World, branch: &str, name: &str) -> Vec<Option<String>> {
    let (github, path) = (&world.github, format!("{FOLDER}{name}"));
    let mut last = None;
    let mut text_of = |commit: GitSha| {
        let paths = github.paths(commit);
        let inside = format!("{path}/");
        let mut below = paths.range(inside.clone()..);
        let is_folder = below.next().is_some_and(|(it, _)| it.starts_with(&inside));
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
        let is_hidden = is_folder || above.any(|it| paths.contains_key(it));
        let is_odd = paths.get(&path).is_some_and(|node| {
            let is_file = matches!(node.kind, EntryKind::File | EntryKind::Executable);
            !is_file || node.sha == git_sha(TOMBSTONE_FILE.as_bytes())
        });
        if !is_hidden && !is_odd {
            last = github.text(commit, &path);
        }
        last.clone()
    };
    let moves = github.moves(branch).iter();
    moves.map(|it| it.after.and_then(&mut text_of)).collect()
}

/// The same, up to a moment.
fn texts_until(world: &World, branch: &str, name: &str, moment: u64) -> Vec<Option<String>> {
    let moves = world.github.moves(branch).iter();
    let until = moves.take_while(|it| it.at <= moment).count();
    let mut texts = texts(world, branch, name);
    texts.truncate(until);
    texts
}

fn has(text: Option<&str>, token: &str) -> bool {
    text.is_some_and(|text| tokens(text).contains(token))
}

/// Whether a text has the token and a later one lacks it; and whether one after that has it again.
fn lost_and_restored<'a>(
    texts: impl IntoIterator<Item = Option<&'a str>>,
    token: &str,
) -> (bool, bool) {
    let mut had = texts.into_iter().map(|text| has(text, token));
    let lost = had.any(|it| it) && had.any(|it| !it);
    (lost, lost && had.any(|it| it))
}

/// Whether a person has removed the token from the file in Git or, with `back`, has restored it; on a pull request's
/// branch, too.
fn was_replaced(world: &World, name: &str, token: &str, back: bool) -> bool {
    let on_branch = |branch: &str| {
        let texts = texts(world, branch, name);
        let (lost, restored) = lost_and_restored(texts.iter().map(Option::as_deref), token);
        if back { restored } else { lost }
    };
    if world.github.branches().any(on_branch) {
        return true;
    }
    // Or a merge has.
    world.github.pulls.iter().any(|pull| {
        let is_so = |text: Option<&str>| has(text, token) == back;
        let Some((at, commit)) = pull.merged() else {
            return false;
        };
        let mut proposed = texts_until(world, &pull.branch, name, at).into_iter();
        let merged = world.github.text(commit, &format!("{FOLDER}{name}"));
        proposed.any(|text| !is_so(text.as_deref())) && is_so(merged.as_deref())
    })
}

impl Checker {
    /// Checks everything since the last call.
    pub(crate) fn check(&mut self, world: &World) -> Result<(), String> {
        self.read_sync_state(world);
        for (name, versions) in &world.history {
            let seen = self.seen.get(name).map_or(0, Vec::len);
            for at in seen..versions.len() {
                let by_sync = self.check_version(world, name, versions, at)?;
                self.seen.entry(name.clone()).or_default().push(by_sync);
            }
        }
        let commits = &world.github.own_files;
        for (path, parent, commit) in &commits[self.commits..] {
            self.check_commit(world, path, *parent, *commit)?;
        }
        self.commits = commits.len();
        self.check_hint(world)
    }

    /// A commit of the service's drops no token that the store never had and dropped.
    fn check_commit(
        &self,
        world: &World,
        path: &str,
        parent: GitSha,
        commit: GitSha,
    ) -> Result<(), String> {
        let text = |commit| world.github.text(commit, path).unwrap_or_default();
        let (before, after) = (tokens(&text(parent)), tokens(&text(commit)));
        let name = path.strip_prefix(FOLDER).unwrap_or_default();
        let on_main = world.github.moves(MAIN).iter();
        let is_proposal = !on_main.map(|it| it.after).any(|it| it == Some(commit));
        if is_proposal && is_removal(world, path, commit) && self.deletions.contains(name) {
            // Of a reviewer's text, too.
            return Ok(());
        }
        for token in before.difference(&after) {
            let versions = world.history.get(name).into_iter().flatten();
            let here = versions.map(text_of_version);
            if !lost_and_restored(here, token).0 && !self.is_conflict(world, name, commit) {
                return Err(format!("{token} was taken back from {name} in Git"));
            }
        }
        Ok(())
    }

    /// Whether the file was changed here, other than by the sync, since it last equalled a recorded base or a merged
    /// pull request's text. `commit` itself is excluded: whether it was made is unknown until a reconcile finds it
    /// or its response arrives.
    fn is_conflict(&self, world: &World, name: &str, commit: GitSha) -> bool {
        let mut agreed = self.bases.get(name).cloned().unwrap_or_default();
        let pulls = world.github.pulls.iter();
        for (pull, (at, _)) in pulls.filter_map(|it| Some((it, it.merged()?))) {
            let moves = world.github.moves(&pull.branch).iter();
            let before = moves.take_while(|it| it.at <= at && it.after != Some(commit));
            let proposed = texts(world, &pull.branch, name).into_iter();
            let proposed = proposed.take(before.count()).flatten();
            agreed.extend(proposed.map(|it| git_sha(it.as_bytes())));
        }
        let versions = world.history.get(name).map_or(&[][..], Vec::as_slice);
        let sha = |it: &FileVersion| it.text.as_ref().map(|it| git_sha(it.as_bytes()));
        let last = versions
            .iter()
            .rposition(|it| sha(it).is_some_and(|it| agreed.contains(&it)));
        let by_sync = self.seen.get(name).map_or(&[][..], Vec::as_slice);
        let since = &by_sync[last.map_or(0, |last| last + 1)..];
        since.iter().any(|by_sync| !by_sync)
    }

    /// From now on a removal of this file may be a client's.
    pub(crate) fn request_deletion(&mut self, name: &FileName) {
        self.deletions.insert(name.to_string());
    }

    /// The file was deleted: while Git has the text that it is known to have, and no other in between, that doesn't
    /// come back.
    pub(crate) fn acknowledge_deletion(&mut self, world: &World, name: &FileName) {
        let blob = world.blobs.get(SYNC_STATE);
        let sync_state = blob.map(|it| serde_json::from_slice::<Value>(&it.bytes).unwrap());
        // An import that had begun before may still create the file.
        let is_taken = |it: &Value| it["taking"][name.as_str()].is_array();
        let sync_state = sync_state.filter(|it| !is_taken(it));
        let base = sync_state.and_then(|it| Some(it["files"][name.as_str()].as_str()?.to_owned()));
        let texts = texts(world, MAIN, name.as_str());
        let is_gone = !world.blobs.contains_key(&format!("{RAW}{name}"));
        if let Some(Some(text)) = texts.last()
            && base == Some(git_sha(text.as_bytes()).to_string())
            && is_gone
        {
            let deleted = (text.clone(), texts.len());
            self.deleted.insert(name.to_string(), deleted);
        }
    }

    /// Expects that the hint of an acknowledged change stays until Git has the change.
    pub(crate) fn expect_hint(&mut self, name: &FileName, token: String) {
        self.hinted_changes.push((name.to_string(), token));
    }

    fn check_hint(&mut self, world: &World) -> Result<(), String> {
        if world.blobs.contains_key(HINT) {
            return Ok(());
        }
        for (name, token) in std::mem::take(&mut self.hinted_changes) {
            let versions = world.history.get(&name).and_then(|it| it.last());
            let is_here = has(versions.and_then(text_of_version), &token);
            let branches = world.github.branches();
            let mut in_git = branches.flat_map(|branch| texts(world, branch, &name));
            if is_here && !in_git.any(|text| has(text.as_deref(), &token)) {
                return Err(format!(
                    "{token} of {name} isn't in Git, and nothing tells of it"
                ));
            }
        }
        Ok(())
    }

    fn read_sync_state(&mut self, world: &World) {
        let Some(blob) = world.blobs.get(SYNC_STATE) else {
            return;
        };
        if self.sync_state.as_deref() == Some(blob.etag.as_str()) {
            return;
        }
        self.sync_state = Some(blob.etag.as_str().to_owned());
        let sync_state: Value = serde_json::from_slice(&blob.bytes).unwrap();
        for (name, sha) in sync_state["files"].as_object().into_iter().flatten() {
            let sha = sha.as_str().unwrap().parse().unwrap();
            self.bases.entry(name.clone()).or_default().insert(sha);
        }
        let moves = world.github.moves(MAIN).len();
        for name in sync_state["held"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap().to_owned();
            self.held.entry(name).or_insert_with(|| {
                self.held_ever += 1;
                (moves, Instant::now())
            });
        }
    }

    fn check_version(
        &mut self,
        world: &World,
        name: &str,
        versions: &[FileVersion],
        at: usize,
    ) -> Result<bool, String> {
        let after = &versions[at];
        let before = at.checked_sub(1).map(|before| &versions[before]);
        let now = text_of_version(after).map(tokens).unwrap_or_default();
        let of_people = |token: &&String| !token.starts_with('g');
        let is_new = now
            .iter()
            .filter(of_people)
            .any(|token| !self.known_tokens.contains(token));
        self.known_tokens.extend(now.iter().cloned());
        let is_deletion = after.text.is_none() && self.deletions.contains(name);
        let by_sync = after.by_service && !is_new && !is_deletion;
        if let Some(text) = text_of_version(after)
            && let Some((had, moves)) = self.deleted.remove(name)
            && by_sync
        {
            let since = &texts(world, MAIN, name)[moves - 1..];
            let is_same = text == had && since.iter().all(|it| it.as_ref() == Some(&had));
            if is_same && !was_rejected(world, name) {
                return Err(format!("{name} was deleted, and has come back from Git"));
            }
        }
        if !by_sync {
            self.mass_removals.clear();
            self.held.remove(name);
            return Ok(false);
        }
        let had = before.and_then(text_of_version);
        let had_tokens = had.map(tokens).unwrap_or_default();
        for token in had_tokens.difference(&now) {
            if !was_replaced(world, name, token, false) {
                return Err(format!("{token} was lost from {name}: {:?}", after.text));
            }
        }
        let added = had.map(|_| now.difference(&had_tokens));
        for token in added.into_iter().flatten() {
            let dropped = self.was_dropped(name, &versions[..at], token);
            if dropped && !was_replaced(world, name, token, true) {
                return Err(format!("{token} has come back to {name}: {:?}", after.text));
            }
        }
        match (had, text_of_version(after)) {
            (Some(had), None) => self.check_removal(world, name, had)?,
            (None, Some(_)) => {
                let by_sync = self.seen.get(name).map_or(&[][..], Vec::as_slice);
                check_restored(world, name, &versions[..at], by_sync)?;
            }
            _ => {}
        }
        let now = text_of_version(after);
        if had != now && now.is_some() {
            self.mass_removals.remove(name);
            self.held.remove(name);
        }
        Ok(true)
    }

    /// Whether a change here, other than by the sync, dropped the token from the last text that had it.
    fn was_dropped(&self, name: &str, versions: &[FileVersion], token: &str) -> bool {
        let last = versions
            .iter()
            .rposition(|it| has(text_of_version(it), token));
        let dropped = last.and_then(|last| Some((last + 1, versions.get(last + 1)?)));
        let by_sync = self.seen.get(name).map_or(&[][..], Vec::as_slice);
        dropped.is_some_and(|(at, it)| text_of_version(it).is_some() && !by_sync[at])
    }

    fn check_removal(&mut self, world: &World, name: &str, had: &str) -> Result<(), String> {
        if self.mass_removals.get(name).is_some_and(|it| it == had) {
            return Err(format!("{name} went with more than half of all files"));
        }
        if let Some((moves, held)) = self.held.remove(name) {
            if held.elapsed() < MAX_IN_FLIGHT {
                return Ok(());
            }
            let since = &texts(world, MAIN, name)[moves - 1..];
            if since.iter().all(Option::is_none) {
                return Err(format!("{name} was held, and went"));
            }
        }
        Ok(())
    }

    /// All removals are confirmed.
    pub(crate) fn confirm(&mut self) {
        self.mass_removals.clear();
        self.held.clear();
    }

    /// A person has moved the branch: finds removals of more than half of the recorded files, which must wait.
    pub(crate) fn branch_moved(&mut self, world: &World, forced: bool) {
        self.mass_removals.clear();
        let moves = world.github.moves(MAIN);
        let [.., last] = moves else { return };
        let (Some(before), Some(after), false) = (last.before, last.after, forced) else {
            return;
        };
        let sync_state = world.blobs.get(SYNC_STATE).map(|it| it.bytes.clone());
        let sync_state: Value =
            sync_state.map_or(Value::Null, |it| serde_json::from_slice(&it).unwrap());
        let Some(base) = sync_state["files"].as_object() else {
            return;
        };
        let (before, after) = (world.github.paths(before), world.github.paths(after));
        let is_renamed = |sha| {
            after
                .iter()
                .any(|(path, it)| it.sha == sha && !before.contains_key(path))
        };
        let mut gone = BTreeMap::new();
        let mut others = 0;
        for (path, node) in before {
            let Some(name) = path.strip_prefix(FOLDER) else {
                continue;
            };
            let text = world
                .history
                .get(name)
                .and_then(|it| text_of_version(it.last()?));
            let same = text.is_some_and(|text| git_sha(text.as_bytes()) == node.sha)
                && base.get(name).and_then(Value::as_str) == Some(&node.sha.to_string());
            others += usize::from(!base.contains_key(name));
            if same && !after.contains_key(path) && !is_renamed(node.sha) {
                gone.insert(name.to_owned(), text.unwrap_or_default().to_owned());
            }
        }
        let here = world.history.iter();
        others += here
            .filter(|(name, it)| {
                !base.contains_key(*name)
                    && it.last().is_some_and(|it| text_of_version(it).is_some())
            })
            .count();
        // `others`: files that may enter the base before the sync starts.
        if gone.len() > MASS_REMOVAL_MIN && gone.len() * 2 > base.len() + others {
            self.mass_removals = gone;
        }
    }
}

/// Whether a commit of the service's removes a file.
fn is_removal(world: &World, path: &str, commit: GitSha) -> bool {
    world.github.text(commit, path).is_none()
}

/// Whether a pull request that removes the file was closed without a merge.
fn was_rejected(world: &World, name: &str) -> bool {
    let (github, path) = (&world.github, format!("{FOLDER}{name}"));
    let of_file = github.own_files.iter().filter(|(it, ..)| *it == path);
    let removals = of_file.filter(|(.., commit)| is_removal(world, &path, *commit));
    let removals: BTreeSet<GitSha> = removals.map(|(.., commit)| *commit).collect();
    let closed = github.pulls.iter();
    let mut closed = closed.filter(|it| !it.is_open() && it.merged().is_none());
    closed.any(|pull| {
        let moves = github.moves(&pull.branch).iter();
        moves
            .filter_map(|it| it.after)
            .any(|it| removals.contains(&it))
    })
}

/// A file that was removed because Git had lost it may return only if Git has it again.
/// `by_sync` says of each version whether the sync wrote it.
fn check_restored(
    world: &World,
    name: &str,
    before: &[FileVersion],
    by_sync: &[bool],
) -> Result<(), String> {
    let Some(last) = before.iter().rposition(|it| text_of_version(it).is_some()) else {
        return Ok(());
    };
    let gone_otherwise = by_sync[last + 1..].contains(&false);
    let on_main = texts(world, MAIN, name);
    let same = |it: &Option<String>| it.as_deref() == text_of_version(&before[last]);
    let (false, Some(had)) = (gone_otherwise, on_main.iter().position(same)) else {
        return Ok(());
    };
    let gone = on_main[had..].iter().position(Option::is_none);
    let back = gone.is_some_and(|gone| on_main[had + gone..].iter().any(Option::is_some));
    match back {
        true => Ok(()),
        false => Err(format!("{name} has come back, and Git hasn't had it since")),
    }
}
