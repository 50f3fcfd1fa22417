//! What happened to the branches.

use http::Method;
use serde_json::{Value, json};

use super::{Client, hear, text};
use crate::support::github::{GitHub, Merge, NO_COMMIT};

/// Kind, ref, before and after.
fn told(activities: &Value) -> Vec<[String; 4]> {
    let activities = activities.as_array().unwrap().iter();
    let members = ["activity_type", "ref", "before", "after"];
    activities
        .map(|one| members.map(|name| text(&one[name])))
        .collect()
}

fn one(kind: &str, branch: &str, before: &str, after: &str) -> [String; 4] {
    let reference = format!("refs/heads/{branch}");
    [kind, &reference, before, after].map(str::to_owned)
}

#[tokio::test]
async fn every_move_of_a_branch_is_an_activity() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let begin = github.head("main").unwrap();
    let pushed = github.commit("main", &[("1.md", "a".into())], "One");
    let put = json!({ "message": "Two", "content": "YQ==" });
    let put = client.put("contents/2.md", put).await.json(201);
    let put = text(&put["commit"]["sha"]);
    let forced = json!({ "sha": pushed, "force": true });
    client.patch("git/refs/heads/main", forced).await.json(200);
    let forward = json!({ "sha": put });
    client.patch("git/refs/heads/main", forward).await.json(200);
    github.set_branch("main", &begin);
    // Nothing moves.
    github.set_branch("main", &begin);
    let branch = json!({ "ref": "refs/heads/x/y", "sha": begin });
    client.post("git/refs", branch).await.json(201);
    let tag = json!({ "ref": "refs/tags/v1", "sha": begin });
    client.post("git/refs", tag).await.json(201);
    let ahead = github.commit("x/y", &[("3.md", "c".into())], "Three");
    let pull = json!({ "title": "Three", "head": "x/y", "base": "main" });
    client.post("pulls", pull).await.json(201);
    let merged = github.merge_pull(1, Merge::Squash).unwrap();
    let gone = client.request(Method::DELETE, "git/refs/heads/x/y");
    assert_eq!(hear(gone).await.status, 204);
    let all = client.get("activity?direction=asc").await.json(200);
    assert_eq!(
        told(&all),
        [
            one("branch_creation", "main", NO_COMMIT, &begin),
            one("push", "main", &begin, &pushed),
            one("push", "main", &pushed, &put),
            one("force_push", "main", &put, &pushed),
            one("push", "main", &pushed, &put),
            one("force_push", "main", &put, &begin),
            one("branch_creation", "x/y", NO_COMMIT, &begin),
            one("push", "x/y", &begin, &ahead),
            one("pr_merge", "main", &begin, &merged),
            one("branch_deletion", "x/y", &ahead, NO_COMMIT),
        ]
    );
    let newest = client.get("activity").await.json(200);
    let mut newest = told(&newest);
    newest.reverse();
    assert_eq!(newest, told(&all));
    // A deleted branch has its activities still.
    for name in ["x/y", "refs/heads/x/y"] {
        let found = client.get(&format!("activity?ref={name}")).await.json(200);
        let kinds: Vec<String> = told(&found).into_iter().map(|[kind, ..]| kind).collect();
        assert_eq!(kinds, ["branch_deletion", "push", "branch_creation"]);
    }
    let count = async |query: &str| {
        let found = client.get(&format!("activity?{query}")).await.json(200);
        found.as_array().unwrap().len()
    };
    assert_eq!(count("activity_type=force_push&ref=main").await, 2);
    assert_eq!(count("activity_type=merge_queue_merge").await, 0);
    assert_eq!(count("ref=no").await, 0);
    assert_eq!(count("ref=refs/tags/v1").await, 0);
}

#[tokio::test]
async fn activities_name_who_and_when() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    github.add_user("Berta", 1_002);
    github.advance(std::time::Duration::from_secs(3 * 24 * 3_600));
    github.commit_by("berta", "main", &[("1.md", "b".into())], "One");
    let found = async |query: &str| {
        let found = client.get(&format!("activity?{query}")).await.json(200);
        let logins: Vec<String> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|one| text(&one["actor"]["login"]))
            .collect();
        logins
    };
    assert_eq!(found("").await, ["Berta", "anna"]);
    assert_eq!(found("actor=anna").await, ["anna"]);
    assert_eq!(found("actor=nobody").await, [""; 0]);
    assert_eq!(found("time_period=day").await, ["Berta"]);
    assert_eq!(found("time_period=week").await, ["Berta", "anna"]);
}

#[tokio::test]
async fn activities_come_in_pages_with_cursors() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    for n in 0..6 {
        github.commit("main", &[("1.md", format!("{n}").into())], "More");
    }
    github.commit("x", &[("1.md", "x".into())], "Another branch");
    // A page, and where its links lead.
    let page = async |path: &str| {
        let heard = client.get(path).await;
        let ids = heard.json(200);
        let ids = ids.as_array().unwrap().iter();
        let ids: Vec<u64> = ids.map(|one| one["id"].as_u64().unwrap()).collect();
        let links = ["next", "prev"].map(|relation| {
            let mut links = heard.header("link").split(", ");
            let end = format!("; rel=\"{relation}\"");
            let link = links.find_map(|link| link.strip_suffix(&end))?;
            let address = link.trim_matches(['<', '>']);
            Some(address.strip_prefix(&github.api("")).unwrap().to_owned())
        });
        (ids, links)
    };
    let (ids, [next, prev]) = page("activity?ref=main&per_page=3").await;
    assert_eq!((ids, prev), (vec![7, 6, 5], None));
    // What comes meanwhile moves no page.
    github.commit("main", &[("1.md", "new".into())], "New");
    let (ids, [next, prev]) = page(&next.unwrap()).await;
    assert_eq!(ids, [4, 3, 2]);
    let (ids, _) = page(&prev.unwrap()).await;
    assert_eq!(ids, [7, 6, 5]);
    let (ids, [next, _]) = page(&next.unwrap()).await;
    assert_eq!((ids, next), (vec![1], None));
    let (ids, [next, _]) = page("activity?direction=asc&per_page=2").await;
    assert_eq!(ids, [1, 2]);
    let (ids, _) = page(&next.unwrap()).await;
    assert_eq!(ids, [3, 4]);
}
