//! What `inspect` tells of the cache that instances share, and what a deletion removes from it.

use std::time::Duration;

use codex_miroir::admin::{self, AdminError, InspectReport, InspectSettings};
use codex_miroir::cache::entry_rejection;
use codex_miroir::codex::{ArtifactRejection, State, Version};
use codex_miroir::shared_cache::{CLOCK_SKEW, ServerTime, SharedBody, SharedEntry, Stamp};
use codex_miroir::store::ETag;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::scene::{STATE, Scene, anna};
use crate::support::shared_server::SharedServer;

const TTL: Duration = Duration::from_secs(900);

/// Three tasks, which an instance has read.
async fn read_once() -> (Scene, SharedServer) {
    let scene = Scene::with_tasks(3);
    let server = scene.shared_server();
    scene.read(&scene.instance_sharing(&server)).await;
    server.took();
    server.lookups();
    (scene, server)
}

async fn inspect(scene: &Scene, server: &SharedServer) -> InspectReport {
    let settings = InspectSettings {
        artifact_ttl: TTL,
        pending_expiry: Duration::from_secs(60),
        mirrored_in: None,
    };
    admin::inspect(&scene.store, Some(server), &anna(), &settings).await
}

async fn redis(scene: &Scene, server: &SharedServer) -> Value {
    serde_json::to_value(inspect(scene, server).await).unwrap()["redis"].take()
}

