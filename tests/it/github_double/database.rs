//! Refs, commits, trees and blobs.

use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use super::{Client, text};
use crate::support::github::{Change, GitHub, Setup, blob_sha};

/// Paths and SHAs of a tree.
fn entries(tree: &Value) -> Vec<(String, String)> {
    let entries = tree["tree"].as_array().unwrap().iter();
    entries
        .map(|entry| (text(&entry["path"]), text(&entry["sha"])))
        .collect()
}

/// What git says about the hub's repository.
fn git(github: &GitHub, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(github.git_dir())
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn shas_and_trees_are_gits() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let changes: [(&str, Change); 5] = [
        ("a/b/c.md", "hello\n".into()),
        ("a.md", "dot sorts before slash".into()),
        ("a/run.sh", Change::Executable(b"#!/bin/sh\n".to_vec())),
        ("link", Change::Link("a.md".to_owned())),
        ("other", Change::Submodule("1".repeat(40))),
    ];
    let sha = github.commit("main", &changes, "Add");
    let reference = client.get("git/ref/heads/main").await.json(200);
    assert_eq!(reference["object"]["sha"], sha);
    assert_eq!(sha, git(&github, &["rev-parse", "main"]));
    let commit = client.get(&format!("git/commits/{sha}")).await.json(200);
    assert_eq!(commit["message"], "Add");
    let tree = text(&commit["tree"]["sha"]);
    for name in [tree.as_str(), sha.as_str(), "main"] {
        let path = format!("git/trees/{name}?recursive=1");
        let listed = client.get(&path).await.json(200);
        let gits = git(
            &github,
            &[
                "ls-tree",
                "-r",
                "-t",
                "--format=%(path) %(objectname)",
                &sha,
            ],
        );
        let ours: Vec<String> = entries(&listed)
            .iter()
            .map(|(path, sha)| format!("{path} {sha}"))
            .collect();
        assert_eq!(ours.join("\n"), gits);
        assert_eq!(listed["truncated"], false);
        assert_eq!(listed["sha"], tree);
    }
    let top = client.get(&format!("git/trees/{tree}")).await.json(200);
    assert_eq!(top["tree"].as_array().unwrap().len(), 5);
    assert_eq!(
        blob_sha(b"hello\n"),
        git(&github, &["rev-parse", "main:a/b/c.md"])
    );
    github.check();
}

#[tokio::test]
async fn what_is_not_there_is_a_404_and_no_sha_a_422() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let none = "0".repeat(39) + "1";
    for path in [
        "git/ref/heads/no",
        "git/ref/heads/main~1",
        "git/trees/no",
        "pulls/7",
    ] {
        assert_eq!(client.get(path).await.message(404), "Not Found");
    }
    for kind in ["commits", "blobs", "trees"] {
        client.get(&format!("git/{kind}/{none}")).await.json(404);
    }
    let wrong = client.get("git/blobs/main").await.message(422);
    assert!(wrong.starts_with("The sha parameter"), "{wrong}");
}

#[tokio::test]
async fn a_blob_is_base64_in_lines_or_raw() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let bytes = vec![7; 100];
    github.commit("main", &[("a.bin", bytes.clone().into())], "Add");
    let path = format!("git/blobs/{}", blob_sha(&bytes));
    let blob = client.get(&path).await.json(200);
    let content = text(&blob["content"]);
    assert_eq!(content.lines().next().unwrap().len(), 60);
    assert!(content.ends_with("==\n"));
    assert_eq!(blob["size"], 100);
    let raw = client.request(Method::GET, &path);
    let raw = super::hear(raw.header("accept", "application/vnd.github.raw+json")).await;
    assert_eq!(raw.body, bytes);
}

#[tokio::test]
async fn a_long_tree_is_cut_off() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let names: Vec<String> = (0..9).map(|n| format!("d/{n}.md")).collect();
    let changes: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "x".into()))
        .collect();
    github.commit("main", &changes, "Nine");
    github.set_tree_limit(5);
    let tree = client.get("git/trees/main?recursive=1").await.json(200);
    assert_eq!(tree["truncated"], true);
    let paths: Vec<String> = entries(&tree).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["README.md", "d", "d/0.md", "d/1.md", "d/2.md"]);
    let whole = client.get("git/trees/main").await.json(200);
    assert_eq!(whole["truncated"], false);
}

#[tokio::test]
async fn one_commit_of_many_files_by_the_database() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let old = github.commit("main", &[("t/1.md", "one".into())], "One");
    let base = client.get(&format!("git/commits/{old}")).await.json(200);
    let blob = client
        .post(
            "git/blobs",
            json!({ "content": "dHdv", "encoding": "base64" }),
        )
        .await;
    assert!(blob.header("location").ends_with(&blob_sha(b"two")));
    let tree = json!({ "base_tree": base["tree"]["sha"], "tree": [
        { "path": "t/2.md", "mode": "100644", "type": "blob", "sha": blob.json(201)["sha"] },
        { "path": "t/3.md", "mode": "100644", "type": "blob", "content": "three" },
        { "path": "t/1.md", "mode": "100644", "type": "blob", "sha": null },
    ]});
    let tree = client.post("git/trees", tree).await.json(201);
    let by = json!({ "name": "Bot", "email": "bot@example.com", "date": "2026-01-02T03:04:05Z" });
    let commit = json!({
        "message": "Two and three", "tree": tree["sha"], "parents": [old], "author": by,
    });
    let commit = client.post("git/commits", commit).await.json(201);
    assert_eq!(github.head("main").unwrap(), old);
    let moved = json!({ "sha": commit["sha"] });
    client
        .patch("git/refs/heads/main", moved.clone())
        .await
        .json(200);
    assert_eq!(github.file("main", "t/3.md").unwrap(), "three");
    assert_eq!(github.file("main", "t/1.md"), None);
    let log = github.log("main");
    assert_eq!(log[0].author.name, "Bot");
    assert_eq!(log[0].committer.email, "bot@example.com");
    assert_eq!(log[0].author.at.to_rfc3339(), "2026-01-02T03:04:05+00:00");
    assert_eq!(log[0].changes["t/2.md"], Some(blob_sha(b"two")));
    assert_eq!(log[0].changes["t/1.md"], None);
    assert!(github.blob_in_history("t/1.md", b"one"));
    assert!(!github.blob_in_history("t/1.md", b"two"));
    github.check();
    // A second writer from the old commit loses, unless it insists.
    let other = json!({ "message": "Late", "tree": base["tree"]["sha"], "parents": [old] });
    let other = client.post("git/commits", other).await.json(201);
    let late = client
        .patch("git/refs/heads/main", json!({ "sha": other["sha"] }))
        .await;
    assert_eq!(late.message(422), "Update is not a fast forward");
    let forced = json!({ "sha": other["sha"], "force": true });
    client.patch("git/refs/heads/main", forced).await.json(200);
    assert_eq!(github.head("main").unwrap(), text(&other["sha"]));
}

