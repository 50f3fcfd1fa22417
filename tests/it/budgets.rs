//! Exact counts of storage requests (src/cache/README.md, "Budgets").

use std::time::Duration;

use codex_miroir::codex::{Consistency, KeyHashes, Layer, Requests, TaskFilter};
use codex_miroir::git_sync::SyncRequest;
use codex_miroir::task::Edit;
use serde_json::Value;

use crate::support::counting_store::{Counts, Request};
use crate::support::github::{Change, Fault, GitHub};
use crate::support::losing_store::Loss;
use crate::support::scene::{Instance, RAW, STATE, Scene, new_task, settle, task, titles};

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
        // Both are in flight before either is answered.
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
    // Nothing changed: the state document is read twice. A foreign change: a PUT, raising the version, is the second.
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
    scene.own_file("0007-Aufgabe.md", &task("Geändert"));
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

fn tags(tag: &str) -> Edit {
    Edit {
        tags: Some(vec![tag.to_owned()]),
        ..Edit::default()
    }
}

/// An operation's requests before its response and after it, separated by holding back those that follow the response.
async fn before_and_after<T>(
    instance: &Instance,
    op: impl Future<Output = T>,
) -> (T, String, String) {
    // The first PUT of the state document records the intent, the second removes it.
    let (intent, removal) = (
        instance.gate.hold_next("put", STATE),
        instance.gate.hold_next("put", STATE),
    );
    intent.release();
    let answer = op.await;
    removal.reached().await;
    let mut before = instance.requests.take_requests();
    // The removal is held at the gate but already counted.
    let last = before.pop();
    assert_eq!(last.map(|it| it.path).as_deref(), Some(STATE));
    removal.release();
    settle().await;
    let mut after = instance.requests.take_requests();
    after.insert(0, Request::of("put", STATE));
    (
        answer,
        Counts::of(&before).to_string(),
        Counts::of(&after).to_string(),
    )
}

#[tokio::test]
async fn a_create_costs_two_before_its_answer_and_two_after() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    let read_request = scene.read_request(Consistency::Bounded);
    let (created, before, after) = before_and_after(
        &a,
        a.codex
            .writer()
            .create(&read_request, new_task("Neu"), None),
    )
    .await;
    assert_eq!(
        (before.as_str(), after.as_str()),
        ("1 put raw, 1 put state", "1 put artifacts, 1 put state")
    );
    let requests = Requests {
        reads: 0,
        writes: 2,
    };
    assert_eq!(created.unwrap().requests, requests);
    // An idempotency key costs nothing more: its record is in the same compare-and-swap.
    let key = KeyHashes {
        key: "k".to_owned(),
        body: "b".to_owned(),
    };
    let keyed = a
        .codex
        .writer()
        .create(&read_request, new_task("Neu"), Some(key.clone()));
    let (_, before, after) = before_and_after(&a, keyed).await;
    assert_eq!(
        (before.as_str(), after.as_str()),
        ("1 put raw, 1 put state", "1 put artifacts, 1 put state")
    );
    let again = a
        .codex
        .writer()
        .create(&read_request, new_task("Neu"), Some(key))
        .await
        .unwrap();
    settle().await;
    assert_eq!((again.reused, a.took().as_str()), (true, "1 get state"));
}

#[tokio::test]
async fn an_update_and_a_completion_cost_three_before_their_answer_and_two_after() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    // The snapshot's age makes no difference.
    scene.pass_seconds(200);
    let read_request = scene.read_request(Consistency::Bounded);
    let (first, second) = ("0000".parse().unwrap(), "0001".parse().unwrap());
    let (updated, before, after) = before_and_after(
        &a,
        a.codex
            .writer()
            .update(&read_request, &first, tags("x"), None),
    )
    .await;
    let budget = (
        "1 get raw, 1 put raw, 1 put state",
        "1 put artifacts, 1 put state",
    );
    assert_eq!((before.as_str(), after.as_str()), budget);
    let requests = Requests {
        reads: 1,
        writes: 2,
    };
    assert_eq!(updated.unwrap().requests, requests);
    let (_, before, after) =
        before_and_after(&a, a.codex.writer().complete(&read_request, &second, None)).await;
    assert_eq!((before.as_str(), after.as_str()), budget);
}

