//! `GET /codex` from memory, against a bare axum handler that returns the same bytes and headers: separate
//! processes, TCP with keep-alive, 32 connections, alternating pairs of runs. Prints medians, and the median of
//! the pairs' ratios.
//!
//! `cargo bench --bench hot_path -- [seconds per run, default 3] [pairs, default 7]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "support/bare.rs"]
mod bare;
#[path = "support/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "support/samples.rs"]
mod samples;

use std::time::{Duration, Instant};

use bare::{answer, serve_bare, start_bare};
use client::Client;
use process::{Process, median};
use samples::write_samples;

const CONNECTIONS: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with("--bench"))
        .collect();
    if arguments.first().map(String::as_str) == Some("bare") {
        return serve_bare(&arguments[1]);
    }
    let number = |at: usize, default: u64| {
        arguments
            .get(at)
            .and_then(|it| it.parse().ok())
            .unwrap_or(default)
    };
    for encoding in ["gzip", "identity"] {
        compare(encoding, Duration::from_secs(number(0, 3)), number(1, 7));
    }
}

/// One run's figures.
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
}

fn compare(encoding: &str, span: Duration, pairs: u64) {
    let folder = tempfile::tempdir().unwrap();
    write_samples(folder.path(), "local", 200);
    let service = Process::service(folder.path(), &[]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let request = |address: &str| {
        format!(
            "GET /codex HTTP/1.1\r\nhost: {address}\r\naccept: application/json\r\naccept-encoding: {encoding}\r\n\
             authorization: Bearer 0123456789-abcdefghijklmnopqrstuvwxyz-0123\r\nuser-agent: bench\r\n\r\n"
        )
    };
    let of_service = request(&service.address);
    runtime.block_on(answer(&service.address, &of_service));
    let (head, body) = runtime.block_on(answer(&service.address, &of_service));
    assert!(head.contains("x-codex-cache: memory"), "{head}");

    let bare = start_bare(&folder.path().join("answer"), &head, &body);
    let of_bare = request(&bare.address);
    let (bare_head, bare_body) = runtime.block_on(answer(&bare.address, &of_bare));
    assert_eq!(
        (names(&bare_head), bare_body.len()),
        (names(&head), body.len()),
        "the same headers and bytes"
    );

    let run = |address: &str, request: &str| runtime.block_on(load(address, request, span));
    run(&service.address, &of_service);
    run(&bare.address, &of_bare);
    let measured: Vec<(Figures, Figures)> = (0..pairs)
        .map(|_| {
            (
                run(&service.address, &of_service),
                run(&bare.address, &of_bare),
            )
        })
        .collect();
    println!(
        "GET /codex from memory, {encoding}, {} bytes, {CONNECTIONS} connections, {pairs} pairs of {span:?}",
        body.len()
    );
    print_row("req/s", &measured, |it| it.per_second);
    print_row("p50 µs", &measured, |it| it.p50);
    print_row("p99 µs", &measured, |it| it.p99);
}

fn print_row(name: &str, measured: &[(Figures, Figures)], figure: fn(&Figures) -> f64) {
    let of = |pick: fn(&(Figures, Figures)) -> &Figures| {
        median(
            &mut measured
                .iter()
                .map(|pair| figure(pick(pair)))
                .collect::<Vec<_>>(),
        )
    };
    let ratio = median(
        &mut measured
            .iter()
            .map(|(service, bare)| figure(service) / figure(bare))
            .collect::<Vec<_>>(),
    );
    println!(
        "  {name:7} service {:9.0}   bare {:9.0}   ratio {ratio:.3}",
        of(|pair| &pair.0),
        of(|pair| &pair.1)
    );
}

/// Sends `request` on every connection in a closed loop, for `span`.
async fn load(address: &str, request: &str, span: Duration) -> Figures {
    let end = Instant::now() + span;
    let clients = (0..CONNECTIONS).map(|_| client(address, request.as_bytes(), end));
    let began = Instant::now();
    let mut latencies: Vec<f64> = futures::future::join_all(clients)
        .await
        .into_iter()
        .flatten()
        .collect();
    let elapsed = began.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    Figures {
        per_second: latencies.len() as f64 / elapsed,
        p50: at(0.50),
        p99: at(0.99),
    }
}

/// The latencies of one connection's requests, in µs.
async fn client(address: &str, request: &[u8], end: Instant) -> Vec<f64> {
    let mut client = Client::connect(address).await;
    let mut latencies = Vec::with_capacity(1 << 16);
    loop {
        let sent = Instant::now();
        if sent >= end {
            return latencies;
        }
        client.send(request).await;
        latencies.push(sent.elapsed().as_secs_f64() * 1e6);
    }
}

fn names(head: &str) -> Vec<&str> {
    let mut names: Vec<&str> = head
        .lines()
        .skip(1)
        .map(|line| line.split(':').next().unwrap())
        .collect();
    names.sort_unstable();
    names
}
