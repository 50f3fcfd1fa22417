//! Pull requests.

use serde_json::{Value, json};

use super::Client;
use crate::support::github::{GitHub, Merge};

fn open(head: &str) -> Value {
    json!({ "title": "Add task 0001", "head": head, "base": "main", "body": "Please." })
}

#[tokio::test]
async fn a_pull_request_is_opened_once_and_found_by_its_branch() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let head = github.head("main").unwrap();
    github.set_branch("codex/0001", &head);
    let none = client.post("pulls", open("codex/0001")).await.json(422);
    assert_eq!(
        none["errors"][0]["message"],
        "No commits between main and codex/0001"
    );
    let missing = client.post("pulls", open("no")).await.json(422);
    assert_eq!(missing["errors"][0]["field"], "head");
    let sha = github.commit("codex/0001", &[("1.md", "a".into())], "One");
    let made = client
        .post("pulls", open("anna:codex/0001"))
        .await
        .json(201);
    assert_eq!(
        (&made["number"], &made["head"]["sha"]),
        (&json!(1), &json!(sha))
    );
    let again = client.post("pulls", open("codex/0001")).await.json(422);
    let message = "A pull request already exists for anna:codex/0001.";
    assert_eq!(again["errors"][0]["message"], message);
    let found = async |query: &str| {
        let found = client.get(&format!("pulls?{query}")).await.json(200);
        found.as_array().unwrap().len()
    };
    assert_eq!(found("head=anna:codex/0001&state=open").await, 1);
    assert_eq!(found("head=anna:codex/0002").await, 0);
    assert_eq!(found("state=closed").await, 0);
    // Without an owner the filter does nothing.
    assert_eq!(found("head=codex/0002").await, 1);
    let renamed = client
        .patch("pulls/1", json!({ "title": "Another", "body": "b" }))
        .await;
    assert_eq!(renamed.json(200)["title"], "Another");
}

#[tokio::test]
async fn a_pull_request_follows_its_branch_and_is_merged() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let head = github.head("main").unwrap();
    for (number, how) in [(1, Merge::Commit), (2, Merge::Squash)] {
        let branch = format!("codex/{number}");
        let path = format!("{number}.md");
        github.force_push(&branch, Some(&head), &[(&[(&path, "a".into())], "One")]);
        client.post("pulls", open(&branch)).await.json(201);
        let sha = github.commit(&branch, &[(&path, "b".into())], "Two");
        let pull = client.get(&format!("pulls/{number}")).await.json(200);
        assert_eq!(
            (&pull["head"]["sha"], &pull["commits"]),
            (&json!(sha), &json!(2))
        );
        assert_eq!(pull["mergeable"], true);
        let merged = github.merge_pull(number, how).unwrap();
        assert_eq!(github.head("main").unwrap(), merged);
        assert_eq!(github.file("main", &path).unwrap(), "b");
        let pull = client.get(&format!("pulls/{number}")).await.json(200);
        assert_eq!(
            (&pull["state"], &pull["merged"]),
            (&json!("closed"), &json!(true))
        );
        assert_eq!(pull["merge_commit_sha"], merged);
    }
    let parents: Vec<usize> = github
        .log("main")
        .iter()
        .map(|one| one.parents.len())
        .collect();
    assert_eq!(parents[..2], [1, 2]);
    assert_eq!(
        client.get("pulls?state=all&per_page=1").await.json(200)[0]["number"],
        2
    );
}

#[tokio::test]
async fn a_pull_request_ends_unmerged() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    for branch in ["a", "b", "c", "d"] {
        let head = github.log("main").pop().unwrap().sha;
        github.force_push(branch, Some(&head), &[(&[("1.md", branch.into())], "One")]);
        client.post("pulls", open(branch)).await.json(201);
    }
    github.close_pull(1);
    github.delete_branch("b");
    github.set_branch("main", &github.head("c").unwrap());
    assert_eq!(github.merge_pull(4, Merge::Commit), None);
    let states: Vec<_> = github
        .pulls()
        .iter()
        .map(|pull| (pull.open, pull.merged))
        .collect();
    assert_eq!(
        states,
        [(false, false), (false, false), (false, true), (true, false)]
    );
    let dirty = client.get("pulls/4").await.json(200);
    assert_eq!(dirty["mergeable_state"], "dirty");
}
