//! PURE. State commands: what an instance does to the state document, as data. A command can be applied again to
//! a newer document when a compare-and-swap is lost, and one swap carries several (src/user_state/README.md, "Group
//! commit").

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::document::{
    ChangeKind, IdempotencyRecord, LegacyNextId, MergedFile, PendingFile, PendingOp, RemovedFile,
    State, Version,
};
use crate::store::WriteId;
use crate::task::{FileName, GitSha, TaskId, UsedIds};

/// How long the record of an `Idempotency-Key` is kept after its create.
const IDEMPOTENCY_TTL: TimeDelta = TimeDelta::hours(24);

/// At most this many idempotency records, so that the state document stays small.
const MAX_IDEMPOTENCY_RECORDS: usize = 5_000;

/// At most this many entries in [`State::merged`], so that the state document stays small.
const MAX_MERGED: usize = 500;

/// From this many intents with [`PendingOp::denied`] set no further one is recorded: once overdue, every read tries to
/// recover each of them.
const MAX_DENIED_INTENTS: usize = 8;

/// A change of the state document. The result depends only on the document, the command and the time.
#[derive(Debug, Clone)]
pub enum StateCommand {
    /// Assigns a task number and records the intent to create its file.
    Create(CreateIntent),
    /// Records the intent to write files whose names are known.
    RecordIntent(FilesIntent),
    /// Removes an intent after its operation was acknowledged or given up.
    RemoveIntent {
        /// The operation's id.
        op: String,
        /// Nothing was written: the operation's idempotency record and entries in [`State::removed`] go, too.
        no_effect: bool,
        /// `nextId.txt` as just written, if it was.
        legacy: Option<LegacyNextId>,
    },
    /// Removes an intent whose files were all resolved by recovery.
    RemoveRecovered {
        /// The operation's id.
        op: String,
        /// The intent that was recovered; a later one under the same id stays.
        intent: PendingOp,
        /// Its create or removal didn't happen and can't any more: the idempotency record or the entry in
        /// [`State::removed`] goes, too.
        no_effect: bool,
    },
    /// Sets [`PendingOp::denied`]: the store denied the write under this intent.
    SetDenied {
        /// The operation's id.
        op: String,
    },
    /// Removes expired idempotency records.
    ExpireRecords,
    /// Forgets files that were removed by an operation of this version, unless they are about to be removed again.
    ForgetRemovals(Vec<(FileName, Version)>),
    /// Raises the version for files that were written by another program; intents stay.
    VersionForeignFiles {
        /// Highest version that may have been handed out before.
        floor: Version,
        /// Lowest number above those of all files.
        min_next_id: u32,
    },
}

/// Input of [`StateCommand::Create`].
#[derive(Debug, Clone)]
pub struct CreateIntent {
    /// Operation id.
    pub op: String,
    /// Write id of the file's PUT.
    pub write_id: WriteId,
    /// File name without the number.
    pub slug: String,
    /// The request's idempotency key, if it has one.
    pub key: Option<KeyHashes>,
    /// Lowest number above those of all files that this instance knows.
    pub min_next_id: u32,
    /// Needed only once the counter is used up.
    pub index: Option<NumbersInUse>,
    /// Operation id of the intent of the previous attempt, which is removed in the same swap.
    pub replaces: Option<String>,
}

/// Input of [`StateCommand::RecordIntent`].
#[derive(Debug, Clone)]
pub struct FilesIntent {
    /// Operation id.
    pub op: String,
    /// File names, the write ids of their PUTs, and the kinds of change.
    pub files: Vec<(FileName, WriteId, ChangeKind)>,
    /// Results of Git merges among them: name, content hash, and the fields in which the service's value won.
    pub merged: Vec<(FileName, GitSha, Vec<String>)>,
    /// Removals among them that are recorded in [`State::removed`]: name, and the hash of the removed content, if known.
    pub removed: Vec<(FileName, Option<GitSha>)>,
    /// Operation id of the intent of the previous attempt, which is removed in the same swap.
    pub replaces: Option<String>,
}

