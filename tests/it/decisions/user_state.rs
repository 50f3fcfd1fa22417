//! What a command makes of the state document, what a swap does next, what recovery does about a file.
//!
//! Not repeated here: a document of a newer format (`blobs`), 5,000 records and expiry over HTTP (`writes`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use codex_miroir::store::{ETag, ListedBlob, PutIf, WriteId};
use codex_miroir::task::{FileRecord, TOMBSTONE_FILE, TaskTable, UsedIds, git_sha};
use codex_miroir::user_state::{
    ChangeKind, CommandResult, CreateIntent, FileResolution, FilesIntent, IdempotencyRecord,
    KeyHashes, NumbersInUse, ObservedFile, PendingFile, ResolutionStep, State, StateCommand,
    SwapStep, TOMBSTONE_WRITE_ID, UnknownMembers, Version, decide_resolution, decide_swap,
    has_landed, may_be_old_tombstone, names_to_keep,
};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::{
    BEGINNINGS, Event, OneFile, event, monday, name, newer_state, older_counter, record, rows,
    state, stored,
};
use crate::support::cases;

/// A command in words, on this document: `create a key k body x above 40 for b`, `write a 5,6 merged`, `remove a 5 mirrored`, `done a`,
/// `undo a`, `recover a`, `recover-undone a`, `refuse a`, `expire`, `forget 5 at 8`, `foreign 20 above 9`.
fn command(text: &str, before: &State) -> StateCommand {
    let words: Vec<&str> = text.split_whitespace().collect();
    let found = |word| words.iter().position(|it| *it == word);
    let after = |word| found(word).map(|at| words[at + 1].to_owned());
    let number = |word| after(word).map(|it| it.parse::<u32>().unwrap());
    let op = words.get(1).copied().unwrap_or_default().to_owned();
    let replaces = after("for");
    match words[0] {
        "create" => StateCommand::Create(CreateIntent {
            op,
            write_id: WriteId(1),
            slug: "x".to_owned(),
            key: after("key").map(|key| KeyHashes {
                key,
                body: after("body").unwrap_or_default(),
            }),
            min_next_id: number("above").unwrap_or(0),
            index: None,
            replaces,
        }),
        "write" | "remove" => {
            let names = words[2].split(',').map(|it| name(it.parse().unwrap()));
            let files: Vec<_> = names
                .map(|it| match words[0] {
                    "remove" => (it, WriteId(1), ChangeKind::Delete),
                    _ => (it, WriteId(1), ChangeKind::Update),
                })
                .collect();
            let merged = files.iter().filter(|_| found("merged").is_some());
            let merged = merged.map(|(name, ..)| (name.clone(), git_sha(b"x"), vec![]));
            let removed = files.iter().filter(|_| found("mirrored").is_some());
            let removed = removed.map(|(name, ..)| (name.clone(), None));
            StateCommand::RecordIntent(FilesIntent {
                op,
                merged: merged.collect(),
                removed: removed.collect(),
                files: files.clone(),
                replaces,
            })
        }
        "done" | "undo" => StateCommand::RemoveIntent {
            op,
            no_effect: words[0] == "undo",
            legacy: number("counter").map(older_counter),
        },
        "recover" | "recover-undone" => {
            let intent = before.pending.get(&op).cloned();
            let mut intent = intent.unwrap_or_else(|| state(7, &[7]).pending["7"].clone());
            intent.denied = false;
            match after("other").as_deref() {
                Some("version") => intent.version = intent.version.next(),
                Some("file") => intent.files[0].write_id = WriteId(9).to_string(),
                _ => {}
            }
            StateCommand::RemoveRecovered {
                op,
                intent,
                no_effect: words[0] == "recover-undone",
            }
        }
        "refuse" => StateCommand::SetDenied { op },
        "expire" => StateCommand::ExpireRecords,
        "forget" => {
            let version = Version(number("at").unwrap_or_default().into());
            StateCommand::ForgetRemovals(vec![(name(op.parse().unwrap()), version)])
        }
        "foreign" => StateCommand::VersionForeignFiles {
            floor: Version(op.parse().unwrap()),
            min_next_id: number("above").unwrap_or(0),
        },
        _ => panic!("{text}"),
    }
}

