//! What the janitor must keep: blobs that only look expired or left over.

use std::time::Duration;

use codex_miroir::codex::JanitorReport;
use codex_miroir::user_state::ChangeKind;

use super::{LEFTOVERS, SETTLED, mark, raw, record, run_janitor};
use crate::support::scene::{ARTIFACT, Scene, task};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A pass leaves every blob in place with its ETag.
async fn assert_kept(scene: &Scene, context: &str) {
    let before: Vec<_> = scene.store.paths();
    let versions = |paths: &[String]| -> Vec<_> {
        let blobs = paths.iter().map(|path| scene.store.peek(path));
        blobs.map(|blob| blob.map(|it| it.etag)).collect()
    };
    let etags = versions(&before);
    let report = run_janitor(scene, &scene.instance()).await;
    assert_eq!(scene.store.paths(), before, "{context}");
    assert_eq!(versions(&before), etags, "{context}");
    let nothing = JanitorReport {
        users: report.users,
        ..JanitorReport::default()
    };
    assert_eq!(report, nothing, "{context}");
}

#[tokio::test]
async fn what_is_called_nearly_like_a_leftover_stays() {
    let scene = Scene::with_tasks(1);
    scene.read(&scene.instance()).await;
    for path in [
        "artifacts/anna/deeper/timeline_1.json",
        "artifacts/anna/old_timeline_1.json",
        "artifacts/anna/timeline_1.json.bak",
        "artifacts/anna/timelines_1.json",
        "artifacts/cacheVersion.txt",
        "artifacts/anna/lastHeadSha.txt",
        "other/timeline_1.json",
        "queue/anna",
        "raw/anna/tasks/cacheVersion.txt",
        "raw/anna/tasks/timeline_1.json",
        "raw/anna/cacheVersion.txt",
        "raw/tasks/0001.md",
        "raw/timeline_1.json",
        "state/.github.json",
        "state/anna/cacheversion.txt",
        "state/anna/calendar.json",
        "state/anna/deeper/cacheVersion.txt",
        "state/anna/git.json",
        "state/anna/idempotency/deeper/key.txt",
        "state/anna/idempotency/key.json",
        "state/anna/idempotency/nextId.txt",
        "state/anna/idempotency/state.json",
        "state/anna/nextId.txt",
        "state/anna/owner.json",
        "state/anna/timeline_1.json",
        "state/idempotency/nextId.txt",
        "state/idempotency/state.json.bak",
        "state/nextId.txt",
        "state/not a user/cacheVersion.txt",
        "timeline_1.json",
        "cacheVersion.txt",
    ] {
        scene.store.foreign_write(path, b"stays");
    }
    scene.pass(10 * DAY);
    assert_kept(&scene, "old enough").await;
}

#[tokio::test]
async fn a_leftover_stays_until_nobody_has_written_it_for_a_day() {
    let scene = Scene::with_tasks(1);
    scene.read(&scene.instance()).await;
    for path in LEFTOVERS {
        scene.store.foreign_write(path, b"in use");
    }
    scene.pass(DAY);
    assert_kept(&scene, "a day old").await;
    scene.pass_seconds(1);
    let report = run_janitor(&scene, &scene.instance()).await;
    assert_eq!(report.leftovers, LEFTOVERS.len());
}

#[tokio::test]
async fn a_user_called_as_the_older_services_folder_keeps_what_is_theirs() {
    let scene = Scene::new();
    let theirs = ["nextId.txt", "state.json", "git.json", "owner.json"];
    for name in theirs {
        let path = format!("state/idempotency/{name}");
        scene.store.foreign_write(&path, b"not a state");
    }
    scene
        .store
        .foreign_write("state/idempotency/key.txt", b"0001");
    scene.pass(2 * DAY);
    run_janitor(&scene, &scene.instance()).await;
    let mut kept = theirs.map(|name| format!("state/idempotency/{name}"));
    kept.sort();
    assert_eq!(scene.store.paths(), kept);
}

#[tokio::test]
async fn a_settled_file_stays_for_an_hour() {
    let scene = Scene::with_tasks(1);
    scene.read(&scene.instance()).await;
    scene.file("0007-Nie.md", SETTLED);
    scene.pass_seconds(3600);
    assert_kept(&scene, "an hour old").await;
    scene.pass_seconds(1);
    assert_eq!(run_janitor(&scene, &scene.instance()).await.tombstones, 1);
    assert_eq!(
        scene.store.peek(&raw("0007-Nie.md")).map(|it| it.etag),
        None
    );
}