#[tokio::test]
async fn the_database_refuses_what_fits_nothing() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let head = github.head("main").unwrap();
    let refused = async |path: &str, body: Value| client.post(path, body).await.message(422);
    let gone = json!([{ "path": "no.md", "mode": "100644", "type": "blob", "sha": null }]);
    let gone = json!({ "base_tree": head, "tree": gone });
    assert_eq!(refused("git/trees", gone).await, "GitRPC::BadObjectState");
    let up = json!({ "tree": [{ "path": "../a", "mode": "100644", "content": "x" }] });
    let up = refused("git/trees", up).await;
    assert_eq!(up, "tree.path contains a malformed path component");
    let unknown = json!({ "message": "x", "tree": "1".repeat(40), "parents": [head] });
    assert_eq!(
        refused("git/commits", unknown).await,
        "Tree SHA does not exist"
    );
    let again = json!({ "ref": "refs/heads/main", "sha": head });
    assert_eq!(refused("git/refs", again).await, "Reference already exists");
    let nothing = json!({ "ref": "refs/heads/x", "sha": "1".repeat(40) });
    assert_eq!(refused("git/refs", nothing).await, "Object does not exist");
    let missing = refused("git/refs", json!({ "ref": "refs/heads/x" })).await;
    assert_eq!(missing, "Invalid request.\n\n\"sha\" wasn't supplied.");
    let no = client
        .patch("git/refs/heads/no", json!({ "sha": head }))
        .await;
    assert_eq!(no.message(422), "Reference does not exist");
}

#[tokio::test]
async fn branches_are_made_compared_and_deleted() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let head = github.head("main").unwrap();
    let made = json!({ "ref": "refs/heads/codex/anna/0001", "sha": head });
    let made = client.post("git/refs", made).await.json(201);
    assert_eq!(made["ref"], "refs/heads/codex/anna/0001");
    github.push(
        "codex/anna/0001",
        &[
            (&[("1.md", "a".into())], "One"),
            (&[("1.md", "b".into())], "Two"),
        ],
    );
    github.commit("main", &[("2.md", "c".into())], "Three");
    let compared = client.get("compare/main...codex/anna/0001").await.json(200);
    assert_eq!(compared["status"], "diverged");
    assert_eq!(
        (&compared["ahead_by"], &compared["behind_by"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(compared["merge_base_commit"]["sha"], head);
    assert_eq!(compared["files"][0]["filename"], "1.md");
    assert_eq!(compared["commits"][1]["commit"]["message"], "Two");
    client.get("compare/main...no").await.json(404);
    let odd = json!({ "ref": "refs/heads/ä-b", "sha": head });
    let odd = client.post("git/refs", odd).await;
    assert!(odd.header("location").ends_with("heads/%C3%A4-b"));
    github.delete_branch("ä-b");
    let gone = client.request(Method::DELETE, "git/refs/heads/codex/anna/0001");
    assert_eq!(super::hear(gone).await.status, 204);
    assert_eq!(github.branches(), ["main"]);
}

#[tokio::test]
async fn an_empty_repository_says_so() {
    let github = GitHub::start_with(Setup {
        empty: true,
        ..Setup::default()
    });
    let client = Client::owner(&github);
    for path in ["git/ref/heads/main", "git/trees/main"] {
        assert_eq!(
            client.get(path).await.message(409),
            "Git Repository is empty."
        );
    }
    let first = json!({ "message": "First", "content": "YQ==" });
    client.put("contents/a.md", first).await.json(201);
    assert_eq!(github.log("main").len(), 1);
}

#[tokio::test]
async fn names_that_git_refuses_come_through() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    github.commit("main", &[("a/tasks/1.md", "x".into())], "One");
    let odd: [(&[u8], &[u8]); 3] = [(b"..", b"up"), (b"a/b", b"slash"), (b"\xff", b"byte")];
    github.commit_odd_names("main", "a/tasks", &odd, "Odd");
    let tree = client.get("git/trees/main?recursive=1").await.json(200);
    let paths: Vec<String> = entries(&tree).into_iter().map(|(path, _)| path).collect();
    for path in [
        "a/tasks/..",
        "a/tasks/a/b",
        "a/tasks/\u{fffd}",
        "a/tasks/1.md",
    ] {
        assert!(paths.iter().any(|found| found == path), "{paths:?}");
    }
}
