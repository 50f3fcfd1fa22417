//! Requests to the process, each on a connection of its own.

use std::io;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How often the host tries to connect to a process that is still starting.
const TRIES: u32 = 10;

/// Sends a request as it is; an error if no process listens, or if the process disconnects without an answer.
pub(super) async fn try_once(port: u16, request: Request<Body>) -> io::Result<Response<Body>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    exchange(stream, request).await
}

/// [`try_once`] with retries of the connection, for a process that is restarting.
pub(super) async fn send(port: u16, request: Request<Body>) -> io::Result<Response<Body>> {
    exchange(connect(port).await?, request).await
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    let mut tries = 1;
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Err(_) if tries < TRIES => {
                let pause = Duration::from_millis(50) * tries;
                tokio::time::sleep(pause.min(Duration::from_millis(250))).await;
                tries += 1;
            }
            connected => return connected,
        }
    }
}

async fn exchange(stream: TcpStream, request: Request<Body>) -> io::Result<Response<Body>> {
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    Ok(answer.map(Body::new))
}

/// A random number in .NET's GUID format.
pub(super) fn guid() -> String {
    let bits = getrandom::u64().unwrap();
    let more = getrandom::u64().unwrap();
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        bits >> 32,
        bits >> 16 & 0xffff,
        bits & 0xfff,
        more >> 52,
        more & 0xffff_ffff_ffff,
    )
}
