//! PURE. State commands: what an instance does to the state document, as data. A command can be applied again to
//! a newer document when a compare-and-swap is lost, and one swap carries several (src/cache/README.md, "Write").

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::state::{
    ChangeKind, Idempotent, LegacyNextId, MergedFile, PendingFile, PendingOp, State, Version,
};
use crate::store::WriteId;
use crate::task::{FileName, GitSha, TaskId, UsedIds};

/// How long a create is remembered by its `Idempotency-Key`.
const REMEMBERED: TimeDelta = TimeDelta::hours(24);

/// How many creates are remembered, so that the state blob stays small.
const MAX_REMEMBERED: usize = 5_000;

/// How many merged files are told of at once, so that the state blob stays small.
const MAX_MERGED: usize = 500;

/// How many marks may stand whose writes the store refused. Every reader tries to settle each.
const MAX_REFUSED: usize = 8;

/// One thing to do to the state.
#[derive(Debug, Clone)]
pub(super) enum Amendment {
    /// Marks a new task and gives it a number.
    Create(NewTaskMark),
    /// Marks files whose names are known.
    Mark(FilesMark),
    /// Takes a mark away whose files have been answered for.
    Finish {
        /// The mark.
        op: String,
        /// Nothing was created, so no `Idempotency-Key` stands for it.
        undone: bool,
        /// The older service's counter was written.
        legacy: Option<LegacyNextId>,
    },
    /// Takes a mark away whose files have been settled: this very mark, not a later one of that name.
    Settle {
        /// Its name.
        op: String,
        /// The mark itself.
        mark: PendingOp,
        /// Its create can't happen any more.
        undone: bool,
    },
    /// The store refused to write under a mark.
    Refuse {
        /// The mark.
        op: String,
    },
    /// Forgets creates past their time.
    ForgetOld,
    /// Gives files that something else wrote a version of their own; marks stay.
    NameFiles {
        /// Every version that may have been handed out before.
        floor: Version,
        /// One above every number in the files.
        above_all: u32,
    },
}

/// A task about to be created.
#[derive(Debug, Clone)]
pub(super) struct NewTaskMark {
    pub op: String,
    pub write_id: WriteId,
    /// The file's name after its number.
    pub slug: String,
    pub key: Option<KeyHashes>,
    /// One above every number that this instance knows of.
    pub above_all: u32,
    /// The numbers that files have, where the counter may be used up.
    pub index: Option<NumbersInUse>,
    /// A mark of the same op, under which nothing may be written any more.
    pub replaces: Option<String>,
}

/// Files about to be changed.
#[derive(Debug, Clone)]
pub(super) struct FilesMark {
    pub op: String,
    pub files: Vec<(FileName, WriteId, ChangeKind)>,
    /// Those among them that become this content, merged with what Git had, in which these fields' changes
    /// made here stand.
    pub merged: Vec<(FileName, GitSha, Vec<String>)>,
    /// A mark of the same op, under which nothing may be written any more.
    pub replaces: Option<String>,
}

/// An `Idempotency-Key` and what was sent with it, as they are stored: SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHashes {
    /// Of the key.
    pub key: String,
    /// Of the request's body.
    pub body: String,
}

/// The numbers of a user's files: of every change up to `version` but those that were pending then, and
/// maybe of later ones.
#[derive(Debug, Clone)]
pub(super) struct NumbersInUse {
    pub version: Version,
    /// The ops that were pending.
    pub pending: Vec<String>,
    pub used: Arc<UsedIds>,
}

/// What came of an amendment.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Amended {
    /// The mark is set, or the files are named, with this version.
    Marked(Version),
    /// The mark of a new task is set.
    Created(Version, FileName),
    /// The mark is gone.
    Done,
    /// Marks stand whose writes the store refused, for these files or too many of them: no other is set.
    Blocked,
    /// The key stands for an earlier create, with its mark while it isn't finished.
    Reused(Idempotent, Option<PendingOp>),
    /// The key stands for something else.
    KeyReused,
    /// The counter is used up: the numbers that files have at this version are needed.
    NeedsNumbers,
    /// No number is free.
    Exhausted,
}

