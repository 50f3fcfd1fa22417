//! The week as a calendar, RFC 5545 (`GET /calendar/{token}`; `src/http/README.md`, "The calendar").
//!
//! The bytes follow from the tasks and the language alone, so that the same week has the same bytes on every instance.
//! Nothing knows when an entry was changed last: `DTSTAMP` is its own beginning, and `LAST-MODIFIED` is left out.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use icalendar::{Alarm, Calendar, Component, Event, EventLike, Property};
use sha2::{Digest, Sha256};

use super::words::Language;
use crate::task::{ContentView, Datum, FixedSlotView, Slot, Status, TaskTable, TaskView};
use crate::timeline::{Reason, Timeline, end_of_slot, instant_of};
use crate::user::UserId;

/// How often a client is to ask again.
const REFRESH: TimeDelta = TimeDelta::hours(1);

/// How long before a fixed task its reminder is.
const REMINDER: TimeDelta = TimeDelta::minutes(15);

/// A longer title is cut: a heading may be as long as a file.
const MAX_SUMMARY: usize = 200;

/// The octets of a line without its end (RFC 5545, 3.1); a longer one is folded.
const MAX_LINE: usize = 75;

const LINE_END: &str = "\r\n";
const FOLD: &str = "\r\n ";

/// Times have four digits for the year.
const MAX_YEAR: i32 = 9999;

/// What a calendar shows: a user's placed tasks.
#[derive(Debug, Clone, Copy)]
pub struct CalendarWeek<'a> {
    /// The user.
    pub user: &'a UserId,
    /// The user's files.
    pub table: &'a TaskTable,
    /// The placement of `table`.
    pub timeline: &'a Timeline,
    /// The time zone of the placement.
    pub zone: Tz,
    /// How long a task in a slot takes.
    pub duration: TimeDelta,
    /// The language of its words.
    pub language: Language,
}

/// Renders the calendar: an entry for each task in a slot and for each one that is fixed after the week, and an entry of
/// a whole day for each deadline of an open task.
pub fn calendar(week: &CalendarWeek<'_>) -> String {
    let mut calendar = Calendar::empty();
    for (name, value) in [
        ("VERSION", "2.0"),
        ("PRODID", "-//CodexMiroir//CodexMiroir//EN"),
        ("CALSCALE", "GREGORIAN"),
    ] {
        calendar.append_property(Property::new(name, value));
    }
    calendar.name("CodexMiroir").ttl(&REFRESH);
    calendar.extend(week.in_week().chain(week.after_week()));
    calendar.extend(week.deadlines());
    folded(&calendar.to_string())
}

/// The same lines of at most [`MAX_LINE`] octets. The crate folds lines, too, but its last piece of one may be an octet
/// longer.
fn folded(calendar: &str) -> String {
    let mut folded = String::with_capacity(calendar.len());
    for line in calendar.replace(FOLD, "").split_terminator(LINE_END) {
        let mut length = 0;
        for c in line.chars() {
            if length + c.len_utf8() > MAX_LINE {
                folded.push_str(FOLD);
                length = 1;
            }
            folded.push(c);
            length += c.len_utf8();
        }
        folded.push_str(LINE_END);
    }
    folded
}

impl<'a> CalendarWeek<'a> {
    fn in_week(&self) -> impl Iterator<Item = Event> {
        let days = self.timeline.days.iter();
        let slots = days.flat_map(|day| day.slots.iter().map(|slot| (day.datum, slot)));
        slots.filter_map(|(datum, slot)| {
            let (placed, zeit) = (slot.task?, slot.zeit);
            self.in_slot(placed.row, Slot { datum, zeit }, placed.is_fixed)
        })
    }

    fn after_week(&self) -> impl Iterator<Item = Event> {
        let unplaced = self.timeline.unplaced.iter();
        let after = unplaced.filter(|it| it.reason == Reason::OutsideHorizon);
        after.filter_map(|it| match self.task(it.row)?.fixed_slot {
            FixedSlotView::At(slot) => self.in_slot(it.row, slot, true),
            FixedSlotView::None | FixedSlotView::Invalid(_) => None,
        })
    }

    fn deadlines(&self) -> impl Iterator<Item = Event> {
        (0..self.table.len()).filter_map(|row| {
            let task = self.task(row)?;
            let deadline = task.deadline?;
            (task.status == Status::Offen).then(|| self.deadline(row, task, deadline))
        })
    }

    fn task(&self, row: usize) -> Option<TaskView<'a>> {
        match self.table.file(row).content {
            ContentView::Task(task) => Some(task),
            _ => None,
        }
    }

    fn in_slot(&self, row: usize, slot: Slot, is_fixed: bool) -> Option<Event> {
        let task = self.task(row)?;
        let start = end_of_slot(slot, self.zone);
        let end = start.checked_add_signed(self.duration)?;
        let (title, uid) = (summary(task), self.uid(row, ""));
        let mut event = self.event(task, &uid, &title, start);
        event.starts(start).ends(end);
        match is_fixed {
            true => {
                let mut alarm = Alarm::display(&title, -REMINDER);
                // Else these would be random, and of now.
                alarm.uid(&self.uid(row, "alarm")).timestamp(start);
                event.alarm(alarm.done()).add_property("TRANSP", "OPAQUE");
            }
            false => drop(event.add_property("TRANSP", "TRANSPARENT")),
        }
        (end.year() <= MAX_YEAR).then(|| event.done())
    }

    fn deadline(&self, row: usize, task: TaskView<'_>, deadline: Datum) -> Event {
        let title = format!("{}: {}", self.language.texts().deadline, summary(task));
        let stamp = instant_of(deadline, 0, chrono_tz::UTC);
        let mut event = self.event(task, &self.uid(row, "deadline"), &title, stamp);
        let event = event.starts(deadline.0);
        event.add_property("TRANSP", "TRANSPARENT").done()
    }

    fn event(&self, task: TaskView<'_>, uid: &str, title: &str, stamp: DateTime<Utc>) -> Event {
        let kategorie = &self.language.texts().kategorie[&task.kategorie];
        let mut event = Event::with_uid(uid);
        event.summary(title).timestamp(stamp);
        event.categories([kategorie]).done()
    }

    /// An entry's id: it depends on nothing but the file's name and on what the entry is `of` the task, so that it stays
    /// while the task moves.
    fn uid(&self, row: usize, of: &str) -> String {
        let file = self.table.file(row).name;
        let hash = Sha256::digest(format!("{}/{file}/{of}", self.user));
        format!("{:.32}@codex-miroir", format!("{hash:x}"))
    }
}

/// The title on one line, without what a calendar can't hold, and not too long; the number where nothing is left.
fn summary(task: TaskView<'_>) -> String {
    let title = task.title.text();
    // A separator of lines or paragraphs ends a line for some programs.
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let words = title.split(|c: char| is_break(c) || c.is_whitespace());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let title = match words.is_empty() {
        true => task.id.to_string(),
        false => words.join(" "),
    };
    match title.char_indices().nth(MAX_SUMMARY) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title,
    }
}
