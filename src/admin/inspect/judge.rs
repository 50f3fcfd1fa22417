//! PURE. What was seen of a user, judged as a reader judges it.

use chrono::{DateTime, Utc};

use super::InspectSettings;
use super::differences::differences;
use super::report::{
    ArtifactPart, Failed, GitPart, Hint, Leftovers, Mark, MarkedFile, Part, RawPart, Report,
    Spelling, StatePart, Unreadable,
};
use super::seen::{Found, Raw, Seen};
use crate::admin::words::Plain;
use crate::codex::{
    Artifact, ChangeKind, GitNote, Holder, NotTaken, OwnerFile, PendingFile, PendingOp, State,
};
use crate::store::{Blob, Key, Prefix, StoreError};
use crate::task::{ContentView, FileName, FileView, TaskTable};
use crate::user::UserId;

impl Report {
    /// Judges what was seen.
    pub(super) fn of(seen: &Seen, settings: &InspectSettings) -> Self {
        let (state, pending) = state(seen, settings);
        let artifact = part(&seen.artifact, |blob| {
            Artifact::parse(&blob.bytes, &seen.user)
        });
        let git = git_note(&seen.git);
        let raw = seen.raw.as_ref();
        Self {
            user_id: seen.user.to_string(),
            asked_at: seen.date,
            moved_meanwhile: seen.moved,
            pending,
            differences: match (&artifact, raw) {
                (Judged::Good(artifact), Ok(raw)) => Some(differences(&artifact.table, raw)),
                _ => None,
            },
            artifact: artifact_part(artifact, &state, seen.date, settings),
            state: state.into_part(bad_state(&seen.state), |state| StatePart::of(&state)),
            raw: raw.map_or_else(Part::unreadable, |raw| present_if_any(RawPart::of(raw))),
            owner: found_owner(&seen.owner),
            spellings: spellings(&seen.spellings),
            unpushed: raw.ok().and_then(|raw| unpushed(&git, raw, settings)),
            git: git.into_part(bad_git(&seen.git), |note| GitPart::of(note, settings)),
            queue: part(&seen.hint, |blob| Some(Hint::of(blob))).into_part("", |hint| hint),
            leftovers: leftovers(seen),
        }
    }
}

/// A blob and what it turned out to be.
enum Judged<T> {
    Absent,
    Unreadable(StoreError),
    Bad,
    Good(T),
}

impl<T> Judged<T> {
    fn into_part<P>(self, bad: &str, good: impl FnOnce(T) -> P) -> Part<P> {
        match self {
            Self::Absent => Part::Absent,
            Self::Unreadable(error) => Part::unreadable(&error),
            Self::Bad => Part::damaged(bad),
            Self::Good(it) => Part::Present(good(it)),
        }
    }
}

fn part<T>(found: &Found<Option<Blob>>, parse: impl FnOnce(&Blob) -> Option<T>) -> Judged<T> {
    match found {
        Err(error) => Judged::Unreadable(error.clone()),
        Ok(None) => Judged::Absent,
        Ok(Some(blob)) => parse(blob).map_or(Judged::Bad, Judged::Good),
    }
}

/// What a version with a newer major format wrote, this one can't read at all.
const NEWER: &str = "A newer version of the service wrote it; this one answers with newer_format.";

fn bad_state(found: &Found<Option<Blob>>) -> &'static str {
    match found {
        Ok(Some(blob)) if State::parse(&blob.bytes).is_err() => NEWER,
        _ => "It is no state: the next read makes it again.",
    }
}

fn bad_git(found: &Found<Option<Blob>>) -> &'static str {
    match found {
        Ok(Some(blob)) if GitNote::parse(&blob.bytes).is_err() => NEWER,
        _ => "It counts as empty: nothing is known of Git.",
    }
}

