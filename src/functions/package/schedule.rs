//! Timer schedules in the host's syntax, NCRONTAB. PURE.

use std::ops::RangeInclusive;
use std::str::FromStr;

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

/// A field's name, its range, and the names that stand for its numbers, in order.
struct Field {
    name: &'static str,
    numbers: RangeInclusive<u32>,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

const FIELDS: [Field; 6] = [
    Field::of("second", 0..=59, &[]),
    Field::of("minute", 0..=59, &[]),
    Field::of("hour", 0..=23, &[]),
    Field::of("day", 1..=31, &[]),
    Field::of("month", 1..=12, &MONTHS),
    Field::of("day of the week", 0..=6, &DAYS),
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
                return Err(refuse(format!("{part:?} is no {}", field.name)));
            }
        }
        Ok(Self(parts.join(" ")))
    }
}

impl Field {
    const fn of(
        name: &'static str,
        numbers: RangeInclusive<u32>,
        names: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            numbers,
            names,
        }
    }

    /// Whether an item is valid: `*`, `a` or `a-b`, each also with `/step`.
    fn accepts(&self, item: &str) -> bool {
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, number(step)),
            None => (item, Some(1)),
        };
        let known = match span.split_once('-') {
            _ if span == "*" => true,
            Some((from, to)) => self
                .value(from)
                .zip(self.value(to))
                .is_some_and(|(from, to)| from <= to),
            None => self.value(span).is_some(),
        };
        known && step.is_some_and(|step| step > 0)
    }

    /// The value of a number, a name or a name's first three letters.
    fn value(&self, text: &str) -> Option<u32> {
        let named =
            |name: &&str| name.eq_ignore_ascii_case(text) || name[..3].eq_ignore_ascii_case(text);
        let by_name = self.names.iter().position(named);
        match by_name {
            Some(at) => Some(self.numbers.start() + u32::try_from(at).ok()?),
            None => number(text).filter(|value| self.numbers.contains(value)),
        }
    }
}

/// Digits only: `parse` alone would accept a sign.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
