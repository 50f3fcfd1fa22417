//! A client that takes little of the machine: a process of its own with one thread, `poll(2)` and no runtime. It parses the
//! first response only: later ones have as long a body, and a head that is as long or longer, by the digits of the
//! request's id.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::head_and_whole;
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

/// Runs the client as a process: `main` passes `client`, an address, seconds and a request on to [`client`].
pub(crate) fn run(server: &Process, request: &str, span: Duration) -> Figures {
    let before = cpu_seconds(server.child.id());
    let mut command = Command::new(std::env::current_exe().unwrap());
    let seconds = span.as_secs_f64().to_string();
    command.args(["client", &server.address, &seconds, request]);
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

/// Sends `request` on every connection in a closed loop, and prints the figures for [`run`].
pub(crate) fn client(address: &str, seconds: &str, request: &str) {
    let span = Duration::from_secs_f64(seconds.parse().unwrap());
    let first = Lengths::of_first(&mut connect(address), request);
    let began = Instant::now();
    let mut connections: Vec<Connection> = (0..CONNECTIONS)
        .map(|_| Connection::begin(address, request, &first))
        .collect();
    let mut latencies: Vec<u32> = Vec::with_capacity(1 << 20);
    let mut now = began;
    while now - began < span {
        let streams = connections.iter().map(|it| &it.stream);
        let mut waited: Vec<PollFd> = streams.map(|it| PollFd::new(it, PollFlags::IN)).collect();
        let count = poll(&mut waited, Some(&LONGEST_WAIT)).unwrap();
        assert!(
            count > 0,
            "no answer, or one that is shorter than the first"
        );
        let ready: Vec<bool> = waited.iter().map(|it| !it.revents().is_empty()).collect();
        for (connection, _) in connections
            .iter_mut()
            .zip(ready)
            .filter(|(_, ready)| *ready)
        {
            if connection.has_read(&first) {
                now = Instant::now();
                latencies.push((now - connection.sent).as_micros() as u32);
                connection.send(request, now);
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
        cpu_seconds(std::process::id())
    );
}

/// A connection with a request on its way.
struct Connection {
    stream: TcpStream,
    sent: Instant,
    /// What has arrived of the response, at the begin of the buffer.
    filled: usize,
    buffer: Vec<u8>,
}

impl Connection {
    fn begin(address: &str, request: &str, first: &Lengths) -> Self {
        let stream = connect(address);
        stream.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let mut connection = Self {
            stream,
            sent: now,
            filled: 0,
            buffer: vec![0; first.head + first.body + 1024],
        };
        connection.send(request, now);
        connection
    }

    fn send(&mut self, request: &str, now: Instant) {
        self.stream.write_all(request.as_bytes()).unwrap();
        (self.sent, self.filled) = (now, 0);
    }

    /// Reads what is there; whether the response is complete.
    fn has_read(&mut self, first: &Lengths) -> bool {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => panic!("the connection was closed"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        if self.filled < first.head + first.body {
            return false;
        }
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "another answer");
        let rest = &self.buffer[first.head - 4..self.filled];
        let longer = rest.windows(4).position(|it| it == b"\r\n\r\n");
        longer.is_some_and(|longer| self.filled >= first.head + longer + first.body)
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The lengths of a response's head, with its empty line, and of its body.
struct Lengths {
    head: usize,
    body: usize,
}

impl Lengths {
    fn of_first(stream: &mut TcpStream, request: &str) -> Self {
        stream.write_all(request.as_bytes()).unwrap();
        let mut buffer = vec![0; 256 << 10];
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).unwrap();
            assert!(read > 0, "the connection was closed");
            filled += read;
            if let Some((head, whole)) = head_and_whole(&buffer[..filled])
                && filled >= whole
            {
                return Self {
                    head: head + 4,
                    body: whole - head - 4,
                };
            }
        }
    }
}