/// The document after these commands, separated by semicolons.
fn after(before: &State, texts: &str) -> State {
    let mut state = before.clone();
    for text in texts.split(';').filter(|it| !it.is_empty()) {
        state.apply(&command(text, &state), monday());
    }
    state
}

/// A result in words.
fn said(result: CommandResult) -> String {
    match result {
        CommandResult::Recorded(version) => format!("{version}"),
        CommandResult::CreatedTask(version, name) => format!("{} at {version}", name.id()),
        CommandResult::Duplicate(record, Some(_)) => format!("duplicate of {}, pending", record.op),
        CommandResult::Duplicate(record, None) => format!("duplicate of {}", record.op),
        other => format!("{other:?}"),
    }
}

/// `v8 n4 a@8! k>a ~0005 -0006`: version, counter, intents (refused ones with a mark), records, merged files, removed
/// ones.
fn shown(state: &State) -> String {
    let mut words = vec![format!("v{} n{}", state.version, state.next_id)];
    for (op, intent) in &state.pending {
        let mark = if intent.denied { "!" } else { "" };
        words.push(format!("{op}@{}{mark}", intent.version));
    }
    let records = state.idempotency.iter();
    words.extend(records.map(|(key, it)| format!("{key}>{}", it.op)));
    words.extend(state.merged.keys().map(|name| format!("~{}", &name[..4])));
    words.extend(state.removed.keys().map(|name| format!("-{}", &name[..4])));
    let legacy = state.legacy_next_id.iter();
    words.extend(legacy.map(|it| format!("counter {}", it.number)));
    words.join(" ")
}

