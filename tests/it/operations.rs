//! The decisions of the operations: which file a request means, what an update does next, what it makes of a file,
//! which tasks a listing has, and what counts as an edit by somebody else.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use chrono_tz::Europe::Berlin;
use codex_miroir::codex::editors::{changed_files, is_foreign};
use codex_miroir::codex::edits::{
    CompletionResult, DeleteStep, UpdateStep, completed, completion_slot, deletable, delete_step,
    update_step, updated,
};
use codex_miroir::codex::filter::{DayRange, TaskFilter};
use codex_miroir::codex::janitor::rotate_start;
use codex_miroir::codex::locate::{Located, locate, unconfirmed_target};
use codex_miroir::codex::{IfMatch, TaskError};
use codex_miroir::store::BlobUpdate;
use codex_miroir::store::{Blob, ETag, GetOutcome, ListedBlob, Listing, WriteId, WriteIds};
use codex_miroir::task::{
    ContentView, Datum, Edit, FileName, FileRecord, Kategorie, Slot, Status, TOMBSTONE_FILE,
    TaskRef, TaskTable, git_sha,
};
use codex_miroir::user::UserId;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn text(title: &str, status: &str, more: &str) -> String {
    format!("---\ntyp: task\nkategorie: arbeit\nstatus: {status}\n{more}---\n\n# {title}\n")
}

fn record(name: &str, content: &[u8]) -> FileRecord {
    FileRecord::of(&name.parse().unwrap(), name, content)
}

/// An open task, a done one, two files of one number, one that can't be read, and a tombstone.
fn table() -> TaskTable {
    let (open, done) = (
        text("Offen", "offen", ""),
        text("Fertig", "abgeschlossen", ""),
    );
    TaskTable::new(vec![
        record("0001-Offen.md", open.as_bytes()),
        record("0002-Fertig.md", done.as_bytes()),
        record("0003-Eins.md", open.as_bytes()),
        record("0003-Zwei.md", open.as_bytes()),
        record("0004-Kaputt.md", b"---\nkategorie: [\n---\n"),
        record("0005-Weg.md", TOMBSTONE_FILE.as_bytes()),
    ])
}

/// What was found, in one word with its file.
fn said(table: &TaskTable, located: Located) -> String {
    match located {
        Located::Task(row) => format!("task {}", table.file(row).name),
        Located::Unreadable(row, _) => format!("unreadable {}", table.file(row).name),
        Located::Ambiguous(stems) => format!("ambiguous {}", stems.join(" ")),
        Located::Absent => "absent".to_owned(),
    }
}

#[test]
fn which_file_a_request_means() {
    let table = table();
    for (task, expected) in [
        ("0001", "task 0001-Offen.md"),
        ("0001-Offen", "task 0001-Offen.md"),
        ("0001-Anders", "absent"),
        ("0002", "task 0002-Fertig.md"),
        ("0003", "ambiguous 0003-Eins 0003-Zwei"),
        ("0003-Zwei", "task 0003-Zwei.md"),
        ("0004", "unreadable 0004-Kaputt.md"),
        ("0005", "absent"),
        ("0006", "absent"),
    ] {
        let task: TaskRef = task.parse().unwrap();
        assert_eq!(said(&table, locate(&table, &task)), expected, "{task:?}");
    }
}

#[test]
fn which_file_can_be_written_without_confirming_the_snapshot() {
    let table = table();
    let is_done = |status| status == Status::Abgeschlossen;
    for (task, by_update, by_completion) in [
        ("0001", true, true),
        ("0002", true, false),
        ("0003", false, false),
        ("0004", false, false),
        ("0006", false, false),
    ] {
        let task = task.parse().unwrap();
        let found = |is_done| unconfirmed_target(&table, &task, is_done).is_some();
        assert_eq!(found(|_| false), by_update, "{task:?}");
        assert_eq!(found(is_done), by_completion, "{task:?}");
    }
}

