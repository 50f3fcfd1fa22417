//! The cache that instances share: what it saves, exactly, and that it is never the truth (src/cache/README.md, "The
//! shared cache").

use std::sync::Arc;
use std::time::{Duration, Instant};

use codex_miroir::codex::{CodexSettings, Consistency, Layer, ReadRequest, Version};
use codex_miroir::shared_cache::{
    CLOCK_SKEW, Hint, LookupOutcome, Published, ReplaceStep, ServerClock, ServerTime, SharedBody,
    SharedEntry, Stamp, decide_replace,
};
use codex_miroir::store::ETag;
use codex_miroir::task::{Edit, TaskRef};
use codex_miroir::user_state::State;
use proptest::prelude::*;

use crate::support::http::{get, send};
use crate::support::scene::{Instance, Scene, anna, new_task, settings, settle, task, titles};
use crate::support::shared_model::SharedModel;
use crate::support::shared_server::SharedServer;

/// Creates a task on `instance` and returns its version, when all that follows the answer is done.
async fn create(scene: &Scene, instance: &Instance, title: &str) -> Version {
    let request = scene.read_request(Consistency::Bounded);
    let writer = instance.codex.writer();
    let created = writer.create(&request, new_task(title), None).await;
    settle().await;
    created.unwrap().version
}

/// Two instances over three tasks, the first of which has read them.
async fn two() -> (Scene, SharedServer, Instance, Instance) {
    let scene = Scene::with_tasks(3);
    let server = scene.shared_server();
    let (a, b) = (
        scene.instance_sharing(&server),
        scene.instance_sharing(&server),
    );
    scene.read(&a).await;
    a.took();
    server.took();
    server.lookups();
    server.hints();
    (scene, server, a, b)
}

#[tokio::test]
async fn what_one_instance_knows_costs_another_one_round_trip_and_no_storage_request() {
    let (scene, server, _, b) = two().await;
    let read = scene.read(&b).await;
    assert_eq!((read.layer, b.took().as_str()), (Layer::Shared, ""));
    assert_eq!(
        (server.took().as_str(), server.lookups()),
        ("get", vec![LookupOutcome::Hit])
    );
    assert_eq!(titles(&b.json(&read)).len(), 3);
    assert_eq!(read.requests.reads, 0);
    let read = scene.read(&b).await;
    assert_eq!((read.layer, server.took().as_str()), (Layer::Memory, ""));
}

#[tokio::test]
async fn the_first_snapshot_of_a_user_is_offered_taken_and_announced() {
    let scene = Scene::with_tasks(3);
    let server = scene.shared_server();
    let a = scene.instance_sharing(&server);
    let read = scene.read(&a).await;
    assert_eq!(server.took(), "get, publish, publish, hint");
    assert_eq!(server.lookups(), [LookupOutcome::Miss]);
    let stamp = server.entry().unwrap().stamp;
    assert_eq!(stamp.version, read.entry.bounds.hi);
    scene.pass_seconds(5);
    scene.read(&a).await;
    assert_eq!(server.took(), "get, publish", "only its time is renewed");
    let renewed = server.entry().unwrap().stamp;
    assert_eq!(
        (renewed.version, renewed.listed),
        (stamp.version, stamp.listed)
    );
    assert_eq!(
        renewed.confirmed.since(stamp.confirmed),
        Some(Duration::from_secs(5))
    );
}

#[tokio::test]
async fn another_instances_finished_change_costs_nothing_with_its_version_or_its_hint() {
    let (scene, server, a, b) = two().await;
    scene.read(&b).await;
    server.took();
    let version = create(&scene, &a, "Neu").await;
    assert_eq!(server.took(), "publish, publish, hint");
    let read = scene.read_having_seen(&b, version).await;
    assert_eq!((read.layer, b.took().as_str()), (Layer::Shared, ""));
    assert_eq!(read.entry.bounds.hi, version);

    let version = create(&scene, &a, "Noch eine").await;
    assert_eq!(
        scene.read(&b).await.layer,
        Layer::Memory,
        "the hint hasn't come yet"
    );
    for hint in server.hints() {
        b.codex.hear(&hint);
    }
    server.took();
    let read = scene.read(&b).await;
    assert_eq!((read.layer, b.took().as_str()), (Layer::Shared, ""));
    assert_eq!(
        (read.entry.bounds.hi, server.took().as_str()),
        (version, "get")
    );
    assert_eq!(scene.read(&b).await.layer, Layer::Memory);
}

