//! `GET /codex` from memory, against a bare axum handler that returns the same bytes and headers: with `CODEX_AUTH=dev`,
//! with a session's cookie, with a bearer token, behind the platform's sign-in, and with every request exported by
//! OpenTelemetry. Separate processes, TCP with
//! keep-alive, 32 connections, alternating pairs of runs by a client without a runtime. Prints medians, the median of
//! the pairs' ratios, and, where Valgrind is installed, the instructions for a request.
//!
//! `cargo bench --bench hot_path -- [seconds per run, default 3] [pairs, default 7]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "support/bare.rs"]
#[allow(dead_code)]
mod bare;
#[path = "support/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "support/light_client.rs"]
mod light_client;
#[path = "support/people.rs"]
#[allow(dead_code)]
mod people;
#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "support/samples.rs"]
mod samples;
#[path = "support/sign_in.rs"]
mod sign_in;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use bare::{answer, bare_command, record, serve_bare};
use client::Client;
use light_client::Figures;
use people::{person, principal, until_idle};
use process::{Process, median};
use rustix::process::{Pid, Signal, kill_process};
use samples::write_samples;

/// Requests in the shorter and in the longer run under Valgrind; what the start costs falls out of the difference.
const COUNTED: [u64; 2] = [500, 10_500];

/// The service's name, where it has one.
const HOST: &str = "codex.example";

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with("--bench"))
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["bare", recorded] => return serve_bare(recorded),
        ["client", address, seconds, requests] => {
            return light_client::client(address, seconds, requests);
        }
        _ => {}
    }
    let number = |at: usize, default| words.get(at).map_or(default, |it| it.parse().unwrap());
    let (span, pairs) = (Duration::from_secs(number(0, 3)), number(1, 7));
    let (github, receiver) = (sign_in::start_github(), start_receiver());
    let places = Places { github, receiver };
    println!("GET /codex from memory, 200 tasks, 32 connections, {pairs} pairs of {span:?}");
    for caller in [
        Caller::Dev,
        Caller::Session,
        Caller::Token,
        Caller::Platform,
        Caller::Traced,
    ] {
        compare(caller, "gzip", &places, span, pairs);
    }
    compare(Caller::Dev, "identity", &places, span, pairs);
}

/// The addresses that a service reaches out to.
struct Places {
    github: String,
    receiver: String,
}

/// An endpoint of OTLP that reads everything and keeps nothing. It takes part of the machine, as one beside the service
/// would.
fn start_receiver() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let app = Router::new().fallback(|_: Bytes| async {});
            axum::serve(listener, app).await.unwrap();
        });
    });
    url
}

/// How a request says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Dev,
    Session,
    Token,
    Platform,
    /// As `Dev`; each request is a span, or is dropped where the queue is full.
    Traced,
}

impl Caller {
    fn user(self) -> String {
        match self {
            Self::Dev | Self::Traced => "local".to_owned(),
            Self::Session | Self::Token => sign_in::LOGIN.to_owned(),
            Self::Platform => person(0),
        }
    }

    /// The service on the folder `data`.
    fn service(self, data: &Path, places: &Places) -> Command {
        let mut command = match self {
            Self::Platform => people::command(&[]),
            Self::Dev | Self::Session | Self::Token | Self::Traced => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_codex-miroir"));
                command.env_clear().env("PORT", "0");
                command
            }
        };
        if let Self::Session | Self::Token = self {
            command
                .env("GITHUB_API_URL", &places.github)
                .env("GITHUB_URL", &places.github)
                .env("CODEX_ALLOWED_LOGINS", sign_in::LOGIN)
                .env("GITHUB_OAUTH_CLIENT_ID", "Iv1.bench")
                .env("GITHUB_OAUTH_CLIENT_SECRET", "of-the-bench")
                // So that a session holds in each process.
                .env("CODEX_SESSION_KEY", "0123456789".repeat(4))
                .env("CODEX_PUBLIC_URL", format!("https://{HOST}"));
        }
        if self == Self::Traced {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &places.receiver);
        }
        command.env("CODEX_DATA_DIR", data);
        command
    }

    /// The request, once the caller has signed in where that is needed.
    async fn request(self, address: &str, encoding: &str) -> String {
        let who = match self {
            Self::Dev | Self::Traced => String::new(),
            Self::Session => format!("cookie: {}\r\n", sign_in::session(address, HOST).await),
            Self::Token => format!("authorization: Bearer {}\r\n", sign_in::TOKEN),
            Self::Platform => format!("x-ms-client-principal: {}\r\n", principal(0)),
        };
        let host = match self {
            Self::Dev | Self::Traced => "localhost",
            Self::Session | Self::Token | Self::Platform => HOST,
        };
        format!(
            "GET /codex HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\naccept-encoding: {encoding}\r\n{who}\
             user-agent: bench\r\n\r\n"
        )
    }
}

