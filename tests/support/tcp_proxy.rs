//! An unreliable connection between a client and a server on loopback.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed before the request reaches the server.
    Refuse,
    /// The server answers, and the connection is closed before the answer reaches the client.
    LoseAnswer,
    /// The request never reaches the server, and there is no answer.
    Hang,
    /// The server carries the request out, and the answer never arrives.
    HangAnswer,
    /// The answer is cut off in the middle.
    Truncate,
    /// The answer is delayed.
    Delay(Duration),
    /// An intermediary refuses the request, with this status.
    Status(u16),
    /// Storage itself refuses, with this status and its own error code.
    Storage(u16, &'static str),
}

impl Fault {
    /// Any of the faults that end by themselves.
    fn any(random: &mut fastrand::Rng) -> Self {
        match random.u32(0..10) {
            0 => Self::Refuse,
            1 | 2 => Self::LoseAnswer,
            3 => Self::Truncate,
            4..=6 => Self::Delay(Duration::from_millis(random.u64(20..300))),
            7 => Self::Status(500),
            8 => Self::Status(503),
            _ => Self::Status(429),
        }
    }

    /// The kind of fault.
    fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refused",
            Self::LoseAnswer => "answer lost",
            Self::Hang | Self::HangAnswer => "hung",
            Self::Truncate => "answer cut",
            Self::Delay(_) => "late",
            Self::Status(429) => "429",
            Self::Status(503) => "503",
            Self::Status(_) => "500",
            Self::Storage(_, code) => code,
        }
    }
}

/// Forwards HTTP/1.1 requests, each on a connection of its own, and records them.
#[derive(Clone)]
pub(crate) struct TcpProxy {
    port: u16,
    upstream: u16,
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    /// `GET /path`, in order of arrival.
    seen: Vec<String>,
    planned: Vec<Plan>,
    down: Option<Fault>,
    /// The percentage of requests that fail, and the generator that decides which.
    bad: Option<(u32, fastrand::Rng)>,
    /// The number of faults of each kind.
    happened: BTreeMap<&'static str, usize>,
    /// The number of hanging requests whose server part is done.
    hanging: usize,
}

struct Plan {
    method: String,
    /// A part of the request's path.
    path: String,
    /// The number of matching requests that pass first.
    before: usize,
    /// The fault of the next one.
    fault: Fault,
}

impl TcpProxy {
    /// Listens on a free port until the test's runtime ends.
    pub(crate) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self {
            port,
            upstream,
            line: Arc::default(),
        };
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = serving.clone();
                // An error means that the client has disconnected; its request is lost with it.
                tokio::spawn(async move { proxy.serve(client).await });
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Applies a fault to the `nth` request (from 1) with this method from now on.
    pub(crate) fn plan(&self, method: &str, nth: usize, fault: Fault) {
        self.plan_at(method, "/", nth, fault);
    }

    /// The same, counting only requests whose path contains `path`.
    pub(crate) fn plan_at(&self, method: &str, path: &str, nth: usize, fault: Fault) {
        self.line.lock().unwrap().planned.push(Plan {
            method: method.to_owned(),
            path: path.to_owned(),
            before: nth - 1,
            fault,
        });
    }

    /// Applies a fault to every request until it is set to `None`.
    pub(crate) fn set_down(&self, fault: Option<Fault>) {
        self.line.lock().unwrap().down = fault;
    }

    /// Applies random faults to this percentage of requests from now on, seeded by `seed`.
    pub(crate) fn set_bad(&self, percent: u32, seed: u64) {
        let random = fastrand::Rng::with_seed(seed);
        self.line.lock().unwrap().bad = (percent > 0).then_some((percent, random));
    }

    /// The number of faults of each kind so far.
    pub(crate) fn happened(&self) -> BTreeMap<&'static str, usize> {
        self.line.lock().unwrap().happened.clone()
    }

    /// The requests since the last take, as `GET /path?query`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.line.lock().unwrap().seen)
    }

    /// Whether a request hangs, after the server has done its part, if any.
    pub(crate) fn hangs(&self) -> bool {
        self.line.lock().unwrap().hanging > 0
    }

    async fn hang(&self) {
        self.line.lock().unwrap().hanging += 1;
        std::future::pending().await
    }

    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let Some((head, body)) = read_request(&mut client).await? else {
            return Ok(());
        };
        let fault = self.line.lock().unwrap().note(&head);
        match fault {
            Some(Fault::Refuse) => return Ok(()),
            Some(Fault::Hang) => self.hang().await,
            Some(Fault::Status(status)) => return refuse(&mut client, status, "").await,
            Some(Fault::Storage(status, code)) => {
                let header = format!("x-ms-error-code: {code}\r\n");
                return refuse(&mut client, status, &header).await;
            }
            Some(Fault::Delay(span)) => tokio::time::sleep(span).await,
            _ => {}
        }
        let answer = self.forward(&head, &body).await?;
        if fault == Some(Fault::HangAnswer) {
            self.hang().await;
        }
        let arrives = match fault {
            Some(Fault::LoseAnswer) => return Ok(()),
            Some(Fault::Truncate) => answer.len() / 2,
            _ => answer.len(),
        };
        client.write_all(&answer[..arrives]).await?;
        client.shutdown().await
    }

    /// `Connection: close` makes the end of the stream the end of the answer, and the answer makes the client close its
    /// side, too.
    async fn forward(&self, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(("127.0.0.1", self.upstream)).await?;
        let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        server.write_all(head.as_bytes()).await?;
        server.write_all(body).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

impl Line {
    fn note(&mut self, head: &str) -> Option<Fault> {
        let mut words = head.split(' ');
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        self.seen.push(format!("{method} {path}"));
        let mut due = None;
        self.planned.retain_mut(|plan| {
            if plan.method != method || !path.contains(&plan.path) {
                return true;
            }
            if plan.before == 0 {
                due = Some(plan.fault);
            }
            let stays = plan.before > 0;
            plan.before = plan.before.saturating_sub(1);
            stays
        });
        let fault = self.down.or(due).or_else(|| {
            let (percent, random) = self.bad.as_mut()?;
            (random.u32(0..100) < *percent).then(|| Fault::any(random))
        });
        if let Some(fault) = fault {
            *self.happened.entry(fault.name()).or_default() += 1;
        }
        fault
    }
}

async fn refuse(client: &mut TcpStream, status: u16, header: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status} Trouble\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}

/// The head with its empty line, and the body; `None` if the client closed instead.
async fn read_request(client: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = read.split_off(end);
    let head = String::from_utf8_lossy(&read).into_owned();
    let length = content_length(&head);
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, body)))
}

fn content_length(head: &str) -> usize {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.map_or(0, |(_, value)| value.trim().parse().unwrap())
}
