//! The promises to writers (src/user_state/README.md, "Promises"), with store responses delayed, lost and duplicated. The
//! simulation covers further interleavings.

mod no_file;
mod settling;

use std::time::Duration;

use codex_miroir::codex::{
    BatchItem, ChangeOutcome, CompletionResult, Consistency, CreatedTask, FileOp, FileOutcome,
    KeyHashes, Layer, Refusal, TaskError, Version,
};
use codex_miroir::store::WriteId;
use codex_miroir::task::{Edit, GitSha, Kategorie, TaskRef};

use crate::support::losing_store::Loss;
use crate::support::scene::{Instance, RAW, STATE, Scene, new_task, settle, task, titles};

fn key(key: &str) -> Option<KeyHashes> {
    Some(KeyHashes {
        key: key.to_owned(),
        body: "body".to_owned(),
    })
}

fn id(text: &str) -> TaskRef {
    text.parse().unwrap()
}

fn tags(tag: &str) -> Edit {
    Edit {
        tags: Some(vec![tag.to_owned()]),
        ..Edit::default()
    }
}

async fn create(scene: &Scene, instance: &Instance, title: &str) -> Result<CreatedTask, Refusal> {
    create_with(scene, instance, title, None).await
}

async fn create_with(
    scene: &Scene,
    instance: &Instance,
    title: &str,
    key: Option<KeyHashes>,
) -> Result<CreatedTask, Refusal> {
    let read_request = scene.read_request(Consistency::Bounded);
    let created = instance
        .codex
        .writer()
        .create(&read_request, new_task(title), key)
        .await;
    settle().await;
    created
}

async fn update(
    scene: &Scene,
    instance: &Instance,
    task: &str,
    edit: Edit,
) -> Result<ChangeOutcome<GitSha>, Refusal> {
    let read_request = scene.read_request(Consistency::Bounded);
    let updated = instance
        .codex
        .writer()
        .update(&read_request, &id(task), edit, None)
        .await;
    settle().await;
    updated
}

async fn complete(
    scene: &Scene,
    instance: &Instance,
    task: &str,
) -> Result<ChangeOutcome<CompletionResult>, Refusal> {
    let read_request = scene.read_request(Consistency::Bounded);
    let completed = instance
        .codex
        .writer()
        .complete(&read_request, &id(task), None)
        .await;
    settle().await;
    completed
}

/// The titles of open tasks in this instance's response to a strong read.
async fn open_tasks(scene: &Scene, instance: &Instance) -> Vec<String> {
    titles(&instance.json(&scene.read_strictly(instance).await))
}

#[tokio::test]
async fn the_instance_that_wrote_shows_it_at_once_without_a_request() {
    let scene = Scene::with_tasks(3);
    let a = scene.instance();
    scene.read(&a).await;
    let created = create(&scene, &a, "Neu").await.unwrap();
    a.took();
    let read = scene.read_having_seen(&a, created.version).await;
    assert_eq!((read.layer, a.took().as_str()), (Layer::Memory, ""));
    assert_eq!(
        titles(&a.json(&read)),
        ["Aufgabe 0", "Aufgabe 1", "Aufgabe 2", "Neu"]
    );
    let done = complete(&scene, &a, "0001").await.unwrap();
    a.took();
    let read = scene.read_having_seen(&a, done.version).await;
    assert_eq!((read.layer, a.took().as_str()), (Layer::Memory, ""));
    assert_eq!(titles(&a.json(&read)), ["Aufgabe 0", "Aufgabe 2", "Neu"]);
    let rebuilt = scene.rebuild(&a).await;
    assert_eq!(a.json(&rebuilt)["timeline"], a.json(&read)["timeline"]);
    assert_eq!(
        rebuilt.entry.bounds.hi, done.version,
        "an own write is no foreign one"
    );
}

#[tokio::test]
async fn another_instance_shows_it_with_the_version_at_once_and_without_it_after_five_seconds() {
    let scene = Scene::with_tasks(2);
    let (a, b, c) = (scene.instance(), scene.instance(), scene.instance());
    for instance in [&a, &b, &c] {
        scene.read(instance).await;
    }
    let done = complete(&scene, &a, "0000").await.unwrap();
    b.took();
    let read = scene.read_having_seen(&b, done.version).await;
    assert_eq!(titles(&b.json(&read)), ["Aufgabe 1"]);
    assert_eq!(b.took(), "1 get artifacts, 1 get state");
    assert_eq!(
        titles(&c.json(&scene.read(&c).await)),
        ["Aufgabe 0", "Aufgabe 1"]
    );
    scene.pass(Duration::from_millis(5_001));
    assert_eq!(titles(&c.json(&scene.read(&c).await)), ["Aufgabe 1"]);
}

