//! The promises to readers (src/user_state/README.md, "Promises"), with several instances and controlled interleavings.

use std::sync::Arc;
use std::time::Duration;

use codex_miroir::codex::{
    Consistency, Encoding, Layer, PageFormat, Read, ReadError, ReadRequest, TaskError, Version,
};
use codex_miroir::now::Now;
use codex_miroir::task::FileName;
use codex_miroir::user_state::{ChangeKind, PendingFile, PendingOp};
use codex_miroir::view::Language;
use serde_json::Value;

use crate::support::losing_store::Loss;
use crate::support::scene::{ARTIFACT, Instance, RAW, STATE, Scene, settle, task, titles};

/// Records another process's create: its intent is in the state document, its file isn't written yet.
fn add_intent(scene: &Scene, op: &str, name: &str) -> Version {
    scene.change_state(|state| {
        state.version = state.version.next();
        let number: FileName = name.parse().unwrap();
        state.next_id = state.next_id.max(u32::from(number.id().number()) + 1);
        let file = PendingFile {
            name: name.to_owned(),
            write_id: "00000000000000ff".to_owned(),
            kind: ChangeKind::Create,
            unknown: serde_json::Map::new(),
        };
        let pending = PendingOp {
            version: state.version,
            at: scene.now().utc,
            files: vec![file],
            denied: false,
            unknown: serde_json::Map::new(),
        };
        state.pending.insert(op.to_owned(), pending);
    })
}

/// Ends the create: its intent is removed.
fn remove_intent(scene: &Scene, op: &str) {
    scene.change_state(|state| {
        state.pending.remove(op);
    });
}

#[tokio::test]
async fn a_hundred_first_readers_make_one_rebuild() {
    let scene = Scene::with_tasks(20);
    let a = scene.instance();
    let listing = a.gate.hold_next("list", RAW);
    let readers = futures::future::join_all((0..100).map(|_| scene.read(&a)));
    let (reads, ()) = tokio::join!(readers, async {
        listing.reached().await;
        settle().await;
        listing.release();
    });
    assert_eq!(
        a.took(),
        "1 get artifacts, 20 get raw, 2 get state, 1 list raw, 1 put artifacts, 1 put state"
    );
    let first = a.json(&reads[0]);
    assert!(reads.iter().all(|read| a.json(read) == first));
    let charged = reads.iter().filter(|read| read.requests.reads > 0).count();
    assert_eq!(
        charged, 1,
        "a shared request counts for the reader that sent it"
    );
}

#[tokio::test]
async fn while_something_is_pending_an_answer_is_good_once_and_says_how_much_it_contains() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let before = scene.read(&a).await.entry.bounds.hi;
    let first = add_intent(&scene, "one", "0001-Eins.md");
    let second = add_intent(&scene, "two", "0002-Zwei.md");
    scene.pass_seconds(5);
    let read = scene.read(&a).await;
    let known = &read.entry.bounds;
    assert_eq!((known.lo, known.hi, known.exact), (before, second, false));
    assert_eq!(first, before.next());
    a.took();
    scene.read(&a).await;
    let counts = a.requests.take();
    assert_eq!(
        counts.of_kind("list", "raw"),
        1,
        "the next read asks again: {counts}"
    );
    assert_eq!(
        counts.of_kind("put", "artifacts"),
        0,
        "nothing inexact is written: {counts}"
    );
}

/// P4: the rebuild that began before the change ends after the one that began later.
#[tokio::test]
async fn an_older_rebuild_never_replaces_a_newer_one() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.pass_seconds(5);
    scene.change_state(|state| state.version = state.version.next());
    let slow = a.gate.hold_next("get", STATE);
    let again = a.gate.hold_next("get", STATE);
    slow.release();
    let older = tokio::spawn({
        let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
        async move { codex.reader().week(&read_request).await }
    });
    // The older rebuild has listed the files and is held before its second GET of the state document.
    again.reached().await;
    let version = add_intent(&scene, "op", "0001-Neu.md");
    scene.own_file("0001-Neu.md", &task("Neu"));
    remove_intent(&scene, "op");
    let newer = scene.read_having_seen(&a, version).await;
    assert_eq!(titles(&a.json(&newer)), ["Aufgabe 0", "Neu"]);
    again.release();
    older.await.unwrap().unwrap();
    settle().await;
    let b = scene.instance();
    for instance in [&a, &b] {
        let read = scene.read(instance).await;
        assert_eq!(
            titles(&instance.json(&read)),
            ["Aufgabe 0", "Neu"],
            "the older one stuck"
        );
        assert_eq!(read.entry.bounds.lo, version);
    }
}

