//! Attacks on the real process: what it answers, how much memory it takes, and what a well-behaved client gets during
//! the attack. The times are printed, not asserted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use codex_miroir::view::markdown_to_html;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::support::easyauth;
use crate::support::github::sign;
use crate::support::mirror::{HOOK_SECRET, Mirror};
use crate::support::process::{Answer, Asked, Service, begin, eventually};
use crate::support::scene::task;

/// Upper bound on the process's memory while it is attacked, in KiB: 64 MiB of bodies or 100 MiB of deliveries, the
/// read buffer of each connection, and what the allocator retains of all that.
const MEMORY_LIMIT: u64 = 600 << 10;

const METRICS_TOKEN: &str = "a-token-for-metrics";

/// A service over a folder with some tasks and with GitHub mode, whose connections time out soon.
fn start_service() -> (Mirror, Service) {
    start_service_with("2")
}

/// [`start_service`] with this many seconds for a client to send a body.
fn start_service_with(body_seconds: &str) -> (Mirror, Service) {
    raise_file_limit();
    let mirror = Mirror::new()
        .with("CODEX_IDLE_SECONDS", "3")
        .with("CODEX_BODY_SECONDS", body_seconds)
        .with("CODEX_METRICS_TOKEN", METRICS_TOKEN)
        .with("CODEX_REVALIDATE_SECONDS", "3600");
    let files: Vec<(String, String)> = (0..20)
        .map(|number| (format!("{number:04}-a.md"), task("a")))
        .collect();
    let files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), Some(text.as_str())))
        .collect();
    mirror.commit(&files, "Add");
    let service = mirror.service();
    let synced = service.send_json("POST", "/sync", "");
    assert_eq!(synced.status, 200, "{}", synced.body);
    (mirror, service)
}

/// Ten thousand connections need as many file descriptors; a process may raise its soft limit to the hard limit.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// The process's peak memory since the last call, in KiB.
fn peak_memory(service: &Service) -> u64 {
    let process = format!("/proc/{}", service.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line
        .unwrap()
        .trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse()
        .unwrap();
    // Resets the high-water mark (proc(5)).
    fs::write(format!("{process}/clear_refs"), "5").unwrap();
    peak
}

/// Runs `attack` while a client reads the week, and prints the outcome.
fn run_attack(service: &Service, name: &str, attack: impl FnOnce() -> String) {
    let read = || {
        let answer = service.get("/codex");
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    };
    run_attack_beside(service, name, &read, attack);
}

/// [`run_attack`] with another request for the well-behaved client.
fn run_attack_beside(
    service: &Service,
    name: &str,
    read: &(dyn Fn() + Sync),
    attack: impl FnOnce() -> String,
) {
    peak_memory(service);
    let over = AtomicBool::new(false);
    let (said, mut times) = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) || times.is_empty() {
                let asked = Instant::now();
                read();
                times.push(asked.elapsed());
                thread::sleep(Duration::from_millis(2));
            }
            times
        });
        let said = catch_unwind(AssertUnwindSafe(attack));
        over.store(true, Ordering::Relaxed);
        let said = said.unwrap_or_else(|panic| resume_unwind(panic));
        (said, client.join().unwrap())
    });
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let peak = peak_memory(service);
    println!(
        "{name}: {said}; at most {} MiB; {} reads meanwhile, p50 {:?}, p99 {:?}, longest {:?}",
        peak >> 10,
        times.len(),
        at(50),
        at(99),
        at(100)
    );
    assert!(peak < MEMORY_LIMIT, "{name}: {peak} KiB");
}

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(&service.address).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    stream
}

/// Sends as much of `pieces` as the service accepts, then reads its answer; `None` if there is none.
fn send_pieces(
    service: &Service,
    head: &str,
    pieces: impl Iterator<Item = Vec<u8>>,
) -> (Option<u16>, usize) {
    let mut stream = connect(service);
    stream.write_all(head.as_bytes()).unwrap();
    let mut sent = 0;
    for piece in pieces {
        if stream.write_all(&piece).is_err() {
            break;
        }
        sent += piece.len();
    }
    (status(stream), sent)
}

/// The status of the service's last response before it closes the connection, if any.
fn status(mut stream: TcpStream) -> Option<u16> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    text.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
}

