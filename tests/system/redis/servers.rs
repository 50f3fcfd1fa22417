//! Servers that are full, emptied, replicas, or at the end of a slow line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use codex_miroir::config::RedisConfig;
use codex_miroir::net::TrustStore;
use codex_miroir::now::Now;
use codex_miroir::shared_cache::{Away, Published, ServerTime, SharedCache, SharedEntry};
use codex_miroir::user::UserId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Client, anna, entry, until};
use crate::support::redis::RedisServer;

/// A snapshot that takes this many bytes.
fn large(version: u64, bytes: usize) -> SharedEntry {
    let mut large = entry(version, 100, 200);
    large.body.index = vec![1; bytes].into();
    large
}

#[tokio::test]
async fn a_full_server_is_read_and_its_refusals_are_one_line() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let client = Client::of(&server).await;
    let first = entry(7, 100, 200);
    client.publish(&first).await;
    server
        .run::<()>(&["CONFIG", "SET", "maxmemory", "1"])
        .unwrap();
    for _ in 0..5 {
        assert_eq!(client.try_publish(&entry(8, 100, 200)).await, Err(Away));
        assert_eq!(client.get().await, Some(first.clone()));
    }
    let warnings = client.lines("WARN");
    assert!(
        warnings.len() == 1 && warnings[0].contains("OOM"),
        "{warnings:?}"
    );
    server
        .run::<()>(&["CONFIG", "SET", "maxmemory", "0"])
        .unwrap();
    assert_eq!(client.publish(&entry(8, 100, 200)).await, Published::Stored);
    server
        .run::<()>(&["CONFIG", "SET", "maxmemory", "1"])
        .unwrap();
    assert_eq!(client.try_publish(&entry(9, 100, 200)).await, Err(Away));
    client.logs("WARN", 2).await;
}

#[tokio::test]
async fn a_server_that_makes_room_takes_everything() {
    let limit = ["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru"];
    let server = RedisServer::start(&limit);
    let client = Client::of(&server).await;
    for user in 0..40 {
        let user = UserId::parse(&format!("user-{user}")).unwrap();
        let large = large(7, 256 << 10);
        let mut published = None;
        until("it is taken", async || {
            let body = Some(large.body.clone());
            published = client.cache.publish(&user, &large.stamp, body).await.ok();
            published.is_some()
        })
        .await;
        assert!(matches!(
            published,
            Some(Published::Stored | Published::Raised)
        ));
    }
    let keys: u32 = server.run(&["DBSIZE"]).unwrap();
    assert!((1..40).contains(&keys), "{keys}");
    assert_eq!(client.lines("WARN"), [""; 0]);
}

#[tokio::test]
async fn an_emptied_server_is_filled_again() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    client.publish(&entry(7, 100, 200)).await;
    for empty in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH"]] {
        server.run::<()>(empty).unwrap();
        client.publish(&entry(7, 100, 200)).await;
        assert_eq!(client.get().await, Some(entry(7, 100, 200)));
    }
    assert_eq!(client.lines("WARN"), [""; 0]);
}

#[tokio::test]
async fn a_replica_is_read_and_takes_snapshots_once_it_is_promoted() {
    let primary = RedisServer::start(&[]);
    let writer = Client::of(&primary).await;
    let first = entry(7, 100, 200);
    writer.publish(&first).await;
    drop(writer);
    let port = primary.port().to_string();
    let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
    let client = Client::of(&replica).await;
    until("the copy is there", async || {
        client.get().await == Some(first.clone())
    })
    .await;
    assert_eq!(client.try_publish(&entry(8, 100, 200)).await, Err(Away));
    client.logs("WARN", 1).await;
    let warnings = client.lines("WARN");
    assert!(
        warnings.len() == 1 && warnings[0].contains("READONLY"),
        "{warnings:?}"
    );
    replica.run::<()>(&["REPLICAOF", "NO", "ONE"]).unwrap();
    assert_eq!(client.publish(&entry(8, 100, 200)).await, Published::Stored);
    assert_eq!(
        client.cache.get(&anna()).await.unwrap().entry,
        Some(entry(8, 100, 200))
    );
}

