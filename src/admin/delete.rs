//! Deleting a user's data. Every step is idempotent: an interrupted deletion is run again from the start.

mod driver;
mod holdings;
pub mod plan;
mod report;

pub use driver::{Deletion, delete};
pub use holdings::{Holdings, holdings};
pub use report::{DeletionReport, Storage};