/// The number of occurrences of each answer.
fn count_each<T: Ord + std::fmt::Debug>(answers: impl IntoIterator<Item = T>) -> String {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer).or_insert(0) += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(answer, count)| format!("{count} × {answer:?}"))
        .collect();
    counts.join(", ")
}

/// Sends a byte at a time on every connection until each is closed, and returns the statuses received.
fn send_byte_by_byte(mut streams: Vec<TcpStream>, byte: u8) -> Vec<Option<u16>> {
    let began = Instant::now();
    let mut ended = Vec::new();
    while !streams.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "still open");
        streams.retain_mut(|stream| {
            stream.set_nonblocking(true).unwrap();
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer) {
                Ok(0) => ended.push(None),
                Ok(read) => {
                    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    ended.push(text.split(' ').nth(1).and_then(|it| it.parse().ok()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return match stream.write(&[byte]) {
                        Ok(_) => true,
                        Err(_) => {
                            ended.push(None);
                            false
                        }
                    };
                }
                Err(_) => ended.push(None),
            }
            false
        });
        thread::sleep(Duration::from_millis(50));
    }
    ended
}

#[test]
fn who_is_slow_or_silent_is_let_go() {
    let (_mirror, service) = start_service();
    run_attack(&service, "500 requests whose headers never end", || {
        let streams = (0..500).map(|_| {
            let mut stream = connect(&service);
            stream
                .write_all(b"GET /codex HTTP/1.1\r\nhost: localhost\r\nx: ")
                .unwrap();
            stream
        });
        let ended = send_byte_by_byte(streams.collect(), b'a');
        assert!(
            ended.iter().all(Option::is_none),
            "closed without an answer"
        );
        count_each(ended)
    });
    run_attack(&service, "500 requests whose bodies never end", || {
        let streams = (0..500).map(|_| {
            let mut stream = connect(&service);
            let head = "POST /api/preview HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        });
        let ended = send_byte_by_byte(streams.collect(), b' ');
        assert!(
            ended.iter().all(|it| *it == Some(408)),
            "{}",
            count_each(ended)
        );
        count_each(ended)
    });
    run_attack(&service, "10,000 connections that say nothing", || {
        let streams: Vec<TcpStream> = (0..10_000).map(|_| connect(&service)).collect();
        let open = streams.len();
        let told = streams.into_iter().map(status).filter(Option::is_none);
        format!("{} of {open} closed", told.count())
    });
}

#[test]
fn what_is_too_large_is_refused_before_it_is_there() {
    let (_mirror, service) = start_service();
    let host = "host: localhost\r\n";
    run_attack(&service, "a header of 1 MiB, 100 times", || {
        let ended: Vec<Option<u16>> = (0..100)
            .map(|_| {
                let head = format!("GET /codex HTTP/1.1\r\n{host}x: ");
                send_pieces(&service, &head, (0..16).map(|_| vec![b'a'; 64 << 10])).0
            })
            .collect();
        // A client that still sends when the service has stopped reading loses the answer to the reset.
        assert!(
            ended.iter().all(|it| matches!(it, Some(431) | None)) && ended.contains(&Some(431)),
            "{}",
            count_each(ended)
        );
        count_each(ended)
    });
    run_attack(&service, "5,000 headers", || {
        let many: String = (0..5_000).map(|n| format!("x-{n}: a\r\n")).collect();
        let head = format!("GET /codex HTTP/1.1\r\n{host}{many}\r\n");
        let (status, _) = send_pieces(&service, &head, std::iter::empty());
        assert_eq!(status, Some(431));
        count_each([status])
    });
    run_attack(
        &service,
        "100 headers, 34 KB of cookies and tags, and 2,000 parameters, 1,000 times",
        || {
            let headers: String = (0..94).map(|n| format!("x-{n}: a\r\n")).collect();
            let cookies: String = (0..1_500)
                .map(|n| format!("codex_version=a:{n};"))
                .collect();
            let tags: String = (0..500).map(|n| format!("\"{n}\",")).collect();
            let query: String = (0..2_000).map(|n| format!("a{n}=1&")).collect();
            let headers = format!("{headers}cookie: {cookies}\r\nif-none-match: {tags}\r\n");
            let path = format!("/codex?{query}");
            let answers: Vec<u16> = (0..1_000)
                .map(|_| service.send(&path, &headers).status)
                .collect();
            assert!(
                answers.iter().all(|it| *it == 200),
                "{}",
                count_each(answers)
            );
            count_each(answers)
        },
    );
    for path in ["/api/preview", "/api/tasks", "/github/webhook"] {
        run_attack(
            &service,
            &format!("a gigabyte announced for {path}"),
            || {
                let head = format!(
                    "POST {path} HTTP/1.1\r\n{host}content-type: application/json\r\nx-hub-signature-256: sha256=00\r\ncontent-length: 1073741824\r\n\r\n"
                );
                let (status, _) = send_pieces(&service, &head, std::iter::empty());
                assert_eq!(status, Some(413));
                count_each([status])
            },
        );
        run_attack(
            &service,
            &format!("a gigabyte in chunks for {path}"),
            || {
                let head = format!(
                    "POST {path} HTTP/1.1\r\n{host}content-type: application/json\r\nx-hub-signature-256: sha256=00\r\ntransfer-encoding: chunked\r\n\r\n"
                );
                let mut chunk = b"10000\r\n".to_vec();
                chunk.resize(chunk.len() + (64 << 10), b' ');
                chunk.extend(b"\r\n");
                let (status, sent) =
                    send_pieces(&service, &head, (0..16_384).map(|_| chunk.clone()));
                assert!(matches!(status, Some(413) | None), "{status:?}");
                assert!(sent < 64 << 20, "{sent} bytes were taken");
                format!("{status:?} after {} MiB", sent >> 20)
            },
        );
    }
}

#[test]
fn bodies_that_stop_before_their_end_take_no_more_than_their_share() {
    // The timeout leaves room to open all connections before the first one expires, even on a busy machine.
    let (_mirror, service) = start_service_with("15");
    let host = "host: localhost\r\n";
    run_attack(
        &service,
        "300 bodies of 1 MiB that stop before their end",
        || {
            let head = format!(
                "POST /api/preview HTTP/1.1\r\n{host}content-type: application/json\r\ncontent-length: 1048576\r\n\r\n"
            );
            let ended: Vec<Option<u16>> = thread::scope(|scope| {
                let asked: Vec<_> = (0..300)
                    .map(|_| {
                        scope.spawn(|| {
                            send_pieces(&service, &head, std::iter::once(vec![b' '; 1_048_575])).0
                        })
                    })
                    .collect();
                asked.into_iter().map(|it| it.join().unwrap()).collect()
            });
            let fit = ended.iter().filter(|it| **it == Some(408)).count();
            assert!(
                (1..=64).contains(&fit)
                    && ended.iter().all(|it| matches!(it, Some(408 | 503) | None)),
                "{}",
                count_each(ended)
            );
            count_each(ended)
        },
    );
}

#[test]
fn bombs_go_off_nowhere() {
    let (_mirror, service) = start_service();
    let send = |path: &str, body: &str| {
        let answer = service.send_json("POST", path, body);
        (answer.status, code(&answer))
    };
    run_attack(&service, "JSON 100,000 deep", || {
        let body = format!("{{\"body\":{}", "[".repeat(100_000));
        let answer = send("/api/preview", &body);
        assert_eq!(answer, (400, "invalid_json".to_owned()));
        count_each([answer])
    });
    run_attack(&service, "JSON with 100,000 members", || {
        let members: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":1")).collect();
        let answer = send(
            "/api/tasks",
            &format!("{{\"kategorie\":\"arbeit\",{}}}", members.join(",")),
        );
        assert_eq!(answer, (400, "unknown_field".to_owned()));
        count_each([answer])
    });
    run_attack(&service, "markdown", || {
        let answers = MARKDOWN_BOMBS.iter().map(|piece| {
            let body = piece.repeat((256 << 10) / piece.len());
            send("/api/preview", &json!({ "body": body }).to_string()).0
        });
        let answers: Vec<u16> = answers.collect();
        assert!(answers.iter().all(|it| *it == 200));
        count_each(answers)
    });
    run_attack(&service, "YAML in a task's file", || {
        let bomb: String = (1..30)
            .map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1))
            .collect();
        let bombs = [
            format!("a0: &a0 x\n{bomb}"),
            format!("x: {}", "[".repeat(500_000)),
            format!("x: {}", "{a: ".repeat(200_000)),
            (0..100_000).map(|n| format!("k{n}: 1\n")).collect(),
            format!("tags: [{}]", "a, ".repeat(300_000)),
        ];
        let problems: Vec<String> = bombs
            .iter()
            .enumerate()
            .map(|(at, yaml)| {
                let body = format!("---\ntyp: task\nkategorie: arbeit\n{yaml}\n---\n");
                let name = format!("{:04}-bombe.md", 100 + at);
                let folder = service_folder(&service);
                fs::write(folder.join(&name), body).unwrap();
                let week = service.get("/codex?nocache=true").json();
                let problems = week["problems"].as_array().unwrap();
                let of_it = problems
                    .iter()
                    .find(|it| it["file"].as_str().unwrap().ends_with(&name));
                of_it
                    .map_or("read", |it| it["code"].as_str().unwrap())
                    .to_owned()
            })
            .collect();
        count_each(problems)
    });
}

