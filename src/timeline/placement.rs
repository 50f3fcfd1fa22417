//! Where a user's tasks are placed.

use chrono::{DateTime, Utc};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::task::{Datum, Zeit};

/// Planning horizon in calendar days, today included.
pub const DAYS: i64 = 7;

/// The placement of a user's tasks at one instant. Files are referred to by their row in the
/// [`crate::task::TaskTable`] that was placed.
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