#[tokio::test]
async fn strict_readers_of_the_same_settled_state_share_a_running_rebuild() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.change_state(|state| state.version = state.version.next());
    a.took();
    let listing = a.gate.hold_next("list", RAW);
    let readers = futures::future::join_all((0..10).map(|_| scene.read_strictly(&a)));
    let (_, ()) = tokio::join!(readers, async {
        listing.reached().await;
        settle().await;
        listing.release();
    });
    assert_eq!(a.requests.take().of_kind("list", "raw"), 1);
}

#[tokio::test]
async fn nocache_never_shares_a_listing_that_was_sent_before_it_came() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    let fetch = a.gate.hold_next("get", &format!("{RAW}0001"));
    scene.file("0001-Fremd.md", &task("Fremd"));
    let (early, late) = tokio::join!(scene.rebuild(&a), async {
        fetch.reached().await;
        scene.file("0002-Später.md", &task("Später"));
        let late = scene.rebuild(&a).await;
        fetch.release();
        late
    });
    assert_eq!(titles(&a.json(&late)), ["Aufgabe 0", "Fremd", "Später"]);
    assert!(titles(&a.json(&early)).contains(&"Fremd".to_owned()));
    let (of_early, of_late) = (&early.entry.bounds, &late.entry.bounds);
    assert!(
        of_early.hi >= of_late.hi,
        "the one that ended last was raised above the other"
    );
}

#[tokio::test]
async fn a_made_up_version_is_capped_to_the_one_just_read() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    let read = scene.read_having_seen(&a, Version(u64::MAX)).await;
    assert_eq!(
        (read.layer, a.took().as_str()),
        (Layer::Memory, "1 get state")
    );
}

#[tokio::test]
async fn foreign_files_are_seen_within_the_artifact_ttl_and_get_a_version() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let before = scene.read(&a).await.entry.bounds.hi;
    scene.file("0041-Fremd.md", &task("Fremd"));
    for _ in 0..179 {
        scene.pass_seconds(5);
        assert_eq!(titles(&a.json(&scene.read(&a).await)).len(), 1);
    }
    scene.pass_seconds(5);
    let read = scene.read(&a).await;
    assert_eq!(titles(&a.json(&read)), ["Aufgabe 0", "Fremd"]);
    assert_eq!(read.entry.bounds.hi, before.next());
    assert_eq!(
        scene.state().next_id,
        42,
        "the counter stays above every number"
    );
    assert_eq!(a.json(&read)["nextAvailableId"], "0042");
}

#[tokio::test]
async fn a_state_made_again_never_hands_out_a_version_twice() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    // Far ahead of the clock, as after far more than a thousand changes a second.
    let high = scene.change_state(|state| state.version = Version(state.version.0 + 1_000_000));
    scene.pass_seconds(5);
    assert_eq!(scene.read(&a).await.entry.bounds.hi, high);
    scene.store.foreign_delete(STATE);
    let b = scene.instance();
    assert!(
        scene.read(&b).await.entry.bounds.hi > high,
        "the artifact knew the version"
    );
    scene.store.foreign_delete(STATE);
    scene.store.foreign_delete(ARTIFACT);
    let c = scene.instance();
    let low = scene.read(&c).await.entry.bounds.hi;
    assert!(low < high, "nothing is left to know it by");
    scene.pass_seconds(5);
    assert!(
        scene.read(&a).await.entry.bounds.hi > high,
        "who knows it raises the state above it"
    );
    assert!(scene.state().version > high);
}

#[tokio::test]
async fn two_first_readers_of_two_instances_agree_on_one_state() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    let put = a.gate.hold_next("put", STATE);
    let (of_a, of_b) = tokio::join!(scene.read(&a), async {
        put.reached().await;
        let of_b = scene.read(&b).await;
        put.release();
        of_b
    });
    assert_eq!(of_a.entry.bounds.hi, of_b.entry.bounds.hi);
    assert!(of_a.entry.bounds.exact && of_b.entry.bounds.exact);
}

