//! The week as a calendar (`src/http/README.md`, "The calendar"): which entries there are, and that the bytes are a
//! valid object of RFC 5545 whatever the tasks are called.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use codex_miroir::task::{
    ContentView, Datum, FileRecord, FixedSlot, FixedSlotView, Kategorie, Parsed, Problem,
    ProblemCode, Slot, Status, Task, TaskTable, Zeit,
};
use codex_miroir::timeline::{Reason, end_of_slot, place};
use codex_miroir::user::UserId;
use codex_miroir::view::{CalendarWeek, Language, calendar};
use icalendar::{Calendar, Component, Event, EventLike};
use insta::assert_snapshot;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::cases;

fn datum(text: &str) -> Datum {
    text.parse().unwrap()
}

fn slot(day: &str, zeit: Zeit) -> Option<Slot> {
    let datum = datum(day);
    Some(Slot { datum, zeit })
}

fn task(title: &str) -> Task {
    Task {
        title: title.to_owned(),
        kategorie: Kategorie::Arbeit,
        status: Status::Offen,
        tags: vec![],
        deadline: None,
        fixed_slot: FixedSlot::None,
        abgeschlossen_am: None,
    }
}

fn fixed(title: &str, slot: Option<Slot>) -> Task {
    Task {
        fixed_slot: FixedSlot::At(slot.unwrap()),
        ..task(title)
    }
}

fn due(title: &str, day: &str) -> Task {
    Task {
        deadline: Some(datum(day)),
        ..task(title)
    }
}

fn table(tasks: impl IntoIterator<Item = Task>) -> TaskTable {
    let records = tasks
        .into_iter()
        .enumerate()
        .map(|(number, task)| FileRecord {
            name: format!("{number:04}-x.md"),
            etag: "e".to_owned(),
            sha: None,
            content: Parsed::Task(task),
        });
    TaskTable::new(records.collect())
}

/// The calendar of these files at `now`, with slots of an hour.
fn rendered(table: &TaskTable, now: DateTime<Utc>, zone: Tz, language: Language) -> String {
    calendar(&CalendarWeek {
        user: &UserId::parse("anna").unwrap(),
        table,
        timeline: &place(table, now, zone),
        zone,
        duration: TimeDelta::minutes(60),
        language,
    })
}

/// The same in Berlin and in German.
fn feed(tasks: impl IntoIterator<Item = Task>, now: &str) -> String {
    let zone = Tz::Europe__Berlin;
    let now = now.parse().unwrap();
    rendered(&table(tasks), now, zone, Language::German)
}

/// The entries, after a check of every line.
fn entries(feed: &str) -> Vec<Event> {
    assert!(feed.ends_with("\r\n"));
    for line in feed.strip_suffix("\r\n").unwrap().split("\r\n") {
        assert!(
            (1..=75).contains(&line.len()),
            "{} octets: {line}",
            line.len()
        );
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let calendar = Calendar::from_str(feed).unwrap();
    calendar.events().cloned().collect()
}

fn value<'a>(event: &'a Event, name: &str) -> &'a str {
    event.property_value(name).unwrap_or_default()
}

/// Start, end, transparency and title of each entry.
fn rows(feed: &str) -> Vec<[String; 4]> {
    let of = |event: &Event| {
        ["DTSTART", "DTEND", "TRANSP", "SUMMARY"].map(|name| value(event, name).to_owned())
    };
    entries(feed).iter().map(of).collect()
}

/// Monday, 9 March 2026, 8:00 in Berlin.
const MONDAY: &str = "2026-03-09T07:00:00Z";

