//! What must hold between the store and the repository, at every moment.
//!
//! Every text carries tokens: `t1.` of a client's change, `e1.` of an editor's, `g1.` of a person's with a clone, and
//! the day of a completion. A version of a task file that the sync wrote may lack a token of the version before only
//! where Git had that token in the file once and has lost it since: then somebody saw it and replaced it. In the same
//! way a commit of the service's may lack a token only where the store had it once, or where both sides had changed
//! the file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use codex_miroir::github::EntryKind;
use codex_miroir::task::{FileName, GitSha, SETTLED_FILE, git_sha};
use serde_json::Value;
use tokio::time::Instant;

use super::repository::{FOLDER, MAIN};
use crate::world::{FileVersion, World};

/// What tells that Git lacks something.
const HINT: &str = "queue/anna";

/// What `git.json` is called.
const BOOK: &str = "state/anna/git.json";

/// More removals than this at once wait for somebody.
const FEW: usize = 5;

/// A removal that was decided before another instance held the file may still be under way for so long.
const UNDER_WAY: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Checker {
    /// The versions of each file that were looked at, and whether the sync made them.
    seen: BTreeMap<String, Vec<bool>>,
    /// Files of own commits that were looked at.
    commits: usize,
    /// Acknowledged changes that a hint tells of, as long as Git hasn't had them: the file and the token.
    hinted: Vec<(String, String)>,
    /// Tokens that were in a file of the store.
    born: BTreeSet<String>,
    /// Removals that must wait: the files' texts, until somebody confirms it or something else happens to them.
    waiting: BTreeMap<String, String>,
    /// What `git.json` has said that Git holds of each file.
    bases: BTreeMap<String, BTreeSet<GitSha>>,
    /// Files that `git.json` holds back, how far the branch had moved by then, and since when.
    held: BTreeMap<String, (usize, Instant)>,
    /// The last `git.json` that was looked at.
    book: Option<String>,
    /// How many files were ever held back.
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
    (text != SETTLED_FILE).then_some(text)
}

/// The texts of a file at each move of a branch. Where something else is in its place, or in that of a folder above
/// it, the file counts as it was before.
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
            !is_file || node.sha == git_sha(SETTLED_FILE.as_bytes())
        });
        if !is_hidden && !is_odd {
            last = github.text(commit, &path);
        }
        last.clone()
    };
    let moves = github.moves(branch).iter();
    moves.map(|it| it.after.and_then(&mut text_of)).collect()
}

/// The same up to a moment.
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

/// Whether some text has the token, and a later one hasn't; and whether one has it again after that.
fn lost_and_back<'a>(
    texts: impl IntoIterator<Item = Option<&'a str>>,
    token: &str,
) -> (bool, bool) {
    let mut had = texts.into_iter().map(|text| has(text, token));
    let lost = had.any(|it| it) && had.any(|it| !it);
    (lost, lost && had.any(|it| it))
}