#[tokio::test(start_paused = true)]
async fn an_outage_shows_the_last_known_week_up_to_the_limit_and_never_an_older_one_than_seen() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let seen = scene.read(&a).await.entry.bounds.hi;
    a.line.set_outage(true);
    scene.pass_seconds(5);
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    assert_eq!(scene.read_having_seen(&a, seen).await.layer, Layer::Stale);
    for read_request in [
        ReadRequest {
            seen: Some(seen.next()),
            ..scene.read_request(Consistency::Bounded)
        },
        scene.read_request(Consistency::Strict),
        scene.read_request(Consistency::Rebuilt),
    ] {
        let error = a.try_read(read_request).await.unwrap_err();
        assert!(
            matches!(error, TaskError::Read(ReadError::Store(_))),
            "{error}"
        );
    }
    scene.pass_seconds(3_594);
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    scene.pass_seconds(1);
    assert!(
        a.try_read(scene.read_request(Consistency::Bounded))
            .await
            .is_err()
    );
    a.line.set_outage(false);
    assert_eq!(
        scene.read(&a).await.layer,
        Layer::Rebuild,
        "the listing is an hour old"
    );
}

#[tokio::test(start_paused = true)]
async fn during_an_outage_one_reader_in_five_seconds_asks_the_store() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    a.line.set_outage(true);
    scene.pass_seconds(5);
    a.took();
    for _ in 0..50 {
        assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    }
    assert_eq!(a.took(), "1 get state");
    scene.pass_seconds(5);
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    assert_eq!(a.took(), "1 get state");
    a.line.set_outage(false);
    scene.pass_seconds(5);
    assert_eq!(
        scene.read(&a).await.layer,
        Layer::Memory,
        "and it is over as soon as one succeeds"
    );
    assert_eq!(scene.read(&a).await.layer, Layer::Memory);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_a_known_week_up_for_three_seconds_only() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.pass_seconds(5);
    let _hung = a.gate.hold_next("get", STATE);
    let began = tokio::time::Instant::now();
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_eq!(
        scene.read(&a).await.layer,
        Layer::Stale,
        "and nobody after it"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_reader_with_a_version_shares_the_failure_it_waited_for() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let seen = scene.read(&a).await.entry.bounds.hi;
    scene.pass_seconds(5);
    a.took();
    let hung = a.gate.hold_next("get", STATE);
    a.line.lose_next("get", STATE, Loss::Request);
    let read_request = ReadRequest {
        seen: Some(seen.next()),
        ..scene.read_request(Consistency::Bounded)
    };
    let (first, second, ()) = tokio::join!(scene.read(&a), a.try_read(read_request), async {
        hung.reached().await;
        settle().await;
        hung.release();
    });
    assert_eq!((first.layer, second.is_err()), (Layer::Stale, true));
    assert_eq!(a.took(), "1 get state");
}

#[tokio::test]
async fn an_artifact_that_cannot_be_read_costs_a_rebuild_and_nothing_else() {
    let scene = Scene::with_tasks(2);
    scene.read(&scene.instance()).await;
    let b = scene.instance();
    b.line.lose_next("get", ARTIFACT, Loss::Request);
    let read = scene.read(&b).await;
    assert_eq!(
        (read.layer, titles(&b.json(&read)).len()),
        (Layer::Rebuild, 2)
    );
}

#[tokio::test]
async fn an_artifact_from_the_future_is_not_taken() {
    let scene = Scene::with_tasks(1);
    scene.read(&scene.instance()).await;
    let mut artifact: Value =
        serde_json::from_slice(&scene.store.peek(ARTIFACT).unwrap().bytes).unwrap();
    let mut listed_at = async |moment: &str| {
        artifact["cacheCreatedAt"] = moment.into();
        scene
            .store
            .foreign_write(ARTIFACT, artifact.to_string().as_bytes());
        scene.read(&scene.instance()).await.layer
    };
    assert_eq!(
        listed_at("2026-03-09T07:00:01Z").await,
        Layer::Artifact,
        "clocks step by a second"
    );
    assert_eq!(listed_at("2026-03-09T09:00:00Z").await, Layer::Rebuild);
}