/// An `Idempotency-Key` and its request's body, hashed as they are stored (SHA-256 in hex).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHashes {
    /// Of the key.
    pub key: String,
    /// Of the request's body.
    pub body: String,
}

/// Task numbers in use, complete up to `version` except for the operations in `pending`. Numbers of later changes may
/// be among them.
#[derive(Debug, Clone)]
pub struct NumbersInUse {
    /// Every change up to this version is counted.
    pub version: Version,
    /// Ids of the operations that were pending.
    pub pending: Vec<String>,
    /// The numbers.
    pub used: Arc<UsedIds>,
}

/// Result of applying a [`StateCommand`].
#[derive(Debug, Clone, PartialEq)]
pub enum CommandResult {
    /// The intent was recorded, or foreign files were given a version: this one.
    Recorded(Version),
    /// The intent of a create was recorded, for this new file.
    CreatedTask(Version, FileName),
    /// Applied; the command has no further result.
    Done,
    /// No intent was recorded: intents of denied writes are left, on these files or too many on the user.
    Blocked,
    /// An earlier create has the same key and body; with its intent while that is pending.
    Duplicate(IdempotencyRecord, Option<PendingOp>),
    /// An earlier create has the same key and another body.
    KeyReused,
    /// The counter is used up, and [`CreateIntent::index`] is missing or not complete for this version.
    NeedsNumbers,
    /// No task number is free.
    Exhausted,
}

impl State {
    /// Applies `command` at the storage time `at`.
    pub fn apply(&mut self, command: &StateCommand, at: DateTime<Utc>) -> CommandResult {
        match command {
            StateCommand::Create(intent) => return self.create(intent, at),
            StateCommand::RecordIntent(intent) => return self.record_files(intent, at),
            StateCommand::RemoveIntent {
                op,
                no_effect,
                legacy,
            } => {
                let finished = self.pending.remove(op);
                match (finished, no_effect) {
                    (Some(finished), true) => self.undo_removals_of(&finished),
                    (Some(finished), false) => self.remove_merged_before(&finished),
                    (None, _) => {}
                }
                if *no_effect {
                    self.remove_record_of(op);
                }
                if let Some(legacy) = legacy {
                    self.legacy_next_id = Some(legacy.clone());
                }
            }
            StateCommand::RemoveRecovered {
                op,
                intent,
                no_effect,
            } => {
                if self.pending.get(op).is_some_and(|it| it.is_same(intent)) {
                    self.pending.remove(op);
                    if *no_effect {
                        self.undo_removals_of(intent);
                        self.remove_record_of(op);
                    }
                }
            }
            StateCommand::SetDenied { op } => {
                if let Some(intent) = self.pending.get_mut(op) {
                    intent.denied = true;
                }
            }
            StateCommand::ExpireRecords => self.expire_records(at),
            StateCommand::ForgetRemovals(removals) => self.forget_removals(removals),
            StateCommand::VersionForeignFiles { floor, min_next_id } => {
                *self = self.after_foreign_write(*floor, *min_next_id);
                return CommandResult::Recorded(self.version);
            }
        }
        CommandResult::Done
    }

