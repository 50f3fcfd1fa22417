//! The week as one printable HTML page without JavaScript (`GET /codex?format=html`).

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::attention::{Attention, attention_of};
use super::week::{Stamps, Week};
use super::words::{Language, WeekPageTexts};
use crate::task::{Datum, TaskView};
use crate::timeline::{Day, DaySlot, Placed, Reason, Unplaced};

/// The page's inline style sheet. Public so that the response's `Content-Security-Policy` can allow exactly it.
pub const STYLESHEET: &str = include_str!("week.css");

/// Rendered and sanitized bodies by row, of the tasks whose bodies are shown; `None` for one that the service has no
/// permission to read.
pub type Bodies = BTreeMap<usize, Option<String>>;

/// A week and the texts of its page.
struct WeekPage<'a> {
    week: &'a Week<'a>,
    /// With bodies the page is a list by day, else a table of seven days.
    bodies: Option<&'a Bodies>,
    words: &'static WeekPageTexts,
}

/// Renders the page, with `bodies` as a list by day.
pub fn html(
    week: &Week<'_>,
    stamps: &Stamps,
    bodies: Option<&Bodies>,
    language: Language,
) -> String {
    let words = language.texts();
    let page = WeekPage {
        week,
        bodies,
        words,
    };
    let (kind, other, other_address) = match bodies {
        None => ("week", &words.with_bodies, "/codex?format=html&bodies=true"),
        Some(_) => ("week by-day", &words.without_bodies, "/codex?format=html"),
    };
    let title = format!("{} {}", words.week_from, week.timeline.today);
    let markup = html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · " (week.user) }
                style { (PreEscaped(STYLESHEET)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.dim {
                        (week.user) " · " (words.as_of) " " (local_time(stamps.generated_at, week.zone))
                        ", " (words.valid_until) " " (local_time(week.timeline.valid_until, week.zone))
                        " (" (week.zone.name()) ")"
                        span.links { " · " a href=(other_address) { (other) } " · " a href="/" { (words.app) } }
                    }
                }
                main {
                    div class=(kind) { @for day in &week.timeline.days { (page.day(day)) } }
                    (page.unplaced_list())
                    (page.problem_list())
                }
            }
        }
    };
    markup.into_string()
}

impl WeekPage<'_> {
    fn day(&self, day: &Day) -> Markup {
        let is_today = day.datum == self.week.timeline.today;
        html! {
            section.today[is_today] {
                h2 {
                    @if is_today { (self.words.today) ", " }
                    (self.weekday(day.datum)) ", " (day.datum)
                }
                // Passed slots are left out, so today's first one is the current one.
                dl { @for (at, slot) in day.slots.iter().enumerate() { (self.slot(day.datum, slot, is_today && at == 0)) } }
            }
        }
    }

    fn slot(&self, day: Datum, slot: &DaySlot, is_current: bool) -> Markup {
        let task = slot
            .task
            .and_then(|placed| Some((placed, self.week.task(placed.row)?)));
        html! {
            dt class=[task.is_none().then_some("free")] {
                (self.words.zeit[&slot.zeit])
                @if is_current { " · " b { (self.words.up_now) } }
            }
            @match task {
                Some((placed, task)) => dd class=(task.kategorie) {
                    (self.in_slot(day, placed, task))
                    (self.body(placed.row))
                },
                None => dd.free.dim { (self.words.free) },
            }
        }
    }

    fn body(&self, row: usize) -> Markup {
        html! {
            @match self.bodies.and_then(|bodies| bodies.get(&row)) {
                Some(Some(body)) if !body.is_empty() => div.body { (PreEscaped(body)) },
                Some(None) => div.body { em { (self.words.unreadable_body) } },
                _ => {}
            }
        }
    }

    fn in_slot(&self, day: Datum, placed: Placed, task: TaskView<'_>) -> Markup {
        html! {
            span.name { (task.title.text()) }
            div.dim {
                (task.id) " · " (self.words.kategorie[&task.kategorie])
                @if placed.is_fixed { " · " (self.words.fixed) }
                (self.deadline(task.deadline, Ok(day)))
            }
            @if !task.tags.is_empty() {
                div { @for tag in task.tags.iter() { span.tag { (tag) } } }
            }
        }
    }

    /// The deadline, and what is wrong about it.
    fn deadline(&self, deadline: Option<Datum>, place: Result<Datum, Reason>) -> Markup {
        let timeline = self.week.timeline;
        let last = timeline.days.last().map_or(timeline.today, |day| day.datum);
        let attention = attention_of(deadline, place, &(timeline.today..=last));
        html! {
            @if let Some(deadline) = deadline {
                " · "
                span class=[attention.map(Attention::as_str)] {
                    (self.words.due) " " (deadline)
                    @if let Some(attention) = attention { " – " (self.words.attention[attention.as_str()]) }
                }
            }
        }
    }

    fn unplaced_list(&self) -> Markup {
        let unplaced = &self.week.timeline.unplaced;
        html! {
            @if !unplaced.is_empty() {
                section.list {
                    h2 { (self.words.unplaced) " (" (unplaced.len()) ")" }
                    ul { @for it in unplaced { (self.unplaced_item(it)) } }
                }
            }
        }
    }

    fn unplaced_item(&self, unplaced: &Unplaced) -> Markup {
        html! {
            @if let Some(task) = self.week.task(unplaced.row) {
                li {
                    span.name { (task.title.text()) }
                    div.dim {
                        (task.id) " · " (self.words.kategorie[&task.kategorie])
                        (self.deadline(task.deadline, Err(unplaced.reason)))
                        " · " (self.reason(unplaced.reason))
                    }
                }
            }
        }
    }

    fn reason(&self, reason: Reason) -> Markup {
        html! {
            (self.words.reason[reason.as_str()])
            @if let Reason::SlotTaken { by } = reason { " " (stem(self.week.table.file(by).name)) "." }
        }
    }

    fn problem_list(&self) -> Markup {
        let few_ids = self.week.is_short_of_ids();
        let problems = &self.week.timeline.problems;
        html! {
            @if !problems.is_empty() {
                section.list {
                    h2 { (self.words.unreadable) " (" (problems.len()) ")" }
                    ul { @for row in problems { (self.problem_item(*row)) } }
                }
            }
            @if few_ids || !self.week.merged.is_empty() {
                section.list {
                    h2 { (self.words.notices) }
                    ul {
                        @for merged in self.week.merged {
                            li {
                                span.name { (stem(self.week.table.file(merged.row).name)) }
                                div.dim { (self.words.merged) " " (merged.fields.join(", ")) }
                            }
                        }
                        @if few_ids { li { (self.week.free_ids) " " (self.words.free_ids) } }
                    }
                }
            }
        }
    }

    fn problem_item(&self, row: usize) -> Markup {
        html! {
            @if let Some(found) = self.week.problem(row) {
                li {
                    span.name { (stem(self.week.table.file(row).name)) }
                    div.late {
                        @if let Some(line) = found.line { (self.words.line) " " (line) ": " }
                        (self.words.problem.get(&found.code).unwrap_or(&found.message))
                    }
                }
            }
        }
    }

    fn weekday(&self, datum: Datum) -> &'static str {
        &self.words.days[datum.0.weekday().num_days_from_sunday() as usize]
    }
}

/// The file name as the page shows it.
fn stem(name: &str) -> &str {
    name.strip_suffix(".md").unwrap_or(name)
}

fn local_time(time: DateTime<Utc>, zone: Tz) -> String {
    time.with_timezone(&zone).format("%d.%m. %H:%M").to_string()
}
