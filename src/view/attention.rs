//! PURE. Which tasks need attention. The web app decides the same (`src/web/script/attention.js`), by the same table.

use std::ops::RangeInclusive;

use crate::task::Datum;
use crate::timeline::Reason;

/// Why a task needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Its deadline has passed.
    Overdue,
    /// Its place is after its deadline.
    Late,
    /// Its deadline is in the week, and it has no place.
    Placeless,
}

impl Attention {
    /// Its name in the texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Late => "late",
            Self::Placeless => "placeless",
        }
    }
}

/// Whether an open task needs attention. `place` is its day in the week, or why it has none; `week` is from today to the
/// week's last day.
pub fn attention_of(
    deadline: Option<Datum>,
    place: Result<Datum, Reason>,
    week: &RangeInclusive<Datum>,
) -> Option<Attention> {
    let deadline = deadline?;
    if deadline < *week.start() {
        return Some(Attention::Overdue);
    }
    match place {
        Ok(day) => (day > deadline).then_some(Attention::Late),
        Err(_) if deadline > *week.end() => None,
        Err(Reason::OutsideHorizon) => Some(Attention::Late),
        Err(_) => Some(Attention::Placeless),
    }
}
