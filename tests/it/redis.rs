//! What the client of Redis decides; it against real servers is in tests/system/redis.rs.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use codex_miroir::metrics::{Metrics, RuntimeStats, SharedCacheMetrics};
use codex_miroir::shared_cache::{
    Breaker, CallResult, HealthLine, Hint, ServerTime, object_id, parse_hint, reconnect_pause,
};
use codex_miroir::user::UserId;
use codex_miroir::user_state::Version;
use proptest::prelude::*;

use CallResult::{
    Answered, ChannelHeard, ChannelRefused, Checked, Failed, PublishRefused, PublishTaken,
    Unreachable,
};

const RESULTS: [CallResult; 8] = [
    Answered,
    Failed,
    Checked,
    Unreachable,
    PublishRefused,
    PublishTaken,
    ChannelRefused,
    ChannelHeard,
];

/// Whether calls are allowed in the end, and everything that was logged.
fn after(results: &[CallResult]) -> (bool, Vec<HealthLine>) {
    let mut breaker = Breaker::default();
    let lines = results.iter().filter_map(|it| breaker.note(*it)).collect();
    (breaker.allows_calls(), lines)
}

#[test]
fn three_failures_in_a_row_or_no_connection_end_the_calls_until_a_check_is_answered() {
    use HealthLine::{Away, Back};
    for (results, allows_calls, lines) in [
        (&[][..], true, &[][..]),
        (&[Checked], true, &[]),
        (&[Failed; 2], true, &[]),
        (&[Failed; 3], false, &[Away]),
        // One line, however often it fails.
        (&[Failed; 9], false, &[Away]),
        (&[Failed, Failed, Answered, Failed, Failed], true, &[]),
        (&[Failed, Failed, PublishTaken, Failed, Failed], true, &[]),
        // A check or a refusal in between is no answer to a call.
        (&[Failed, Failed, Checked, Failed], false, &[Away]),
        (
            &[Failed, Failed, PublishRefused, Failed],
            false,
            &[HealthLine::PublishRefused, Away],
        ),
        (&[Unreachable], false, &[Away]),
        (&[Unreachable; 5], false, &[Away]),
        // A late answer is no check.
        (&[Unreachable, Answered, PublishTaken], false, &[Away]),
        (&[Unreachable, Checked], true, &[Away]),
        (&[Unreachable, Checked, Answered], true, &[Away, Back]),
        (&[Unreachable, Checked, PublishTaken], true, &[Away, Back]),
        (&[Unreachable, Checked, Checked], true, &[Away, Back]),
        // It answers checks and no calls: away, without a word.
        (&[Unreachable, Checked, Failed], false, &[Away]),
        (
            &[Unreachable, Checked, Failed, Checked, Unreachable],
            false,
            &[Away],
        ),
        (
            &[Unreachable, Checked, Checked, Failed, Failed],
            true,
            &[Away, Back],
        ),
        (
            &[Unreachable, Checked, Checked, Unreachable],
            false,
            &[Away, Back, Away],
        ),
    ] {
        assert_eq!(
            after(results),
            (allows_calls, lines.to_vec()),
            "{results:?}"
        );
    }
}

#[test]
fn each_refusal_is_one_line_until_it_ends() {
    use HealthLine as Line;
    for (results, lines) in [
        (&[PublishRefused; 4][..], &[Line::PublishRefused][..]),
        (&[ChannelRefused; 4], &[Line::ChannelRefused]),
        (
            &[PublishRefused, ChannelHeard, PublishRefused],
            &[Line::PublishRefused],
        ),
        (
            &[PublishRefused, PublishTaken, PublishRefused],
            &[Line::PublishRefused; 2],
        ),
        (
            &[ChannelRefused, ChannelHeard, ChannelRefused],
            &[Line::ChannelRefused; 2],
        ),
    ] {
        assert_eq!(after(results), (true, lines.to_vec()), "{results:?}");
    }
}

proptest! {
    #[test]
    fn lines_of_the_server_alternate(
        results in prop::collection::vec(prop::sample::select(&RESULTS[..]), 0..60),
    ) {
        let (_, lines) = after(&results);
        let of_server = |it: &&HealthLine| matches!(it, HealthLine::Away | HealthLine::Back);
        let lines: Vec<_> = lines.iter().filter(of_server).collect();
        for (at, line) in lines.into_iter().enumerate() {
            let expected = [HealthLine::Away, HealthLine::Back][at % 2];
            prop_assert_eq!(*line, expected);
        }
    }
}

#[test]
fn attempts_to_connect_become_rare() {
    let pauses = [0, 1, 2, 6, 7, 8, 1_000, u32::MAX].map(|it| reconnect_pause(it).as_millis());
    assert_eq!(pauses, [50, 100, 200, 3_200, 5_000, 5_000, 5_000, 5_000]);
}

#[test]
fn a_hint_is_exactly_three_words() {
    let hint = Hint {
        user: UserId::parse("anna").unwrap(),
        version: Version(u64::MAX),
        sent: ServerTime(1_700_000_000_000_000),
    };
    let text = "anna 18446744073709551615 1700000000000000";
    assert_eq!(parse_hint(text), Some(hint));
    for other in [
        "",
        "anna",
        "anna 1",
        "anna 1 2 3",
        "anna 1 2 ",
        " anna 1 2",
        "anna\t1 2",
        "an/na 1 2",
        "anna +1 2",
        "anna 1 -2",
        "anna 1 18446744073709551616",
        "anna  2",
    ] {
        assert_eq!(parse_hint(other), None, "{other:?}");
    }
}

#[test]
fn an_identitys_name_is_the_object_id_in_its_token() {
    let token = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let id = "6d9e2f7a-1b0c-4d5e-8f3a-2c4b6a8d0e1f";
    let claims = format!(r#"{{"aud":"https://redis.azure.com","oid":"{id}","exp":1}}"#);
    assert_eq!(object_id(&token(&claims)).as_deref(), Some(id));
    for none in [
        String::new(),
        "e30".to_owned(),
        "e30.!.c2ln".to_owned(),
        token("{}"),
        token(r#"{"oid":""}"#),
        token(r#"{"oid":7}"#),
        token("[]"),
    ] {
        assert_eq!(object_id(&none), None, "{none}");
    }
}

#[test]
fn its_metrics_are_there_only_where_it_is_configured() {
    let render = |metrics: Metrics| metrics.render(&RuntimeStats::default()).unwrap();
    let without = render(Metrics::default());
    assert!(
        !without.contains("redis_") && !without.contains("hint"),
        "{without}"
    );
    let shared_cache = SharedCacheMetrics::default();
    let metrics = Metrics::default().with_shared_cache(&shared_cache);
    shared_cache.record_lookup("hit");
    shared_cache.record_hint(Some(Duration::from_millis(2)));
    shared_cache.record_hint(None);
    shared_cache.record_reconnection();
    drop(shared_cache.calls().begin("get"));
    let text = render(metrics);
    for line in [
        r#"codex_shared_cache_lookups_total{outcome="hit"} 1"#,
        "codex_hints_heard_total 2",
        "codex_hint_lag_seconds_count 1",
        r#"codex_hint_lag_seconds_bucket{le="0.0025"} 1"#,
        "codex_redis_reconnections_total 1",
        r#"codex_redis_call_seconds_count{operation="get",outcome="failed"} 1"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}
