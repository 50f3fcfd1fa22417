//! The files the Functions host reads (`src/functions/README.md`, "The app's folder").

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use codex_miroir::config::Config;
use codex_miroir::github::Transport;
use codex_miroir::http::{App, Authenticator, router};
use insta::assert_snapshot;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::contract::DOCUMENT;
use crate::support::http::request;
use crate::support::scene::Scene;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

#[test]
fn the_host_file_hands_requests_through_as_they_are() {
    let host = read("host.json");
    assert_eq!(host["version"], "2.0");
    assert_eq!(host["extensions"]["http"]["routePrefix"], "");
    let handler = &host["customHandler"];
    assert_eq!(
        handler["description"]["defaultExecutablePath"],
        "codex-miroir"
    );
    assert_eq!(handler["enableProxyingHttpRequest"], true);
    assert_eq!(handler["enableForwardingHttpRequest"], true);
    assert!(
        handler.get("http").is_none(),
        "routes there can't be combined with function.json folders"
    );
}

#[test]
fn the_local_settings_hold_placeholders_only() {
    let settings = read("local.settings.json");
    assert_eq!(
        settings["Values"],
        json!({
            "FUNCTIONS_WORKER_RUNTIME": "custom",
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "AzureWebJobsDisableHomepage": "true",
            "CODEX_AUTH": "dev",
        })
    );
}

#[test]
fn every_function_is_an_anonymous_trigger_in_and_a_response_out() {
    let mut functions = Vec::new();
    for entry in fs::read_dir(root().join("function.json-templates")).unwrap() {
        let folder = entry.unwrap().path();
        let function = read(folder.join("function.json"));
        let bindings = function["bindings"].as_array().unwrap();
        if bindings[0]["type"] == "timerTrigger" {
            continue;
        }
        let (trigger, out) = (&bindings[0], &bindings[1]);
        assert_eq!(
            (bindings.len(), &trigger["type"], &out["type"]),
            (2, &json!("httpTrigger"), &json!("http"))
        );
        assert_eq!(
            (&trigger["direction"], &out["direction"]),
            (&json!("in"), &json!("out"))
        );
        assert_eq!(
            trigger["authLevel"], "anonymous",
            "without it every call needs a key"
        );
        functions.push((
            folder.file_name().unwrap().to_str().unwrap().to_owned(),
            trigger["route"].clone(),
            trigger["methods"].clone(),
        ));
    }
    functions.sort_by(|a, b| a.0.cmp(&b.0));
    let rows: Vec<String> = functions
        .iter()
        .map(|(name, route, methods)| format!("{name} {methods} {route}"))
        .collect();
    assert_snapshot!(rows.join("\n"), @r#"
    authGithub ["get"] "auth/github"
    authGithubCallback ["get"] "auth/github/callback"
    calendar ["post","delete"] "api/calendar"
    completeTask ["post"] "api/tasks/{id}/complete"
    createTask ["post"] "api/tasks"
    deleteTask ["delete"] "api/tasks/{id}"
    getTask ["get"] "api/tasks/{id}"
    githubWebhook ["post"] "github/webhook"
    listTasks ["get"] "api/tasks"
    preview ["post"] "api/preview"
    renderCodex ["get"] "codex"
    session ["get","post"] "auth/{action}"
    sync ["get","post"] "sync"
    updateTask ["put","patch"] "api/tasks/{id}"
    web ["get","head","options"] "{*path}"
    "#);
}

/// The host calls a timer with JSON, at a path that no `httpTrigger` may accept (`src/functions/README.md`, "Who may
/// call a trigger").
#[test]
fn timers_have_a_schedule_of_six_fields() {
    for (function, schedule) in [("gitPush", "0 * * * * *"), ("janitor", "0 17 * * * *")] {
        let timer = read(format!("function.json-templates/{function}/function.json"));
        assert_eq!(
            timer["bindings"],
            json!([{
                "type": "timerTrigger",
                "direction": "in",
                "name": "timer",
                "schedule": schedule,
            }])
        );
    }
}

/// An HTTP function: its name, its methods in upper case, its route as a path.
struct Function {
    name: String,
    methods: Vec<String>,
    path: String,
}

impl Function {
    fn all() -> Vec<Self> {
        let folders = fs::read_dir(root().join("function.json-templates")).unwrap();
        let folders = folders.map(|entry| entry.unwrap().path());
        folders.filter_map(|folder| Self::of(&folder)).collect()
    }

    fn of(folder: &Path) -> Option<Self> {
        let trigger = read(folder.join("function.json"))["bindings"][0].clone();
        let methods = trigger["methods"].as_array()?.iter();
        Some(Self {
            name: folder.file_name()?.to_str()?.to_owned(),
            methods: methods
                .map(|it| it.as_str().unwrap().to_uppercase())
                .collect(),
            path: format!("/{}", trigger["route"].as_str()?),
        })
    }

    /// Whether its route and methods match the request.
    fn takes(&self, method: &str, path: &str) -> bool {
        let (ours, theirs) = (self.path.split('/'), path.split('/'));
        let same = ours.clone().count() == theirs.clone().count();
        let fits = same && ours.zip(theirs).all(|(a, b)| a == b || a.starts_with('{'));
        let fits = fits || self.path == "/{*path}";
        fits && self.methods.iter().any(|it| it == method)
    }
}

/// The method and path of every operation in the OpenAPI document.
fn documented() -> Vec<(String, String)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    operations.collect()
}

