//! The script on the server decides as `decide_replace`.

use codex_miroir::shared_cache::{Published, ReplaceStep, SharedEntry, Stamp, decide_replace};
use codex_miroir::store::ETag;
use codex_miroir::user_state::Version;

use super::{Client, entry};
use crate::support::cases;
use crate::support::redis::RedisServer;

/// Offers a snapshot to a model of the server.
fn offer(present: &mut Option<SharedEntry>, new: &SharedEntry) -> Published {
    let stamp: Option<&Stamp> = present.as_ref().map(|it| &it.stamp);
    match (decide_replace(stamp, &new.stamp), present.as_mut()) {
        (ReplaceStep::Keep, _) => Published::Kept,
        (ReplaceStep::Raise, Some(present)) => {
            let confirmed = &mut present.stamp.confirmed;
            *confirmed = new.stamp.confirmed.max(*confirmed);
            Published::Raised
        }
        (ReplaceStep::Raise, None) => panic!("there is nothing to raise"),
        (ReplaceStep::Replace, _) => {
            *present = Some(new.clone());
            Published::Stored
        }
    }
}

/// Versions and times next to each other, of different lengths, and at the ends of what the script can compare.
fn random_entry(random: &mut fastrand::Rng, present: Option<&SharedEntry>) -> SharedEntry {
    const VERSIONS: [u64; 6] = [9, 10, 1 << 53, (1 << 53) + 1, u64::MAX - 1, u64::MAX];
    const TIMES: [u64; 6] = [0, 9, 10, 999_999, 1_000_000, 1_700_000_000_000_000];
    let [listed, confirmed] = [(); 2].map(|()| random.choice(TIMES).unwrap());
    let version = present
        .map(|it| it.stamp.version.0)
        .filter(|_| random.bool());
    let version = version.unwrap_or_else(|| random.choice(VERSIONS).unwrap());
    let mut new = entry(version, listed, confirmed);
    new.stamp.format = random.choice(["1", "1", "1", "2"]).unwrap().into();
    new.stamp.etag = ETag::new(random.choice(["0x1", "0x1", "0x2"]).unwrap());
    new.body.index = vec![random.u8(..); random.usize(1..20)].into();
    new
}

#[tokio::test]
async fn the_script_decides_as_the_rule() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    let mut counts = [0; 3];
    for seed in 0..u64::from(cases(60)) {
        let random = &mut fastrand::Rng::with_seed(seed);
        server.run::<()>(&["FLUSHALL"]).unwrap();
        let mut model = None;
        for step in 0..12 {
            let new = random_entry(random, model.as_ref());
            // A busy machine may lose an answer. The same offer once more changes nothing then, as the next test shows.
            let published = client.try_publish(&new).await;
            let expected = offer(&mut model, &new);
            if let Ok(published) = published {
                assert_eq!(published, expected, "seed {seed}, step {step}: {new:?}");
            } else {
                client.publish(&new).await;
            }
            assert_eq!(
                client.get().await,
                model,
                "seed {seed}, step {step}: {new:?}"
            );
            let kinds = [Published::Kept, Published::Raised, Published::Stored];
            let kind = kinds.iter().position(|it| *it == expected).unwrap();
            counts[kind] += 1;
        }
    }
    assert!(counts.iter().all(|it| *it > 50), "{counts:?}");
}

#[tokio::test]
async fn what_was_stamped_by_a_clock_that_is_ahead_is_in_nobodys_way() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    let (seconds, _): (u64, u64) = server.run(&["TIME"]).unwrap();
    let now = seconds * 1_000_000;
    for (listed, confirmed) in [(now, now + 60_000_000), (now + 60_000_000, now)] {
        client.publish(&entry(7, listed, confirmed)).await;
        assert_eq!(client.publish(&entry(7, now, now)).await, Published::Stored);
        assert_eq!(client.get().await, Some(entry(7, now, now)));
    }
}

#[tokio::test]
async fn the_same_offer_once_more_changes_nothing() {
    let server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    for version in [1, 2, u64::MAX] {
        let new = entry(version, version.min(1_000), 500);
        client.publish(&new).await;
        assert_eq!(client.publish(&new).await, Published::Raised);
        assert_eq!(client.get().await, Some(new));
    }
    assert_eq!(client.get().await.unwrap().stamp.version, Version(u64::MAX));
}
