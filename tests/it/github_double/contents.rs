//! Files by path.

use http::Method;
use serde_json::json;

use super::{Client, hear, text};
use crate::support::github::{Change, GitHub, blob_sha};

#[tokio::test]
async fn a_file_is_created_and_updated_with_a_commit_each() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let bot = json!({ "name": "Codex Miroir Bot", "email": "bot@example.com" });
    let create = json!({
        "message": "[codex] add task 0001", "content": "b25l", "branch": "main",
        "committer": bot, "author": bot,
    });
    let made = client
        .put("contents/a/tasks/0001-x.md", create)
        .await
        .json(201);
    assert_eq!(made["content"]["sha"], blob_sha(b"one"));
    let update = json!({ "message": "Two", "content": "dHdv", "sha": blob_sha(b"one") });
    let made = client
        .put("contents/a/tasks/0001-x.md", update)
        .await
        .json(200);
    let log = github.log("main");
    assert_eq!(text(&made["commit"]["sha"]), log[0].sha);
    assert_eq!(log[0].author.email, "1001+anna@users.noreply.github.com");
    assert_eq!(log[1].author.name, "Codex Miroir Bot");
    assert_eq!(log[1].committer, log[1].author);
    assert_eq!(log[0].parents, [log[1].sha.clone()]);
    assert_eq!(github.files("main").len(), 2);
    github.check();
}

#[tokio::test]
async fn the_sha_of_what_stands_there_is_asked_for() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    github.commit("main", &[("a b.md", "one".into())], "One");
    let put = async |body| client.put("contents/a%20b.md", body).await;
    let without = put(json!({ "message": "x", "content": "dHdv" })).await;
    assert_eq!(
        without.message(422),
        "Invalid request.\n\n\"sha\" wasn't supplied."
    );
    let stale = blob_sha(b"zero");
    let late = put(json!({ "message": "x", "content": "dHdv", "sha": stale })).await;
    assert_eq!(late.message(409), format!("a b.md does not match {stale}"));
    let nowhere = json!({ "message": "x", "content": "dHdv", "sha": stale, "branch": "no" });
    assert_eq!(put(nowhere).await.message(404), "Branch no not found");
    put(json!({ "message": "x", "content": "§", "sha": blob_sha(b"one") }))
        .await
        .json(422);
    // Where nothing stands, GitHub makes the file and doesn't look at the SHA.
    let gone = json!({ "message": "x", "content": "dHdv", "sha": stale });
    client.put("contents/new.md", gone).await.json(201);
    let up = json!({ "message": "x", "content": "dHdv" });
    let up = client.put("contents/.git/config", up).await.message(422);
    assert_eq!(up, "path contains a malformed path component");
    assert_eq!(github.file("main", "a b.md").unwrap(), "one");
}

#[tokio::test]
async fn a_path_is_a_file_a_folder_a_link_or_a_submodule() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let changes: [(&str, Change); 5] = [
        ("t/ü #1.md", "one".into()),
        ("t/good", Change::Link("ü #1.md".to_owned())),
        ("t/bad", Change::Link("/etc/passwd".to_owned())),
        ("t/sub", Change::Submodule("2".repeat(40))),
        ("t/big.bin", vec![0; 1024 * 1024 + 1].into()),
    ];
    let sha = github.commit("main", &changes, "Add");
    let file = client
        .get(&format!("contents/t/%C3%BC%20%231.md?ref={sha}"))
        .await
        .json(200);
    assert_eq!(
        (&file["type"], &file["content"]),
        (&json!("file"), &json!("b25l\n"))
    );
    let folder = client.get("contents/t").await.json(200);
    let kinds: Vec<String> = folder
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(&one["type"]))
        .collect();
    assert_eq!(kinds, ["symlink", "file", "symlink", "submodule", "file"]);
    assert_eq!(
        client.get("contents/t/good").await.json(200)["content"],
        "b25l\n"
    );
    assert_eq!(
        client.get("contents/t/bad").await.json(200)["target"],
        "/etc/passwd"
    );
    assert_eq!(
        client.get("contents/t/sub").await.json(200)["type"],
        "submodule"
    );
    assert_eq!(
        client.get("contents/t/big.bin").await.json(200)["encoding"],
        "none"
    );
    client.get("contents/t/no").await.json(404);
    let no = client.get("contents/t?ref=no").await.message(404);
    assert_eq!(no, "No commit found for the ref no");
    let raw = client.request(Method::GET, "contents/t/big.bin");
    let raw = hear(raw.header("accept", "application/vnd.github.raw+json")).await;
    assert_eq!(raw.body.len(), 1024 * 1024 + 1);
}

#[tokio::test]
async fn an_executable_file_stays_executable() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let script = Change::Executable(b"one".to_vec());
    github.commit("main", &[("t/run.sh", script)], "Add");
    let update = json!({ "message": "Two", "content": "dHdv", "sha": blob_sha(b"one") });
    client.put("contents/t/run.sh", update).await.json(200);
    let create = json!({ "message": "New", "content": "b25l" });
    client.put("contents/t/new.sh", create).await.json(201);
    let mode = async |path: &str| {
        let tree = client.get("git/trees/main?recursive=1").await.json(200);
        let mut entries = tree["tree"].as_array().unwrap().iter();
        let entry = entries.find(|entry| entry["path"] == path).unwrap();
        text(&entry["mode"])
    };
    assert_eq!(github.file("main", "t/run.sh").unwrap(), "two");
    assert_eq!(mode("t/run.sh").await, "100755");
    assert_eq!(mode("t/new.sh").await, "100644");
    // A tree has the modes that the request gives, whatever stood there.
    let head = github.head("main").unwrap();
    let tree = json!({ "base_tree": head, "tree": [
        { "path": "t/run.sh", "mode": "100644", "type": "blob", "content": "three" },
        { "path": "t/new.sh", "mode": "100755", "type": "blob", "sha": blob_sha(b"one") },
    ]});
    let tree = client.post("git/trees", tree).await.json(201);
    let commit = json!({ "message": "Modes", "tree": tree["sha"], "parents": [head] });
    let commit = client.post("git/commits", commit).await.json(201);
    let moved = json!({ "sha": commit["sha"] });
    client.patch("git/refs/heads/main", moved).await.json(200);
    assert_eq!(mode("t/run.sh").await, "100644");
    assert_eq!(mode("t/new.sh").await, "100755");
    github.check();
}

#[tokio::test]
async fn three_thousand_files_are_one_commit() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let names: Vec<String> = (0..3_000).map(|n| format!("a/tasks/{n:04}-x.md")).collect();
    let changes: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), name.clone().into()))
        .collect();
    github.commit("main", &changes, "Many");
    let tree = client.get("git/trees/main?recursive=1").await.json(200);
    assert_eq!(tree["tree"].as_array().unwrap().len(), 3_003);
    assert_eq!(github.files("main").len(), 3_001);
}