/// Each on a document at version 7 whose next number is 3.
const COMMANDS: &str = "
a create takes the next number               |                          | create a          | 0003 at 8 | v8 n4 a@8
above all that its instance knows            |                          | create a above 40 | 0040 at 8 | v8 n41 a@8
two creates take two versions and numbers    | create a                 | create b          | 0004 at 9 | v9 n5 a@8 b@9
a key is recorded with its create            |                          | create a key k    | 0003 at 8 | v8 n4 a@8 k>a
the key again, while it is pending           | create a key k           | create b key k    | duplicate of a, pending | v8 n4 a@8 k>a
the key again, when it is finished           | create a key k; done a   | create b key k    | duplicate of a | v8 n4 k>a
the key with another body                    | create a key k           | create b key k body y | KeyReused | v8 n4 a@8 k>a
another key                                  | create a key k           | create b key l    | 0004 at 9 | v9 n5 a@8 b@9 k>a l>b
the next attempt of one request              | create a key k           | create b key k for a | 0004 at 9 | v9 n5 b@9 k>b
the same, when another request finished it   | create a key k; done a   | create b key k for a | duplicate of a | v8 n4 k>a
a create that was given up frees its key     | create a key k           | undo a            | Done | v8 n4
files are written under one intent           |                          | write a 5,9       | 8 | v8 n10 a@8
a lower number doesn't lower the counter     |                          | write a 1         | 8 | v8 n3 a@8
in place of the previous attempt             | write a 5                | write b 5 for a   | 9 | v9 n6 b@9
an attempt that is gone replaces nothing     | write a 5                | write b 5 for z   | 9 | v9 n6 a@8 b@9
finished                                     | write a 5; write b 6     | done a            | Done | v9 n7 b@9
finished twice                               | write a 5; done a        | done a            | Done | v8 n6
with the older counter as just written       | write a 5                | done a counter 143 | Done | v8 n6 counter 143
a merged file is noted                       |                          | write a 5 merged  | 8 | v8 n6 a@8 ~0005
its own end leaves the note                  | write a 5 merged         | done a            | Done | v8 n6 ~0005
the end of a later change removes it         | write a 5 merged; done a; write b 5 | done b | Done | v9 n6
a later change without effect doesn't        | write a 5 merged; done a; write b 5 | undo b | Done | v9 n6 ~0005
nor the end of an earlier one                | write a 5; write b 5 merged | done a         | Done | v9 n6 b@9 ~0005
a removal is remembered for Git              |                          | remove a 5 mirrored | 8 | v8 n6 a@8 -0005
without Git it isn't                         |                          | remove a 5        | 8 | v8 n6 a@8
it stays after its end                       | remove a 5 mirrored      | done a            | Done | v8 n6 -0005
not when it had no effect                    | remove a 5 mirrored      | undo a            | Done | v8 n6
nor had its second attempt                   | remove a 5 mirrored; remove b 5 mirrored for a | undo b | Done | v9 n6
but that of an earlier one is                | remove a 5 mirrored; remove b 5 mirrored | undo b | Done | v9 n6 a@8 -0005
and that of a later one                      | remove a 5 mirrored; remove b 5 mirrored | undo a | Done | v9 n6 b@9 -0005
forgotten                                    | remove a 5 mirrored; done a | forget 5 at 8  | Done | v8 n6
not while it goes on                         | remove a 5 mirrored      | forget 5 at 8     | Done | v8 n6 a@8 -0005
nor a later one                              | remove a 5 mirrored; done a; remove b 5 mirrored; done b | forget 5 at 8 | Done | v9 n6 -0005
recovered                                    | create a key k           | recover a         | Done | v8 n4 k>a
recovered, refused meanwhile                 | create a key k; refuse a | recover a         | Done | v8 n4 k>a
recovered, and never created                 | create a key k           | recover-undone a  | Done | v8 n4
recovered, and never removed                 | remove a 5 mirrored      | recover-undone a  | Done | v8 n6
recovered, and removed                       | remove a 5 mirrored      | recover a         | Done | v8 n6 -0005
a later intent of that name stays            | create a key k           | recover-undone a other version | Done | v8 n4 a@8 k>a
one with another write stays, too            | create a key k           | recover-undone a other file | Done | v8 n4 a@8 k>a
recovered by two                             | create a key k; recover a | recover-undone a | Done | v8 n4 k>a
refused                                      | write a 5                | refuse a          | Done | v8 n6 a@8!
refused, but recovered already               | write a 5; done a        | refuse a          | Done | v8 n6
a refused file is blocked                    | write a 5; refuse a      | write b 6,5       | Blocked | v8 n6 a@8!
other files aren't                           | write a 5; refuse a      | write b 6         | 9 | v9 n7 a@8! b@9
nor is a create                              | write a 5; refuse a      | create b          | 0006 at 9 | v9 n7 a@8! b@9
nor the next attempt of the same request     | write a 5; refuse a      | write b 5 for a   | 9 | v9 n6 b@9
a file that is only pending isn't blocked    | write a 5                | write b 5         | 9 | v9 n6 a@8 b@9
a foreign file gets the next version         | write a 5                | foreign 0 above 4 | 9 | v9 n6 a@8
above what was shown, and its number counts  |                          | foreign 20 above 9 | 21 | v21 n9
a young record doesn't expire                | create a key k; done a   | expire            | Done | v8 n4 k>a
";

#[test]
fn each_command_makes_of_the_document_what_its_row_says() {
    for [why, earlier, text, result, expected] in rows(COMMANDS) {
        let mut document = after(&state(7, &[]), earlier);
        let command = command(text, &document);
        assert_eq!(said(document.apply(&command, monday())), result, "{why}");
        assert_eq!(shown(&document), expected, "{why}");
    }
}

#[test]
fn eight_refused_writes_block_every_further_one_and_five_hundred_merged_files_are_noted() {
    let result = |document: &State, text| {
        let mut document = document.clone();
        said(document.apply(&command(text, &document), monday()))
    };
    let mut document = state(7, &[]);
    for op in 0..8 {
        assert_ne!(result(&document, "create z"), "Blocked", "{op}");
        document = after(&document, &format!("write {op} {op}; refuse {op}"));
    }
    for [text, expected] in
        rows("create z | Blocked\n write z 99 | Blocked\n write z 99 for 3 | 16")
    {
        assert_eq!(result(&document, text), expected, "{text}");
    }
    let merged: Vec<String> = (0..501).map(|it| it.to_string()).collect();
    let document = after(
        &state(7, &[]),
        &format!("write a {} merged", merged.join(",")),
    );
    assert_eq!(document.merged.len(), 500);
}

