//! Time until Chromium with an empty cache has painted the demo's week, against a bare axum server with the same
//! bytes: alternating pairs. Prints medians, and the median of the pairs' ratios. Needs Chromium, and what
//! `tests/run` installs.
//!
//! `cargo bench --bench page -- [pairs, default 15]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use process::{Process, median};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with("--bench"));
    match arguments.next() {
        Some(bare) if bare == "bare" => serve_bare(&arguments.next().unwrap()),
        pairs => compare(pairs.map_or(15, |it| it.parse().unwrap())),
    }
}

const FIGURES: [&str; 3] = ["first paint", "week in the page", "week painted"];

fn compare(pairs: usize) {
    let folder = tempfile::tempdir().unwrap();
    let demo = Process::service(&folder.path().join("demo"), &["demo"]);
    let mut command = Command::new(std::env::current_exe().unwrap());
    let bare = Process::start(command.args(["bare", &demo.address]));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/page.mjs");
    let measured = Command::new("node")
        .arg(script)
        .args([&pairs.to_string(), &demo.address, &bare.address])
        .output()
        .unwrap();
    let stderr = String::from_utf8(measured.stderr).unwrap();
    assert!(measured.status.success(), "{stderr}");
    // By way of opening the page: for each run the figures of the service and of the bare server, in ms.
    let ways: BTreeMap<String, Vec<[[f64; 3]; 2]>> =
        serde_json::from_slice(&measured.stdout).unwrap();
    for (way, runs) in &ways {
        assert_eq!(runs.len(), pairs);
        println!("the demo's page {way}, cold cache, {pairs} pairs");
        print_rows(runs);
    }
}

fn print_rows(runs: &[[[f64; 3]; 2]]) {
    for (at, name) in FIGURES.iter().enumerate() {
        let of =
            |side: usize| median(&mut runs.iter().map(|run| run[side][at]).collect::<Vec<_>>());
        let mut ratios: Vec<f64> = runs.iter().map(|run| run[0][at] / run[1][at]).collect();
        println!(
            "  {name:16} service {:6.1} ms   bare {:6.1} ms   ratio {:.3}",
            of(0),
            of(1),
            median(&mut ratios)
        );
    }
}

/// A recorded response: headers and body.
type Recorded = (HeaderMap, Bytes);

/// Serves recorded responses of the service at `address` for the page's requests, and nothing else.
fn serve_bare(address: &str) {
    let (headers, page) = record(address, "/", "text/html");
    let plain = record(address, "/", "text/html\r\naccept-encoding: identity").1;
    let page_text = String::from_utf8(plain.to_vec()).unwrap();
    let mut answers = HashMap::from([("/".to_owned(), (headers, page))]);
    let assets = page_text.split('"').filter(|it| it.starts_with("/assets/"));
    for path in assets.chain(["/sw.js", "/codex", "/auth/me"]) {
        answers.insert(path.to_owned(), record(address, path, "*/*"));
    }
    let handler = move |uri: Uri| {
        let answer = answers.get(uri.path()).cloned().unwrap_or_default();
        async move {
            let mut response = Response::new(Body::from(answer.1));
            *response.headers_mut() = answer.0;
            response
        }
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let router: Router = Router::new().fallback(handler);
        axum::serve(listener, router).await.unwrap();
    });
}

/// Records one response of the service, with a browser's request headers.
fn record(address: &str, path: &str, accept: &str) -> Recorded {
    let encoding = match accept.contains("accept-encoding") {
        true => "",
        false => "accept-encoding: gzip\r\n",
    };
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept-language: de\r\naccept: {accept}\r\n{encoding}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    // The server adds these itself.
    let own = ["date", "content-length", "connection"];
    let headers = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let headers = headers.filter(|(name, _)| !own.contains(name));
    let headers = headers.map(|(name, value)| {
        let name = HeaderName::try_from(name).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    });
    (headers.collect(), Bytes::copy_from_slice(&bytes[end + 4..]))
}
