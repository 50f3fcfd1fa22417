//! Servers that die, hang, and come back.

use codex_miroir::config::{RedisConfig, RedisLogin, Secret};
use codex_miroir::net::TrustStore;
use codex_miroir::shared_cache::{Away, Published, SharedCache};
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Client, anna, entry, listeners, until};
use crate::support::redis::RedisServer;

/// No call is made: each ends when it is first polled.
fn is_left_alone(client: &Client) {
    let user = anna();
    let answer = client.cache.get(&user).now_or_never();
    assert!(matches!(answer, Some(Err(Away))), "{answer:?}");
    let new = entry(8, 100, 200);
    let answer = client.cache.publish(&user, &new.stamp, None);
    assert_eq!(answer.now_or_never(), Some(Err(Away)));
    let hint = client.cache.hint(&user, new.stamp.version);
    assert_eq!(hint.now_or_never(), Some(()));
}

#[tokio::test]
async fn a_killed_server_is_left_alone_until_it_is_back() {
    let mut server = RedisServer::start(&[]);
    let mut client = Client::of(&server).await;
    client.publish(&entry(7, 100, 200)).await;
    server.kill();
    client.logs("WARN", 1).await;
    is_left_alone(&client);
    server.restart();
    client.logs("INFO", 1).await;
    assert_eq!(client.get().await, None, "it has forgotten everything");
    // Its script, too.
    assert_eq!(client.publish(&entry(7, 100, 200)).await, Published::Stored);
    client.hears(9).await;
    let [warnings, infos] = ["WARN", "INFO"].map(|level| client.lines(level));
    assert!(
        warnings.len() == 1 && warnings[0].contains("Connection refused"),
        "{warnings:?}"
    );
    assert_eq!(infos, ["Redis is back (null)"]);
}