#[tokio::test]
async fn a_snapshot_that_is_no_longer_fresh_is_confirmed_by_one_request() {
    let (scene, server, _, b) = two().await;
    // The clocks of the server's nodes may differ by a second.
    scene.pass(Duration::from_millis(4_010));
    let read = scene.read(&b).await;
    assert_eq!(
        (read.layer, b.took().as_str()),
        (Layer::Memory, "1 get state")
    );
    assert_eq!(server.took(), "get, publish");
    assert_eq!(server.lookups(), [LookupOutcome::Stale]);
}

#[tokio::test]
async fn a_change_that_isnt_published_makes_the_snapshot_the_base_of_a_rebuild() {
    let (scene, server, a, b) = two().await;
    server.set_away(true);
    let version = create(&scene, &a, "Neu").await;
    server.set_away(false);
    let read = scene.read_having_seen(&b, version).await;
    assert_eq!(
        (read.layer, b.took().as_str()),
        (Layer::Artifact, "1 get artifacts, 1 get state"),
    );
}

#[tokio::test]
async fn without_the_server_the_budgets_are_what_they_were() {
    let mut costs = vec![];
    for shares in [true, false] {
        let scene = Scene::with_tasks(3);
        let server = scene.shared_server();
        server.set_away(true);
        let instance = || match shares {
            true => scene.instance_sharing(&server),
            false => scene.instance(),
        };
        let (a, b) = (instance(), instance());
        let mut cost = vec![];
        for (at, instance) in [&a, &a, &b, &a, &b].into_iter().enumerate() {
            let read = scene.read(instance).await;
            cost.push((read.layer, instance.took()));
            let version = create(&scene, instance, &format!("Neu {at}")).await;
            cost.push((Layer::Memory, instance.took()));
            let read = scene.read_having_seen(&b, version).await;
            cost.push((read.layer, b.took()));
            scene.pass_seconds(5);
        }
        costs.push(cost);
    }
    assert_eq!(costs[0], costs[1]);
}

#[tokio::test]
async fn a_strong_read_and_a_rebuild_pass_it_by() {
    let (scene, server, _, b) = two().await;
    scene.read_strictly(&b).await;
    scene.rebuild(&b).await;
    assert!(!server.took().contains("get"));
    assert_eq!(server.lookups(), []);
}

#[tokio::test]
async fn an_older_copy_never_answers_who_knows_more() {
    let (scene, server, a, b) = two().await;
    let older = server.entry();
    let version = create(&scene, &a, "Neu").await;
    server.set_entry(older.clone());
    let read = scene.read_having_seen(&b, version).await;
    assert_eq!(read.entry.bounds.hi, version);
    assert_ne!(read.layer, Layer::Shared);
    server.set_entry(older);
    assert_eq!(
        scene.read(&a).await.entry.bounds.hi,
        version,
        "what it has acknowledged"
    );
}

#[tokio::test]
async fn an_instance_without_memory_shows_what_it_has_acknowledged() {
    let scene = Scene::with_tasks(3);
    let server = scene.shared_server();
    let shared = Some(Arc::new(server.clone()) as Arc<_>);
    let a = scene.instance_from(CodexSettings {
        shared,
        ..settings(1_000, 10_000, 0, None)
    });
    scene.read(&a).await;
    let older = server.entry();
    let version = create(&scene, &a, "Neu").await;
    server.set_entry(older);
    assert_eq!(scene.read(&a).await.entry.bounds.hi, version);
}

#[tokio::test]
async fn nothing_is_published_while_a_write_is_pending() {
    let (scene, server, a, b) = two().await;
    let mark = a.gate.hold_next("put", "state/");
    let finish = tokio::join!(create(&scene, &a, "Neu"), async {
        mark.reached().await;
        let finish = a.gate.hold_next("put", "state/");
        mark.release();
        finish
    })
    .1;
    assert_eq!(server.took(), "", "acknowledged and not finished");
    scene.pass_seconds(5);
    let read = scene.read(&b).await;
    assert_eq!(read.layer, Layer::Rebuild);
    assert_eq!(server.took(), "get");
    finish.release();
    settle().await;
    assert_eq!(server.took(), "publish, publish, hint");
}

