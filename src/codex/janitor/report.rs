//! What a pass of the janitor came to.

use std::fmt;

/// What a pass came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JanitorReport {
    /// Users who were looked after.
    pub users: usize,
    /// Records of creates under an `Idempotency-Key` that were past their time.
    pub records: usize,
    /// Marks that were left and are settled now.
    pub marks: usize,
    /// Settled files that were removed.
    pub settled: usize,
    /// Artifacts of users who are gone: without a state and without a task file.
    pub artifacts: usize,
    /// Blobs of the older service that were removed.
    pub leftovers: usize,
    /// Users who had something that Git doesn't have and no hint: they have one now.
    pub hints: usize,
    /// Users with whom something went wrong.
    pub failed: usize,
    /// Users whose turn didn't come.
    pub left: usize,
}

impl std::ops::AddAssign for JanitorReport {
    fn add_assign(&mut self, more: Self) {
        self.users += more.users;
        self.records += more.records;
        self.marks += more.marks;
        self.settled += more.settled;
        self.artifacts += more.artifacts;
        self.leftovers += more.leftovers;
        self.hints += more.hints;
        self.failed += more.failed;
        self.left += more.left;
    }
}

/// A line for the log.
impl fmt::Display for JanitorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "users {}: expired records {}, settled marks {}, settled files {}, artifacts of users gone {}, \
             leftovers of the older service {}, hints {}; failed {}, left {}",
            self.users,
            self.records,
            self.marks,
            self.settled,
            self.artifacts,
            self.leftovers,
            self.hints,
            self.failed,
            self.left
        )
    }
}