#[tokio::test]
async fn a_deletion_costs_two_before_its_answer_and_two_after() {
    let scene = Scene::with_tasks(3);
    let (a, github) = (scene.instance(), GitHub::start());
    scene.read(&a).await;
    a.took();
    let read_request = scene.read_request(Consistency::Bounded);
    let after_answer = "1 put artifacts, 1 put state";
    let task = "0001".parse().unwrap();
    let delete = a.codex.writer().delete(&read_request, &task, None);
    let (deleted, before, after) = before_and_after(&a, delete).await;
    assert_eq!(
        (before.as_str(), after.as_str()),
        ("1 delete raw, 1 put state", after_answer)
    );
    let requests = Requests {
        reads: 0,
        writes: 2,
    };
    assert_eq!(deleted.unwrap().requests, requests);
    assert_eq!(scene.read(&a).await.layer, Layer::Memory);
    assert_eq!(a.took(), "");
    // A repetition is refused after one confirmation, as a task that never was.
    let again = a.codex.writer().delete(&read_request, &task, None).await;
    again.unwrap_err();
    assert_eq!(a.took(), "1 get state");
    // In GitHub mode the removal is in the same swap as the intent, and the hint goes beside the file.
    let b = scene.instance_mirrored(&github);
    scene.read(&b).await;
    b.took();
    let task = "0002".parse().unwrap();
    let delete = b.codex.writer().delete(&read_request, &task, None);
    let (deleted, before, after) = before_and_after(&b, delete).await;
    assert_eq!(
        (before.as_str(), after.as_str()),
        ("1 delete raw, 1 put queue, 1 put state", after_answer)
    );
    assert_eq!(deleted.unwrap().requests.writes, 3);
    assert!(scene.state().removed.contains_key("0002-Aufgabe.md"));
    assert!(github.requests().is_empty());
}

/// Three requests in two round trips: the intent and the GET of the file concurrently, then the PUT of the file.
#[tokio::test]
async fn an_update_fetches_the_text_while_its_mark_is_set() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    let (intent, text) = (a.gate.hold_next("put", STATE), a.gate.hold_next("get", RAW));
    let (read_request, first) = (
        scene.read_request(Consistency::Bounded),
        "0000".parse().unwrap(),
    );
    let (updated, ()) = tokio::join!(
        a.codex
            .writer()
            .update(&read_request, &first, tags("x"), None),
        async {
            intent.reached().await;
            text.reached().await;
            intent.release();
            text.release();
        }
    );
    updated.unwrap();
}

#[tokio::test]
async fn a_lost_swap_adds_two() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let read_request = scene.read_request(Consistency::Bounded);
    b.codex
        .writer()
        .create(&read_request, new_task("Neu"), None)
        .await
        .unwrap();
    settle().await;
    a.took();
    let (_, before, _) = before_and_after_lost(
        &a,
        a.codex
            .writer()
            .create(&read_request, new_task("Neu"), None),
    )
    .await;
    assert_eq!(before, "1 get state, 1 put raw, 2 put state");
}

/// The GET of the file runs concurrently with the first swap, so its response precedes the swap that
/// succeeds: no second GET or intent is needed.
#[tokio::test]
async fn a_lost_swap_adds_two_to_an_update_of_the_same_task_as_well() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let (read_request, first) = (
        scene.read_request(Consistency::Bounded),
        "0000".parse().unwrap(),
    );
    let update = b
        .codex
        .writer()
        .update(&read_request, &first, tags("x"), None);
    update.await.unwrap();
    settle().await;
    a.took();
    let update = a
        .codex
        .writer()
        .update(&read_request, &first, tags("y"), None);
    let (updated, before, _) = before_and_after_lost(&a, update).await;
    updated.unwrap();
    assert_eq!(before, "1 get raw, 1 get state, 1 put raw, 2 put state");
}

