//! What lies between two commits.

use serde_json::{Value, json};

use super::{Client, text};
use crate::support::github::{Change, GitHub};

/// As many commits on `main`, in one push; where it was before.
fn commits(github: &GitHub, count: usize) -> String {
    let base = github.head("main").unwrap();
    let told: Vec<([(&str, Change); 1], String)> = (1..=count)
        .map(|n| ([("1.md", format!("{n}").into())], format!("Number {n}")))
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(changes, message)| (changes.as_slice(), message.as_str()))
        .collect();
    github.push("main", &told);
    base
}

fn messages(compared: &Value) -> Vec<String> {
    let commits = compared["commits"].as_array().unwrap().iter();
    commits.map(|one| text(&one["commit"]["message"])).collect()
}

#[tokio::test]
async fn a_comparison_comes_in_pages_with_the_files_on_the_first() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let base = commits(&github, 5);
    let ends = format!("compare/{base}...main");
    let first = client.get(&format!("{ends}?per_page=2")).await;
    let link = first.header("link");
    assert!(link.contains("page=2>; rel=\"next\""), "{link}");
    assert!(link.contains("page=3>; rel=\"last\""), "{link}");
    let first = first.json(200);
    assert_eq!(messages(&first), ["Number 1", "Number 2"]);
    assert_eq!(first["files"][0]["filename"], "1.md");
    let last = client.get(&format!("{ends}?per_page=2&page=3")).await;
    let link = last.header("link");
    assert!(link.contains("page=2>; rel=\"prev\""), "{link}");
    assert!(!link.contains("next"), "{link}");
    let last = last.json(200);
    assert_eq!(messages(&last), ["Number 5"]);
    assert_eq!(last.get("files"), None);
    for compared in [first, last] {
        let counts = ["status", "ahead_by", "behind_by", "total_commits"];
        assert_eq!(
            counts.map(|name| &compared[name]),
            [&json!("ahead"), &json!(5), &json!(0), &json!(5)]
        );
        assert_eq!(compared["merge_base_commit"]["sha"], base);
    }
    let beyond = client.get(&format!("{ends}?per_page=2&page=9")).await;
    assert_eq!(messages(&beyond.json(200)), [""; 0]);
    let at_once = client.get(&ends).await;
    assert_eq!(at_once.header("link"), "");
    assert_eq!(messages(&at_once.json(200)).len(), 5);
    let behind = client.get(&format!("compare/main...{base}?page=1")).await;
    let behind = behind.json(200);
    assert_eq!(
        (&behind["status"], &behind["behind_by"]),
        (&json!("behind"), &json!(5))
    );
    let unknown = "1".repeat(40);
    client
        .get(&format!("compare/{base}...{unknown}"))
        .await
        .json(404);
    client
        .get(&format!("compare/{unknown}...{base}"))
        .await
        .json(404);
}

#[tokio::test]
async fn a_long_comparison_without_pages_ends_with_the_newest_commit() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let base = commits(&github, 251);
    let compared = client
        .get(&format!("compare/{base}...main"))
        .await
        .json(200);
    let listed = messages(&compared);
    assert_eq!(
        (listed.len(), compared["total_commits"].as_u64()),
        (250, Some(251))
    );
    assert_eq!(
        (listed[0].as_str(), listed[249].as_str()),
        ("Number 2", "Number 251")
    );
    let page = client
        .get(&format!("compare/{base}...main?per_page=500"))
        .await;
    let page = messages(&page.json(200));
    assert_eq!((page.len(), page[0].as_str()), (100, "Number 1"));
}