#[tokio::test]
async fn a_change_finished_between_two_first_requests_costs_one_more() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    let b = scene.instance();
    let artifact = b.gate.hold_next("get", ARTIFACT);
    let (read, ()) = tokio::join!(scene.read(&b), async {
        artifact.reached().await;
        settle().await;
        scene.file("0001-Neu.md", &task("Neu"));
        scene.rebuild(&a).await;
        artifact.release();
    });
    assert_eq!(
        (read.layer, b.took().as_str()),
        (Layer::Artifact, "1 get artifacts, 2 get state")
    );
    assert_eq!(titles(&b.json(&read)), ["Aufgabe 0", "Neu"]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_hangs_is_remembered_as_an_outage_from_its_end() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.change_state(|state| state.version = state.version.next());
    scene.pass_seconds(5);
    let _hung = a.gate.hold_next("list", RAW);
    let began = tokio::time::Instant::now();
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    scene.pass_seconds(34);
    a.took();
    assert_eq!(
        (scene.read(&a).await.layer, a.took().as_str()),
        (Layer::Stale, "")
    );
    scene.pass_seconds(1);
    assert_eq!(scene.read(&a).await.layer, Layer::Rebuild);
}

#[tokio::test(start_paused = true)]
async fn a_strict_read_that_succeeds_ends_the_outage_for_all() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    a.line.set_outage(true);
    scene.pass_seconds(5);
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    a.line.set_outage(false);
    scene.pass_seconds(1);
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    assert_eq!(scene.read_strictly(&a).await.layer, Layer::Memory);
    assert_eq!(scene.read(&a).await.layer, Layer::Memory);
}

#[tokio::test]
async fn a_file_that_may_not_be_opened_costs_the_others_nothing() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    a.line
        .lose_next("get", &format!("{RAW}0001"), Loss::Unreadable);
    let document = a.json(&scene.read(&a).await);
    assert_eq!(titles(&document), ["Aufgabe 0", "Aufgabe 2"]);
    assert_eq!(document["problems"][0]["code"], "not_readable");
    // It becomes readable again, with the same ETag.
    assert_eq!(titles(&a.json(&scene.rebuild(&a).await)).len(), 3);
    // It becomes unreadable again, and only its body is fetched.
    a.line
        .lose_next("get", &format!("{RAW}0001"), Loss::Unreadable);
    let (_, page) = a
        .codex
        .reader()
        .week_with_bodies(&scene.read_request(Consistency::Bounded), Language::German)
        .await
        .unwrap();
    let page = String::from_utf8(page.bytes.to_vec()).unwrap();
    assert!(page.contains("Der Text ist nicht lesbar.") && page.contains("Aufgabe 2"));
}

#[tokio::test]
async fn a_change_finished_before_a_second_artifact_request_costs_one_more() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    scene.change_state(|state| state.version = state.version.next());
    scene.pass_seconds(5);
    b.took();
    let artifact = b.gate.hold_next("get", ARTIFACT);
    let (read, ()) = tokio::join!(scene.read(&b), async {
        artifact.reached().await;
        scene.file("0001-Neu.md", &task("Neu"));
        scene.rebuild(&a).await;
        scene.change_state(|state| state.version = state.version.next());
        scene.rebuild(&a).await;
        artifact.release();
    });
    assert_eq!(
        (read.layer, b.took().as_str()),
        (Layer::Artifact, "1 get artifacts, 2 get state")
    );
}

#[tokio::test]
async fn a_lost_states_versions_are_known_from_the_artifact_also_with_a_memory() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    let high = scene.change_state(|state| state.version = Version(state.version.0 + 1_000_000));
    scene.read(&b).await;
    scene.store.foreign_delete(STATE);
    scene.pass_seconds(5);
    assert!(scene.read(&a).await.entry.bounds.hi > high);
}

#[tokio::test]
async fn a_file_that_a_listing_missed_is_looked_up_by_name() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    let before = scene.read(&a).await.entry.bounds.hi;
    a.took();
    a.line.omit_next("0001-Aufgabe.md");
    let read = scene.rebuild(&a).await;
    assert_eq!(titles(&a.json(&read)).len(), 3);
    assert_eq!(
        a.took(),
        "1 get raw, 2 get state, 1 list raw, 1 put artifacts"
    );
    assert_eq!(read.entry.bounds.hi, before, "and is no foreign change");
    scene.store.foreign_delete(&format!("{RAW}0001-Aufgabe.md"));
    assert_eq!(
        titles(&a.json(&scene.rebuild(&a).await)),
        ["Aufgabe 0", "Aufgabe 2"]
    );
}

