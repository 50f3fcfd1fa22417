//! The web app's page and assets, as they are served. `tests/system/web.rs` tests their behaviour.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use serde_json::json;

use crate::support::http::{Reply, get, send};
use crate::support::scene::{Instance, Scene};

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn page(a: &Instance, languages: &str) -> Reply {
    let request = get("/").header("accept", BROWSER);
    send(a, request.header("accept-language", languages)).await
}

/// The text between each `before` and the next quotation mark.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    let after = text.split(before).skip(1);
    after.map(|it| it.split('"').next().unwrap()).collect()
}

fn assets(page: &str) -> Vec<&str> {
    let named = [quoted(page, "href=\""), quoted(page, "src=\"")].concat();
    let assets = named.into_iter().filter(|it| it.starts_with("/assets/"));
    assets.collect()
}

#[tokio::test]
async fn a_browser_gets_the_page_and_a_program_the_greeting() {
    let a = Scene::new().instance();
    let greeting = send(&a, get("/")).await;
    assert_snapshot!(greeting.text(), @r#"{"ok":true,"service":"codex-miroir","week":"/codex"}"#);
    assert_eq!(greeting.header("vary"), "Accept");
    let page = page(&a, "de").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-cache");
    assert_eq!(
        page.header("vary"),
        "Accept, Accept-Encoding, Accept-Language"
    );
    let again = get("/")
        .header("accept", BROWSER)
        .header("if-none-match", page.header("etag"));
    let again = send(&a, again).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
}

#[tokio::test]
async fn the_page_is_german_or_english_as_the_browser_wishes() {
    let a = Scene::new().instance();
    for (wished, lang) in [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("fr-FR,fr;q=0.9,EN-us;q=0.4", "en"),
        ("fr", "de"),
        ("en;q=0", "de"),
        ("en, de", "en"),
        ("en;q=high, de;q=0.1", "de"),
        ("", "de"),
    ] {
        let page = page(&a, wished).await.text();
        let given = quoted(&page, "lang=\"")[0];
        assert_eq!(given, lang, "{wished}");
        assert!(!page.contains(['{', '}']), "every placeholder has its word");
    }
}

#[tokio::test]
async fn the_page_may_load_nothing_that_isnt_its_own() {
    let page = page(&Scene::new().instance(), "de").await;
    let policy = page.header("content-security-policy").replace("; ", "\n");
    assert_snapshot!(policy, @"
    default-src 'none'
    script-src 'self'
    style-src 'self'
    img-src 'self' data:
    connect-src 'self'
    manifest-src 'self'
    worker-src 'self'
    base-uri 'none'
    form-action 'none'
    frame-ancestors 'none'
    require-trusted-types-for 'script'
    trusted-types codex
    ");
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(page.header(name), value, "{name}");
    }
    let text = page.text();
    assert!(!text.contains("<style") && !text.contains(" style="));
    let inline = text
        .split("<script")
        .skip(1)
        .filter(|it| !it.contains("src="));
    assert_eq!(inline.count(), 0);
}

#[tokio::test]
async fn a_file_of_the_page_is_kept_for_ever_and_named_by_its_content() {
    let a = Scene::new().instance();
    let page = page(&a, "de").await.text();
    let assets = assets(&page);
    assert_eq!(assets.len(), 5, "{assets:?}");
    for path in assets {
        let file = send(&a, get(path)).await;
        assert_eq!(file.status, 200, "{path}");
        assert_eq!(
            file.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        let packed = send(&a, get(path).header("accept-encoding", "gzip")).await;
        if path.ends_with(".png") {
            assert_eq!(packed.body, file.body, "it is compressed already");
        } else {
            assert_eq!(packed.header("content-encoding"), "gzip");
            assert!(packed.body.len() < file.body.len(), "{path}");
        }
        let again = get(path).header("if-none-match", file.header("etag"));
        assert_eq!(send(&a, again).await.status, 304);
        let (stem, kind) = path.rsplit_once('.').unwrap();
        let of_another_version = format!("{}0000.{kind}", &stem[..stem.len() - 4]);
        let gone = send(&a, get(&of_another_version)).await;
        assert_eq!(gone.status, 404, "{of_another_version}");
    }
}

#[tokio::test]
async fn the_script_is_served_without_its_comments_and_whole() {
    let a = Scene::new().instance();
    let page = page(&a, "de").await.text();
    let script = assets(&page)
        .into_iter()
        .find(|it| it.ends_with(".js"))
        .unwrap();
    let script = send(&a, get(script)).await.text();
    for line in script.lines() {
        let is_comment = ["//", "/*", "*"].iter().any(|it| line.starts_with(it));
        assert!(!is_comment && !line.is_empty(), "{line}");
    }
    for part in [
        "const GERMAN = {",
        "function render() {",
        "await refresh();",
    ] {
        assert!(script.contains(part), "{part}");
    }
}

/// Everything, compressed, stays under 60 KB. The first paint needs the page, its style sheet
/// and its script.
#[tokio::test]
async fn all_of_it_weighs_less_than_sixty_kilobytes() {
    let a = Scene::new().instance();
    let mut weight = 0;
    let text = page(&a, "de").await.text();
    for path in ["/", "/sw.js"].into_iter().chain(assets(&text)) {
        let request = get(path).header("accept", BROWSER);
        let file = send(&a, request.header("accept-encoding", "gzip")).await;
        println!("{:6} {path}", file.body.len());
        weight += file.body.len();
    }
    println!("{weight:6} bytes in all, gzip");
    assert!(weight < 60_000);
    assert_eq!(quoted(&text, "<link rel=\"stylesheet\" href=\"").len(), 1);
    assert_eq!(quoted(&text, "src=\"").len(), 1);
}

#[tokio::test]
async fn the_service_worker_keeps_exactly_what_the_page_names() {
    let a = Scene::new().instance();
    let worker = send(&a, get("/sw.js")).await;
    assert_eq!(
        worker.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(worker.header("cache-control"), "no-cache");
    let worker = worker.text();
    let pages = [page(&a, "de").await.text(), page(&a, "en").await.text()];
    let list = worker.lines().next().unwrap();
    let kept: BTreeSet<&str> = quoted(list, "\"/assets/").into_iter().collect();
    let named = pages.iter().flat_map(|page| assets(page));
    let named: BTreeSet<&str> = named.map(|it| &it["/assets/".len()..]).collect();
    assert_eq!(kept, named);
    assert_eq!(kept.len(), quoted(list, "\"/assets/").len());
}

/// A device installs the app by its manifest: with icons of these sizes, and a way to a new task in its menu.
#[tokio::test]
async fn each_manifest_names_icons_that_are_there_in_their_sizes() {
    let a = Scene::new().instance();
    for (language, new_task) in [("de", "Neue Aufgabe"), ("en", "New task")] {
        let page = page(&a, language).await.text();
        let path = quoted(&page, "<link rel=\"manifest\" href=\"")[0];
        let manifest = send(&a, get(path)).await;
        assert_eq!(manifest.header("content-type"), "application/manifest+json");
        let manifest = manifest.json();
        assert_eq!(
            (&manifest["id"], &manifest["lang"]),
            (&json!("/"), &json!(language))
        );
        assert_eq!(
            manifest["shortcuts"],
            json!([{"name": new_task, "url": "/#/new"}])
        );
        let mut purposes = vec![];
        for icon in manifest["icons"].as_array().unwrap() {
            let file = send(&a, get(icon["src"].as_str().unwrap())).await;
            assert_eq!(file.header("content-type"), icon["type"], "{icon}");
            if icon["type"] == "image/png" {
                assert_eq!(icon["sizes"], size_of_png(&file.body), "{icon}");
            }
            purposes.push((
                icon["sizes"].as_str().unwrap(),
                icon["purpose"].as_str().unwrap(),
            ));
        }
        purposes.sort_unstable();
        assert_eq!(
            purposes,
            [
                ("192x192", "any"),
                ("512x512", "any"),
                ("512x512", "maskable"),
                ("any", "any")
            ]
        );
        let touch = quoted(&page, "<link rel=\"apple-touch-icon\" href=\"")[0];
        assert_eq!(size_of_png(&send(&a, get(touch)).await.body), "180x180");
    }
}

/// Width and height as the file's header says.
fn size_of_png(file: &[u8]) -> String {
    assert_eq!(&file[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    format!("{}x{}", number(16), number(20))
}

#[tokio::test]
async fn the_older_services_pages_lead_to_the_new_ones() {
    let a = Scene::new().instance();
    for (older, newer) in [
        ("/index.html", "/"),
        ("/create-task.html", "/#/new"),
        ("/login.html", "/login"),
    ] {
        let answer = send(&a, get(older)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (302, newer)
        );
    }
}

/// Where sign-in is off, `/login` redirects to `return_to` directly.
#[tokio::test]
async fn without_a_sign_in_login_goes_straight_on() {
    let a = Scene::new().instance();
    let on = send(&a, get("/login?return_to=%2F%23%2Fnew")).await;
    assert_eq!((on.status.as_u16(), on.header("location")), (302, "/#/new"));
    assert_eq!(send(&a, get("/login")).await.header("location"), "/");
    for (accept, message) in [
        (BROWSER, "Diese Adresse stimmt nicht."),
        ("*/*", "return_to must be a path"),
    ] {
        let elsewhere = get("/login?return_to=%2F%2Fevil.example").header("accept", accept);
        let elsewhere = send(&a, elsewhere).await;
        assert_eq!(elsewhere.status, 400);
        assert!(elsewhere.text().contains(message), "{}", elsewhere.text());
    }
}
