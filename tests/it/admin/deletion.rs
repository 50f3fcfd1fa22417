//! `user delete`: nothing of the user is left, whatever crash or concurrent write intervenes.

use std::sync::Arc;
use std::time::Duration;

use codex_miroir::admin::{self, AdminError, Deletion, DeletionReport, Storage};
use codex_miroir::codex::Consistency;
use codex_miroir::store::BlobStore;
use codex_miroir::task::TOMBSTONE_FILE;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::interrupted::{Interrupted, Last};
use super::{GIT, HINT, MIRROR, OWNER, in_git, mirrored};
use crate::support::losing_store::Loss;
use crate::support::scene::{
    ARTIFACT, RAW, STATE, Scene, anna, codex_over, new_task, settle, titles,
};

fn deletion(scene: &Scene) -> Deletion {
    Deletion {
        user: anna(),
        despite_git: false,
        pending_timeout: Duration::from_secs(90),
        now: scene.now(),
    }
}

async fn delete(
    store: impl BlobStore + Clone,
    deletion: &Deletion,
) -> Result<DeletionReport, AdminError> {
    let codex = codex_over(Arc::new(store.clone()));
    admin::delete(&store, &codex, deletion).await
}

/// A user with every kind of blob that a user can have, and a second user.
async fn user_with_everything() -> Scene {
    let scene = Scene::with_tasks(3);
    scene.store.foreign_write("state/anna/nextId.txt", b"57");
    scene.read(&scene.instance()).await;
    scene.file("Notiz.md", "kein Task");
    scene.file("bild.png", "");
    scene.file("0009-Nie.md", TOMBSTONE_FILE);
    in_git(&scene, &[]);
    mirrored(&scene);
    scene
        .store
        .foreign_write(OWNER, br#"{"format":"1.0","githubId":1001}"#);
    scene
        .store
        .foreign_write("state/anna/calendar.json", br#"{"format":"1.0"}"#);
    scene.store.foreign_write(HINT, b"");
    scene
        .store
        .foreign_write("artifacts/anna/timeline_1.json", b"{}");
    scene
        .store
        .foreign_write("state/anna/cacheVersion.txt", b"1");
    scene
        .store
        .foreign_write("state/anna/idempotency/k.txt", b"0");
    scene.store.foreign_write("raw/berta/tasks/0000-B.md", b"");
    scene.store.foreign_write("state/berta/state.json", b"{}");
    scene.store.foreign_write("queue/berta", b"");
    scene
}

/// Only shared blobs, the other user's blobs, and a tombstone (for the janitor to remove) are left.
fn assert_gone(scene: &Scene, about: &str) {
    let left = [
        "queue/berta",
        "raw/anna/tasks/0009-Nie.md",
        "raw/berta/tasks/0000-B.md",
        MIRROR,
        "state/berta/state.json",
    ];
    assert_eq!(scene.store.paths(), left, "{about}");
    let mirror: Value = serde_json::from_slice(&scene.store.peek(MIRROR).unwrap().bytes).unwrap();
    let users = mirror["users"].as_object().unwrap();
    assert_eq!(users.keys().collect::<Vec<_>>(), ["berta"], "{about}");
    assert_eq!(mirror["later"], 1, "{about}");
}

#[tokio::test]
async fn all_of_a_user_goes_and_nothing_of_anybody_elses() {
    let scene = user_with_everything().await;
    let user = anna();
    let before = admin::holdings(&scene.store, &user).await.unwrap();
    let paths = scene.store.paths();
    assert_snapshot!(before.to_string(), @r"
    raw        6 files
    artifacts  2 blobs
    state      cacheVersion.txt, calendar.json, git.json, nextId.txt, owner.json, state.json
    older      1 record below idempotency
    queue      a hint
    ");
    assert_eq!(scene.store.paths(), paths, "looking removes nothing");
    let report = delete(scene.store.clone(), &deletion(&scene))
        .await
        .unwrap();
    assert_gone(&scene, "at once");
    assert_snapshot!(report.describe_remaining(&user, &before, Storage::Container).join("\n"), @r"
    In Git: 0 files in codex-miroir/anna/tasks of anna/week@main, and its history.
    In the storage account: soft-deleted blobs and versions, as long as its data protection keeps them.
    In instances: cached data, until their next revalidation. Sessions stay valid: a user who may still sign in (CODEX_ALLOWED_LOGINS) starts a new, empty week, and the login then belongs to the first account that signs in by it.
    In raw: 1 tombstone, against creates that may still land; the janitor removes them.
    ");
    assert_eq!(report.removed, 15);
    let again = delete(scene.store.clone(), &deletion(&scene))
        .await
        .unwrap();
    assert_eq!(again.removed, 0);
}

#[tokio::test]
async fn a_deletion_that_breaks_off_anywhere_is_done_by_repeating_it() {
    for last in [Last::Answered, Last::Unanswered] {
        let mut done = false;
        for requests in 0..200 {
            let scene = user_with_everything().await;
            let serving = scene.instance();
            scene.read(&serving).await;
            let line = Interrupted::after(requests, last, scene.store.clone());
            done = delete(line, &deletion(&scene)).await.is_ok();
            settle().await;
            if done {
                assert!(requests > 30, "{requests} requests are too few");
                break;
            }
            let about = format!("{last:?} after {requests}");
            let there = titles(&serving.json(&scene.read_strictly(&serving).await)).len();
            assert!(there <= 3, "{about}");
            let owned = scene.store.peek(OWNER).is_some();
            let gone = there == 0 && scene.store.peek(GIT).is_none();
            assert!(
                owned || gone,
                "{about}: somebody else would find {there} tasks"
            );
            settle().await;
            // An intent that is left, whatever write it is for, doesn't delay the second run.
            delete(scene.store.clone(), &deletion(&scene))
                .await
                .unwrap();
            assert_gone(&scene, &about);
        }
        assert!(done, "{last:?}");
    }
}

#[tokio::test]
async fn a_running_instance_shows_the_empty_week_at_once_to_who_asks_strictly_and_else_in_time() {
    let scene = user_with_everything().await;
    let (a, b) = (scene.instance(), scene.instance());
    for instance in [&a, &b] {
        assert_eq!(titles(&instance.json(&scene.read(instance).await)).len(), 3);
    }
    delete(scene.store.clone(), &deletion(&scene))
        .await
        .unwrap();
    let strict = scene.read_strictly(&a).await;
    assert!(titles(&a.json(&strict)).is_empty());
    scene.pass_seconds(5);
    let bounded = scene.read(&b).await;
    assert!(titles(&b.json(&bounded)).is_empty());
    let known = scene.read(&scene.instance()).await;
    assert!(titles(&scene.instance().json(&known)).is_empty());
}

#[tokio::test]
async fn no_rebuild_from_before_brings_an_old_week_back() {
    let scene = user_with_everything().await;
    let a = scene.instance();
    let late = a.gate.hold_next("put", ARTIFACT);
    scene.rebuild(&a).await;
    late.reached().await;
    delete(scene.store.clone(), &deletion(&scene))
        .await
        .unwrap();
    late.release();
    settle().await;
    assert!(
        scene.store.peek(ARTIFACT).is_some(),
        "the rebuild's artifact is late"
    );
    let b = scene.instance();
    assert!(titles(&b.json(&scene.read(&b).await)).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_create_under_way_is_waited_for_and_settled_when_its_time_is_over() {
    let scene = user_with_everything().await;
    let dead = scene.instance();
    dead.line.lose_next("put", RAW, Loss::Request);
    let read_request = scene.read_request(Consistency::Bounded);
    assert!(
        dead.codex
            .writer()
            .create(&read_request, new_task("Spät"), None)
            .await
            .is_err()
    );
    let early = delete(scene.store.clone(), &deletion(&scene)).await;
    assert!(matches!(early, Err(AdminError::Contended)), "{early:?}");
    assert!(scene.store.peek(STATE).is_some() && scene.store.peek(OWNER).is_some());
    scene.pass_seconds(61);
    let report = delete(scene.store.clone(), &deletion(&scene))
        .await
        .unwrap();
    assert_eq!((report.tombstones, report.recreated), (2, vec![]));
    let raw: Vec<String> = scene
        .store
        .paths()
        .into_iter()
        .filter(|it| it.starts_with(RAW))
        .collect();
    assert_eq!(
        raw,
        ["raw/anna/tasks/0009-Nie.md", "raw/anna/tasks/0057-Spät.md"]
    );
}

#[tokio::test]
async fn a_file_created_meanwhile_goes_too() {
    let scene = user_with_everything().await;
    let serving = scene.instance();
    scene.read(&serving).await;
    let deleting = scene.instance();
    let held = deleting.gate.hold_next("delete", STATE);
    let (store, wanted) = (deleting.requests.clone(), deletion(&scene));
    let deleting = tokio::spawn(async move { delete(store, &wanted).await });
    held.reached().await;
    let read_request = scene.read_request(Consistency::Bounded);
    serving
        .codex
        .writer()
        .create(&read_request, new_task("Neu"), None)
        .await
        .unwrap();
    settle().await;
    held.release();
    deleting.await.unwrap().unwrap();
    assert_gone(&scene, "also what came meanwhile");
}

#[tokio::test]
async fn a_hint_left_meanwhile_goes_too() {
    for late in [STATE, OWNER] {
        let scene = user_with_everything().await;
        let deleting = scene.instance();
        let held = deleting.gate.hold_next("delete", late);
        let (store, wanted) = (deleting.requests.clone(), deletion(&scene));
        let deleting = tokio::spawn(async move { delete(store, &wanted).await });
        held.reached().await;
        assert!(scene.store.peek(HINT).is_none(), "the first one has gone");
        scene.store.foreign_write(HINT, b"");
        held.release();
        deleting.await.unwrap().unwrap();
        assert_gone(&scene, late);
    }
}

#[tokio::test]
async fn what_git_holds_keeps_the_user_unless_somebody_says_so() {
    let scene = user_with_everything().await;
    in_git(&scene, &[("0000-Aufgabe.md", &"2".repeat(40))]);
    let before = scene.store.paths();
    let refused = delete(scene.store.clone(), &deletion(&scene))
        .await
        .unwrap_err();
    assert_snapshot!(refused.to_string(), @"by git.json, Git holds 1 of the user's files, which a sync would import again: remove them there first, or add --despite-git");
    assert_eq!(scene.store.paths(), before);
    let despite = Deletion {
        despite_git: true,
        ..deletion(&scene)
    };
    let report = delete(scene.store.clone(), &despite).await.unwrap();
    assert!(
        report.mirrored,
        "else anybody's next commit would bring the files back"
    );
    // Repeated without git.json, so nothing shows that Git has none of the user's files.
    let report = delete(scene.store.clone(), &deletion(&scene))
        .await
        .unwrap();
    assert!(report.mirrored);
}

#[tokio::test]
async fn what_came_to_git_meanwhile_keeps_the_name_in_the_mirror() {
    let scene = user_with_everything().await;
    let deleting = scene.instance();
    let held = deleting.gate.hold_next("delete", HINT);
    let (store, wanted) = (deleting.requests.clone(), deletion(&scene));
    let deleting = tokio::spawn(async move { delete(store, &wanted).await });
    held.reached().await;
    in_git(&scene, &[("0000-Aufgabe.md", &"2".repeat(40))]);
    held.release();
    let report = deleting.await.unwrap().unwrap();
    assert!(report.mirrored && scene.store.peek(GIT).is_none());
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_left_alone() {
    for (path, blob) in [
        (STATE, json!({"format": "2.0"})),
        (GIT, json!({"format": "2.0"})),
        (OWNER, json!({"format": "2.0", "githubId": 1})),
    ] {
        let scene = user_with_everything().await;
        scene.store.foreign_write(path, blob.to_string().as_bytes());
        let before = scene.store.paths();
        let refused = delete(scene.store.clone(), &deletion(&scene)).await;
        assert!(matches!(refused, Err(AdminError::Newer(_))), "{path}");
        assert_eq!(scene.store.paths(), before, "{path}");
    }
}
