//! PURE. Evaluates the collected blobs as a read would.

use chrono::{DateTime, Utc};

use super::InspectSettings;
use super::differences::differences;
use super::report::{
    ArtifactSection, CaseVariant, FailedRead, GitSection, Hint, InspectReport, Leftovers,
    PendingIntent, PendingIntentFile, RawSection, Section, StateSection, UnreadableTask,
};
use super::seen::{InspectedUser, RawFiles, ReadResult};
use crate::admin::words::Escaped;
use crate::codex::{
    Artifact, ArtifactRejection, ChangeKind, PendingFile, PendingOp, State, SyncStateSummary,
};
use crate::owners::{AccountIdentity, OwnerFile};
use crate::store::{Blob, BlobKey, Prefix, StoreError};
use crate::task::{ContentView, FileName, FileView, TaskTable};
use crate::user::UserId;

impl InspectReport {
    /// The report on the collected blobs.
    pub(super) fn of(inspected: &InspectedUser, settings: &InspectSettings) -> Self {
        let (state, pending) = state(inspected, settings);
        let artifact = blob_status(&inspected.artifact, |blob| {
            Artifact::parse(&blob.bytes, &inspected.user)
        });
        let git = git_note(&inspected.git);
        let raw = inspected.raw.as_ref();
        Self {
            user_id: inspected.user.to_string(),
            asked_at: inspected.date,
            moved_meanwhile: inspected.state_changed,
            pending,
            differences: match (&artifact, raw) {
                (BlobStatus::Valid(artifact), Ok(raw)) => Some(differences(&artifact.table, raw)),
                _ => None,
            },
            artifact: artifact_section(artifact, &state, inspected.date, settings),
            state: state.into_section(bad_state(&inspected.state), |state| {
                StateSection::of(&state)
            }),
            raw: raw.map_or_else(Section::unreadable, |raw| {
                present_if_any(RawSection::of(raw))
            }),
            owner: found_owner(&inspected.owner),
            spellings: spellings(&inspected.spellings),
            unpushed: raw.ok().and_then(|raw| unpushed(&git, raw, settings)),
            git: git.into_section(bad_git(&inspected.git), |note| {
                GitSection::of(note, settings)
            }),
            queue: blob_status(&inspected.hint, |blob| Some(Hint::of(blob)))
                .into_section("", |hint| hint),
            leftovers: leftovers(inspected),
        }
    }
}

/// A blob's state after reading and parsing.
enum BlobStatus<T> {
    Absent,
    Unreadable(StoreError),
    Damaged,
    Valid(T),
}

impl<T> BlobStatus<T> {
    fn into_section<P>(self, bad: &str, good: impl FnOnce(T) -> P) -> Section<P> {
        match self {
            Self::Absent => Section::Absent,
            Self::Unreadable(error) => Section::unreadable(&error),
            Self::Damaged => Section::damaged(bad),
            Self::Valid(it) => Section::Present(good(it)),
        }
    }
}

fn blob_status<T>(
    found: &ReadResult<Option<Blob>>,
    parse: impl FnOnce(&Blob) -> Option<T>,
) -> BlobStatus<T> {
    match found {
        Err(error) => BlobStatus::Unreadable(error.clone()),
        Ok(None) => BlobStatus::Absent,
        Ok(Some(blob)) => parse(blob).map_or(BlobStatus::Damaged, BlobStatus::Valid),
    }
}

/// A newer major format, which this version can't read at all.
const NEWER: &str = "A newer version of the service wrote it; this one answers with newer_format.";

fn bad_state(found: &ReadResult<Option<Blob>>) -> &'static str {
    match found {
        Ok(Some(blob)) if State::parse(&blob.bytes).is_err() => NEWER,
        _ => "It is no state document: the next read recreates it.",
    }
}

fn bad_git(found: &ReadResult<Option<Blob>>) -> &'static str {
    match found {
        Ok(Some(blob)) if SyncStateSummary::parse(&blob.bytes).is_err() => NEWER,
        _ => "It is ignored: the sync state counts as empty.",
    }
}

fn state(
    inspected: &InspectedUser,
    settings: &InspectSettings,
) -> (BlobStatus<State>, Vec<PendingIntent>) {
    let state = blob_status(&inspected.state, |blob| {
        State::parse(&blob.bytes).ok().flatten()
    });
    let intents = match (&state, inspected.date) {
        (BlobStatus::Valid(state), Some(date)) => {
            let raw = inspected.raw.as_ref().ok();
            let pending = state.pending.iter();
            let mut intents: Vec<PendingIntent> = pending
                .map(|(op, intent)| PendingIntent::of(op, intent, date, raw, settings))
                .collect();
            intents.sort_by_key(|intent| intent.version);
            intents
        }
        _ => vec![],
    };
    (state, intents)
}