#[tokio::test]
async fn what_is_damaged_or_cannot_be_dated_is_as_if_there_were_nothing() {
    let (scene, server, _, _) = two().await;
    let good = server.entry().unwrap();
    let other_format = Stamp {
        format: "0".into(),
        ..good.stamp.clone()
    };
    let late = Stamp {
        confirmed: good.stamp.confirmed.plus(Duration::from_secs(3_600)),
        ..good.stamp.clone()
    };
    let other_version = Stamp {
        version: good.stamp.version.next(),
        ..good.stamp.clone()
    };
    let pending = {
        let mut state = State::parse(&good.body.state).unwrap().unwrap();
        state.version = state.version.next();
        state.to_bytes()
    };
    let body = |state: &[u8], index: &[u8]| SharedBody {
        state: state.to_vec().into(),
        index: index.to_vec().into(),
    };
    let (state, index) = (&good.body.state, &good.body.index);
    let mut bad = vec![
        (other_format, good.body.clone()),
        (late, good.body.clone()),
        (other_version, good.body.clone()),
        (good.stamp.clone(), body(b"{}", index)),
        (good.stamp.clone(), body(&pending, index)),
        (good.stamp.clone(), body(state, b"")),
        (good.stamp.clone(), body(state, b"\xff\xff\xff")),
    ];
    bad.extend(
        (0..index.len())
            .step_by(37)
            .map(|cut| (good.stamp.clone(), body(state, &index[..cut]))),
    );
    for (stamp, body) in bad {
        let c = scene.instance_sharing(&server);
        let entry = SharedEntry { stamp, body };
        server.set_entry(Some(entry.clone()));
        let read = scene.read(&c).await;
        assert_eq!(
            (read.layer, server.lookups()),
            (Layer::Artifact, vec![LookupOutcome::Rejected]),
            "{entry:?}"
        );
        assert_eq!(titles(&c.json(&read)).len(), 3);
    }
    server.set_entry(Some(good));
    server.suspect_all();
    let c = scene.instance_sharing(&server);
    assert_eq!(
        scene.read(&c).await.layer,
        Layer::Artifact,
        "the server's clock went back"
    );
}

#[tokio::test]
async fn in_an_outage_another_instances_snapshot_stands_in() {
    let (scene, server, a, b) = two().await;
    scene.pass_seconds(60);
    for instance in [&a, &b] {
        instance.line.set_outage(true);
        let read = scene.read(instance).await;
        assert_eq!(
            (read.layer, titles(&instance.json(&read)).len()),
            (Layer::Stale, 3)
        );
    }
    assert!(server.took().starts_with("get"));
    let seen = scene.read(&b).await.entry.bounds.hi.next();
    let having_seen = ReadRequest {
        seen: Some(seen),
        ..scene.read_request(Consistency::Bounded)
    };
    assert!(
        b.try_read(having_seen).await.is_err(),
        "P1 holds in an outage"
    );
    scene.pass_seconds(3_600);
    let c = scene.instance_sharing(&server);
    c.line.set_outage(true);
    let request = scene.read_request(Consistency::Bounded);
    assert!(c.try_read(request).await.is_err(), "an hour is the limit");
}

#[tokio::test]
async fn editors_files_show_after_fifteen_minutes_however_often_it_is_published() {
    let (scene, server, a, b) = two().await;
    scene.file("0009-Fremd.md", &task("Fremd"));
    let mut shown = 0;
    for seconds in (0..).step_by(3) {
        let instance = if seconds % 2 == 0 { &a } else { &b };
        let read = scene.read(instance).await;
        shown = titles(&instance.json(&read)).len();
        if shown == 4 || seconds > 1_000 {
            assert!((880..=903).contains(&seconds), "after {seconds} s");
            break;
        }
        scene.pass_seconds(3);
    }
    assert_eq!(shown, 4);
    assert!(server.entry().is_some());
}

#[tokio::test]
async fn a_made_up_hint_costs_one_read_of_the_state() {
    let (scene, server, a, _) = two().await;
    let version = scene.read(&a).await.entry.bounds.hi;
    let hint = |version| Hint {
        user: anna(),
        version,
        sent: ServerTime::default(),
    };
    a.codex.hear(&hint(version));
    assert_eq!(scene.read(&a).await.layer, Layer::Memory, "it has that");
    a.codex.hear(&hint(Version(u64::MAX)));
    a.took();
    let read = scene.read(&a).await;
    assert_eq!(
        (read.layer, a.took().as_str()),
        (Layer::Memory, "1 get state")
    );
    assert_eq!(read.entry.bounds.hi, version);
    scene.read(&a).await;
    assert_eq!(a.took(), "", "it is capped to what there is");
    server.took();
}

#[tokio::test]
async fn a_hint_counts_for_nothing_in_an_outage() {
    let (scene, server, a, _) = two().await;
    let version = scene.read(&a).await.entry.bounds.hi;
    a.codex.hear(&Hint {
        user: anna(),
        version: version.next(),
        sent: ServerTime::default(),
    });
    a.line.set_outage(true);
    server.set_away(true);
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
}