#[tokio::test]
async fn the_time_of_the_listing_is_not_renewed_by_a_write_and_the_listing_still_expires() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let listed = a.json(&scene.read(&a).await)["cacheCreatedAt"].clone();
    scene.pass_seconds(600);
    create(&scene, &a, "Neu").await.unwrap();
    let read = scene.read(&a).await;
    assert_eq!(a.json(&read)["cacheCreatedAt"], listed);
    scene.pass_seconds(301);
    a.took();
    let read = scene.read(&a).await;
    assert_eq!(read.layer, Layer::Rebuild, "fifteen minutes are over");
}

/// Group commit: fifty concurrent creates share a few compare-and-swaps, and the snapshot advances in version order.
#[tokio::test]
async fn creates_at_once_share_swaps_and_get_numbers_without_gaps() {
    let scene = Scene::with_tasks(2);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    let creates = (0..50).map(|number| {
        let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
        async move {
            let task = new_task(&format!("Neu {number}"));
            codex
                .writer()
                .create(&read_request, task, None)
                .await
                .unwrap()
        }
    });
    let created = futures::future::join_all(creates).await;
    settle().await;
    let mut ids: Vec<u16> = created.iter().map(|it| it.name.id().number()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (2..52).collect::<Vec<u16>>());
    let counts = a.requests.take();
    assert_eq!(counts.of_kind("put", "raw"), 50);
    assert!(
        counts.of_kind("put", "state") <= 6 && counts.of_kind("get", "state") == 0,
        "{counts}"
    );
    let highest = created.iter().map(|it| it.version).max().unwrap();
    let read = scene.read_having_seen(&a, highest).await;
    assert_eq!(
        (read.layer, a.took().as_str()),
        (Layer::Memory, ""),
        "once all were answered for, nothing needs to be asked"
    );
    assert_eq!(read.entry.table().len(), 52);
    assert!(scene.state().pending.is_empty());
}

#[tokio::test]
async fn a_write_whose_outcome_is_unknown_says_so_and_is_settled_later() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    a.line.lose_next("put", RAW, Loss::Request);
    let unknown = create(&scene, &a, "Neu").await.unwrap_err();
    assert!(matches!(unknown.error, TaskError::OutcomeUnknown));
    assert_eq!(scene.state().pending.len(), 1);
    // The next write and read succeed without delay.
    let other = create(&scene, &a, "Andere").await.unwrap();
    assert_eq!(other.name.as_str(), "0002-Andere.md");
    assert_eq!(open_tasks(&scene, &b).await, ["Aufgabe 0", "Andere"]);
    scene.pass_seconds(62);
    assert_eq!(open_tasks(&scene, &b).await, ["Aufgabe 0", "Andere"]);
    assert!(scene.state().pending.is_empty(), "settled");
    let settled = scene.store.peek(&format!("{RAW}0001-Neu.md")).unwrap();
    assert_eq!(&settled.bytes[..], b"---\ntyp: settled\n---\n");
    // The tombstone counts as absent, and its number isn't assigned again.
    assert_eq!(
        create(&scene, &b, "Neu").await.unwrap().name.as_str(),
        "0003-Neu.md"
    );
    assert!(matches!(
        update(&scene, &b, "0001", tags("x"))
            .await
            .unwrap_err()
            .error,
        TaskError::NotFound
    ));
}

#[tokio::test]
async fn two_instances_edit_different_fields_at_once_and_both_stay() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let held = a.gate.hold_next("put", RAW);
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let updating = tokio::spawn(async move {
        codex
            .writer()
            .update(&read_request, &id("0000"), tags("a"), None)
            .await
    });
    held.reached().await;
    let edit_of_b = Edit {
        kategorie: Some(Kategorie::Privat),
        ..Edit::default()
    };
    update(&scene, &b, "0000", edit_of_b).await.unwrap();
    held.release();
    updating.await.unwrap().unwrap();
    settle().await;
    let text = scene.store.peek(&format!("{RAW}0000-Aufgabe.md")).unwrap();
    let text = String::from_utf8(text.bytes.to_vec()).unwrap();
    assert!(
        text.contains("kategorie: privat") && text.contains("- a"),
        "{text}"
    );
}