/// If the snapshot didn't have the file's ETag, the file may have been read too late: a second intent is recorded.
#[tokio::test]
async fn an_update_of_what_an_editor_saved_sets_a_second_mark() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.file("0000-Aufgabe.md", &task("Vom Editor"));
    let (read_request, first) = (
        scene.read_request(Consistency::Bounded),
        "0000".parse().unwrap(),
    );
    a.took();
    let (intent, text) = (a.gate.hold_next("put", STATE), a.gate.hold_next("get", RAW));
    let update = a
        .codex
        .writer()
        .update(&read_request, &first, tags("x"), None);
    let (second, written) = (a.gate.hold_next("put", STATE), a.gate.hold_next("put", RAW));
    let (updated, ()) = tokio::join!(update, async {
        intent.release();
        text.reached().await;
        settle().await;
        text.release();
        second.reached().await;
        second.release();
        written.reached().await;
        assert_eq!(a.took(), "1 get raw, 1 put raw, 2 put state");
        written.release();
    });
    updated.unwrap();
}

/// As `before_and_after`, for an operation that loses the first swap of its intent.
async fn before_and_after_lost<T>(
    instance: &Instance,
    op: impl Future<Output = T>,
) -> (T, String, String) {
    let lost = instance.gate.hold_next("put", STATE);
    lost.release();
    before_and_after(instance, op).await
}

#[tokio::test]
async fn what_needs_no_write_is_confirmed_with_one_request() {
    let scene = Scene::with_tasks(2);
    let a = scene.instance();
    scene.read(&a).await;
    let read_request = scene.read_request(Consistency::Bounded);
    let (first, none) = ("0000".parse().unwrap(), "0099".parse().unwrap());
    a.codex
        .writer()
        .complete(&read_request, &first, None)
        .await
        .unwrap();
    settle().await;
    a.took();
    assert!(
        a.codex
            .writer()
            .complete(&read_request, &first, None)
            .await
            .unwrap()
            .value
            .already
    );
    assert_eq!(a.took(), "1 get state");
    assert!(
        a.codex
            .writer()
            .complete(&read_request, &none, None)
            .await
            .is_err()
    );
    assert_eq!(a.took(), "1 get state");
    assert!(
        a.codex
            .writer()
            .update(&read_request, &none, tags("x"), None)
            .await
            .is_err()
    );
    assert_eq!(a.took(), "1 get state");
}

#[tokio::test]
async fn after_another_instances_finished_change_a_read_costs_two() {
    let scene = Scene::with_tasks(2);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let read_request = scene.read_request(Consistency::Bounded);
    a.codex
        .writer()
        .create(&read_request, new_task("Neu"), None)
        .await
        .unwrap();
    settle().await;
    b.took();
    scene.pass_seconds(5);
    scene.read(&b).await;
    assert_eq!(b.took(), "1 get artifacts, 1 get state");
}

#[tokio::test]
async fn the_older_services_counter_costs_one_more_now_and_then() {
    let scene = Scene::with_tasks(1);
    scene.store.foreign_write("state/anna/nextId.txt", b"1");
    let a = scene.instance();
    scene.read(&a).await;
    let read_request = scene.read_request(Consistency::Bounded);
    let mut took = vec![];
    for _ in 0..102 {
        a.took();
        a.codex
            .writer()
            .create(&read_request, new_task("Neu"), None)
            .await
            .unwrap();
        settle().await;
        took.push(a.requests.take().total());
    }
    assert_eq!((took[0], took[1], took[100], took[101]), (5, 4, 4, 5));
    assert_eq!(took.iter().sum::<u32>(), 102 * 4 + 2);
}

#[tokio::test]
async fn the_list_and_a_task_cost_what_the_week_costs_and_the_text() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    let read_request = scene.read_request(Consistency::Bounded);
    let filter = TaskFilter {
        limit: 500,
        ..TaskFilter::default()
    };
    assert_eq!(
        a.codex
            .reader()
            .list(&read_request, &filter)
            .await
            .unwrap()
            .rows
            .len(),
        3
    );
    assert_eq!(a.took(), "");
    a.codex
        .reader()
        .task(&read_request, &"0000".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(a.took(), "1 get raw");
}