#[test]
fn it_has_the_week_what_is_fixed_after_it_and_deadlines() {
    let tasks = [
        Task {
            deadline: Some(datum("12.03.2026")),
            ..task("Angebot, Teil 2; Preise\\Rabatt")
        },
        fixed("Zahnarzt", slot("10.03.2026", Zeit::Abends)),
        fixed("Konzert", slot("30.12.2026", Zeit::Abends)),
    ];
    assert_snapshot!(feed(tasks, MONDAY).replace("\r\n", "\n"), @r"
    BEGIN:VCALENDAR
    VERSION:2.0
    PRODID:-//CodexMiroir//CodexMiroir//EN
    CALSCALE:GREGORIAN
    NAME:CodexMiroir
    X-WR-CALNAME:CodexMiroir
    REFRESH-INTERVAL;VALUE=DURATION:PT3600S
    X-PUBLISHED-TTL:PT3600S
    BEGIN:VEVENT
    DTEND:20260309T090000Z
    DTSTAMP:20260309T080000Z
    DTSTART:20260309T080000Z
    SUMMARY:Angebot\, Teil 2\; Preise\\Rabatt
    TRANSP:TRANSPARENT
    UID:c02a5237c3a567574c6a16c9fa4c585e@codex-miroir
    CATEGORIES:Arbeit
    END:VEVENT
    BEGIN:VEVENT
    DTEND:20260310T190000Z
    DTSTAMP:20260310T180000Z
    DTSTART:20260310T180000Z
    SUMMARY:Zahnarzt
    TRANSP:OPAQUE
    UID:788cdcb938fa035f9c007cc89f41a1fd@codex-miroir
    CATEGORIES:Arbeit
    BEGIN:VALARM
    ACTION:DISPLAY
    DESCRIPTION:Zahnarzt
    DTSTAMP:20260310T180000Z
    TRIGGER:-PT900S
    UID:13e61d2f71ff64d8f88c0e8d7fa311cb@codex-miroir
    END:VALARM
    END:VEVENT
    BEGIN:VEVENT
    DTEND:20261230T190000Z
    DTSTAMP:20261230T180000Z
    DTSTART:20261230T180000Z
    SUMMARY:Konzert
    TRANSP:OPAQUE
    UID:82f4544e69edc75fef7bdf28dd855b4b@codex-miroir
    CATEGORIES:Arbeit
    BEGIN:VALARM
    ACTION:DISPLAY
    DESCRIPTION:Konzert
    DTSTAMP:20261230T180000Z
    TRIGGER:-PT900S
    UID:5f0cb4f42aff0cd451d3e64903b9cddb@codex-miroir
    END:VALARM
    END:VEVENT
    BEGIN:VEVENT
    DTSTAMP:20260312T000000Z
    DTSTART;VALUE=DATE:20260312
    SUMMARY:Frist: Angebot\, Teil 2\; Preise\\Rabatt
    TRANSP:TRANSPARENT
    UID:10493debe32488de1ddb756d929112d0@codex-miroir
    CATEGORIES:Arbeit
    END:VEVENT
    END:VCALENDAR
    ");
}

#[test]
fn what_is_shown_where() {
    let morning = || slot("09.03.2026", Zeit::Morgens);
    let with = |status, task: Task| Task { status, ..task };
    let many = (0..12).map(|n| task(&format!("Nr. {n}")));
    let mut full: Vec<Task> = many.collect();
    full[11].deadline = Some(datum("01.03.2026"));
    let problem = Problem {
        line: None,
        code: ProblemCode::InvalidFixedSlot,
        message: String::new(),
    };
    let invalid = Task {
        fixed_slot: FixedSlot::Invalid(Box::new(problem)),
        ..due("Kaputt", "11.03.2026")
    };
    // What is asked, and the titles with their starts.
    let cases: [(&str, Vec<Task>, &[&str]); 8] = [
        ("nothing", vec![], &[]),
        ("a free slot", vec![task("A")], &["20260309T080000Z A"]),
        (
            "a slot that is taken is the first task's",
            vec![fixed("A", morning()), fixed("B", morning())],
            &["20260309T080000Z A"],
        ),
        (
            "a slot that has passed is in no answer",
            vec![fixed("A", slot("08.03.2026", Zeit::Abends))],
            &[],
        ),
        (
            "two that are fixed in one slot after the week",
            vec![
                fixed("A", slot("16.03.2026", Zeit::Morgens)),
                fixed("B", slot("16.03.2026", Zeit::Morgens)),
            ],
            &["20260316T080000Z A", "20260316T080000Z B"],
        ),
        (
            "what is done or cancelled",
            vec![
                with(Status::Abgeschlossen, due("A", "10.03.2026")),
                with(Status::Abgebrochen, fixed("B", morning())),
            ],
            &[],
        ),
        (
            "an invalid slot has its deadline",
            vec![invalid],
            &["20260311 Frist: Kaputt"],
        ),
        (
            "a deadline before today of a task without a slot",
            full.split_off(11),
            &["20260309T080000Z Nr. 11", "20260301 Frist: Nr. 11"],
        ),
    ];
    for (what, tasks, expected) in cases {
        let shown = rows(&feed(tasks, MONDAY));
        let shown: Vec<String> = shown
            .iter()
            .map(|[start, .., title]| format!("{start} {title}"))
            .collect();
        assert_eq!(shown, expected, "{what}");
    }
    assert_eq!(
        rows(&feed(full, MONDAY)).len(),
        10,
        "five days with two slots"
    );
}

/// The hours are those of the clock on the wall: an hour earlier in UTC once it is summer.
#[test]
fn hours_are_right_across_summer_time() {
    // Clocks go forward on 29 March 2026 and back on 25 October.
    for (now, expected) in [
        (
            "2026-03-27T06:00:00Z",
            ["20260327T080000Z", "20260330T070000Z"],
        ),
        (
            "2026-10-23T06:00:00Z",
            ["20261023T070000Z", "20261026T080000Z"],
        ),
    ] {
        let shown = rows(&feed([task("A"), task("B"), task("C")], now));
        let starts = [&shown[0][0], &shown[2][0]];
        assert_eq!(starts, expected, "Friday morning, Monday morning");
        assert!(shown.iter().all(|[start, end, ..]| start < end));
    }
}

/// As the placement decides it: the first instant after the gap, and the earlier one of two.
#[test]
fn a_local_time_that_is_missing_or_there_twice() {
    for (zone, now, day, start) in [
        // Samoa had no 30 December 2011; midnight of the 31st.
        (
            Tz::Pacific__Apia,
            "2011-12-20T00:00:00Z",
            "30.12.2011",
            "20111230T100000Z",
        ),
        // Kwajalein had 30 September 1969 twice.
        (
            Tz::Pacific__Kwajalein,
            "1969-09-20T00:00:00Z",
            "30.09.1969",
            "19690929T220000Z",
        ),
    ] {
        let table = table([fixed("A", slot(day, Zeit::Morgens))]);
        let shown = rows(&rendered(
            &table,
            now.parse().unwrap(),
            zone,
            Language::English,
        ));
        assert_eq!(shown[0][0], start, "{zone}");
    }
}

#[test]
fn the_words_are_in_its_language() {
    let table = table([due("Steuer", "12.03.2026")]);
    let now = MONDAY.parse().unwrap();
    for (language, category, title) in [
        (Language::German, "Arbeit", "Frist: Steuer"),
        (Language::English, "Work", "Deadline: Steuer"),
    ] {
        let entries = entries(&rendered(&table, now, Tz::Europe__Berlin, language));
        assert_eq!(entries[0].get_categories().unwrap(), [category]);
        assert_eq!(value(&entries[1], "SUMMARY"), title);
    }
}

/// Its id, and that of its deadline.
#[test]
fn an_entry_keeps_its_id_as_it_moves() {
    let ids = |now: &str, task: Task| {
        let entries = entries(&feed([task], now));
        let ids = entries.iter().map(|event| value(event, "UID").to_owned());
        ids.collect::<Vec<_>>()
    };
    let first = ids(MONDAY, due("A", "12.03.2026"));
    assert_eq!(first.len(), 2);
    assert_eq!(
        ids("2026-03-09T09:00:00Z", due("B", "13.03.2026")),
        first,
        "moved and renamed"
    );
    let fixed = fixed("A", slot("24.12.2026", Zeit::Abends));
    assert_eq!(ids(MONDAY, fixed), first[..1], "fixed");
}

#[test]
fn hostile_titles() {
    for (title, expected) in [
        ("a\r\nEND:VCALENDAR\r\nb", "a END:VCALENDAR b"),
        ("\0\u{1b}[31m\u{7f}\u{85}\u{2028}x\u{2029}", "[31m x"),
        ("  \t ", "0000"),
        ("\\n, \\; \"quoted\": ü", "\\n, \\; \"quoted\": ü"),
        ("BEGIN:VALARM", "BEGIN:VALARM"),
    ] {
        let shown = rows(&feed([task(title)], MONDAY));
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0][3], expected, "{title:?}");
    }
    for letter in ["x", "ü", "𝄞", "👩‍👩‍👧 "] {
        let long = letter.repeat(200_000);
        let shown = rows(&feed([task(&long)], MONDAY));
        let title = &shown[0][3];
        assert_eq!(title.chars().count(), 201, "{title}");
        assert!(title.ends_with('…'));
    }
}