#[tokio::test]
async fn a_later_document_of_the_same_version_takes_the_earlier_ones_place() {
    let (scene, server, a, b) = two().await;
    let before = server.entry().unwrap().stamp;
    // What a janitor removes from the document changes no version.
    let version = scene.change_state(|state| state.files = None);
    scene.pass_seconds(5);
    scene.read(&a).await;
    let after = server.entry().unwrap().stamp;
    assert_eq!((before.version, after.version), (version, version));
    assert_ne!(before.etag, after.etag);
    scene.read(&b).await;
    b.took();
    create(&scene, &b, "Neu").await;
    assert_eq!(
        b.took(),
        "1 get state, 1 put artifacts, 1 put raw, 2 put state",
        "no swap is lost; what has asked the store for nothing doesn't know its time"
    );
}

#[tokio::test]
async fn what_the_server_refuses_is_packed_once_a_minute() {
    let scene = Scene::with_tasks(3);
    let server = scene.shared_server();
    server.set_full(true);
    let a = scene.instance_sharing(&server);
    for _ in 0..10 {
        scene.read(&a).await;
        scene.pass_seconds(5);
    }
    assert_eq!(server.bodies(), 1);
    scene.pass_seconds(11);
    server.set_full(false);
    scene.read(&a).await;
    assert_eq!(server.bodies(), 1);
    assert!(server.entry().is_some());
}

#[tokio::test]
async fn a_change_is_announced_by_its_own_version_though_memory_holds_an_older_one() {
    let (scene, server, a, _) = two().await;
    scene.file("0000-Aufgabe.md", &task("Anders"));
    let request = scene.read_request(Consistency::Bounded);
    let edit = Edit {
        body: Some("Neu\n".to_owned()),
        ..Edit::default()
    };
    let task = TaskRef::File("0000-Aufgabe.md".parse().unwrap());
    let changed = a.codex.writer().update(&request, &task, edit, None).await;
    settle().await;
    let version = changed.unwrap().version;
    let known = a.codex.known(&anna()).unwrap();
    assert!(known.bounds.hi < version, "it lacks what the editor did");
    let hints = server.hints();
    assert!(
        hints.iter().any(|hint| hint.version >= version),
        "{hints:?}"
    );
}

#[tokio::test]
async fn a_week_says_whether_plain_reads_have_others_changes_at_once() {
    let scene = Scene::with_tasks(1);
    let server = scene.shared_server();
    let (sharing, alone) = (scene.instance_sharing(&server), scene.instance());
    let says = async |instance: &Instance| {
        let reply = send(instance, get("/codex")).await;
        assert_eq!(reply.status, 200);
        reply.header("x-codex-hints").to_owned()
    };
    assert_eq!(
        (says(&sharing).await, says(&alone).await),
        ("on".into(), String::new())
    );
    assert_eq!(says(&sharing).await, "on", "from memory, too");
    server.set_away(true);
    assert_eq!(says(&sharing).await, "");
}

#[tokio::test]
async fn concurrent_readers_share_one_round_trip() {
    let (scene, server, _, b) = two().await;
    let reads = (0..100).map(|_| scene.read(&b));
    let reads = futures::future::join_all(reads).await;
    let layers = reads.iter().map(|read| read.layer);
    assert!(
        layers
            .into_iter()
            .all(|layer| [Layer::Shared, Layer::Memory].contains(&layer))
    );
    assert_eq!((server.took().as_str(), b.took().as_str()), ("get", ""));
}

/// A stamp with small numbers, so that equal ones are common.
fn stamps() -> impl Strategy<Value = Stamp> {
    let stamps = ("[ab]", "[ab]", 0..4u64, 0..4u64, 0..4u64);
    stamps.prop_map(|(format, etag, version, listed, confirmed)| Stamp {
        format: format.into(),
        version: Version(version),
        etag: ETag::new(&etag),
        listed: ServerTime(listed),
        confirmed: ServerTime(confirmed),
    })
}

#[test]
fn only_a_later_snapshot_takes_anothers_place() {
    let stamp = |format: &'static str, version, etag, listed, confirmed| Stamp {
        format: format.into(),
        version: Version(version),
        etag: ETag::new(etag),
        listed: ServerTime(listed),
        confirmed: ServerTime(confirmed),
    };
    let present = stamp("1", 5, "a", 100, 200);
    assert_eq!(decide_replace(None, &present), ReplaceStep::Replace);
    let cases = [
        (stamp("1", 4, "z", 900, 900), ReplaceStep::Keep),
        (stamp("2", 4, "a", 900, 900), ReplaceStep::Keep),
        (stamp("1", 6, "b", 1, 1), ReplaceStep::Replace),
        (stamp("2", 5, "a", 1, 1), ReplaceStep::Replace),
        // The same document: the later listing counts.
        (stamp("1", 5, "a", 99, 900), ReplaceStep::Raise),
        (stamp("1", 5, "a", 100, 1), ReplaceStep::Raise),
        (stamp("1", 5, "a", 101, 1), ReplaceStep::Replace),
        // Another one of this version: the later confirmation.
        (stamp("1", 5, "b", 900, 200), ReplaceStep::Keep),
        (stamp("1", 5, "b", 1, 201), ReplaceStep::Replace),
    ];
    for (new, expected) in cases {
        assert_eq!(decide_replace(Some(&present), &new), expected, "{new:?}");
    }
}