#[test]
fn what_an_update_does_next() {
    let (this, other) = (git_sha(b"this"), git_sha(b"other"));
    let (holds, fails) = (IfMatch::OneOf(vec![this]), IfMatch::OneOf(vec![other]));
    let (confirm, write, failed) = (
        UpdateStep::ConfirmFirst,
        UpdateStep::Write,
        UpdateStep::PreconditionFailed,
    );
    // The snapshot's hash, `If-Match`, and what follows for a full and an empty edit, before and after confirming.
    for (etag, if_match, full, empty) in [
        (
            Some(this),
            None,
            [write; 2],
            [UpdateStep::Unchanged(this); 2],
        ),
        (
            Some(this),
            Some(&IfMatch::Any),
            [write; 2],
            [UpdateStep::Unchanged(this); 2],
        ),
        (
            Some(this),
            Some(&holds),
            [write; 2],
            [UpdateStep::Unchanged(this); 2],
        ),
        (
            Some(this),
            Some(&fails),
            [confirm, failed],
            [confirm, failed],
        ),
        (None, None, [write; 2], [write; 2]),
        (None, Some(&fails), [write; 2], [write; 2]),
    ] {
        let step = |is_empty| {
            [false, true].map(|was_confirmed| update_step(etag, if_match, is_empty, was_confirmed))
        };
        assert_eq!(
            (step(false), step(true)),
            (full, empty),
            "{etag:?} {if_match:?}"
        );
    }
}

#[test]
fn what_a_deletion_does_next() {
    let (this, other) = (git_sha(b"this"), git_sha(b"other"));
    let (holds, fails) = (IfMatch::OneOf(vec![this]), IfMatch::OneOf(vec![other]));
    let (confirm, delete, failed) = (
        DeleteStep::ConfirmFirst,
        DeleteStep::Delete,
        DeleteStep::PreconditionFailed,
    );
    for (etag, if_match, steps) in [
        (Some(this), None, [delete; 2]),
        (Some(this), Some(&IfMatch::Any), [delete; 2]),
        (Some(this), Some(&holds), [delete; 2]),
        (Some(this), Some(&fails), [confirm, failed]),
        (None, None, [delete; 2]),
        (None, Some(&IfMatch::Any), [delete; 2]),
        // Unlike an update, it doesn't read the file first.
        (None, Some(&holds), [confirm, failed]),
    ] {
        let step = [false, true].map(|was_confirmed| delete_step(etag, if_match, was_confirmed));
        assert_eq!(step, steps, "{etag:?} {if_match:?}");
    }
}

#[test]
fn which_content_is_deleted_in_place_of_the_one_that_was_found() {
    let open = text("T", "offen", "");
    let (this, other) = (
        IfMatch::OneOf(vec![git_sha(open.as_bytes())]),
        IfMatch::OneOf(vec![git_sha(b"other")]),
    );
    let delete = |bytes: &[u8], if_match| deletable(&name(), bytes, if_match);
    for if_match in [None, Some(&IfMatch::Any), Some(&this)] {
        delete(open.as_bytes(), if_match).unwrap();
    }
    delete(b"\xff", None).unwrap();
    delete(b"---\nkategorie: [\n---\n", None).unwrap();
    let changed = delete(open.as_bytes(), Some(&other));
    assert!(matches!(changed, Err(TaskError::PreconditionFailed)));
    for gone in ["Notiz", TOMBSTONE_FILE] {
        let gone = delete(gone.as_bytes(), None);
        assert!(matches!(gone, Err(TaskError::NotFound)));
    }
}

fn name() -> FileName {
    "0001-Offen.md".parse().unwrap()
}

fn slot(text: &str) -> Slot {
    let at: DateTime<Utc> = text.parse().unwrap();
    completion_slot(at, Berlin)
}

/// The new text, or that it stays.
fn written<T>(decision: BlobUpdate<T>) -> Option<String> {
    match decision {
        BlobUpdate::Write(bytes, _) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        BlobUpdate::Keep(_) => None,
    }
}

