//! Who may ask, and how often.

use std::time::Duration;

use serde_json::json;

use super::{Client, hear};
use crate::support::github::{GitHub, Setup};

#[tokio::test]
async fn strangers_see_no_private_repository() {
    let github = GitHub::start();
    github.add_user("berta", 1_002);
    let berta = Client::with(&github, &github.personal_token("berta"));
    for stranger in [&berta, &Client::nobody(&github)] {
        assert_eq!(
            stranger.get("git/ref/heads/main").await.message(404),
            "Not Found"
        );
    }
    let liar = Client::with(&github, "ghp_nobodys");
    assert_eq!(
        liar.get("git/ref/heads/main").await.message(401),
        "Bad credentials"
    );
    assert_eq!(liar.get("/user").await.message(401), "Bad credentials");
    assert_eq!(
        Client::nobody(&github).get("/user").await.message(401),
        "Requires authentication"
    );
    github.add_collaborator("berta");
    berta.get("git/ref/heads/main").await.json(200);
    let rude = Client::owner(&github);
    let rude = rude.http.get(format!("{}/user", github.url()));
    assert_eq!(hear(rude).await.status, 403);
}

#[tokio::test]
async fn everybody_reads_a_public_repository_and_members_write() {
    let github = GitHub::start_with(Setup {
        private: false,
        ..Setup::default()
    });
    github.add_user("berta", 1_002);
    let berta = Client::with(&github, &github.personal_token("berta"));
    assert_eq!(
        Client::nobody(&github).get("").await.json(200)["visibility"],
        "public"
    );
    let file = json!({ "message": "x", "content": "" });
    berta.put("contents/a.md", file.clone()).await.json(403);
    Client::nobody(&github)
        .put("contents/a.md", file)
        .await
        .json(401);
}

#[tokio::test]
async fn a_token_is_somebody_until_it_is_revoked() {
    let github = GitHub::start();
    github.add_user("Berta", 1_002);
    let token = github.personal_token("berta");
    let berta = Client::with(&github, &token);
    let user = berta.get("/user").await.json(200);
    assert_eq!(
        (&user["login"], &user["id"]),
        (&json!("Berta"), &json!(1_002))
    );
    github.reassign_login("Berta", 2_002);
    assert_eq!(berta.get("/user").await.json(200)["login"], "Berta-before");
    let new = Client::with(&github, &github.personal_token("berta"));
    assert_eq!(new.get("/user").await.json(200)["id"], 2_002);
    github.revoke(&token);
    berta.get("/user").await.json(401);
}

#[tokio::test]
async fn a_known_answer_is_free() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    let first = client.get("git/ref/heads/main").await;
    let left = |heard: &super::Heard| heard.header("x-ratelimit-remaining").to_owned();
    assert_eq!(left(&first), "4999");
    assert!(!first.header("x-github-request-id").is_empty());
    let tag = first.header("etag");
    let again = client.get_unless("git/ref/heads/main", tag).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(left(&again), "4999");
    github.commit("main", &[("a.md", "x".into())], "Move");
    let moved = client.get_unless("git/ref/heads/main", tag).await;
    assert_eq!(moved.status, 200);
    assert_eq!(left(&moved), "4998");
    let asked = client.get("/rate_limit").await;
    assert_eq!(asked.json(200)["rate"]["remaining"], 4_998);
    assert_eq!(left(&asked), "4998");
}

#[tokio::test]
async fn the_primary_limit_lasts_until_its_reset() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    github.set_rate_limit(2);
    client.get("/user").await.json(200);
    client.get("/user").await.json(200);
    let refused = client.get("/user").await;
    assert!(
        refused
            .message(403)
            .starts_with("API rate limit exceeded for user 1001")
    );
    assert_eq!(refused.header("x-ratelimit-remaining"), "0");
    assert_eq!(refused.header("retry-after"), "");
    github.advance(Duration::from_secs(3_601));
    client.get("/user").await.json(200);
    github.exhaust_rate_limit(Duration::from_secs(60));
    let refused = client.get("/user").await;
    assert_eq!(refused.status, 403);
    let reset: i64 = refused.header("x-ratelimit-reset").parse().unwrap();
    assert!((reset - chrono::Utc::now().timestamp() - 3_661).abs() < 30);
    github.advance(Duration::from_secs(61));
    client.get("/user").await.json(200);
}

#[tokio::test]
async fn the_secondary_limit_counts_writes() {
    let github = GitHub::start();
    let client = Client::owner(&github);
    github.set_write_limits(Some(2), None, 7);
    let blob = async |content: &str| {
        client
            .post("git/blobs", json!({ "content": content }))
            .await
    };
    blob("a").await.json(201);
    blob("b").await.json(201);
    let refused = blob("c").await;
    assert!(refused.message(403).contains("secondary rate limit"));
    assert_eq!(refused.header("retry-after"), "7");
    client.get("git/ref/heads/main").await.json(200);
    github.advance(Duration::from_secs(61));
    blob("c").await.json(201);
    github.set_write_limits(None, Some(3), 60);
    blob("d").await.json(403);
}
