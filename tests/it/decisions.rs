//! The decisions of the protocol, which are pure functions: a table of the cases of each, and what always holds. Tables
//! are text, so that a row can be read as a sentence.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use codex_miroir::store::{Blob, ETag, Put, PutIf, WriteId, WriteIds};
use codex_miroir::task::{FileName, FileRecord, Parsed, TOMBSTONE_FILE, TaskTable};
use codex_miroir::user_state::{
    ChangeKind, LegacyNextId, PendingFile, PendingOp, State, StoredState, TOMBSTONE_WRITE_ID,
    UnknownMembers, Version,
};
use proptest::prelude::*;

use crate::support::scene::MONDAY;

mod cache;
mod store;
mod user_state;
mod write;

/// The rows of a table with `N` columns between bars.
fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let rows = table.lines().filter(|row| !row.trim().is_empty());
    rows.map(|row| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        columns.try_into().unwrap_or_else(|_| panic!("{row}"))
    })
}

fn monday() -> DateTime<Utc> {
    MONDAY.parse().unwrap()
}

fn name(number: u16) -> FileName {
    format!("{number:04}-x.md").parse().unwrap()
}

/// A document at this version with intents of these versions, and 3 as the next number.
fn state(version: u64, intents: &[u64]) -> State {
    let intents = intents.iter().map(|version| {
        let intent = PendingOp {
            version: Version(*version),
            at: monday(),
            files: vec![],
            denied: false,
            unknown: UnknownMembers::new(),
        };
        (version.to_string(), intent)
    });
    State {
        version: Version(version),
        pending: intents.collect(),
        ..State::new(Version(0), 3)
    }
}

/// One that this version of the service may not write.
fn newer_state() -> State {
    let mut newer = state(7, &[]);
    newer.format.major += 1;
    newer
}

/// The older service's counter.
fn older_counter(number: u32) -> LegacyNextId {
    LegacyNextId {
        number,
        etag: ETag::new("1"),
        unknown: UnknownMembers::new(),
    }
}

/// `7` is a document at version 7, `7+6` one with an intent of version 6.
fn state_of(word: &str) -> State {
    let mut numbers = word.split('+').map(|it| it.parse().unwrap());
    let version = numbers.next().unwrap();
    state(version, &numbers.collect::<Vec<_>>())
}

fn stored(state: State) -> Arc<StoredState> {
    let newer = if state.is_read_only() { "newer " } else { "" };
    let etag = format!("{newer}{}+{}", state.version, state.pending.len());
    let etag = ETag::new(&etag);
    Arc::new(StoredState { state, etag })
}

/// `a1` is the file `a` with the ETag 1, `a-` a tombstone.
fn record(word: &str) -> FileRecord {
    let content = match &word[1..] {
        "-" => Parsed::Tombstone,
        _ => Parsed::NotATask,
    };
    FileRecord {
        name: name(u16::from(word.as_bytes()[0] - b'a')).to_string(),
        etag: word[1..].to_owned(),
        sha: None,
        content,
    }
}

fn table(words: &str) -> TaskTable {
    TaskTable::new(words.split_whitespace().map(record).collect())
}

/// One file in a store, which has a new ETag after each PUT.
#[derive(Default)]
struct OneFile {
    blob: Option<Blob>,
    puts: u64,
}

/// A conditional write that may arrive at any time, also more than once.
struct LateWrite {
    kind: ChangeKind,
    condition: PutIf,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Event {
    WriteArrives,
    EditorSaves,
    ServiceWrites,
    Deleted,
}

/// Beginnings of a write, each with what it found.
const BEGINNINGS: [&str; 5] = [
    "create where nothing is",
    "create over a tombstone",
    "create where a file is",
    "update",
    "delete",
];

const LATE: WriteId = WriteId(7);

impl OneFile {
    fn begin(what: &str) -> (Self, LateWrite) {
        let mut file = Self::default();
        let kind = match what.split(' ').next() {
            Some("create") => ChangeKind::Create,
            Some("update") => ChangeKind::Update,
            _ => ChangeKind::Delete,
        };
        match what {
            "create where nothing is" => {}
            "create over a tombstone" => file.store(TOMBSTONE_FILE, Some(TOMBSTONE_WRITE_ID)),
            _ => file.store("text", Some(WriteId(99))),
        }
        let condition = match (&file.blob, what) {
            (None, _) | (_, "create where a file is") => PutIf::Absent,
            (Some(blob), _) => PutIf::Same(blob.etag.clone()),
        };
        (file, LateWrite { kind, condition })
    }

    fn store(&mut self, text: &'static str, id: Option<WriteId>) {
        let before = self.blob.take().map(|it| it.writes).unwrap_or_default();
        let writes = id.map_or_else(WriteIds::default, |id| before.with_newest(id));
        let bytes = text.into();
        self.replace(Put { bytes, writes });
    }

    fn replace(&mut self, put: Put) {
        self.puts += 1;
        self.blob = Some(Blob {
            bytes: put.bytes,
            etag: ETag::new(&self.puts.to_string()),
            writes: put.writes,
        });
    }

    fn meets(&self, condition: &PutIf) -> bool {
        let etag = self.blob.as_ref().map(|blob| &blob.etag);
        match condition {
            PutIf::Any => true,
            PutIf::Absent => etag.is_none(),
            PutIf::Same(wanted) => etag == Some(wanted),
        }
    }

    fn put(&mut self, put: Put, condition: &PutIf) -> bool {
        let holds = self.meets(condition);
        if holds {
            self.replace(put);
        }
        holds
    }

    fn has_late(&self) -> bool {
        let blob = self.blob.as_ref();
        blob.is_some_and(|blob| blob.writes.contains(LATE))
    }

    fn happen(&mut self, event: Event, write: &LateWrite) {
        match event {
            Event::WriteArrives => drop(write.arrive(self)),
            Event::EditorSaves => self.store("from an editor", None),
            Event::ServiceWrites => {
                self.store("from another write", Some(WriteId(100 + self.puts)))
            }
            Event::Deleted => self.blob = None,
        }
    }
}

impl LateWrite {
    /// Whether it lands.
    fn arrive(&self, file: &mut OneFile) -> bool {
        let lands = file.meets(&self.condition);
        match (lands, self.kind) {
            (true, ChangeKind::Delete) => file.blob = None,
            (true, _) => file.store("late", Some(LATE)),
            (false, _) => {}
        }
        lands
    }

    fn intent(&self) -> PendingFile {
        PendingFile {
            name: name(0).to_string(),
            write_id: LATE.to_string(),
            kind: self.kind,
            unknown: UnknownMembers::new(),
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop::sample::select(vec![
        Event::WriteArrives,
        Event::EditorSaves,
        Event::ServiceWrites,
        Event::Deleted,
    ])
}