/// Each swap that would raise the version for a foreign change is lost to a concurrent one: the rebuild doesn't list
/// again, but what it shows still gets a version of its own.
#[tokio::test]
async fn a_rebuild_that_always_loses_answers_with_what_it_has() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.file("0001-Fremd.md", &task("Fremd"));
    let mut first = scene.state().version;
    let puts: Vec<_> = (0..3).map(|_| a.gate.hold_next("put", STATE)).collect();
    let (read, ()) = tokio::join!(scene.rebuild(&a), async {
        for put in &puts {
            put.reached().await;
            first = scene.state().version;
            scene.change_state(|state| state.version = state.version.next());
            put.release();
        }
    });
    let known = &read.entry.bounds;
    assert_eq!(
        (known.lo, known.hi, known.exact),
        (first, first.next().next(), false)
    );
    assert_eq!(titles(&a.json(&read)), ["Aufgabe 0", "Fremd"]);
}

#[tokio::test(start_paused = true)]
async fn a_stale_week_shows_no_slot_that_has_passed() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    a.line.set_outage(true);
    scene.pass_seconds(3_599);
    let document = a.json(&scene.read(&a).await);
    assert_eq!(document["timeline"][0]["slots"][0]["zeit"], "morgens");
    let scene = Scene::starting("2026-03-09T07:30:00Z");
    scene.file("0000-Erste.md", &task("Erste"));
    let a = scene.instance();
    scene.read(&a).await;
    a.line.set_outage(true);
    scene.pass_seconds(1_800);
    let read = scene.read(&a).await;
    assert_eq!(read.layer, Layer::Stale);
    assert_eq!(
        a.json(&read)["timeline"][0]["slots"][0]["zeit"],
        "nachmittags"
    );
}

/// The request arrived before the end of a slot; a request that arrived after it was answered first.
#[tokio::test(start_paused = true)]
async fn a_request_that_takes_long_places_no_week_back() {
    let scene = Scene::starting("2026-03-09T07:59:58Z");
    scene.file("0000-Erste.md", &task("Erste"));
    let a = scene.instance();
    let first_slot = |read: &Read| a.json(read)["timeline"][0]["slots"][0]["zeit"].clone();
    let before = scene.read(&a).await;
    assert_eq!(first_slot(&before), "morgens");
    let early = scene.read_request(Consistency::Bounded);
    tokio::time::advance(Duration::from_secs(3)).await;
    scene.pass_seconds(3);
    let late = scene.read(&a).await;
    assert_eq!(first_slot(&late), "nachmittags");
    let read = a.read(early).await;
    assert_eq!(first_slot(&read), "nachmittags");
    assert!(
        Arc::ptr_eq(&read.entry, &late.entry),
        "nothing is placed anew"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hung_store_is_cut_by_the_deadline_and_holds_up_no_later_read() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let hung = a.gate.hold_next("list", RAW);
    let error = a
        .try_read(scene.read_request(Consistency::Bounded))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TaskError::Read(ReadError::TimedOut)),
        "{error}"
    );
    hung.reached().await;
    assert_eq!(scene.read(&a).await.layer, Layer::Rebuild);
}

#[tokio::test]
async fn a_reader_who_leaves_takes_nothing_away_from_the_others() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let listing = a.gate.hold_next("list", RAW);
    let first = tokio::spawn({
        let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
        async move { codex.reader().week(&read_request).await }
    });
    listing.reached().await;
    first.abort();
    let (read, ()) = tokio::join!(scene.read(&a), async {
        settle().await;
        listing.release();
    });
    assert_eq!(read.layer, Layer::Rebuild);
    assert_eq!(a.requests.take().of_kind("list", "raw"), 1);
}

#[tokio::test]
async fn a_lost_artifact_costs_a_rebuild_elsewhere_and_nothing_else() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    a.line.lose_next("put", ARTIFACT, Loss::Request);
    let of_a = scene.read(&a).await;
    let b = scene.instance();
    let of_b = scene.read(&b).await;
    assert_eq!((of_a.layer, of_b.layer), (Layer::Rebuild, Layer::Rebuild));
    assert_eq!(of_a.entry.bounds.hi, of_b.entry.bounds.hi);
}