/// The tasks folder of the user `anna`, from the process's environment.
fn service_folder(service: &Service) -> PathBuf {
    let environment = fs::read(format!("/proc/{}/environ", service.id())).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let data = environment
        .split('\0')
        .find_map(|it| it.strip_prefix("CODEX_DATA_DIR="));
    Path::new(data.unwrap()).join("raw/anna/tasks")
}

fn code(answer: &Answer) -> String {
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    document["code"].as_str().unwrap_or("").to_owned()
}

/// Each of these was quadratic, or deeply nested, in some renderer.
const MARKDOWN_BOMBS: &[&str] = &[
    ">",
    "> - ",
    "*a **b ",
    "[",
    "[a](",
    "![",
    "`a``",
    "<div>",
    "<b>",
    "<b><p>",
    "<ul><li>",
    "<table><tr><td>",
    "<!--",
    "<![CDATA[",
    "&amp;",
    "<p a b c d ",
    "|a",
    "[^a]",
    "<http://a>",
    "<svg>",
    "<select><option>",
];

/// The maximum nesting depth of the elements of `html`, whatever they are.
fn depth(html: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    for tag in html.split('<').skip(1) {
        match tag.starts_with('/') {
            true => depth = depth.saturating_sub(1),
            false => depth += 1,
        }
        most = most.max(depth);
    }
    most
}

