//! Deliveries that GitHub didn't sign, and entries of a repository that aren't tasks.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::github::{Change, sign};
use crate::support::mirror::{HOOK_SECRET, Mirror, create, send, tick};
use crate::support::process::{Answer, Service, eventually};
use crate::support::scene::task;

/// Delivers a push to the branch, with this signature or none.
fn post(service: &Service, signature: Option<&str>) -> Answer {
    let signature = signature.map_or(String::new(), |it| format!("x-hub-signature-256: {it}\r\n"));
    let headers = format!("x-github-event: push\r\n{signature}");
    send(service, "POST", "/github/webhook", &headers, PUSH)
}

const PUSH: &str = r#"{"ref":"refs/heads/main","repository":{"full_name":"anna/notes"}}"#;

fn code(answer: &Answer) -> (u16, String) {
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    (
        answer.status,
        body["code"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_without_the_right_signature_touches_nothing() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit(&[("0001-a.md", Some(&task("a")))], "Add");
    mirror.github.clear_requests();
    let good = sign(HOOK_SECRET, PUSH.as_bytes());
    let of_other_bytes = sign(HOOK_SECRET, b"{}");
    let cut = &good[..good.len() - 2];
    let sha1 = good.replace("sha256=", "sha1=");
    let attempts = [
        None,
        Some(""),
        Some("sha256="),
        Some("sha256=zz"),
        Some(cut),
        Some(&sha1),
        Some(&of_other_bytes),
    ];
    let (empty_key, other_key) = (
        sign("", PUSH.as_bytes()),
        sign("another key", PUSH.as_bytes()),
    );
    for signature in attempts
        .into_iter()
        .chain([Some(empty_key.as_str()), Some(&other_key)])
    {
        let answer = post(&service, signature);
        assert_eq!(
            code(&answer),
            (401, "bad_signature".to_owned()),
            "{signature:?}"
        );
    }
    assert!(mirror.github.requests().is_empty() && mirror.in_store().await.is_empty());
    assert_eq!(post(&service, Some(&good)).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_no_delivery_is_accepted() {
    let mirror = Mirror::new();
    mirror.commit(&[("0001-a.md", Some(&task("a")))], "Add");
    mirror.github.clear_requests();
    for secret in ["", "   "] {
        let service = Service::start(mirror.command().env("GITHUB_WEBHOOK_SECRET", secret));
        for signature in [
            None,
            Some(sign("", PUSH.as_bytes())),
            Some(sign(secret, PUSH.as_bytes())),
        ] {
            let answer = post(&service, signature.as_deref());
            assert_eq!(code(&answer), (503, "webhook_not_configured".to_owned()));
        }
    }
    assert!(mirror.github.requests().is_empty() && mirror.in_store().await.is_empty());
}

/// The three steps of a change: both here, the new one at GitHub, the new one alone here.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_without_a_refused_delivery() {
    let mirror = Mirror::new();
    const BOTH: &str = "the-old-one-0123456789, the-new-one-0123456789";
    let (old_key, new_key) = BOTH.split_once(", ").unwrap();
    let [old, new, both] = [old_key, new_key, BOTH].map(|key| sign(key, PUSH.as_bytes()));
    for (secrets, accepted, refused) in [
        (old_key, vec![&old], vec![&new]),
        (BOTH, vec![&old, &new], vec![&both]),
        (new_key, vec![&new], vec![&old]),
    ] {
        let service = Service::start(mirror.command().env("GITHUB_WEBHOOK_SECRET", secrets));
        for signature in accepted {
            assert_eq!(post(&service, Some(signature)).status, 200, "{secrets}");
        }
        for signature in refused {
            assert_eq!(post(&service, Some(signature)).status, 401, "{secrets}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_payload_that_is_none_is_refused() {
    let mirror = Mirror::new();
    let service = mirror.service();
    for body in [
        "",
        "[]",
        "null",
        "{}",
        r#"{"ref":1}"#,
        "\u{1}",
        &"[".repeat(10_000),
    ] {
        let headers = format!(
            "x-github-event: push\r\nx-hub-signature-256: {}\r\n",
            sign(HOOK_SECRET, body.as_bytes())
        );
        let answer = send(&service, "POST", "/github/webhook", &headers, body);
        assert_eq!(
            code(&answer),
            (400, "invalid_payload".to_owned()),
            "{body:.20}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_in_the_repository_is_passed_over_and_said() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let large = "x".repeat(2 << 20);
    let changes = [
        (mirror.path("0001-gut.md"), task("gut").into()),
        (
            mirror.path("0002-link.md"),
            Change::Link("/etc/passwd".to_owned()),
        ),
        (
            mirror.path("0003-modul.md"),
            Change::Submodule("0123456789012345678901234567890123456789".to_owned()),
        ),
        (mirror.path("0004-gross.md"), large.as_str().into()),
        (mirror.path("0005-ordner.md/innen.md"), task("innen").into()),
        (
            mirror.path("0006-ausführbar.md"),
            Change::Executable(task("ausführbar").into_bytes()),
        ),
        (mirror.path("notizen.md"), "Notizen".into()),
        (mirror.path("bild.png"), "PNG".into()),
        (mirror.path("archiv/0007-alt.md"), task("alt").into()),
        (
            "codex-miroir/böse user/tasks/0001-x.md".to_owned(),
            task("x").into(),
        ),
        ("codex-miroir/README.md".to_owned(), "Hier".into()),
    ];
    let changes: Vec<_> = changes
        .iter()
        .map(|(path, change)| (path.as_str(), change.clone()))
        .collect();
    mirror.github.commit("main", &changes, "All sorts");
    let outcomes = mirror.deliver(&service).await;
    let answer = &outcomes[0].1;
    let lines = |problems: &serde_json::Value| -> Vec<String> {
        let problems = problems.as_array().unwrap().iter();
        problems
            .map(|it| {
                format!(
                    "{} {} | {}",
                    it["code"].as_str().unwrap(),
                    it["file"].as_str().unwrap(),
                    it["message"].as_str().unwrap()
                )
            })
            .collect()
    };
    let mut all = lines(&answer["problems"]);
    all.extend(lines(&answer["results"][0]["problems"]));
    all.sort();
    assert_snapshot!(all.join("\n"), @r#"
    bad_file_name codex-miroir/anna/tasks/notizen.md | A task file is called NNNN.md or NNNN-Title.md: rename it.
    bad_user_id codex-miroir/böse user/tasks | "böse user" can't be a user: it is 1 to 64 of A-Z, a-z, 0-9, '-' and '_'.
    not_a_file codex-miroir/anna/tasks/0002-link.md | It is a symbolic link, and a task is a plain file.
    not_a_file codex-miroir/anna/tasks/0003-modul.md | It is a submodule, and a task is a plain file.
    not_a_file codex-miroir/anna/tasks/0005-ordner.md | It is a folder, and a task is a plain file.
    too_large codex-miroir/anna/tasks/0004-gross.md | It has 2097152 bytes, and a task at most 1048576: make it smaller.
    "#);
    assert_eq!(
        mirror.in_store().await.into_keys().collect::<Vec<_>>(),
        ["0001-gut.md", "0006-ausführbar.md"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dots_in_a_tree_lead_nowhere() {
    let mirror = Mirror::new();
    let service = mirror.service();
    mirror.commit(&[("0001-gut.md", Some(&task("gut")))], "Add");
    let tasks = mirror.path("");
    let text = task("böse");
    let odd: Vec<(&[u8], &[u8])> = [
        "..",
        ".",
        "../../0002-b.md",
        "..\\0003-c.md",
        "0004-a\u{1}b.md",
    ]
    .map(|name| (name.as_bytes(), text.as_bytes()))
    .to_vec();
    mirror
        .github
        .commit_odd_names("main", tasks.trim_end_matches('/'), &odd, "Odd");
    let outcomes = mirror.deliver(&service).await;
    assert_eq!(outcomes[0].0, Some(200), "{outcomes:?}");
    assert_eq!(
        mirror.in_store().await.into_keys().collect::<Vec<_>>(),
        ["0001-gut.md"]
    );
}

/// An entry of Git that isn't a regular file isn't replaced there, and the file here isn't removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_a_tasks_place_stops_nothing_else() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let name = create(&service, "Eins");
    mirror.until_equal(&service).await;
    mirror.github.commit(
        "main",
        &[(&mirror.path(&name), Change::Link("anderswo".to_owned()))],
        "Link it",
    );
    mirror.deliver(&service).await;
    service
        .send_json("PATCH", "/api/tasks/0000", r#"{"tags": ["a"]}"#)
        .json();
    create(&service, "Zwei");
    eventually("the other one is committed", || mirror.in_git().len() == 2);
    eventually("it is said", || {
        mirror.book_now()["lastError"]["code"] == "not_a_file"
    });
    assert!(mirror.in_store().await[&name].contains("tags"));
    // No hint stays in the queue for a problem that a user has to fix in Git.
    let mut waiting = 0;
    while !mirror.queue().await.is_empty() {
        waiting += 1;
        assert!(waiting < 200);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    mirror.github.clear_requests();
    tick(&service);
    assert_eq!(mirror.github.calls("PUT", "/contents"), 0);
    mirror.commit(&[(&name, None)], "Take it away");
    mirror.taken_in(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_pull_requests_a_link_in_a_tasks_place_stops_nothing_else() {
    let mirror = Mirror::new().with("CREATE_VIA_PR", "true");
    let service = mirror.service();
    mirror.github.commit(
        "main",
        &[(
            &mirror.path("0000-Eins.md"),
            Change::Link("anderswo".to_owned()),
        )],
        "Link it",
    );
    for title in ["Eins", "Zwei"] {
        create(&service, title);
    }
    eventually("the other one is proposed", || {
        mirror.github.pulls().len() == 1
    });
    eventually("nothing waits", || {
        mirror.book_now()["lastError"]["code"] == "not_a_file"
    });
    assert_eq!(mirror.github.branches().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timers_function_is_only_the_hosts() {
    let mirror = Mirror::new();
    let service = mirror.service();
    let call = json!({"Data": {}, "Metadata": {"sys": {"MethodName": "gitPush"}}}).to_string();
    assert_eq!(send(&service, "POST", "/gitPush", "", &call).status, 200);
    let through_the_host = send(
        &service,
        "POST",
        "/gitPush",
        "x-forwarded-host: example.org\r\n",
        &call,
    );
    assert_eq!(code(&through_the_host), (404, "not_found".to_owned()));
    for body in [
        "",
        "{}",
        "null",
        r#"{"Metadata": {"sys": {"MethodName": "janitor"}}}"#,
    ] {
        assert_eq!(
            send(&service, "POST", "/gitPush", "", body).status,
            404,
            "{body}"
        );
    }
    let mut alone = mirror.command();
    let alone = Service::start(alone.env_remove("FUNCTIONS_CUSTOMHANDLER_PORT"));
    assert_eq!(send(&alone, "POST", "/gitPush", "", &call).status, 404);
}
