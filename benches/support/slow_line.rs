//! A TCP proxy that delays every response.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The median delay, in milliseconds.
const MEDIAN: f64 = 10.0;

/// The log-normal σ with 1 % of the delays above 50 ms: ln 5 / 2.326.
const SIGMA: f64 = 0.692;

/// Forwards connections to the port `upstream` until the runtime ends; returns its own port.
pub(crate) async fn start(upstream: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(client, upstream));
        }
    });
    port
}

/// Forwards one connection. The first bytes after a request are delayed, the rest of the response is not.
async fn forward(client: TcpStream, upstream: u16) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let request_sent = Arc::new(AtomicBool::new(false));
    let request_flag = Arc::clone(&request_sent);
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            request_flag.store(true, Ordering::Release);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
        let _ = to_server.shutdown().await;
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        if request_sent.swap(false, Ordering::AcqRel) {
            tokio::time::sleep(delay()).await;
        }
        if to_client.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to_client.shutdown().await;
}

/// A log-normally distributed delay, by the Box–Muller transform.
fn delay() -> Duration {
    let (u, v) = (1.0 - fastrand::f64(), fastrand::f64());
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    Duration::from_secs_f64(MEDIAN * (SIGMA * normal).exp() / 1e3)
}
