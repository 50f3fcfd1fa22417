//! Conversion of local times to instants, for time zones that skip or repeat local times.

use std::ops::Range;

use chrono::{DateTime, Days, LocalResult, NaiveTime, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

use crate::task::{Datum, Slot, Zeit};

/// Local hours of the slot boundaries: midnight, and the ends of the three slots.
pub(super) const BOUNDARIES: [u32; 4] = [0, 9, 14, 19];

/// The instant of `hour` o'clock on `datum`: the earlier one if that local time exists twice, the first instant after
/// the gap if it doesn't exist.
pub fn instant_of(datum: Datum, hour: u32, zone: Tz) -> DateTime<Utc> {
    let time = NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or(NaiveTime::MIN);
    let local = datum.0.and_time(time);
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => {
            let end = GapInfo::new(&local, &zone).and_then(|gap| gap.end);
            end.map_or(local.and_utc(), |end| end.with_timezone(&Utc))
        }
    }
}

/// The instant from which a slot has passed, and at which a calendar shows its task: 9:00, 14:00 or 19:00 local time.
pub fn end_of_slot(slot: Slot, zone: Tz) -> DateTime<Utc> {
    let [_, ends @ ..] = BOUNDARIES;
    let place = Zeit::ALL.iter().position(|zeit| *zeit == slot.zeit);
    instant_of(slot.datum, ends[place.unwrap_or_default()], zone)
}

/// The interval between two slot boundaries (0:00, 9:00, 14:00, 19:00 local time) that contains `now`. A placement
/// doesn't change within it.
pub fn slot_interval(now: DateTime<Utc>, zone: Tz) -> Range<DateTime<Utc>> {
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

/// The first slot boundary after `now`.
pub fn next_boundary(now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    slot_interval(now, zone).end
}