/// The operation of a record (7 is pending), its age in seconds, and whether it has expired.
const RECORDS: &str = "
o | 86399  | false
o | 86400  | true
o | -5     | false
7 | 86400  | false
7 | 999999 | false
";

#[test]
fn records_expire_after_a_day_and_five_thousand_stay_with_all_that_are_pending() {
    let record = |op: &str, seconds: i64| IdempotencyRecord {
        body: String::new(),
        op: op.to_owned(),
        id: 1,
        file: name(1).to_string(),
        version: Version(1),
        at: monday() - TimeDelta::seconds(seconds),
        unknown: UnknownMembers::new(),
    };
    for [op, age, expires] in rows(RECORDS) {
        let (mut document, expires) = (state(7, &[7]), expires == "true");
        let record = record(op, age.parse().unwrap());
        document.idempotency.insert("k".to_owned(), record);
        assert_eq!(document.count_expired(monday()) == 1, expires, "{op} {age}");
        for text in ["expire", "create a key other"] {
            let kept = after(&document, text).idempotency.contains_key("k");
            assert_eq!(kept, !expires, "{op} {age}: {text}");
        }
    }
    for before in [4_998, 4_999, 5_000, 6_000] {
        let mut document = state(7, &[7]);
        let old = (0..before).map(|age: i64| (format!("{age:04}"), record("o", age)));
        document.idempotency = old
            .chain([("pending".to_owned(), record("7", 20_000))])
            .collect();
        let records = after(&document, "create a key new").idempotency;
        assert_eq!(records.len(), 5_000, "{before}");
        for (key, is_kept) in [
            ("pending", true),
            ("new", true),
            ("4997", true),
            ("4998", false),
        ] {
            assert_eq!(
                records.contains_key(key),
                is_kept,
                "{key} of {before}: the oldest go first"
            );
        }
    }
}

/// An index of the files 0 and 1 at this version, without these pending operations.
const INDEXES: &str = "
there is none                            |    |    | NeedsNumbers
of this version; 2 is pending            | 9  |    | 0003 at 10
it lacks both that are pending           | 7  |    | 0003 at 10
it lacks one that is finished            | 6  |    | NeedsNumbers
what it lacked is pending still          | 9  | a  | 0003 at 10
what it lacked is finished               | 9  | a,z | NeedsNumbers
of a later version than this document    | 10 |    | NeedsNumbers
";

#[test]
fn past_9999_a_create_takes_a_free_number_of_an_index_that_lacks_only_what_is_pending() {
    let of = |numbers: std::ops::Range<u16>| {
        let names = numbers.map(|it| name(it).to_string());
        let files = names.map(|name| FileRecord {
            name,
            ..record("a1")
        });
        Arc::new(UsedIds::of(&TaskTable::new(files.collect())))
    };
    let (some, all) = (of(0..2), of(0..10_000));
    let document = after(&state(7, &[]), "write a 2; write b 9999");
    for [why, version, lacks, result] in rows(INDEXES) {
        let result_of = |used: &Arc<UsedIds>| {
            let StateCommand::Create(create) = command("create c", &document) else {
                unreachable!()
            };
            let index = version.parse().ok().map(|version| NumbersInUse {
                version: Version(version),
                pending: lacks
                    .split(',')
                    .filter(|it| !it.is_empty())
                    .map(str::to_owned)
                    .collect(),
                used: Arc::clone(used),
            });
            let create = StateCommand::Create(CreateIntent { index, ..create });
            said(document.clone().apply(&create, monday()))
        };
        assert_eq!(result_of(&some), result, "{why}");
        let none_left = result_of(&all) == "Exhausted";
        assert_eq!(none_left, result != "NeedsNumbers", "{why}");
    }
}

/// What chooses a command: its kind, another operation, a number, a key, two alternatives, and the minutes before it.
type Dice = (u8, Index, u16, u8, [bool; 2], i64);

