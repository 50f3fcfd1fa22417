//! A bad line between a client and a server on loopback.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed before the server hears of the request.
    Refuse,
    /// The server answers, and the connection is closed before the client hears of it.
    LoseAnswer,
    /// Nobody ever answers.
    Hang,
    /// The server does what was asked for, and nobody ever answers.
    HangAnswer,
    /// The answer breaks off in the middle.
    Truncate,
    /// The answer comes late.
    Delay(Duration),
    /// Something before the server refuses, with this status.
    Status(u16),
    /// Storage itself refuses, with this status and its own code.
    Storage(u16, &'static str),
}

impl Fault {
    /// Any of those that end by themselves.
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

    /// The fault's kind.
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

/// Passes HTTP/1.1 requests on, each on a connection of its own, and notes them.
#[derive(Clone)]
pub(crate) struct TcpProxy {
    port: u16,
    upstream: u16,
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    /// `GET /path`, in the order they came.
    seen: Vec<String>,
    planned: Vec<Plan>,
    down: Option<Fault>,
    /// How many of a hundred requests something happens to, and what decides.
    bad: Option<(u32, fastrand::Rng)>,
    /// What has happened, by kind.
    happened: BTreeMap<&'static str, usize>,
    /// Requests that a hanging fault has befallen, the server's part done.
    hanging: usize,
}

struct Plan {
    method: String,
    /// Stands in the request's path.
    path: String,
    /// How many such requests pass before.
    before: usize,
    /// What happens then.
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
                // An error is a client that has gone, whose request is lost with it.
                tokio::spawn(async move { proxy.serve(client).await });
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The `nth` request (from 1) with this method from now on fares this way.
    pub(crate) fn plan(&self, method: &str, nth: usize, fault: Fault) {
        self.plan_at(method, "/", nth, fault);
    }

    /// The same, of the requests whose path has this in it.
    pub(crate) fn plan_at(&self, method: &str, path: &str, nth: usize, fault: Fault) {
        self.line.lock().unwrap().planned.push(Plan {
            method: method.to_owned(),
            path: path.to_owned(),
            before: nth - 1,
            fault,
        });
    }

    /// Every request fares this way, until it is set to none again.
    pub(crate) fn set_down(&self, fault: Option<Fault>) {
        self.line.lock().unwrap().down = fault;
    }

    /// So many of a hundred requests fare somehow from now on, decided by `seed`.
    pub(crate) fn set_bad(&self, percent: u32, seed: u64) {
        let random = fastrand::Rng::with_seed(seed);
        self.line.lock().unwrap().bad = (percent > 0).then_some((percent, random));
    }

    /// How many faults of each kind there have been.
    pub(crate) fn happened(&self) -> BTreeMap<&'static str, usize> {
        self.line.lock().unwrap().happened.clone()
    }

    /// The requests since the last take, as `GET /path?query`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.line.lock().unwrap().seen)
    }

    /// Whether a request hangs, with whatever the server had to do for it done.
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

    /// With `Connection: close` the end of the stream is the end of the answer, and the answer
    /// tells the client to close its side, too.
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

/// The head with its empty line, and the body; none when the client closed instead.
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
