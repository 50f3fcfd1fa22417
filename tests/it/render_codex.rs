//! `GET /codex` over HTTP.

use http::{Request, StatusCode};
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::contract::DOCUMENT;
use crate::support::http::{get, send};
use crate::support::scene::{Scene, task};

/// The HTTP layer reads the real clock, so the scene starts at the present.
fn scene() -> Scene {
    let scene = Scene::starting(&chrono::Utc::now().to_rfc3339());
    scene.file("0000-Brief-schreiben.md", &task("Brief schreiben"));
    scene
}

#[tokio::test]
async fn the_week_comes_as_json_with_its_headers() {
    let scene = scene();
    let a = scene.instance();
    let reply = send(&a, get("/codex")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.header("content-type"),
        "application/json; charset=utf-8"
    );
    assert_eq!(reply.header("cache-control"), "private, no-cache");
    assert_eq!(reply.header("vary"), "Accept-Encoding");
    assert_eq!(reply.header("x-codex-cache"), "rebuild");
    assert_eq!(
        reply.header("server-timing"),
        r#"reads;desc="5", writes;desc="1""#
    );
    let document = reply.json();
    assert_eq!(
        document["version"].to_string(),
        reply.header("x-codex-version")
    );
    let mut members: Vec<&String> = document.as_object().unwrap().keys().collect();
    members.sort();
    assert_snapshot!(format!("{members:?}"), @r#"["cacheCreatedAt", "generatedAt", "nextAvailableId", "problems", "timeZone", "timeline", "unplaced", "userId", "validUntil", "version", "weekStart"]"#);
    let again = send(&a, get("/codex")).await;
    assert_eq!(
        (again.header("x-codex-cache"), &again.body),
        ("memory", &reply.body)
    );
    assert_eq!(
        again.headers["server-timing"],
        r#"reads;desc="0", writes;desc="0""#
    );
}

#[tokio::test]
async fn a_tasks_document_has_every_member() {
    let scene = Scene::starting("2026-03-09T07:00:00Z");
    scene.file(
        "0007-Zahnarzt.md",
        "---\ntyp: task\nkategorie: privat\ntags: [gesundheit, 007]\ndeadline: 10.03.2026\nfixedSlot:\n  datum: 11.03.2026\n  zeit: Abends\n---\n\n# Zahnarzt <b>\n",
    );
    scene.file("0008-Auch.md", "---\ntyp: task\nkategorie: privat\nfixedSlot: [{datum: 11.03.2026}, {zeit: abends}]\n---\n");
    scene.file("0009-kaputt.md", "---\ntyp: task\nkategorie: beides\n---\n");
    let a = scene.instance();
    let document = a.json(&scene.read(&a).await);
    assert_snapshot!(document["timeline"][2]["slots"][2], @r#"{"task":{"deadline":"10.03.2026","deadlineMissed":true,"file":"raw/anna/tasks/0007-Zahnarzt.md","id":"0007","isFixed":true,"kategorie":"privat","status":"offen","tags":["gesundheit","007"],"title":"Zahnarzt <b>"},"zeit":"abends"}"#);
    assert_snapshot!(document["unplaced"], @r#"[{"deadline":null,"file":"raw/anna/tasks/0008-Auch.md","id":"0008","kategorie":"privat","reason":"slot_taken","takenBy":"raw/anna/tasks/0007-Zahnarzt.md","title":"Auch"}]"#);
    assert_snapshot!(document["problems"], @r#"[{"code":"bad_kategorie","file":"raw/anna/tasks/0009-kaputt.md","line":3,"message":"kategorie must be one of arbeit, privat, not `beides`"}]"#);
}

#[tokio::test]
async fn unchanged_means_304_compared_weakly_and_for_each_format() {
    let scene = scene();
    let a = scene.instance();
    let json = send(&a, get("/codex")).await;
    let html = send(&a, get("/codex?format=html")).await;
    let (of_json, of_html) = (
        json.header("etag").to_owned(),
        html.header("etag").to_owned(),
    );
    assert!(of_json.starts_with("W/\"") && of_json != of_html);
    for known in [
        of_json.as_str(),
        &of_json[2..],
        &format!("\"x\", {of_json}"),
        "*",
    ] {
        let reply = send(&a, get("/codex").header("if-none-match", known)).await;
        assert_eq!(
            (reply.status, reply.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{known}"
        );
        assert_eq!(reply.header("etag"), of_json);
        assert!(!reply.header("x-codex-version").is_empty());
    }
    let other = send(&a, get("/codex").header("if-none-match", of_html)).await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn gzip_is_sent_to_whom_takes_it_and_says_the_same() {
    let scene = scene();
    let a = scene.instance();
    let plain = send(&a, get("/codex").header("accept-encoding", "gzip;q=0, br")).await;
    assert_eq!(plain.header("content-encoding"), "");
    for accepted in ["gzip", "br, gzip;q=0.5", "*", "deflate, GZIP"] {
        let packed = send(&a, get("/codex").header("accept-encoding", accepted)).await;
        assert_eq!(packed.header("content-encoding"), "gzip", "{accepted}");
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(
            &mut flate2::read::GzDecoder::new(&packed.body[..]),
            &mut unpacked,
        )
        .unwrap();
        assert_eq!(unpacked, plain.body);
        assert_eq!(packed.header("etag"), plain.header("etag"));
    }
}

#[tokio::test]
async fn the_page_is_html_under_a_policy_that_allows_its_style_only() {
    let scene = scene();
    scene.file(
        "0001-böse.md",
        &task("<script>alert(1)</script> & \"mehr\""),
    );
    let a = scene.instance();
    let page = send(&a, get("/codex?format=html")).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe")
    );
    let text = page.text();
    assert!(
        text.contains("Brief schreiben")
            && text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp;")
    );
    assert!(!text.contains("<script"));
}

/// Each language is a representation of its own, with its own entity tag; the JSON document has no language.
#[tokio::test]
async fn the_page_is_german_or_english_as_the_browser_wishes() {
    let scene = Scene::starting("2026-03-02T07:00:00Z");
    scene.file(
        "0007-Zahnarzt.md",
        "---\ntyp: task\nkategorie: privat\ndeadline: 01.03.2026\nfixedSlot: {datum: 03.03.2026, zeit: abends}\n---\n\n# Zahnarzt\n",
    );
    scene.file("0008-kaputt.md", "---\ntyp: task\nkategorie: beides\n---\n");
    let a = scene.instance();
    let wished = |query: &str, languages: &str| {
        let request = get(&format!("/codex?format={query}"));
        request
            .header("accept-language", languages)
            .extension(scene.now())
    };
    for query in ["html", "html&bodies=true"] {
        let german = send(&a, wished(query, "de, en;q=0.9")).await;
        let english = send(&a, wished(query, "en-GB, de;q=0.9")).await;
        assert_eq!(german.header("vary"), "Accept-Encoding, Accept-Language");
        assert_ne!(german.header("etag"), english.header("etag"));
        let known = wished(query, "en").header("if-none-match", german.header("etag"));
        assert_eq!(send(&a, known).await.status, StatusCode::OK);
        let words = [
            (
                german,
                [
                    "lang=\"de\"",
                    "Heute, ",
                    "jetzt dran",
                    "Privat · fester Termin",
                    "bis 01.03.2026 – überfällig",
                    "Zeile 3: kategorie muss arbeit oder privat sein.",
                ],
            ),
            (
                english,
                [
                    "lang=\"en\"",
                    "Today, ",
                    "up now",
                    "Private · fixed",
                    "due 01.03.2026 – overdue",
                    "line 3: kategorie must be one of arbeit, privat, not `beides`",
                ],
            ),
        ];
        for (page, words) in words {
            for word in words {
                assert!(page.text().contains(word), "{word} in {}", page.text());
            }
        }
    }
    let of = |languages| send(&a, wished("json", languages));
    let (german, english) = (of("de").await, of("en").await);
    assert_eq!(german.header("vary"), "Accept-Encoding");
    assert_eq!(german.header("etag"), english.header("etag"));
}

/// In English a problem has its own message.
#[test]
fn every_code_and_word_of_the_week_has_its_texts() {
    let texts: Value = serde_json::from_str(include_str!("../../src/view/words.json")).unwrap();
    let schemas = &DOCUMENT["components"]["schemas"];
    for (schema, member, languages) in [
        ("ProblemCode", "problem", &["de"][..]),
        ("Reason", "reason", &["de", "en"]),
        ("Zeit", "zeit", &["de", "en"]),
        ("Kategorie", "kategorie", &["de", "en"]),
        ("Status", "status", &["de", "en"]),
    ] {
        let codes = schemas[schema]["enum"].as_array().unwrap();
        for language in languages {
            let texts = texts[language][member].as_object().unwrap();
            assert_eq!(texts.len(), codes.len(), "{language} {member}");
            for code in codes {
                let text = texts.get(code.as_str().unwrap());
                assert!(text.is_some_and(Value::is_string), "{language} {code}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_are_rendered_and_harmless() {
    let scene = scene();
    let body = "# Titel\n\n- [ ] **erstens**\n\n<script>x()</script> <img src=\"https://example.com/a.png\">\n\n[klick](javascript:x) ![](https://example.com/b.png) <a href=\"https://example.com\" onclick=\"x()\">gut</a>\n";
    scene.file(
        "0001-x.md",
        &format!("---\ntyp: task\nkategorie: arbeit\n---\n\n{body}"),
    );
    let a = scene.instance();
    let page = send(&a, get("/codex?format=html&bodies=true")).await;
    let text = page.text();
    assert!(
        text.contains("<strong>erstens</strong>")
            && text.contains(r#"rel="noopener noreferrer nofollow""#)
    );
    for harm in ["<script", "<img", "javascript:", "onclick"] {
        assert!(!text.contains(harm), "{harm} in {text}");
    }
    assert_eq!(
        text.matches("Titel").count(),
        1,
        "the title isn't said twice"
    );
    assert!(text.contains("<div class=\"week by-day\">"));
    assert!(text.contains("<a href=\"/codex?format=html\">Ohne Texte</a>"));
    let without = send(&a, get("/codex?format=html")).await;
    assert_ne!(without.header("etag"), page.header("etag"));
    let with = "<a href=\"/codex?format=html&amp;bodies=true\">Mit Texten</a>";
    assert!(without.text().contains(with));
    let known = page.header("etag").to_owned();
    let unchanged = send(
        &a,
        get("/codex?format=html&bodies=true").header("if-none-match", known),
    )
    .await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    // Only the body changes, not the titles and slots.
    scene.file(
        "0001-x.md",
        "---\ntyp: task\nkategorie: arbeit\n---\n\n# Titel\n\nanders\n",
    );
    let changed = send(&a, get("/codex?format=html&bodies=true&nocache=true")).await;
    assert_ne!(changed.header("etag"), page.header("etag"));
}

#[tokio::test]
async fn nocache_lists_anew_and_no_cache_asks_the_state() {
    let scene = scene();
    let a = scene.instance();
    send(&a, get("/codex")).await;
    scene.file("0001-Fremd.md", &task("Fremd"));
    let strict = send(
        &a,
        get("/codex").header("cache-control", "max-age=0, no-cache"),
    )
    .await;
    assert_eq!(
        strict.header("server-timing"),
        r#"reads;desc="1", writes;desc="0""#
    );
    assert!(
        !strict.text().contains("Fremd"),
        "other writers' files take a listing"
    );
    for rebuilding in [
        "/codex?nocache=true",
        "/codex?code=abc&nocache=1&format=json",
    ] {
        let rebuilt = send(&a, get(rebuilding)).await;
        assert_eq!(rebuilt.header("x-codex-cache"), "rebuild");
        assert!(rebuilt.text().contains("Fremd"));
    }
}

#[tokio::test]
async fn the_version_a_client_brings_back_is_the_larger_of_header_and_own_cookie() {
    let scene = scene();
    let a = scene.instance();
    let version: u64 = send(&a, get("/codex"))
        .await
        .header("x-codex-version")
        .parse()
        .unwrap();
    let reads = async |name: &str, value: String| {
        let reply = send(&a, get("/codex").header(name, value)).await;
        reply.header("server-timing").to_owned()
    };
    let none = r#"reads;desc="0", writes;desc="0""#;
    let one = r#"reads;desc="1", writes;desc="0""#;
    assert_eq!(reads("x-codex-version", version.to_string()).await, none);
    assert_eq!(
        reads("x-codex-version", (version + 1).to_string()).await,
        one
    );
    assert_eq!(reads("x-codex-version", "kaputt".to_owned()).await, none);
    assert_eq!(
        reads("cookie", format!("a=b; codex_version=anna:{}", version + 1)).await,
        one
    );
    assert_eq!(
        reads("cookie", format!("codex_version=bert:{}", version + 1)).await,
        none
    );
    assert_eq!(
        reads(
            "cookie",
            format!("codex_version=\"anna:{}\"; a=b", version + 2)
        )
        .await,
        one,
        "in quotes, as some clients write it"
    );
    assert_eq!(
        reads(
            "cookie",
            "codex_version=anna:-1; codex_version=x".to_owned()
        )
        .await,
        none
    );
}

#[tokio::test]
async fn bad_requests_are_refused_by_name_and_cost_no_storage_request() {
    let scene = scene();
    let a = scene.instance();
    assert_snapshot!(send(&a, get("/codex?format=pdf")).await.refusal(), @r#"400 {"ok":false,"code":"invalid_query","error":"format must be json or html.","field":"format"}"#);
    assert_snapshot!(send(&a, get("/codex?nocache=vielleicht")).await.refusal(), @r#"400 {"ok":false,"code":"invalid_query","error":"This parameter must be true or false.","field":"nocache"}"#);
    assert_snapshot!(send(&a, get("/codex?bodies=2")).await.refusal(), @r#"400 {"ok":false,"code":"invalid_query","error":"This parameter must be true or false.","field":"bodies"}"#);
    assert_snapshot!(send(&a, get("/codex/../etc/passwd")).await.refusal(), @r#"404 {"ok":false,"code":"not_found","error":"There is nothing at this path; the week is at /codex."}"#);
    assert_snapshot!(send(&a, get("/codex%2F..")).await.refusal(), @r#"404 {"ok":false,"code":"not_found","error":"There is nothing at this path; the week is at /codex."}"#);
    let wrong = send(&a, Request::post("/codex").header("host", "localhost")).await;
    assert_snapshot!(wrong.refusal(), @r#"405 {"ok":false,"code":"method_not_allowed","error":"This path knows other methods: see the Allow header."}"#);
    assert_eq!(wrong.header("allow"), "GET,HEAD");
    assert_eq!(a.took(), "");
}

#[tokio::test]
async fn without_sign_in_only_loopback_names_are_answered() {
    let scene = scene();
    let a = scene.instance();
    for host in [
        "localhost",
        "LOCALHOST:7071",
        "127.0.0.1:80",
        "127.8.8.8",
        "[::1]:7071",
    ] {
        assert_eq!(
            send(&a, Request::get("/codex").header("host", host))
                .await
                .status,
            StatusCode::OK,
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "127.0.0.1.evil.example:80",
        "[::2]",
        "",
    ] {
        let refused = send(&a, Request::get("/codex").header("host", host)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{host}");
    }
    let forwarded = get("/codex").header("x-forwarded-host", "evil.example");
    assert_snapshot!(send(&a, forwarded).await.refusal(), @r#"403 {"ok":false,"code":"host_not_allowed","error":"Without sign-in only this machine may ask: use localhost or 127.0.0.1 in the address."}"#);
    assert_eq!(
        send(&a, Request::get("/codex")).await.status,
        StatusCode::FORBIDDEN,
        "no host at all"
    );
}

#[tokio::test]
async fn an_outage_is_told_without_inner_words() {
    let scene = scene();
    let a = scene.instance();
    a.line.set_outage(true);
    let reply = send(&a, get("/codex")).await;
    assert_snapshot!(reply.refusal(), @r#"503 {"ok":false,"code":"storage_unavailable","error":"The storage can't be reached: try again soon.","requestId":"(id)"}"#);
    assert_eq!(reply.header("retry-after"), "2");
    assert_snapshot!(send(&a, get("/readyz")).await.refusal(), @r#"503 {"ok":false,"code":"storage_unavailable","error":"The storage can't be reached.","requestId":"(id)"}"#);
    assert_eq!(send(&a, get("/healthz")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn readiness_is_asked_once_in_five_seconds() {
    let scene = scene();
    let a = scene.instance();
    for _ in 0..10 {
        assert_eq!(send(&a, get("/readyz")).await.status, StatusCode::OK);
    }
    assert_eq!(a.took(), "1 get state");
}

#[tokio::test]
async fn the_hosts_ping_is_cheap_and_no_redirect() {
    let scene = scene();
    let a = scene.instance();
    let reply = send(&a, Request::get("/")).await;
    assert_eq!((reply.status, a.took().as_str()), (StatusCode::OK, ""));
    assert_eq!(
        send(&a, Request::head("/codex").header("host", "localhost"))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn rebuilds_on_demand_are_limited_per_user() {
    let scene = scene();
    let a = scene.instance_with(3, 1 << 20);
    for _ in 0..3 {
        assert_eq!(
            send(&a, get("/codex?nocache=true")).await.status,
            StatusCode::OK
        );
    }
    let strict = send(&a, get("/codex").header("cache-control", "no-cache")).await;
    assert_eq!(strict.status, StatusCode::TOO_MANY_REQUESTS);
    let refused = send(&a, get("/codex?nocache=true")).await;
    assert_snapshot!(refused.refusal(), @r#"429 {"ok":false,"code":"too_many_requests","error":"Too many rebuilds in a minute: read without nocache, or try again later."}"#);
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(send(&a, get("/codex")).await.status, StatusCode::OK);
}