#[tokio::test]
async fn an_edit_that_loses_three_times_is_a_conflict_and_writes_nothing() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let gates: Vec<_> = (0..3).map(|_| a.gate.hold_next("put", RAW)).collect();
    let updating = tokio::spawn(async move {
        codex
            .writer()
            .update(&read_request, &id("0000"), tags("nie"), None)
            .await
    });
    for (round, gate) in gates.iter().enumerate() {
        gate.reached().await;
        scene.file("0000-Aufgabe.md", &task(&format!("Fremd {round}")));
        gate.release();
    }
    let refused = updating.await.unwrap().unwrap_err();
    settle().await;
    assert!(matches!(refused.error, TaskError::Conflict));
    assert_eq!(open_tasks(&scene, &a).await, ["Fremd 2"]);
    assert!(scene.state().pending.is_empty());
}

#[tokio::test]
async fn a_task_that_was_renamed_meanwhile_is_found_again() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    scene.store.foreign_delete(&format!("{RAW}0000-Aufgabe.md"));
    scene.file("0000-Anders.md", &task("Anders"));
    let done = complete(&scene, &a, "0000").await.unwrap();
    assert_eq!(done.name.as_str(), "0000-Anders.md");
    scene.store.foreign_delete(&format!("{RAW}0000-Anders.md"));
    let gone = update(&scene, &a, "0000", tags("x")).await.unwrap_err();
    assert!(matches!(gone.error, TaskError::NotFound) && gone.version.is_some());
    assert!(scene.state().pending.is_empty());
}

#[tokio::test]
async fn one_key_at_once_on_two_instances_makes_one_task() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    // The first has recorded its write intent and is about to write the file; the second writes it on its behalf.
    let held = a.gate.hold_next("put", RAW);
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let first = tokio::spawn(async move {
        codex
            .writer()
            .create(&read_request, new_task("Neu"), key("k"))
            .await
    });
    held.reached().await;
    let second = create_with(&scene, &b, "Neu", key("k")).await.unwrap();
    held.release();
    let first = first.await.unwrap().unwrap();
    settle().await;
    assert_eq!((first.reused, second.reused), (false, true));
    assert_eq!((&first.name, first.version), (&second.name, second.version));
    assert_eq!(open_tasks(&scene, &b).await, ["Aufgabe 0", "Neu"]);
    assert!(scene.state().pending.is_empty());
}

/// The first's write was refused once, and the second writes the file on its behalf just before the retry.
#[tokio::test]
async fn one_key_at_once_makes_one_task_also_where_the_first_tries_again() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    let (refused, again) = (a.gate.hold_next("put", RAW), a.gate.hold_next("put", RAW));
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let first = tokio::spawn(async move {
        codex
            .writer()
            .create(&read_request, new_task("Neu"), key("k"))
            .await
    });
    refused.reached().await;
    scene.pass_seconds(62);
    scene.read_strictly(&b).await;
    refused.release();
    again.reached().await;
    let second = create_with(&scene, &b, "Neu", key("k")).await.unwrap();
    again.release();
    let first = first.await.unwrap().unwrap();
    settle().await;
    assert_eq!((&first.name, first.version), (&second.name, second.version));
    assert_eq!(open_tasks(&scene, &b).await, ["Aufgabe 0", "Neu"]);
    assert!(scene.state().pending.is_empty());
}

#[tokio::test]
async fn a_dead_instances_key_is_brought_to_its_end_by_the_next_request() {
    for expired in [false, true] {
        let scene = Scene::with_tasks(1);
        let (a, b) = (scene.instance(), scene.instance());
        scene.read(&a).await;
        a.line.lose_next("put", RAW, Loss::Request);
        create_with(&scene, &a, "Neu", key("k")).await.unwrap_err();
        if expired {
            scene.pass_seconds(62);
        }
        let again = create_with(&scene, &b, "Neu", key("k")).await.unwrap();
        // An expired write intent permits no more writes: the repeat is a new create.
        let expected = match expired {
            false => ("0001-Neu.md", true),
            true => ("0002-Neu.md", false),
        };
        assert_eq!((again.name.as_str(), again.reused), expected);
        assert_eq!(open_tasks(&scene, &b).await, ["Aufgabe 0", "Neu"]);
        assert!(scene.state().pending.is_empty());
    }
}