#[tokio::test]
async fn equal_files_have_equal_tags_on_all_instances_and_differ_by_format() {
    let scene = Scene::with_tasks(3);
    let (a, b) = (scene.instance(), scene.instance());
    let tag = |instance: &Instance, read, format| {
        instance
            .codex
            .reader()
            .page(read, format, Encoding::Gzip)
            .etag
            .to_owned()
    };
    let of_a = scene.read(&a).await.entry;
    scene.pass_seconds(100);
    scene.rebuild(&a).await;
    let of_b = scene.read(&b).await.entry;
    assert_eq!(
        tag(&a, &of_a, PageFormat::Json),
        tag(&b, &of_b, PageFormat::Json)
    );
    assert_ne!(
        tag(&a, &of_a, PageFormat::Json),
        tag(&a, &of_a, PageFormat::Html(Language::German))
    );
    scene.file("0003-Neu.md", &task("Neu"));
    let changed = scene.rebuild(&b).await.entry;
    assert_ne!(
        tag(&b, &of_b, PageFormat::Json),
        tag(&b, &changed, PageFormat::Json)
    );
}

#[tokio::test]
async fn bodies_are_those_of_the_version_shown() {
    let scene = Scene::with_tasks(2);
    let a = scene.instance();
    let before = scene.read(&a).await;
    let fetch = a.gate.hold_next("get", &format!("{RAW}0001"));
    let read_request = scene.read_request(Consistency::Bounded);
    let (week, ()) = tokio::join!(
        a.codex
            .reader()
            .week_with_bodies(&read_request, Language::German),
        async {
            fetch.reached().await;
            scene.file(
                "0001-Aufgabe.md",
                "---\ntyp: task\nkategorie: arbeit\n---\n\n# Neuer Titel\n\nNeuer Text.\n",
            );
            fetch.release();
        }
    );
    let (read, page) = week.unwrap();
    let page = String::from_utf8(page.bytes.to_vec()).unwrap();
    assert!(
        page.contains("Neuer Text.") && !page.contains("Aufgabe 1"),
        "title and body belong together"
    );
    assert!(read.entry.bounds.hi > before.entry.bounds.hi);
}

#[tokio::test]
async fn one_users_reads_touch_nothing_of_another() {
    let scene = Scene::with_tasks(2);
    let a = scene.instance();
    let other = codex_miroir::user::UserId::parse("bert").unwrap();
    scene.read(&a).await;
    let kept = a.codex.memory_size().0;
    a.took();
    for _ in 0..3 {
        scene.pass_seconds(5);
        a.read(ReadRequest {
            user: other.clone(),
            ..scene.read_request(Consistency::Rebuilt)
        })
        .await;
    }
    assert!(
        a.requests
            .take_requests()
            .iter()
            .all(|request| request.path.contains("/bert/"))
    );
    assert_eq!(a.codex.memory_size().0, kept + 1);
}

/// Time in which the machine was suspended ages the snapshot, although the monotonic clock stood still.
#[tokio::test]
async fn time_that_a_machine_was_suspended_counts() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.file("0001-Neu.md", &task("Neu"));
    scene.pass_seconds(60);
    assert_eq!(titles(&a.json(&scene.read(&a).await)), ["Aufgabe 0"]);
    scene.suspend(3600);
    assert_eq!(titles(&a.json(&scene.read(&a).await)), ["Aufgabe 0", "Neu"]);
}

/// A suspension in the middle of a request advances the request's clock by as much.
#[test]
fn the_moment_after_a_suspension_is_as_much_later() {
    let now = Now::from_clocks(chrono::Utc::now(), std::time::Instant::now());
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    let advanced_by = now.advanced_by(second, hour);
    assert_eq!(advanced_by.mono - now.mono, second + hour);
    assert_eq!((advanced_by.utc - now.utc).to_std(), Ok(second + hour));
    assert_eq!(advanced_by.started - now.started, second);
    // A suspension is counted once, and the gap between reading the two clocks isn't taken for one.
    let again = advanced_by.advanced_by(second, hour + Duration::from_millis(3));
    assert_eq!(again.mono - advanced_by.mono, second);
}