fn dice() -> impl Strategy<Value = Dice> {
    (
        0..14_u8,
        any::<Index>(),
        0..12_u16,
        0..4_u8,
        any::<[bool; 2]>(),
        0..900_i64,
    )
}

/// The command on this document, with `new` as the id of a new operation.
fn rolled((kind, which, number, key, flags, _): &Dice, before: &State, new: usize) -> StateCommand {
    let mut ops: Vec<&str> = before.pending.keys().map(String::as_str).collect();
    ops.extend(ops.is_empty().then_some("gone"));
    let other = which.get(&ops);
    let with = |it: bool, text: String| if it { text } else { String::new() };
    let replaces = with(flags[0], format!("for {other}"));
    let key = with(*key < 2, format!("key k{key} body {}", flags[1]));
    let text = match kind {
        0..4 => format!("create o{new} {key} above {number} {replaces}"),
        4..7 => format!("write o{new} {number},{} merged {replaces}", number + 1),
        7 | 8 => format!("done {other}"),
        9 => format!("undo {other}"),
        10 => format!("recover{} {other}", with(flags[0], "-undone".to_owned())),
        11 => format!("refuse {other}"),
        12 => "expire".to_owned(),
        _ => format!("foreign {number} above {number}"),
    };
    let mut command = command(&text, before);
    if let StateCommand::Create(create) = &mut command
        && flags[1]
    {
        let used = Arc::new(UsedIds::of(&TaskTable::default()));
        let (version, pending) = (before.version, vec![]);
        create.index = Some(NumbersInUse {
            version,
            pending,
            used,
        });
    }
    command
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn whatever_commands_come_the_document_stays_sound(
        rolls in prop::collection::vec(dice(), 0..24),
        next_id in select(vec![0, 9_995, 10_000]),
    ) {
        let first = State { next_id, ..state(7, &[]) };
        let (mut document, mut restored, mut at) = (first.clone(), first, monday());
        for (new, dice) in rolls.iter().enumerate() {
            at += TimeDelta::minutes(dice.5);
            let command = rolled(dice, &document, new);
            let before = document.clone();
            let result = document.apply(&command, at);

            prop_assert!(document.version >= before.version && document.next_id >= before.next_id);
            prop_assert!(document.finished() >= before.finished(), "a lower bound was wrong");
            prop_assert!(document.idempotency.len() <= 5_000);
            for intent in document.pending.values() {
                prop_assert!(document.finished() < intent.version && intent.version <= document.version);
            }
            let numbers: Vec<u32> = match (&command, &result) {
                (_, CommandResult::CreatedTask(_, file)) => {
                    let same = document.pending.values().flat_map(|it| &it.files);
                    prop_assert_eq!(same.filter(|it| it.name[..4] == file.as_str()[..4]).count(), 1);
                    let is_next = u32::from(file.id().number()) >= before.next_id;
                    prop_assert!(is_next || before.next_id >= UsedIds::ALL);
                    vec![u32::from(file.id().number())]
                }
                (StateCommand::RecordIntent(it), CommandResult::Recorded(_)) => {
                    it.files.iter().map(|(name, ..)| u32::from(name.id().number())).collect()
                }
                _ => vec![],
            };
            prop_assert!(numbers.iter().all(|number| *number < document.next_id));
            match (&command, &result) {
                (StateCommand::VersionForeignFiles { floor, .. }, CommandResult::Recorded(version)) => {
                    prop_assert_eq!(*version, before.version.max(*floor).next());
                    prop_assert_eq!((*version, &document.pending), (document.version, &before.pending));
                }
                (_, CommandResult::Recorded(version) | CommandResult::CreatedTask(version, _)) => {
                    prop_assert_eq!((*version, document.version), (before.version.next(), *version));
                    prop_assert_eq!(document.pending[&format!("o{new}")].version, *version);
                }
                // A swap that finds nothing to do, or is repeated, is done.
                (_, CommandResult::Done) => {
                    prop_assert_eq!(document.version, before.version);
                    let once = document.clone();
                    prop_assert_eq!(document.apply(&command, at), CommandResult::Done);
                    prop_assert_eq!(&document, &once);
                }
                _ => prop_assert_eq!((document.version, &document.pending), (before.version, &before.pending)),
            }
            // One swap for each command, or one for all: what is stored between them makes no difference.
            restored = State::parse(&restored.to_bytes()).unwrap().unwrap();
            prop_assert_eq!(restored.apply(&command, at), result);
            prop_assert_eq!(&restored, &document);
        }
    }

    #[test]
    fn after_recovery_no_late_write_lands(
        begun in select(BEGINNINGS.to_vec()),
        before in prop::collection::vec(event(), 0..5),
        between in prop::collection::vec(prop::option::of(event()), 5),
    ) {
        let (mut file, write) = OneFile::begin(begun);
        before.into_iter().for_each(|event| file.happen(event, &write));
        let mut resolved = None;
        for event in between {
            let seen = file.blob.clone();
            let observed = seen.clone().map_or(ObservedFile::Absent, ObservedFile::Blob);
            match decide_resolution(&write.intent(), observed) {
                ResolutionStep::Done(resolution) => resolved = Some(resolution),
                ResolutionStep::Put(put, condition, resolution) => {
                    if write.kind != ChangeKind::Create {
                        let seen = seen.unwrap();
                        prop_assert_eq!((&put.bytes, &put.writes), (&seen.bytes, &seen.writes), "the file changed");
                    }
                    event.into_iter().for_each(|event: Event| file.happen(event, &write));
                    resolved = file.put(put, &condition).then_some(resolution);
                }
            }
            if resolved.is_some() {
                break;
            }
        }
        if let Some(resolution) = resolved {
            let never = resolution == FileResolution::NoEffect;
            prop_assert!(!never || write.kind != ChangeKind::Update && !file.has_late());
            prop_assert!(!write.arrive(&mut file), "{resolution:?}");
        }
    }
}