/// Whether the create wrote the file that the editor saved over can't be known; a second task would be worse.
#[tokio::test]
async fn a_dead_instances_key_stays_when_an_editor_has_saved_over_its_file() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    a.line.lose_next("put", RAW, Loss::StoreResponse);
    a.line.lose_next("get", RAW, Loss::Request);
    create_with(&scene, &a, "Neu", key("k")).await.unwrap_err();
    scene.file("0001-Neu.md", &task("Vom Editor"));
    scene.pass_seconds(62);
    assert_eq!(open_tasks(&scene, &b).await, ["Aufgabe 0", "Vom Editor"]);
    assert!(scene.state().pending.is_empty());
    let again = create_with(&scene, &b, "Neu", key("k")).await.unwrap();
    assert_eq!((again.name.as_str(), again.reused), ("0001-Neu.md", true));
    assert_eq!(open_tasks(&scene, &b).await, ["Aufgabe 0", "Vom Editor"]);
}

#[tokio::test]
async fn keys_are_kept_a_day_and_five_thousand_of_them() {
    let scene = Scene::with_tasks(0);
    let a = scene.instance();
    let first = create_with(&scene, &a, "Neu", key("k")).await.unwrap();
    scene.pass_seconds(23 * 3600);
    let again = create_with(&scene, &a, "Neu", key("k")).await.unwrap();
    assert_eq!((again.name, again.reused), (first.name, true));
    scene.pass_seconds(3700);
    let anew = create_with(&scene, &a, "Neu", key("k")).await.unwrap();
    assert!(!anew.reused);
    scene.change_state(|state| {
        let record = state.idempotency["k"].clone();
        for number in 0..5_000 {
            let mut record = record.clone();
            record.at -= chrono::TimeDelta::seconds(1 + number);
            state.idempotency.insert(format!("old-{number:04}"), record);
        }
    });
    create_with(&scene, &a, "Neu", key("newest")).await.unwrap();
    let state = scene.state();
    assert_eq!(state.idempotency.len(), 5_000);
    assert!(state.idempotency.contains_key("k") && state.idempotency.contains_key("newest"));
    assert!(
        !state.idempotency.contains_key("old-4999"),
        "the oldest go first"
    );
}

#[tokio::test]
async fn a_create_meets_a_settled_file_past_9999_and_takes_its_place() {
    let scene = Scene::with_tasks(2);
    scene.file("9999-irgendwann.md", &task("Irgendwann"));
    scene.file("0002-Neu.md", "---\ntyp: settled\n---\n");
    let a = scene.instance();
    scene.read(&a).await;
    let created = create(&scene, &a, "Neu").await.unwrap();
    assert_eq!(created.name.as_str(), "0002-Neu.md");
    assert_eq!(
        open_tasks(&scene, &a).await,
        ["Aufgabe 0", "Aufgabe 1", "Neu", "Irgendwann"]
    );
    assert!(scene.state().pending.is_empty());
}

/// The text is fetched concurrently with the write intent's compare-and-swap, so it may be newer than the intent:
/// another instance's change with a later version.
#[tokio::test]
async fn what_a_write_happens_to_see_is_not_taken_for_its_own_version() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let text = a.gate.hold_next("get", RAW);
    let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
    let late = tokio::spawn(async move {
        codex
            .writer()
            .complete(&read_request, &id("0000"), None)
            .await
    });
    text.reached().await;
    settle().await;
    complete(&scene, &b, "0000").await.unwrap();
    text.release();
    let late = late.await.unwrap().unwrap();
    settle().await;
    assert!(late.value.already);
    let read = scene.read_having_seen(&a, late.version).await;
    assert!(
        titles(&a.json(&read)).is_empty(),
        "it was told that the task is done"
    );
}

#[tokio::test]
async fn ops_that_share_their_finishing_write_one_artifact() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    let creates = (0..20).map(|_| {
        let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
        async move {
            codex
                .writer()
                .create(&read_request, new_task("Neu"), None)
                .await
                .unwrap()
        }
    });
    futures::future::join_all(creates).await;
    settle().await;
    assert_eq!(a.requests.take().of_kind("put", "artifacts"), 1);
    let read = scene.read(&scene.instance()).await;
    assert_eq!(read.layer, Layer::Artifact, "of the last of them");
}