#[tokio::test]
async fn in_github_mode_a_write_costs_one_more_beside_the_file() {
    let github = GitHub::start();
    let scene = Scene::with_tasks(3);
    let a = scene.instance_mirrored(&github);
    scene.read(&a).await;
    a.took();
    let read_request = scene.read_request(Consistency::Bounded);
    for away in [false, true] {
        if away {
            github.fail(Fault::Reset);
        }
        let create = a
            .codex
            .writer()
            .create(&read_request, new_task("Neu"), None);
        let (created, before, after) = before_and_after(&a, create).await;
        assert_eq!(
            (before.as_str(), after.as_str()),
            (
                "1 put queue, 1 put raw, 1 put state",
                "1 put artifacts, 1 put state"
            )
        );
        assert_eq!(created.unwrap().requests.writes, 3);
        let task = "0001".parse().unwrap();
        let tags = Edit {
            tags: Some(vec![format!("{away}")]),
            ..Edit::default()
        };
        let update = a.codex.writer().update(&read_request, &task, tags, None);
        let (updated, before, after) = before_and_after(&a, update).await;
        updated.unwrap();
        assert_eq!(
            (before.as_str(), after.as_str()),
            (
                "1 get raw, 1 put queue, 1 put raw, 1 put state",
                "1 put artifacts, 1 put state"
            )
        );
    }
    assert!(
        github.requests().is_empty(),
        "a write itself asks GitHub nothing"
    );
}

#[tokio::test]
async fn the_hint_goes_beside_the_file_and_its_failure_fails_nothing() {
    let github = GitHub::start();
    let scene = Scene::with_tasks(1);
    let a = scene.instance_mirrored(&github);
    scene.read(&a).await;
    let (raw, hint) = (
        a.gate.hold_next("put", "raw/"),
        a.gate.hold_next("put", "queue/"),
    );
    let read_request = scene.read_request(Consistency::Bounded);
    let (created, ()) = tokio::join!(
        a.codex
            .writer()
            .create(&read_request, new_task("Neu"), None),
        async {
            raw.reached().await;
            hint.reached().await;
            raw.release();
            hint.release();
        }
    );
    created.unwrap();
    a.line.lose_next("put", "queue/", Loss::Request);
    let created = a
        .codex
        .writer()
        .create(&read_request, new_task("Noch eine"), None)
        .await;
    created.expect("the file is there, and the hint is only a hint");
}

#[tokio::test]
async fn a_full_sync_of_unchanged_files_lists_once_and_fetches_nothing() {
    let github = GitHub::start();
    let scene = Scene::with_tasks(500);
    let a = scene.instance_mirrored(&github);
    let files = scene.store.paths();
    let files = files.iter().filter_map(|path| path.strip_prefix(RAW));
    let files = files.map(|name| {
        let bytes = scene.store.peek(&format!("{RAW}{name}")).unwrap().bytes;
        let path = format!("codex-miroir/anna/tasks/{name}");
        (path, Change::File(bytes.to_vec()))
    });
    let files: Vec<_> = files.collect();
    let changes: Vec<_> = files
        .iter()
        .map(|(path, change)| (path.as_str(), change.clone()))
        .collect();
    github.commit("main", &changes, "Everything");
    let (request, read_request) = (
        SyncRequest {
            clean: true,
            confirm: None,
            confirm_head: None,
        },
        scene.read_request(Consistency::Bounded),
    );
    let first = a.codex.sync(&read_request, request).await.unwrap();
    assert_eq!((first.report.changed, first.report.unpushed), (0, 0));
    a.took();
    github.clear_requests();
    let again = a.codex.sync(&read_request, request).await.unwrap();
    assert!(again.report.clean);
    assert_eq!(
        a.took(),
        "6 get state, 1 list raw, 1 put artifacts",
        "of them git.json three times: before the look, after it, and to note it"
    );
    let asked: Vec<_> = github.requests().iter().map(|it| it.status).collect();
    assert_eq!(asked, [Some(304)], "the tree is known, and the branch free");
}