/// As after a failover to a replica that lags, or from a dump.
#[tokio::test]
async fn an_older_copy_is_served_as_it_is_and_replaced() {
    let mut server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    client.publish(&entry(7, 100, 200)).await;
    server.run::<()>(&["SAVE"]).unwrap();
    client.publish(&entry(8, 300, 400)).await;
    server.restart();
    assert_eq!(client.get().await, Some(entry(7, 100, 200)));
    assert_eq!(client.publish(&entry(8, 300, 400)).await, Published::Stored);
    assert_eq!(client.get().await, Some(entry(8, 300, 400)));
}

/// A way to the server by which `pass` may change its answers, and delays them.
async fn through(
    server: &RedisServer,
    pass: impl Fn(&mut [u8]) -> Duration + Clone + Send + 'static,
) -> RedisConfig {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = server.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let pass = pass.clone();
            tokio::spawn(async move {
                let mut answer = [0; 1 << 16];
                loop {
                    let read = from_server.read(&mut answer).await.unwrap();
                    tokio::time::sleep(pass(&mut answer[..read])).await;
                    if read == 0 || to_client.write_all(&answer[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    RedisConfig {
        port,
        ..server.config()
    }
}

/// Sets back the seconds in an answer to `TIME`, the only pair that begins with ten digits.
fn set_back(answer: &mut [u8], by: u64) {
    let head = b"*2\r\n$10\r\n";
    let found = answer.windows(head.len()).position(|it| it == head);
    if let Some(at) = found {
        let digits = &mut answer[at + head.len()..][..10];
        let seconds: u64 = std::str::from_utf8(digits).unwrap().parse().unwrap();
        digits.copy_from_slice((seconds - by).to_string().as_bytes());
    }
}

#[tokio::test]
async fn what_was_stamped_before_the_clock_went_back_is_suspect() {
    static BEHIND: AtomicU64 = AtomicU64::new(0);
    let server = RedisServer::start(&[]);
    let set_back = |answer: &mut [u8]| {
        set_back(answer, BEHIND.load(Ordering::Relaxed));
        Duration::ZERO
    };
    let config = through(&server, set_back).await;
    let client = Client::start(config, TrustStore::default());
    let before = client.answers().await;
    assert_eq!(before.suspect, ServerTime(0));
    BEHIND.store(60, Ordering::Relaxed);
    let after = client.answers().await;
    assert!(after.time < before.time, "{after:?}");
    assert!(after.suspect > before.time, "{after:?}");
    let now = client.cache.time_at(Now::read().mono).unwrap();
    assert!(now < before.time, "a stamp is by the server's clock");
}

/// An answer that comes after its call was given up is nobody's.
#[tokio::test]
async fn a_slow_line_costs_three_calls_and_gives_nobody_the_answer_of_another() {
    static MILLIS: AtomicU64 = AtomicU64::new(0);
    let server = RedisServer::start(&[]);
    let slowly = |_: &mut [u8]| Duration::from_millis(MILLIS.load(Ordering::Relaxed));
    let client = Client::start(through(&server, slowly).await, TrustStore::default());
    client.publish(&entry(7, 100, 200)).await;
    let berta = UserId::parse("berta").unwrap();
    let hers = entry(9, 100, 200);
    until("hers is published, too", async || {
        let body = Some(hers.body.clone());
        let published = client.cache.publish(&berta, &hers.stamp, body).await;
        published.is_ok()
    })
    .await;
    let look = async || {
        for (user, expected) in [(anna(), entry(7, 100, 200)), (berta.clone(), hers.clone())] {
            if let Ok(reply) = client.cache.get(&user).await {
                assert_eq!(reply.entry, Some(expected));
            }
        }
    };
    // Longer than a call waits.
    MILLIS.store(150, Ordering::Relaxed);
    until("the client has given up", async || {
        look().await;
        !client.lines("WARN").is_empty()
    })
    .await;
    let failed = r#"codex_redis_call_seconds_count{operation="get",outcome="failed"}"#;
    let waited = client.count(failed);
    // Fewer if a check happened to find it out before.
    assert!(waited <= 3, "{waited} calls have waited");
    // No check comes through in time, so no further call waits.
    tokio::time::sleep(Duration::from_secs(6)).await;
    look().await;
    assert_eq!(client.count(failed), waited);
    assert_eq!(client.lines("WARN").len(), 1);
    MILLIS.store(0, Ordering::Relaxed);
    client.logs("INFO", 1).await;
    let answered = failed.replace("failed", "answered");
    until("both are answered again and again", async || {
        look().await;
        client.count(&answered) > 20
    })
    .await;
}
