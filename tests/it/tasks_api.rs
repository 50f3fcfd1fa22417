//! Creating, changing, completing, listing and showing tasks over HTTP (`src/http/README.md`, "Tasks").

use http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::http::{Reply, get, request, send, send_body, send_json};
use crate::support::losing_store::Loss;
use crate::support::scene::{Instance, RAW, Scene, task};

/// The HTTP layer reads the real clock, so the scene starts at the present.
fn scene() -> Scene {
    Scene::starting(&chrono::Utc::now().to_rfc3339())
}

async fn create(instance: &Instance, body: Value) -> Reply {
    send_json(instance, "POST", "/api/tasks", body).await
}

async fn update(instance: &Instance, id: &str, body: Value) -> Reply {
    send_json(instance, "PATCH", &format!("/api/tasks/{id}"), body).await
}

async fn show(instance: &Instance, id: &str) -> Value {
    send(instance, get(&format!("/api/tasks/{id}"))).await.ok()
}

fn text_of(scene: &Scene, name: &str) -> String {
    let blob = scene.store.peek(&format!("{RAW}{name}")).unwrap();
    String::from_utf8(blob.bytes.to_vec()).unwrap()
}

/// The lines that differ, as `- old` and `+ new`.
fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (
        before.split_inclusive('\n').collect(),
        after.split_inclusive('\n').collect(),
    );
    let same = before
        .iter()
        .zip(&after)
        .take_while(|(a, b)| a == b)
        .count();
    let left = before.len().min(after.len()) - same;
    let pairs = before.iter().rev().zip(after.iter().rev());
    let end = pairs.take(left).take_while(|(a, b)| a == b).count();
    let old = before[same..before.len() - end]
        .iter()
        .map(|line| format!("- {line:?}\n"));
    let new = after[same..after.len() - end]
        .iter()
        .map(|line| format!("+ {line:?}\n"));
    old.chain(new).collect()
}