/// Each with what is done for a create, an update and a deletion.
const RESOLUTIONS: &str = "
the write is in the file        | landed    | Resolved                      | Resolved               | Resolved
nothing                         | absent    | tombstone if Absent, NoEffect | Resolved               | Resolved
a tombstone                     | tombstone | tombstone if Same, NoEffect   | same if Same, Resolved | same if Same, NoEffect
a file that replaced one        | replaced  | NoEffect                      | same if Same, Resolved | same if Same, NoEffect
another write of the service    | written   | Resolved                      | same if Same, Resolved | same if Same, NoEffect
a file from an editor           | edited    | Resolved                      | same if Same, Resolved | same if Same, NoEffect
a folder                        | folder    | NoEffect                      | Resolved               | Resolved
a file that can't be read       | closed    | Unresolved                    | Unresolved             | Unresolved
";

#[test]
fn recovery_does_about_a_file_what_its_row_says() {
    for [why, found, create, update, delete] in rows(RESOLUTIONS) {
        let (mut file, write) = OneFile::begin(match found {
            "tombstone" | "replaced" => "create over a tombstone",
            _ => "update",
        });
        match found {
            "landed" => drop(write.arrive(&mut file)),
            "replaced" | "written" => file.happen(Event::ServiceWrites, &write),
            "edited" => file.happen(Event::EditorSaves, &write),
            _ => {}
        }
        let seen = file.blob.unwrap();
        let kinds = [ChangeKind::Create, ChangeKind::Update, ChangeKind::Delete];
        for (kind, expected) in kinds.into_iter().zip([create, update, delete]) {
            let observed = match found {
                "absent" => ObservedFile::Absent,
                "folder" => ObservedFile::NotAFile,
                "closed" => ObservedFile::Unreadable,
                _ => ObservedFile::Blob(seen.clone()),
            };
            let file = PendingFile {
                kind,
                ..write.intent()
            };
            let step = match decide_resolution(&file, observed) {
                ResolutionStep::Done(resolution) => format!("{resolution:?}"),
                ResolutionStep::Put(put, condition, resolution) => {
                    let is_tombstone = put.bytes == TOMBSTONE_FILE
                        && put.writes.to_string() == TOMBSTONE_WRITE_ID.to_string();
                    let is_same = put.bytes == seen.bytes && put.writes == seen.writes;
                    let what = match kind {
                        ChangeKind::Create if is_tombstone => "tombstone",
                        ChangeKind::Update | ChangeKind::Delete if is_same => "same",
                        _ => "something else",
                    };
                    let when = match condition {
                        PutIf::Absent => "Absent",
                        PutIf::Same(etag) if etag == seen.etag => "Same",
                        _ => "another",
                    };
                    format!("{what} if {when}, {resolution:?}")
                }
            };
            assert_eq!(step, expected, "{kind:?}: {why}");
        }
    }
}