#[tokio::test]
async fn what_redis_has_is_told_with_its_age() {
    let (scene, server) = read_once().await;
    scene.pass_seconds(7);
    let report = inspect(&scene, &server).await;
    let SharedEntry { stamp, body } = server.entry().unwrap();
    let text = report.to_string();
    let bytes = format!("bytes: {}", body.state.len() + body.index.len());
    let etag = format!("etag: {}", stamp.etag.as_str());
    let part = text.lines().skip_while(|line| *line != "redis: present");
    let part: Vec<&str> = part.take(8).collect();
    let part = part.join("\n").replace(&bytes, "bytes: (…)");
    assert_snapshot!(part.replace(&etag, "etag: (…)"), @"
    redis: present
      bytes: (…)
      confirmedSecondsAgo: 7
      etag: (…)
      listedSecondsAgo: 7
      reason: -
      taken: true
      version: 1773039600001
    ");
    assert!(text.contains("taken: true\nredis: "), "after the artifact");
    assert!(report.is_complete() && report.is_there());
    assert_eq!(server.took(), "get");
    assert!(server.lookups().is_empty(), "no read of an instance's");
}

#[tokio::test]
async fn it_says_why_a_reader_takes_nothing_from_there() {
    let (scene, server) = read_once().await;
    let good = server.entry().unwrap();
    let reason = async || redis(&scene, &server).await["reason"].take();
    scene.pass_seconds(898);
    assert_eq!(reason().await, json!(null));
    scene.pass_seconds(1);
    let expired = "it is past CODEX_ARTIFACT_TTL_SECONDS, or from the future";
    assert_eq!(reason().await, expired);
    let put = |stamp: Stamp| {
        let body = good.body.clone();
        server.set_entry(Some(SharedEntry { stamp, body }));
    };
    put(Stamp {
        confirmed: good.stamp.confirmed.plus(TTL * 2),
        listed: good.stamp.listed.plus(TTL),
        ..good.stamp.clone()
    });
    assert_eq!(reason().await, expired, "from the future");
    put(good.stamp.clone());
    let document = scene.store.peek(STATE).unwrap().bytes;
    scene.change_state(|state| state.version = state.version.next());
    assert_eq!(reason().await, "it is behind the state document");
    scene.change_state(|state| state.version = Version(1));
    assert_eq!(reason().await, "the state is at another version");
    scene.store.foreign_delete(STATE);
    assert_eq!(reason().await, "there is no state document");
    scene.store.foreign_write(STATE, &document);
    for entry in [
        SharedEntry {
            stamp: Stamp {
                format: "1 9.9".into(),
                ..good.stamp.clone()
            },
            body: good.body.clone(),
        },
        SharedEntry {
            stamp: good.stamp.clone(),
            body: SharedBody {
                index: b"\xff\xff"[..].into(),
                ..good.body.clone()
            },
        },
    ] {
        server.set_entry(Some(entry));
        let ignored = "It is damaged or of another format, and is ignored.";
        let damaged = json!({"status": "damaged", "reason": ignored});
        assert_eq!(redis(&scene, &server).await, damaged);
    }
}

#[tokio::test]
async fn a_server_without_the_user_and_one_that_is_away_leave_the_rest_of_the_report() {
    let (scene, server) = read_once().await;
    server.set_entry(None);
    assert_eq!(redis(&scene, &server).await, json!({"status": "absent"}));
    let before = inspect(&scene, &server).await;
    server.set_away(true);
    let after = inspect(&scene, &server).await;
    let text = after.to_string();
    let away = "redis: unreadable\n  reason: Redis can't be asked: it is away\n";
    assert_eq!(before.to_string(), text.replace(away, "redis: absent\n"));
    assert!(before.is_complete() && !after.is_complete());
}

#[tokio::test]
async fn a_snapshot_of_a_user_without_blobs_is_told() {
    let (scene, server) = read_once().await;
    for path in scene.store.paths() {
        scene.store.foreign_delete(&path);
    }
    assert!(inspect(&scene, &server).await.is_there());
    server.set_entry(None);
    assert!(!inspect(&scene, &server).await.is_there());
}

#[tokio::test]
async fn a_deletion_removes_the_snapshot_or_says_why_it_may_be_left() {
    let (_scene, server) = read_once().await;
    server.set_away(true);
    let error = admin::delete_shared(&server, &anna()).await.unwrap_err();
    assert!(matches!(error, AdminError::InShared(_)), "{error}");
    assert_snapshot!(error, @"Redis can't be asked: it is away, so a snapshot of the user may be left there for up to CODEX_ARTIFACT_TTL_SECONDS; run the same command again to remove it");
    server.set_away(false);
    assert!(server.entry().is_some());
    let said = admin::delete_shared(&server, &anna()).await.unwrap();
    assert_eq!(
        said,
        "In Redis: the snapshot that instances share is removed."
    );
    assert_eq!(server.entry(), None);
    let said = admin::delete_shared(&server, &anna()).await.unwrap();
    assert_eq!(said, "In Redis: nothing.");
}

fn stamp(version: u64, listed: u64, confirmed: u64) -> Stamp {
    Stamp {
        format: "1".into(),
        version: Version(version),
        etag: ETag::new("e"),
        listed: ServerTime(listed),
        confirmed: ServerTime(confirmed),
    }
}

fn state(version: u64) -> State {
    let document = json!({"format": "1.0", "version": version, "nextId": 1});
    State::parse(document.to_string().as_bytes())
        .unwrap()
        .unwrap()
}

proptest! {
    /// What is taken has the document's version, and is dated within the time of a listing, a second less.
    #[test]
    fn only_a_dated_snapshot_of_the_documents_version_is_taken(
        version in 1..4_u64, documents in 1..4_u64,
        listed in 0..2_000_u64, confirmed in 0..2_000_u64, time in 0..2_000_u64,
    ) {
        let micros = |seconds: u64| seconds * 1_000_000;
        let stamp = stamp(version, micros(listed), micros(confirmed));
        let said = entry_rejection(&stamp, ServerTime(micros(time)), &state(documents), TTL);
        let limit = (TTL - CLOCK_SKEW).as_secs();
        let is_dated = confirmed <= time && listed <= time && time - listed < limit;
        let wanted = match version == documents {
            false => Some(ArtifactRejection::OtherVersion),
            true if is_dated => None,
            true => Some(ArtifactRejection::Expired),
        };
        prop_assert_eq!(said, wanted);
    }
}