fn any_title() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,30}",
        "\\PC{0,120}",
        any::<String>(),
        "(\r\n|\n|[;:,\\\\\"]|END:VEVENT|\u{2028}|[\0-\u{1f}]|ü|𝄞){0,60}",
    ]
}

/// Days around today, and the first and the last there can be.
fn any_day() -> impl Strategy<Value = Datum> {
    let near = (0..40_u64).prop_map(|days| datum("01.03.2026").0 + Days::new(days));
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap();
    let odd = select(vec![last, NaiveDate::from_ymd_opt(1, 1, 1).unwrap()]);
    prop_oneof![9 => near, 1 => odd].prop_map(Datum)
}

fn any_task() -> impl Strategy<Value = Task> {
    let slots = (any_day(), select(Zeit::ALL));
    let slots = slots.prop_map(|(datum, zeit)| FixedSlot::At(Slot { datum, zeit }));
    (
        any_title(),
        select(Kategorie::ALL),
        prop_oneof![4 => Just(Status::Offen), 1 => select(Status::ALL)],
        prop::option::of(any_day()),
        prop_oneof![Just(FixedSlot::None), slots],
    )
        .prop_map(|(title, kategorie, status, deadline, fixed_slot)| Task {
            kategorie,
            status,
            deadline,
            fixed_slot,
            ..task(&title)
        })
}

