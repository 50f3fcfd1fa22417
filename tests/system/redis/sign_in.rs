//! Who is let in, and whom the client trusts.

use codex_miroir::config::{RedisConfig, RedisLogin, Secret};
use codex_miroir::net::TrustStore;

use super::{Client, entry, listeners, until};
use crate::support::redis::RedisServer;
use crate::support::tls::{UNTRUSTED, authority};

#[tokio::test]
async fn a_wrong_password_is_one_line_without_it() {
    let server = RedisServer::with_password("richtig");
    let mut config = server.config();
    let wrong = Secret::new("falsch-geheim".to_owned());
    config.login = RedisLogin::Password {
        user: None,
        password: wrong,
    };
    let client = Client::start(config, TrustStore::default());
    client.logs("WARN", 1).await;
    // Further attempts say nothing.
    let rejected = || {
        let info: String = server.run(&["INFO", "commandstats"]).unwrap();
        let line = info.lines().find(|it| it.starts_with("cmdstat_hello"));
        let failed = line
            .and_then(|it| it.rsplit_once("failed_calls="))
            .map(|it| it.1);
        failed.map_or(0, |it| it.trim().parse::<u32>().unwrap())
    };
    until("both connections were tried again", async || {
        rejected() >= 6
    })
    .await;
    let warnings = client.lines("WARN");
    assert!(
        warnings.len() == 1 && warnings[0].contains("WRONGPASS"),
        "{warnings:?}"
    );
    assert!(!client.log.text().contains("geheim"));
}

#[tokio::test]
async fn with_the_password_it_is_in() {
    let server = RedisServer::with_password("richtig");
    let mut client = Client::of(&server).await;
    client.hears(9).await;
    assert_eq!(client.lines("WARN"), [""; 0]);
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_where_it_is_named() {
    let server = RedisServer::with_tls();
    let mut trusting = Client::start(server.config(), authority().trust());
    trusting.publish(&entry(7, 100, 200)).await;
    assert_eq!(trusting.get().await, Some(entry(7, 100, 200)));
    trusting.hears(9).await;
    assert_eq!(trusting.lines("WARN"), [""; 0]);
    drop(trusting);

    let client = Client::start(server.config(), TrustStore::default());
    client.logs("WARN", 1).await;
    let warnings = client.lines("WARN");
    assert!(warnings[0].contains(UNTRUSTED), "{warnings:?}");
}

/// An account of the server with these rules.
fn account(server: &RedisServer, rules: &[&str]) -> RedisConfig {
    let user = ["ACL", "SETUSER", "codex", "on", ">wort"];
    server.run::<()>(&[&user, rules].concat()).unwrap();
    RedisConfig {
        login: RedisLogin::Password {
            user: Some("codex".to_owned()),
            password: Secret::new("wort".to_owned()),
        },
        ..server.config()
    }
}

/// `src/config/README.md`, "Redis".
#[tokio::test]
async fn what_the_page_of_settings_names_is_all_that_an_account_needs() {
    let page = include_str!("../../../src/config/README.md");
    let (_, needed) = page.split_once("must be allowed: ").unwrap();
    let (needed, _) = needed.split_once("\n\n").unwrap();
    let names = needed.split('`').skip(1).step_by(2);
    let rules: Vec<String> = names
        .flat_map(|name| match name.strip_prefix("codex:") {
            Some(names) => vec![format!("~codex:{names}"), format!("&codex:{names}")],
            None => vec![format!("+{}", name.to_lowercase())],
        })
        .collect();
    assert!(rules.len() > 10, "{rules:?}");
    let server = RedisServer::start(&[]);
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let mut client = Client::start(account(&server, &rules), TrustStore::default());
    for version in [7, 7, 8] {
        client.publish(&entry(version, 100, 200)).await;
        assert_eq!(client.get().await, Some(entry(version, 100, 200)));
    }
    let key = "codex:{codex-cache/anna}:snapshot";
    server
        .run::<()>(&["SET", key, "another program's"])
        .unwrap();
    client.publish(&entry(9, 100, 200)).await;
    client.hears(9).await;
    assert_eq!(client.lines("WARN"), [""; 0]);
}

/// An account that may read and not write, nor hear the channel.
#[tokio::test]
async fn what_an_account_may_not_do_is_one_line_each_and_the_rest_works() {
    let server = RedisServer::start(&[]);
    let config = account(&server, &["~codex:*", "+hmget", "+time", "+ping"]);
    let client = Client::start(config, TrustStore::default());
    client.answers().await;
    until("both lines are there", async || {
        assert!(client.try_publish(&entry(7, 100, 200)).await.is_err());
        client.lines("WARN").len() == 2
    })
    .await;
    client.answers().await;
    let warnings = client.lines("WARN");
    assert!(warnings.len() == 2, "{warnings:?}");
    assert!(
        warnings.iter().all(|it| it.contains("NOPERM")),
        "{warnings:?}"
    );
    assert_eq!(listeners(&server), 0);
    server
        .run::<()>(&["ACL", "SETUSER", "codex", "allchannels", "+subscribe"])
        .unwrap();
    until("it hears the channel", async || listeners(&server) == 1).await;
}