#[tokio::test]
async fn a_created_task_is_there_with_a_number_a_place_and_a_version() {
    let scene = scene();
    let a = scene.instance();
    let reply = create(
        &a,
        json!({"kategorie": "arbeit", "title": "E-Mail & Co", "tags": ["büro", " "], "deadline": "24.12.2026",
               "fixedSlot": {"datum": "22.12.2026", "zeit": "ABENDS"}, "body": "Text\n", "typ": "task"}),
    )
    .await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let version = reply.header("x-codex-version").to_owned();
    let text = reply.text().replace(&version, "(version)");
    assert_snapshot!(text, @r#"{"ok":true,"id":"0000","path":"codex-miroir/anna/tasks/0000-E-Mail-Co.md","filename":"0000-E-Mail-Co.md","version":(version),"gitPushed":false,"gitPending":false}"#);
    assert_eq!(reply.header("location"), "/api/tasks/0000-E-Mail-Co");
    assert_eq!(
        reply.header("set-cookie"),
        format!("codex_version=anna:{version}; Path=/; HttpOnly; SameSite=Lax")
    );
    assert_snapshot!(text_of(&scene, "0000-E-Mail-Co.md"), @"
    ---
    typ: task
    kategorie: arbeit
    status: offen
    tags:
      - büro
    deadline: 24.12.2026
    fixedSlot:
      datum: 22.12.2026
      zeit: abends
    ---

    # E-Mail & Co

    Text
    ");
    let shown = send(&a, get(reply.header("location"))).await;
    assert_eq!(shown.header("etag"), reply.header("etag"));
    let sha = shown.header("etag").trim_matches('"').to_owned();
    let text = shown.text().replace(&sha, "(sha)");
    assert_snapshot!(text, @r##"{"ok":true,"id":"0000","file":"raw/anna/tasks/0000-E-Mail-Co.md","filename":"0000-E-Mail-Co.md","title":"E-Mail & Co","kategorie":"arbeit","status":"offen","tags":["büro"],"deadline":"24.12.2026","fixedSlot":{"datum":"22.12.2026","zeit":"abends"},"abgeschlossen_am":null,"etag":"(sha)","body":"# E-Mail & Co\n\nText\n","html":"<h1>E-Mail &amp; Co</h1>\n<p>Text</p>\n"}"##);
}

#[tokio::test]
async fn a_task_that_is_created_as_done_is_done_as_of_now() {
    let scene = scene();
    let a = scene.instance();
    create(
        &a,
        json!({"kategorie": "privat", "status": "abgeschlossen"}),
    )
    .await
    .ok();
    let task = show(&a, "0000").await;
    assert_eq!(
        (&task["filename"], &task["status"]),
        (&json!("0000-untitled.md"), &json!("abgeschlossen"))
    );
    assert!(task["abgeschlossen_am"]["datum"].is_string());
    let again = send(&a, request("POST", "/api/tasks/0000/complete"))
        .await
        .ok();
    assert_eq!(again["completedAt"], task["abgeschlossen_am"]);
}

/// Create, get, list, update, get: each returns the strings as they were sent.
#[tokio::test]
async fn strings_that_mean_something_to_yaml_or_html_come_back_as_they_were_sent() {
    let scene = scene();
    let a = scene.instance();
    let strings = [
        "a]",
        "#x",
        "a: b",
        "123",
        "true",
        "yes",
        "---",
        "2026-01-01",
        "- x",
        "<script>alert(1)</script>",
        "zeile\u{2028}zeile",
        "next\u{85}line",
        "ä",
        "'",
        "\"",
        "\\",
        "{a}",
        "&x",
        "*x",
        "!x",
        "%x",
        "@x",
        "`x`",
        "~",
    ];
    let body = strings.join("\n\n");
    let created = create(
        &a,
        json!({"kategorie": "arbeit", "title": strings[2], "tags": strings, "body": body}),
    )
    .await
    .ok();
    let id = created["id"].as_str().unwrap();
    let task = show(&a, id).await;
    assert_eq!(task["tags"], json!(strings));
    assert_eq!(task["body"], json!(format!("# a: b\n\n{body}")));
    assert!(
        !task["html"].as_str().unwrap().contains("<script"),
        "{}",
        task["html"]
    );
    for tag in strings {
        update(&a, id, json!({"tags": [tag], "body": tag}))
            .await
            .ok();
        let task = show(&a, id).await;
        assert_eq!((&task["tags"], &task["body"]), (&json!([tag]), &json!(tag)));
        let found = send(&a, get("/api/tasks?status=alle")).await.ok();
        assert_eq!(found["tasks"][0]["tags"], json!([tag]));
    }
    for bad in ["ä\u{0}", "glocke\u{7}", "\u{FFFE}", "\u{1F}"] {
        for field in ["title", "body"] {
            let refused = create(&a, json!({"kategorie": "arbeit", field: bad})).await;
            assert_eq!(
                (refused.status.as_u16(), &refused.json()["field"]),
                (400, &json!(field)),
                "{bad:?}"
            );
        }
        let refused = update(&a, id, json!({"tags": ["gut", bad]})).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["field"]),
            (400, &json!("tags")),
            "{bad:?}"
        );
    }
    let refused = create(&a, json!({"kategorie": "arbeit", "title": "zwei\nZeilen"})).await;
    assert_snapshot!(refused.refusal(), @r#"400 {"ok":false,"code":"invalid_field","error":"This text holds a control character, a line break where one line is meant, or a non-character: remove it.","field":"title"}"#);
}

#[tokio::test]
async fn bad_input_is_refused_by_name_and_costs_no_storage_request() {
    let scene = scene();
    scene.file("0000-Da.md", &task("Da"));
    let a = scene.instance();
    let mut refusals = String::new();
    for body in [
        "{",
        "null",
        "[]",
        "\"x\"",
        "{}",
        r#"{"kategorie":null}"#,
        r#"{"kategorie":"beides"}"#,
        r#"{"kategorie":"arbeit","status":"fertig"}"#,
        r#"{"kategorie":"arbeit","prioritaet":1}"#,
        r#"{"kategorie":"arbeit","typ":"note"}"#,
        r#"{"kategorie":"arbeit","title":7}"#,
        r#"{"kategorie":"arbeit","tags":"x"}"#,
        r#"{"kategorie":"arbeit","tags":[1]}"#,
        r#"{"kategorie":"arbeit","deadline":"31.02.2026"}"#,
        r#"{"kategorie":"arbeit","deadline":"1.1.26"}"#,
        r#"{"kategorie":"arbeit","deadline":"2026-01-01"}"#,
        r#"{"kategorie":"arbeit","fixedSlot":"x"}"#,
        r#"{"kategorie":"arbeit","fixedSlot":{}}"#,
        r#"{"kategorie":"arbeit","fixedSlot":{"datum":"01.01.2026"}}"#,
        r#"{"kategorie":"arbeit","fixedSlot":{"zeit":"morgens"}}"#,
        r#"{"kategorie":"arbeit","fixedSlot":{"datum":"01.01.2026","zeit":"nachts"}}"#,
        r#"{"kategorie":"arbeit","fixedSlot":{"datum":"31.02.2026","zeit":"morgens"}}"#,
        r#"{"kategorie":"arbeit","fixedSlot":{"datum":"01.01.2026","zeit":"morgens","ort":"hier"}}"#,
    ] {
        let reply = send_json(&a, "POST", "/api/tasks", body).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{body}: {}",
            reply.text()
        );
        let document = reply.json();
        refusals += &format!(
            "{body} → {} {}: {}\n",
            document["code"].as_str().unwrap(),
            document["field"].as_str().unwrap_or("-"),
            document["error"].as_str().unwrap()
        );
    }
    assert_snapshot!(refusals, @r#"
    { → invalid_json -: The body isn't JSON at line 1, column 1: mend it.
    null → invalid_json -: The body must be a JSON object, as in {"kategorie":"arbeit"}.
    [] → invalid_json -: The body must be a JSON object, as in {"kategorie":"arbeit"}.
    "x" → invalid_json -: The body must be a JSON object, as in {"kategorie":"arbeit"}.
    {} → invalid_field kategorie: kategorie is missing: give arbeit or privat.
    {"kategorie":null} → invalid_field kategorie: kategorie must be a text.
    {"kategorie":"beides"} → invalid_field kategorie: kategorie can't be that: kategorie must be one of arbeit, privat.
    {"kategorie":"arbeit","status":"fertig"} → invalid_field status: status can't be that: status must be one of offen, abgeschlossen, abgebrochen.
    {"kategorie":"arbeit","prioritaet":1} → unknown_field prioritaet: This field isn't known here: leave it out.
    {"kategorie":"arbeit","typ":"note"} → invalid_field typ: typ can only be task.
    {"kategorie":"arbeit","title":7} → invalid_field title: title must be a text.
    {"kategorie":"arbeit","tags":"x"} → invalid_field tags: tags must be a list of texts.
    {"kategorie":"arbeit","tags":[1]} → invalid_field tags: tags must be a list of texts.
    {"kategorie":"arbeit","deadline":"31.02.2026"} → invalid_field deadline: deadline can't be that: a date is written dd.mm.yyyy and must exist, as in 24.12.2026.
    {"kategorie":"arbeit","deadline":"1.1.26"} → invalid_field deadline: deadline can't be that: a date is written dd.mm.yyyy and must exist, as in 24.12.2026.
    {"kategorie":"arbeit","deadline":"2026-01-01"} → invalid_field deadline: deadline can't be that: a date is written dd.mm.yyyy and must exist, as in 24.12.2026.
    {"kategorie":"arbeit","fixedSlot":"x"} → invalid_field fixedSlot: fixedSlot must be {datum, zeit} or null.
    {"kategorie":"arbeit","fixedSlot":{}} → invalid_field fixedSlot.datum: fixedSlot.datum is missing: give datum and zeit.
    {"kategorie":"arbeit","fixedSlot":{"datum":"01.01.2026"}} → invalid_field fixedSlot.zeit: fixedSlot.zeit is missing: give datum and zeit.
    {"kategorie":"arbeit","fixedSlot":{"zeit":"morgens"}} → invalid_field fixedSlot.datum: fixedSlot.datum is missing: give datum and zeit.
    {"kategorie":"arbeit","fixedSlot":{"datum":"01.01.2026","zeit":"nachts"}} → invalid_field fixedSlot.zeit: fixedSlot.zeit can't be that: zeit must be one of morgens, nachmittags, abends.
    {"kategorie":"arbeit","fixedSlot":{"datum":"31.02.2026","zeit":"morgens"}} → invalid_field fixedSlot.datum: fixedSlot.datum can't be that: a date is written dd.mm.yyyy and must exist, as in 24.12.2026.
    {"kategorie":"arbeit","fixedSlot":{"datum":"01.01.2026","zeit":"morgens","ort":"hier"}} → unknown_field fixedSlot.ort: This field isn't known here: leave it out.
    "#);
    for (method, path, body) in [
        ("PUT", "/api/tasks/0000", r#"{"title":7}"#),
        ("PATCH", "/api/tasks/0000", r#"{"kategorie":null}"#),
        ("PATCH", "/api/tasks/0000", r#"{"status":null}"#),
        ("PATCH", "/api/tasks/0000", r#"{"tags":null}"#),
        (
            "POST",
            "/api/tasks/0000/complete",
            r#"{"datum":"01.01.2026"}"#,
        ),
        ("POST", "/api/tasks/0000/complete", r#"{"zeit":"morgens"}"#),
        (
            "POST",
            "/api/tasks/0000/complete",
            r#"{"datum":"30.02.2026","zeit":"morgens"}"#,
        ),
        ("POST", "/api/tasks/0000/complete", r#"{"wann":"heute"}"#),
        ("POST", "/api/preview", r#"{"text":"x"}"#),
        ("POST", "/api/preview", r#"{"body":7}"#),
    ] {
        let reply = send_json(&a, method, path, body).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{method} {path} {body}"
        );
        assert!(reply.json()["field"].is_string(), "{}", reply.text());
    }
    for query in [
        "status=fertig",
        "status=",
        "status=offen,",
        "status=offen&status=fertig",
        "status=alle,fertig",
        "done_from=2026-01-01",
        "done_to=31.02.2026",
        "due_from=1.1.26",
        "due_to=",
        "kategorie=x",
        "limit=0",
        "limit=501",
        "limit=x",
        "cursor=%21",
        "cursor=eA",
    ] {
        let reply = send(&a, get(&format!("/api/tasks?{query}"))).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["code"]),
            (400, &json!("invalid_query")),
            "{query}"
        );
        let field = query.split('=').next();
        assert_eq!(reply.json()["field"].as_str(), field, "{query}");
    }
    assert_eq!(a.took(), "");
}

#[tokio::test]
async fn what_cannot_be_an_id_makes_no_storage_request() {
    let scene = scene();
    let a = scene.instance();
    for id in [
        "..",
        "%2e%2e",
        "..%2F..%2Fstate",
        "0000%2F..",
        "%00",
        "0000%00",
        "0000-a%5Cb",
        "1",
        "00000",
        "abcd",
        "0000x",
        "%F0%28",
        "0000-a%0Ab",
        "../../state/anna/state.json",
    ] {
        for (method, path) in [
            ("GET", format!("/api/tasks/{id}")),
            ("PATCH", format!("/api/tasks/{id}")),
            ("POST", format!("/api/tasks/{id}/complete")),
        ] {
            let reply = send_json(&a, method, &path, "{}").await;
            assert!(
                matches!(reply.status.as_u16(), 400 | 404) && reply.json()["ok"] == false,
                "{method} {path}: {} {}",
                reply.status,
                reply.text()
            );
        }
    }
    assert_eq!(a.took(), "");
}

#[tokio::test]
async fn sizes_and_types_are_bounded() {
    let scene = scene();
    let a = scene.instance();
    let large = format!(
        r#"{{"kategorie":"arbeit","body":"{}"}}"#,
        "x".repeat(1 << 20)
    );
    let refused = send_json(&a, "POST", "/api/tasks", &large).await;
    assert_snapshot!(refused.refusal(), @r#"413 {"ok":false,"code":"body_too_large","error":"The body is over 1 MiB: send a smaller one."}"#);
    // Without a `Content-Length` the body is counted as it arrives.
    let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1 << 16]));
    let chunked = axum::body::Body::from_stream(futures::stream::iter(chunks));
    let post = || request("POST", "/api/tasks").header("content-type", "application/json");
    assert_eq!(
        send_body(&a, post(), chunked).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );

    let tight = format!(
        r#"{{"kategorie":"arbeit","body":"{}"}}"#,
        "x".repeat((1 << 20) - 50)
    );
    let refused = send_json(&a, "POST", "/api/tasks", &tight).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (413, &json!("task_too_large"))
    );

    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
    ] {
        let post = request("POST", "/api/tasks").header("content-type", content_type);
        let refused = send_body(&a, post, r#"{"kategorie":"arbeit"}"#).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (415, &json!("unsupported_media_type"))
        );
    }
    let deep = format!(
        r#"{{"kategorie":{}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    assert_eq!(
        send_json(&a, "POST", "/api/tasks", deep).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(a.took(), "", "none of it reached the store");
    let post =
        request("POST", "/api/tasks").header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(
        send_body(&a, post, r#"{"kategorie":"arbeit"}"#)
            .await
            .status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_known() {
    let scene = scene();
    let a = scene.instance();
    for (method, path, allowed) in [
        ("DELETE", "/api/tasks", "GET,HEAD,POST"),
        ("POST", "/api/tasks/0000", "DELETE,GET,HEAD,PATCH,PUT"),
        ("GET", "/api/tasks/0000/complete", "POST"),
        ("GET", "/api/preview", "POST"),
    ] {
        let reply = send_json(&a, method, path, "{}").await;
        let mut allow: Vec<&str> = reply.header("allow").split(',').map(str::trim).collect();
        allow.sort_unstable();
        assert_eq!(
            (reply.status.as_u16(), allow.join(",")),
            (405, allowed.to_owned()),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn an_update_changes_the_lines_of_its_fields_and_no_other() {
    let scene = scene();
    let text = "\u{FEFF}---\r\ntyp: task\r\nkategorie: arbeit # Büro\r\nmeins: [1, 2]\r\nfixedSlot:\r\n  datum: 22.12.2026\r\n  zeit: Abends\r\ntags: [a, b]\r\nstatus: offen\r\n---\r\n\r\n# Kopf\r\n\r\nkein Ende";
    scene.file("0007-Kopf.md", text);
    let a = scene.instance();
    let mut changes = String::new();
    let mut before = text.to_owned();
    for body in [
        json!({"fixedSlot": null}),
        json!({"fixedSlot": {"datum": "22.12.2026", "zeit": "abends"}}),
        json!({"kategorie": "privat"}),
        json!({"deadline": "01.12.2026"}),
        json!({"deadline": null}),
        json!({"status": "abgebrochen"}),
        json!({"tags": ["a", "c d"]}),
        json!({}),
        json!({"kategorie": "privat", "tags": ["a", "c d", ""]}),
    ] {
        let reply = update(&a, "0007", body.clone()).await;
        let etag = reply.ok()["etag"].as_str().unwrap().to_owned();
        assert_eq!(reply.header("etag"), format!("\"{etag}\""));
        let after = text_of(&scene, "0007-Kopf.md");
        changes += &format!("{body}\n{}", difference(&before, &after));
        before = after;
    }
    assert_snapshot!(changes, @r#"
    {"fixedSlot":null}
    - "fixedSlot:\r\n"
    - "  datum: 22.12.2026\r\n"
    - "  zeit: Abends\r\n"
    + "fixedSlot: null\r\n"
    {"fixedSlot":{"datum":"22.12.2026","zeit":"abends"}}
    - "fixedSlot: null\r\n"
    + "fixedSlot:\r\n"
    + "  datum: 22.12.2026\r\n"
    + "  zeit: abends\r\n"
    {"kategorie":"privat"}
    - "kategorie: arbeit # Büro\r\n"
    + "kategorie: privat # Büro\r\n"
    {"deadline":"01.12.2026"}
    + "deadline: 01.12.2026\r\n"
    {"deadline":null}
    - "deadline: 01.12.2026\r\n"
    {"status":"abgebrochen"}
    - "status: offen\r\n"
    + "status: abgebrochen\r\n"
    {"tags":["a","c d"]}
    - "tags: [a, b]\r\n"
    + "tags: [a, c d]\r\n"
    {}
    {"kategorie":"privat","tags":["a","c d",""]}
    "#);
    let reply = send_json(
        &a,
        "POST",
        "/api/tasks/0007-Kopf/complete",
        json!({"datum": "02.12.2026", "zeit": "Morgens"}),
    )
    .await;
    assert_eq!(
        reply.ok()["completedAt"],
        json!({"datum": "02.12.2026", "zeit": "morgens"})
    );
    let after = text_of(&scene, "0007-Kopf.md");
    assert_snapshot!(difference(&before, &after), @r#"
    - "status: abgebrochen\r\n"
    + "status: abgeschlossen\r\n"
    + "abgeschlossen_am:\r\n"
    + "  datum: 02.12.2026\r\n"
    + "  zeit: morgens\r\n"
    "#);
}

#[tokio::test]
async fn completing_twice_keeps_the_first_date_and_writes_nothing() {
    let scene = scene();
    scene.file("0000-Brief.md", &task("Brief"));
    let a = scene.instance();
    let first = send_json(
        &a,
        "POST",
        "/api/tasks/0000/complete",
        json!({"datum": "01.02.2026", "zeit": "abends"}),
    )
    .await
    .ok();
    assert_eq!(
        first["completedAt"],
        json!({"datum": "01.02.2026", "zeit": "abends"})
    );
    assert!(first["alreadyCompleted"].is_null());
    let text = text_of(&scene, "0000-Brief.md");
    a.took();
    let second = send(&a, request("POST", "/api/tasks/0000/complete"))
        .await
        .ok();
    assert_eq!(
        (
            &second["completedAt"],
            &second["alreadyCompleted"],
            &second["etag"]
        ),
        (&first["completedAt"], &json!(true), &first["etag"])
    );
    assert_eq!(
        a.took(),
        "1 get state",
        "the index is confirmed, and nothing is written"
    );
    assert_eq!(text_of(&scene, "0000-Brief.md"), text);
    // The same at another instance, which hasn't seen the completion, and by an update.
    let b = scene.instance();
    assert_eq!(
        send(&b, request("POST", "/api/tasks/0000/complete"))
            .await
            .ok()["alreadyCompleted"],
        true
    );
    update(&b, "0000", json!({"status": "abgeschlossen"}))
        .await
        .ok();
    assert_eq!(text_of(&scene, "0000-Brief.md"), text);
    update(&b, "0000", json!({"status": "offen"})).await.ok();
    let open = show(&b, "0000").await;
    assert_eq!(
        (&open["status"], &open["abgeschlossen_am"]),
        (&json!("offen"), &Value::Null)
    );
    assert_eq!(
        text_of(&scene, "0000-Brief.md"),
        task("Brief"),
        "undone, to the byte"
    );
}

#[tokio::test]
async fn a_task_that_was_done_by_hand_without_a_time_stays_as_it_is() {
    let scene = scene();
    scene.file(
        "0000-Alt.md",
        "---\ntyp: task\nkategorie: arbeit\nstatus: abgeschlossen\n---\n",
    );
    let a = scene.instance();
    let done = send(&a, request("POST", "/api/tasks/0000/complete"))
        .await
        .ok();
    assert_eq!(
        (done.get("completedAt"), &done["alreadyCompleted"]),
        (None, &json!(true))
    );
}

#[tokio::test]
async fn if_match_guards_an_update() {
    let scene = scene();
    scene.file("0000-Brief.md", &task("Brief"));
    let a = scene.instance();
    let etag = send(&a, get("/api/tasks/0000"))
        .await
        .header("etag")
        .to_owned();
    let guarded = async |instance: &Instance, if_match: &str, tag: &str| {
        let patch = request("PATCH", "/api/tasks/0000")
            .header("content-type", "application/json")
            .header("if-match", if_match);
        send_body(instance, patch, json!({"tags": [tag]}).to_string()).await
    };
    let first = guarded(&a, &format!("\"x\", {etag}"), "eins").await;
    assert_eq!(first.status, StatusCode::OK);
    for stale in [
        etag.as_str(),
        "\"nothing\"",
        "W/\"x\"",
        &format!("W/{}", first.header("etag")),
    ] {
        let refused = guarded(&a, stale, "zwei").await;
        assert_eq!(
            refused.refusal(),
            r#"412 {"ok":false,"code":"precondition_failed","error":"The task has changed: get it again, and decide anew."}"#
        );
        assert!(!refused.header("x-codex-version").is_empty());
    }
    assert_eq!(guarded(&a, "*", "drei").await.status, StatusCode::OK);
    let etag = guarded(&a, "*", "vier").await.header("etag").to_owned();
    // An instance whose copy is older asks the store before it refuses.
    assert_eq!(
        guarded(&scene.instance(), &etag, "fünf").await.status,
        StatusCode::OK
    );
    let seen = show(&a, "0000").await;
    assert_eq!(
        seen["tags"],
        json!(["fünf"]),
        "the body is fetched in the version that the index names, or the index anew"
    );
}

#[tokio::test]
async fn a_task_is_named_by_its_number_or_its_stem() {
    let scene = scene();
    for name in ["0042-Steuer.md", "0042-.md", "0043.md", "0044-notiz.md"] {
        scene.file(name, &task("Aufgabe"));
    }
    scene.file("0044-notiz.md", "keine Aufgabe");
    let a = scene.instance();
    let refused = send(&a, get("/api/tasks/0042")).await;
    assert_snapshot!(refused.refusal(), @r#"409 {"ok":false,"code":"ambiguous_id","error":"Several tasks have this number: ask by one of the stems.","stems":["0042-","0042-Steuer"]}"#);
    assert_eq!(show(&a, "0042-").await["filename"], "0042-.md");
    assert_eq!(show(&a, "0042-Steuer").await["filename"], "0042-Steuer.md");
    assert_eq!(show(&a, "0043").await["filename"], "0043.md");
    for (method, path) in [
        ("PATCH", "/api/tasks/0042"),
        ("POST", "/api/tasks/0042/complete"),
    ] {
        let refused = send_json(&a, method, path, "{}").await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (409, &json!("ambiguous_id"))
        );
        assert!(!refused.header("x-codex-version").is_empty());
    }
    send_json(&a, "POST", "/api/tasks/0042-Steuer/complete", "{}")
        .await
        .ok();
    for id in ["0044", "0044-notiz", "0099", "0042-Andere"] {
        for (method, path) in [
            ("GET", format!("/api/tasks/{id}")),
            ("PATCH", format!("/api/tasks/{id}")),
            ("POST", format!("/api/tasks/{id}/complete")),
        ] {
            let refused = send_json(&a, method, &path, "{}").await;
            assert_eq!(
                (refused.status.as_u16(), &refused.json()["code"]),
                (404, &json!("task_not_found")),
                "{method} {id}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_shown_raw_and_never_written() {
    let scene = scene();
    let text = "---\ntyp: task\nkategorie: [\n---\nText";
    scene.file("0005-kaputt.md", text);
    scene.file(
        "0006-flow.md",
        "---\n{typ: task, kategorie: arbeit}\n---\n\nText\n",
    );
    let a = scene.instance();
    let shown = send(&a, get("/api/tasks/0005")).await;
    let document = shown.ok();
    assert_eq!(
        (&document["body"], &document["html"]),
        (&json!(text), &Value::Null)
    );
    assert_eq!(
        (
            &document["problem"]["code"],
            document["problem"]["line"].is_u64()
        ),
        (&json!("bad_yaml"), true)
    );
    for (method, path) in [
        ("PATCH", "/api/tasks/0005"),
        ("POST", "/api/tasks/0005/complete"),
    ] {
        let refused = send_json(&a, method, path, "{}").await;
        let document = refused.json();
        assert_eq!(
            (
                refused.status.as_u16(),
                &document["code"],
                document["line"].is_u64()
            ),
            (409, &json!("task_unreadable"), true),
            "{document}"
        );
    }
    assert_eq!(text_of(&scene, "0005-kaputt.md"), text);
    let refused = update(&a, "0006", json!({"status": "abgebrochen"})).await;
    assert_snapshot!(refused.refusal(), @r#"409 {"ok":false,"code":"front_matter_not_editable","error":"The front matter can't be changed here without touching something else: edit the file by hand.","line":2}"#);
    update(&a, "0006", json!({"body": "Neu\n"})).await.ok();
    // Once an editor has repaired the file, it can be changed immediately.
    scene.file("0005-kaputt.md", &task("Heil"));
    send(&a, request("POST", "/api/tasks/0005/complete"))
        .await
        .ok();
}

#[tokio::test]
async fn the_list_filters_pages_and_costs_no_more_than_the_week() {
    let scene = scene();
    for number in 0..5 {
        scene.file(
            &format!("{number:04}-Aufgabe.md"),
            &task(&format!("Aufgabe {number}")),
        );
    }
    scene.file("0005-Zahnarzt.md", "---\ntyp: task\nkategorie: privat\ntags: [Gesundheit, 'a b']\nfixedSlot: {datum: 31.02.2026}\n---\n");
    scene.file(
        "0006-Fertig.md",
        "---\ntyp: task\nkategorie: privat\nstatus: abgeschlossen\nabgeschlossen_am: {datum: 24.12.2025, zeit: abends}\n---\n",
    );
    scene.file("0007-kaputt.md", "---\ntyp: task\n---\n");
    scene.file(
        "0008-Abgesagt.md",
        "---\ntyp: task\nkategorie: privat\nstatus: abgebrochen\ndeadline: 24.12.2025\n---\n",
    );
    let a = scene.instance();
    let list = async |query: &str| {
        let document = send(&a, get(&format!("/api/tasks{query}"))).await.ok();
        let ids = document["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["id"].as_str().unwrap().to_owned());
        (
            ids.collect::<Vec<_>>().join(" "),
            document["nextCursor"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(
        list("").await,
        ("0000 0001 0002 0003 0004 0005".into(), None)
    );
    a.took();
    assert_eq!(
        list("?status=alle").await.0,
        "0000 0001 0002 0003 0004 0005 0006 0008"
    );
    assert_eq!(list("?status=abgeschlossen").await.0, "0006");
    assert_eq!(
        list("?status=abgeschlossen&status=abgebrochen").await.0,
        "0006 0008"
    );
    assert_eq!(
        list("?status=abgebrochen,abgeschlossen").await.0,
        "0006 0008"
    );
    assert_eq!(
        list("?status=abgebrochen&status=alle").await.0,
        list("?status=alle").await.0
    );
    let of_the_day = "?status=alle&done_from=24.12.2025&done_to=24.12.2025".to_owned();
    assert_eq!(list(&of_the_day).await.0, "0006");
    assert_eq!(list(&of_the_day.replace("done", "due")).await.0, "0008");
    assert_eq!(list("?done_from=24.12.2025").await.0, "", "open tasks only");
    assert_eq!(list("?kategorie=privat").await.0, "0005");
    assert_eq!(list("?tag=a+b").await.0, "0005");
    assert_eq!(list("?tag=gesundheit").await.0, "");
    assert_eq!(list("?q=GESUND").await.0, "0005");
    assert_eq!(list("?q=aufgabe%203").await.0, "0003");
    assert_eq!(list("?q=0004&code=abc").await.0, "0004");
    // All words must match, in any order.
    assert_eq!(list("?q=3+aufgabe").await.0, "0003");
    assert_eq!(list("?q=gesund+b+zahn").await.0, "0005");
    assert_eq!(list("?q=aufgabe+gesund").await.0, "");
    assert_eq!(
        list("?q=+").await.0,
        "0000 0001 0002 0003 0004 0005",
        "blanks are no word"
    );
    let (first, cursor) = list("?limit=4").await;
    assert_eq!(first, "0000 0001 0002 0003");
    let (second, end) = list(&format!("?limit=4&cursor={}", cursor.unwrap())).await;
    assert_eq!((second.as_str(), end), ("0004 0005", None));
    assert_eq!(
        list("?limit=6").await,
        ("0000 0001 0002 0003 0004 0005".into(), None)
    );
    assert_eq!(a.took(), "");
}

#[tokio::test]
async fn the_preview_is_harmless_and_stores_nothing() {
    let scene = scene();
    let a = scene.instance();
    let body = "# Hallo\n<script>x</script>\n\n[a](javascript:x) [b](https://example.org) ![c](https://example.org/c.png) <b onclick=x>d</b>";
    let html = send_json(&a, "POST", "/api/preview", json!({"body": body}))
        .await
        .ok();
    assert_snapshot!(html["html"].as_str().unwrap(), @r#"
    <h1>Hallo</h1>

    <p><a rel="noopener noreferrer nofollow">a</a> <a href="https://example.org" rel="noopener noreferrer nofollow">b</a>  <b>d</b></p>
    "#);
    assert_eq!(
        send(&a, request("POST", "/api/preview")).await.ok()["html"],
        ""
    );
    assert_eq!(a.took(), "");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let scene = scene();
    scene.file("0000-Brief.md", &task("Brief"));
    let a = scene.instance();
    let complete = |headers: &[(&str, &str)]| {
        headers.iter().fold(
            request("POST", "/api/tasks/0000/complete"),
            |request, (name, value)| request.header(*name, *value),
        )
    };
    for headers in [
        [("origin", "https://evil.example"), ("accept", "*/*")],
        [("origin", "null"), ("accept", "*/*")],
        [("origin", "http://localhost:9999"), ("accept", "*/*")],
        [
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "same-origin"),
        ],
        [("sec-fetch-site", "cross-site"), ("accept", "*/*")],
        [("sec-fetch-site", "none"), ("accept", "*/*")],
    ] {
        let refused = send(&a, complete(&headers)).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (403, &json!("cross_origin")),
            "{headers:?}"
        );
    }
    assert_eq!(a.took(), "");
    for headers in [
        vec![],
        vec![("origin", "http://localhost:7071")],
        vec![("sec-fetch-site", "same-origin")],
        vec![
            ("x-forwarded-host", "127.0.0.1:8080"),
            ("origin", "http://127.0.0.1:8080"),
        ],
    ] {
        send(&a, complete(&headers)).await.ok();
    }
}

#[tokio::test]
async fn too_many_writes_of_one_user_wait() {
    let scene = scene();
    let a = scene.instance_limited(2);
    for _ in 0..2 {
        assert_eq!(
            create(&a, json!({"kategorie": "arbeit"})).await.status,
            StatusCode::CREATED
        );
    }
    a.took();
    let refused = create(&a, json!({"kategorie": "arbeit"})).await;
    assert_snapshot!(refused.refusal(), @r#"429 {"ok":false,"code":"too_many_requests","error":"Too many changes in a minute: try again later."}"#);
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(a.took(), "");
    assert_eq!(
        send(&a, get("/codex")).await.status,
        StatusCode::OK,
        "reading goes on"
    );
}

#[tokio::test]
async fn an_idempotency_key_makes_one_task_of_two_requests() {
    let scene = scene();
    let (a, b) = (scene.instance(), scene.instance());
    let keyed = async |instance: &Instance, key: &str, body: &str| {
        let post = request("POST", "/api/tasks")
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        send_body(instance, post, body.to_owned()).await
    };
    let body = r#"{"kategorie":"arbeit","title":"Einmal"}"#;
    let first = keyed(&a, "k-1", body).await;
    let same = keyed(&b, "k-1", body).await;
    assert_eq!((first.status.as_u16(), same.status.as_u16()), (201, 200));
    let (mut first, same) = (first.ok(), same.ok());
    first["reused"] = json!(true);
    assert_eq!(first, same);
    // The body repeats the first version, but header and cookie name the current one: reads must stay monotonic.
    let later = create(&b, json!({"kategorie": "arbeit"})).await;
    let version = later.header("x-codex-version").to_owned();
    let again = keyed(&b, "k-1", body).await;
    assert_eq!(again.ok()["version"], first["version"]);
    assert_eq!(again.header("x-codex-version"), version);
    assert!(again.header("set-cookie").contains(&version));
    let other = keyed(&a, "k-1", r#"{"kategorie":"arbeit","title": "Einmal"}"#).await;
    assert_snapshot!(other.refusal(), @r#"422 {"ok":false,"code":"idempotency_key_reused","error":"This Idempotency-Key came with another body before: use a new key."}"#);
    for bad in ["", "a b", "ä", &"x".repeat(256)] {
        let refused = keyed(&a, bad, body).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (400, &json!("invalid_header")),
            "{bad:?}"
        );
    }
    assert_eq!(
        keyed(&a, &"x".repeat(255), body).await.status,
        StatusCode::CREATED
    );
    let list = send(&a, get("/api/tasks").header("cache-control", "no-cache"))
        .await
        .ok();
    assert_eq!(list["tasks"].as_array().unwrap().len(), 3);
}

/// The responses when the store or other writers are in the way; `writes` tests the interleavings behind them.
#[tokio::test]
async fn what_stands_in_the_way_of_a_write_is_said_with_what_to_do() {
    let scene = scene();
    scene.file("0000-Da.md", &task("Da"));
    let a = scene.instance();
    send(&a, get("/codex")).await;

    a.line.lose_next("put", RAW, Loss::Request);
    let unknown = create(&a, json!({"kategorie": "arbeit"})).await;
    assert_snapshot!(unknown.refusal(), @r#"503 {"ok":false,"code":"outcome_unknown","error":"Whether it was written can't be known yet: repeat it soon, with the same Idempotency-Key if it had one.","requestId":"(id)"}"#);
    assert_eq!(unknown.header("retry-after"), "2");
    assert!(!unknown.header("x-codex-version").is_empty());

    a.line.set_outage(true);
    let away = create(&a, json!({"kategorie": "arbeit"})).await;
    assert_snapshot!(away.refusal(), @r#"503 {"ok":false,"code":"storage_unavailable","error":"The storage can't be reached: try again soon.","requestId":"(id)"}"#);
    assert_eq!(away.header("retry-after"), "2");
    a.line.set_outage(false);

    let gates: Vec<_> = (0..3).map(|_| a.gate.hold_next("put", RAW)).collect();
    let losing = update(&a, "0000", json!({"tags": ["nie"]}));
    let (conflict, ()) = tokio::join!(losing, async {
        for (round, gate) in gates.iter().enumerate() {
            gate.reached().await;
            scene.file("0000-Da.md", &task(&format!("Fremd {round}")));
            gate.release();
        }
    });
    assert_snapshot!(conflict.refusal(), @r#"409 {"ok":false,"code":"conflict","error":"Others kept changing the task, and nothing was written: try again."}"#);
    assert_eq!(text_of(&scene, "0000-Da.md"), task("Fremd 2"));

    scene.change_state(|state| state.format.major = 2);
    let newer = create(&scene.instance(), json!({"kategorie": "arbeit"})).await;
    assert_snapshot!(newer.refusal(), @r#"503 {"ok":false,"code":"newer_format","error":"The data was written by a newer version of the service: update this one.","requestId":"(id)"}"#);
}

#[tokio::test]
async fn without_a_free_number_a_create_says_so() {
    let scene = scene();
    let a = scene.instance();
    for number in 0..10_000 {
        scene.file(&format!("{number:04}.md"), "x");
    }
    let none = create(&a, json!({"kategorie": "arbeit"})).await;
    assert_snapshot!(none.refusal(), @r#"409 {"ok":false,"code":"ids_exhausted","error":"All 10,000 task numbers are taken: remove files of tasks that are long done."}"#);
}

#[tokio::test]
async fn titles_that_mean_something_to_yaml_come_back_as_they_were_sent() {
    let scene = scene();
    let a = scene.instance();
    for title in [
        "a]",
        "#x",
        "123",
        "yes",
        "---",
        "===",
        "zeile\u{2028}zeile",
        "<script>",
        "- x",
        "# doppelt",
    ] {
        let created = create(&a, json!({"kategorie": "arbeit", "title": title}))
            .await
            .ok();
        let shown = show(&a, created["id"].as_str().unwrap()).await;
        assert_eq!(
            (&shown["title"], &shown["body"]),
            (&json!(title), &json!(format!("# {title}\n")))
        );
    }
}

/// Whatever HTML a text contains, its only form controls are task list checkboxes, and its only URLs those of links.
#[tokio::test]
async fn the_preview_lets_no_form_and_no_other_address_through() {
    let scene = scene();
    let a = scene.instance();
    let rendered = async |body: String| {
        let answer = send_json(&a, "POST", "/api/preview", json!({"body": body})).await;
        answer.ok()["html"].as_str().unwrap().to_owned()
    };
    let html = rendered(
        "- [ ] offen\n- [x] fertig\n- <input type=text>\n- <input type=checkbox disabled>\n".into(),
    );
    assert_snapshot!(html.await, @r#"
    <ul>
    <li><input type="checkbox" disabled="">
    offen</li>
    <li><input type="checkbox" disabled="" checked="">
    fertig</li>
    <li>
    </li>
    <li>
    </li>
    </ul>
    "#);
    let addresses = [
        "href",
        "src",
        "cite",
        "action",
        "formaction",
        "background",
        "poster",
        "data",
        "longdesc",
        "profile",
        "usemap",
        "manifest",
        "xlink:href",
        "ping",
        "srcset",
        "icon",
        "dynsrc",
        "lowsrc",
        "codebase",
        "classid",
        "archive",
        "imagesrcset",
        "itemid",
        "itemtype",
    ];
    let elements = [
        "a",
        "abbr",
        "area",
        "article",
        "bdo",
        "blockquote",
        "button",
        "caption",
        "cite",
        "col",
        "colgroup",
        "data",
        "del",
        "details",
        "dfn",
        "div",
        "figure",
        "form",
        "h1",
        "hr",
        "img",
        "input",
        "ins",
        "li",
        "map",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "ruby",
        "section",
        "select",
        "span",
        "summary",
        "table",
        "tbody",
        "td",
        "textarea",
        "th",
        "time",
        "tr",
        "ul",
        "video",
    ];
    for element in elements {
        for scheme in ["javascript:alert(1)", "data:text/html,x", "vbscript:x"] {
            let each = addresses.map(|it| format!("<{element} {it}=\"{scheme}\">x</{element}>"));
            let html = rendered(each.join("\n\n")).await;
            assert!(!html.contains(scheme), "{html}");
        }
        let html = rendered(format!("<{element}>x</{element}>")).await;
        for form in ["<input", "<button", "<select", "<textarea", "<form"] {
            assert!(!html.contains(form), "{html}");
        }
    }
}

/// Letters with diacritics in NFC and in NFD, as keyboards and file systems produce them.
#[tokio::test]
async fn a_search_finds_letters_with_marks_in_both_normal_forms() {
    let scene = scene();
    scene.file("0000-a.md", &task("U\u{308}bung am Cafe\u{301}"));
    scene.file("0001-b.md", &task("\u{dc}bung am Caf\u{e9}"));
    let a = scene.instance();
    for words in ["\u{fc}BUNG caf\u{e9}", "u\u{308}bung CAFE\u{301}"] {
        let words: String = form_urlencoded::byte_serialize(words.as_bytes()).collect();
        let document = send(&a, get(&format!("/api/tasks?q={words}"))).await.ok();
        let found = document["tasks"].as_array().unwrap().len();
        assert_eq!(found, 2, "{words}");
    }
}

/// A Functions host forwards the path as the client spelled it.
#[tokio::test]
async fn a_path_is_known_in_any_letter_case_and_with_a_slash_at_its_end() {
    let scene = scene();
    scene.file("0000-Brief.md", &task("Brief"));
    let a = scene.instance();
    for (spelled, meant) in [
        ("/codex/", "/codex"),
        ("/Codex?format=json", "/codex?format=json"),
        ("/API/Tasks/?q=brief", "/api/tasks?q=brief"),
        ("/Api/TASKS/0000-Brief/", "/api/tasks/0000-Brief"),
        ("/HealthZ/", "/healthz"),
        ("/OpenAPI.json", "/openapi.json"),
        ("/AUTH/me/", "/auth/me"),
        ("/Create-Task.html", "/create-task.html"),
        ("/Assets/APP.css", "/assets/APP.css"),
    ] {
        let (one, other) = (send(&a, get(spelled)).await, send(&a, get(meant)).await);
        assert_eq!(one.status, other.status, "{spelled}");
        assert_eq!(one.body, other.body, "{spelled}");
        assert_eq!(
            one.headers.get("location"),
            other.headers.get("location"),
            "{spelled}"
        );
    }
    assert_eq!(send(&a, get("/codex/")).await.status, 200);
    for path in ["/nirgends/", "/codex//"] {
        assert_eq!(send(&a, get(path)).await.status, 404, "{path}");
    }
    // The letter case of names in the path is significant.
    assert_eq!(send(&a, get("/API/tasks/0000-brief")).await.status, 404);
    for (method, path) in [("POST", "/GitHub/Webhook/"), ("DELETE", "/Codex/")] {
        let meant = path.to_lowercase();
        let meant = send(&a, request(method, meant.trim_end_matches('/'))).await;
        assert_ne!(meant.status, 404);
        let spelled = send(&a, request(method, path)).await;
        assert_eq!(spelled.status, meant.status, "{path}");
    }
    let done = send(&a, request("POST", "/Api/Tasks/0000/Complete/")).await;
    assert_eq!(done.status, 200);
}

#[tokio::test]
async fn a_task_that_the_client_has_already_is_a_304() {
    let scene = scene();
    scene.file("0000-Brief.md", &task("Brief"));
    let a = scene.instance();
    let first = send(&a, get("/api/tasks/0000")).await;
    let etag = first.header("etag").to_owned();
    for has in [
        etag.clone(),
        format!("W/{etag}"),
        format!("\"x\", {etag}"),
        "*".into(),
    ] {
        let again = get("/api/tasks/0000").header("if-none-match", has);
        let again = send(&a, again).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
        for header in ["etag", "x-codex-version", "cache-control"] {
            assert_eq!(again.header(header), first.header(header));
        }
    }
    scene.own_file("0000-Brief.md", &task("Anders"));
    let strict = get("/api/tasks/0000")
        .header("if-none-match", &etag)
        .header("cache-control", "no-cache");
    let changed = send(&a, strict).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), etag);
}

#[tokio::test]
async fn a_body_may_begin_with_a_byte_order_mark_and_must_not_be_packed() {
    let scene = scene();
    let a = scene.instance();
    let body = "\u{feff}{\"title\":\"Neu\",\"kategorie\":\"arbeit\"}";
    let created = send_json(&a, "POST", "/api/tasks", body).await;
    assert_eq!(created.status, 201);
    for (coding, status) in [("gzip", 415), ("br, identity", 415), ("identity", 201)] {
        let post = request("POST", "/api/tasks")
            .header("content-type", "application/json")
            .header("content-encoding", coding);
        let reply = send_body(&a, post, r#"{"kategorie":"arbeit"}"#).await;
        assert_eq!(reply.status, status, "{coding}");
        if status == 415 {
            assert_eq!(
                reply.refusal(),
                r#"415 {"ok":false,"code":"unsupported_media_type","error":"The body must not be compressed: send it without Content-Encoding."}"#
            );
        }
    }
}
