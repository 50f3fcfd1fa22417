//! Counts of storage requests.

/// Storage requests that an operation sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// GET and LIST.
    pub reads: u32,
    /// PUT and DELETE.
    pub writes: u32,
}

impl std::ops::AddAssign for Requests {
    fn add_assign(&mut self, more: Self) {
        self.reads += more.reads;
        self.writes += more.writes;
    }
}
