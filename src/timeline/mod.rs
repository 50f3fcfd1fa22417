#![doc = include_str!("README.md")]

mod place;
mod zone;

use chrono::{DateTime, Utc};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::task::{Datum, Zeit};

pub use place::place;
pub use zone::{instant_of, next_boundary, stretch};

/// How many calendar days are planned, today included.
pub const DAYS: i64 = 7;

/// The week that follows from a user's files at one moment. Files are named by their row in the
/// [`crate::task::TaskTable`] it was placed from.
///
/// Every open task of that table is in exactly one of a slot, `unplaced` and `problems`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Today in the service's zone, also when nothing of today is left.
    pub today: Datum,
    /// Until when nothing changes by itself: the next of 00:00, 9:00, 14:00, 19:00 local time.
    pub valid_until: DateTime<Utc>,
    /// The days that still have a slot, in order.
    pub days: Vec<Day>,
    /// Open tasks without a slot, in planning order.
    pub unplaced: Vec<Unplaced>,
    /// Unreadable files and open tasks with an impossible appointment, in planning order.
    pub problems: Vec<usize>,
}

/// A day that still has slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Which.
    pub datum: Datum,
    /// Its slots that haven't passed, in order.
    pub slots: Vec<DaySlot>,
}

/// One slot of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySlot {
    /// Which.
    pub zeit: Zeit,
    /// Who holds it.
    pub task: Option<Placed>,
}

/// A task in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its row in the table.
    pub row: usize,
    /// By appointment, not automatically.
    pub is_fixed: bool,
    /// The slot's day is after the task's deadline.
    pub deadline_missed: bool,
}

/// An open task that has no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unplaced {
    /// Its row in the table.
    pub row: usize,
    /// Why.
    pub reason: Reason,
}

/// Why an open task has no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its appointment is another fixed task's.
    SlotTaken {
        /// The other's row.
        by: usize,
    },
    /// Its appointment is over.
    SlotPassed,
    /// Its appointment is after the seven days.
    OutsideHorizon,
    /// No free slot on any day it may be planned on.
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
    /// As answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SlotTaken { .. } => "slot_taken",
            Self::SlotPassed => "slot_passed",
            Self::OutsideHorizon => "outside_horizon",
            Self::HorizonFull => "horizon_full",
        }
    }
}