/// The renderer's time grows with the depth.
#[test]
fn rendered_markdown_is_never_deep() {
    for piece in MARKDOWN_BOMBS {
        // Enough repetitions to reach each bound.
        let html = markdown_to_html(&piece.repeat(8_000));
        // Void elements have no closing tag and add no depth.
        let html = html.replace("<br>", "").replace("<hr>", "");
        assert!(depth(&html) <= 2_500, "{piece:?} is {} deep", depth(&html));
    }
    let deep = markdown_to_html(&"> ".repeat(500));
    assert!(depth(&deep) <= 101 && depth(&deep) > 50, "{}", depth(&deep));
    let flat = markdown_to_html(&"Ein <kbd>Wort</kbd>.\n\n".repeat(400));
    assert_eq!(
        flat.matches("<kbd>").count(),
        400,
        "what people write stays"
    );
    let attributes: String = (0..20_000).map(|n| format!("a{n} ")).collect();
    let html = markdown_to_html(&format!("a <b {attributes}>b</b>"));
    assert!(html.contains("a0 a1"), "shown as text");
}

#[test]
fn no_path_leads_out_of_a_users_folder() {
    let (_mirror, service) = start_service();
    let secret = service_folder(&service).join("../../berta/tasks");
    fs::create_dir_all(&secret).unwrap();
    fs::write(secret.join("0000-Geheim.md"), task("Geheim")).unwrap();
    service.get("/codex");
    let storage_calls = || {
        let bearer = format!("authorization: Bearer {METRICS_TOKEN}\r\n");
        let metrics = service.send("/metrics", &bearer).body;
        let counts = metrics
            .lines()
            .filter(|line| line.contains("storage_call") && line.contains("_count"));
        let counts = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        counts.sum::<f64>()
    };
    eventually("what follows an answer is over", || {
        let before = storage_calls();
        thread::sleep(Duration::from_millis(300));
        before > 0.0 && storage_calls() == before
    });
    let forms = [
        "..",
        ".",
        "0000/..",
        "../berta",
        "%2e%2e",
        "%2E%2E%2F",
        "..%2f..%2fberta%2ftasks%2f0000-Geheim",
        "..%5c..%5cberta",
        "0000%00",
        "0000%2f..%2f0001",
        "%252e%252e",
        "berta%2f0000",
        "0000-Geheim%0d%0aset-cookie:a",
        "raw%2fberta%2ftasks%2f0000-Geheim.md",
        "....//",
        "0000-a.md%00.md",
        "%c0%ae%c0%ae",
        "%ff",
        "0000;a=b%2f..",
    ];
    run_attack(&service, "ids and paths that lead elsewhere", || {
        let before = storage_calls();
        let mut answers = Vec::new();
        for form in forms {
            for (method, path) in [
                ("GET", format!("/api/tasks/{form}")),
                ("PUT", format!("/api/tasks/{form}")),
                ("POST", format!("/api/tasks/{form}/complete")),
                ("GET", format!("/{form}")),
                ("GET", format!("/assets/{form}")),
            ] {
                let answer = Answer::read(begin(&service.address, method, &path, "", ""));
                assert!(
                    matches!(answer.status, 400 | 404 | 405) && !answer.body.contains("Geheim"),
                    "{method} {path}: {} {}",
                    answer.status,
                    answer.body
                );
                answers.push((answer.status, code(&answer)));
            }
        }
        // The concurrent reads are answered from memory.
        assert_eq!(storage_calls(), before, "none made a storage call");
        count_each(answers)
    });
    run_attack(&service, "line breaks that would become headers", || {
        let mut answers = Vec::new();
        for path in [
            "/login?return_to=/%0d%0aset-cookie:a=b",
            "/codex?format=html%0d%0ax:y",
            "/auth/github?return_to=%0d%0a",
        ] {
            answers.push(service.get(path));
        }
        let title = json!({"kategorie": "arbeit", "title": "a\r\nset-cookie: a=b"}).to_string();
        answers.push(service.send_json("POST", "/api/tasks", &title));
        let told: Vec<(u16, String)> = answers
            .iter()
            .map(|answer| {
                let cookies = answer.headers();
                let cookies = cookies.get_all("set-cookie").iter();
                let made = cookies.filter(|it| it.to_str().unwrap().starts_with("a=b"));
                assert_eq!(made.count(), 0, "{answer:?}");
                (answer.status, code(answer))
            })
            .collect();
        count_each(told)
    });
}