    fn create(&mut self, intent: &CreateIntent, at: DateTime<Utc>) -> CommandResult {
        if intent.key.is_some() {
            self.expire_records(at);
        }
        self.next_id = self.next_id.max(intent.min_next_id);
        let key = intent.key.as_ref();
        let known = key.and_then(|key| Some((key, self.idempotency.get(&key.key)?)));
        // The record of this request's previous attempt, if its intent is still pending. If the intent is gone,
        // another request with the key has completed the create, even if an editor has saved over the file since.
        let is_own = |record: &IdempotencyRecord| {
            let own = Some(&record.op) == intent.replaces.as_ref();
            own && self.pending.contains_key(&record.op)
        };
        if let Some((key, record)) = known.filter(|(_, it)| !is_own(it)) {
            return if record.body == key.body {
                let pending = self.pending.get(&record.op).cloned();
                CommandResult::Duplicate(record.clone(), pending)
            } else {
                CommandResult::KeyReused
            };
        }
        if self.is_blocked(&[], intent.replaces.as_deref()) {
            return CommandResult::Blocked;
        }
        let Some(number) = self.free_number(intent.index.as_ref()) else {
            return CommandResult::NeedsNumbers;
        };
        let Some(number) = number else {
            return CommandResult::Exhausted;
        };
        let name = FileName::numbered(number, &intent.slug);
        let version = self.insert_intent(
            &intent.op,
            intent.replaces.as_deref(),
            vec![pending_file(&name, intent.write_id, ChangeKind::Create)],
            at,
        );
        if let Some(key) = &intent.key {
            let record = IdempotencyRecord {
                body: key.body.clone(),
                op: intent.op.clone(),
                id: u32::from(number.number()),
                file: name.to_string(),
                version,
                at,
                unknown: serde_json::Map::new(),
            };
            self.idempotency.insert(key.key.clone(), record);
            self.trim_records(MAX_IDEMPOTENCY_RECORDS);
        }
        CommandResult::CreatedTask(version, name)
    }

    fn record_files(&mut self, intent: &FilesIntent, at: DateTime<Utc>) -> CommandResult {
        if self.is_blocked(&intent.files, intent.replaces.as_deref()) {
            return CommandResult::Blocked;
        }
        let mut files = Vec::with_capacity(intent.files.len());
        for (name, write_id, kind) in &intent.files {
            self.reserve_number(name.id());
            files.push(pending_file(name, *write_id, *kind));
        }
        let replaces = intent.replaces.as_deref();
        let replaced = replaces.and_then(|op| self.pending.get(op));
        let replaced = replaced.map(|it| it.version);
        let version = self.insert_intent(&intent.op, replaces, files, at);
        for (name, sha, fields) in &intent.merged {
            let merged = MergedFile {
                sha: *sha,
                fields: fields.clone(),
                version,
                unknown: serde_json::Map::new(),
            };
            self.merged.insert(name.to_string(), merged);
            if self.merged.len() > MAX_MERGED {
                self.merged.pop_first();
            }
        }
        for (name, sha) in &intent.removed {
            let before = self.removed.get(name.as_str());
            let removed = RemovedFile {
                version,
                at,
                sha: *sha,
                repeated: before.is_some_and(|it| it.repeated || Some(it.version) != replaced),
                unknown: serde_json::Map::new(),
            };
            self.removed.insert(name.to_string(), removed);
        }
        CommandResult::Recorded(version)
    }

    /// Whether intents of denied writes are left on one of these files, or so many that the store must be denying
    /// every write. Each further intent would be left as well and make every read dearer.
    fn is_blocked(
        &self,
        files: &[(FileName, WriteId, ChangeKind)],
        replaces: Option<&str>,
    ) -> bool {
        let denied = self.pending.iter();
        let denied = denied.filter(|(op, it)| it.denied && replaces != Some(op.as_str()));
        let denied: Vec<&PendingOp> = denied.map(|(_, intent)| intent).collect();
        let names = |intent: &&PendingOp| {
            let mut pending = intent.files.iter();
            pending.any(|it| files.iter().any(|(name, ..)| name.as_str() == it.name))
        };
        denied.len() >= MAX_DENIED_INTENTS || denied.iter().any(names)
    }

    fn insert_intent(
        &mut self,
        op: &str,
        replaces: Option<&str>,
        files: Vec<PendingFile>,
        at: DateTime<Utc>,
    ) -> Version {
        if let Some(old) = replaces {
            self.pending.remove(old);
        }
        self.version = self.version.next();
        let intent = PendingOp {
            version: self.version,
            at,
            files,
            denied: false,
            unknown: serde_json::Map::new(),
        };
        self.pending.insert(op.to_owned(), intent);
        self.version
    }

