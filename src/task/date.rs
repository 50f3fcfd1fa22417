//! Days and times of day as task files spell them.

use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::words::{Zeit, as_text};

/// A calendar day, `dd.mm.yyyy`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, derive_more::Display, derive_more::Debug,
)]
#[display("{:02}.{:02}.{:04}", _0.day(), _0.month(), _0.year())]
#[debug("{self}")]
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
        // chrono alone would also take signs, blanks and fewer digits.
        let fits = |(at, byte): (usize, u8)| match at {
            2 | 5 => byte == b'.',
            _ => byte.is_ascii_digit(),
        };
        let shaped = text.len() == 10 && text.bytes().enumerate().all(fits);
        let day = shaped.then(|| NaiveDate::parse_from_str(text, "%d.%m.%Y").ok());
        day.flatten().map(Self).ok_or(BadDatum)
    }
}

as_text!(Datum);

impl PartialSchema for Datum {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let text = text.pattern(Some(DAYS)).examples(["24.12.2026"]);
        let text = text.description(Some("A day that exists, `dd.mm.yyyy`."));
        text.into()
    }
}

impl ToSchema for Datum {}

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
