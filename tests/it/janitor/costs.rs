//! The exact cost of a pass in storage requests, and its cost to other instances.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use codex_miroir::codex::Consistency;
use codex_miroir::now::Now;

use super::{SETTLED, crowded, record, run_janitor};
use crate::support::github::GitHub;
use crate::support::later_store::LaterStore;
use crate::support::losing_store::Loss;
use crate::support::memory_store::MemoryStore;
use crate::support::scene::{MONDAY, STATE, Scene, codex_over, new_task, settle};

#[tokio::test]
async fn a_quiet_user_costs_four_and_all_together_three() {
    let scene = Scene::with_tasks(3);
    scene.read(&scene.instance()).await;
    let before = scene.store.peek(STATE).unwrap().etag;
    let a = scene.instance();
    run_janitor(&scene, &a).await;
    assert_eq!(
        a.took(),
        "1 get state, 2 list artifacts, 2 list raw, 2 list state"
    );
    assert_eq!(scene.store.peek(STATE).unwrap().etag, before);
}

/// `anna` has only files, `weg` has only an artifact.
#[tokio::test]
async fn a_folder_that_is_not_there_is_not_listed() {
    let scene = Scene::with_tasks(3);
    scene
        .store
        .foreign_write("artifacts/weg/timeline.json", b"{}");
    let a = scene.instance();
    let report = run_janitor(&scene, &a).await;
    assert_eq!((report.users, report.artifacts), (2, 1));
    assert_eq!(
        a.took(),
        "1 delete artifacts, 2 get state, 2 list artifacts, 3 list raw, 1 list state",
        "whether weg has come back is looked at before the artifact goes"
    );
}

/// The user is away, so the artifact is too old to be used.
#[tokio::test]
async fn in_github_mode_who_is_away_costs_a_rebuild() {
    let github = GitHub::start();
    let scene = Scene::with_tasks(3);
    let a = scene.instance_mirrored(&github);
    scene.read(&a).await;
    let now = Now::from_clocks(scene.now().utc, std::time::Instant::now());
    a.git().tick(now).await.unwrap();
    assert_eq!(run_janitor(&scene, &a).await.hints, 1);
    a.git().tick(now).await.unwrap();
    assert!(scene.store.peek("queue/anna").is_none(), "all is in Git");
    for pass in 0..2 {
        scene.pass_seconds(3_600);
        let b = scene.instance_mirrored(&github);
        let report = run_janitor(&scene, &b).await;
        assert_eq!((report.users, report.hints, report.failed), (1, 0, 0));
        assert_eq!(
            b.took(),
            "1 get artifacts, 4 get state, 2 list artifacts, 1 list queue, 3 list raw, 2 list state, \
             1 put artifacts",
            "{pass}"
        );
    }
}

#[tokio::test]
async fn what_there_is_to_do_costs_a_delete_each_and_one_swap() {
    let scene = crowded().await;
    let a = scene.instance();
    run_janitor(&scene, &a).await;
    // State document: the intent and the record are removed in a swap each, and it is read again before the first.
    // Task files: one is read and replaced by a tombstone, one is read and deleted. Besides anna there are a user who
    // is gone and the folder `idempotency`.
    assert_eq!(
        a.took(),
        "3 delete artifacts, 1 delete raw, 6 delete state, 2 get raw, 4 get state, 3 list artifacts, \
         4 list raw, 4 list state, 1 put raw, 2 put state"
    );
}

