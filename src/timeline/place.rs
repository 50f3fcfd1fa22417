//! The placement algorithm.

use chrono::{DateTime, Datelike, Days, Utc};
use chrono_tz::Tz;

use super::placement::{DAYS, Day, DaySlot, Placed, Reason, Timeline, Unplaced};
use super::zone::{BOUNDARIES, instant_of, next_boundary};
use crate::task::{
    ContentView, Datum, FixedSlotView, Kategorie, Slot, Status, TaskTable, TaskView, Zeit,
};

/// Places every open task of `table` as of `now`, with dates and hours in `zone`.
///
/// Fixed tasks are placed first, each in exactly its slot; then the others in order, each in the first free `morgens`
/// or `nachmittags` of a day that its `kategorie` allows.
pub fn place(table: &TaskTable, now: DateTime<Utc>, zone: Tz) -> Timeline {
    let mut planner = WeekPlanner::new(now, zone);
    let mut problems = Vec::new();
    let mut floating = Vec::new();
    for (row, file) in table.iter().enumerate() {
        match file.content {
            ContentView::Unreadable(_) => problems.push(row),
            ContentView::Task(task) if task.status == Status::Offen => match task.fixed_slot {
                FixedSlotView::Invalid(_) => problems.push(row),
                FixedSlotView::At(slot) => planner.place_fixed(row, slot, task.deadline),
                FixedSlotView::None => floating.push((row, task)),
            },
            _ => {}
        }
    }
    planner.place_floating(&floating);
    planner.unplaced.sort_by_key(|unplaced| unplaced.row);
    Timeline {
        today: planner.today,
        valid_until: next_boundary(now, zone),
        days: planner.days,
        unplaced: planner.unplaced,
        problems,
    }
}

/// The remaining slots of the horizon while tasks are placed in them.
struct WeekPlanner {
    today: Datum,
    days: Vec<Day>,
    unplaced: Vec<Unplaced>,
}

impl WeekPlanner {
    fn new(now: DateTime<Utc>, zone: Tz) -> Self {
        let today = Datum(now.with_timezone(&zone).date_naive());
        let dates = (0..DAYS as u64).filter_map(|n| today.0.checked_add_days(Days::new(n)));
        let days = dates
            .map(|date| Day {
                datum: Datum(date),
                slots: free_slots(Datum(date), today, now, zone),
            })
            .filter(|day| !day.slots.is_empty())
            .collect();
        Self {
            today,
            days,
            unplaced: Vec::new(),
        }
    }

    /// Places a fixed task in its slot, or records why it can't be.
    fn place_fixed(&mut self, row: usize, slot: Slot, deadline: Option<Datum>) {
        let days_ahead = (slot.datum.0 - self.today.0).num_days();
        let reason = match self.slot_mut(slot) {
            Some(free @ DaySlot { task: None, .. }) => {
                free.task = Some(Placed {
                    row,
                    is_fixed: true,
                    deadline_missed: is_missed(slot.datum, deadline),
                });
                return;
            }
            Some(DaySlot {
                task: Some(earlier),
                ..
            }) => Reason::SlotTaken { by: earlier.row },
            None if days_ahead >= DAYS => Reason::OutsideHorizon,
            None => Reason::SlotPassed,
        };
        self.unplaced.push(Unplaced { row, reason });
    }

    fn slot_mut(&mut self, slot: Slot) -> Option<&mut DaySlot> {
        let day = self.days.iter_mut().find(|day| day.datum == slot.datum)?;
        day.slots.iter_mut().find(|free| free.zeit == slot.zeit)
    }

    /// Places each task in its first free slot. Each `kategorie` walks the horizon once and never revisits a slot, so
    /// the cost is linear.
    fn place_floating(&mut self, floating: &[(usize, TaskView<'_>)]) {
        for kategorie in Kategorie::ALL {
            let mut waiting = floating
                .iter()
                .filter(|(_, task)| task.kategorie == *kategorie);
            let allowed = self
                .days
                .iter_mut()
                .filter(|day| is_allowed_on(*kategorie, day.datum));
            let slots = allowed.flat_map(|day| {
                let datum = day.datum;
                day.slots.iter_mut().map(move |slot| (datum, slot))
            });
            let free = slots.filter(|(_, slot)| slot.zeit != Zeit::Abends && slot.task.is_none());
            for (datum, slot) in free {
                let Some((row, task)) = waiting.next() else {
                    break;
                };
                let deadline_missed = is_missed(datum, task.deadline);
                slot.task = Some(Placed {
                    row: *row,
                    is_fixed: false,
                    deadline_missed,
                });
            }
            let left = waiting.map(|(row, _)| Unplaced {
                row: *row,
                reason: Reason::HorizonFull,
            });
            self.unplaced.extend(left);
        }
    }
}

/// The slots of `date` that haven't passed; all three for a day after `today`.
fn free_slots(date: Datum, today: Datum, now: DateTime<Utc>, zone: Tz) -> Vec<DaySlot> {
    let ends = Zeit::ALL.iter().zip(&BOUNDARIES[1..]);
    ends.filter(|(_, hour)| date != today || now < instant_of(date, **hour, zone))
        .map(|(zeit, _)| DaySlot {
            zeit: *zeit,
            task: None,
        })
        .collect()
}

fn is_allowed_on(kategorie: Kategorie, datum: Datum) -> bool {
    let weekend = datum.0.weekday().number_from_monday() > 5;
    match kategorie {
        Kategorie::Arbeit => !weekend,
        Kategorie::Privat => weekend,
    }
}

fn is_missed(datum: Datum, deadline: Option<Datum>) -> bool {
    deadline.is_some_and(|deadline| datum > deadline)
}
