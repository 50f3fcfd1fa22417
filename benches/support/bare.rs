//! A bare axum handler, in a process of its own, that returns the bytes and headers of one recorded response.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use axum::serve::ListenerExt;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::client::Client;
use crate::process::Process;

/// Sends one request; the response's head with `\n` line ends, and its body.
pub(crate) async fn answer(address: &str, request: &str) -> (String, Vec<u8>) {
    let mut client = Client::connect(address).await;
    let (head, body) = client.send(request.as_bytes()).await;
    let head = std::str::from_utf8(head).unwrap().replace("\r\n", "\n");
    (head, body.to_vec())
}

/// Starts this program again as a server of the response: `main` passes the arguments `bare` and a path on to
/// [`serve_bare`].
pub(crate) fn start_bare(recorded: &Path, head: &str, body: &[u8]) -> Process {
    record(recorded, head, body);
    Process::start(&mut bare_command(recorded))
}

/// The command that serves a recorded response.
pub(crate) fn bare_command(recorded: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("bare").arg(recorded);
    command
}

/// The same for many people: the handler looks up each one's copy of the response by the platform's principal
/// header. `main` passes `bare`, a path and a number on to [`serve_bare_to`].
#[allow(dead_code)]
pub(crate) fn start_bare_to(people: usize, recorded: &Path, head: &str, body: &[u8]) -> Process {
    record(recorded, head, body);
    let mut command = Command::new(std::env::current_exe().unwrap());
    let command = command.arg("bare").arg(recorded).arg(people.to_string());
    Process::start(command)
}

/// Serves the recorded bytes and headers until the process is killed.
pub(crate) fn serve_bare(recorded: &str) {
    let (headers, body) = read(recorded);
    let handler = move || {
        let (headers, body) = (headers.clone(), body.clone());
        async move { respond(headers, body) }
    };
    serve(get(handler));
}

/// The same for many `principals`, each with a copy of its own.
#[allow(dead_code)]
pub(crate) fn serve_bare_to(principals: impl Iterator<Item = String>, recorded: &str) {
    let (headers, body) = read(recorded);
    let of_each = principals.map(|it| {
        let own = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), own(value)));
        let answer: (HeaderMap, Bytes) = (headers.collect(), Bytes::copy_from_slice(&body));
        (it.into_bytes(), answer)
    });
    let answers: Arc<HashMap<Vec<u8>, (HeaderMap, Bytes)>> = Arc::new(of_each.collect());
    let handler = move |request: Request| {
        let who = request.headers()["x-ms-client-principal"].as_bytes();
        let (headers, body) = answers[who].clone();
        async move { respond(headers, body) }
    };
    serve(get(handler));
}

fn respond(headers: HeaderMap, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = headers;
    response
}

/// Records a response for [`serve_bare`].
pub(crate) fn record(recorded: &Path, head: &str, body: &[u8]) {
    let mut bytes = format!("{head}\n\n").into_bytes();
    bytes.extend_from_slice(body);
    std::fs::write(recorded, bytes).unwrap();
}

fn read(recorded: &str) -> (HeaderMap, Bytes) {
    let recorded = std::fs::read(recorded).unwrap();
    let end = recorded
        .windows(2)
        .position(|window| window == b"\n\n")
        .unwrap();
    let head = std::str::from_utf8(&recorded[..end]).unwrap();
    let body = Bytes::copy_from_slice(&recorded[end + 2..]);
    // The server adds these two itself.
    let own = ["date", "content-length"];
    let headers: HeaderMap = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !own.contains(name))
        .map(|(name, value)| {
            (
                HeaderName::try_from(name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect();
    (headers, body)
}

fn serve(handler: MethodRouter) {
    let router: Router = Router::new().route("/codex", handler);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await.unwrap();
    });
}
