#![doc = include_str!("README.md")]

mod place;
mod placement;
mod zone;

pub use place::place;
pub use placement::{DAYS, Day, DaySlot, Placed, Reason, Timeline, Unplaced};
pub use zone::{instant_of, next_boundary, slot_interval};