/// Why a new task has no number.
enum NoNumber {
    /// Which are free can't be told from the state alone.
    Unknown,
    /// All are taken.
    None,
}

impl State {
    /// Applies one amendment as of `at`, by the storage's clock.
    pub(super) fn amend(&mut self, amendment: &Amendment, at: DateTime<Utc>) -> Amended {
        match amendment {
            Amendment::Create(mark) => self.create(mark, at),
            Amendment::Mark(mark) => self.mark(mark, at),
            Amendment::Finish { op, undone, legacy } => {
                let finished = self.pending.remove(op);
                if *undone {
                    self.forget(op);
                } else if let Some(finished) = finished {
                    self.forget_merged(&finished);
                }
                if let Some(legacy) = legacy {
                    self.legacy_next_id = Some(legacy.clone());
                }
                Amended::Done
            }
            Amendment::Settle { op, mark, undone } => {
                if self.pending.get(op).is_some_and(|it| it.is(mark)) {
                    self.pending.remove(op);
                    if *undone {
                        self.forget(op);
                    }
                }
                Amended::Done
            }
            Amendment::Refuse { op } => {
                if let Some(mark) = self.pending.get_mut(op) {
                    mark.refused = true;
                }
                Amended::Done
            }
            Amendment::ForgetOld => {
                self.forget_old(at);
                Amended::Done
            }
            Amendment::NameFiles { floor, above_all } => {
                *self = self.after_foreign_write(*floor, *above_all);
                Amended::Marked(self.version)
            }
        }
    }

    fn create(&mut self, mark: &NewTaskMark, at: DateTime<Utc>) -> Amended {
        if mark.key.is_some() {
            self.forget_old(at);
        }
        self.next_id = self.next_id.max(mark.above_all);
        let known = mark
            .key
            .as_ref()
            .and_then(|key| Some((key, self.idempotency.get(&key.key)?)));
        // This request's own record, while its mark stands. Where that has gone, another request with the key has
        // brought it to its end, even if an editor has saved over the file since.
        let is_own = |record: &Idempotent| {
            let own = Some(&record.op) == mark.replaces.as_ref();
            own && self.pending.contains_key(&record.op)
        };
        if let Some((key, record)) = known.filter(|(_, it)| !is_own(it)) {
            return if record.body == key.body {
                let pending = self.pending.get(&record.op).cloned();
                Amended::Reused(record.clone(), pending)
            } else {
                Amended::KeyReused
            };
        }
        if self.is_blocked(&[], mark.replaces.as_deref()) {
            return Amended::Blocked;
        }
        let number = match self.free_number(mark.index.as_ref()) {
            Ok(number) => number,
            Err(NoNumber::Unknown) => return Amended::NeedsNumbers,
            Err(NoNumber::None) => return Amended::Exhausted,
        };
        let name = FileName::numbered(number, &mark.slug);
        let version = self.set_mark(
            &mark.op,
            mark.replaces.as_deref(),
            vec![pending_file(&name, mark.write_id, ChangeKind::Create)],
            at,
        );
        if let Some(key) = &mark.key {
            let record = Idempotent {
                body: key.body.clone(),
                op: mark.op.clone(),
                id: u32::from(number.number()),
                file: name.to_string(),
                version,
                at,
                unknown: serde_json::Map::new(),
            };
            self.idempotency.insert(key.key.clone(), record);
            self.forget_over(MAX_REMEMBERED);
        }
        Amended::Created(version, name)
    }