#[tokio::test]
async fn numbers_go_on_above_files_from_elsewhere_and_the_older_services_counter() {
    let scene = Scene::with_tasks(1);
    let path = "state/anna/nextId.txt";
    scene.store.foreign_write(path, b"57\n");
    let (a, b) = (scene.instance(), scene.instance());
    assert_eq!(
        create(&scene, &a, "Eins").await.unwrap().name.id().number(),
        57
    );
    let legacy = || {
        let blob = scene.store.peek(path).unwrap();
        String::from_utf8(blob.bytes.to_vec())
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    assert_eq!(legacy(), 158, "going back is possible: it is kept ahead");
    a.took();
    for _ in 0..3 {
        create(&scene, &a, "Mehr").await.unwrap();
    }
    assert_eq!(
        a.requests.counts().of_kind("put", "state"),
        6,
        "and not written each time"
    );
    assert_eq!(legacy(), 158);
    // The older service ran again for a while.
    scene.store.foreign_write(path, b"200");
    scene.file("0199-Von-dort.md", &task("Von dort"));
    scene.rebuild(&a).await;
    assert_eq!(
        create(&scene, &b, "Zwei").await.unwrap().name.id().number(),
        200
    );
    assert!(legacy() >= 201);
    scene.file("0250-Fremd.md", &task("Fremd"));
    scene.rebuild(&b).await;
    assert_eq!(
        scene.state().next_id,
        251,
        "although nobody knew the files before"
    );
    assert_eq!(
        create(&scene, &a, "Drei").await.unwrap().name.id().number(),
        251
    );
    assert!(legacy() >= 252);
}

#[tokio::test]
async fn past_9999_the_lowest_free_number_is_taken_and_none_left_is_said() {
    let scene = Scene::with_tasks(2);
    scene.file("9999-irgendwann.md", &task("Irgendwann"));
    scene.file("0003-Da.md", &task("Da"));
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let creates = (0..6).map(|number| {
        let codex = if number % 2 == 0 { &a } else { &b }.codex.clone();
        let read_request = scene.read_request(Consistency::Bounded);
        async move {
            codex
                .writer()
                .create(&read_request, new_task("Neu"), None)
                .await
                .unwrap()
        }
    });
    let created = futures::future::join_all(creates).await;
    settle().await;
    let mut ids: Vec<u16> = created.iter().map(|it| it.name.id().number()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [2, 4, 5, 6, 7, 8]);
    for number in 9..9_999 {
        scene.file(&format!("{number:04}.md"), "x");
    }
    let document = a.json(&scene.rebuild(&a).await);
    assert_eq!(document["nextAvailableId"], serde_json::Value::Null);
    assert_eq!(document["problems"][0]["code"], "ids_running_out");
    let refused = create(&scene, &a, "Keine").await.unwrap_err();
    assert!(matches!(refused.error, TaskError::IdsExhausted));
    scene.store.foreign_delete(&format!("{RAW}0500.md"));
    scene.rebuild(&a).await;
    assert_eq!(
        create(&scene, &a, "Doch").await.unwrap().name.as_str(),
        "0500-Doch.md"
    );
    assert!(scene.state().pending.is_empty());
}

/// P9: an instance that acknowledged a change never shows a week without it, however long the store is unreachable.
#[tokio::test]
async fn what_stands_in_for_a_store_that_is_away_has_every_acknowledged_change() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    // The snapshot can't advance: the update replaces a foreign version of the file.
    scene.file("0000-Aufgabe.md", &task("Fremd"));
    update(&scene, &a, "0000", tags("neu")).await.unwrap();
    a.line.set_outage(true);
    scene.pass_seconds(10);
    let refused = a.try_read(scene.read_request(Consistency::Bounded)).await;
    assert!(refused.is_err(), "an older week must not stand in");
    a.line.set_outage(false);
    scene.read(&a).await;
    a.line.set_outage(true);
    scene.pass_seconds(10);
    assert_eq!(scene.read(&a).await.layer, Layer::Stale);
    let refused = create(&scene, &a, "Neu").await.unwrap_err();
    assert!(matches!(refused.error, TaskError::Read(_)));
    a.line.set_outage(false);
    scene.pass_seconds(10);
    assert_eq!(
        create(&scene, &a, "Neu").await.unwrap().name.as_str(),
        "0001-Neu.md"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_cut_and_frees_the_next_request() {
    for (operation, path) in [("put", STATE), ("put", RAW), ("get", RAW)] {
        let scene = Scene::with_tasks(1);
        let a = scene.instance();
        scene.read(&a).await;
        let _hung = a.gate.hold_next(operation, path);
        let began = tokio::time::Instant::now();
        let refused = update(&scene, &a, "0000", tags("hängt")).await;
        assert!(refused.is_err(), "{operation} {path}");
        let waited = began.elapsed();
        assert!(
            waited < Duration::from_secs(20),
            "{operation} {path}: {waited:?}"
        );
        let began = tokio::time::Instant::now();
        update(&scene, &a, "0000", tags("geht")).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_users_write_costs_other_users_nothing() {
    let scene = Scene::with_tasks(1);
    for number in 0..3 {
        scene.store.foreign_write(
            &format!("raw/berta/tasks/{number:04}-Ihres.md"),
            task("Ihres").as_bytes(),
        );
    }
    let a = scene.instance();
    let berta = codex_miroir::user::UserId::parse("berta").unwrap();
    let of_berta = codex_miroir::codex::ReadRequest {
        user: berta,
        ..scene.read_request(Consistency::Bounded)
    };
    a.read(of_berta.clone()).await;
    scene.read(&a).await;
    a.requests.take_requests();
    create(&scene, &a, "Neu").await.unwrap();
    update(&scene, &a, "0000", tags("x")).await.unwrap();
    complete(&scene, &a, "0001").await.unwrap();
    let requests = a.requests.take_requests();
    assert!(
        requests.len() > 8 && requests.iter().all(|it| it.path.contains("/anna/")),
        "{requests:?}"
    );
    assert_eq!(a.codex.memory_size().0, 2);
    a.read(of_berta).await;
    assert_eq!(a.took(), "", "her entry is still there");
}

#[tokio::test]
async fn a_batch_writes_each_file_or_says_that_it_did_not() {
    let scene = Scene::with_tasks(3);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.read(&b).await;
    let peek = |name: &str| scene.store.peek(&format!("{RAW}{name}")).unwrap();
    let change = |name: &str, operation| BatchItem {
        name: name.parse().unwrap(),
        operation,
        merged: vec![],
        write: None,
    };
    let (old, stale) = (peek("0001-Aufgabe.md"), peek("0002-Aufgabe.md").etag);
    scene.file("0002-Aufgabe.md", &task("Fremd"));
    let changes = vec![
        change("0001-Aufgabe.md", FileOp::Remove(old.etag.clone())),
        change(
            "0001-Neuer-Name.md",
            FileOp::Create(task("Umbenannt").into()),
        ),
        change("0000-Aufgabe.md", FileOp::Create(task("Schon da").into())),
        change(
            "0002-Aufgabe.md",
            FileOp::Replace {
                bytes: task("Nie").into(),
                etag: stale,
                writes: old.writes,
            },
        ),
        change("0077-Weit.md", FileOp::Create(task("Weit").into())),
    ];
    let read_request = scene.read_request(Consistency::Bounded);
    let done = a
        .codex
        .writer()
        .write_files(&read_request, changes)
        .await
        .unwrap();
    settle().await;
    assert_eq!(
        done.outcomes,
        [
            FileOutcome::Done,
            FileOutcome::Done,
            FileOutcome::Conflict,
            FileOutcome::Conflict,
            FileOutcome::Done
        ]
    );
    let read = scene.read_having_seen(&b, done.version).await;
    assert_eq!(
        titles(&b.json(&read)),
        ["Aufgabe 0", "Umbenannt", "Fremd", "Weit"]
    );
    assert_eq!(
        create(&scene, &b, "Danach")
            .await
            .unwrap()
            .name
            .id()
            .number(),
        78
    );
    assert!(scene.state().pending.is_empty());
    let ids = peek("0077-Weit.md").writes;
    assert!(!ids.is_empty() && !ids.contains(WriteId(0)));
}

#[tokio::test]
async fn a_made_up_version_is_no_obstacle() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    let read = scene.read_having_seen(&a, Version(u64::MAX)).await;
    assert_eq!(titles(&a.json(&read)), ["Aufgabe 0"]);
    let read_request = codex_miroir::codex::ReadRequest {
        seen: Some(Version(u64::MAX)),
        ..scene.read_request(Consistency::Bounded)
    };
    let done = a
        .codex
        .writer()
        .complete(&read_request, &id("0000"), None)
        .await
        .unwrap();
    assert!(done.version < Version(u64::MAX));
}

#[tokio::test]
async fn a_client_that_knows_more_than_memory_gets_its_index_confirmed() {
    let scene = Scene::with_tasks(1);
    let (a, b) = (scene.instance(), scene.instance());
    scene.read(&a).await;
    scene.file("0000-Zweite.md", &task("Zweite"));
    let seen = scene.rebuild(&b).await.entry.bounds.hi;
    let read_request = codex_miroir::codex::ReadRequest {
        seen: Some(seen),
        ..scene.read_request(Consistency::Bounded)
    };
    let refused = a
        .codex
        .writer()
        .update(&read_request, &id("0000"), tags("x"), None)
        .await
        .unwrap_err();
    assert!(
        matches!(refused.error, TaskError::Ambiguous { .. }),
        "{refused:?}"
    );
}

/// The counts in all responses add up to the requests sent before them, however the compare-and-swaps were shared.
#[tokio::test]
async fn a_shared_request_counts_for_one_op() {
    let scene = Scene::with_tasks(1);
    let a = scene.instance();
    scene.read(&a).await;
    a.took();
    let creates = (0..20).map(|_| {
        let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
        async move {
            codex
                .writer()
                .create(&read_request, new_task("Neu"), None)
                .await
                .unwrap()
        }
    });
    let created = futures::future::join_all(creates).await;
    settle().await;
    let reported: u32 = created
        .iter()
        .map(|it| it.requests.reads + it.requests.writes)
        .sum();
    let counts = a.requests.take();
    let state_requests = reported - counts.of_kind("put", "raw");
    assert!(
        state_requests >= 1 && state_requests < counts.of_kind("put", "state"),
        "{reported} of {counts}"
    );
}

/// P7: past 9999, too, no create waits for the write intent that an instance abandoned.
#[tokio::test]
async fn a_mark_that_was_left_keeps_no_numbers_past_9999() {
    let scene = Scene::with_tasks(2);
    scene.file("9999-irgendwann.md", &task("Irgendwann"));
    let a = scene.instance();
    scene.read(&a).await;
    a.line.lose_next("put", RAW, Loss::Request);
    create(&scene, &a, "Offen").await.unwrap_err();
    for number in 3..6 {
        let created = create(&scene, &a, "Neu").await.unwrap();
        assert_eq!(
            created.name.id().number(),
            number,
            "0002 may still be taken"
        );
    }
    assert_eq!(scene.state().pending.len(), 1);
}

/// One operation at a time writes the older service's counter, and compares it with the newest state.
#[tokio::test]
async fn the_older_services_counter_stays_ahead_of_creates_at_once() {
    let scene = Scene::with_tasks(1);
    let path = "state/anna/nextId.txt";
    scene.store.foreign_write(path, b"1");
    let a = scene.instance();
    scene.read(&a).await;
    let slow = a.gate.hold_next("put", path);
    let create = |_| {
        let (codex, read_request) = (a.codex.clone(), scene.read_request(Consistency::Bounded));
        async move {
            codex
                .writer()
                .create(&read_request, new_task("Neu"), None)
                .await
                .unwrap()
        }
    };
    let first = tokio::spawn(create(0));
    slow.reached().await;
    futures::future::join_all((1..200).map(create)).await;
    slow.release();
    first.await.unwrap();
    settle().await;
    let blob = scene.store.peek(path).unwrap();
    let number: u32 = std::str::from_utf8(&blob.bytes).unwrap().parse().unwrap();
    assert_eq!(scene.state().next_id, 201);
    assert!(number >= 201, "{number}");
    let written = a.requests.take_requests();
    let written = written
        .iter()
        .filter(|it| it.operation == "put" && it.path == path);
    assert_eq!(
        written.count(),
        2,
        "once late, and once more for those who came meanwhile"
    );
}
