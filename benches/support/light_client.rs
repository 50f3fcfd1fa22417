//! A client that takes little of the machine: a process of its own with one thread, `poll(2)` and no runtime.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::{BUFFER, head_and_whole};
use crate::people::cpu_seconds;
use crate::process::Process;

const CONNECTIONS: usize = 32;

/// How long no connection may have an answer.
const LONGEST_WAIT: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// One run's figures, from the client and from the server's process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    /// In µs.
    pub(crate) p50: f64,
    /// In µs.
    pub(crate) p99: f64,
    /// The server's processor time for a request, in µs.
    pub(crate) server_cpu: f64,
    /// The client's.
    pub(crate) client_cpu: f64,
}

/// Runs the client as a process: `main` passes `client`, an address, seconds and the path of a file with the requests,
/// none of which has a body, on to [`client`].
pub(crate) fn run(server: &Process, requests: &Path, span: Duration) -> Figures {
    let before = cpu_seconds(server.child.id());
    let mut command = Command::new(std::env::current_exe().unwrap());
    let seconds = span.as_secs_f64().to_string();
    command
        .args(["client", &server.address, &seconds])
        .arg(requests);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let cpu = cpu_seconds(server.child.id()) - before;
    let numbers: Vec<f64> = String::from_utf8(output.stdout)
        .unwrap()
        .split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect();
    let [requests, elapsed, p50, p99, client_cpu] = numbers[..] else {
        panic!("five numbers: {numbers:?}")
    };
    Figures {
        per_second: requests / elapsed,
        p50,
        p99,
        server_cpu: cpu * 1e6 / requests,
        client_cpu: client_cpu * 1e6 / requests,
    }
}

/// Sends random requests of the file on every connection in a closed loop, and prints the figures for [`run`].
pub(crate) fn client(address: &str, seconds: &str, requests: &str) {
    let span = Duration::from_secs_f64(seconds.parse().unwrap());
    let requests = std::fs::read_to_string(requests).unwrap();
    let requests: Vec<&[u8]> = requests
        .split_inclusive("\r\n\r\n")
        .map(str::as_bytes)
        .collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut any = || requests[random.usize(0..requests.len())];
    let began = Instant::now();
    let cpu_before = cpu_seconds(std::process::id());
    let mut connections: Vec<Connection> = (0..CONNECTIONS)
        .map(|_| Connection::begin(address, any()))
        .collect();
    let mut latencies: Vec<u32> = Vec::with_capacity(1 << 20);
    let mut now = began;
    while now - began < span {
        let streams = connections.iter().map(|it| &it.stream);
        let mut waited: Vec<PollFd> = streams.map(|it| PollFd::new(it, PollFlags::IN)).collect();
        let count = poll(&mut waited, Some(&LONGEST_WAIT)).unwrap();
        assert!(count > 0, "no answer");
        let ready: Vec<bool> = waited.iter().map(|it| !it.revents().is_empty()).collect();
        for (connection, _) in connections
            .iter_mut()
            .zip(ready)
            .filter(|(_, ready)| *ready)
        {
            if connection.has_read() {
                now = Instant::now();
                latencies.push((now - connection.sent).as_micros() as u32);
                connection.send(any(), now);
            }
        }
    }
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    println!(
        "{} {} {} {} {}",
        latencies.len(),
        (now - began).as_secs_f64(),
        at(0.50),
        at(0.99),
        cpu_seconds(std::process::id()) - cpu_before
    );
}

/// A connection with a request on its way.
struct Connection {
    stream: TcpStream,
    sent: Instant,
    /// What has arrived of the response, at the begin of the buffer.
    filled: usize,
    /// The length of the whole response, once its head has arrived.
    whole: Option<usize>,
    buffer: Vec<u8>,
}

impl Connection {
    fn begin(address: &str, request: &[u8]) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let mut connection = Self {
            stream,
            sent: now,
            filled: 0,
            whole: None,
            buffer: vec![0; BUFFER],
        };
        connection.send(request, now);
        connection
    }

    fn send(&mut self, request: &[u8], now: Instant) {
        self.stream.write_all(request).unwrap();
        (self.sent, self.filled, self.whole) = (now, 0, None);
    }

    /// Reads what is there; whether the response is complete.
    fn has_read(&mut self) -> bool {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => panic!("the connection was closed"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        let arrived = &self.buffer[..self.filled];
        if self.whole.is_none() {
            self.whole = head_and_whole(arrived).map(|(_, whole)| whole);
        }
        let complete = self.whole.is_some_and(|whole| self.filled >= whole);
        assert!(
            !complete || arrived.starts_with(b"HTTP/1.1 200"),
            "another answer"
        );
        complete
    }
}
