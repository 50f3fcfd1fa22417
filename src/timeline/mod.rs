#![doc = include_str!("README.md")]

mod place;
mod zone;

pub use place::{DAYS, Day, DaySlot, Placed, Reason, Timeline, Unplaced, place};
pub use zone::{end_of_slot, instant_of, next_boundary, slot_interval};