#[tokio::test]
async fn a_hanging_server_costs_three_calls_and_is_left_alone_until_it_goes_on() {
    let mut server = RedisServer::start(&[]);
    let mut client = Client::of(&server).await;
    server.signal("STOP");
    until("the client has given up", async || {
        let _ = client.cache.get(&anna()).await;
        !client.lines("WARN").is_empty()
    })
    .await;
    let waited =
        client.count(r#"codex_redis_call_seconds_count{operation="get",outcome="failed"}"#);
    // Fewer if a check happened to find it out before.
    assert!(waited <= 3, "{waited} calls have waited");
    is_left_alone(&client);
    server.signal("CONT");
    client.logs("INFO", 1).await;
    client.answers().await;
    client.hears(9).await;
    let [warnings, infos] = ["WARN", "INFO"].map(|level| client.lines(level));
    assert!(
        warnings.len() == 1 && warnings[0].contains("no answer within"),
        "{warnings:?}"
    );
    assert_eq!(infos, ["Redis is back (null)"]);
}

#[tokio::test]
async fn a_server_that_hangs_while_nobody_asks_is_found_by_the_check() {
    let mut server = RedisServer::start(&[]);
    let client = Client::of(&server).await;
    server.signal("STOP");
    client.logs("WARN", 1).await;
    is_left_alone(&client);
}

#[tokio::test]
async fn a_server_that_isnt_there_from_the_start_is_one_line_and_found_later() {
    let mut server = RedisServer::start(&[]);
    server.kill();
    let client = Client::start(server.config(), TrustStore::default());
    is_left_alone(&client);
    client.logs("WARN", 1).await;
    is_left_alone(&client);
    server.restart();
    client.logs("INFO", 1).await;
    client.answers().await;
    assert_eq!(client.lines("WARN").len(), 1);
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again_without_a_word() {
    let server = RedisServer::start(&[]);
    let mut client = Client::of(&server).await;
    let kill = |kind: &str| {
        let killed: u32 = server.run(&["CLIENT", "KILL", "TYPE", kind]).unwrap();
        assert_eq!(killed, 1);
    };
    kill("pubsub");
    client.hears(9).await;
    client.answers().await;
    kill("normal");
    client.answers().await;
    kill("pubsub");
    kill("normal");
    client.answers().await;
    client.hears(10).await;
    assert_eq!(listeners(&server), 1, "no connection is left over");
    assert_eq!(client.count("codex_redis_reconnections_total"), 4);
    let [warnings, infos] = ["WARN", "INFO"].map(|level| client.lines(level));
    assert_eq!([warnings, infos], [[""; 0], [""; 0]]);
}

/// While a server reads its data, it answers everything but `PING` and the like with an error.
#[tokio::test]
async fn a_server_that_is_loading_is_away() {
    let mut server = RedisServer::start(&["--rdbcompression", "no"]);
    let fill = "for i = 1, 200 do redis.call('SET', 'k' .. i, string.rep(i, 2000)) end";
    server.run::<redis::Value>(&["EVAL", fill, "0"]).unwrap();
    server.run::<()>(&["SAVE"]).unwrap();
    let slowly = [
        ["--key-load-delay", "10000"],
        ["--loading-process-events-interval-bytes", "1024"],
    ];
    server.begin_restart(&slowly.concat());
    until("it reads", async || server.log().contains("Loading RDB")).await;
    let client = Client::start(server.config(), TrustStore::default());
    client.logs("WARN", 1).await;
    let warnings = client.lines("WARN");
    assert!(warnings[0].contains("LOADING"), "{warnings:?}");
    client.answers().await;
    assert!(server.log().contains("Ready to accept connections"));
    assert_eq!(client.lines("WARN").len(), 1);
}

/// Its clock is heard all the same.
#[tokio::test]
async fn a_server_that_lets_nobody_read_is_away() {
    let server = RedisServer::start(&[]);
    server
        .run::<()>(&["ACL", "SETUSER", "default", "-hmget"])
        .unwrap();
    let client = Client::start(server.config(), TrustStore::default());
    client.logs("WARN", 1).await;
    let warnings = client.lines("WARN");
    assert!(warnings[0].contains("NOPERM"), "{warnings:?}");
    is_left_alone(&client);
    server
        .run::<()>(&["ACL", "SETUSER", "default", "+hmget"])
        .unwrap();
    client.answers().await;
    client.logs("INFO", 1).await;
    server
        .run::<()>(&["ACL", "SETUSER", "default", "-hmget"])
        .unwrap();
    for _ in 0..3 {
        assert!(client.cache.get(&anna()).await.is_err());
    }
    is_left_alone(&client);
    client.logs("WARN", 2).await;
}

/// What accepts connections and says this to each of the three commands with which a client begins, or nothing.
async fn impostor(answer: &'static str) -> RedisConfig {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while client.read(&mut request).await.is_ok_and(|read| read > 0) {
                    // An error means that the client has gone.
                    let _ = client.write_all(answer.repeat(3).as_bytes()).await;
                }
            });
        }
    });
    RedisConfig {
        variable: "CODEX_REDIS_URL",
        host: "127.0.0.1".to_owned(),
        port,
        tls: false,
        database: 0,
        login: RedisLogin::Password {
            user: None,
            password: Secret::new("geheim".to_owned()),
        },
    }
}

#[tokio::test]
async fn what_isnt_a_server_of_redis_is_one_line_and_no_password_comes_back_by_it() {
    let quoted = "-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'geheim' \r\n";
    let older = "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `geheim`, \r\n";
    for (answer, tls, why) in [
        ("", false, "no answer within 3000 ms"),
        ("", true, "no answer within 3000 ms"),
        (quoted, false, "it answers ERR unknown command 'HELLO'"),
        (older, false, "HELLO"),
        (
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 6\r\n\r\ngeheim",
            false,
            "its answer isn't understood",
        ),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", true, "corrupt message"),
    ] {
        let server = RedisConfig {
            tls,
            ..impostor(answer).await
        };
        let client = Client::start(server, TrustStore::default());
        client.logs("WARN", 1).await;
        let warnings = client.lines("WARN");
        println!("{warnings:?}");
        assert!(
            warnings.len() == 1 && warnings[0].contains(why),
            "{warnings:?}"
        );
        assert!(!client.log.text().contains("geheim"), "{warnings:?}");
        is_left_alone(&client);
    }
}
