//! Timeline placement (`src/timeline/README.md`): the cases of `placement/cases.json`, and invariants for any files at
//! any time.
//!
//! A case has one user's `files` by name, and `expect`, their expected placement at `now` in `timeZone`. In each slot
//! of `timeline`, `file` names the file placed there or is null. `takenBy` and `problems` name files, too; `unplaced`
//! and `problems` are sorted by file name.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Duration, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;
use codex_miroir::task::{
    ContentView, Datum, FileName, FileRecord, FixedSlot, FixedSlotView, Kategorie, Parsed, Problem,
    ProblemCode, Slot, Status, Task, TaskTable, Zeit, git_sha, parse,
};
use codex_miroir::timeline::{Reason, Timeline, instant_of, next_boundary, place};
use proptest::prelude::*;
use serde_json::{Value, json};

fn table(files: &BTreeMap<String, String>) -> TaskTable {
    let records = files.iter().map(|(name, text)| FileRecord {
        name: name.clone(),
        etag: "e".to_owned(),
        sha: Some(git_sha(text.as_bytes())),
        content: parse(&name.parse::<FileName>().unwrap(), text.as_bytes()),
    });
    TaskTable::new(records.collect())
}

/// A timeline in the format of the cases.
fn as_case(table: &TaskTable, timeline: &Timeline) -> Value {
    let name = |row: usize| table.file(row).name.to_owned();
    let days: Vec<Value> = timeline
        .days
        .iter()
        .map(|day| {
            let slots: Vec<Value> = day
                .slots
                .iter()
                .map(|slot| {
                    json!({
                        "zeit": slot.zeit,
                        "file": slot.task.map(|task| name(task.row)),
                        "isFixed": slot.task.is_some_and(|task| task.is_fixed),
                        "deadlineMissed": slot.task.is_some_and(|task| task.deadline_missed),
                    })
                })
                .collect();
            json!({"datum": day.datum, "dayOfWeek": day.datum.0.weekday().num_days_from_sunday(), "slots": slots})
        })
        .collect();
    let mut unplaced: Vec<Value> = timeline
        .unplaced
        .iter()
        .map(|it| {
            let mut entry = json!({"file": name(it.row), "reason": it.reason.as_str()});
            if let Reason::SlotTaken { by } = it.reason {
                entry["takenBy"] = json!(name(by));
            }
            entry
        })
        .collect();
    unplaced.sort_by_key(|entry| entry["file"].as_str().unwrap().to_owned());
    let problems: Vec<String> = timeline.problems.iter().map(|row| name(*row)).collect();
    json!({"weekStart": timeline.today, "timeline": days, "unplaced": unplaced, "problems": problems})
}

#[test]
fn every_case_is_placed_as_expected() {
    let cases = include_str!("placement/cases.json");
    let cases: Vec<Value> = serde_json::from_str(cases).unwrap();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    for case in &cases {
        let files = serde_json::from_value(case["files"].clone()).unwrap();
        let zone: Tz = case["timeZone"].as_str().unwrap().parse().unwrap();
        let now: DateTime<Utc> = case["now"].as_str().unwrap().parse().unwrap();
        let table = table(&files);
        let timeline = place(&table, now, zone);
        assert_eq!(
            as_case(&table, &timeline),
            case["expect"],
            "case {}",
            case["name"]
        );
    }
}

/// Zones with ordinary clock changes, changes at midnight, no changes, odd offsets, and a skipped day.
const ZONES: [Tz; 9] = [
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::America__Santiago,
    Tz::Africa__Cairo,
    Tz::America__Havana,
    Tz::Atlantic__Azores,
    Tz::Asia__Kolkata,
    Tz::Pacific__Apia,
    Tz::UTC,
];

fn any_moment() -> impl Strategy<Value = (DateTime<Utc>, Tz)> {
    let from = Utc.with_ymd_and_hms(2011, 1, 1, 0, 0, 0).unwrap();
    let anywhere =
        (0..20 * 366 * 86_400_i64).prop_map(move |seconds| from + Duration::seconds(seconds));
    let year_end = (2011..2031, -200_000..200_000_i64).prop_map(|(year, seconds)| {
        Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap() + Duration::seconds(seconds)
    });
    (
        prop_oneof![3 => anywhere, 1 => year_end],
        prop::sample::select(&ZONES),
    )
}

