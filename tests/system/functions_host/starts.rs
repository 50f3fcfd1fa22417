//! A start, as the host and a reader of its log see it.

use std::net::TcpListener;

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::{over, package_in};
use crate::support::azurite::azurite;
use crate::support::functions_host::{Form, FunctionsHost, Level, Standing, free_port};
use crate::support::process::eventually;

/// Forwards connections to this port to the emulator from now on.
fn forward_to_emulator(runtime: &Runtime, port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut store = TcpStream::connect(("127.0.0.1", azurite().port())).await?;
                copy_bidirectional(&mut client, &mut store).await
            });
        }
    });
}

#[test]
fn with_the_store_away_it_is_ready_and_needs_no_restart_when_the_store_comes() {
    let (runtime, port) = (Runtime::new().unwrap(), free_port());
    let (connection, container) = (azurite().with_key(port), azurite().container());
    let settings = [
        ("AzureWebJobsDisableHomepage", "true"),
        ("CODEX_AUTH", "dev"),
        ("AzureWebJobsStorage", connection.as_str()),
        ("AZURE_BLOB_CONTAINER", &container),
    ];
    let host = FunctionsHost::start(Form::Proxied, &settings);
    assert_eq!(host.standing(), Standing::Ready);
    println!("ready with the store away after {:?}", host.starts());
    let first = host.get("/");
    let by_process = !first.header("x-request-id").is_empty();
    assert_eq!((first.status, by_process), (200, true));
    assert_eq!(host.get("/readyz").status, 503);
    let refused = host.get("/codex");
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(!refused.header("retry-after").is_empty());
    forward_to_emulator(&runtime, port);
    let week = host.get("/codex");
    assert_eq!(week.status, 200, "{}", week.body);
    eventually("what was remembered is forgotten", || {
        host.get("/readyz").status == 200
    });
    assert_eq!(host.starts().len(), 1);
}

#[test]
fn it_is_ready_long_before_the_host_gives_up() {
    let data = tempfile::tempdir().unwrap();
    let host = FunctionsHost::start(Form::Proxied, &over(&data));
    assert_eq!(host.standing(), Standing::Ready);
    println!("ready over a folder after {:?}", host.starts());
}

#[test]
fn lines_arrive_at_their_levels() {
    let nobody = azurite().with_key(free_port());
    let settings = [("CODEX_AUTH", "dev"), ("AzureWebJobsStorage", &nobody)];
    let host = FunctionsHost::start(Form::Proxied, &settings);
    host.get("/codex");
    eventually("the refusal is logged", || {
        host.lines()
            .iter()
            .any(|line| line.text.contains("request refused"))
    });
    let lines = host.lines();
    let (start, refusal) = (
        &lines[0],
        lines.iter().find(|it| it.text.contains("request refused")),
    );
    assert!(start.text.contains("serving"), "{}", start.text);
    assert_eq!(start.level, Level::Information);
    assert_eq!(refusal.unwrap().level, Level::Warning);
    for line in &lines {
        let text: Value = serde_json::from_str(&line.text).unwrap();
        let said = match line.level {
            Level::Information => ["INFO", "DEBUG"].as_slice(),
            Level::Warning => &["WARN"],
            Level::Error => &["ERROR"],
        };
        assert!(said.contains(&text["level"].as_str().unwrap()), "{line:?}");
    }
}

/// Core Tools set the variable that holds the app's address on Azure.
#[test]
fn under_core_tools_the_local_page_may_change_tasks() {
    let data = tempfile::tempdir().unwrap();
    let mut settings = over(&data);
    settings.push(("WEBSITE_HOSTNAME", "{host}"));
    let host = FunctionsHost::start(Form::Proxied, &settings);
    let own = format!(
        "content-type: application/json\r\norigin: http://{}\r\n",
        host.address
    );
    let created = host.send(
        "POST",
        "/api/tasks",
        &own,
        r#"{"kategorie":"privat","title":"Da"}"#,
    );
    assert_eq!(created.status, 201, "{}", created.body);
}

#[test]
fn a_package_that_runs_can_be_replaced() {
    let (data, app) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    package_in(app.path());
    let host = FunctionsHost::start_in(app.path(), Form::Proxied, &over(&data));
    assert_eq!(host.get("/codex").status, 200);
    package_in(app.path());
    assert_eq!(host.get("/codex").status, 200);
    host.kill();
    eventually("the new one runs", || host.starts().len() == 2);
    assert_eq!(host.get("/codex").status, 200);
}
