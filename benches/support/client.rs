//! An HTTP client with one connection and one request at a time.

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The size limit of a response.
pub(crate) const BUFFER: usize = 256 << 10;

/// A keep-alive connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let buffer = vec![0; BUFFER];
        Self { stream, buffer }
    }

    /// Sends a request and reads the whole response: the head without its empty line, and the body.
    pub(crate) async fn send(&mut self, request: &[u8]) -> (&[u8], &[u8]) {
        self.stream.write_all(request).await.unwrap();
        let (head, whole) = self.receive().await;
        (&self.buffer[..head], &self.buffer[head + 4..whole])
    }

    /// Reads a response into the buffer; the lengths of its head and of the whole.
    async fn receive(&mut self) -> (usize, usize) {
        let mut filled = 0;
        let mut expected = None;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(read > 0, "the connection was closed");
            filled += read;
            if expected.is_none() {
                expected = head_and_whole(&self.buffer[..filled]);
            }
            if let Some((head, whole)) = expected
                && filled >= whole
            {
                return (head, whole);
            }
        }
    }
}

/// The ends of the head and of the whole response; `None` until the head is complete.
pub(crate) fn head_and_whole(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = memmem::find(bytes, b"\r\n\r\n")?;
    let name = b"\r\ncontent-length: ";
    let found = memmem::find(&bytes[..head], name).expect("a response has its length");
    let value = bytes[found + name.len()..].split(|it| *it == b'\r').next();
    let length: usize = std::str::from_utf8(value?).unwrap().parse().unwrap();
    assert!(head + 4 + length <= BUFFER, "a longer response");
    Some((head, head + 4 + length))
}

/// A header in a response's head; the service sends names in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(known, value)| (known == name).then_some(value))
}