/// A user whom the platform authenticates requests another user's tasks in every form that might name them.
#[test]
fn nobody_reaches_anothers_tasks() {
    let data = tempfile::tempdir().unwrap();
    let folder = |user: &str| data.path().join("raw").join(user).join("tasks");
    for (user, name, text) in [
        ("anna", "0000-a.md", task("a")),
        ("berta", "0000-a.md", task("Geheim")),
        ("berta", "0007-Geheim.md", task("Geheim")),
    ] {
        fs::create_dir_all(folder(user)).unwrap();
        fs::write(folder(user).join(name), text).unwrap();
    }
    let service = Service::start(
        crate::support::process::codex_miroir()
            .env("CODEX_DATA_DIR", data.path())
            .env("CODEX_AUTH", "easyauth")
            .env("WEBSITE_AUTH_ENABLED", "True")
            .env("WEBSITE_SITE_NAME", "app")
            .env("CODEX_ALLOWED_LOGINS", "*")
            .env("CODEX_PUBLIC_URL", "https://codex.example"),
    );
    let signed_in = |login: &str, number: &str| {
        let principal = easyauth::github(login, number);
        format!("x-ms-client-principal: {principal}\r\norigin: https://codex.example\r\n")
    };
    let (anna, berta) = (signed_in("anna", "1001"), signed_in("berta", "1002"));
    let ask = |method: &str, path: &str, headers: &str, body: &str| {
        let headers = format!("{headers}content-type: application/json\r\n");
        Answer::read(begin(&service.address, method, path, &headers, body))
    };
    let new = r#"{"kategorie":"arbeit","title":"Geheim"}"#;
    let keyed = "idempotency-key: der-gleiche\r\n";
    let created = ask("POST", "/api/tasks", &format!("{berta}{keyed}"), new);
    assert_eq!(created.status, 201, "{}", created.body);
    let hers = ask("GET", "/codex", &berta, "");
    assert!(hers.body.contains("Geheim"));
    let before = files(&folder("berta"));

    let read_by = |headers: &str| {
        let calm = service.send("/codex", headers);
        assert_eq!(calm.status, 200, "{}", calm.body);
    };
    run_attack_beside(
        &service,
        "another's tasks, in every form",
        &|| read_by(&berta),
        || {
            let mut answers = Vec::new();
            let mut none = |answer: Answer, what: &str| {
                assert!(!answer.body.contains("Geheim"), "{what}: {}", answer.body);
                answers.push((answer.status, code(&answer)));
            };
            for form in [
                "0007",
                "7",
                "0007-Geheim",
                "0007-Geheim.md",
                "berta/0007",
                "berta%2f0007",
                "berta%2F0007-Geheim",
                "berta:0007",
                "berta@0007",
                "0007?user=berta",
                "0007?userId=berta",
                "raw%2Fberta%2Ftasks%2F0007-Geheim.md",
                "..%2F..%2Fberta%2Ftasks%2F0007-Geheim",
            ] {
                for (method, tail, body) in [
                    ("GET", "", ""),
                    ("PATCH", "", r#"{"tags":["a"]}"#),
                    ("PUT", "", r#"{"status":"abgeschlossen"}"#),
                    ("POST", "/complete", ""),
                ] {
                    let (id, query) = form.split_once('?').unwrap_or((form, ""));
                    let path = format!("/api/tasks/{id}{tail}?{query}");
                    let answer = ask(method, &path, &anna, body);
                    assert!(
                        matches!(answer.status, 400 | 404 | 405),
                        "{method} {path}: {}",
                        answer.status
                    );
                    none(answer, &path);
                }
            }
            for query in [
                "user=berta",
                "userId=berta",
                "user_id=berta",
                "login=berta",
                "owner=berta",
                "path=raw/berta/tasks",
            ] {
                for path in ["/codex", "/api/tasks", "/codex?format=html"] {
                    let mark = if path.contains('?') { '&' } else { '?' };
                    let path = format!("{path}{mark}{query}");
                    none(ask("GET", &path, &anna, ""), &path);
                }
            }
            let tag = hers.header("etag");
            for header in [
                "x-user-id: berta",
                "x-forwarded-user: berta",
                "x-ms-client-principal-name: berta",
                "x-ms-client-principal-id: 1002",
                "cookie: session=berta; codex_version=berta:1",
                "x-codex-user: berta",
                &format!("if-none-match: {tag}"),
                "x-original-url: /api/tasks/0007",
                "x-rewrite-url: /api/tasks/0007",
            ] {
                let answer = ask("GET", "/codex", &format!("{anna}{header}\r\n"), "");
                assert_eq!(answer.status, 200, "{header}");
                none(answer, header);
            }
            // Two contradictory principals from the platform authenticate nobody.
            let both = format!("{anna}{}", &berta[..berta.find("origin").unwrap()]);
            let answer = ask("GET", "/codex", &both, "");
            assert_eq!(answer.status, 401);
            none(answer, "two principals");
            // Another account that has taken over the login name.
            let answer = ask("GET", "/codex", &signed_in("berta", "1003"), "");
            assert_eq!(answer.status, 403);
            none(answer, "another's login");
            // An idempotency key belongs to its user: with her key, his request creates his own task.
            let his = r#"{"kategorie":"arbeit","title":"Meins"}"#;
            let answer = ask("POST", "/api/tasks", &format!("{anna}{keyed}"), his);
            assert_eq!(answer.status, 201);
            none(answer, "another's Idempotency-Key");
            count_each(answers)
        },
    );
    assert_eq!(files(&folder("berta")), before);
    assert_eq!(files(&folder("anna")).len(), 2);
}

/// Every request that a page of another site can make a browser send, to every route that changes something.
#[test]
fn a_page_of_another_site_changes_nothing() {
    let (_mirror, service) = start_service();
    let before = files(&service_folder(&service));
    run_attack(
        &service,
        "changes that a page of another site sends",
        || {
            let mut answers = Vec::new();
            let form = "content-type: application/x-www-form-urlencoded\r\n";
            let text = "content-type: text/plain\r\n";
            let json = "content-type: application/json\r\n";
            for from in [
                "origin: https://evil.example\r\n",
                "origin: null\r\n",
                "origin: http://localhost.evil.example\r\n",
                "origin: http://localhost:1\r\n",
                "sec-fetch-site: cross-site\r\n",
                "sec-fetch-site: same-site\r\norigin: https://evil.example\r\n",
                "origin: https://evil.example\r\nx-forwarded-host: evil.example\r\n",
            ] {
                for (method, path, body) in [
                    (
                        "POST",
                        "/api/tasks",
                        r#"{"kategorie":"arbeit","title":"Fremd"}"#,
                    ),
                    ("PATCH", "/api/tasks/0000", r#"{"tags":["fremd"]}"#),
                    ("PUT", "/api/tasks/0000", r#"{"status":"abgeschlossen"}"#),
                    ("POST", "/api/tasks/0000/complete", "{}"),
                    ("POST", "/sync", ""),
                    ("POST", "/auth/logout", ""),
                ] {
                    for kind in [form, text, json] {
                        let headers = format!("{from}{kind}");
                        let answer =
                            Answer::read(begin(&service.address, method, path, &headers, body));
                        let told = (answer.status, code(&answer));
                        assert_eq!(answer.status, 403, "{method} {path} {headers}");
                        answers.push(told);
                    }
                }
            }
            count_each(answers)
        },
    );
    assert_eq!(files(&service_folder(&service)), before);
}

/// The files of a folder and their contents.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn a_flood_of_deliveries_asks_github_little() {
    let (mirror, service) = start_service();
    let post = |signature: &str, body: &str| {
        let headers = format!("x-github-event: push\r\nx-hub-signature-256: {signature}\r\n");
        Answer::try_read(begin(
            &service.address,
            "POST",
            "/github/webhook",
            &headers,
            body,
        ))
        .map(|it| it.status)
    };
    let at_once = |many: usize, send: &(dyn Fn() -> Option<u16> + Sync)| -> Vec<Option<u16>> {
        thread::scope(|scope| {
            let asked: Vec<_> = (0..many).map(|_| scope.spawn(send)).collect();
            asked.into_iter().map(|it| it.join().unwrap()).collect()
        })
    };
    run_attack(
        &service,
        "500 deliveries of 1 MiB that nobody signed",
        || {
            mirror.github.clear_requests();
            let body = " ".repeat(1 << 20);
            let answers = at_once(500, &|| post("sha256=00", &body));
            assert!(
                answers
                    .iter()
                    .all(|it| matches!(it, Some(401 | 408 | 503) | None)),
                "{}",
                count_each(answers)
            );
            assert!(mirror.github.requests().is_empty());
            count_each(answers)
        },
    );
    run_attack(&service, "200 signed deliveries of the same push", || {
        mirror.github.clear_requests();
        let push = json!({
            "ref": "refs/heads/main",
            "repository": {"full_name": format!("{}/{}", mirror.github.owner(), mirror.github.repo())},
        });
        let body = push.to_string();
        let signature = sign(HOOK_SECRET, body.as_bytes());
        let answers = at_once(200, &|| post(&signature, &body));
        assert!(
            answers.iter().all(|it| matches!(it, Some(200 | 202))),
            "{}",
            count_each(answers)
        );
        let asked = mirror.github.requests().len();
        assert!(asked <= 60, "{asked} requests to GitHub");
        format!("{}; {asked} requests to GitHub", count_each(answers))
    });
}

#[test]
fn guessing_tokens_is_bounded_and_locks_nobody_out() {
    raise_file_limit();
    let mirror = Mirror::new();
    let token = mirror.github.personal_token(mirror.github.owner());
    let mirror = mirror
        .with("CODEX_AUTH", "github")
        .without("CODEX_DEV_USER");
    let service = mirror.service();
    let known = format!("authorization: Bearer {token}\r\n");
    let read = |headers: &str| service.send("/codex", headers).status;
    assert_eq!(read(&known), 200);
    mirror.github.clear_requests();
    let answers: Vec<u16> = (0..300)
        .map(|guess| read(&format!("authorization: Bearer ghp_{guess:036}\r\n")))
        .collect();
    let asked = mirror.github.calls("GET", "/user");
    println!(
        "300 guessed tokens: {}; {asked} questions to GitHub",
        count_each(answers.iter().copied())
    );
    assert_eq!(asked, 100);
    assert_eq!(answers.iter().filter(|it| **it == 401).count(), 100);
    assert!(answers.iter().all(|it| matches!(it, 401 | 503)));
    assert_eq!(read(&known), 200, "who is known stays");
}

/// A service on a folder of its own, without sign-in.
fn start_local(settings: &[(&str, &str)]) -> (tempfile::TempDir, Service) {
    let data = tempfile::tempdir().unwrap();
    let mut command = crate::support::process::codex_miroir();
    command.env("CODEX_DATA_DIR", data.path());
    let service = Service::start(command.envs(settings.iter().copied()));
    (data, service)
}

/// Each answer restarts a connection's idle timeout; a silent connection is closed when it expires.
#[test]
fn a_connection_that_is_used_stays_and_a_silent_one_is_closed() {
    let (_data, service) = start_local(&[("CODEX_IDLE_SECONDS", "5")]);
    let mut stream = connect(&service);
    for _ in 0..3 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
        // In total longer than the idle timeout.
        thread::sleep(Duration::from_secs(3));
    }
    let asked = Instant::now();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "closed");
    println!("closed {:?} later", asked.elapsed());
}

/// A handler that waits for a slow body is no silence, however long it takes; headers that stay incomplete are.
#[test]
fn a_slow_body_is_waited_for_and_unfinished_headers_are_not() {
    let (_data, service) = start_local(&[("CODEX_IDLE_SECONDS", "1")]);
    let mut stream = connect(&service);
    let body = r#"{"title":"Langsam","kategorie":"arbeit"}"#;
    let head = "POST /api/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n", body.len()).unwrap();
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 100"));
    for byte in body.bytes() {
        // In total three idle timeouts.
        thread::sleep(Duration::from_millis(80));
        stream.write_all(&[byte]).unwrap();
    }
    let read = stream.read(&mut buffer).unwrap();
    let answer = String::from_utf8_lossy(&buffer[..read]);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        .unwrap();
    assert_eq!(stream.read(&mut buffer).unwrap_or(0), 0, "closed");
}

