//! Which tasks need attention, by the table that holds for the web app's script, too (`tests/web/decisions.mjs`).

use chrono::NaiveDate;
use codex_miroir::task::Datum;
use codex_miroir::timeline::Reason;
use codex_miroir::view::{Attention, attention_of};
use serde_json::Value;

fn day(iso: &Value) -> Option<Datum> {
    let date: NaiveDate = iso.as_str()?.parse().unwrap();
    Some(Datum(date))
}

fn reason(code: &Value) -> Reason {
    let by = 0;
    let all = [
        Reason::SlotTaken { by },
        Reason::SlotPassed,
        Reason::OutsideHorizon,
        Reason::HorizonFull,
    ];
    let found = all
        .into_iter()
        .find(|it| Some(it.as_str()) == code.as_str());
    found.unwrap()
}

#[test]
fn what_needs_attention() {
    let table: Value = serde_json::from_str(include_str!("../web/attention.json")).unwrap();
    let span = day(&table["today"]).unwrap()..=day(&table["until"]).unwrap();
    for row in table["rows"].as_array().unwrap() {
        let place = &row["place"];
        let place = day(&place["day"]).ok_or_else(|| reason(&place["reason"]));
        let is = attention_of(day(&row["deadline"]), place, &span);
        assert_eq!(is.map(Attention::as_str), row["is"].as_str(), "{row}");
    }
}
