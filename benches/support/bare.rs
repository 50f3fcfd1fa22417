//! A bare axum handler that gives the bytes and headers of one recorded answer, as a process of its own.

use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::client::Client;
use crate::process::Process;

/// One answer: its head with `\n` lines, and its body.
pub(crate) async fn answer(address: &str, request: &str) -> (String, Vec<u8>) {
    let mut client = Client::connect(address).await;
    let (head, body) = client.send(request.as_bytes()).await;
    let head = std::str::from_utf8(head).unwrap().replace("\r\n", "\n");
    (head, body.to_vec())
}

/// Starts this program once more as a server of the answer; its `main` passes `bare` and a path on to
/// [`serve_bare`].
pub(crate) fn start_bare(recorded: &Path, head: &str, body: &[u8]) -> Process {
    let mut bytes = format!("{head}\n\n").into_bytes();
    bytes.extend_from_slice(body);
    std::fs::write(recorded, bytes).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    Process::start(command.arg("bare").arg(recorded), |line| {
        Some(line.to_owned())
    })
}

/// The handler to compare with, as a process's whole work: nothing but the recorded bytes and headers.
pub(crate) fn serve_bare(recorded: &str) {
    let recorded = std::fs::read(recorded).unwrap();
    let end = recorded
        .windows(2)
        .position(|window| window == b"\n\n")
        .unwrap();
    let head = std::str::from_utf8(&recorded[..end]).unwrap();
    let body = Bytes::copy_from_slice(&recorded[end + 2..]);
    // The server itself adds these two.
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
    let handler = move || {
        let (headers, body) = (headers.clone(), body.clone());
        async move {
            let mut response = Response::new(Body::from(body));
            *response.headers_mut() = headers;
            response
        }
    };
    let router: Router = Router::new().route("/codex", get(handler));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await.unwrap();
    });
}