fn state(seen: &Seen, settings: &InspectSettings) -> (Judged<State>, Vec<Mark>) {
    let state = part(&seen.state, |blob| State::parse(&blob.bytes).ok().flatten());
    let marks = match (&state, seen.date) {
        (Judged::Good(state), Some(date)) => {
            let raw = seen.raw.as_ref().ok();
            let pending = state.pending.iter();
            let mut marks: Vec<Mark> = pending
                .map(|(op, mark)| Mark::of(op, mark, date, raw, settings))
                .collect();
            marks.sort_by_key(|mark| mark.version);
            marks
        }
        _ => vec![],
    };
    (state, marks)
}

impl StatePart {
    fn of(state: &State) -> Self {
        Self {
            version: state.version,
            finished: state.finished(),
            next_id: state.next_id,
            format: state.format,
            read_only: state.is_read_only(),
            idempotency_records: state.idempotency.len(),
            merged: state.merged.keys().cloned().collect(),
            legacy_next_id: state.legacy_next_id.as_ref().map(|it| it.number),
        }
    }
}

impl Mark {
    fn of(
        op: &str,
        mark: &PendingOp,
        date: DateTime<Utc>,
        raw: Option<&Raw>,
        settings: &InspectSettings,
    ) -> Self {
        let files = mark.files.iter().map(|file| MarkedFile {
            name: file.name.clone(),
            kind: file.kind,
            landed: raw.and_then(|raw| landed(file, raw)),
        });
        Self {
            op: op.to_owned(),
            version: mark.version,
            at: mark.at,
            age_seconds: (date - mark.at).num_seconds().max(0),
            overdue: mark.is_overdue(date, settings.pending_expiry),
            files: files.collect(),
        }
    }
}

/// Whether an op's change is in a file.
fn landed(file: &PendingFile, raw: &Raw) -> Option<bool> {
    let unknown = raw.failed.iter().any(|(name, _)| *name == file.name);
    let there = raw.table.find(&file.name);
    match (file.kind, there) {
        _ if unknown => None,
        (ChangeKind::Delete, there) => Some(there.is_none()),
        (_, None) => Some(false),
        (_, Some(there)) if there.sha.is_none() => None,
        (_, Some(_)) => raw.writes.get(&file.name).map(|writes| file.is_in(writes)),
    }
}

fn artifact_part(
    artifact: Judged<Artifact>,
    state: &Judged<State>,
    date: Option<DateTime<Utc>>,
    settings: &InspectSettings,
) -> Part<ArtifactPart> {
    artifact.into_part(
        "It is of another format, such as the older service's, and is ignored.",
        |artifact| {
            let reason = match (state, date) {
                (Judged::Good(state), Some(date)) => artifact
                    .not_taken(state, date, settings.artifact_ttl)
                    .map(why_not),
                _ => Some("without a state only the files count"),
            };
            let age = date.and_then(|date| artifact.age(date));
            ArtifactPart {
                age_seconds: age.and_then(|age| i64::try_from(age.as_secs()).ok()),
                built_by: artifact.built_by,
                built_from: artifact.built_from,
                cache_created_at: artifact.listed_at,
                files: artifact.table.len(),
                taken: reason.is_none(),
                reason,
            }
        },
    )
}

fn why_not(reason: NotTaken) -> &'static str {
    match reason {
        NotTaken::Pending => "something is pending",
        NotTaken::OtherVersion => "the state is at another version",
        NotTaken::OutOfTime => "it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future",
    }
}

fn present_if_any(raw: RawPart) -> Part<RawPart> {
    match raw.files + raw.others + raw.settled.len() + raw.failed.len() {
        0 => Part::Absent,
        _ => Part::Present(raw),
    }
}

impl RawPart {
    fn of(raw: &Raw) -> Self {
        let table: &TaskTable = &raw.table;
        let settled = table.iter().filter(FileView::is_settled);
        let settled: Vec<String> = settled.map(|file| file.name.to_owned()).collect();
        let is_task = |content| matches!(content, ContentView::Task(_));
        let unreadable = table.iter().filter_map(|file| match file.content {
            ContentView::Unreadable(problem) => Some(Unreadable {
                name: file.name.to_owned(),
                code: problem.code,
                line: problem.line,
            }),
            _ => None,
        });
        let failed = raw.failed.iter().map(|(name, error)| Failed {
            name: name.clone(),
            reason: error.to_string(),
        });
        Self {
            files: table.len() - settled.len(),
            tasks: table.iter().filter(|file| is_task(file.content)).count(),
            unreadable: unreadable.collect(),
            settled,
            others: raw.others,
            failed: failed.collect(),
        }
    }
}

