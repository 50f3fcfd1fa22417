//! A table returns the records it was built from.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use codex_miroir::task::{
    Datum, FileRecord, FixedSlot, GitSha, Kategorie, Parsed, Problem, ProblemCode, Slot, Status,
    Task, TaskId, TaskTable, UsedIds, Zeit,
};
use proptest::prelude::*;

use crate::support::cases;

fn any_datum() -> impl Strategy<Value = Datum> {
    let days = NaiveDate::from_ymd_opt(0, 1, 1).unwrap().iter_days();
    prop_oneof![
        1 => Just(Datum(days.clone().next().unwrap())),
        1 => Just(Datum(NaiveDate::from_ymd_opt(9999, 12, 31).unwrap())),
        8 => (0..10_000_i32, 1..=366_u32)
            .prop_filter_map("no such day", |(year, day)| NaiveDate::from_yo_opt(year, day).map(Datum)),
    ]
}

fn any_slot() -> impl Strategy<Value = Slot> {
    (any_datum(), prop::sample::select(Zeit::ALL)).prop_map(|(datum, zeit)| Slot { datum, zeit })
}

fn any_problem() -> impl Strategy<Value = Problem> {
    (prop::option::of(any::<u32>()), ".{0,20}").prop_map(|(line, message)| Problem {
        line,
        code: ProblemCode::BadYaml,
        message,
    })
}

fn any_task() -> impl Strategy<Value = Task> {
    let fixed = prop_oneof![
        Just(FixedSlot::None),
        any_slot().prop_map(FixedSlot::At),
        any_problem().prop_map(|problem| FixedSlot::Invalid(Box::new(problem))),
    ];
    (
        prop_oneof!["[a-c -]{0,6}", ".{0,20}"],
        prop::sample::select(Kategorie::ALL),
        prop::sample::select(Status::ALL),
        prop::collection::vec("[ab]{0,2}|.{0,8}", 0..4),
        prop::option::of(any_datum()),
        fixed,
        prop::option::of(any_slot()),
    )
        .prop_map(
            |(title, kategorie, status, tags, deadline, fixed_slot, abgeschlossen_am)| Task {
                title,
                kategorie,
                status,
                tags,
                deadline,
                fixed_slot,
                abgeschlossen_am,
            },
        )
}

fn any_file() -> impl Strategy<Value = FileRecord> {
    let content = prop_oneof![
        6 => any_task().prop_map(Parsed::Task),
        1 => Just(Parsed::NotATask),
        1 => Just(Parsed::Tombstone),
        2 => any_problem().prop_map(Parsed::Unreadable),
    ];
    let sha = prop::option::of(any::<[u8; 20]>().prop_map(GitSha));
    // Few letters, so that titles are often substrings of file names.
    (0..50_u16, "[a-c-]{0,8}", "[0-9A-Fx]{0,20}", sha, content).prop_map(
        |(number, rest, etag, sha, content)| FileRecord {
            name: format!("{number:04}-{rest}.md"),
            etag,
            sha,
            content,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn what_goes_in_comes_out_in_planning_order(files in prop::collection::vec(any_file(), 0..40)) {
        let table = TaskTable::new(files.clone());
        let expected: BTreeMap<String, FileRecord> =
            files.into_iter().map(|file| (file.name.clone(), file)).collect();
        prop_assert_eq!(table.len(), expected.len());
        for (file, expected) in table.iter().zip(expected.values()) {
            prop_assert_eq!(&file.to_record(), expected);
            prop_assert_eq!(table.find(&expected.name).map(|found| found.to_record()), Some(expected.clone()));
        }
        prop_assert!(table.find("0000-nirgends-zu-finden.md").is_none());
    }

    /// A title's `Display`, `text` and serialised form agree.
    #[test]
    fn a_title_reads_the_same_in_every_way(files in prop::collection::vec(any_file(), 0..20)) {
        for file in TaskTable::new(files).iter() {
            if let codex_miroir::task::ContentView::Task(task) = file.content {
                prop_assert_eq!(task.title.to_string(), task.title.text());
                prop_assert_eq!(serde_json::to_value(task.title).unwrap(), task.title.text().into_owned());
            }
        }
    }
}

#[test]
fn numbers_of_all_files_but_settled_ones_are_taken() {
    let file = |name: &str, content| FileRecord {
        name: name.to_owned(),
        etag: String::new(),
        sha: None,
        content,
    };
    let used = |files| UsedIds::of(&TaskTable::new(files));
    assert_eq!(
        (used(vec![]).min_next_id(), used(vec![]).free()),
        (0, 10_000)
    );
    let some = used(vec![
        file("0000.md", Parsed::NotATask),
        file("0002-a.md", Parsed::NotATask),
        file("0002-b.md", Parsed::NotATask),
        file("0007-c.md", Parsed::Tombstone),
    ]);
    assert_eq!((some.min_next_id(), some.free()), (3, 9_998));
    assert_eq!(some.next_available(0).map(TaskId::number), Some(3));
    assert_eq!(some.next_available(12).map(TaskId::number), Some(12));
    assert_eq!(some.next_available(10_000).map(TaskId::number), Some(1));
}
