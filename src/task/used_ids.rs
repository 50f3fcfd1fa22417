//! Task numbers in use.

use super::file_name::TaskId;
use super::table::TaskTable;

/// The task numbers that a user's files have.
#[derive(Debug)]
pub struct UsedIds {
    used: Vec<bool>,
}

impl UsedIds {
    /// 10,000, the counter value at which every number has been handed out.
    pub const ALL: u32 = TaskId::MAX.number() as u32 + 1;

    /// The numbers of all files in the table, readable or not, except tombstones.
    pub fn of(table: &TaskTable) -> Self {
        let mut used = vec![false; Self::ALL as usize];
        for id in table
            .iter()
            .filter(|file| !file.is_tombstone())
            .filter_map(|file| file.id())
        {
            used[usize::from(id.number())] = true;
        }
        Self { used }
    }

    /// One above the highest number in use; 0 if there is none.
    pub fn min_next_id(&self) -> u32 {
        self.used
            .iter()
            .rposition(|used| *used)
            .map_or(0, |highest| highest as u32 + 1)
    }

    /// How many numbers are unused.
    pub fn free(&self) -> usize {
        self.used.iter().filter(|used| !**used).count()
    }

    /// The number for the next new task: the counter, or the lowest unused number once the counter is above 9999.
    pub fn next_available(&self, next_id: u32) -> Option<TaskId> {
        let counter = next_id.max(self.min_next_id());
        u16::try_from(counter)
            .ok()
            .and_then(TaskId::new)
            .or_else(|| self.lowest_free(&[]))
    }

    /// The lowest number that is neither used by a file nor in `taken`.
    pub fn lowest_free(&self, taken: &[TaskId]) -> Option<TaskId> {
        let ids = (0..=TaskId::MAX.number()).filter_map(TaskId::new);
        let mut free = ids.filter(|id| !self.used[usize::from(id.number())]);
        free.find(|id| !taken.contains(id))
    }
}
