//! Compatibility with the older service's pages: the requests they make, as a browser sends them, and the members they
//! read from the responses. Covers the week, the task form, the complete button and the sign-in.

use serde_json::{Value, json};

use crate::auth::{ORIGIN, Service, Town, at_github, begin, get, request, said};
use crate::support::http::{Reply, exchange};
use crate::support::mirror::Mirror;
use crate::support::scene::{settle, task};

/// The form's `Idempotency-Key`: the milliseconds since 1970.
const KEY: &str = "1764390000000";

/// Posts `body` as a page of the service's own origin does.
async fn post(
    town: &Town,
    service: &Service,
    path: &str,
    cookie: &str,
    (key, body): (&str, &Value),
) -> Reply {
    let request = request("POST", path)
        .extension(town.scene.now())
        .header("accept", "*/*")
        .header("origin", ORIGIN)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json")
        .header("cookie", cookie)
        .header("idempotency-key", key)
        .body(body.to_string().into())
        .unwrap();
    let reply = exchange(service.routes.clone(), request).await;
    settle().await;
    reply
}

async fn week(town: &Town, service: &Service, cookie: &str) -> Value {
    let week = get("/codex")
        .header("accept", "*/*")
        .header("cookie", cookie);
    let week = service.send(town, week).await;
    assert_eq!(week.status, 200, "{}", week.text());
    serde_json::from_slice(&week.body).unwrap()
}

/// What the page shows of each occupied slot: file name (number and title), date, time, category, whether it is fixed.
fn shown(week: &Value) -> Vec<(String, String, String, String, bool)> {
    let days = week["timeline"].as_array().unwrap().iter();
    let slots = days.flat_map(|day| {
        assert!((0..7).contains(&day["dayOfWeek"].as_u64().unwrap()));
        let datum = day["datum"].as_str().unwrap().to_owned();
        let slots = day["slots"].as_array().unwrap().iter();
        slots
            .filter(|slot| !slot["task"].is_null())
            .map(move |slot| {
                let task = &slot["task"];
                let file = task["file"].as_str().unwrap().rsplit('/').next().unwrap();
                let kategorie = task["kategorie"].as_str().unwrap().to_owned();
                let zeit = slot["zeit"].as_str().unwrap().to_owned();
                let fixed = task["isFixed"].as_bool().unwrap();
                (file.to_owned(), datum.clone(), zeit, kategorie, fixed)
            })
    });
    slots.collect()
}

#[tokio::test]
async fn week_form_button_and_sign_in() {
    let town = Town::new();
    let service = town.service();
    // Signed out: the page shows an empty week, and its button leads to the sign-in.
    let nobody = service
        .send(&town, get("/codex").header("accept", "*/*"))
        .await;
    assert_eq!(said(&nobody), "401 not_signed_in");
    let login = get("/login.html").header("accept", "text/html");
    assert_eq!(service.send(&town, login).await.status, 302);
    let (url, mut jar) = begin(&town, &service, "").await;
    let back = get(&at_github(&url).await).header("cookie", jar.header());
    let landed = service.send(&town, back).await;
    assert_eq!(
        (landed.status.as_u16(), landed.header("location")),
        (302, "/")
    );
    jar.take(&landed.headers);
    let cookie = jar.header();

    let empty = week(&town, &service, &cookie).await;
    assert!(empty["nextAvailableId"].is_string() && empty["cacheCreatedAt"].is_string());
    assert_eq!(shown(&empty), []);

    // The form has no title field.
    let new = json!({"kategorie": "arbeit", "body": "Bericht schreiben", "tags": ["dringend", "projekt-x"]});
    let made = post(&town, &service, "/api/tasks", &cookie, (KEY, &new)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.ok();
    assert_eq!((&made["ok"], &made["id"]), (&json!(true), &json!("0000")));
    let again = post(&town, &service, "/api/tasks", &cookie, (KEY, &new)).await;
    assert_eq!(
        (again.status.as_u16(), &again.ok()["id"]),
        (200, &json!("0000")),
        "clicked twice"
    );
    let refused = json!({"kategorie": "arbeit", "body": "x", "fixedSlot": {"datum": "morgen", "zeit": "abends"}});
    let refused = post(
        &town,
        &service,
        "/api/tasks",
        &cookie,
        ("1764390000001", &refused),
    )
    .await;
    assert_eq!(said(&refused), "400 invalid_field");
    let refused: Value = serde_json::from_slice(&refused.body).unwrap();
    assert!(
        refused["ok"] == false && refused["error"].is_string(),
        "the page shows it"
    );

    let full = week(&town, &service, &cookie).await;
    let [(file, datum, zeit, kategorie, fixed)] = &shown(&full)[..] else {
        panic!("{full}");
    };
    assert_eq!((kategorie.as_str(), *fixed), ("arbeit", false));
    assert!(file.starts_with("0000-Bericht"), "{file}");

    let stem = file.strip_suffix(".md").unwrap();
    let path = format!("/api/tasks/{stem}/complete");
    let slot = json!({"datum": datum, "zeit": zeit});
    let done = post(&town, &service, &path, &cookie, (KEY, &slot)).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(shown(&week(&town, &service, &cookie).await), []);
}

#[test]
fn the_button_that_syncs_everything() {
    let mirror = Mirror::new();
    mirror.commit(&[("0000-Eins.md", Some(&task("Eins")))], "Add");
    let service = mirror.service();
    // An empty body with the JSON content type.
    let synced = service.send_json("POST", "/sync?mode=full", "");
    assert_eq!(synced.status, 200, "{}", synced.body);
    assert!(synced.json()["changed"].is_u64());
    let week = service.get("/codex?nocache=true");
    assert_eq!(shown(&week.json()).len(), 1);
    assert!(week.json()["nextAvailableId"].is_string());
}
