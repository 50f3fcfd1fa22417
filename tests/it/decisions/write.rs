//! What came of a write whose answer doesn't tell, what a PUT may replace, and how the own snapshot advances.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use codex_miroir::rules::Rules;
use codex_miroir::store::{Blob, ETag, PutIf, StoreError, WriteId, WriteIds};
use codex_miroir::task::{FileRecord, Parsed};
use codex_miroir::user_state::{ChangeKind, Version};
use codex_miroir::write::{
    AcknowledgedFile, AcknowledgedOp, AcknowledgedOps, Doubt, Readback, WriteOutcome, WrittenFile,
    advance, create_condition, decide_delete, decide_put, is_from_before,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::{BEGINNINGS, Event, LATE, OneFile, event, monday, name, rows, table};
use crate::support::cases;

fn blob(etag: &str, ids: &[WriteId]) -> Blob {
    Blob {
        bytes: "text".into(),
        etag: ETag::new(etag),
        writes: ids
            .iter()
            .rev()
            .fold(WriteIds::default(), |all, id| all.with_newest(*id)),
    }
}

fn denied() -> StoreError {
    let (key, reason) = (
        "raw/anna/tasks/0000-x.md".to_owned(),
        "read-only".to_owned(),
    );
    StoreError::Denied {
        operation: "put",
        key,
        reason,
    }
}

fn doubt(word: &str) -> Doubt {
    match word {
        "refused" => Doubt::Refused,
        "denied" => denied().into(),
        _ => Doubt::Unanswered,
    }
}

/// A write's answer, the file as it was read then, and what came of a PUT, of one that creates, and of a DELETE.
const OUTCOMES: &str = "
refused    | has it     | landed   | landed   | conflict
refused    | another    | conflict | conflict | conflict
refused    | no file    | conflict | unknown  | gone
refused    | a folder   | conflict | conflict | conflict
refused    | unreadable | unknown  | unknown  | unknown
denied     | has it     | landed   | landed   | denied
denied     | another    | denied   | denied   | denied
denied     | no file    | denied   | denied   | gone
denied     | a folder   | denied   | denied   | unknown
denied     | unreadable | unknown  | unknown  | unknown
no answer  | has it     | landed   | landed   | unknown
no answer  | another    | unknown  | unknown  | unknown
no answer  | no file    | unknown  | unknown  | gone
no answer  | a folder   | unknown  | unknown  | unknown
no answer  | unreadable | unknown  | unknown  | unknown
";

#[test]
fn what_came_of_a_write_is_what_its_row_says() {
    let said = |outcome: WriteOutcome| match outcome {
        WriteOutcome::Landed(_) => "landed",
        WriteOutcome::Gone => "gone",
        WriteOutcome::Conflict => "conflict",
        WriteOutcome::Denied(_) => "denied",
        WriteOutcome::Unknown => "unknown",
    };
    for [answer, found, put, create, delete] in rows(OUTCOMES) {
        let key = || "raw/anna/tasks/0000-x.md".to_owned();
        let found_file = match found {
            "has it" => Ok(Some(blob("1", &[LATE]))),
            "another" => Ok(Some(blob("1", &[WriteId(8)]))),
            "no file" => Ok(None),
            "a folder" => Err(StoreError::NotAFile { key: key() }),
            _ => Err(StoreError::Unreadable {
                key: key(),
                reason: String::new(),
            }),
        };
        let readback = Readback::of(found_file, LATE);
        let outcomes = [
            decide_put(doubt(answer), readback.clone(), false),
            decide_put(doubt(answer), readback.clone(), true),
            decide_delete(doubt(answer), &readback),
        ];
        assert_eq!(
            outcomes.map(said),
            [put, create, delete],
            "{answer}, {found}"
        );
    }
    let away = StoreError::Unavailable {
        operation: "put",
        key: String::new(),
        reason: String::new(),
    };
    assert!(matches!(Doubt::from(away), Doubt::Unanswered));
}

#[test]
fn a_file_tells_of_a_write_by_its_ids() {
    let written = |etag: &str| {
        Some(WrittenFile {
            etag: ETag::new(etag),
            bytes: "text".into(),
        })
    };
    let (other, latest) = (WriteId(8), [LATE, WriteId(8)]);
    let rows = [
        (Ok(Some(blob("1", &latest))), Readback::Landed(written("1"))),
        (Ok(Some(blob("2", &[other, LATE]))), Readback::Landed(None)),
        (Ok(Some(blob("2", &[other]))), Readback::NotLanded),
        (Ok(Some(blob("2", &[]))), Readback::NotLanded),
        (Ok(None), Readback::Absent),
        (Err(denied()), Readback::Failed),
    ];
    for (found, readback) in rows {
        assert_eq!(Readback::of(found, LATE), readback);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(512)))]

    /// A request is repeated by the SDK: each attempt may arrive, at any time, and only the last one's answer is known.
    #[test]
    fn an_outcome_is_never_claimed_that_isnt_so(
        begun in select(BEGINNINGS.to_vec()),
        before in prop::collection::vec(event(), 0..5),
        is_answered in any::<bool>(),
        after in prop::collection::vec(event(), 0..3),
    ) {
        let (mut file, write) = OneFile::begin(begun);
        before.into_iter().for_each(|event| file.happen(event, &write));
        // An answer that tells of success leaves no doubt; here it is lost.
        let lands = is_answered && write.arrive(&mut file);
        let answer = if is_answered && !lands { Doubt::Refused } else { Doubt::Unanswered };
        after.into_iter().for_each(|event: Event| file.happen(event, &write));
        let readback = Readback::of(Ok(file.blob.clone()), LATE);
        let outcome = match write.kind {
            ChangeKind::Delete => decide_delete(answer, &readback),
            kind => decide_put(answer, readback, kind == ChangeKind::Create),
        };
        match outcome {
            WriteOutcome::Gone => prop_assert!(write.kind == ChangeKind::Delete && file.blob.is_none()),
            WriteOutcome::Landed(None) => prop_assert!(file.has_late()),
            WriteOutcome::Landed(Some(written)) => {
                let now = file.blob.as_ref().unwrap();
                prop_assert!(written.bytes == "late" && (written.etag, written.bytes) == (now.etag.clone(), now.bytes.clone()));
            }
            WriteOutcome::Conflict => prop_assert!(!file.has_late() && !write.arrive(&mut file)),
            WriteOutcome::Denied(_) => prop_assert!(false, "nothing was denied"),
            WriteOutcome::Unknown => {}
        }
    }

    /// The same as going through the operations by hand: those without a gap, each of files as they are by then.
    #[test]
    fn a_snapshot_advances_by_the_operations_that_follow_and_found_its_files(
        at in 4..8_u64,
        exact in prop::bool::weighted(0.8),
        ops in prop::collection::btree_map(
            5..12_u64,
            prop::collection::btree_map(0..3_u16, (prop::bool::weighted(0.9), select(vec!["", "-", "1", "2"])), 0..3),
            0..7,
        ),
    ) {
        let (began, base) = (Instant::now(), table("a1 b- d1"));
        let tag = |it: &str| (it != "-").then(|| ETag::new(it));
        let mut files = BTreeMap::from([(0, "1"), (1, "-"), (2, "-")]);
        let (mut acknowledged, mut expected) = (AcknowledgedOps::new(), BTreeMap::new());
        let (mut reached, mut goes_on, mut dropped) = (at, exact, at);
        for (version, changes) in ops {
            let is_next = goes_on && version == reached + 1;
            let all_found = changes.values().all(|(found, _)| *found);
            let op = changes.iter().map(|(number, (found, new))| AcknowledgedFile {
                name: name(*number),
                old: if *found { tag(files[number]) } else { Some(ETag::new("other")) },
                new: (!new.is_empty()).then(|| FileRecord {
                    name: name(*number).to_string(),
                    etag: (*new).to_owned(),
                    sha: None,
                    content: if *new == "-" { Parsed::Tombstone } else { Parsed::NotATask },
                }),
            });
            let op = AcknowledgedOp {
                files: op.collect(),
                sent: began + Duration::from_secs(version),
                acknowledged: monday() + Duration::from_secs(version),
            };
            acknowledged.insert(Version(version), op);
            if version <= at {
                continue;
            }
            if is_next {
                dropped = version;
            }
            goes_on = is_next && all_found;
            if goes_on {
                reached = version;
                for (number, (_, new)) in changes.into_iter().filter(|(_, (_, new))| !new.is_empty()) {
                    files.insert(number, new);
                    expected.insert(name(number).to_string(), new);
                }
            }
        }
        let all: Vec<Version> = acknowledged.keys().copied().collect();
        let advanced = advance(&mut acknowledged, &base, Version(at), exact, Rules::default());
        let left: Vec<Version> = acknowledged.into_keys().collect();
        prop_assert_eq!(left, all.into_iter().filter(|it| it.0 > dropped).collect::<Vec<_>>());
        prop_assert_eq!(advanced.is_some(), reached > at, "exact: {}", exact);
        if let Some(advanced) = advanced {
            let later = Duration::from_secs(reached);
            prop_assert_eq!((advanced.version, advanced.sent, advanced.acknowledged), (Version(reached), began + later, monday() + later));
            let changed: Vec<(&str, &str)> = advanced.files.iter().map(|it| (&*it.name, &*it.etag)).collect();
            prop_assert_eq!(changed, expected.iter().map(|(name, etag)| (&**name, *etag)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_create_replaces_only_a_tombstone_that_its_snapshot_knew() {
    let deleted = WrittenFile::deleted().record(&name(3));
    let known = table("a1 b-").with(&[deleted]);
    let condition = |number| create_condition(&name(number), Some(&known));
    assert_eq!(
        create_condition(&name(1), None),
        PutIf::Absent,
        "no snapshot"
    );
    assert_eq!(
        condition(0),
        PutIf::Absent,
        "a file, which refuses the create"
    );
    assert_eq!(condition(1), PutIf::Same(ETag::new("-")), "a tombstone");
    assert_eq!(condition(2), PutIf::Absent, "nothing");
    assert_eq!(condition(3), PutIf::Absent, "a file that was deleted here");
}

#[test]
fn a_file_read_beside_its_intent_is_from_before_it_if_known_or_read_before_the_swap_was_sent() {
    let sent = Instant::now() + Duration::from_secs(60);
    let (early, late) = (sent - Duration::from_nanos(1), sent);
    let (known, other) = (blob("1", &[]), blob("2", &[]));
    let rows = [
        ("the known one", Some(&known), late, true),
        ("another, read early", Some(&other), early, true),
        (
            "another, read when the swap was sent",
            Some(&other),
            late,
            false,
        ),
        ("none, read early", None, early, true),
        ("none, read late", None, late, false),
    ];
    for (why, found, read_at, before) in rows {
        assert_eq!(
            is_from_before(found, &ETag::new("1"), read_at, sent),
            before,
            "{why}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn a_create_never_replaces_a_task(
        words in prop::collection::btree_map(0..4_usize, select(vec!["1", "2", "-"]), 0..4),
        number in 0..4_u16,
    ) {
        let files: Vec<String> = words.iter().map(|(at, etag)| format!("{}{etag}", ["a", "b", "c", "d"][*at])).collect();
        let known = table(&files.join(" "));
        match create_condition(&name(number), Some(&known)) {
            PutIf::Same(etag) => {
                prop_assert_eq!(etag.as_str(), "-");
                prop_assert_eq!(words.get(&usize::from(number)), Some(&"-"));
            }
            PutIf::Absent => prop_assert_ne!(words.get(&usize::from(number)), Some(&"-")),
            PutIf::Any => prop_assert!(false, "whatever is there"),
        }
    }

    #[test]
    fn what_is_from_before_an_intent_was_so_earlier_and_beside_a_later_one(
        found in prop::option::of(select(vec!["1", "2"])),
        read in 0..100_u64,
        sent in 0..100_u64,
        earlier in 0..100_u64,
    ) {
        let began = Instant::now();
        let found = found.map(|etag| blob(etag, &[]));
        let is_before = |read, sent| {
            let at = |seconds| began + Duration::from_secs(seconds);
            is_from_before(found.as_ref(), &ETag::new("1"), at(read), at(sent))
        };
        let is_known = found.as_ref().is_some_and(|blob| blob.etag.as_str() == "1");
        prop_assert_eq!(is_before(read, sent), is_known || read < sent);
        if is_before(read, sent) {
            prop_assert!(is_before(read.saturating_sub(earlier), sent) && is_before(read, sent + earlier));
        }
    }
}