fn compare(caller: Caller, encoding: &str, places: &Places, span: Duration, pairs: u64) {
    let folder = tempfile::tempdir().unwrap();
    write_samples(folder.path(), &caller.user(), 200);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = Process::start(&mut caller.service(folder.path(), places));
    let request = runtime.block_on(caller.request(&service.address, encoding));
    runtime.block_on(answer(&service.address, &request));
    let (head, body) = runtime.block_on(answer(&service.address, &request));
    assert!(head.contains("x-codex-cache: memory"), "{head}");

    let recorded = folder.path().join("answer");
    record(&recorded, &head, &body);
    let bare = Process::start(&mut bare_command(&recorded));
    let (bare_head, bare_body) = runtime.block_on(answer(&bare.address, &request));
    assert_eq!((lines(&bare_head), bare_body), (lines(&head), body.clone()));

    let requests = folder.path().join("request");
    std::fs::write(&requests, &request).unwrap();
    let run = |server: &Process| light_client::run(server, &requests, span);
    // The first pair warms up; who begins alternates.
    let measured: Vec<(Figures, Figures)> = (0..=pairs)
        .map(|pair| match pair % 2 {
            0 => (run(&service), run(&bare)),
            _ => {
                let of_bare = run(&bare);
                (run(&service), of_bare)
            }
        })
        .skip(1)
        .collect();
    drop((service, bare));
    println!("{caller:?}, {encoding}, {} bytes", body.len());
    print_row("requests/s", &measured, |it| it.per_second);
    print_row("p50 µs", &measured, |it| it.p50);
    print_row("p99 µs", &measured, |it| it.p99);
    print_row("processor µs", &measured, |it| it.server_cpu);
    print_row("client's µs", &measured, |it| it.client_cpu);
    let counted = |server: Command| {
        let of = |requests| runtime.block_on(instructions(&server, &request, requests));
        (of(COUNTED[1]) - of(COUNTED[0])) / (COUNTED[1] - COUNTED[0]) as f64
    };
    if Command::new("valgrind").arg("--version").output().is_err() {
        return println!("  instructions  not counted: Valgrind isn't installed");
    }
    let service = counted(caller.service(folder.path(), places));
    let bare = counted(bare_command(&recorded));
    println!(
        "  {:13} service {service:9.0}   bare {bare:9.0}   ratio {:.3}",
        "instructions",
        service / bare
    );
}

/// The instructions that a server executes from its start to its end, with so many requests.
async fn instructions(server: &Command, request: &str, requests: u64) -> f64 {
    let log = tempfile::NamedTempFile::new().unwrap();
    let settings = server.get_envs();
    let mut command = Command::new("valgrind");
    command
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--log-file={}", log.path().display()))
        .arg(server.get_program())
        .args(server.get_args())
        .envs(settings.filter_map(|(name, value)| Some((name, value?))));
    let mut process = Process::start(&mut command);
    let mut client = Client::connect(&process.address).await;
    client.send(request.as_bytes()).await;
    // So that what the service does in the background at its start is counted in the shorter run and in the longer one.
    until_idle(process.child.id());
    for _ in 0..requests {
        let (head, _) = client.send(request.as_bytes()).await;
        assert!(head.starts_with(b"HTTP/1.1 200"), "another answer");
    }
    kill_process(Pid::from_child(&process.child), Signal::TERM).unwrap();
    drop(client);
    process.child.wait().unwrap();
    let log = std::fs::read_to_string(log.path()).unwrap();
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    collected.expect(&log).1.trim().parse().unwrap()
}

fn print_row(name: &str, measured: &[(Figures, Figures)], figure: fn(&Figures) -> f64) {
    let middle = |of: &dyn Fn(&(Figures, Figures)) -> f64| {
        median(&mut measured.iter().map(of).collect::<Vec<_>>())
    };
    println!(
        "  {name:13} service {:9.1}   bare {:9.1}   ratio {:.3}",
        middle(&|pair| figure(&pair.0)),
        middle(&|pair| figure(&pair.1)),
        middle(&|pair| figure(&pair.0) / figure(&pair.1)),
    );
}

/// The lines of a head in their order by the alphabet, but those that no two responses share.
fn lines(head: &str) -> Vec<&str> {
    let own = ["date: ", "x-request-id: "];
    let shared = head
        .lines()
        .filter(|line| !own.iter().any(|it| line.starts_with(it)));
    let mut lines: Vec<&str> = shared.collect();
    lines.sort_unstable();
    lines
}