    fn mark(&mut self, mark: &FilesMark, at: DateTime<Utc>) -> Amended {
        if self.is_blocked(&mark.files, mark.replaces.as_deref()) {
            return Amended::Blocked;
        }
        let files = mark
            .files
            .iter()
            .map(|(name, write_id, kind)| pending_file(name, *write_id, *kind));
        let files = files.collect();
        for (name, ..) in &mark.files {
            self.count_past(name.id());
        }
        let version = self.set_mark(&mark.op, mark.replaces.as_deref(), files, at);
        for (name, sha, fields) in &mark.merged {
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
        Amended::Marked(version)
    }

    /// Whether the store refused writes that aren't settled yet, to one of these files or to so many that it can only
    /// be a matter of all. Each further mark would stay, too, and make every read dearer.
    fn is_blocked(
        &self,
        files: &[(FileName, WriteId, ChangeKind)],
        replaces: Option<&str>,
    ) -> bool {
        let standing = self.pending.iter().filter(|(op, mark)| {
            mark.refused && replaces.is_none_or(|replaced| replaced != op.as_str())
        });
        let names = |mark: &PendingOp| {
            let mut marked = mark.files.iter();
            marked.any(|it| files.iter().any(|(name, ..)| name.as_str() == it.name))
        };
        let mut count = 0;
        for (_, mark) in standing {
            count += 1;
            if count >= MAX_REFUSED || names(mark) {
                return true;
            }
        }
        false
    }

    fn set_mark(
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
        let mark = PendingOp {
            version: self.version,
            at,
            files,
            refused: false,
            unknown: serde_json::Map::new(),
        };
        self.pending.insert(op.to_owned(), mark);
        self.version
    }

    /// The counter's number while it has one; past 9999 the lowest that neither a file nor a mark has,
    /// which an index can tell as long as everything that may not be in it is still marked.
    fn free_number(&mut self, index: Option<&NumbersInUse>) -> Result<TaskId, NoNumber> {
        let counter = u16::try_from(self.next_id).ok().and_then(TaskId::new);
        if let Some(number) = counter {
            self.count_past(number);
            return Ok(number);
        }
        let index = index
            .filter(|index| self.covers(index))
            .ok_or(NoNumber::Unknown)?;
        let marked: Vec<TaskId> = self
            .pending
            .values()
            .flat_map(|op| &op.files)
            .filter_map(|file| file.name.parse::<FileName>().ok())
            .map(|name| name.id())
            .collect();
        index.used.lowest_free(&marked).ok_or(NoNumber::None)
    }

    /// Whether every change that may not be in the index is a mark that still stands.
    fn covers(&self, index: &NumbersInUse) -> bool {
        let since = self
            .pending
            .values()
            .filter(|op| op.version > index.version);
        index.version <= self.version
            && since.count() as u64 == self.version.0 - index.version.0
            && index.pending.iter().all(|op| self.pending.contains_key(op))
    }

    fn count_past(&mut self, number: TaskId) {
        self.next_id = self.next_id.max(u32::from(number.number()) + 1);
    }

    /// What was merged before has been changed since.
    fn forget_merged(&mut self, op: &PendingOp) {
        for file in &op.files {
            let before = |it: &MergedFile| it.version < op.version;
            if self.merged.get(&file.name).is_some_and(before) {
                self.merged.remove(&file.name);
            }
        }
    }

    fn forget(&mut self, op: &str) {
        self.idempotency.retain(|_, record| record.op != op);
    }

    /// How many creates are past their time.
    pub(super) fn old_records(&self, at: DateTime<Utc>) -> usize {
        let records = self.idempotency.values();
        records.filter(|it| is_old(it, &self.pending, at)).count()
    }

    /// Records past their time go.
    fn forget_old(&mut self, at: DateTime<Utc>) {
        let pending = &self.pending;
        self.idempotency.retain(|_, it| !is_old(it, pending, at));
    }

    /// Of more than `most` records the oldest go, but never one that is pending.
    fn forget_over(&mut self, most: usize) {
        let over = self.idempotency.len().saturating_sub(most);
        if over == 0 {
            return;
        }
        let finished = self
            .idempotency
            .iter()
            .filter(|(_, it)| !self.pending.contains_key(&it.op));
        let mut oldest: Vec<_> = finished
            .map(|(key, it)| (it.at, it.version, key.clone()))
            .collect();
        oldest.sort();
        for (.., key) in oldest.into_iter().take(over) {
            self.idempotency.remove(&key);
        }
    }
}

/// Past its time; never one that is pending.
fn is_old(record: &Idempotent, pending: &BTreeMap<String, PendingOp>, at: DateTime<Utc>) -> bool {
    at - record.at >= REMEMBERED && !pending.contains_key(&record.op)
}

fn pending_file(name: &FileName, write_id: WriteId, kind: ChangeKind) -> PendingFile {
    PendingFile {
        name: name.to_string(),
        write_id: write_id.to_string(),
        kind,
        unknown: serde_json::Map::new(),
    }
}
