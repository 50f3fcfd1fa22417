//! `doctor` with a storage account, another clock, and Redis. With a folder and GitHub it is in tests/it/doctor.rs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use codex_miroir::store::{BlobKey, BlobStore, BlobStoreExt, Prefix, PutIf};
use insta::assert_snapshot;

use crate::support::azurite::{KEY, azurite};
use crate::support::doctor::{about, doctor};
use crate::support::process::{codex_miroir, other_clock};
use crate::support::redis::RedisServer;
use crate::support::tcp_proxy::{Fault, TcpProxy};

const SUBJECTS: [&str; 5] = ["code", "storage", "conditions", "clock", "container"];

/// The binary over a container.
fn over(connection: &str, container: &str) -> Command {
    let mut command = codex_miroir();
    command
        .env("AZURE_BLOB_CONN", connection)
        .env("AZURE_BLOB_CONTAINER", container);
    command
}

/// What it says of the storage.
fn said(command: &mut Command, container: &str) -> String {
    let port = format!("127.0.0.1:{}", azurite().port());
    let names = [(port.as_str(), "AZURITE"), (container, "CONTAINER")];
    let said = doctor(command, &names);
    assert!(
        !said.contains(&KEY[..20]) && !said.contains("sig="),
        "{said}"
    );
    about(&said, &SUBJECTS)
}

/// A container that a first write has made.
async fn container() -> String {
    let container = azurite().container();
    let key = BlobKey::github();
    let store = azurite().store(&container);
    store.write(&key, "{}", PutIf::Absent).await.unwrap();
    container
}

fn with_key() -> String {
    azurite().with_key(azurite().port())
}

