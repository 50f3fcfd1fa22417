//! Local times in a zone that may skip or repeat them.

use std::ops::Range;

use chrono::{DateTime, Days, Duration, LocalResult, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::task::Datum;

/// Hours at which what is shown changes by itself: midnight, and the three at which a slot passes.
pub(super) const BOUNDARIES: [u32; 4] = [0, 9, 14, 19];

/// The instant of `hour` o'clock on `datum`: the earlier one where that local time exists twice, the first instant
/// after the gap where it doesn't exist.
pub fn instant_of(datum: Datum, hour: u32, zone: Tz) -> DateTime<Utc> {
    let time = NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or(NaiveTime::MIN);
    let local = datum.0.and_time(time);
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => end_of_gap(local, zone),
    }
}

/// The stretch around `now` in which nothing changes by itself: from the last of 0:00, 9:00, 14:00 and
/// 19:00 local time to the next.
pub fn stretch(now: DateTime<Utc>, zone: Tz) -> Range<DateTime<Utc>> {
    let today = now.with_timezone(&zone).date_naive();
    let days = [
        today.pred_opt(),
        Some(today),
        today.succ_opt(),
        today.checked_add_days(Days::new(2)),
    ];
    let boundaries = || {
        let instants = |day| BOUNDARIES.map(|hour| instant_of(Datum(day), hour, zone));
        days.into_iter().flatten().flat_map(instants)
    };
    let last = boundaries().filter(|boundary| *boundary <= now).max();
    let next = boundaries().filter(|boundary| *boundary > now).min();
    last.unwrap_or(DateTime::<Utc>::MIN_UTC)..next.unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The first boundary after `now`.
pub fn next_boundary(now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    stretch(now, zone).end
}

/// The first whole second whose local time is at or after `local`, which itself doesn't exist.
/// Clocks are only ever put forward by whole seconds, by at most a day (Samoa, 2011).
fn end_of_gap(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let middle = local.and_utc();
    let (mut before, mut after) = (middle - Duration::days(2), middle + Duration::days(2));
    while after - before > Duration::seconds(1) {
        let half = before + Duration::seconds((after - before).num_seconds() / 2);
        if half.with_timezone(&zone).naive_local() >= local {
            after = half;
        } else {
            before = half;
        }
    }
    after
}