#[tokio::test]
async fn in_github_mode_what_is_not_in_git_is_found_once() {
    let github = GitHub::start();
    let scene = Scene::new();
    let a = scene.instance_mirrored(&github);
    let read_request = scene.read_request(Consistency::Bounded);
    a.line.lose_next("put", "queue/", Loss::Request);
    a.codex
        .writer()
        .create(&read_request, new_task("Neu"), None)
        .await
        .unwrap();
    settle().await;
    assert!(
        scene.store.peek("queue/anna").is_none(),
        "the hint was lost"
    );
    let b = scene.instance_mirrored(&github);
    let report = run_janitor(&scene, &b).await;
    assert_eq!((report.hints, report.failed), (1, 0));
    assert_eq!(
        b.took(),
        "1 get artifacts, 3 get state, 2 list artifacts, 1 list queue, 2 list raw, 2 list state, \
         1 put queue",
        "of the state's one is git.json, one the read's"
    );
    let hint = scene.store.peek("queue/anna").unwrap().etag;
    assert_eq!(run_janitor(&scene, &b).await.hints, 0);
    assert_eq!(
        b.took(),
        "1 get state, 2 list artifacts, 1 list queue, 2 list raw, 2 list state",
        "who has a hint isn't looked at for one"
    );
    assert_eq!(scene.store.peek("queue/anna").unwrap().etag, hint);
    assert!(github.requests().is_empty(), "GitHub isn't asked");
    // Once the timer has processed the hint, nothing is left to find.
    let git = b
        .git()
        .tick(Now::from_clocks(scene.now().utc, std::time::Instant::now()));
    assert_eq!(git.await.unwrap().drained, 1);
    b.took();
    assert_eq!(run_janitor(&scene, &b).await.hints, 0);
    assert!(scene.store.peek("queue/anna").is_none());
}

/// No task changed, so the next read needs no LIST.
#[tokio::test]
async fn it_costs_a_warm_instance_one_look_at_the_state() {
    let scene = Scene::with_tasks(3);
    scene.file("0007-Nie.md", SETTLED);
    let a = scene.instance();
    scene.read(&a).await;
    scene.pass_seconds(3_700);
    scene.read(&a).await;
    let at = scene.now().utc - TimeDelta::hours(30);
    scene.change_state(|state| {
        state.idempotency.insert("a".repeat(64), record("old", at));
    });
    scene.read_strictly(&a).await;
    a.took();
    let report = run_janitor(&scene, &scene.instance()).await;
    assert_eq!((report.records, report.tombstones), (1, 1));
    let version = scene.state().version;
    scene.pass_seconds(6);
    let read = scene.read(&a).await;
    assert_eq!(a.took(), "1 get state");
    assert_eq!(read.entry.bounds.hi, version);
    // A read that does list the files finds no foreign change either.
    scene.rebuild(&a).await;
    assert_eq!(a.took(), "2 get state, 1 list raw, 1 put artifacts");
    assert_eq!(scene.state().version, version);
}

/// More users than one pass can process: each pass starts with other users, until all have been processed.
#[tokio::test(start_paused = true)]
async fn a_pass_ends_in_time_and_everybody_gets_a_turn() {
    const USERS: usize = 60;
    let utc: DateTime<_> = MONDAY.parse().unwrap();
    let store = MemoryStore::new(utc);
    let leftover = |user: usize| format!("state/user-{user}/cacheVersion.txt");
    for user in 0..USERS {
        store.foreign_write(&leftover(user), b"old");
    }
    store.advance(Duration::from_secs(2 * 24 * 3600));
    let slow = LaterStore::slow(std::sync::Arc::new(store.clone()), Duration::from_secs(15));
    let codex = codex_over(std::sync::Arc::new(slow));
    let mut passes = 0;
    while !store.paths().is_empty() {
        let there = store.paths().len();
        let began = tokio::time::Instant::now();
        let now = Now {
            started: began,
            ..Now::from_clocks(utc + TimeDelta::hours(passes), std::time::Instant::now())
        };
        let report = codex.janitor().run(now).await.unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(290),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(report.users + report.failed + report.left, there);
        if passes == 0 {
            assert!(report.users > 0 && report.left > 0, "{report}");
        }
        passes += 1;
        assert!(passes < 24, "{:?} had no turn yet", store.paths());
    }
    assert!(passes > 1);
}
