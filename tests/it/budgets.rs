//! Storage requests, counted exactly (COHERENCE.md, "Budgets").

use std::time::Duration;

use codex_miroir::codex::{Layer, Requests};
use serde_json::Value;

use crate::support::scene::{Scene, task, titles};

#[tokio::test]
async fn the_first_read_of_all_lists_fetches_and_makes_the_state() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    let read = scene.read(&a).await;
    assert_eq!(read.layer, Layer::Rebuild);
    assert_eq!(
        a.took(),
        "1 get artifacts, 3 get raw, 2 get state, 1 list raw, 1 put artifacts, 1 put state",
        "the second get under state/ is the older service's nextId.txt"
    );
    assert_eq!(
        read.requests,
        Requests {
            reads: 7,
            writes: 1
        },
        "the artifact is written after the answer"
    );
}

#[tokio::test]
async fn a_read_from_memory_costs_nothing() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    scene.pass(Duration::from_millis(4_999));
    let read = scene.read(&a).await;
    assert_eq!((read.layer, a.took().as_str()), (Layer::Memory, ""));
}

#[tokio::test]
async fn an_unchanged_revalidation_costs_one() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    for _ in 0..20 {
        scene.pass_seconds(5);
        let read = scene.read(&a).await;
        assert_eq!(
            (read.layer, a.took().as_str()),
            (Layer::Memory, "1 get state")
        );
        scene.read(&a).await;
        assert_eq!(a.took(), "", "and counts for the next five seconds");
    }
}

#[tokio::test]
async fn a_new_instance_with_a_valid_artifact_asks_twice_in_one_round_trip() {
    let scene = Scene::with_tasks(3);
    scene.read(&scene.instance()).await;
    let b = scene.instance();
    let (state, artifact) = (
        b.gate.hold_next("get", "state/"),
        b.gate.hold_next("get", "artifacts/"),
    );
    let read = tokio::join!(scene.read(&b), async {
        // Both are under way before either is answered.
        state.reached().await;
        artifact.reached().await;
        state.release();
        artifact.release();
    })
    .0;
    assert_eq!(
        (read.layer, b.took().as_str()),
        (Layer::Artifact, "1 get artifacts, 1 get state")
    );
    assert_eq!(titles(&b.json(&read)).len(), 3);
}

#[tokio::test]
async fn another_instances_finished_change_costs_two() {
    let scene = Scene::with_tasks(3);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    scene.file("0003-Neu.md", &task("Neu"));
    scene.rebuild(&b).await;
    a.took();
    scene.pass_seconds(5);
    let read = scene.read(&a).await;
    assert_eq!(
        (read.layer, a.took().as_str()),
        (Layer::Artifact, "1 get artifacts, 1 get state")
    );
    assert_eq!(
        titles(&a.json(&read)),
        ["Aufgabe 0", "Aufgabe 1", "Aufgabe 2", "Neu"]
    );
}

#[tokio::test]
async fn a_rebuild_fetches_only_the_changed_files() {
    let scene = Scene::with_tasks(500);
    let a = scene.instance();
    scene.read(&a).await;
    assert_eq!(a.requests.take().of_kind("get", "raw"), 500);
    let took = async |changed: usize| {
        for number in 0..changed {
            scene.file(
                &format!("{number:04}-Aufgabe.md"),
                &task(&format!("Geändert {changed}")),
            );
        }
        scene.rebuild(&a).await;
        a.took()
    };
    // Nothing changed: the state is looked at twice. A foreign change: it is raised instead.
    assert_eq!(took(0).await, "2 get state, 1 list raw, 1 put artifacts");
    assert_eq!(
        took(1).await,
        "1 get raw, 1 get state, 1 list raw, 1 put artifacts, 1 put state"
    );
    assert_eq!(
        took(7).await,
        "7 get raw, 1 get state, 1 list raw, 1 put artifacts, 1 put state"
    );
}

#[tokio::test]
async fn a_rebuild_after_another_instances_change_without_its_artifact_costs_four_and_what_changed()
{
    let scene = Scene::with_tasks(500);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    scene.file("0007-Aufgabe.md", &task("Geändert"));
    scene.change_state(|state| state.version = state.version.next());
    scene.pass_seconds(5);
    let read = scene.read(&a).await;
    assert_eq!(read.layer, Layer::Rebuild);
    assert_eq!(
        a.took(),
        "1 get artifacts, 1 get raw, 2 get state, 1 list raw, 1 put artifacts"
    );
}

#[tokio::test]
async fn an_instance_without_memory_takes_the_unchanged_files_from_the_artifact() {
    let scene = Scene::with_tasks(500);
    scene.read(&scene.instance()).await;
    scene.file("0007-Aufgabe.md", &task("Geändert"));
    scene.pass_seconds(900);
    let b = scene.instance();
    let read = scene.read(&b).await;
    assert_eq!(read.layer, Layer::Rebuild);
    assert_eq!(
        b.took(),
        "1 get artifacts, 1 get raw, 1 get state, 1 list raw, 1 put artifacts, 1 put state"
    );
}

#[tokio::test]
async fn a_listing_of_over_five_thousand_files_costs_a_request_a_page() {
    let scene = Scene::new();
    for number in 0..5_001 {
        scene.file(&format!("{number:04}.md"), "keine Aufgabe\n");
    }
    let a = scene.instance();
    scene.read(&a).await;
    assert_eq!(a.requests.take().of_kind("list", "raw"), 2);
}

#[tokio::test]
async fn passing_slots_cost_nothing_and_show_what_is_left() {
    // A second before 9:00, 14:00, 19:00 and midnight in Berlin.
    let crossings = [
        (
            "2026-03-09T07:59:59Z",
            "09.03.2026 morgens",
            "09.03.2026 nachmittags",
        ),
        (
            "2026-03-09T12:59:59Z",
            "09.03.2026 nachmittags",
            "09.03.2026 abends",
        ),
        (
            "2026-03-09T17:59:59Z",
            "09.03.2026 abends",
            "10.03.2026 morgens",
        ),
        (
            "2026-03-09T22:59:59Z",
            "10.03.2026 morgens",
            "10.03.2026 morgens",
        ),
    ];
    for (moment, before, after) in crossings {
        let scene = Scene::starting(moment);
        scene.file("0000-Erste.md", &task("Erste"));
        let a = scene.instance();
        let document = a.json(&scene.read(&a).await);
        assert_eq!(first_slot(&document), before, "before {moment}");
        let day_before = document["weekStart"].clone();
        a.took();
        scene.pass_seconds(1);
        let read = scene.read(&a).await;
        let document = a.json(&read);
        assert_eq!(
            (first_slot(&document).as_str(), a.took().as_str()),
            (after, ""),
            "after {moment}"
        );
        assert_eq!(read.layer, Layer::Memory);
        assert_eq!(
            document["weekStart"] != day_before,
            moment.contains("T22"),
            "a new day at midnight only"
        );
        assert_eq!(
            document["generatedAt"].as_str().unwrap()[..19],
            rfc3339(&scene)[..19]
        );
    }
}

fn first_slot(document: &Value) -> String {
    let day = &document["timeline"][0];
    format!(
        "{} {}",
        day["datum"].as_str().unwrap(),
        day["slots"][0]["zeit"].as_str().unwrap()
    )
}

fn rfc3339(scene: &Scene) -> String {
    scene.now().utc.to_rfc3339()
}
