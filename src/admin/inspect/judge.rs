//! PURE. Evaluates what was seen in storage as a read of the service would.

use std::fmt::Display;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::differences::differences;
use super::report::InspectReport;
use super::seen::{SeenFiles, SeenUser};
use crate::admin::words::escaped;
use crate::codex::{
    Artifact, ArtifactRejection, ChangeKind, NewerFormat, PendingFile, PendingOp, State,
    entry_rejection, is_readable,
};
use crate::git_sync::{RemovedFiles, UserSyncState, unpushed_names};
use crate::owners::OwnerFile;
use crate::shared_cache::{NoAnswer, ServerTime, SharedEntry, SharedReply};
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

/// What a blob has, or the part of the report that says why that isn't known.
type Found<T> = Result<T, Value>;

/// The report on what was seen.
pub fn judge(seen: SeenUser, settings: &InspectSettings) -> InspectReport {
    let state = found(seen.state, |blob| {
        let damaged = "It is no state document: the next read recreates it.";
        parsed(State::parse(&blob.bytes), damaged)
    });
    let artifact = found(seen.artifact, |blob| {
        Artifact::parse(&blob.bytes, &seen.user)
            .ok_or("It is of another format, such as the older service's, and is ignored.")
    });
    let git = found(seen.git, |blob| {
        let damaged = "It is ignored: the sync state counts as empty.";
        parsed(UserSyncState::parse(&blob.bytes), damaged)
    });
    let raw = seen.raw.as_ref();
    let pending = match (&state, seen.date) {
        (Ok(state), Some(date)) => pending(state, date, raw.ok(), settings),
        _ => vec![],
    };
    let both = artifact.as_ref().ok().zip(raw.ok());
    let differences = both.map(|(artifact, raw)| differences(&artifact.table, raw));
    let removed = state.as_ref().ok().map(|it| it.removed.clone());
    let removed = removed.unwrap_or_default();
    let unpushed = raw
        .ok()
        .and_then(|raw| unpushed(&git, raw, &removed, settings));
    let leftovers = seen.paths.map(|paths| leftovers(paths, &seen.user));
    let shared = seen.shared.map(|reply| {
        let readable = shared_entry(reply, &seen.user);
        readable.map(|(entry, time)| judge_entry(&entry, time, state.as_ref().ok(), settings))
    });
    let artifact = artifact.map(|it| judge_artifact(&it, state.as_ref().ok(), seen.date, settings));
    let mut parts = vec![
        ("userId", json!(seen.user.as_str())),
        ("askedAt", json!(seen.date)),
        ("movedMeanwhile", json!(seen.state_changed)),
        ("state", part(state.map(|it| judge_state(&it)))),
        ("pending", json!(pending)),
        ("artifact", part(artifact)),
        ("differences", json!(differences)),
        ("raw", listed(raw.map(judge_raw))),
        ("owner", part(found(seen.owner, owner))),
        ("spellings", listed(seen.spellings.map(spellings))),
        ("git", part(git.map(|it| judge_git(&it, settings)))),
        ("unpushed", json!(unpushed)),
        ("queue", listed(seen.hint.map(|blob| Some(hint(&blob?))))),
        ("leftovers", listed(leftovers)),
    ];
    if let Some(shared) = shared {
        let before = parts.iter().position(|(name, _)| *name == "differences");
        parts.insert(before.unwrap_or_default(), ("redis", part(shared)));
    }
    InspectReport(parts)
}

/// `parse` says what is wrong with a damaged blob, and what follows.
fn found<B, T, R: Into<Value>>(
    found: Result<Option<B>, impl Display>,
    parse: impl FnOnce(B) -> Result<T, R>,
) -> Found<T> {
    match found {
        Err(error) => Err(json!({"status": "unreadable", "reason": error.to_string()})),
        Ok(None) => Err(json!({"status": "absent"})),
        Ok(Some(it)) => {
            parse(it).map_err(|reason| json!({"status": "damaged", "reason": reason.into()}))
        }
    }
}

/// The part on something that can't be damaged.
fn listed(it: Result<Option<Value>, impl Display>) -> Value {
    part(found(it, Ok::<_, &str>))
}

fn part(found: Found<Value>) -> Value {
    let present = |mut it: Value| {
        it["status"] = json!("present");
        it
    };
    found.map_or_else(|instead| instead, present)
}

