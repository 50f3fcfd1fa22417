//! Replicas, whose reads lag.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Client, text};
use crate::support::github::{GitHub, Merge, Setup, blob_sha};
use crate::support::mirror::{Mirror, tick};
use crate::support::scene::task;

/// Where `main` is for this client.
async fn head(client: &Client) -> String {
    let found = client.get("git/ref/heads/main").await.json(200);
    text(&found["object"]["sha"])
}

fn names(list: &Value, member: &str) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    items.map(|one| text(&one[member])).collect()
}

#[tokio::test]
async fn a_frozen_replica_shows_what_was_until_it_catches_up() {
    let github = GitHub::start();
    let (primary, replica) = (Client::owner(&github), github.replica());
    let client = Client::at(&github, &replica);
    let old = github.commit("main", &[("t/1.md", "one".into())], "One");
    let before = client.get("git/ref/heads/main").await;
    assert_eq!(before.json(200)["object"]["sha"], old);
    assert!(text(&before.json(200)["url"]).starts_with(replica.url()));
    let tag = before.header("etag");
    replica.freeze();
    let new = github.commit("main", &[("t/1.md", "two".into())], "Two");
    let other = [("2.md", "x".into())];
    github.force_push("x", Some(&new), &[(&other, "Another branch")]);
    let tree = primary.get(&format!("git/commits/{new}")).await.json(200);
    let tree = text(&tree["tree"]["sha"]);
    assert_eq!(head(&primary).await, new);
    // What has a name is what it was, and unchanged.
    assert_eq!(head(&client).await, old);
    assert_eq!(
        client.get_unless("git/ref/heads/main", tag).await.status,
        304
    );
    client.get("git/ref/heads/x").await.json(404);
    let listed = client.get("branches").await.json(200);
    assert_eq!(names(&listed, "name"), ["main"]);
    let listed = client.get("git/matching-refs/heads/").await.json(200);
    assert_eq!(names(&listed, "ref"), ["refs/heads/main"]);
    let file = client.get("contents/t/1.md").await.json(200);
    assert_eq!(file["sha"], blob_sha(b"one"));
    let by_name = client.get("git/trees/main?recursive=1").await.json(200);
    assert_ne!(by_name["sha"], tree);
    assert_eq!(client.get("activity").await.json(200)[0]["after"], old);
    // What has a SHA isn't there yet, if it is new.
    let two = blob_sha(b"two");
    let unknown = [
        format!("git/commits/{new}"),
        format!("git/trees/{tree}"),
        format!("git/trees/{new}"),
        format!("git/blobs/{two}"),
        format!("contents/t/1.md?ref={new}"),
        format!("compare/{old}...{new}"),
        format!("compare/{new}...{old}"),
        "compare/main...x".to_owned(),
    ];
    for path in &unknown {
        client.get(path).await.json(404);
        primary.get(path).await.json(200);
    }
    client.get(&format!("git/commits/{old}")).await.json(200);
    let same = client.get(&format!("compare/{old}...main")).await.json(200);
    assert_eq!(same["status"], "identical");
    replica.catch_up();
    for path in &unknown {
        client.get(path).await.json(200);
    }
    assert_eq!(head(&client).await, new);
    let listed = client.get("branches?per_page=1&page=2").await;
    assert!(listed.header("link").contains("rel=\"prev\""));
    assert_eq!(names(&listed.json(200), "name"), ["x"]);
    let moved = client.get_unless("git/ref/heads/main", tag).await;
    assert_eq!(moved.status, 200);
}

#[tokio::test]
async fn a_lag_passes_by_the_hubs_clock_and_each_replica_has_its_own() {
    let github = GitHub::start();
    let replicas = [github.replica(), github.replica()];
    let [near, far] = replicas.each_ref().map(|one| Client::at(&github, one));
    let begin = github.head("main").unwrap();
    // Both have shown the beginning.
    assert_eq!(
        [head(&near).await, head(&far).await],
        [begin.clone(), begin.clone()]
    );
    replicas[0].set_lag(Duration::from_secs(600));
    replicas[1].set_lag(Duration::from_secs(6_000));
    let one = github.commit("main", &[("1.md", "one".into())], "One");
    github.advance(Duration::from_secs(300));
    let two = github.commit("main", &[("1.md", "two".into())], "Two");
    assert_eq!(
        [head(&near).await, head(&far).await],
        [begin.clone(), begin.clone()]
    );
    github.advance(Duration::from_secs(400));
    assert_eq!(
        [head(&near).await, head(&far).await],
        [one.clone(), begin.clone()]
    );
    github.advance(Duration::from_secs(300));
    assert_eq!([head(&near).await, head(&far).await], [two.clone(), begin]);
    // What was shown isn't taken back.
    replicas[0].set_lag(Duration::from_secs(60_000));
    assert_eq!(head(&near).await, two);
    replicas[1].catch_up();
    assert_eq!(head(&far).await, two);
}

