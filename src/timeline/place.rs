//! The placement itself.

use chrono::{DateTime, Datelike, Days, Utc};
use chrono_tz::Tz;

use super::zone::{BOUNDARIES, instant_of, next_boundary};
use super::{DAYS, Day, DaySlot, Placed, Reason, Timeline, Unplaced};
use crate::task::{
    ContentView, Datum, FixedSlotView, Kategorie, Slot, Status, TaskTable, TaskView, Zeit,
};

/// Places every open task of `table` as of `now`, with days and hours of `zone`.
///
/// Fixed tasks go first, each to exactly its slot; the others follow in order, each to the first
/// free `morgens` or `nachmittags` of a day its `kategorie` allows.
pub fn place(table: &TaskTable, now: DateTime<Utc>, zone: Tz) -> Timeline {
    let mut week = Week::new(now, zone);
    let mut problems = Vec::new();
    let mut floating = Vec::new();
    for (row, file) in table.iter().enumerate() {
        match file.content {
            ContentView::Unreadable(_) => problems.push(row),
            ContentView::Task(task) if task.status == Status::Offen => match task.fixed_slot {
                FixedSlotView::Invalid(_) => problems.push(row),
                FixedSlotView::At(slot) => week.fix(row, slot, task.deadline),
                FixedSlotView::None => floating.push((row, task)),
            },
            _ => {}
        }
    }
    week.fill(&floating);
    week.unplaced.sort_by_key(|unplaced| unplaced.row);
    Timeline {
        today: week.today,
        valid_until: next_boundary(now, zone),
        days: week.days,
        unplaced: week.unplaced,
        problems,
    }
}

/// The slots that are left, while they are being filled.
struct Week {
    today: Datum,
    days: Vec<Day>,
    unplaced: Vec<Unplaced>,
}

impl Week {
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

    /// Puts a fixed task into exactly its slot, or says why not.
    fn fix(&mut self, row: usize, slot: Slot, deadline: Option<Datum>) {
        let days_ahead = (slot.datum.0 - self.today.0).num_days();
        let reason = match self.slot_mut(slot) {
            Some(free @ DaySlot { task: None, .. }) => {
                free.task = Some(Placed {
                    row,
                    is_fixed: true,
                    deadline_missed: missed(slot.datum, deadline),
                });
                return;
            }
            Some(DaySlot {
                task: Some(holder), ..
            }) => Reason::SlotTaken { by: holder.row },
            None if days_ahead >= DAYS => Reason::OutsideHorizon,
            None => Reason::SlotPassed,
        };
        self.unplaced.push(Unplaced { row, reason });
    }

    fn slot_mut(&mut self, slot: Slot) -> Option<&mut DaySlot> {
        let day = self.days.iter_mut().find(|day| day.datum == slot.datum)?;
        day.slots.iter_mut().find(|free| free.zeit == slot.zeit)
    }

    /// Gives each task the first free slot it may have. Both kinds walk the week once: what was
    /// taken for an earlier task is never looked at again.
    fn fill(&mut self, floating: &[(usize, TaskView<'_>)]) {
        for kategorie in Kategorie::ALL {
            let mut waiting = floating
                .iter()
                .filter(|(_, task)| task.kategorie == *kategorie);
            let allowed = self
                .days
                .iter_mut()
                .filter(|day| may_plan(*kategorie, day.datum));
            let slots = allowed.flat_map(|day| {
                let datum = day.datum;
                day.slots.iter_mut().map(move |slot| (datum, slot))
            });
            let free = slots.filter(|(_, slot)| slot.zeit != Zeit::Abends && slot.task.is_none());
            for (datum, slot) in free {
                let Some((row, task)) = waiting.next() else {
                    break;
                };
                let deadline_missed = missed(datum, task.deadline);
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

/// The slots of `date` that haven't passed: all of them on a later day.
fn free_slots(date: Datum, today: Datum, now: DateTime<Utc>, zone: Tz) -> Vec<DaySlot> {
    let ends = Zeit::ALL.iter().zip(&BOUNDARIES[1..]);
    ends.filter(|(_, hour)| date != today || now < instant_of(date, **hour, zone))
        .map(|(zeit, _)| DaySlot {
            zeit: *zeit,
            task: None,
        })
        .collect()
}

fn may_plan(kategorie: Kategorie, datum: Datum) -> bool {
    let weekend = datum.0.weekday().number_from_monday() > 5;
    match kategorie {
        Kategorie::Arbeit => !weekend,
        Kategorie::Privat => weekend,
    }
}

fn missed(datum: Datum, deadline: Option<Datum>) -> bool {
    deadline.is_some_and(|deadline| datum > deadline)
}
