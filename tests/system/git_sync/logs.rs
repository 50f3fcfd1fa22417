//! What no log line contains, at any level: secrets, and texts that a user has written.

use serde_json::json;

use crate::support::azurite::KEY;
use crate::support::github::{Fault, sign};
use crate::support::mirror::{HOOK_SECRET, Mirror, send, tick};
use crate::support::process::{Service, eventually};
use crate::support::scene::task;

const TITLE: &str = "Geheimtitel";
const BODY: &str = "Geheimtext im Rumpf";
const TAG: &str = "geheimschlagwort";
const PUSHED: &str = "Fremdgeheimnis";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_nothing_of_a_task_is_ever_logged() {
    let mirror = Mirror::over_azurite();
    let service = Service::start(mirror.command().env("RUST_LOG", "trace"));
    let created =
        json!({"kategorie": "arbeit", "title": TITLE, "body": BODY, "tags": [TAG]}).to_string();
    let wait = "prefer: wait\r\nidempotency-key: geheimer-schluessel\r\n";
    let answer = send(&service, "POST", "/api/tasks", wait, &created).json();
    let stem = answer["filename"]
        .as_str()
        .unwrap()
        .strip_suffix(".md")
        .unwrap()
        .to_owned();
    let path = format!("/api/tasks/{stem}");
    let changed = json!({"body": format!("{BODY} und mehr")}).to_string();
    // First every request succeeds, then every one fails.
    let faults = [
        None,
        Some(Fault::Status(500)),
        Some(Fault::Status(403)),
        Some(Fault::Status(422)),
        Some(Fault::Html),
        Some(Fault::Reset),
    ];
    for (at, fault) in faults.into_iter().enumerate() {
        let text = format!("{}\n{BODY}\n", task(PUSHED));
        mirror.commit(
            &[(&format!("{:04}-{PUSHED}.md", at + 10), Some(&text))],
            "Push",
        );
        if let Some(fault) = fault {
            mirror.github.fail(fault);
        }
        service.get(&path);
        service.get(&format!("/api/tasks?q={TITLE}&tag={TAG}"));
        send(
            &service,
            "PATCH",
            &path,
            "",
            &changed.replace("mehr", &format!("mehr {at}")),
        );
        mirror.deliver(&service).await;
        tick(&service);
        service.send_json("POST", "/sync", "");
        mirror.github.recover();
    }
    send(
        &service,
        "PATCH",
        &path,
        "",
        &format!(r#"{{"{TITLE}": 1}}"#),
    );
    send(
        &service,
        "POST",
        "/api/tasks",
        "",
        &format!("{{\"title\": \"{TITLE}"),
    );
    send(
        &service,
        "POST",
        "/github/webhook",
        &format!(
            "x-hub-signature-256: {}\r\n",
            sign("falscher-schluessel", b"{}")
        ),
        "{}",
    );
    service.get(&format!("/api/tasks/9999-{TITLE}"));
    tick(&service);
    mirror.until_equal(&service).await;
    eventually("all is said", || service.log().len() > 50);
    let log = service.log().join("\n");
    for expected in ["GitHub answered", "new version", "committed"] {
        assert!(log.contains(expected), "the log says nothing of {expected}");
    }
    let token = mirror.github.requests()[0].token.clone().unwrap();
    let secrets = [
        TITLE,
        BODY,
        TAG,
        PUSHED,
        KEY,
        HOOK_SECRET,
        &token,
        "geheimer-schluessel",
        "falscher-schluessel",
    ];
    for secret in secrets {
        let line = log
            .lines()
            .find(|line| line.to_lowercase().contains(&secret.to_lowercase()));
        assert_eq!(line, None, "{secret}");
    }
}