fn found_owner(found: &Found<Option<Blob>>) -> Part<Holder> {
    match found {
        Err(error) => Part::unreadable(error),
        Ok(found) => owner(found.as_ref()),
    }
}

fn spellings(found: &Found<Vec<(UserId, Option<Blob>)>>) -> Part<Vec<Spelling>> {
    let found = match found {
        Err(error) => return Part::unreadable(error),
        Ok(found) if found.is_empty() => return Part::Absent,
        Ok(found) => found.iter(),
    };
    let found = found.map(|(user, file)| Spelling {
        user_id: user.to_string(),
        owner: owner(file.as_ref()),
    });
    Part::Present(found.collect())
}

fn owner(file: Option<&Blob>) -> Part<Holder> {
    match file {
        None => Part::Absent,
        Some(blob) => match OwnerFile::parse(&blob.bytes) {
            Ok(owner) => Part::Present(owner.holder),
            Err(error) => Part::damaged(&format!("{error}: nobody is let in")),
        },
    }
}

fn git_note(found: &Found<Option<Blob>>) -> Judged<GitNote> {
    part(found, |blob| GitNote::parse(&blob.bytes).ok().flatten())
}

/// With GitHub mode off what a `git.json` says is all there is to go by.
fn unpushed(git: &Judged<GitNote>, raw: &Raw, settings: &InspectSettings) -> Option<Vec<String>> {
    let nothing = GitNote::empty();
    let note = match (git, &settings.mirrored_in) {
        (Judged::Good(note), mirrored) if is_current(note, mirrored.as_deref()) => note,
        (Judged::Unreadable(_), _) | (_, None) => return None,
        _ => &nothing,
    };
    let unpushed = note.unpushed(&raw.table);
    Some(unpushed.iter().map(FileName::to_string).collect())
}

fn is_current(note: &GitNote, mirrored_in: Option<&str>) -> bool {
    mirrored_in.is_none_or(|place| note.place.as_deref() == Some(place))
}

impl GitPart {
    fn of(note: GitNote, settings: &InspectSettings) -> Self {
        let pulls = note.pulls.into_iter();
        Self {
            current: settings.mirrored_in.is_some() && note.place == settings.mirrored_in,
            place: note.place,
            commit: note.commit.map(|commit| commit.to_string()),
            synced_at: note.synced_at,
            files: note.files.len(),
            pushing: note.pushing,
            taking: note.taking,
            proposing: note.proposing,
            pulls: pulls
                .map(|(name, note)| (name, note.pull.html_url))
                .collect(),
            last_error: note.last_error.map(|it| (it.code, it.message, it.at)),
        }
    }
}

impl Hint {
    fn of(blob: &Blob) -> Self {
        let text = String::from_utf8_lossy(&blob.bytes);
        let since = Plain(text.trim()).to_string();
        Self { since }
    }
}

fn leftovers(seen: &Seen) -> Part<Leftovers> {
    let (of_state, of_artifacts) = match &seen.beside {
        Ok(names) => names,
        Err(error) => return Part::unreadable(error),
    };
    let user = &seen.user;
    let known = [
        Key::state(user),
        Key::owner(user),
        Key::git(user),
        Key::artifact(user),
    ];
    let below = |prefix: Prefix, names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("{prefix}{name}")).collect()
    };
    let paths = below(Prefix::state(user), of_state).into_iter();
    let cached = below(Prefix::artifacts(user), of_artifacts);
    let unknown = |path: &String| !known.iter().any(|key| key.path() == path);
    let blobs: Vec<String> = paths.chain(cached).filter(unknown).collect();
    match blobs.is_empty() {
        true => Part::Absent,
        false => Part::Present(Leftovers { blobs }),
    }
}
