//! The real binary as a process, and requests to it over TCP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::contract;

/// Longer than any operation takes; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running service. It is killed on drop.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: String,
    log: Arc<Mutex<Vec<String>>>,
}

/// The binary with an empty environment, to be given settings.
pub(crate) fn codex_miroir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codex-miroir"));
    command.env_clear().env("PORT", "0");
    command
}

/// The library that gives a process another clock (libfaketime).
pub(crate) fn other_clock() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    let libraries = folders.map(|it| it.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.into_iter().find(|it| it.exists());
    found.expect("libfaketime isn't installed: tests/run installs it")
}

impl Service {
    /// Starts `command`, and waits until it prints the address that it listens on.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        collect(child.stdout.take().unwrap(), &log);
        collect(child.stderr.take().unwrap(), &log);
        let mut service = Self {
            child,
            address: String::new(),
            log,
        };
        service.address = service.wait_for_line(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        });
        service
    }

    /// Over the folder `data`.
    pub(crate) fn over(data: &Path) -> Self {
        Self::start(codex_miroir().env("CODEX_DATA_DIR", data))
    }

    fn wait_for_line<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = self.log.lock().unwrap().iter().find_map(|line| find(line)) {
                return found;
            }
            let gone = self.child.try_wait().unwrap();
            assert!(
                gone.is_none() && began.elapsed() < PATIENCE,
                "it never listened: {:?}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(path, "")
    }

    /// Sends a request; `headers` are whole lines.
    pub(crate) fn send(&self, path: &str, headers: &str) -> Answer {
        Answer::read(self.begin(path, headers))
    }

    /// Sends a request without waiting for the answer.
    pub(crate) fn begin(&self, path: &str, headers: &str) -> Asked {
        begin(&self.address, "GET", path, headers, "")
    }

    /// Sends a JSON body.
    pub(crate) fn send_json(&self, method: &str, path: &str, body: &str) -> Answer {
        Answer::read(self.begin_json(method, path, body))
    }

    /// Sends a JSON body without waiting for the answer.
    pub(crate) fn begin_json(&self, method: &str, path: &str, body: &str) -> Asked {
        let headers = "content-type: application/json\r\n";
        begin(&self.address, method, path, headers, body)
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, as a container sends it when it stops.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it didn't end: {:?}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request whose answer hasn't been read.
pub(crate) struct Asked {
    stream: TcpStream,
    method: String,
    path: String,
}

impl Asked {
    /// A request that was sent on `stream`.
    pub(crate) fn on(stream: TcpStream, method: &str, path: &str) -> Self {
        Self {
            stream,
            method: method.to_owned(),
            path: path.to_owned(),
        }
    }
}

/// Sends a request to `address` on a connection of its own.
pub(crate) fn begin(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Asked {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    // A server that refuses a long body answers and closes before the whole body has arrived.
    let _ = stream.write_all(request.as_bytes());
    Asked::on(stream, method, path)
}

fn collect(stream: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

/// An answer, read completely.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn read(asked: Asked) -> Self {
        Self::try_read(asked).expect("an answer has a head")
    }

    /// `None` if the server closed the connection without an answer.
    pub(crate) fn try_read(mut asked: Asked) -> Option<Self> {
        let mut bytes = Vec::new();
        let _ = asked.stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        };
        answer.check(&asked);
        Some(answer)
    }

    /// A complete answer must conform to the API's document, which doesn't cover a Functions host's own answers.
    fn check(&self, asked: &Asked) {
        if self.header("x-request-id").is_empty() {
            return;
        }
        let (headers, body) = (self.headers(), self.body.as_bytes());
        let length = self.header("content-length");
        if length.parse() == Ok(body.len()) || (length.is_empty() && body.is_empty()) {
            contract::check(&asked.method, &asked.path, self.status, &headers, body);
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
            .unwrap_or("")
    }

    /// All headers, including repeated ones.
    pub(crate) fn headers(&self) -> http::HeaderMap {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let pairs = lines.map(|(name, value)| {
            let name = http::HeaderName::try_from(name).unwrap();
            (name, http::HeaderValue::try_from(value).unwrap())
        });
        pairs.collect()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!(
            matches!(self.status, 200 | 201),
            "{} {}",
            self.status,
            self.body
        );
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Waits for a condition that another process brings about asynchronously.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The document without the members that differ between instances.
pub(crate) fn stable(answer: &Answer) -> Value {
    let mut document = answer.json();
    for member in ["cacheCreatedAt", "generatedAt", "version"] {
        document.as_object_mut().unwrap().remove(member);
    }
    document
}