/// A task whose dates are offsets in days from the week's first day.
#[derive(Debug, Clone)]
struct Plan {
    kategorie: Kategorie,
    status: Status,
    fixed: Option<(i64, Zeit)>,
    broken: u8,
    deadline: Option<i64>,
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let kategorie = prop::sample::select(Kategorie::ALL);
    let status = prop_oneof![4 => Just(Status::Offen), 1 => prop::sample::select(Status::ALL)];
    let fixed = prop::option::weighted(0.4, (-3..10_i64, prop::sample::select(Zeit::ALL)));
    (
        kategorie,
        status,
        fixed,
        0..20_u8,
        prop::option::of(-3..10_i64),
    )
        .prop_map(|(kategorie, status, fixed, broken, deadline)| Plan {
            kategorie,
            status,
            fixed,
            broken,
            deadline,
        })
}

fn planned(plans: &[(u16, Plan)], today: NaiveDate) -> TaskTable {
    let day = |offset: i64| Datum(today + Duration::days(offset));
    let problem = || Problem {
        line: Some(3),
        code: ProblemCode::InvalidFixedSlot,
        message: "x".to_owned(),
    };
    let records = plans.iter().map(|(number, plan)| FileRecord {
        name: format!("{number:04}-x.md"),
        etag: "e".to_owned(),
        sha: None,
        content: match plan.broken {
            0 => Parsed::Unreadable(problem()),
            1 => Parsed::NotATask,
            2 => Parsed::Tombstone,
            broken => Parsed::Task(Task {
                title: "x".to_owned(),
                kategorie: plan.kategorie,
                status: plan.status,
                tags: Vec::new(),
                deadline: plan.deadline.map(day),
                fixed_slot: match plan.fixed {
                    _ if broken == 3 => FixedSlot::Invalid(Box::new(problem())),
                    Some((offset, zeit)) => FixedSlot::At(Slot {
                        datum: day(offset),
                        zeit,
                    }),
                    None => FixedSlot::None,
                },
                abgeschlossen_am: None,
            }),
        },
    });
    TaskTable::new(records.collect())
}

fn in_slots(timeline: &Timeline) -> Vec<(Slot, usize, bool)> {
    let days = timeline.days.iter();
    days.flat_map(|day| day.slots.iter().map(move |slot| (day.datum, slot)))
        .filter_map(|(datum, slot)| {
            let task = slot.task?;
            Some((
                Slot {
                    datum,
                    zeit: slot.zeit,
                },
                task.row,
                task.is_fixed,
            ))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::support::cases(512)))]

    /// No task is dropped silently or placed twice.
    #[test]
    fn every_open_task_is_in_exactly_one_place(
        plans in prop::collection::vec((0..300_u16, any_plan()), 0..80),
        (now, zone) in any_moment(),
    ) {
        let table = planned(&plans, now.with_timezone(&zone).date_naive());
        let timeline = place(&table, now, zone);
        let mut places = BTreeMap::new();
        let slots = in_slots(&timeline).into_iter().map(|(_, row, _)| row);
        for row in slots.chain(timeline.unplaced.iter().map(|it| it.row)).chain(timeline.problems.iter().copied()) {
            *places.entry(row).or_insert(0) += 1;
        }
        let expected: BTreeMap<usize, i32> = table.iter().enumerate()
            .filter(|(_, file)| match file.content {
                ContentView::Task(task) => task.status == Status::Offen,
                ContentView::Unreadable(_) => true,
                _ => false,
            })
            .map(|(row, _)| (row, 1))
            .collect();
        prop_assert_eq!(places, expected);
    }

    #[test]
    fn slots_follow_the_rules(
        plans in prop::collection::vec((0..300_u16, any_plan()), 0..80),
        (now, zone) in any_moment(),
    ) {
        let table = planned(&plans, now.with_timezone(&zone).date_naive());
        let timeline = place(&table, now, zone);
        let slots = in_slots(&timeline);
        let distinct: BTreeSet<Slot> = slots.iter().map(|(slot, ..)| *slot).collect();
        prop_assert_eq!(distinct.len(), slots.len(), "two tasks in a slot");
        for (slot, row, is_fixed) in slots {
            let ContentView::Task(task) = table.file(row).content else { panic!("no task in a slot") };
            prop_assert!(ends(slot, zone) > now, "{slot:?} has passed");
            if let FixedSlotView::At(wanted) = task.fixed_slot {
                prop_assert!(is_fixed && wanted == slot);
            } else {
                let weekend = slot.datum.0.weekday().number_from_monday() > 5;
                prop_assert!(!is_fixed && slot.zeit != Zeit::Abends);
                prop_assert_eq!(weekend, task.kategorie == Kategorie::Privat);
            }
        }
    }

    /// Tasks without a fixed slot keep their order; one that has no room leaves none to a later task of its category.
    #[test]
    fn a_lower_number_is_never_later(
        plans in prop::collection::vec((0..300_u16, any_plan()), 0..80),
        (now, zone) in any_moment(),
    ) {
        let table = planned(&plans, now.with_timezone(&zone).date_naive());
        let timeline = place(&table, now, zone);
        for kategorie in Kategorie::ALL {
            let rows: Vec<usize> = in_slots(&timeline).into_iter()
                .filter(|(_, row, is_fixed)| !is_fixed && matches!(table.file(*row).content,
                    ContentView::Task(task) if task.kategorie == *kategorie))
                .map(|(_, row, _)| row)
                .collect();
            prop_assert!(rows.is_sorted());
            let full = timeline.unplaced.iter().find(|it| it.reason == Reason::HorizonFull
                && matches!(table.file(it.row).content, ContentView::Task(task) if task.kategorie == *kategorie));
            if let Some(full) = full {
                prop_assert!(rows.iter().all(|row| *row < full.row));
            }
        }
    }

    /// Placing at any later moment before `valid_until` gives the same week.
    #[test]
    fn nothing_changes_before_valid_until(
        plans in prop::collection::vec((0..300_u16, any_plan()), 0..40),
        (now, zone) in any_moment(),
        part in 0.0..1.0_f64,
    ) {
        let table = planned(&plans, now.with_timezone(&zone).date_naive());
        let timeline = place(&table, now, zone);
        let span = timeline.valid_until - now;
        prop_assert!(span > Duration::zero() && span <= Duration::hours(34), "{span}");
        let later = now + Duration::seconds(((span.num_seconds() - 1) as f64 * part) as i64);
        prop_assert_eq!(place(&table, later, zone), timeline);
    }
}

