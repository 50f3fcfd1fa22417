//! Days and times of day as task files spell them.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::words::Zeit;

/// A calendar day, `dd.mm.yyyy`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datum(pub NaiveDate);

/// Matches exactly the dates that exist: days 1–28 of each month, the later days of the months that have them, and 29
/// February of leap years.
const DAYS: &str = concat!(
    r"^(?:(?:0[1-9]|1[0-9]|2[0-8])\.(?:0[1-9]|1[0-2])\.[0-9]{4}",
    r"|(?:29|30)\.(?:0[13-9]|1[0-2])\.[0-9]{4}",
    r"|31\.(?:0[13578]|1[02])\.[0-9]{4}",
    r"|29\.02\.(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00))$",
);

/// Not an existing date in the form `dd.mm.yyyy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a date is written dd.mm.yyyy and must exist, as in 24.12.2026")]
pub struct BadDatum;

impl FromStr for Datum {
    type Err = BadDatum;

    fn from_str(text: &str) -> Result<Self, BadDatum> {
        let bytes = text.as_bytes();
        let shaped = bytes.len() == 10
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                2 | 5 => *byte == b'.',
                _ => byte.is_ascii_digit(),
            });
        if !shaped {
            return Err(BadDatum);
        }
        let number = |range: std::ops::Range<usize>| text[range].parse().map_err(|_| BadDatum);
        let (day, month, year) = (number(0..2)?, number(3..5)?, number(6..10)?);
        NaiveDate::from_ymd_opt(year as i32, month, day)
            .map(Self)
            .ok_or(BadDatum)
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02}.{:02}.{:04}",
            self.0.day(),
            self.0.month(),
            self.0.year()
        )
    }
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialSchema for Datum {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let text = text.pattern(Some(DAYS)).examples(["24.12.2026"]);
        let text = text.description(Some("A day that exists, `dd.mm.yyyy`."));
        text.into()
    }
}

impl ToSchema for Datum {}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A place in the week: a day and one of its three slots.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub struct Slot {
    /// The day.
    pub datum: Datum,
    /// The time of day.
    pub zeit: Zeit,
}