#[test]
fn every_documented_operation_is_a_functions() {
    let functions = Function::all();
    let rows = documented().into_iter().map(|(method, path)| {
        let mut named = functions.iter().filter(|it| it.takes(&method, &path));
        // A specific route takes precedence over the catch-all.
        let by_route = named.clone().find(|it| it.path != "/{*path}");
        let function = by_route.or_else(|| named.next());
        let name = &function.unwrap_or_else(|| panic!("{method} {path}")).name;
        format!("{name}: {method} {path}")
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    assert_snapshot!(rows.join("\n"), @r"
    authGithub: GET /auth/github
    authGithubCallback: GET /auth/github/callback
    calendar: DELETE /api/calendar
    calendar: POST /api/calendar
    completeTask: POST /api/tasks/{id}/complete
    createTask: POST /api/tasks
    deleteTask: DELETE /api/tasks/{id}
    getTask: GET /api/tasks/{id}
    githubWebhook: POST /github/webhook
    listTasks: GET /api/tasks
    preview: POST /api/preview
    renderCodex: GET /codex
    session: GET /auth/me
    session: POST /auth/logout
    sync: GET /sync
    sync: POST /sync
    updateTask: PATCH /api/tasks/{id}
    updateTask: PUT /api/tasks/{id}
    web: GET /
    web: GET /assets/{name}
    web: GET /calendar/{token}
    web: GET /docs
    web: GET /healthz
    web: GET /login
    web: GET /metrics
    web: GET /openapi.json
    web: GET /readyz
    web: GET /sw.js
    ");
}

/// `web` is excluded: the router and its layers handle GET, HEAD and OPTIONS of any path.
#[test]
fn every_method_of_a_function_is_documented() {
    let documented = documented();
    for function in Function::all().iter().filter(|it| it.name != "web") {
        for method in &function.methods {
            let known = documented
                .iter()
                .any(|(its, path)| its == method && function.takes(its, path));
            assert!(known, "{}: {method} {}", function.name, function.path);
        }
    }
}

/// The host calls timers by POST to their names; no other caller may reach them.
#[test]
fn no_function_takes_post_on_a_free_path() {
    for function in Function::all() {
        let free = function.path.trim_start_matches('/').starts_with('{');
        let posts = function.methods.iter().any(|it| it == "POST");
        assert!(!(free && posts), "{}", function.name);
        for timer in ["/gitPush", "/janitor"] {
            assert!(!function.takes("POST", timer), "{}", function.name);
        }
    }
}

/// The reason why `web` accepts OPTIONS: a layer around the router answers preflights for every path.
#[tokio::test]
async fn a_preflight_to_any_path_is_answered() {
    let settings = [("CODEX_ALLOWED_ORIGINS", "https://app.example")];
    let lookup = |name: &str| {
        let found = settings.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let config = Config::from_lookup(lookup).unwrap();
    let transport = Arc::new(Transport::new(&config.github.api_url, &config.trust).unwrap());
    let codex = Scene::new().instance().codex;
    let authenticator = Authenticator::new(&config, &transport, codex.owners()).unwrap();
    let routes = router(App::new(codex, authenticator, &config, Arc::default()));
    for path in ["/codex", "/api/tasks/0000", "/api/tasks/0000/complete"] {
        let preflight = request("OPTIONS", path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "PATCH");
        let preflight = preflight.body(Body::empty()).unwrap();
        let answer = routes.clone().oneshot(preflight).await.unwrap();
        let allowed = &answer.headers()["access-control-allow-origin"];
        assert_eq!(
            (answer.status().as_u16(), allowed.to_str().unwrap()),
            (200, "https://app.example")
        );
    }
}
