//! What is put in comes out, and hints arrive.

use std::time::Duration;

use codex_miroir::shared_cache::{Published, ServerTime, SharedCache, SharedEntry};
use codex_miroir::store::ETag;
use codex_miroir::user::UserId;
use codex_miroir::user_state::Version;

use super::{Client, anna, entry, until};
use crate::support::redis::RedisServer;

const KEY: &str = "codex:{codex-cache/anna}:snapshot";

#[tokio::test]
async fn a_snapshot_comes_back_as_it_was_with_the_servers_time() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    let reply = client.answers().await;
    assert_eq!((reply.entry, reply.suspect), (None, ServerTime(0)));
    // An ETag is in quotes in the store of Azure, and has none here.
    let mut put = entry(u64::MAX, 1_700_000_000_000_000, 1_700_000_000_000_001);
    put.stamp.etag = ETag::new("\"0x8DC\"");
    assert_eq!(client.publish(&put).await, Published::Stored);
    let reply = client.answers().await;
    assert_eq!(reply.entry, Some(put.clone()));
    let (seconds, _): (u64, u64) = server.run(&["TIME"]).unwrap();
    let lag = ServerTime((seconds + 1) * 1_000_000).since(reply.time);
    assert!(
        lag.is_some_and(|lag| lag < Duration::from_secs(60)),
        "{reply:?}"
    );
    let other = UserId::parse("Anna").unwrap();
    let of_other = client.cache.get(&other).await;
    assert!(
        of_other.is_ok_and(|it| it.entry.is_none()),
        "users are distinguished by letter case"
    );
}

#[tokio::test]
async fn without_the_body_the_server_says_whether_it_wants_it() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    let new = entry(7, 100, 200);
    let ask = async |it: SharedEntry| {
        client
            .cache
            .publish(&anna(), &it.stamp, None)
            .await
            .unwrap()
    };
    assert_eq!(ask(new.clone()).await, Published::Wanted);
    assert_eq!(client.get().await, None, "a question changes nothing");
    assert_eq!(client.publish(&new).await, Published::Stored);
    let later = entry(7, 100, 300);
    assert_eq!(ask(later.clone()).await, Published::Raised);
    assert_eq!(client.get().await, Some(later));
    assert_eq!(ask(entry(6, 900, 900)).await, Published::Kept);
    assert_eq!(ask(entry(8, 1, 1)).await, Published::Wanted);
}

#[tokio::test]
async fn a_snapshot_lives_for_the_artifacts_time_from_when_it_was_last_confirmed() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    client.publish(&entry(7, 100, 200)).await;
    let left = || server.run::<u64>(&["PTTL", KEY]).unwrap();
    assert!((1..=900_000).contains(&left()), "{}", left());
    server.run::<()>(&["PEXPIRE", KEY, "60000"]).unwrap();
    assert_eq!(client.publish(&entry(6, 100, 300)).await, Published::Kept);
    assert!(left() <= 60_000, "what isn't taken prolongs nothing");
    assert_eq!(client.publish(&entry(7, 100, 300)).await, Published::Raised);
    assert!(left() > 60_000);
}

#[tokio::test]
async fn a_large_snapshot_stays_out() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    let mut large = entry(7, 100, 200);
    large.body.index = vec![1; (512 << 10) - large.body.state.len()].into();
    // If the answer was late, it is there already, and would only be raised.
    until("it is stored", async || {
        server.run::<()>(&["DEL", KEY]).unwrap();
        matches!(client.try_publish(&large).await, Ok(Published::Stored))
    })
    .await;
    assert_eq!(client.get().await.as_ref(), Some(&large));
    large.stamp.version = Version(8);
    large.body.index = vec![1; large.body.index.len() + 1].into();
    assert_eq!(client.publish(&large).await, Published::Kept);
    assert_eq!(client.get().await.unwrap().stamp.version, Version(7));
}

#[tokio::test]
async fn damage_is_no_snapshot_and_is_repaired() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    let whole = entry(7, 100, 200);
    for damage in [
        &["HSET", KEY, "version", "7"][..],
        &["HSET", KEY, "version", "+0000000000000000007"],
        &["HSET", KEY, "version", "99999999999999999999"],
        &["HSET", KEY, "listed", "1e3"],
        &["HSET", KEY, "listed", ""],
        &["HSET", KEY, "confirmed", "-1"],
        &["HSET", KEY, "confirmed", "99999999999999999"],
        &["HSET", KEY, "etag", ""],
        &["HDEL", KEY, "format"],
        &["HDEL", KEY, "listed"],
        &["HDEL", KEY, "state"],
        &["HDEL", KEY, "index"],
        &["HSET", KEY, "index", ""],
        &["HSET", KEY, "format", "\u{fffd}"],
        &["SET", KEY, "another program's"],
        &["DEL", KEY],
    ] {
        client.publish(&whole).await;
        assert_eq!(client.get().await, Some(whole.clone()));
        server.run::<redis::Value>(damage).unwrap();
        let found = client.get().await;
        let other_format = |it: &SharedEntry| it.stamp.format == "\u{fffd}";
        assert!(found.is_none_or(|it| other_format(&it)), "{damage:?}");
        assert_eq!(
            client.publish(&whole).await,
            Published::Stored,
            "{damage:?}"
        );
    }
    assert_eq!(client.lines("WARN"), [""; 0]);
}

#[tokio::test]
async fn a_hint_reaches_every_instance_with_the_time_at_which_it_was_sent() {
    let server = RedisServer::start(&[]);
    let mut one = Client::of(&server).await;
    let mut other = Client::start(server.config(), Default::default());
    until("both hear", async || super::listeners(&server) == 2).await;
    let before = one.answers().await.time;
    let hint = one.hears(42).await;
    assert_eq!(hint.user, anna());
    let after = one.answers().await.time;
    assert!((before..=after).contains(&hint.sent), "{hint:?}");
    until("the other hears it, too", async || {
        other
            .hints
            .try_recv()
            .is_ok_and(|it| it.version == Version(42))
    })
    .await;
}

#[tokio::test]
async fn anything_else_on_the_channel_is_ignored() {
    let server = RedisServer::start(&[]);
    let mut client = Client::of(&server).await;
    for message in [
        "",
        "anna",
        "anna 1",
        "anna 1 2 3",
        "anna  1 2",
        "anna 1 2\n",
        "../etc 1 2",
        "anna -1 2",
        "anna +1 2",
        "anna 1 2.5",
        "anna 99999999999999999999 2",
        "ann\u{e4} 1 2",
    ] {
        let channel = "codex:codex-cache:hints";
        let heard: u32 = server.run(&["PUBLISH", channel, message]).unwrap();
        assert_eq!(heard, 1);
    }
    client.hears(9).await;
    assert!(client.hints.try_recv().is_err());
    assert_eq!(client.lines("WARN"), [""; 0]);
}

#[tokio::test]
async fn hints_that_nobody_acts_on_are_dropped() {
    let server = RedisServer::start(&[]);
    let mut client = Client::of(&server).await;
    let flood = "for i = 1, 3000 do redis.call('PUBLISH', ARGV[1], 'anna ' .. i .. ' 1') end";
    server
        .run::<()>(&["EVAL", flood, "0", "codex:codex-cache:hints"])
        .unwrap();
    until("all have come", async || {
        client.count("codex_hints_heard_total") == 3_000
    })
    .await;
    let waiting = std::iter::from_fn(|| client.hints.try_recv().ok());
    assert_eq!(waiting.count(), 1_024);
    client.hears(9_999).await;
}