fn parsed<T>(
    parsed: Result<Option<T>, NewerFormat>,
    damaged: &'static str,
) -> Result<T, &'static str> {
    let newer = "A newer version of the service wrote it; this one answers with newer_format.";
    parsed.map_err(|_| newer)?.ok_or(damaged)
}

fn judge_state(state: &State) -> Value {
    json!({
        "version": state.version,
        "finished": state.finished(),
        "nextId": state.next_id,
        "format": state.format,
        "readOnly": state.is_read_only(),
        "idempotencyRecords": state.idempotency.len(),
        "merged": state.merged.keys().collect::<Vec<_>>(),
        "legacyNextId": state.legacy_next_id.as_ref().map(|it| it.number),
    })
}

/// The write intents, by version.
fn pending(
    state: &State,
    date: DateTime<Utc>,
    raw: Option<&SeenFiles>,
    settings: &InspectSettings,
) -> Vec<Value> {
    let mut intents: Vec<(&String, &PendingOp)> = state.pending.iter().collect();
    intents.sort_by_key(|(_, intent)| intent.version);
    let file = |file: &PendingFile| {
        let landed = raw.and_then(|raw| landed(file, raw));
        json!({"name": file.name, "kind": file.kind, "landed": landed})
    };
    let intent = |(op, intent): (&String, &PendingOp)| {
        json!({
            "op": op,
            "version": intent.version,
            "at": intent.at,
            "ageSeconds": (date - intent.at).num_seconds().max(0),
            "overdue": intent.is_overdue(date, settings.pending_expiry),
            "files": intent.files.iter().map(file).collect::<Vec<_>>(),
        })
    };
    intents.into_iter().map(intent).collect()
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

/// The artifact's header, and why an instance with an empty cache wouldn't use it now.
fn judge_artifact(
    artifact: &Artifact,
    state: Option<&State>,
    date: Option<DateTime<Utc>>,
    settings: &InspectSettings,
) -> Value {
    let rejection = |(state, date)| artifact.rejection(state, date, settings.artifact_ttl);
    let reason = rejection_reason(state.zip(date).map(rejection));
    let age = date.and_then(|date| artifact.age(date));
    json!({
        "builtBy": artifact.built_by,
        "builtFrom": artifact.built_from,
        "cacheCreatedAt": artifact.listed_at,
        "ageSeconds": age.map(|age| age.as_secs()),
        "files": artifact.table.len(),
        "taken": reason.is_none(),
        "reason": reason,
    })
}

/// `None` if there is no state document to judge by.
fn rejection_reason(rejection: Option<Option<ArtifactRejection>>) -> Option<&'static str> {
    match rejection {
        None => Some("there is no state document"),
        Some(None) => None,
        Some(Some(ArtifactRejection::Pending)) => Some("a write intent is pending"),
        Some(Some(ArtifactRejection::OtherVersion)) => Some("the state is at another version"),
        Some(Some(ArtifactRejection::Expired)) => {
            Some("it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future")
        }
    }
}

/// The entry that the shared cache has, and its clock.
fn shared_entry(
    reply: Result<SharedReply, NoAnswer>,
    user: &UserId,
) -> Found<(SharedEntry, ServerTime)> {
    let entry = reply.map(|reply| Some((reply.entry?, reply.time)));
    found(entry, |(entry, time)| match is_readable(&entry, user) {
        true => Ok((entry, time)),
        false => Err("It is damaged or of another format, and is ignored."),
    })
}

/// The entry's stamp, and why a read that finds this state document wouldn't use it.
fn judge_entry(
    entry: &SharedEntry,
    time: ServerTime,
    state: Option<&State>,
    settings: &InspectSettings,
) -> Value {
    let SharedEntry { stamp, body } = entry;
    let rejection = |state| entry_rejection(stamp, time, state, settings.artifact_ttl);
    let is_behind = state.is_some_and(|state| stamp.version < state.version);
    let reason = match state.map(rejection) {
        Some(Some(ArtifactRejection::OtherVersion)) if is_behind => {
            Some("it is behind the state document")
        }
        rejection => rejection_reason(rejection),
    };
    let seconds_since = |then| time.since(then).map(|age| age.as_secs());
    json!({
        "version": stamp.version,
        "etag": stamp.etag.as_str(),
        "confirmedSecondsAgo": seconds_since(stamp.confirmed),
        "listedSecondsAgo": seconds_since(stamp.listed),
        "bytes": body.state.len() + body.index.len(),
        "taken": reason.is_none(),
        "reason": reason,
    })
}

