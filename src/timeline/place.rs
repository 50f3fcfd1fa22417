//! Where a user's tasks are placed.

use chrono::{DateTime, Datelike, Days, Utc};
use chrono_tz::Tz;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::zone::{BOUNDARIES, instant_of, next_boundary};
use crate::task::{
    ContentView, Datum, FixedSlotView, Kategorie, Slot, Status, TaskTable, TaskView, Zeit,
};

/// Planning horizon in calendar days, today included.
pub const DAYS: i64 = 7;

/// The placement of a user's tasks at one instant. Files are referred to by their row in the
/// [`TaskTable`] that was placed.
///
/// Every open task of that table is in exactly one of a slot, `unplaced` and `problems`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Today in the service's time zone, even if none of its slots is left.
    pub today: Datum,
    /// The next slot boundary (00:00, 9:00, 14:00 or 19:00 local time): the placement is valid until then.
    pub valid_until: DateTime<Utc>,
    /// The days that still have slots, in order.
    pub days: Vec<Day>,
    /// Open tasks without a slot, in planning order.
    pub unplaced: Vec<Unplaced>,
    /// Unreadable files and open tasks with an invalid `fixedSlot`, in planning order.
    pub problems: Vec<usize>,
}

/// A day that still has slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The date.
    pub datum: Datum,
    /// Its slots that haven't passed, in order.
    pub slots: Vec<DaySlot>,
}

/// One slot of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySlot {
    /// The time of day.
    pub zeit: Zeit,
    /// The task in the slot; `None` when it is free.
    pub task: Option<Placed>,
}

/// A task in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its row in the table.
    pub row: usize,
    /// Placed by its `fixedSlot`, not automatically.
    pub is_fixed: bool,
    /// The slot's day is after the task's deadline.
    pub deadline_missed: bool,
}

/// An open task without a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unplaced {
    /// Its row in the table.
    pub row: usize,
    /// Why it has none.
    pub reason: Reason,
}

/// Why an open task has no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An earlier fixed task has its `fixedSlot`.
    SlotTaken {
        /// The row of that task.
        by: usize,
    },
    /// Its `fixedSlot` has passed.
    SlotPassed,
    /// Its `fixedSlot` is after the planning horizon.
    OutsideHorizon,
    /// No slot is free on the days that its `kategorie` allows.
    HorizonFull,
}

impl PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        let all = [
            Self::SlotTaken { by: 0 },
            Self::SlotPassed,
            Self::OutsideHorizon,
            Self::HorizonFull,
        ];
        let word = ObjectBuilder::new().schema_type(Type::String);
        word.enum_values(Some(all.map(Self::as_str))).into()
    }
}

impl ToSchema for Reason {}

impl Reason {
    /// The code in API responses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SlotTaken { .. } => "slot_taken",
            Self::SlotPassed => "slot_passed",
            Self::OutsideHorizon => "outside_horizon",
            Self::HorizonFull => "horizon_full",
        }
    }
}

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
            Some(DaySlot { task: Some(it), .. }) => Reason::SlotTaken { by: it.row },
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
            let of_kategorie = |(_, task): &&(usize, TaskView<'_>)| task.kategorie == *kategorie;
            let mut waiting = floating.iter().filter(of_kategorie);
            let days = self.days.iter_mut();
            let allowed = days.filter(|day| is_allowed_on(*kategorie, day.datum));
            let slots = allowed.flat_map(|day| {
                let datum = day.datum;
                day.slots.iter_mut().map(move |slot| (datum, slot))
            });
            let free = slots.filter(|(_, slot)| slot.zeit != Zeit::Abends && slot.task.is_none());
            for (datum, slot) in free {
                let Some((row, task)) = waiting.next() else {
                    break;
                };
                slot.task = Some(Placed {
                    row: *row,
                    is_fixed: false,
                    deadline_missed: is_missed(datum, task.deadline),
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
