//! The guard against mass deletion: removals in numbers that look like a mistake are held until a user confirms them.

use serde_json::json;

use crate::support::github::Change;
use crate::support::mirror::{Mirror, create, numbered, refusal, send, tick};
use crate::support::process::Service;
use crate::support::scene::task;

/// A service that has imported ten files, all of which a later commit removes, adding `others` in the same commit.
async fn with_ten_removals(mirror: &Mirror, others: &[(String, String)]) -> Service {
    let service = mirror.service();
    let files = numbered(10);
    mirror.commit_all(&files, "Begin");
    mirror.taken_in(&service).await;
    let gone = files.iter().map(|(name, _)| (&**name, None));
    let come = others.iter().map(|(name, text)| (&**name, Some(&**text)));
    let changes: Vec<_> = gone.chain(come).collect();
    mirror.commit(&changes, "Remove and add");
    mirror.deliver(&service).await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_that_come_with_it_do_not_hide_ten_that_go() {
    let mirror = Mirror::new();
    let others: Vec<_> = (0..10)
        .map(|at| {
            (
                format!("{:04}-Andere.md", 50 + at),
                task(&format!("Andere {at}")),
            )
        })
        .collect();
    let service = with_ten_removals(&mirror, &others).await;
    tick(&service);
    assert_eq!(mirror.in_store().await.len(), 20, "nothing has gone");
    let refused = send(&service, "POST", "/sync", "", "");
    assert_eq!(
        (refused.status, &refusal(&refused)["count"]),
        (409, &json!(10))
    );
    let done = send(&service, "POST", "/sync?confirm=10", "", "").json();
    assert_eq!(done["removed"], 10);
    assert_eq!(mirror.in_store().await, mirror.in_git());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_is_held_until_somebody_confirms_it() {
    let mirror = Mirror::new();
    let service = with_ten_removals(&mirror, &[]).await;
    assert_eq!(
        service.get("/sync").json()["lastError"]["code"],
        "mass_delete"
    );
    for at in 0..12 {
        create(&service, &format!("Eigene {at}"));
    }
    for _ in 0..3 {
        tick(&service);
    }
    assert_eq!(mirror.in_store().await.len(), 22);
    assert_eq!(mirror.in_git().len(), 12);
    // A file that Git has again is released, and its next removal counts by itself.
    let text = task("Nummer 3");
    mirror.commit(&[("0003-Nummer.md", Some(&text))], "Put one back");
    mirror.deliver(&service).await;
    mirror.commit(&[("0003-Nummer.md", None)], "And remove it");
    mirror.deliver(&service).await;
    assert_eq!(mirror.in_store().await.len(), 21);
    let refused = send(&service, "POST", "/sync?confirm=10", "", "");
    assert_eq!(
        (refused.status, &refusal(&refused)["count"]),
        (409, &json!(9))
    );
    assert_eq!(
        send(&service, "POST", "/sync?confirm=9", "", "").status,
        200
    );
    assert_eq!(mirror.in_store().await, mirror.in_git());
    tick(&service);
    assert_eq!(service.get("/sync").json()["lastError"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_of_all_files_is_no_removal() {
    let mirror = Mirror::new();
    let renamed: Vec<_> = numbered(10)
        .into_iter()
        .map(|(name, text)| (name.replace("Nummer", "Umbenannt"), text))
        .collect();
    let service = with_ten_removals(&mirror, &renamed).await;
    tick(&service);
    assert_eq!(mirror.in_store().await, mirror.in_git());
    assert_eq!(mirror.in_store().await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_is_held_while_something_else_is_in_its_place() {
    let mirror = Mirror::new();
    let service = with_ten_removals(&mirror, &[]).await;
    for at in 0..12 {
        create(&service, &format!("Eigene {at}"));
    }
    tick(&service);
    assert_eq!(mirror.in_git().len(), 12);
    let names: Vec<String> = numbered(10).into_iter().map(|(name, _)| name).collect();
    let paths: Vec<String> = names.iter().map(|name| mirror.path(name)).collect();
    let put = |change: Change| {
        let changes: Vec<_> = paths.iter().map(|it| (&**it, change.clone())).collect();
        mirror.github.commit("main", &changes, "Change");
    };
    put(Change::Submodule("1".repeat(40)));
    mirror.deliver(&service).await;
    put(Change::Delete);
    mirror.deliver(&service).await;
    tick(&service);
    assert_eq!(mirror.in_store().await.len(), 22, "nothing has gone");
}

/// A slow instance lists the files before another instance imports them, and continues its pass after that one has held
/// their removal.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_is_held_where_a_look_began_before_it_came() {
    let mirror = Mirror::new();
    let slow = mirror.service();
    let held = mirror.github.hold("GET", "/git/ref");
    let look = tokio::task::spawn_blocking(move || (send(&slow, "POST", "/sync", "", ""), slow));
    held.reached().await;
    let quick = with_ten_removals(&mirror, &[]).await;
    for at in 0..12 {
        create(&quick, &format!("Eigene {at}"));
    }
    tick(&quick);
    assert_eq!(
        (mirror.in_store().await.len(), mirror.in_git().len()),
        (22, 12)
    );
    held.release();
    let (_, slow) = look.await.unwrap();
    for _ in 0..3 {
        tick(&slow);
        tick(&quick);
    }
    assert_eq!(mirror.in_store().await.len(), 22);
    let refused = send(&quick, "POST", "/sync?confirm=9", "", "");
    assert_eq!(
        (refused.status, &refusal(&refused)["count"]),
        (409, &json!(10))
    );
}