/// A client that takes nothing of its responses gives its connection up, so that the next one is served.
#[test]
fn a_client_that_stops_reading_keeps_no_connection() {
    let settings = [("CODEX_IDLE_SECONDS", "1"), ("CODEX_MAX_CONNECTIONS", "1")];
    let (_data, service) = start_local(&settings);
    let mut stalled = connect(&service);
    // Their answers are more than the system's buffers hold.
    let asked = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(400);
    stalled.write_all(asked.as_bytes()).unwrap();
    let mut next = connect(&service);
    next.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let answer = Answer::read(Asked::on(next, "GET", "/healthz"));
    assert_eq!(answer.status, 200);
    let mut taken = Vec::new();
    // Its end may be a reset.
    let _ = stalled.read_to_end(&mut taken);
    let answers = taken
        .windows(15)
        .filter(|it| it == b"HTTP/1.1 200 OK")
        .count();
    assert!(answers < 400, "it was closed before the end");
}

/// Connections beyond the bound wait in the system's accept queue until another one closes.
#[test]
fn beyond_the_bound_connections_wait_and_the_log_says_so() {
    let (_data, service) = start_local(&[("CODEX_MAX_CONNECTIONS", "2")]);
    let held = [connect(&service), connect(&service)];
    let waiting = connect(&service);
    let says = |text: &str| service.log().iter().any(|line| line.contains(text));
    eventually("the log says so", || {
        says("the connection limit is reached")
    });
    drop(held);
    let mut waiting = waiting;
    waiting
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let answer = Answer::read(Asked::on(waiting, "GET", "/healthz"));
    assert_eq!(answer.status, 200);
}
