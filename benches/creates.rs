//! Concurrent creates on Azurite: 50 on two processes and 500 on three, against the two storage calls that a
//! create needs at least, made one after the other by as many clients. Needs Azurite as `tests/run` installs it.
//!
//! `cargo bench --bench creates -- [pairs, default 5]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

#[path = "../tests/support/azurite.rs"]
#[allow(dead_code, unreachable_pub)]
mod azurite;
#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use azurite::azurite;
use codex_miroir::store::{BlobKey, BlobStore, Put, PutIf, PutOutcome, WriteId, WriteIds};
use codex_miroir::user::UserId;
use process::{Process, median};

/// Concurrent clients.
const CLIENTS: usize = 50;

fn main() {
    let pairs = std::env::args().filter_map(|it| it.parse().ok()).next();
    let pairs: usize = pairs.unwrap_or(5);
    for (processes, creates) in [(2, 50), (3, 500)] {
        let mut ratios = vec![];
        let (mut of_service, mut of_calls) = (vec![], vec![]);
        for _ in 0..pairs {
            let service = per_create(processes, creates);
            let calls = per_two_calls(creates);
            ratios.push(service / calls);
            of_service.push(service);
            of_calls.push(calls);
        }
        println!(
            "{creates} creates over {processes} processes: {:.2} ms a create, {:.2} ms for the two calls alone, ratio {:.2}",
            median(&mut of_service),
            median(&mut of_calls),
            median(&mut ratios)
        );
    }
}

fn milliseconds(time: Duration, each: usize) -> f64 {
    time.as_secs_f64() * 1000.0 / each as f64
}

/// Milliseconds per create over several processes, each with the state in memory.
fn per_create(processes: usize, creates: usize) -> f64 {
    let container = azurite().container();
    let start = |_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_codex-miroir"));
        command
            .env_clear()
            .env("AZURE_BLOB_CONN", azurite().with_key(azurite().port()))
            .env("AZURE_BLOB_CONTAINER", &container)
            .env("PORT", "0");
        Process::start(&mut command)
    };
    let services: Vec<Process> = (0..processes).map(start).collect();
    let addresses: Arc<[String]> = services.iter().map(|it| it.address.clone()).collect();
    for address in addresses.iter() {
        request(address, "GET", "/codex", "");
    }
    let took = clients(creates, move |number| {
        let address = &addresses[number % addresses.len()];
        let body = format!(r#"{{"kategorie":"arbeit","title":"Aufgabe {number}"}}"#);
        let answer = request(address, "POST", "/api/tasks", &body);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    });
    milliseconds(took, creates)
}

/// Milliseconds per pair of calls: a compare-and-swap of a state blob of its own, and the PUT of a new file.
fn per_two_calls(creates: usize) -> f64 {
    let store = Arc::new(azurite().store(&azurite().container()));
    let runtime = Arc::new(tokio::runtime::Runtime::new().unwrap());
    let state = vec![b' '; 400];
    let put = |bytes: Vec<u8>| Put {
        bytes: bytes.into(),
        writes: WriteIds::default().with_newest(WriteId(1)),
    };
    let users: Vec<UserId> = (0..creates)
        .map(|number| UserId::parse(&format!("user-{number}")).unwrap())
        .collect();
    let etags: Vec<_> = users
        .iter()
        .map(|user| {
            let key = BlobKey::state(user);
            let first = store.put(&key, put(state.clone()), PutIf::Any);
            match runtime.block_on(first).unwrap().value {
                PutOutcome::Done(etag) => etag,
                PutOutcome::Refused => unreachable!("no condition"),
            }
        })
        .collect();
    let took = clients(creates, move |number| {
        let (user, etag) = (&users[number], etags[number].clone());
        runtime.block_on(async {
            let key = BlobKey::state(user);
            let swap = store.put(&key, put(state.clone()), PutIf::Same(etag));
            assert!(matches!(swap.await.unwrap().value, PutOutcome::Done(_)));
            let key = BlobKey::raw(user, "0000-Aufgabe.md").unwrap();
            let file = store.put(&key, put(vec![b' '; 120]), PutIf::Absent);
            assert!(matches!(file.await.unwrap().value, PutOutcome::Done(_)));
        });
    });
    milliseconds(took, creates)
}

/// The time in which [`CLIENTS`] threads run `work` for the numbers below `count`.
fn clients(count: usize, work: impl Fn(usize) + Send + Sync + 'static) -> Duration {
    let (work, next) = (Arc::new(work), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let threads: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (work, next) = (Arc::clone(&work), Arc::clone(&next));
            std::thread::spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|it| it.join().unwrap());
    began.elapsed()
}

fn request(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
