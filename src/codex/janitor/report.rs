//! The report of a janitor pass.

use std::fmt;

/// Counts of what a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JanitorReport {
    /// Users processed without failure.
    pub users: usize,
    /// Expired idempotency records that were removed.
    pub records: usize,
    /// Expired write intents that were recovered.
    pub intents: usize,
    /// Tombstones that were removed.
    pub tombstones: usize,
    /// Removed artifacts of deleted users: without a state and without a task file.
    pub artifacts: usize,
    /// Removed blobs of the older service.
    pub leftovers: usize,
    /// Users with unpushed files and without a hint, who got one.
    pub hints: usize,
    /// Users whose processing failed.
    pub failed: usize,
    /// Users left to the next pass.
    pub left: usize,
}

impl std::ops::AddAssign for JanitorReport {
    fn add_assign(&mut self, more: Self) {
        self.users += more.users;
        self.records += more.records;
        self.intents += more.intents;
        self.tombstones += more.tombstones;
        self.artifacts += more.artifacts;
        self.leftovers += more.leftovers;
        self.hints += more.hints;
        self.failed += more.failed;
        self.left += more.left;
    }
}

/// The text of the log line.
impl fmt::Display for JanitorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "users {}: expired records {}, settled marks {}, settled files {}, artifacts of users gone {}, \
             leftovers of the older service {}, hints {}; failed {}, left {}",
            self.users,
            self.records,
            self.intents,
            self.tombstones,
            self.artifacts,
            self.leftovers,
            self.hints,
            self.failed,
            self.left
        )
    }
}