    /// The counter's next number. Past 9999 the lowest number that neither a file nor an intent has, which needs an
    /// index that lacks only changes that are still pending: `None` without one, `Some(None)` if no number is free.
    fn free_number(&mut self, index: Option<&NumbersInUse>) -> Option<Option<TaskId>> {
        let counter = u16::try_from(self.next_id).ok().and_then(TaskId::new);
        if let Some(number) = counter {
            self.reserve_number(number);
            return Some(Some(number));
        }
        let index = index.filter(|index| self.covers(index))?;
        let files = self.pending.values().flat_map(|op| &op.files);
        let names = files.filter_map(|file| file.name.parse::<FileName>().ok());
        let pending: Vec<TaskId> = names.map(|name| name.id()).collect();
        Some(index.used.lowest_free(&pending))
    }

    /// Whether every change that the index may lack is still pending.
    fn covers(&self, index: &NumbersInUse) -> bool {
        let pending = self.pending.values();
        let since = pending.filter(|op| op.version > index.version);
        index.version <= self.version
            && since.count() as u64 == self.version.0 - index.version.0
            && index.pending.iter().all(|op| self.pending.contains_key(op))
    }

    fn reserve_number(&mut self, number: TaskId) {
        self.next_id = self.next_id.max(u32::from(number.number()) + 1);
    }

    /// Removes the merge notes of files that this later operation has changed.
    fn remove_merged_before(&mut self, op: &PendingOp) {
        for file in &op.files {
            let before = |it: &MergedFile| it.version < op.version;
            if self.merged.get(&file.name).is_some_and(before) {
                self.merged.remove(&file.name);
            }
        }
    }

    fn forget_removals(&mut self, removals: &[(FileName, Version)]) {
        for (name, version) in removals {
            let key = name.as_str();
            let mut pending = self.pending.values().flat_map(|op| &op.files);
            let goes_on = pending.any(|it| it.name == key && it.kind == ChangeKind::Delete);
            let is_same = |it: &RemovedFile| it.version == *version;
            if !goes_on && self.removed.get(key).is_some_and(is_same) {
                self.removed.remove(key);
            }
        }
    }

    /// Forgets the removals of this operation, which it hasn't made.
    fn undo_removals_of(&mut self, op: &PendingOp) {
        for file in &op.files {
            let is_own = |it: &RemovedFile| it.version == op.version && !it.repeated;
            if self.removed.get(&file.name).is_some_and(is_own) {
                self.removed.remove(&file.name);
            }
        }
    }

    fn remove_record_of(&mut self, op: &str) {
        self.idempotency.retain(|_, record| record.op != op);
    }

    /// Number of idempotency records that have expired at the storage time `at`.
    pub fn count_expired(&self, at: DateTime<Utc>) -> usize {
        let expired = |it: &&IdempotencyRecord| is_expired(it, &self.pending, at);
        self.idempotency.values().filter(expired).count()
    }

    fn expire_records(&mut self, at: DateTime<Utc>) {
        let pending = &self.pending;
        self.idempotency
            .retain(|_, it| !is_expired(it, pending, at));
    }

    /// Removes the oldest records above `most`, but none whose operation is pending.
    fn trim_records(&mut self, most: usize) {
        let over = self.idempotency.len().saturating_sub(most);
        if over == 0 {
            return;
        }
        let records = self.idempotency.iter();
        let finished = records.filter(|(_, it)| !self.pending.contains_key(&it.op));
        let mut oldest: Vec<_> = finished
            .map(|(key, it)| (it.at, it.version, key.clone()))
            .collect();
        oldest.sort();
        for (.., key) in oldest.into_iter().take(over) {
            self.idempotency.remove(&key);
        }
    }
}

/// A record doesn't expire while its operation is pending.
fn is_expired(
    record: &IdempotencyRecord,
    pending: &BTreeMap<String, PendingOp>,
    at: DateTime<Utc>,
) -> bool {
    at - record.at >= IDEMPOTENCY_TTL && !pending.contains_key(&record.op)
}

fn pending_file(name: &FileName, write_id: WriteId, kind: ChangeKind) -> PendingFile {
    PendingFile {
        name: name.to_string(),
        write_id: write_id.to_string(),
        kind,
        unknown: serde_json::Map::new(),
    }
}