proptest! {
    #[test]
    fn a_server_never_goes_back_by_itself(offers in prop::collection::vec(stamps(), 1..12)) {
        let body = SharedBody {
            state: (&b"{}"[..]).into(),
            index: (&b""[..]).into(),
        };
        let mut model = SharedModel::default();
        let mut before: Option<Stamp> = None;
        for offer in offers {
            let published = model.publish(&anna(), &offer, Some(body.clone()));
            prop_assert_ne!(published, Published::Wanted);
            let after = model.entries[&anna()].stamp.clone();
            prop_assert!(after.version >= offer.version);
            if let Some(before) = before {
                prop_assert!(after.version >= before.version);
                let same_document = (after.version, &after.format, &after.etag)
                    == (before.version, &before.format, &before.etag);
                prop_assert!(!same_document || after.listed >= before.listed);
            }
            before = Some(after);
        }
    }
}

#[test]
fn the_servers_clock_is_never_taken_for_later_than_it_was() {
    let began = Instant::now();
    let at = |millis| began + Duration::from_millis(millis);
    let time = |millis: u64| ServerTime(1_000_000_000 + millis * 1_000);
    let mut clock = ServerClock::default();
    assert_eq!(clock.at(at(0)), None);
    // Read at some moment between 100 and 300 ms.
    clock.observe(time(120), at(100), at(300));
    assert_eq!(clock.at(at(300)), Some(time(120)));
    assert_eq!(clock.at(at(350)), Some(time(170)));
    assert_eq!(clock.at(at(250)), Some(time(70)));
    // An answer that was overtaken changes nothing.
    clock.observe(time(110), at(90), at(200));
    assert_eq!(clock.at(at(300)), Some(time(120)));
    assert_eq!(clock.suspect(), ServerTime::default());
}

#[test]
fn what_was_stamped_before_the_clock_went_back_is_suspect() {
    let began = Instant::now();
    let at = |seconds| began + Duration::from_secs(seconds);
    let time = |seconds: u64| ServerTime(1_000_000_000 + seconds * 1_000_000);
    let mut clock = ServerClock::default();
    clock.observe(time(100), at(100), at(100));
    // As far as the clocks of two nodes may differ.
    clock.observe(time(109), at(110), at(110));
    assert_eq!(clock.suspect(), ServerTime::default());
    clock.observe(time(59), at(120), at(120));
    // Others may stamp by the old clock until they have noticed, too.
    let suspect = time(120).plus(CLOCK_SKEW + Duration::from_secs(10));
    assert_eq!(clock.suspect(), suspect);
    assert_eq!(clock.at(at(130)), Some(time(69)));
    // Forward is only more cost.
    clock.observe(time(600), at(130), at(130));
    assert_eq!(clock.suspect(), suspect);
}

#[test]
fn a_clock_that_goes_back_in_small_steps_is_found_out() {
    let began = Instant::now();
    let mut clock = ServerClock::default();
    let mut time = ServerTime(1_000_000_000);
    let mut noticed = vec![];
    for step in 0..4 {
        let at = began + Duration::from_secs(10 * step);
        clock.observe(time, at, at);
        noticed.push(clock.suspect() > ServerTime::default());
        time = time.plus(Duration::from_millis(10_000 - 600));
    }
    assert_eq!(noticed, [false, false, true, true]);
}

#[test]
fn a_machine_whose_clock_has_stood_still_makes_nothing_younger() {
    let began = Instant::now();
    let at = |seconds| began + Duration::from_secs(seconds);
    let time = |seconds: u64| ServerTime(1_000_000_000 + seconds * 1_000_000);
    let mut clock = ServerClock::default();
    clock.observe(time(0), at(0), at(0));
    // The machine is paused for 30 s, in which its own clock stands still.
    clock.observe(time(37), at(7), at(7));
    assert_eq!(clock.at(at(6)), Some(time(6)), "not 36");
    assert_eq!(clock.at(at(8)), Some(time(38)));
}