#[tokio::test]
async fn a_lag_passes_with_time() {
    let github = GitHub::start();
    let replica = github.replica();
    let client = Client::at(&github, &replica);
    replica.set_lag(Duration::from_millis(400));
    let (began, old) = (Instant::now(), head(&client).await);
    let new = github.commit("main", &[("1.md", "one".into())], "One");
    let mut now = head(&client).await;
    while now == old {
        tokio::time::sleep(Duration::from_millis(10)).await;
        now = head(&client).await;
    }
    assert_eq!(now, new);
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn writes_at_a_replica_are_done_on_the_repository_as_it_is() {
    let github = GitHub::start();
    let replica = github.replica();
    let client = Client::at(&github, &replica);
    let old = github.commit("main", &[("1.md", "one".into())], "One");
    replica.freeze();
    let new = github.commit("main", &[("1.md", "two".into())], "Two");
    // What the replica shows is out of date.
    let shown = client.get("contents/1.md").await.json(200);
    let late = json!({ "message": "x", "content": "YQ==", "sha": shown["sha"] });
    client.put("contents/1.md", late).await.json(409);
    let right = json!({ "message": "x", "content": "YQ==", "sha": blob_sha(b"two") });
    let put = client.put("contents/1.md", right).await.json(200);
    assert_eq!(put["commit"]["parents"][0]["sha"], new);
    assert_eq!(github.file("main", "1.md").unwrap(), "a");
    // One's own writes don't come back before the others.
    let shown = client.get("contents/1.md").await.json(200);
    assert_eq!(shown["sha"], blob_sha(b"one"));
    let blob = client
        .post("git/blobs", json!({ "content": "new" }))
        .await
        .json(201);
    client
        .get(&format!("git/blobs/{}", text(&blob["sha"])))
        .await
        .json(404);
    let behind =
        json!({ "message": "x", "tree": text(&put["commit"]["tree"]["sha"]), "parents": [old] });
    let behind = client.post("git/commits", behind).await.json(201);
    let moved = client
        .patch("git/refs/heads/main", json!({ "sha": behind["sha"] }))
        .await;
    assert_eq!(moved.message(422), "Update is not a fast forward");
    assert_eq!(github.calls("PUT", "/contents"), 2);
}

#[tokio::test]
async fn pull_requests_lag_too() {
    let github = GitHub::start();
    let replica = github.replica();
    let client = Client::at(&github, &replica);
    replica.freeze();
    let open = |head: &str| json!({ "title": "One", "head": head, "base": "main" });
    let base = github.head("main").unwrap();
    for branch in ["x", "y"] {
        github.force_push(branch, Some(&base), &[(&[(branch, "a".into())], "One")]);
        let made = client.post("pulls", open(branch)).await.json(201);
        assert_eq!(made["state"], "open");
    }
    assert_eq!(client.get("pulls").await.json(200), json!([]));
    client.get("pulls/1").await.json(404);
    replica.catch_up();
    assert_eq!(
        client
            .get("pulls")
            .await
            .json(200)
            .as_array()
            .unwrap()
            .len(),
        2
    );
    replica.freeze();
    let head = github.head("x").unwrap();
    github.commit("x", &[("1.md", "two".into())], "Two");
    github.merge_pull(1, Merge::Commit).unwrap();
    github.delete_branch("x");
    github.close_pull(2);
    for number in [1, 2] {
        let pull = client.get(&format!("pulls/{number}")).await.json(200);
        assert_eq!(
            [&pull["state"], &pull["merged"], &pull["merged_at"]],
            [&json!("open"), &json!(false), &Value::Null]
        );
    }
    assert_eq!(client.get("pulls/1").await.json(200)["head"]["sha"], head);
    replica.catch_up();
    let merged = client.get("pulls/1").await.json(200);
    assert_eq!(
        (&merged["merged"], &merged["merge_commit_sha"]),
        (&json!(true), &json!(github.head("main").unwrap()))
    );
    assert_eq!(client.get("pulls/2").await.json(200)["state"], "closed");
    client.get("git/ref/heads/x").await.json(404);
}

#[tokio::test]
async fn a_replica_of_an_empty_repository_is_empty() {
    let github = GitHub::start_with(Setup {
        empty: true,
        ..Setup::default()
    });
    let replica = github.replica();
    let client = Client::at(&github, &replica);
    replica.freeze();
    let first = json!({ "message": "First", "content": "YQ==" });
    client.put("contents/a.md", first).await.json(201);
    let empty = client.get("git/ref/heads/main").await;
    assert_eq!(empty.message(409), "Git Repository is empty.");
    assert_eq!(client.get("branches").await.json(200), json!([]));
    assert_eq!(client.get("activity").await.json(200), json!([]));
    replica.catch_up();
    assert_eq!(head(&client).await, github.head("main").unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stands_before_a_replica() {
    let mirror = Mirror::new();
    let replica = mirror.github.replica();
    let service = mirror.service_at(&replica);
    mirror.commit(&[("0001-Eins.md", Some(&task("Eins")))], "One");
    tick(&service);
    mirror.until_equal(&service).await;
    replica.freeze();
    mirror.commit(&[("0002-Zwei.md", Some(&task("Zwei")))], "Two");
    tick(&service);
    assert_eq!(mirror.in_store().await.len(), 1);
    replica.catch_up();
    tick(&service);
    mirror.until_equal(&service).await;
    assert_eq!(mirror.in_store().await.len(), 2);
}
