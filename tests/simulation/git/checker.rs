//! What must hold between the store and the repository, at every moment.
//!
//! Every text carries tokens: `t1.` of a client's change, `e1.` of an editor's, `g1.` of a person's with a clone. A
//! version of a task file that the sync wrote may lack a client's or an editor's token of the version before only
//! where Git had that token in the file once and has lost it since: then somebody saw it and replaced it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use codex_miroir::github::EntryKind;
use codex_miroir::task::{GitSha, SETTLED_FILE, git_sha};
use serde_json::Value;
use tokio::time::Instant;

use super::repository::{FOLDER, MAIN};
use crate::world::{FileVersion, World};

/// What `git.json` is called.
const BOOK: &str = "state/anna/git.json";

/// More removals than this at once wait for somebody.
const FEW: usize = 5;

/// A removal that was decided before another instance held the file may still be under way for so long.
const UNDER_WAY: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Checker {
    /// Versions of each file that were looked at.
    seen: BTreeMap<String, usize>,
    /// Tokens that were in a file of the store.
    born: BTreeSet<String>,
    /// Removals that must wait: the files' texts, until somebody confirms it or something else happens to them.
    waiting: BTreeMap<String, String>,
    /// Files that `git.json` holds back, how far the branch had moved by then, and since when.
    held: BTreeMap<String, (usize, Instant)>,
    /// The last `git.json` that was looked at.
    book: Option<String>,
    /// How many files were ever held back.
    pub(crate) held_ever: u64,
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> BTreeSet<String> {
    let words = text.split_whitespace();
    let is_token = |word: &&str| {
        let number = word
            .strip_prefix(['t', 'e', 'g'])
            .and_then(|it| it.strip_suffix('.'));
        number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.filter(is_token).map(str::to_owned).collect()
}

fn text(version: &FileVersion) -> Option<&str> {
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

/// Whether Git had the token in the file, and then hadn't.
fn was_replaced(world: &World, name: &str, token: &str) -> bool {
    let has = |text: &Option<String>| {
        text.as_deref()
            .is_some_and(|text| tokens(text).contains(token))
    };
    let on_main = texts(world, MAIN, name);
    let first = on_main.iter().position(has);
    if first.is_some_and(|first| on_main[first..].iter().any(|it| !has(it))) {
        return true;
    }
    // A reviewer has replaced it on a branch that was merged.
    world.github.pulls.iter().any(|pull| {
        let proposed = texts(world, &pull.branch, name).iter().any(has);
        let merged = pull.merged().map(|commit| {
            let path = format!("{FOLDER}{name}");
            world.github.text(commit, &path)
        });
        proposed && merged.is_some_and(|merged| !has(&merged))
    })
}

impl Checker {
    /// Looks at what has happened since it was asked last.
    pub(crate) fn check(&mut self, world: &World) -> Result<(), String> {
        self.look_at_book(world);
        for (name, versions) in &world.history {
            let seen = self.seen.get(name).copied().unwrap_or_default();
            for at in seen..versions.len() {
                self.check_version(world, name, versions, at)?;
            }
            self.seen.insert(name.clone(), versions.len());
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
    ) -> Result<(), String> {
        let after = &versions[at];
        let before = at.checked_sub(1).map(|before| &versions[before]);
        let now = text(after).map(tokens).unwrap_or_default();
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
            return Ok(());
        }
        let had = before.and_then(text);
        let lost = had.map(tokens).unwrap_or_default();
        for token in lost.difference(&now).filter(of_people) {
            if !was_replaced(world, name, token) {
                return Err(format!("{token} was lost from {name}: {:?}", after.text));
            }
        }
        match (had, text(after)) {
            (Some(had), None) => self.check_removal(world, name, had)?,
            (None, Some(_)) => check_return(world, name, &versions[..at])?,
            _ => {}
        }
        if had != text(after) && text(after).is_some() {
            self.waiting.remove(name);
            self.held.remove(name);
        }
        Ok(())
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
            let text = world.history.get(name).and_then(|it| text(it.last()?));
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
                !base.contains_key(*name) && it.last().is_some_and(|it| text(it).is_some())
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
    let Some(last) = before.iter().rposition(|it| text(it).is_some()) else {
        return Ok(());
    };
    let gone_by_editor = before[last + 1..].iter().any(|it| !it.own);
    let on_main = texts(world, MAIN, name);
    let same = |it: &Option<String>| it.as_deref() == text(&before[last]);
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
