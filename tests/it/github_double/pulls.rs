//! Pull requests.

use serde_json::{Value, json};

use super::{Client, text};
use crate::support::github::{Change, GitHub, Merge};

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
    for (number, how) in [(1, Merge::Commit), (2, Merge::Squash), (3, Merge::Rebase)] {
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
    // The last two are the rebased ones, the one before them is squashed.
    assert_eq!(parents[..4], [1, 1, 1, 2]);
    assert_eq!(
        client.get("pulls?state=all&per_page=1").await.json(200)[0]["number"],
        3
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

/// A branch from `main`'s beginning with one commit, and a pull request for it.
async fn opened(github: &GitHub, client: &Client, branch: &str, path: &str) -> String {
    let root = github.log("main").pop().unwrap().sha;
    let changes: [(&str, Change); 1] = [(path, branch.into())];
    let made = github.force_push(branch, Some(&root), &[(&changes, branch)]);
    client.post("pulls", open(branch)).await.json(201);
    made[0].clone()
}

#[tokio::test]
async fn a_rebase_makes_every_commit_anew() {
    let github = GitHub::start();
    github.add_user("berta", 1_002);
    let client = Client::owner(&github);
    let first = opened(&github, &client, "x", "1.md").await;
    // A reviewer adds to it.
    let second = github.commit_by("berta", "x", &[("2.md", "b".into())], "Two");
    let pull = client.get("pulls/1").await.json(200);
    assert_eq!(
        (&pull["head"]["sha"], &pull["commits"]),
        (&json!(second), &json!(2))
    );
    let base = github.commit("main", &[("3.md", "c".into())], "Three");
    let merged = github.merge_pull(1, Merge::Rebase).unwrap();
    let log = github.log("main");
    let messages: Vec<&str> = log.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, ["Two", "x", "Three", "Begin"]);
    assert_eq!(
        (&log[0].sha, &log[1].parents),
        (&merged, &vec![base.clone()])
    );
    assert_ne!(log[1].sha, first);
    assert_eq!(log[0].author.name, "berta");
    assert_eq!(log[0].committer.email, "1001+anna@users.noreply.github.com");
    let pull = client.get("pulls/1").await.json(200);
    assert_eq!(pull["merge_commit_sha"], merged);
    assert_eq!(
        (&pull["head"]["ref"], &pull["head"]["sha"]),
        (&json!("x"), &json!(second))
    );
    assert!(pull["merged_at"].is_string());
    github.check();
}

#[tokio::test]
async fn a_rebase_stops_at_a_conflict() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    opened(&github, &client, "x", "1.md").await;
    github.commit("x", &[("1.md", "x again".into())], "Again");
    let base = github.commit("main", &[("1.md", "c".into())], "Conflict");
    assert_eq!(github.merge_pull(1, Merge::Rebase), None);
    assert_eq!(github.head("main").unwrap(), base);
    assert!(github.pulls()[0].open);
}

/// GitHub says so: "Before merging a pull request, the `merge_commit_sha` attribute holds the SHA of the
/// test merge commit."
#[tokio::test]
async fn an_open_pull_request_names_its_test_merge() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    opened(&github, &client, "x", "1.md").await;
    let pull = client.get("pulls/1").await.json(200);
    assert_eq!(
        (&pull["merged"], &pull["merged_at"]),
        (&json!(false), &Value::Null)
    );
    let tested = text(&pull["merge_commit_sha"]);
    let commit = client.get(&format!("git/commits/{tested}")).await.json(200);
    assert_eq!(commit["parents"][1]["sha"], pull["head"]["sha"]);
    assert_eq!(github.log("main").len(), 1);
    let listed = client.get("pulls").await.json(200);
    assert_eq!(listed[0]["merge_commit_sha"], tested);
    let merged = github.merge_pull(1, Merge::Squash).unwrap();
    assert_ne!(merged, tested);
}

#[tokio::test]
async fn a_pull_request_ends_with_its_branch_and_is_opened_again() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let sha = opened(&github, &client, "x", "1.md").await;
    github.delete_branch("x");
    let gone = client.get("pulls/1").await.json(200);
    assert_eq!(
        [
            &gone["state"],
            &gone["merged"],
            &gone["head"]["ref"],
            &gone["head"]["sha"]
        ],
        [&json!("closed"), &json!(false), &json!("x"), &json!(sha)]
    );
    assert!(!github.reopen_pull(1));
    let reopen = json!({ "state": "open" });
    let refused = client.patch("pulls/1", reopen.clone()).await.json(422);
    assert_eq!(
        refused["errors"][0]["message"],
        "state cannot be changed. The x branch has been deleted."
    );
    github.set_branch("x", &sha);
    // What was pushed meanwhile belongs to it.
    let more = github.commit("x", &[("2.md", "b".into())], "Two");
    assert_eq!(github.pulls()[0].head_sha, sha);
    assert!(github.reopen_pull(1));
    let again = client.get("pulls/1").await.json(200);
    assert_eq!(
        [&again["state"], &again["closed_at"], &again["head"]["sha"]],
        [&json!("open"), &Value::Null, &json!(more)]
    );
    let closed = client.patch("pulls/1", json!({ "state": "closed" })).await;
    assert_eq!(closed.json(200)["state"], "closed");
    let root = github.log("main").pop().unwrap().sha;
    github.force_push("x", Some(&root), &[(&[("1.md", "y".into())], "Other")]);
    let refused = client.patch("pulls/1", reopen.clone()).await.json(422);
    assert_eq!(
        refused["errors"][0]["message"],
        "state cannot be changed. The x branch was force-pushed or recreated."
    );
    client.post("pulls", open("x")).await.json(201);
    github.set_branch("x", &more);
    assert!(!github.reopen_pull(1), "another one is open");
    github.merge_pull(2, Merge::Commit).unwrap();
    client.patch("pulls/2", reopen).await.json(422);
}

#[tokio::test]
async fn a_renamed_branch_takes_its_pull_requests_along_as_a_base_only() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let sha = opened(&github, &client, "x", "1.md").await;
    opened(&github, &client, "y", "2.md").await;
    github.rename_branch("x", "z");
    github.rename_branch("main", "trunk");
    assert_eq!(github.branches(), ["trunk", "y", "z"]);
    let head = client.get("pulls/1").await.json(200);
    assert_eq!(
        [
            &head["state"],
            &head["merged"],
            &head["head"]["ref"],
            &head["head"]["sha"]
        ],
        [&json!("closed"), &json!(false), &json!("x"), &json!(sha)]
    );
    let base = client.get("pulls/2").await.json(200);
    assert_eq!(
        (&base["state"], &base["base"]["ref"]),
        (&json!("open"), &json!("trunk"))
    );
    assert_eq!(client.get("").await.json(200)["default_branch"], "trunk");
}
