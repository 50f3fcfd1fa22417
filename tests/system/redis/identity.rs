//! Signing in by a managed identity's tokens.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use codex_miroir::config::{RedisConfig, RedisLogin};
use codex_miroir::net::TrustStore;
use serde_json::json;

use super::{Client, listeners, until};
use crate::support::identity::{HEADER, IdentityEndpoint, Manner, OBJECT_ID};
use crate::support::redis::RedisServer;

/// A server with the identity as its only user.
fn server() -> RedisServer {
    let server = RedisServer::start(&[]);
    let rules = ["on", "allkeys", "allchannels", "+@all"];
    let user = ["ACL", "SETUSER", OBJECT_ID];
    server.run::<()>(&[&user[..], &rules].concat()).unwrap();
    server
}

/// A token, and the endpoint's answer with it.
fn token(number: u32, life: Duration) -> (String, &'static str) {
    let part = |document: serde_json::Value| URL_SAFE_NO_PAD.encode(document.to_string());
    let claims = json!({"aud": "https://redis.azure.com", "oid": OBJECT_ID, "uti": number});
    let token = format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(claims));
    let end = Utc::now() + life;
    let answer = json!({"access_token": token, "expires_on": end.timestamp().to_string()});
    (token, answer.to_string().leak())
}

fn accept(server: &RedisServer, token: &str) {
    let password = format!(">{token}");
    server
        .run::<()>(&["ACL", "SETUSER", OBJECT_ID, &password])
        .unwrap();
}

fn config(server: &RedisServer, endpoint: &IdentityEndpoint) -> RedisConfig {
    RedisConfig {
        login: RedisLogin::ManagedIdentity(endpoint.identity(None)),
        ..server.config()
    }
}

/// How often `AUTH` was carried out, apart from the start of a connection.
fn sign_ins(server: &RedisServer) -> u32 {
    let stats: String = server.run(&["INFO", "commandstats"]).unwrap();
    let line = stats.lines().find(|it| it.starts_with("cmdstat_auth:"));
    let calls = line.and_then(|it| it.split("calls=").nth(1));
    calls.map_or(0, |it| it.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn both_connections_sign_in_again_before_the_token_ends() {
    let (server, endpoint) = (server(), IdentityEndpoint::start());
    let (first, answer) = token(1, Duration::from_secs(24));
    accept(&server, &first);
    endpoint.set(Manner::Says(answer));
    let mut client = Client::start(config(&server, &endpoint), TrustStore::default());
    client.hears(1).await;
    let (second, answer) = token(2, Duration::from_secs(3600));
    accept(&server, &second);
    endpoint.set(Manner::Says(answer));
    until("both have signed in", async || sign_ins(&server) == 2).await;
    // The first token is of no use any more.
    let withdrawn = format!("<{first}");
    server
        .run::<()>(&["ACL", "SETUSER", OBJECT_ID, &withdrawn])
        .unwrap();
    let connections: u32 = server.run(&["CLIENT", "KILL", "USER", OBJECT_ID]).unwrap();
    assert_eq!(connections, 2);
    until("it hears the channel again", async || {
        listeners(&server) == 1
    })
    .await;
    client.hears(2).await;
    let text = client.log.text();
    assert_eq!(client.lines("WARN"), [""; 0]);
    assert!(
        [&first, &second, HEADER]
            .iter()
            .all(|it| !text.contains(*it)),
        "{text}"
    );
    let resources = endpoint.resources();
    assert!(
        resources.iter().all(|it| it == "https://redis.azure.com"),
        "{resources:?}"
    );
    assert_eq!(resources.len(), 2, "a token serves both connections");
}

#[tokio::test]
async fn a_token_that_the_server_refuses_is_replaced() {
    let (server, endpoint) = (server(), IdentityEndpoint::start());
    let (refused, answer) = token(1, Duration::from_secs(3600));
    endpoint.set(Manner::Says(answer));
    let mut client = Client::start(config(&server, &endpoint), TrustStore::default());
    client.logs("WARN", 1).await;
    let (second, answer) = token(2, Duration::from_secs(3600));
    accept(&server, &second);
    endpoint.set(Manner::Says(answer));
    client.hears(1).await;
    client.logs("INFO", 1).await;
    let warnings = client.lines("WARN");
    assert!(
        warnings.len() == 1 && warnings[0].contains("WRONGPASS"),
        "{warnings:?}"
    );
    assert!(!client.log.text().contains(&refused));
}

#[tokio::test]
async fn without_a_token_redis_is_away_and_the_endpoint_says_why() {
    let (server, endpoint) = (server(), IdentityEndpoint::start());
    for (manner, why) in [
        (Manner::Refuses(400), "there is no token to enter it with"),
        (
            Manner::Says(r#"{"access_token":"e30.e30.c2ln","expires_on":"4102444800"}"#),
            "the identity's token doesn't say whose it is",
        ),
    ] {
        endpoint.set(manner);
        let client = Client::start(config(&server, &endpoint), TrustStore::default());
        until("it says that it is away", async || {
            let warnings = client.lines("WARN");
            warnings
                .iter()
                .any(|it| it.contains("away") && it.contains(why))
        })
        .await;
    }
}
