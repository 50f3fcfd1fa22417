//! PURE. Evaluates what was seen in storage as a read of the service would.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::differences::differences;
use super::report::{
    ArtifactSection, CaseVariant, FailedRead, GitSection, Hint, InspectReport, Leftovers,
    PendingIntent, PendingIntentFile, RawSection, Section, StateSection, UnreadableTask,
};
use super::seen::{FoundBlob, SeenFiles, SeenUser};
use crate::admin::words::escaped;
use crate::codex::{
    Artifact, ArtifactRejection, ChangeKind, NewerFormat, PendingFile, PendingOp, State,
};
use crate::git_sync::SyncStateSummary;
use crate::owners::{AccountIdentity, OwnerFile};
use crate::store::{Blob, BlobKey, StoreError};
use crate::task::{ContentView, FileName, FileView};
use crate::user::UserId;

/// The settings by which a read evaluates the blobs.
#[derive(Debug, Clone)]
pub struct InspectSettings {
    /// How long an artifact is valid.
    pub artifact_ttl: Duration,
    /// The age from which any instance may recover a write intent.
    pub pending_expiry: Duration,
    /// The repository, branch and folder of the mirror (`owner/name@branch:folder`), in GitHub mode.
    pub mirrored_in: Option<String>,
}

/// The report on what was seen.
pub fn judge(seen: &SeenUser, settings: &InspectSettings) -> InspectReport {
    let raw = seen.raw.as_ref().ok();
    let state = section(&seen.state, |blob| {
        let damaged = "It is no state document: the next read recreates it.";
        parsed(State::parse(&blob.bytes), damaged)
    });
    let artifact = section(&seen.artifact, |blob| {
        Artifact::parse(&blob.bytes, &seen.user)
            .ok_or("It is of another format, such as the older service's, and is ignored.")
    });
    let git = section(&seen.git, |blob| {
        let damaged = "It is ignored: the sync state counts as empty.";
        parsed(SyncStateSummary::parse(&blob.bytes), damaged)
    });
    InspectReport {
        user_id: seen.user.to_string(),
        asked_at: seen.date,
        moved_meanwhile: seen.state_changed,
        pending: match (state.present(), seen.date) {
            (Some(state), Some(date)) => pending(state, date, raw, settings),
            _ => vec![],
        },
        differences: artifact
            .present()
            .zip(raw)
            .map(|(artifact, raw)| differences(&artifact.table, raw)),
        artifact: artifact.map(|it| judge_artifact(it, state.present(), seen.date, settings)),
        state: state.map(|it| judge_state(&it)),
        raw: if_any(&seen.raw, judge_raw),
        owner: section(&seen.owner, owner),
        spellings: if_any(&seen.spellings, |others| {
            let variants = others.iter().map(|(user, file)| CaseVariant {
                user_id: user.to_string(),
                owner: section(&Ok(file.clone()), owner),
            });
            (!others.is_empty()).then(|| variants.collect())
        }),
        unpushed: raw.and_then(|raw| unpushed(&git, raw, settings)),
        git: git.map(|note| judge_git(note, settings)),
        queue: section(&seen.hint, |blob| Ok::<_, String>(hint(blob))),
        leftovers: if_any(&seen.paths, |paths| leftovers(paths, &seen.user)),
    }
}

/// A blob's section; `parse` says what is wrong with a damaged one, and what follows.
fn section<T, R: Into<String>>(
    found: &FoundBlob,
    parse: impl FnOnce(&Blob) -> Result<T, R>,
) -> Section<T> {
    match found {
        Err(error) => Section::unreadable(error),
        Ok(None) => Section::Absent,
        Ok(Some(blob)) => parse(blob).map_or_else(Section::damaged, Section::Present),
    }
}

/// The section of a listing; `judge` says `None` of an empty one.
fn if_any<T, P>(found: &Result<T, StoreError>, judge: impl FnOnce(&T) -> Option<P>) -> Section<P> {
    match found {
        Err(error) => Section::unreadable(error),
        Ok(listed) => judge(listed).map_or(Section::Absent, Section::Present),
    }
}

fn parsed<T>(
    parsed: Result<Option<T>, NewerFormat>,
    damaged: &'static str,
) -> Result<T, &'static str> {
    let newer = "A newer version of the service wrote it; this one answers with newer_format.";
    parsed.map_err(|_| newer)?.ok_or(damaged)
}