/// The instant at which a slot has passed.
fn ends(slot: Slot, zone: Tz) -> DateTime<Utc> {
    let hour = match slot.zeit {
        Zeit::Morgens => 9,
        Zeit::Nachmittags => 14,
        Zeit::Abends => 19,
    };
    instant_of(slot.datum, hour, zone)
}

fn datum(text: &str) -> Datum {
    text.parse().unwrap()
}

#[test]
fn a_day_without_a_midnight_begins_at_the_end_of_the_gap() {
    // Santiago sets its clocks from 24:00 to 1:00 on 5 September 2026; Cairo sets them from 0:00 to 1:00.
    let midnight = instant_of(datum("06.09.2026"), 0, Tz::America__Santiago);
    assert_eq!(midnight.to_rfc3339(), "2026-09-06T04:00:00+00:00");
    assert_eq!(
        midnight.with_timezone(&Tz::America__Santiago).to_rfc3339(),
        "2026-09-06T01:00:00-03:00"
    );
    let before = midnight - Duration::seconds(1);
    assert_eq!(next_boundary(before, Tz::America__Santiago), midnight);
    assert_eq!(
        place(&TaskTable::default(), before, Tz::America__Santiago).today,
        datum("05.09.2026")
    );
    assert_eq!(
        place(&TaskTable::default(), midnight, Tz::America__Santiago).today,
        datum("06.09.2026")
    );
}

#[test]
fn a_local_time_that_exists_twice_is_the_earlier_one() {
    // Havana sets its clocks back from 1:00 to 0:00, so midnight exists twice.
    let midnight = instant_of(datum("01.11.2026"), 0, Tz::America__Havana);
    assert_eq!(midnight.to_rfc3339(), "2026-11-01T04:00:00+00:00");
}

#[test]
fn the_boundary_after_a_skipped_day_is_the_midnight_of_the_one_after() {
    // Apia skipped 30 December 2011.
    let now = instant_of(datum("29.12.2011"), 0, Tz::Pacific__Apia);
    let timeline = place(&TaskTable::default(), now, Tz::Pacific__Apia);
    assert_eq!(timeline.days[0].datum, datum("29.12.2011"));
    assert_eq!(
        next_boundary(
            instant_of(datum("29.12.2011"), 19, Tz::Pacific__Apia),
            Tz::Pacific__Apia
        ),
        instant_of(datum("31.12.2011"), 0, Tz::Pacific__Apia)
    );
}