/// Whether somebody has taken the token out of the file in Git, or `back`, has put it there again; a reviewer on a
/// request's branch, too.
fn was_replaced(world: &World, name: &str, token: &str, back: bool) -> bool {
    let on_branch = |branch: &str| {
        let texts = texts(world, branch, name);
        let (lost, restored) = lost_and_back(texts.iter().map(Option::as_deref), token);
        if back { restored } else { lost }
    };
    if world.github.branches().any(on_branch) {
        return true;
    }
    // Or by a merge.
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
    /// Looks at what has happened since it was asked last.
    pub(crate) fn check(&mut self, world: &World) -> Result<(), String> {
        self.look_at_book(world);
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

    /// A commit of the service's takes back nothing that nobody here has seen.
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
        for token in before.difference(&after) {
            let versions = world.history.get(name).into_iter().flatten();
            let here = versions.map(text_of_version);
            if !lost_and_back(here, token).0 && !self.is_conflict(world, name, commit) {
                return Err(format!("{token} was taken back from {name} in Git"));
            }
        }
        Ok(())
    }

    /// Whether somebody here has changed the file since it was as Git was known to have it, or as a merged request
    /// had it. Of an own commit nobody knows whether it was made, until a look finds it or its answer comes.
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

    /// A change was acknowledged, and its hint has been put: it stays until Git has the change.
    pub(crate) fn expect_hint(&mut self, name: &FileName, token: String) {
        self.hinted.push((name.to_string(), token));
    }

    fn check_hint(&mut self, world: &World) -> Result<(), String> {
        if world.blobs.contains_key(HINT) {
            return Ok(());
        }
        for (name, token) in std::mem::take(&mut self.hinted) {
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

    fn look_at_book(&mut self, world: &World) {
        let Some(blob) = world.blobs.get(BOOK) else {
            return;
        };
        if self.book.as_deref() == Some(blob.etag.as_str()) {
            return;
        }
        self.book = Some(blob.etag.as_str().to_owned());
        let book: Value = serde_json::from_slice(&blob.bytes).unwrap();
        for (name, sha) in book["files"].as_object().into_iter().flatten() {
            let sha = sha.as_str().unwrap().parse().unwrap();
            self.bases.entry(name.clone()).or_default().insert(sha);
        }
        let moves = world.github.moves(MAIN).len();
        for name in book["held"].as_array().into_iter().flatten() {
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
            .any(|token| !self.born.contains(token));
        self.born.extend(now.iter().cloned());
        let by_sync = after.own && !is_new;
        if !by_sync {
            self.waiting.clear();
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
        let come = had.map(|_| now.difference(&had_tokens));
        for token in come.into_iter().flatten() {
            let dropped = self.was_dropped(name, &versions[..at], token);
            if dropped && !was_replaced(world, name, token, true) {
                return Err(format!("{token} has come back to {name}: {:?}", after.text));
            }
        }
        match (had, text_of_version(after)) {
            (Some(had), None) => self.check_removal(world, name, had)?,
            (None, Some(_)) => check_return(world, name, &versions[..at])?,
            _ => {}
        }
        let now = text_of_version(after);
        if had != now && now.is_some() {
            self.waiting.remove(name);
            self.held.remove(name);
        }
        Ok(true)
    }

    /// Whether somebody here has taken the token out of the file's text, which had it last before that.
    fn was_dropped(&self, name: &str, versions: &[FileVersion], token: &str) -> bool {
        let last = versions
            .iter()
            .rposition(|it| has(text_of_version(it), token));
        let dropped = last.and_then(|last| Some((last + 1, versions.get(last + 1)?)));
        let by_sync = self.seen.get(name).map_or(&[][..], Vec::as_slice);
        dropped.is_some_and(|(at, it)| text_of_version(it).is_some() && !by_sync[at])
    }

    fn check_removal(&mut self, world: &World, name: &str, had: &str) -> Result<(), String> {
        if self.waiting.get(name).is_some_and(|it| it == had) {
            return Err(format!("{name} went with more than half of all files"));
        }
        if let Some((moves, held)) = self.held.remove(name) {
            if held.elapsed() < UNDER_WAY {
                return Ok(());
            }
            let since = &texts(world, MAIN, name)[moves - 1..];
            if since.iter().all(Option::is_none) {
                return Err(format!("{name} was held, and went"));
            }
        }
        Ok(())
    }

    /// Somebody confirms all removals.
    pub(crate) fn confirm(&mut self) {
        self.waiting.clear();
        self.held.clear();
    }

    /// The branch was moved by somebody; more than half of what Git is known to hold may have gone.
    pub(crate) fn moved(&mut self, world: &World, forced: bool) {
        self.waiting.clear();
        let moves = world.github.moves(MAIN);
        let [.., last] = moves else { return };
        let (Some(before), Some(after), false) = (last.before, last.after, forced) else {
            return;
        };
        let book = world.blobs.get(BOOK).map(|it| it.bytes.clone());
        let book: Value = book.map_or(Value::Null, |it| serde_json::from_slice(&it).unwrap());
        let Some(base) = book["files"].as_object() else {
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
        // Whatever else may come into the base before the sync begins.
        if gone.len() > FEW && gone.len() * 2 > base.len() + others {
            self.waiting = gone;
        }
    }
}

/// What was removed because it had gone from Git is back: Git must have it again.
fn check_return(world: &World, name: &str, before: &[FileVersion]) -> Result<(), String> {
    let Some(last) = before.iter().rposition(|it| text_of_version(it).is_some()) else {
        return Ok(());
    };
    let gone_by_editor = before[last + 1..].iter().any(|it| !it.own);
    let on_main = texts(world, MAIN, name);
    let same = |it: &Option<String>| it.as_deref() == text_of_version(&before[last]);
    let (false, Some(had)) = (gone_by_editor, on_main.iter().position(same)) else {
        return Ok(());
    };
    let gone = on_main[had..].iter().position(Option::is_none);
    let back = gone.is_some_and(|gone| on_main[had + gone..].iter().any(Option::is_some));
    match back {
        true => Ok(()),
        false => Err(format!("{name} has come back, and Git hasn't had it since")),
    }
}
