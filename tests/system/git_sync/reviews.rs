//! Pull requests, one row per case: what happens to a change made here when a reviewer acts on its request.

use std::time::Duration;

use serde_json::json;

use crate::support::github::{Change, Hold, Merge};
use crate::support::mirror::{Mirror, create, send, tick};
use crate::support::process::{Service, eventually};
use crate::support::scene::task;

const NAME: &str = "0000-Eins.md";

/// A task that Git has, and a reviewer.
async fn set_up() -> (Mirror, Service) {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    let service = mirror.service();
    mirror.github.add_user("berta", 2_000);
    mirror.github.add_collaborator("berta");
    mirror.commit(&[(NAME, Some(&task("Eins")))], "Begin");
    mirror.deliver(&service).await;
    (mirror, service)
}

/// [`set_up`] and a pull request with an edit of the task.
async fn set_up_with_pull() -> (Mirror, Service) {
    let (mirror, service) = set_up().await;
    edit(&service, "# Eins\n\nVorschlag\n");
    assert_eq!(mirror.github.pulls().len(), 1);
    (mirror, service)
}

fn edit(service: &Service, text: &str) {
    let body = json!({"body": text}).to_string();
    let answer = send(service, "PATCH", "/api/tasks/0000?git=wait", "", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Makes an edit, and kills the process while one of its requests to GitHub is held.
async fn edit_and_die(service: Service, held: Hold, text: &str) {
    let body = json!({"body": text}).to_string();
    let answer = send(&service, "PATCH", "/api/tasks/0000", "", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    held.reached().await;
    service.kill();
    held.release();
}

/// Commits a reviewer's change on the pull request's branch, and returns the resulting text of the file.
fn review(mirror: &Mirror, change: impl FnOnce(&str) -> Option<String>) -> Option<String> {
    let branch = mirror.github.pulls()[0].head.clone();
    let path = mirror.path(NAME);
    let files = mirror.github.files(&branch);
    let text = String::from_utf8_lossy(&files[&path]).into_owned();
    let text = change(&text);
    let to = text.as_deref().map_or(Change::Delete, Change::from);
    mirror
        .github
        .commit_by("berta", &branch, &[(&path, to)], "Review");
    text
}

fn reviewed(text: &str) -> Option<String> {
    Some(text.replace("Vorschlag", "Vorschlag\nDurchgesehen"))
}

/// Waits until no instance sends requests to GitHub.
async fn wait_until_idle(mirror: &Mirror) {
    let requests = || mirror.github.requests().len();
    let mut before = 0;
    while std::mem::replace(&mut before, requests()) != requests() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn stored_text(mirror: &Mirror) -> Option<String> {
    mirror.in_store().await.get(NAME).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reviewer_merges_is_taken_in_each_way_to_merge() {
    for how in [Merge::Commit, Merge::Squash, Merge::Rebase] {
        for delivered in [true, false] {
            let (mirror, service) = set_up_with_pull().await;
            let text = review(&mirror, reviewed);
            mirror.github.merge_pull(1, how).unwrap();
            if delivered {
                mirror.deliver(&service).await;
            }
            tick(&service);
            assert_eq!(stored_text(&mirror).await, text, "{how:?}");
            let state = service.get("/sync").json();
            assert_eq!(
                (&state["pullRequests"], &state["unpushed"]),
                (&json!([]), &json!([]))
            );
            // The next edit is based on the merged text.
            let body = r#"{"tags": ["danach"]}"#;
            send(&service, "PATCH", "/api/tasks/0000?git=wait", "", body);
            assert!(stored_text(&mirror).await.unwrap().contains("Durchgesehen"));
            assert_eq!(mirror.github.pulls().len(), 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reviewer_takes_out_of_a_request_goes_here_too() {
    type Review = fn(&str) -> Option<String>;
    let rows: [(Review, Option<String>); 2] = [
        // The reviewer restored Git's text.
        (|_| Some(task("Eins")), Some(task("Eins"))),
        // The reviewer removed the file.
        (|_| None, None),
    ];
    for (change, becomes) in rows {
        let (mirror, service) = set_up_with_pull().await;
        review(&mirror, change);
        // A merge that leaves the file as it was contains some other change.
        let branch = mirror.github.pulls()[0].head.clone();
        mirror
            .github
            .commit_by("berta", &branch, &[("more.txt", "More".into())], "More");
        mirror.github.merge_pull(1, Merge::Squash).unwrap();
        mirror.deliver(&service).await;
        for _ in 0..2 {
            tick(&service);
        }
        assert_eq!(stored_text(&mirror).await, becomes);
        assert_eq!(service.get("/sync").json()["pullRequests"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_a_review_keeps_both_before_and_after_the_merge() {
    for merged_first in [true, false] {
        let (mirror, service) = set_up_with_pull().await;
        review(&mirror, reviewed);
        if merged_first {
            mirror.github.merge_pull(1, Merge::Squash).unwrap();
        }
        let body = r#"{"tags": ["eigenes"]}"#;
        send(&service, "PATCH", "/api/tasks/0000?git=wait", "", body);
        tick(&service);
        let text = stored_text(&mirror).await.unwrap();
        assert!(
            text.contains("Durchgesehen") && text.contains("eigenes"),
            "{text}"
        );
        let last = mirror.github.pulls().last().unwrap().clone();
        assert_eq!(last.number, if merged_first { 2 } else { 1 });
        let on_branch = mirror.github.files(&last.head)[&mirror.path(NAME)].clone();
        assert_eq!(
            String::from_utf8_lossy(&on_branch),
            text,
            "and so it is proposed"
        );
        mirror
            .github
            .merge_pull(last.number, Merge::Commit)
            .unwrap();
        mirror.taken_in(&service).await;
        assert_eq!(stored_text(&mirror).await.unwrap(), text);
    }
}

/// If a request isn't merged, the change stays here, and the next edit is proposed in its turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_merged_leaves_the_change_here() {
    type Act = fn(&Mirror, &str);
    let rows: [(&str, Act, u64); 4] = [
        ("closed", |mirror, _| mirror.github.close_pull(1), 2),
        (
            "closed and opened again",
            |mirror, _| {
                mirror.github.close_pull(1);
                assert!(mirror.github.reopen_pull(1));
            },
            1,
        ),
        (
            "its branch renamed",
            |mirror, branch| mirror.github.rename_branch(branch, "other"),
            2,
        ),
        (
            "its branch deleted",
            |mirror, branch| mirror.github.delete_branch(branch),
            2,
        ),
    ];
    for (case, act, number) in rows {
        let (mirror, service) = set_up_with_pull().await;
        let before = stored_text(&mirror).await;
        let branch = mirror.github.pulls()[0].head.clone();
        act(&mirror, &branch);
        for _ in 0..2 {
            tick(&service);
        }
        assert_eq!(stored_text(&mirror).await, before, "{case}");
        assert_eq!(
            mirror.github.pulls().len(),
            1,
            "{case}: not proposed again by itself"
        );
        edit(&service, "# Eins\n\nNoch einmal\n");
        let last = mirror.github.pulls().last().unwrap().number;
        assert_eq!(last, number, "{case}");
        mirror.github.merge_pull(last, Merge::Rebase).unwrap();
        mirror.taken_in(&service).await;
        assert!(
            stored_text(&mirror).await.unwrap().contains("Noch einmal"),
            "{case}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_put_onto_the_branch_after_the_merge_is_not_taken_for_merged() {
    for how in [Merge::Commit, Merge::Squash] {
        let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
        let replica = mirror.github.replica();
        let service = mirror.service_at(&replica);
        mirror.commit(&[(NAME, Some(&task("Eins")))], "Begin");
        mirror.deliver(&service).await;
        edit(&service, "# Eins\n\nVorschlag\n");
        // To this replica, the pull request is still open.
        replica.freeze();
        mirror.github.merge_pull(1, how).unwrap();
        edit(&service, "# Eins\n\nDanach\n");
        replica.catch_up();
        mirror.deliver(&service).await;
        for _ in 0..2 {
            tick(&service);
        }
        let text = stored_text(&mirror).await.unwrap();
        assert!(text.contains("Danach"), "{how:?}: {text}");
        let pulls = mirror.github.pulls();
        assert_eq!(pulls.len(), 2, "it is proposed anew");
        mirror.github.merge_pull(2, how).unwrap();
        mirror.taken_in(&service).await;
        assert_eq!(stored_text(&mirror).await.unwrap(), text);
    }
}

/// Branches of merged requests stay unless a user deletes them.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_again_and_again_always_finds_a_branch() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    let service = mirror.service();
    mirror.commit(&[(NAME, Some(&task("Eins")))], "Begin");
    mirror.deliver(&service).await;
    for number in 1..=9 {
        let text = ["# Eins\n\nAn\n", "# Eins\n\nAus\n"][usize::from(number % 2 == 0)];
        edit(&service, text);
        mirror.github.merge_pull(number, Merge::Squash).unwrap();
        mirror.taken_in(&service).await;
    }
}

/// The cost of each look after a move of the branch while pull requests are open: one list of them, and one request for
/// each that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_of_the_branch_asks_for_all_open_requests_at_once() {
    let (mirror, service) = set_up_with_pull().await;
    for at in 1..6 {
        create(&service, &format!("Vorschlag {at}"));
    }
    eventually("all are proposed", || mirror.github.pulls().len() == 6);
    while !mirror.queue().await.is_empty() {
        tick(&service);
    }
    wait_until_idle(&mirror).await;
    mirror.github.drop_deliveries();
    mirror.github.clear_requests();
    mirror.commit(&[("0050-Andere.md", Some(&task("Andere")))], "Add");
    mirror.deliver(&service).await;
    tick(&service);
    let asked = || {
        let asked = mirror.github.requests_to("GET", "/pulls").into_iter();
        let below = asked.map(|it| it.path.rsplit_once("/pulls").unwrap().1.to_owned());
        below.collect::<Vec<_>>()
    };
    // At most one list per look; the number of looks depends on timing.
    let list = "?state=open&per_page=100";
    let looks = mirror.github.calls("GET", "/git/ref/heads/main");
    assert!(
        (1..=looks).contains(&asked().len()),
        "{looks}: {:?}",
        asked()
    );
    assert!(asked().iter().all(|it| it == list), "{:?}", asked());
    for number in [2, 4] {
        mirror.github.merge_pull(number, Merge::Squash).unwrap();
    }
    mirror.github.drop_deliveries();
    mirror.github.clear_requests();
    tick(&service);
    let open = |number: u64| {
        let state = service.get("/sync").json();
        let pulls = state["pullRequests"].as_array().unwrap().clone();
        pulls.iter().any(|it| it["number"] == number)
    };
    eventually("both are noticed", || !open(2) && !open(4) && open(3));
    assert!(!asked().contains(&"/3".to_owned()), "{:?}", asked());
}

/// The process dies before it receives the answer that opened its request, and a reviewer changes and merges it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_never_came_is_known_when_it_was_merged() {
    let (mirror, service) = set_up().await;
    let held = mirror.github.hold_answer("POST", "/pulls");
    edit_and_die(service, held, "# Eins\n\nVorschlag\n").await;
    let text = review(&mirror, |text| Some(text.replace("Vorschlag", "Anders")));
    mirror.github.merge_pull(1, Merge::Squash).unwrap();
    let service = mirror.service();
    mirror.deliver(&service).await;
    tick(&service);
    mirror.until_equal(&service).await;
    assert_eq!(stored_text(&mirror).await, text);
    assert_eq!(mirror.github.pulls().len(), 1);
}

/// An instance that has read a file before the last edit reaches the branch late, after another instance has proposed
/// that edit.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_text_is_not_put_over_a_newer_one_of_another_instance() {
    for merged_first in [false, true] {
        let (mirror, slow) = set_up().await;
        let quick = mirror.service();
        let held = mirror.github.hold_answer("GET", "/git/ref/heads/codex");
        let body = json!({"body": "# Eins\n\nVorher\n"}).to_string();
        let answer = send(&slow, "PATCH", "/api/tasks/0000", "", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        held.reached().await;
        edit(&quick, "# Eins\n\nVorschlag\n");
        assert_eq!(mirror.github.pulls().len(), 1);
        if merged_first {
            mirror.github.merge_pull(1, Merge::Squash).unwrap();
        }
        held.release();
        wait_until_idle(&mirror).await;
        let puts = mirror.github.calls("PUT", "/contents");
        assert_eq!(
            (puts, mirror.github.pulls().len()),
            (1, 1),
            "merged first: {merged_first}"
        );
        if !merged_first {
            mirror.github.merge_pull(1, Merge::Squash).unwrap();
        }
        mirror.taken_in(&quick).await;
        assert!(stored_text(&mirror).await.unwrap().contains("Vorschlag"));
    }
}

/// There was only one request ever; it holds the text of the store, and is merged.
async fn check_one_merged_request(mirror: &Mirror, service: &Service, case: &str) {
    let pulls = mirror.github.pulls();
    let branches: Vec<&str> = pulls.iter().map(|it| it.head.as_str()).collect();
    assert_eq!(branches, ["codex/tasks/anna/0000-update"], "{case}");
    let text = stored_text(mirror).await.unwrap();
    assert!(
        text.contains("Vorschlag") && text.contains("abgeschlossen"),
        "{case}: {text}"
    );
    mirror.github.merge_pull(1, Merge::Squash).unwrap();
    mirror.taken_in(service).await;
    assert_eq!(stored_text(mirror).await.unwrap(), text, "{case}");
}

/// An instance is about to propose an edit when another one completes the task, which would get a branch of another
/// name.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_tell_different_stories_of_a_task_open_one_request() {
    let rows = [
        ("no branch", "POST", "/git/refs"),
        ("a branch", "PUT", "/contents"),
        ("a commit", "POST", "/pulls"),
        ("a request", "POST", "/pulls"),
    ];
    for (has, method, path) in rows {
        let (mirror, slow) = set_up().await;
        let quick = mirror.service();
        let held = match has {
            "a request" => mirror.github.hold_answer(method, path),
            _ => mirror.github.hold(method, path),
        };
        let body = json!({"body": "# Eins\n\nVorschlag\n"}).to_string();
        let answer = send(&slow, "PATCH", "/api/tasks/0000", "", &body);
        assert_eq!(answer.status, 200, "{has}: {}", answer.body);
        held.reached().await;
        let path = "/api/tasks/0000/complete?git=wait";
        let answer = send(&quick, "POST", path, "", "{}");
        assert_eq!(answer.status, 200, "{has}: {}", answer.body);
        held.release();
        wait_until_idle(&mirror).await;
        check_one_merged_request(&mirror, &quick, has).await;
    }
}

/// The process dies before it learns the outcome of its request, and the task is completed before the retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_never_came_gets_what_is_told_otherwise_too() {
    for answered in [false, true] {
        let (mirror, service) = set_up().await;
        let held = match answered {
            false => mirror.github.hold("POST", "/pulls"),
            true => mirror.github.hold_answer("POST", "/pulls"),
        };
        edit_and_die(service, held, "# Eins\n\nVorschlag\n").await;
        let service = mirror.service();
        let path = "/api/tasks/0000/complete?git=wait";
        let answer = send(&service, "POST", path, "", "{}");
        assert_eq!(answer.status, 200, "{}", answer.body);
        wait_until_idle(&mirror).await;
        check_one_merged_request(&mirror, &service, &format!("opened: {answered}")).await;
    }
}

/// The same crash, and the first request is merged while the retry looks for its branch.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_never_came_gets_nothing_after_its_merge() {
    let (mirror, service) = set_up().await;
    let held = mirror.github.hold_answer("POST", "/pulls");
    edit_and_die(service, held, "# Eins\n\nVorschlag\n").await;
    let service = mirror.service();
    let held = mirror.github.hold_answer("GET", "/git/ref/heads/codex");
    let answer = send(&service, "POST", "/api/tasks/0000/complete", "", "{}");
    assert_eq!(answer.status, 200, "{}", answer.body);
    held.reached().await;
    mirror.github.merge_pull(1, Merge::Squash).unwrap();
    held.release();
    wait_until_idle(&mirror).await;
    mirror.deliver(&service).await;
    tick(&service);
    eventually("it is proposed anew", || mirror.github.pulls().len() == 2);
    let branch = mirror.github.pulls()[1].head.clone();
    assert_eq!(branch, "codex/tasks/anna/0000-complete");
    let text = stored_text(&mirror).await.unwrap();
    assert!(text.contains("Vorschlag") && text.contains("abgeschlossen"));
    mirror.github.merge_pull(2, Merge::Squash).unwrap();
    mirror.taken_in(&service).await;
    assert_eq!(stored_text(&mirror).await.unwrap(), text);
}

/// The process dies before it receives the answer that opened its request, and another client edits the file on the
/// service's own branch: both changes are merged into one text here, which is committed to the open request.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_never_came_gets_what_was_merged_here_too() {
    let (mirror, service) = set_up().await;
    let held = mirror.github.hold_answer("POST", "/pulls");
    edit_and_die(service, held, "# Eins\n\nVorschlag\n").await;
    let elsewhere = task("Eins").replace("---\n\n", "tags: [drüben]\n---\n\n");
    mirror.commit(&[(NAME, Some(&elsewhere))], "Edit");
    let service = mirror.service();
    mirror.deliver(&service).await;
    tick(&service);
    wait_until_idle(&mirror).await;
    let text = stored_text(&mirror).await.unwrap();
    assert!(
        text.contains("Vorschlag") && text.contains("drüben"),
        "{text}"
    );
    assert_eq!(mirror.github.pulls().len(), 1);
    mirror.github.merge_pull(1, Merge::Squash).unwrap();
    mirror.taken_in(&service).await;
    assert_eq!(stored_text(&mirror).await.unwrap(), text);
}

/// The process dies before it learns that its edit is on the request's branch, another client edits the file on the
/// service's own branch, and the edit is taken back here: the text on the request's branch is recognised as the
/// service's own, not as a review.
#[tokio::test(flavor = "multi_thread")]
async fn an_own_edit_whose_answer_never_came_is_no_review_after_a_merge_here() {
    let (mirror, service) = set_up_with_pull().await;
    let held = mirror.github.hold_answer("PUT", "/contents");
    edit_and_die(service, held, "# Eins\n\nAnders\n").await;
    let elsewhere = task("Eins").replace("---\n\n", "tags: [drüben]\n---\n\n");
    mirror.commit(&[(NAME, Some(&elsewhere))], "Edit");
    let held = mirror.github.hold("GET", "/git/ref/heads/codex");
    let service = mirror.service();
    mirror.deliver(&service).await;
    held.reached().await;
    let body = json!({"body": "# Eins\n\nVorschlag\n"}).to_string();
    let answer = send(&service, "PATCH", "/api/tasks/0000", "", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    held.release();
    wait_until_idle(&mirror).await;
    let text = stored_text(&mirror).await.unwrap();
    assert!(
        text.contains("Vorschlag") && text.contains("drüben"),
        "{text}"
    );
    assert_eq!(mirror.github.pulls().len(), 1);
    mirror.github.merge_pull(1, Merge::Squash).unwrap();
    mirror.taken_in(&service).await;
    assert_eq!(stored_text(&mirror).await.unwrap(), text);
}