/// A create may be about to replace the tombstone with `If-Match`. Of two requests under one key, one would fail on the
/// missing file, and the other, which arrives after the deletion, would succeed.
#[tokio::test]
async fn a_settled_file_stays_where_numbers_are_handed_out_again() {
    let scene = Scene::with_tasks(1);
    scene.file("9999-Ende.md", &task("Ende"));
    scene.read(&scene.instance()).await;
    assert_eq!(scene.state().next_id, 10_000);
    scene.file("0007-Nie.md", SETTLED);
    scene.pass(2 * DAY);
    assert_kept(&scene, "past the last number").await;
}

#[tokio::test]
async fn a_file_that_somebody_wrote_by_hand_is_no_settled_file() {
    let scene = Scene::with_tasks(1);
    let same_size = SETTLED.replace("settled", "erledig");
    assert_eq!(same_size.len(), SETTLED.len());
    scene.file(
        "0007-Hand.md",
        &format!("{SETTLED}\nWhat I thought of it.\n"),
    );
    scene.file("0008-Hand.md", &same_size);
    scene.read(&scene.instance()).await;
    scene.pass(DAY);
    assert_kept(&scene, "by hand").await;
}

#[tokio::test]
async fn a_settled_file_that_a_mark_names_stays() {
    let scene = Scene::with_tasks(1);
    scene.file("0007-Nie.md", SETTLED);
    scene.read(&scene.instance()).await;
    scene.pass_seconds(2 * 3600);
    let at = scene.now().utc;
    scene.change_state(|state| {
        state.version = state.version.next();
        let version = state.version.0;
        let op = mark("0007-Nie.md", ChangeKind::Create, version, at);
        state.pending.insert("just begun".to_owned(), op);
    });
    scene.pass_seconds(59);
    assert_kept(&scene, "marked").await;
}

#[tokio::test]
async fn a_record_that_is_pending_or_young_stays() {
    let scene = Scene::with_tasks(1);
    scene.read(&scene.instance()).await;
    scene.pass(2 * DAY);
    let now = scene.now().utc;
    scene.change_state(|state| {
        state.version = state.version.next();
        let version = state.version.0;
        let op = mark("0001.md", ChangeKind::Create, version, now);
        state.pending.insert("under way".to_owned(), op);
        let long_ago = now - DAY * 2;
        let young = record("young", now - DAY + Duration::from_secs(5));
        for (key, record) in [("a", record("under way", long_ago)), ("b", young)] {
            state.idempotency.insert(key.repeat(64), record);
        }
    });
    assert_kept(&scene, "pending and young").await;
}

#[tokio::test]
async fn only_who_has_neither_state_nor_files_is_gone() {
    let scene = Scene::new();
    let write = |path: &str, text: &[u8]| scene.store.foreign_write(path, text);
    for user in ["a", "b", "c", "d"] {
        write(&format!("artifacts/{user}/timeline.json"), b"{}");
    }
    write("state/a/state.json", b"damaged");
    write("raw/b/tasks/0000.md", task("Da").as_bytes());
    // A state document and files deleted by hand; the counter and the owner are still there.
    write("state/c/nextId.txt", b"5");
    write("state/c/owner.json", b"{}");
    let report = run_janitor(&scene, &scene.instance()).await;
    assert_eq!((report.users, report.artifacts), (4, 2));
    assert_eq!(
        scene.store.paths(),
        [
            "artifacts/a/timeline.json",
            "artifacts/b/timeline.json",
            "raw/b/tasks/0000.md",
            "state/a/state.json",
            "state/c/nextId.txt",
            "state/c/owner.json",
        ],
        "and nobody got a state"
    );
}

/// The artifact of a user whose first file appears during the pass.
#[tokio::test]
async fn an_artifact_that_is_written_meanwhile_stays() {
    let scene = Scene::new();
    scene.store.foreign_write(ARTIFACT, b"{}");
    let a = scene.instance();
    let delete = a.gate.hold_next("delete", "artifacts/");
    let (report, ()) = tokio::join!(run_janitor(&scene, &a), async {
        delete.reached().await;
        scene.file("0000-Da.md", &task("Da"));
        scene.read(&scene.instance()).await;
        delete.release();
    });
    assert_eq!((report.artifacts, report.failed), (0, 0));
    assert!(scene.store.paths().contains(&ARTIFACT.to_owned()));
}
