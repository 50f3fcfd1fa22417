//! Timer triggers: they run, and no outside client can invoke them.

use std::thread;

use serde_json::{Value, json};

use super::{Place, timers};
use crate::support::functions_host::{FORMS, Form, FunctionsHost};
use crate::support::process::{Answer, begin};

#[test]
fn every_timer_runs_and_answers_and_twice_at_once_does_no_harm() {
    let place = Place::new();
    let host = place.host(Form::Proxied);
    let mut timers = timers(&host);
    timers.sort_unstable();
    assert_eq!(
        timers,
        ["gitPush", "janitor"],
        "those of the packaged folder"
    );
    for timer in timers {
        let said = thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| host.fire(&timer)));
            both.map(|it| it.join().unwrap())
        });
        for said in said {
            let said = said.unwrap();
            assert!(said.outputs.is_empty() && said.return_value.is_none());
            assert_eq!(said.logs.len(), 1, "{timer}: {:?}", said.logs);
        }
    }
}

#[test]
fn the_push_timer_fetches_what_no_delivery_told_of() {
    let place = Place::new();
    let host = place.host(Form::Proxied);
    host.fire("gitPush").unwrap();
    place.commit("0007-Aus-Git.md", "Aus Git");
    assert_eq!(host.get("/api/tasks/0007").status, 404);
    let said = host.fire("gitPush").unwrap();
    assert!(
        said.logs[0].starts_with("1 users brought up to date"),
        "{:?}",
        said.logs
    );
    assert_eq!(host.get("/api/tasks/0007").json()["title"], "Aus Git");
}

/// The call that a host makes, as any client could send it.
fn call(timer: &str) -> String {
    json!({"Data": {"timer": {}}, "Metadata": {"sys": {"MethodName": timer}}}).to_string()
}

#[test]
fn nobody_outside_reaches_a_timer_by_its_path() {
    let place = Place::new();
    for form in FORMS {
        let host = place.host(form);
        for timer in timers(&host) {
            let paths = [
                format!("/{timer}"),
                format!("/{timer}/"),
                format!("//{timer}"),
                format!("/{}", timer.to_uppercase()),
                format!("/{timer}?x=y"),
                format!("/auth/../{timer}"),
                format!("/auth/%2e%2e/{timer}"),
                format!("/auth/..%2f{timer}"),
                format!("/api/{timer}"),
            ];
            for path in paths {
                for method in ["POST", "PUT", "PATCH", "DELETE"] {
                    let answer = host.send_json(method, &path, &call(&timer));
                    let status = answer.status;
                    assert!(status == 404 || status == 405, "{method} {path}: {status}");
                    assert!(!answer.body.contains("Outputs"), "{method} {path}");
                }
            }
            let bare = host.send_json("POST", &format!("/{timer}"), &call(&timer));
            let by_process = !bare.header("x-request-id").is_empty();
            assert_eq!((bare.status, by_process), (404, false), "the host's own");
        }
    }
}

#[test]
fn the_functions_that_take_every_path_lead_to_no_timer() {
    let place = Place::new();
    for form in FORMS {
        let host = place.host(form);
        for timer in timers(&host) {
            let path = format!("/{timer}");
            for method in ["GET", "HEAD", "OPTIONS"] {
                assert_eq!(host.function_of(method, &path), Some("web"));
                let overridden =
                    "x-http-method-override: POST\r\ncontent-type: application/json\r\n";
                let answer = host.send(method, &path, overridden, &call(&timer));
                // A preflight is answered for every path, whether or not it exists.
                let expected = if method == "OPTIONS" { 200 } else { 405 };
                assert_eq!(answer.status, expected, "{method} {path}");
                assert!(!answer.body.contains("Outputs"), "{method} {path}");
                let by_process = !answer.header("x-request-id").is_empty();
                assert!(by_process, "it came that far");
            }
            let session = host.send_json("POST", &format!("/auth/{timer}"), &call(&timer));
            assert_eq!(session.status, 404, "{}", session.body);
        }
    }
}

/// A request that bypasses the host.
fn send_past_host(host: &FunctionsHost, timer: &str, headers: &str, body: &str) -> Answer {
    let headers = format!("content-type: application/json\r\n{headers}");
    Answer::read(begin(
        &host.past(),
        "POST",
        &format!("/{timer}"),
        &headers,
        body,
    ))
}

#[test]
fn a_timers_handler_refuses_whoever_isnt_the_host() {
    let place = Place::new();
    let host = place.host(Form::Proxied);
    for timer in timers(&host) {
        let taken = send_past_host(&host, &timer, "", &call(&timer));
        assert_eq!(taken.status, 200, "what the others lack: {}", taken.body);
        let other = call("renderCodex");
        let unnamed = json!({"Data": {}, "Metadata": {"sys": {}}}).to_string();
        let refused = [
            ("x-forwarded-host: codex.example\r\n", call(&timer)),
            ("x-forwarded-host: localhost\r\n", call(&timer)),
            ("x-forwarded-host: \r\n", call(&timer)),
            ("", other),
            ("", unnamed),
            ("", String::new()),
            ("", "null".to_owned()),
            ("", "{}".to_owned()),
        ];
        for (headers, body) in refused {
            let answer = send_past_host(&host, &timer, headers, &body);
            assert_eq!(
                answer.status, 404,
                "{timer} {headers}{body}: {}",
                answer.body
            );
            let document: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(document["code"], "not_found");
        }
    }
}