#[test]
fn a_completion_is_in_the_slot_of_its_local_time() {
    for (at, expected) in [
        ("2026-07-01T09:59:59Z", "2026-07-01 morgens"),
        ("2026-07-01T10:00:00Z", "2026-07-01 nachmittags"),
        ("2026-07-01T15:59:59Z", "2026-07-01 nachmittags"),
        ("2026-07-01T16:00:00Z", "2026-07-01 abends"),
        ("2026-07-01T21:59:59Z", "2026-07-01 abends"),
        ("2026-07-01T22:00:00Z", "2026-07-02 morgens"),
    ] {
        let slot = slot(at);
        let said = format!("{} {}", slot.datum.0, slot.zeit.as_str());
        assert_eq!(said, expected, "{at}");
    }
}

#[test]
fn the_completion_time_follows_the_status() {
    let (now, then) = (slot("2026-07-01T08:00:00Z"), "abgeschlossen_am");
    let at = "abgeschlossen_am:\n  datum: 01.06.2026\n  zeit: abends\n";
    let (open, done) = (text("T", "offen", ""), text("T", "abgeschlossen", at));
    let without = text("T", "abgeschlossen", "");
    for (file, status, has_time, is_now) in [
        (&open, Status::Abgeschlossen, true, true),
        (&without, Status::Abgeschlossen, true, true),
        (&done, Status::Abgeschlossen, true, false),
        (&done, Status::Offen, false, false),
        (&done, Status::Abgebrochen, false, false),
        (&open, Status::Abgebrochen, false, false),
    ] {
        let fields = Edit {
            status: Some(status),
            ..Edit::default()
        };
        let decision = updated(&name(), file.as_bytes(), &fields, None, now).unwrap();
        let after = written(decision).unwrap_or_else(|| file.clone());
        assert_eq!(
            after.contains(then),
            has_time,
            "{status:?} of {file}: {after}"
        );
        assert_eq!(
            after.contains("01.07.2026"),
            is_now,
            "{status:?} of {file}: {after}"
        );
    }
}

#[test]
fn what_an_update_and_a_completion_refuse() {
    let now = slot("2026-07-01T08:00:00Z");
    let never = IfMatch::OneOf(vec![git_sha(b"other")]);
    let open = text("T", "offen", "");
    let fields = Edit::default();
    let refused = updated(&name(), open.as_bytes(), &fields, Some(&never), now);
    assert!(matches!(refused, Err(TaskError::PreconditionFailed)));
    let update = |bytes: &[u8]| updated(&name(), bytes, &fields, None, now).map(written);
    let complete = |bytes: &[u8]| completed(&name(), bytes, now).map(written);
    for bytes in [&b"---\nkategorie: [\n---\n"[..], b"\xff"] {
        assert!(matches!(update(bytes), Err(TaskError::Unreadable(_))));
        assert!(matches!(complete(bytes), Err(TaskError::Unreadable(_))));
    }
    assert!(matches!(
        update(TOMBSTONE_FILE.as_bytes()),
        Err(TaskError::NotFound)
    ));
    assert!(matches!(
        complete(TOMBSTONE_FILE.as_bytes()),
        Err(TaskError::NotFound)
    ));
}