fn judge_state(state: &State) -> StateSection {
    StateSection {
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

fn pending(
    state: &State,
    date: DateTime<Utc>,
    raw: Option<&SeenFiles>,
    settings: &InspectSettings,
) -> Vec<PendingIntent> {
    let intent = |(op, intent): (&String, &PendingOp)| {
        let files = intent.files.iter().map(|file| PendingIntentFile {
            name: file.name.clone(),
            kind: file.kind,
            landed: raw.and_then(|raw| landed(file, raw)),
        });
        PendingIntent {
            op: op.clone(),
            version: intent.version,
            at: intent.at,
            age_seconds: (date - intent.at).num_seconds().max(0),
            overdue: intent.is_overdue(date, settings.pending_expiry),
            files: files.collect(),
        }
    };
    let mut intents: Vec<_> = state.pending.iter().map(intent).collect();
    intents.sort_by_key(|intent| intent.version);
    intents
}

/// Whether an op's change is in the file; `None` if the file can't be read.
fn landed(file: &PendingFile, raw: &SeenFiles) -> Option<bool> {
    if raw.failed.contains_key(&file.name) {
        return None;
    }
    match (file.kind, raw.table.find(&file.name)) {
        (ChangeKind::Delete, there) => Some(there.is_none()),
        (_, None) => Some(false),
        (_, Some(there)) => {
            there.sha?;
            let writes = raw.writes.get(&file.name);
            writes.map(|writes| file.has_landed_in(writes))
        }
    }
}

fn judge_artifact(
    artifact: Artifact,
    state: Option<&State>,
    date: Option<DateTime<Utc>>,
    settings: &InspectSettings,
) -> ArtifactSection {
    let reason = match state.zip(date) {
        None => Some("there is no state document"),
        Some((state, date)) => {
            artifact
                .rejection(state, date, settings.artifact_ttl)
                .map(|reason| match reason {
                    ArtifactRejection::Pending => "a write intent is pending",
                    ArtifactRejection::OtherVersion => "the state is at another version",
                    ArtifactRejection::Expired => {
                        "it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future"
                    }
                })
        }
    };
    let age = date.and_then(|date| artifact.age(date));
    ArtifactSection {
        age_seconds: age.and_then(|age| i64::try_from(age.as_secs()).ok()),
        built_by: artifact.built_by,
        built_from: artifact.built_from,
        cache_created_at: artifact.listed_at,
        files: artifact.table.len(),
        taken: reason.is_none(),
        reason,
    }
}

fn judge_raw(raw: &SeenFiles) -> Option<RawSection> {
    let tombstones = raw.table.iter().filter(FileView::is_tombstone);
    let settled: Vec<String> = tombstones.map(|file| file.name.to_owned()).collect();
    let is_task = |file: &FileView<'_>| matches!(file.content, ContentView::Task(_));
    let unreadable = raw.table.iter().filter_map(|file| match file.content {
        ContentView::Unreadable(problem) => Some(UnreadableTask {
            name: file.name.to_owned(),
            code: problem.code,
            line: problem.line,
        }),
        _ => None,
    });
    let failed = raw.failed.iter().map(|(name, error)| FailedRead {
        name: name.clone(),
        reason: error.to_string(),
    });
    let is_empty = raw.table.is_empty() && raw.others == 0 && raw.failed.is_empty();
    (!is_empty).then(|| RawSection {
        files: raw.table.len() - settled.len(),
        tasks: raw.table.iter().filter(is_task).count(),
        unreadable: unreadable.collect(),
        settled,
        others: raw.others,
        failed: failed.collect(),
    })
}

fn owner(blob: &Blob) -> Result<AccountIdentity, String> {
    match OwnerFile::parse(&blob.bytes) {
        Ok(owner) => Ok(owner.identity),
        Err(error) => Err(format!("{error}: sign-in is refused")),
    }
}

/// The files that Git lacks. With GitHub mode off, `git.json` is the only source; `None` without one.
fn unpushed(
    git: &Section<SyncStateSummary>,
    raw: &SeenFiles,
    settings: &InspectSettings,
) -> Option<Vec<String>> {
    let nothing = SyncStateSummary::empty();
    let note = match (git, &settings.mirrored_in) {
        (Section::Unreadable { .. }, _) => return None,
        (Section::Present(note), None) => note,
        (_, None) => return None,
        (Section::Present(note), here @ Some(_)) if note.place == *here => note,
        (_, Some(_)) => &nothing,
    };
    let unpushed = note.unpushed(&raw.table);
    Some(unpushed.iter().map(FileName::to_string).collect())
}

fn judge_git(note: SyncStateSummary, settings: &InspectSettings) -> GitSection {
    let pulls = note.pulls.into_iter();
    GitSection {
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

fn hint(blob: &Blob) -> Hint {
    let text = String::from_utf8_lossy(&blob.bytes);
    let since = escaped(text.trim());
    Hint { since }
}

fn leftovers(paths: &[String], user: &UserId) -> Option<Leftovers> {
    let known = [
        BlobKey::state(user),
        BlobKey::owner(user),
        BlobKey::git(user),
        BlobKey::artifact(user),
    ];
    let is_known = |path: &&String| known.iter().any(|key| key.path() == *path);
    let blobs: Vec<String> = paths
        .iter()
        .filter(|path| !is_known(path))
        .cloned()
        .collect();
    (!blobs.is_empty()).then_some(Leftovers { blobs })
}