#[test]
fn an_operation_is_recovered_once_all_its_files_are() {
    use FileResolution::{NoEffect as N, Resolved as R, Unresolved as U};
    // The greatest of its files' resolutions is the operation's.
    assert_eq!([R, N, R].into_iter().max(), Some(N));
    assert_eq!([N, U, R].into_iter().max(), Some(U));
}

#[test]
fn a_swap_writes_what_changed_and_answers_only_from_what_it_has_read() {
    let (before, changed, read_at) = (state(7, &[]), state(8, &[8]), Instant::now());
    let newer = newer_state();
    let rows = [
        (&before, &changed, None, SwapStep::Write),
        (&changed, &state(8, &[]), Some(read_at), SwapStep::Write),
        (&before, &before, Some(read_at), SwapStep::Done(read_at)),
        (&before, &before, None, SwapStep::Confirm),
        (&newer, &newer, None, SwapStep::Refuse),
        (&newer, &newer, Some(read_at), SwapStep::Refuse),
        (&newer, &changed, Some(read_at), SwapStep::Refuse),
    ];
    for (row, (before, next, read_at, step)) in rows.into_iter().enumerate() {
        assert_eq!(decide_swap(before, next, read_at), step, "row {row}");
    }
}

/// On a document with the intent `a`.
const SWAPS: &str = "
its intent is there                | write b 6         | write b 6                   | landed
beside a later one                 | write b 6         | write b 6; write c 7        | landed
refused meanwhile by its repetition| write b 6         | write b 6; refuse b         | landed
one of two is finished already     | write b 6; write c 7 | write b 6; write c 7; done b | landed
its intent isn't there             | write b 6         |                             | lost
another's is, of the same version  | write b 6         | write c 6                   | lost
the same name, of another version  | write b 6         | write c 7; write b 6        | lost
the same name, for other files     | write b 6         | write b 7                   | lost
a removal proves nothing           | done a            | done a                      | lost
nor does an intent from before     | done z            | write c 7                   | lost
";

#[test]
fn a_refused_swap_had_landed_if_an_intent_of_its_own_is_stored() {
    for [why, swapped, found, outcome] in rows(SWAPS) {
        let before = after(&state(7, &[]), "write a 5");
        let landed = has_landed(&before, &after(&before, swapped), &after(&before, found));
        assert_eq!(landed, outcome == "landed", "{why}");
    }
}

#[test]
fn an_intent_is_overdue_at_its_expiry_by_the_storage_clock() {
    let intent = &state(8, &[8]).pending["8"];
    for (seconds, expected) in [(-1, false), (59, false), (60, true), (3_600, true)] {
        let date = monday() + TimeDelta::seconds(seconds);
        let overdue = intent.is_overdue(date, Duration::from_secs(60));
        assert_eq!(overdue, expected, "{seconds} s");
    }
}

/// Number, size less a tombstone's, age in seconds. Files 5 and 6 are pending.
const TOMBSTONES: &str = "
4 | 0 | 3601 | may go
4 | 0 | 3600 | stays
4 | 0 |      | stays
4 | 1 | 3601 | stays
5 | 0 | 3601 | stays
";