#[test]
fn a_listing_has_what_meets_all_conditions() {
    let tagged = text("Äpfel kaufen", "offen", "tags: [Markt, obst]\n");
    let done = text("Fertig", "abgeschlossen", "");
    let private = text("Privat", "offen", "").replace("arbeit", "privat");
    let table = TaskTable::new(vec![
        record("0001-Aepfel.md", tagged.as_bytes()),
        record("0002-Fertig.md", done.as_bytes()),
        record("0003-Privat.md", private.as_bytes()),
        record("0004-Kaputt.md", b"---\nkategorie: [\n---\n"),
    ]);
    let all = TaskFilter {
        limit: 10,
        ..TaskFilter::default()
    };
    let with_text = |text: &str| TaskFilter {
        text: Some(text.to_owned()),
        ..all.clone()
    };
    let of = |filter: &TaskFilter| {
        let (rows, next) = filter.page(&table);
        let numbers = rows.iter().map(|row| table.file(*row).name[..4].to_owned());
        let numbers: BTreeSet<String> = numbers.collect();
        let numbers: Vec<String> = numbers.into_iter().collect();
        (numbers.join(" "), next.is_some())
    };
    for (filter, expected) in [
        (all.clone(), "0001 0002 0003"),
        (
            TaskFilter {
                statuses: vec![Status::Offen],
                ..all.clone()
            },
            "0001 0003",
        ),
        (
            TaskFilter {
                statuses: vec![Status::Abgebrochen, Status::Abgeschlossen],
                ..all.clone()
            },
            "0002",
        ),
        (
            TaskFilter {
                kategorie: Some(Kategorie::Privat),
                ..all.clone()
            },
            "0003",
        ),
        (
            TaskFilter {
                tag: Some("Markt".to_owned()),
                ..all.clone()
            },
            "0001",
        ),
        (
            TaskFilter {
                tag: Some("markt".to_owned()),
                ..all.clone()
            },
            "",
        ),
        (with_text("äpfel"), "0001"),
        // The same letter in another normal form.
        (with_text("A\u{308}PFEL kauf"), "0001"),
        (with_text("OBST 0001"), "0001"),
        (with_text("obst privat"), ""),
        (with_text(" "), "0001 0002 0003"),
    ] {
        assert_eq!(of(&filter), (expected.to_owned(), false), "{filter:?}");
    }
    let one = TaskFilter { limit: 1, ..all };
    assert_eq!(of(&one), ("0001".to_owned(), true));
}

#[test]
fn a_listing_has_what_was_done_or_is_due_on_the_days() {
    let done = |day: &str| {
        let more = format!("abgeschlossen_am:\n  datum: {day}\n  zeit: abends\n");
        text("Fertig", "abgeschlossen", &more)
    };
    let due = |day: &str| text("Frist", "offen", &format!("deadline: {day}\n"));
    let texts = [
        done("28.02.2026"),
        done("01.03.2026"),
        text("Fertig, wer weiß wann", "abgeschlossen", ""),
        due("28.02.2026"),
        due("01.03.2026"),
        text("Ohne Frist", "offen", ""),
    ];
    let records = texts.iter().enumerate();
    let records = records.map(|(at, text)| record(&format!("{at:04}-T.md"), text.as_bytes()));
    let table = TaskTable::new(records.collect());
    let day = |day: &str| (!day.is_empty()).then(|| day.parse().unwrap());
    for (from, to, expected_done, expected_due) in [
        ("", "", "012345", "012345"),
        ("28.02.2026", "", "01", "34"),
        ("01.03.2026", "", "1", "4"),
        ("02.03.2026", "", "", ""),
        ("", "01.03.2026", "01", "34"),
        ("", "28.02.2026", "0", "3"),
        ("", "27.02.2026", "", ""),
        ("28.02.2026", "28.02.2026", "0", "3"),
        // Later than the other, by the calendar and not by its text.
        ("01.03.2026", "28.02.2026", "", ""),
    ] {
        let (from, to) = (day(from), day(to));
        let [of_done, of_due] = [true, false].map(|is_done| {
            let (days, other) = (DayRange { from, to }, DayRange::default());
            let (done, due) = if is_done {
                (days, other)
            } else {
                (other, days)
            };
            let limit = 10;
            let filter = TaskFilter {
                done,
                due,
                limit,
                ..TaskFilter::default()
            };
            let rows = filter.page(&table).0.into_iter();
            rows.map(|row| row.to_string()).collect::<String>()
        });
        assert_eq!(
            (&*of_done, &*of_due),
            (expected_done, expected_due),
            "{from:?} {to:?}"
        );
    }
}

