//! The numbers that are taken.

use super::{TaskId, TaskTable};

/// Which numbers a user's files have.
#[derive(Debug)]
pub struct UsedIds {
    used: Vec<bool>,
}

impl UsedIds {
    /// 10,000: the counter at which the numbers are used up.
    pub const ALL: u32 = TaskId::MAX.number() as u32 + 1;

    /// Of all files with a number, readable or not; settled ones count as absent.
    pub fn of(table: &TaskTable) -> Self {
        let mut used = vec![false; Self::ALL as usize];
        for id in table
            .iter()
            .filter(|file| !file.is_settled())
            .filter_map(|file| file.id())
        {
            used[usize::from(id.number())] = true;
        }
        Self { used }
    }

    /// One above the highest; 0 when there is none.
    pub fn above_all(&self) -> u32 {
        self.used
            .iter()
            .rposition(|used| *used)
            .map_or(0, |highest| highest as u32 + 1)
    }

    /// How many numbers no file has.
    pub fn free(&self) -> usize {
        self.used.iter().filter(|used| !**used).count()
    }

    /// The number the next new task gets: the counter, or past 9999 the lowest that is free.
    pub fn next_available(&self, next_id: u32) -> Option<TaskId> {
        let counter = next_id.max(self.above_all());
        u16::try_from(counter)
            .ok()
            .and_then(TaskId::new)
            .or_else(|| self.lowest_free(&[]))
    }

    /// The lowest number that no file has, and that isn't one of `taken`.
    pub fn lowest_free(&self, taken: &[TaskId]) -> Option<TaskId> {
        let ids = (0..=TaskId::MAX.number()).filter_map(TaskId::new);
        let mut free = ids.filter(|id| !self.used[usize::from(id.number())]);
        free.find(|id| !taken.contains(id))
    }
}