impl StateSection {
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

impl PendingIntent {
    fn of(
        op: &str,
        intent: &PendingOp,
        date: DateTime<Utc>,
        raw: Option<&RawFiles>,
        settings: &InspectSettings,
    ) -> Self {
        let files = intent.files.iter().map(|file| PendingIntentFile {
            name: file.name.clone(),
            kind: file.kind,
            landed: raw.and_then(|raw| landed(file, raw)),
        });
        Self {
            op: op.to_owned(),
            version: intent.version,
            at: intent.at,
            age_seconds: (date - intent.at).num_seconds().max(0),
            overdue: intent.is_overdue(date, settings.pending_expiry),
            files: files.collect(),
        }
    }
}

/// Whether an op's change is in the file; `None` if the file can't be read.
fn landed(file: &PendingFile, raw: &RawFiles) -> Option<bool> {
    let unknown = raw.failed.iter().any(|(name, _)| *name == file.name);
    let there = raw.table.find(&file.name);
    match (file.kind, there) {
        _ if unknown => None,
        (ChangeKind::Delete, there) => Some(there.is_none()),
        (_, None) => Some(false),
        (_, Some(there)) if there.sha.is_none() => None,
        (_, Some(_)) => raw
            .writes
            .get(&file.name)
            .map(|writes| file.has_landed_in(writes)),
    }
}

fn artifact_section(
    artifact: BlobStatus<Artifact>,
    state: &BlobStatus<State>,
    date: Option<DateTime<Utc>>,
    settings: &InspectSettings,
) -> Section<ArtifactSection> {
    artifact.into_section(
        "It is of another format, such as the older service's, and is ignored.",
        |artifact| {
            let reason = match (state, date) {
                (BlobStatus::Valid(state), Some(date)) => artifact
                    .rejection(state, date, settings.artifact_ttl)
                    .map(rejection_reason),
                _ => Some("there is no state document"),
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
        },
    )
}

fn rejection_reason(reason: ArtifactRejection) -> &'static str {
    match reason {
        ArtifactRejection::Pending => "a write intent is pending",
        ArtifactRejection::OtherVersion => "the state is at another version",
        ArtifactRejection::Expired => "it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future",
    }
}

fn present_if_any(raw: RawSection) -> Section<RawSection> {
    match raw.files + raw.others + raw.settled.len() + raw.failed.len() {
        0 => Section::Absent,
        _ => Section::Present(raw),
    }
}

impl RawSection {
    fn of(raw: &RawFiles) -> Self {
        let table: &TaskTable = &raw.table;
        let tombstones = table.iter().filter(FileView::is_tombstone);
        let tombstones: Vec<String> = tombstones.map(|file| file.name.to_owned()).collect();
        let is_task = |content| matches!(content, ContentView::Task(_));
        let unreadable = table.iter().filter_map(|file| match file.content {
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
        Self {
            files: table.len() - tombstones.len(),
            tasks: table.iter().filter(|file| is_task(file.content)).count(),
            unreadable: unreadable.collect(),
            settled: tombstones,
            others: raw.others,
            failed: failed.collect(),
        }
    }
}

fn found_owner(found: &ReadResult<Option<Blob>>) -> Section<AccountIdentity> {
    match found {
        Err(error) => Section::unreadable(error),
        Ok(found) => owner(found.as_ref()),
    }
}

fn spellings(found: &ReadResult<Vec<(UserId, Option<Blob>)>>) -> Section<Vec<CaseVariant>> {
    let found = match found {
        Err(error) => return Section::unreadable(error),
        Ok(found) if found.is_empty() => return Section::Absent,
        Ok(found) => found.iter(),
    };
    let found = found.map(|(user, file)| CaseVariant {
        user_id: user.to_string(),
        owner: owner(file.as_ref()),
    });
    Section::Present(found.collect())
}

fn owner(file: Option<&Blob>) -> Section<AccountIdentity> {
    match file {
        None => Section::Absent,
        Some(blob) => match OwnerFile::parse(&blob.bytes) {
            Ok(owner) => Section::Present(owner.identity),
            Err(error) => Section::damaged(&format!("{error}: sign-in is refused")),
        },
    }
}

fn git_note(found: &ReadResult<Option<Blob>>) -> BlobStatus<SyncStateSummary> {
    blob_status(found, |blob| {
        SyncStateSummary::parse(&blob.bytes).ok().flatten()
    })
}

/// The files that Git lacks. With GitHub mode off, `git.json` is the only source; `None` without one.
fn unpushed(
    git: &BlobStatus<SyncStateSummary>,
    raw: &RawFiles,
    settings: &InspectSettings,
) -> Option<Vec<String>> {
    let nothing = SyncStateSummary::empty();
    let note = match (git, &settings.mirrored_in) {
        (BlobStatus::Valid(note), mirrored) if is_current(note, mirrored.as_deref()) => note,
        (BlobStatus::Unreadable(_), _) | (_, None) => return None,
        _ => &nothing,
    };
    let unpushed = note.unpushed(&raw.table);
    Some(unpushed.iter().map(FileName::to_string).collect())
}

fn is_current(note: &SyncStateSummary, mirrored_in: Option<&str>) -> bool {
    mirrored_in.is_none_or(|place| note.place.as_deref() == Some(place))
}

impl GitSection {
    fn of(note: SyncStateSummary, settings: &InspectSettings) -> Self {
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
        let since = Escaped(text.trim()).to_string();
        Self { since }
    }
}

fn leftovers(inspected: &InspectedUser) -> Section<Leftovers> {
    let (of_state, of_artifacts) = match &inspected.blob_names {
        Ok(names) => names,
        Err(error) => return Section::unreadable(error),
    };
    let user = &inspected.user;
    let known = [
        BlobKey::state(user),
        BlobKey::owner(user),
        BlobKey::git(user),
        BlobKey::artifact(user),
    ];
    let below = |prefix: Prefix, names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("{prefix}{name}")).collect()
    };
    let paths = below(Prefix::state(user), of_state).into_iter();
    let cached = below(Prefix::artifacts(user), of_artifacts);
    let unknown = |path: &String| !known.iter().any(|key| key.path() == path);
    let blobs: Vec<String> = paths.chain(cached).filter(unknown).collect();
    match blobs.is_empty() {
        true => Section::Absent,
        false => Section::Present(Leftovers { blobs }),
    }
}