#[test]
fn what_counts_as_an_edit_by_somebody_else() {
    let blob = |bytes: &'static [u8], writes| {
        GetOutcome::Blob(Blob {
            bytes: Bytes::from_static(bytes),
            etag: ETag::new("\"1\""),
            writes: match writes {
                true => WriteIds::default().with_newest(WriteId(7)),
                false => WriteIds::default(),
            },
        })
    };
    for (found, if_known, if_new) in [
        (blob(b"text", false), true, true),
        (blob(b"text", true), false, false),
        (blob(TOMBSTONE_FILE.as_bytes(), false), false, false),
        (GetOutcome::Unchanged, false, false),
        (GetOutcome::Changed, true, false),
        (GetOutcome::Absent, true, false),
    ] {
        let by = [true, false].map(|is_known| is_foreign(&found, is_known));
        assert_eq!(by, [if_known, if_new], "{found:?}");
    }
}

proptest! {
    /// A file is found by its number exactly if it is the only one of that number, and by its name always.
    #[test]
    fn a_file_is_found_by_its_name_and_by_its_number_if_that_is_its_own(
        numbers in prop::collection::vec(0..4_u16, 1..6),
    ) {
        let open = text("Offen", "offen", "");
        let names: Vec<String> = numbers
            .iter()
            .enumerate()
            .map(|(index, number)| format!("{number:04}-{index}.md"))
            .collect();
        let table = TaskTable::new(names.iter().map(|it| record(it, open.as_bytes())).collect());
        for name in &names {
            let by_name = locate(&table, &name.trim_end_matches(".md").parse().unwrap());
            prop_assert_eq!(said(&table, by_name), format!("task {name}"));
            let alike = names.iter().filter(|it| it[..4] == name[..4]).count();
            match locate(&table, &name[..4].parse().unwrap()) {
                Located::Task(row) => prop_assert!(alike == 1 && table.file(row).name == name),
                Located::Ambiguous(stems) => prop_assert_eq!(stems.len(), alike),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    /// Nothing is answered without a write unless it is so, nothing is refused without having looked again, and an
    /// update looks again at most once.
    #[test]
    fn an_update_ends(
        etag in prop::option::of(select(vec![git_sha(b"1"), git_sha(b"2")])),
        named in prop::option::of(subsequence(vec![git_sha(b"1"), git_sha(b"2")], 0..=2)),
        is_empty: bool,
        was_confirmed: bool,
    ) {
        let if_match = named.map(IfMatch::OneOf);
        match update_step(etag, if_match.as_ref(), is_empty, was_confirmed) {
            UpdateStep::ConfirmFirst => prop_assert!(!was_confirmed && if_match.is_some()),
            UpdateStep::PreconditionFailed => prop_assert!(was_confirmed && if_match.is_some()),
            UpdateStep::Unchanged(it) => prop_assert!(is_empty && etag == Some(it)),
            UpdateStep::Write => prop_assert!(!is_empty || etag.is_none()),
        }
    }

    /// A completion repeated on its own result changes nothing, and says so.
    #[test]
    fn a_completion_is_done_once(status in select(vec!["offen", "abgebrochen", "abgeschlossen"])) {
        let file = text("T", status, "");
        let (first, later) = (slot("2026-07-01T08:00:00Z"), slot("2026-07-02T08:00:00Z"));
        let (bytes, at) = match completed(&name(), file.as_bytes(), first).unwrap() {
            BlobUpdate::Write(bytes, done) => {
                prop_assert!(!done.already && done.etag == git_sha(&bytes));
                (bytes, done.at)
            }
            BlobUpdate::Keep(done) => {
                prop_assert!(done.already);
                (Bytes::from(file), done.at)
            }
        };
        let again = completed(&name(), &bytes, later).unwrap();
        let expected = CompletionResult { etag: git_sha(&bytes), at, already: true };
        prop_assert!(matches!(again, BlobUpdate::Keep(it) if it == expected));
    }

    /// The pages of a listing, one after the other, have every task once.
    #[test]
    fn pages_have_every_task_once(count in 0..12_usize, limit in 1..5_usize) {
        let open = text("Offen", "offen", "");
        let files = (0..count).map(|it| record(&format!("{it:04}-T.md"), open.as_bytes()));
        let table = TaskTable::new(files.collect());
        let mut filter = TaskFilter { limit, ..TaskFilter::default() };
        let mut seen = vec![];
        loop {
            let (rows, next) = filter.page(&table);
            prop_assert!(rows.len() <= limit);
            seen.extend(rows);
            filter.after = next;
            if filter.after.is_none() {
                break;
            }
        }
        let tasks = (0..table.len())
            .filter(|row| matches!(table.file(*row).content, ContentView::Task(_)));
        prop_assert_eq!(seen, tasks.collect::<Vec<_>>());
    }

    /// Two ranges that meet have together what the range over both has, and nothing twice.
    #[test]
    fn ranges_of_days_that_meet_are_the_whole(
        days in prop::collection::vec(prop::option::of(0..20_u8), 0..12),
        mut ends in prop::array::uniform3(0..20_u8),
    ) {
        let date = |day: u8| -> Datum { format!("{:02}.03.2026", day + 1).parse().unwrap() };
        let texts = days.iter().map(|day| match day {
            Some(day) => text("T", "offen", &format!("deadline: {}\n", date(*day))),
            None => text("T", "offen", ""),
        });
        let records = texts.enumerate();
        let records = records.map(|(at, text)| record(&format!("{at:04}-T.md"), text.as_bytes()));
        let table = TaskTable::new(records.collect());
        let of = |from: u8, to: u8| {
            let due = DayRange { from: Some(date(from)), to: Some(date(to)) };
            TaskFilter { due, limit: 20, ..TaskFilter::default() }.page(&table).0
        };
        ends.sort();
        let [first, middle, last] = ends;
        let mut parts = of(first, middle);
        parts.extend(of(middle + 1, last));
        parts.sort();
        prop_assert_eq!(parts, of(first, last));
        let meant = (0..days.len()).filter(|at| days[*at].is_some_and(|day| (first..=last).contains(&day)));
        prop_assert_eq!(of(first, last), meant.collect::<Vec<_>>());
    }

    /// What changed is what is new, differs or is gone.
    #[test]
    fn the_changed_files_are_the_difference(
        before in subsequence(vec!["0001-a.md", "0002-b.md", "0003-c.md"], 0..=3),
        now in subsequence(vec!["0001-a.md", "0002-b.md", "0003-c.md"], 0..=3),
        edited in subsequence(vec!["0001-a.md", "0002-b.md", "0003-c.md"], 0..=3),
    ) {
        let open = text("Offen", "offen", "");
        let known = TaskTable::new(before.iter().map(|it| record(it, open.as_bytes())).collect());
        let etag = |name: &str| match edited.contains(&name) {
            true => ETag::new("\"edited\""),
            false => ETag::new(name),
        };
        let blobs = now.iter().map(|name| ListedBlob {
            name: (*name).to_owned(),
            etag: etag(name),
            size: 0,
            modified: None,
        });
        let listing = Listing { blobs: blobs.collect(), requests: 1, ..Listing::default() };
        let expected = ["0001-a.md", "0002-b.md", "0003-c.md"].into_iter().filter(|it| {
            before.contains(it) != now.contains(it) || now.contains(it) && edited.contains(it)
        });
        let expected: BTreeSet<String> = expected.map(str::to_owned).collect();
        prop_assert_eq!(changed_files(listing, &known), expected);
    }

    /// A pass visits the same users, beginning with another one.
    #[test]
    fn a_pass_begins_with_another_user_and_leaves_out_nobody(count in 0..20_usize, hours in 0..10_000_i64) {
        let users: Vec<UserId> = (0..count).map(|it| UserId::parse(&format!("u{it:02}")).unwrap()).collect();
        let at = DateTime::from_timestamp(hours * 3_600, 0).unwrap();
        let mut rotated = rotate_start(users.clone(), at);
        if let Some(first) = rotated.first().cloned() {
            let at = users.iter().position(|it| *it == first).unwrap();
            rotated.rotate_right(at);
        }
        prop_assert_eq!(rotated, users);
    }
}
