//! Timer schedules in the host's syntax, NCRONTAB. PURE.

use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{Month, Weekday};

/// The schedule in `gitPush`'s template: every minute.
pub(super) const DEFAULT_PUSH: &str = "0 * * * * *";

/// A valid NCRONTAB expression of six fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(String);

/// The expression is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schedule is {given:?}: {fault}; it must be six fields (second, minute, hour, day, month, day of the week), as in \"0 */5 * * * *\""
)]
pub struct ScheduleError {
    given: String,
    fault: String,
}

/// A field's name, its range, and the number that a name in it stands for.
struct Field(&'static str, RangeInclusive<u32>, fn(&str) -> Option<u32>);

const FIELDS: [Field; 6] = [
    Field("second", 0..=59, |_| None),
    Field("minute", 0..=59, |_| None),
    Field("hour", 0..=23, |_| None),
    Field("day", 1..=31, |_| None),
    Field("month", 1..=12, |name| {
        Some(name.parse::<Month>().ok()?.number_from_month())
    }),
    Field("day of the week", 0..=6, |name| {
        Some(name.parse::<Weekday>().ok()?.num_days_from_sunday())
    }),
];

impl Schedule {
    /// The six fields, separated by one space.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(given: &str) -> Result<Self, ScheduleError> {
        let refuse = |fault| ScheduleError {
            given: given.to_owned(),
            fault,
        };
        let parts: Vec<&str> = given.split_ascii_whitespace().collect();
        if parts.len() != FIELDS.len() {
            return Err(refuse(format!("it has {} fields", parts.len())));
        }
        for (field, part) in FIELDS.iter().zip(&parts) {
            if !part.split(',').all(|item| field.accepts(item)) {
                return Err(refuse(format!("{part:?} is no {}", field.0)));
            }
        }
        Ok(Self(parts.join(" ")))
    }
}

impl Field {
    /// Whether an item is valid: `*`, `a` or `a-b`, each also with `/step`.
    fn accepts(&self, item: &str) -> bool {
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, number(step)),
            None => (item, Some(1)),
        };
        let (from, to) = span.split_once('-').unwrap_or((span, span));
        let values = self.value(from).zip(self.value(to));
        let known = span == "*" || values.is_some_and(|(from, to)| from <= to);
        known && step.is_some_and(|step| step > 0)
    }

    /// The value of a number, a name or a name's first three letters.
    fn value(&self, text: &str) -> Option<u32> {
        let Self(_, numbers, named) = self;
        let by_number = || number(text).filter(|value| numbers.contains(value));
        named(text).or_else(by_number)
    }
}

/// Digits only: `parse` alone would accept a sign.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