/// The names of the blobs in `state/`.
async fn blobs(container: &str) -> Vec<String> {
    let listed = azurite().store(container).list(&Prefix::all_state()).await;
    let blobs = listed.unwrap().value.blobs;
    blobs.into_iter().map(|it| it.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_container_is_fine_and_left_as_it_was() {
    let container = container().await;
    let by_key = said(&mut over(&with_key(), &container), &container);
    assert_snapshot!(by_key, @"
    exit code 0
    ok       storage     account devstoreaccount1 at AZURITE, container CONTAINER (AZURE_BLOB_CONN): can be read and written
    ok       conditions  hold for PUT (If-None-Match, If-Match) and DELETE (If-Match)
    ok       clock       this machine's and the storage's agree
    ok       container   private: strangers can neither list nor read it
    ");
    let sas = azurite().with_sas(azurite().port());
    assert_eq!(said(&mut over(&sas, &container), &container), by_key);
    assert_eq!(blobs(&container).await, [".github.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_container_is_broken_on_either_level() {
    let all = ["container", "blob"].map(|level| async move {
        let container = azurite().container();
        let access = format!("x-ms-blob-public-access: {level}\r\n");
        let path = format!("{container}?restype=container");
        let answer = azurite().send("PUT", &path, &access).await;
        assert!(answer.contains(" 201 "), "{answer}");
        let said = said(&mut over(&with_key(), &container), &container);
        format!("# {level}\n{}", about(&said, &["code", "container"]))
    });
    let all = futures::future::join_all(all).await;
    assert_snapshot!(all.join("\n"), @"
    # container
    exit code 1
    broken   container   public: anybody can read the tasks
                         -> turn off public access: az storage account update --allow-blob-public-access false
    # blob
    exit code 1
    broken   container   public: anybody can read the tasks
                         -> turn off public access: az storage account update --allow-blob-public-access false
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_broken() {
    let container = container().await;
    let wrong = with_key().replace("Eby8", "Abc9");
    assert_snapshot!(said(&mut over(&wrong, &container), &container), @"
    exit code 1
    broken   storage     account devstoreaccount1 at AZURITE, container CONTAINER (AZURE_BLOB_CONN): storage refuses list state/: 403 AuthorizationFailure
                         -> put one of the account's present keys into AZURE_BLOB_CONN; if it is one, set this machine's clock, and allow access by key and from this network
    -        conditions  not checked, because storage is broken
    ok       clock       this machine's and the storage's agree
    ok       container   private as far as seen: strangers can't list it
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_does_not_exist_is_told_and_not_made() {
    let container = azurite().container();
    assert_snapshot!(said(&mut over(&with_key(), &container), &container), @"
    exit code 0
    warning  storage     account devstoreaccount1 at AZURITE, container CONTAINER (AZURE_BLOB_CONN): there is no such container; the service's first write makes it
                         -> if it has run before, correct AZURE_BLOB_CONTAINER or the account
    -        conditions  not checked: that would make the container
    ok       clock       this machine's and the storage's agree
    -        container   there is none yet; the service makes a private one
    ");
    let found = azurite().store(&container).has_container().await;
    assert!(!found.unwrap().value);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_nobody_answers_for_is_broken() {
    let connection = azurite().with_key(1);
    assert_snapshot!(said(&mut over(&connection, "weg"), "weg"), @"
    exit code 1
    broken   storage     account devstoreaccount1 at 127.0.0.1:1, container CONTAINER (AZURE_BLOB_CONN): storage can't be reached for list state/: Connection refused (os error 111)
                         -> correct the account in AZURE_BLOB_CONN, or let this machine reach it
    -        conditions  not checked, because storage is broken
    -        clock       not known, because the storage doesn't answer
    -        container   not known, because strangers get no usable answer
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_is_broken() {
    let container = container().await;
    let all = ["+1h", "-1h"].map(|offset| {
        let mut command = over(&with_key(), &container);
        command
            .env("LD_PRELOAD", other_clock())
            .env("FAKETIME", offset)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let said = said(&mut command, &container);
        format!(
            "# {offset}\n{}",
            about(&said, &["code", "storage", "clock"])
        )
    });
    assert_snapshot!(all.join("\n"), @"
    # +1h
    exit code 1
    ok       storage     account devstoreaccount1 at AZURITE, container CONTAINER (AZURE_BLOB_CONN): can be read and written
    broken   clock       this machine's is 60 min ahead of the storage's
                         -> set this machine's clock, for example by NTP
    # -1h
    exit code 1
    ok       storage     account devstoreaccount1 at AZURITE, container CONTAINER (AZURE_BLOB_CONN): can be read and written
    broken   clock       this machine's is 60 min behind the storage's
                         -> set this machine's clock, for example by NTP
    ");
}

/// Of the server's own words, which depend on its version, only the error codes.
fn codes(said: &str) -> String {
    let line = |line: &str| {
        let parts = line
            .split("; ")
            .map(|part| match part.split_once("it answers ") {
                Some((before, words)) => {
                    let code = words.split(' ').next().unwrap();
                    format!("{before}it answers {code} …")
                }
                None => part.to_owned(),
            });
        parts.collect::<Vec<_>>().join("; ")
    };
    said.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn redis_is_asked_for_every_command_that_the_service_uses() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |server: &RedisServer, login: &str| {
        let mut command = codex_miroir();
        let url = format!("redis://{login}127.0.0.1:{}", server.port());
        command
            .env("CODEX_DATA_DIR", folder.path())
            .env("CODEX_REDIS_URL", url);
        let port = server.port().to_string();
        let said = doctor(&mut command, &[(&port, "PORT")]);
        assert!(!said.contains("geheim"), "{said}");
        codes(&about(&said, &["redis"]))
    };
    let open = RedisServer::start(&[]);
    let fine = ask(&open, "");
    assert_eq!(open.run::<Vec<String>>(&["KEYS", "*"]).unwrap(), [""; 0]);
    let closed = RedisServer::with_password("geheim");
    let rules = [
        "ACL", "SETUSER", "berta", "on", ">geheim", "~codex:*", "&other", "+@all", "-eval", "-ping",
    ];
    closed.run::<()>(&rules).unwrap();
    let rules = [
        "ACL", "SETUSER", "carla", "on", ">geheim", "~codex:*", "&*", "+@all", "-evalsha",
        "-hstrlen",
    ];
    closed.run::<()>(&rules).unwrap();
    let all = [
        ("open", fine),
        ("by password", ask(&closed, ":geheim@")),
        ("without a password", ask(&closed, "")),
        ("another password", ask(&closed, ":geheimnis@")),
        ("a user who may do less", ask(&closed, "berta:geheim@")),
        ("another", ask(&closed, "carla:geheim@")),
        ("full", ask(&RedisServer::start(&["--maxmemory", "1"]), "")),
    ];
    let all = all.map(|(case, said)| format!("# {case}\n{said}"));
    assert_snapshot!(all.join("\n"), @"
    # open
    ok       redis       127.0.0.1:PORT (CODEX_REDIS_URL): signed in, every command works
    # by password
    ok       redis       127.0.0.1:PORT (CODEX_REDIS_URL): signed in, every command works
    # without a password
    broken   redis       127.0.0.1:PORT (CODEX_REDIS_URL): Redis can't be asked: it answers NOAUTH …
                         -> correct host, port and password, or let this machine reach it; meanwhile the service goes on without it
    # another password
    broken   redis       127.0.0.1:PORT (CODEX_REDIS_URL): Redis can't be asked: it answers WRONGPASS …
                         -> correct host, port and password, or let this machine reach it; meanwhile the service goes on without it
    # a user who may do less
    broken   redis       127.0.0.1:PORT (CODEX_REDIS_URL): PING: it answers NOPERM …; EVAL: it answers NOPERM …; PUBLISH: it answers NOPERM …; SUBSCRIBE: it answers NOPERM …
                         -> give the user the keys, the channel and the commands that the settings' page lists, and the server memory
    # another
    broken   redis       127.0.0.1:PORT (CODEX_REDIS_URL): EVALSHA: it answers NOPERM …
                         -> give the user the keys, the channel and the commands that the settings' page lists, and the server memory
    # full
    broken   redis       127.0.0.1:PORT (CODEX_REDIS_URL): EVAL: it answers OOM …; EVALSHA: it answers OOM …
                         -> give the user the keys, the channel and the commands that the settings' page lists, and the server memory
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_waits_until_what_was_written_is_removed() {
    let container = container().await;
    let proxy = TcpProxy::start(azurite().port()).await;
    // So that the signal arrives while the blob is there.
    proxy.plan("PUT", 2, Fault::Delay(Duration::from_secs(2)));
    let mut command = over(&azurite().with_key(proxy.port()), &container);
    let command = command.arg("doctor").stdout(Stdio::piped());
    let doctor = command.stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while blobs(&container).await.len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let id = doctor.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status();
    assert!(sent.unwrap().success());
    let output = doctor.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "codex-miroir: interrupted\n");
    assert_eq!(blobs(&container).await, [".github.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_doctor_has_written_is_left_alone_for_an_hour() {
    let container = container().await;
    let store = azurite().store(&container);
    store
        .write(&BlobKey::trial(7), "left", PutIf::Absent)
        .await
        .unwrap();
    let printed = said(&mut over(&with_key(), &container), &container);
    assert!(printed.starts_with("exit code 0"), "{printed}");
    assert_eq!(
        blobs(&container).await.len(),
        2,
        "another one may be running"
    );
}
