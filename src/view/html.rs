//! The week as one printable page, without a script (SPEC.md 1, `format=html`). Its words are
//! German, as the files are.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{FEW_IDS, Stamps, Week, problem_in, task_in};
use crate::task::{Datum, TaskView, Zeit};
use crate::timeline::{Day, DaySlot, Placed, Reason, Unplaced};

/// The page's style sheet, so that the answer's `Content-Security-Policy` can allow it and nothing
/// else.
pub const STYLESHEET: &str = include_str!("week.css");

/// Rendered, harmless bodies by row, for the tasks whose bodies are to be shown.
pub type Bodies = BTreeMap<usize, String>;

/// Shown in place of a body that the service may not open.
pub const CLOSED_BODY: &str = "<p><em>Der Text ist nicht lesbar.</em></p>";

const WEEKDAYS: [&str; 7] = [
    "Sonntag",
    "Montag",
    "Dienstag",
    "Mittwoch",
    "Donnerstag",
    "Freitag",
    "Samstag",
];

/// Writes the page.
pub fn html(week: &Week<'_>, stamps: &Stamps, bodies: &Bodies) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="de" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Woche ab " (week.timeline.today) " · " (week.user) }
                style { (PreEscaped(STYLESHEET)) }
            }
            body {
                h1 { "Woche ab " (week.timeline.today) }
                p.dim {
                    (week.user) " · Stand " (local_time(stamps.generated_at, week.zone))
                    " · gültig bis " (local_time(week.timeline.valid_until, week.zone))
                }
                main {
                    div.week { @for shown in &week.timeline.days { (day(week, shown, bodies)) } }
                    (unplaced_list(week))
                    (problem_list(week))
                }
            }
        }
    };
    page.into_string()
}

fn day(week: &Week<'_>, day: &Day, bodies: &Bodies) -> Markup {
    html! {
        section.today[day.datum == week.timeline.today] {
            h2 { (weekday(day.datum)) ", " (day.datum) }
            dl { @for shown in &day.slots { (slot(week, shown, bodies)) } }
        }
    }
}

fn slot(week: &Week<'_>, slot: &DaySlot, bodies: &Bodies) -> Markup {
    let task = slot
        .task
        .and_then(|placed| Some((placed, task_in(week, placed.row)?)));
    let is_fixed = slot.task.is_some_and(|placed| placed.is_fixed);
    html! {
        dt { (zeit(slot.zeit)) @if is_fixed { " · Termin" } }
        @match task {
            Some((placed, task)) => dd class=(task.kategorie) {
                (in_slot(placed, task))
                @if let Some(body) = bodies.get(&placed.row) { div.body { (PreEscaped(body)) } }
            },
            None => dd.dim { "frei" },
        }
    }
}

fn in_slot(placed: Placed, task: TaskView<'_>) -> Markup {
    html! {
        span.dim { (task.id) " " } (task.title.text())
        @if let Some(deadline) = task.deadline {
            div.dim.late[placed.deadline_missed] {
                "bis " (deadline)
                @if placed.deadline_missed { " – Frist überschritten" }
            }
        }
        @if !task.tags.is_empty() {
            div { @for tag in task.tags.iter() { span.tag { (tag) } } }
        }
    }
}

fn unplaced_list(week: &Week<'_>) -> Markup {
    let unplaced = &week.timeline.unplaced;
    html! {
        @if !unplaced.is_empty() {
            section.list {
                h2 { "Ohne Platz (" (unplaced.len()) ")" }
                ul { @for it in unplaced { (unplaced_item(week, it)) } }
            }
        }
    }
}

fn unplaced_item(week: &Week<'_>, unplaced: &Unplaced) -> Markup {
    html! {
        @if let Some(task) = task_in(week, unplaced.row) {
            li {
                span.dim { (task.id) " " } (task.title.text())
                span.dim {
                    " – " (reason(week, unplaced.reason))
                    @if let Some(deadline) = task.deadline { ", bis " (deadline) }
                }
            }
        }
    }
}

fn reason(week: &Week<'_>, reason: Reason) -> Markup {
    html! {
        @match reason {
            Reason::SlotTaken { by } => { "der Termin gehört schon " (week.table.file(by).name) },
            Reason::SlotPassed => "der Termin ist vorbei",
            Reason::OutsideHorizon => "der Termin liegt nach dieser Woche",
            Reason::HorizonFull => "in dieser Woche ist nichts mehr frei",
        }
    }
}

fn problem_list(week: &Week<'_>) -> Markup {
    let few_ids = week.free_ids <= FEW_IDS;
    html! {
        @if few_ids || !week.timeline.problems.is_empty() || !week.merged.is_empty() {
            section.list {
                h2 { (if week.timeline.problems.is_empty() && !few_ids { "Hinweise" } else { "Nicht lesbar" }) }
                ul {
                    @for row in &week.timeline.problems { (problem_item(week, *row)) }
                    @for merged in week.merged {
                        li {
                            (week.table.file(merged.row).name)
                            span.dim {
                                ": hier und in Git geändert; es gilt, was hier geändert wurde ("
                                (merged.fields.join(", ")) ")"
                            }
                        }
                    }
                    @if few_ids { li { "Nur noch " (week.free_ids) " Nummern sind frei." } }
                }
            }
        }
    }
}

fn problem_item(week: &Week<'_>, row: usize) -> Markup {
    let file = week.table.file(row);
    html! {
        @if let Some(problem) = problem_in(week, row) {
            li {
                (file.name)
                @if let Some(line) = problem.line { ", Zeile " (line) }
                span.dim lang="en" { ": " (problem.message) }
            }
        }
    }
}

fn weekday(datum: Datum) -> &'static str {
    WEEKDAYS[datum.0.weekday().num_days_from_sunday() as usize]
}

fn zeit(zeit: Zeit) -> &'static str {
    match zeit {
        Zeit::Morgens => "Morgens",
        Zeit::Nachmittags => "Nachmittags",
        Zeit::Abends => "Abends",
    }
}

fn local_time(time: DateTime<Utc>, zone: Tz) -> String {
    time.with_timezone(&zone).format("%d.%m. %H:%M").to_string()
}