/// How many entries the calendar of this week has.
fn expected_entries(table: &TaskTable, now: DateTime<Utc>, zone: Tz) -> usize {
    let timeline = place(table, now, zone);
    let slots = timeline.days.iter().flat_map(|day| &day.slots);
    let placed = slots.filter(|slot| slot.task.is_some()).count();
    let after = timeline.unplaced.iter();
    let after = after.filter(|it| it.reason == Reason::OutsideHorizon);
    // West of Greenwich the last evening ends in the year 10000 of UTC.
    let is_writable = |row: usize| match table.file(row).content {
        ContentView::Task(task) => match task.fixed_slot {
            FixedSlotView::At(slot) => end_of_slot(slot, zone).year() < 10_000,
            _ => false,
        },
        _ => false,
    };
    let after = after.filter(|it| is_writable(it.row)).count();
    let open = table.iter().filter(|file| match file.content {
        ContentView::Task(task) => task.status == Status::Offen && task.deadline.is_some(),
        _ => false,
    });
    placed + after + open.count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]

    #[test]
    fn any_week_is_a_calendar_that_reads_back(
        tasks in prop::collection::vec(any_task(), 0..40),
        hours in 0..2_000_i64,
        zone in select(vec![Tz::Europe__Berlin, Tz::America__New_York, Tz::Asia__Kolkata, Tz::Pacific__Apia, Tz::UTC]),
        language in select(vec![Language::German, Language::English]),
    ) {
        let now = MONDAY.parse::<DateTime<Utc>>().unwrap() - TimeDelta::hours(hours);
        let table = table(tasks);
        let feed = rendered(&table, now, zone, language);
        let entries = entries(&feed);
        prop_assert_eq!(entries.len(), expected_entries(&table, now, zone));
        let ids: BTreeSet<&str> = entries.iter().map(|event| value(event, "UID")).collect();
        prop_assert_eq!(ids.len(), entries.len());
        for event in &entries {
            let title = value(event, "SUMMARY");
            prop_assert!(!title.is_empty() && title.chars().count() <= 211, "{}", title);
            prop_assert!(["OPAQUE", "TRANSPARENT"].contains(&value(event, "TRANSP")));
        }
        prop_assert_eq!(rendered(&table, now, zone, language), feed, "the same bytes");
    }
}