#[test]
fn an_old_tombstone_goes_unless_an_intent_names_it_or_numbers_are_used_again() {
    let document = after(&state(7, &[]), "write a 5; write b 6");
    let kept = |next_id| {
        let document = State {
            next_id,
            ..document.clone()
        };
        names_to_keep(&stored(document))
    };
    let both = HashSet::from([5, 6].map(|it| name(it).to_string()));
    assert_eq!(
        (kept(7), kept(9_999), kept(10_000)),
        (Some(both.clone()), Some(both.clone()), None)
    );
    for [number, more, age, expected] in rows(TOMBSTONES) {
        let age = age.parse().ok().map(TimeDelta::seconds);
        let file = ListedBlob {
            name: name(number.parse().unwrap()).to_string(),
            etag: ETag::new("1"),
            size: TOMBSTONE_FILE.len() as u64 + more.parse::<u64>().unwrap(),
            modified: age.map(|age| monday() - age),
        };
        assert_eq!(
            may_be_old_tombstone(&file, &both, monday()),
            expected == "may go",
            "{file:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn a_swap_answers_only_what_it_has_read_and_writes_only_what_it_may(
        versions in (1..4_u64, 1..4_u64),
        intents in (any::<bool>(), any::<bool>()),
        newer in any::<bool>(),
        has_read in any::<bool>(),
    ) {
        let document = |version, has_intent| state(version, if has_intent { &[1] } else { &[] });
        let mut before = document(versions.0, intents.0);
        before.format.major += u32::from(newer);
        let mut next = document(versions.1, intents.1);
        next.format.clone_from(&before.format);
        let read_at = has_read.then(Instant::now);
        match decide_swap(&before, &next, read_at) {
            SwapStep::Refuse => prop_assert!(newer),
            SwapStep::Write => prop_assert!(!newer && before != next),
            SwapStep::Done(at) => prop_assert!(!newer && before == next && read_at == Some(at)),
            SwapStep::Confirm => prop_assert!(!newer && before == next && !has_read),
        }
    }

    #[test]
    fn a_swap_is_taken_for_landed_if_and_only_if_it_was(
        own in select(vec!["write b 6", "write b 6; write c 7"]),
        later in subsequence(vec!["write d 8", "refuse b", "done a", "done c"], 0..=4),
        others in subsequence(vec!["write e 6", "done a", "write f 7,8", "refuse e"], 0..=4),
    ) {
        let before = after(&state(7, &[]), "write a 5");
        let next = after(&before, own);
        let since = |document: &State, commands: &[&str]| {
            commands.iter().fold(document.clone(), |document, command| after(&document, command))
        };
        prop_assert!(has_landed(&before, &next, &since(&next, &later)));
        prop_assert!(!has_landed(&before, &next, &since(&before, &others)));
    }

    #[test]
    fn an_intent_is_overdue_from_its_expiry_on(seconds in -4..8_i64, expiry in 0..4_u64) {
        let date = monday() + TimeDelta::seconds(seconds);
        let overdue = state(8, &[8]).pending["8"].is_overdue(date, Duration::from_secs(expiry));
        prop_assert_eq!(overdue, seconds >= expiry.cast_signed());
    }

    #[test]
    fn what_an_intent_names_is_no_old_tombstone(
        numbers in prop::collection::btree_set(1..9_u16, 1..6),
        listed in 1..9_u16,
        size in select(vec![TOMBSTONE_FILE.len() - 1, TOMBSTONE_FILE.len(), TOMBSTONE_FILE.len() + 1]),
        age in select(vec![None, Some(0), Some(3_600), Some(3_601), Some(7_200)]),
    ) {
        let words: Vec<String> = numbers.iter().map(|it| format!("write i{it} {it}")).collect();
        let kept = names_to_keep(&stored(after(&state(7, &[]), &words.join("; ")))).unwrap();
        let file = ListedBlob {
            name: name(listed).to_string(),
            etag: ETag::new("1"),
            size: size as u64,
            modified: age.map(|age| monday() - TimeDelta::seconds(age)),
        };
        let is_old = size == TOMBSTONE_FILE.len() && age > Some(3_600);
        let may_go = may_be_old_tombstone(&file, &kept, monday());
        prop_assert_eq!(may_go, is_old && !numbers.contains(&listed));
    }
}