fn judge_raw(raw: &SeenFiles) -> Option<Value> {
    if raw.table.is_empty() && raw.others == 0 && raw.failed.is_empty() {
        return None;
    }
    let tombstones = raw.table.iter().filter(FileView::is_tombstone);
    let settled: Vec<&str> = tombstones.map(|file| file.name).collect();
    let is_task = |file: &FileView<'_>| matches!(file.content, ContentView::Task(_));
    let unreadable = raw.table.iter().filter_map(|file| match file.content {
        ContentView::Unreadable(problem) => {
            Some(json!({"name": file.name, "code": problem.code, "line": problem.line}))
        }
        _ => None,
    });
    let failed = raw.failed.iter();
    let failed = failed.map(|(name, error)| json!({"name": name, "reason": error.to_string()}));
    Some(json!({
        "files": raw.table.len() - settled.len(),
        "tasks": raw.table.iter().filter(is_task).count(),
        "unreadable": unreadable.collect::<Vec<_>>(),
        "settled": settled,
        "others": raw.others,
        "failed": failed.collect::<Vec<_>>(),
    }))
}

fn owner(blob: Blob) -> Result<Value, String> {
    match OwnerFile::parse(&blob.bytes) {
        Ok(owner) => Ok(json!(owner.identity)),
        Err(error) => Err(format!("{error}: sign-in is refused")),
    }
}

fn spellings(others: Vec<(UserId, Option<Blob>)>) -> Option<Value> {
    let folder = |(user, file): (UserId, _)| {
        let owner = part(found(Ok::<_, StoreError>(file), owner));
        json!({"userId": user.as_str(), "owner": owner})
    };
    let folders: Vec<Value> = others.into_iter().map(folder).collect();
    (!folders.is_empty()).then(|| json!({"folders": folders}))
}

/// The files that Git lacks. With GitHub mode off, `git.json` is the only source; `None` without one.
fn unpushed(
    git: &Found<UserSyncState>,
    raw: &SeenFiles,
    removed: &RemovedFiles,
    settings: &InspectSettings,
) -> Option<Vec<String>> {
    let nothing = UserSyncState::default();
    let note = match (git, &settings.mirrored_in) {
        (Err(part), here) if here.is_none() || part["status"] == "unreadable" => return None,
        (Ok(note), here) if here.is_none() || note.place == *here => note,
        _ => &nothing,
    };
    let unpushed = unpushed_names(note, &raw.table, removed);
    Some(unpushed.iter().map(FileName::to_string).collect())
}

fn judge_git(note: &UserSyncState, settings: &InspectSettings) -> Value {
    let pulls = note.pulls.iter();
    let pulls = pulls.map(|(name, note)| (name, &note.pull.html_url));
    let last_error = note.last_error.as_ref();
    json!({
        "place": note.place,
        "current": settings.mirrored_in.is_some() && note.place == settings.mirrored_in,
        "commit": note.commit,
        "syncedAt": note.synced_at,
        "files": note.files.len(),
        "pushing": note.pushing.names().collect::<Vec<_>>(),
        "taking": note.taking.names().collect::<Vec<_>>(),
        "proposing": note.proposing.keys().collect::<Vec<_>>(),
        "pulls": pulls.collect::<Vec<_>>(),
        "lastError": last_error.map(|it| (&it.code, &it.message, it.at)),
    })
}

/// The time since which the hint is there, as it is in the blob.
fn hint(blob: &Blob) -> Value {
    let text = String::from_utf8_lossy(&blob.bytes);
    json!({"since": escaped(text.trim())})
}

/// Blobs in the user's folders that this version doesn't use.
fn leftovers(mut paths: Vec<String>, user: &UserId) -> Option<Value> {
    let known = [
        BlobKey::state(user),
        BlobKey::owner(user),
        BlobKey::git(user),
        BlobKey::calendar(user),
        BlobKey::artifact(user),
    ];
    paths.retain(|path| known.iter().all(|key| key.path() != path));
    (!paths.is_empty()).then(|| json!({"blobs": paths}))
}
