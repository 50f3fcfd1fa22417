//! The OpenAPI document: its date pattern, its examples, and how it is served.

mod examples;

use std::path::{Path, PathBuf};

use codex_miroir::task::Datum;
use serde_json::{Value, json};

use crate::support::contract::{DOCUMENT, operations};
use crate::support::http::{get, send};
use crate::support::scene::Scene;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The document's date pattern accepts what the parser accepts: exactly the days that exist.
#[test]
fn a_date_in_the_document_is_a_day_that_exists() {
    let schema = &DOCUMENT["components"]["schemas"]["Datum"];
    let validator = jsonschema::validator_for(schema).unwrap();
    let years = (0..=9999).filter(|year| year % 97 == 0 || year % 100 == 0 || year % 4 == 3);
    for year in years.step_by(3).chain([1900, 2000, 2024, 2100, 2400]) {
        for (day, month) in (0..=32).flat_map(|day| (0..=13).map(move |month| (day, month))) {
            let text = format!("{day:02}.{month:02}.{year:04}");
            let exists = text.parse::<Datum>().is_ok();
            assert_eq!(validator.is_valid(&json!(text)), exists, "{text}");
        }
    }
}

/// The pages list routes and codes, too. Those lists are maintained by hand, so they must be checked.
#[test]
fn the_pages_name_every_route_and_every_code() {
    let page = |name: &str| {
        let path = tests().with_file_name(name);
        std::fs::read_to_string(path).unwrap()
    };
    let api = page("src/http/README.md");
    let paths = DOCUMENT["paths"].as_object().unwrap().keys();
    for path in paths {
        let fixed = path.split('{').next().unwrap();
        assert!(api.contains(fixed), "{path}");
    }
    let lists = [
        ("Code", api),
        ("ProblemCode", page("src/task/README.md")),
        ("SkipCode", page("src/git_sync/README.md")),
    ];
    for (list, page) in lists {
        let words = &DOCUMENT["components"]["schemas"][list]["enum"];
        for word in words.as_array().unwrap() {
            let word = word.as_str().unwrap();
            assert!(page.contains(&format!("`{word}`")), "{list}: {word}");
        }
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_given_once() {
    let a = Scene::new().instance();
    for path in ["/openapi.json", "/docs"] {
        let first = send(&a, get(path)).await;
        let etag = first.header("etag").to_owned();
        let again = send(&a, get(path).header("if-none-match", &etag)).await;
        assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 304));
        assert_eq!(first.header("cache-control"), "public, max-age=300");
        assert!(again.body.is_empty());
    }
    assert_eq!(send(&a, get("/openapi.json")).await.json(), *DOCUMENT);
    assert_eq!(DOCUMENT["servers"][0]["url"], "/");
}

/// The page has no script and loads nothing, and every link has a target.
#[tokio::test]
async fn the_page_shows_every_operation_and_every_type() {
    let page = send(&Scene::new().instance(), get("/docs")).await;
    let text = page.text();
    let ids = |id: &str| text.contains(&format!("id=\"{id}\""));
    let groups: Vec<&Value> = DOCUMENT["tags"].as_array().unwrap().iter().collect();
    for operation in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(
            groups.iter().any(|it| it["name"] == operation["tags"][0]),
            "{id}"
        );
        let section = text.split_once(&format!("<section id=\"{id}\">"));
        let (_, section) = section.unwrap_or_else(|| panic!("{id}"));
        let section = section.split("</section>").next().unwrap();
        let command = section.split("<pre>").nth(1).unwrap();
        assert!(command.starts_with("curl -i "), "{id}");
        let command = command.split("</pre>").next().unwrap();
        let address = command.rsplit(' ').next().unwrap();
        assert!(
            address.starts_with("http") && !address.contains('{'),
            "{command}"
        );
        let answer = section.split("<pre>").nth(2).unwrap();
        let answer = answer.split("</pre>").next().unwrap();
        // A status line, and what is answered: a body, or where to go.
        let (status, rest) = answer.split_once('\n').unwrap();
        assert!(status.starts_with("HTTP/1.1 ") && status.len() > 12, "{id}");
        let has_body = rest
            .split_once("\n\n")
            .is_some_and(|(_, body)| !body.is_empty());
        assert!(has_body || rest.starts_with("location: "), "{id}: {answer}");
    }
    let headings: Vec<usize> = groups
        .iter()
        .map(|it| {
            text.find(&format!(
                "<h2 id=\"group-{}\"",
                it["name"].as_str().unwrap()
            ))
            .unwrap()
        })
        .collect();
    assert!(headings.is_sorted(), "{headings:?}");
    for link in text.split("href=\"").skip(1) {
        let link = link.split('"').next().unwrap();
        let known = link.strip_prefix('#').map_or(link == "/openapi.json", ids);
        assert!(known, "{link}");
    }
    assert!(!text.contains("<script") && !text.contains("src="));
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let create = "curl -i -X POST -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/json' -d '{&quot;deadline&quot;:&quot;24.12.2026&quot;,&quot;kategorie&quot;:&quot;arbeit&quot;,&quot;tags&quot;:[&quot;geld&quot;],&quot;title&quot;:&quot;Steuer&quot;}' http://localhost:7071/api/tasks";
    assert!(text.contains(create), "{text}");
    assert!(text.contains("</pre><pre>HTTP/1.1 201 Created\n"), "{text}");
    let preview = "<summary>Example</summary><pre>{\n  &quot;html&quot;: &quot;&lt;p&gt;Belege";
    assert!(text.contains(preview), "{text}");
}
