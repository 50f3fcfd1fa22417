//! Connections: taken while there is room, and closed when nothing comes.

use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use codex_miroir::http::Routes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::Service;

use super::refused::Connection;
use super::silence::Silence;

/// What is read of a connection before it is handed on: a request's line and headers together, twice what
/// Kestrel, the Functions host's server, lets through; a body comes in pieces of that size.
const READ_MAX_BYTES: usize = 64 << 10;

/// Files that stay for storage and logs when connections use all the others.
#[cfg(unix)]
const FILES_KEPT: u64 = 512;

/// After a connection that can't be taken, as when the system has no more files.
const PAUSE: Duration = Duration::from_secs(1);

/// How often the log may say that there is no room.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// How many connections there may be, and how long one may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// At once; more wait in the system's queue.
    pub(crate) most: NonZeroUsize,
    /// From a connection's start, or its last answer, to the end of a request's headers. Those who keep
    /// connections in stock must give them up sooner: .NET's client does after 60 s.
    pub(crate) silence: Duration,
}

/// Answers by `routes` whatever connects, until `end`; then what is under way, for at most `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Routes,
    limits: Limits,
    end: impl Future<Output = ()>,
    grace: Duration,
) {
    let most = within_files(limits.most.get());
    let room = Arc::new(Semaphore::new(most));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.header_read_timeout(limits.silence)
        .max_buf_size(READ_MAX_BYTES);
    let mut end = pin!(end);
    let mut said = None;
    loop {
        let next = async {
            let place = place(&room, most, &mut said).await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            () = &mut end => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let routes = routes.clone();
                let http = http.timer(Silence::new(limits.silence));
                let connection = http.serve_connection(
                    io(stream),
                    // A router is always ready.
                    service_fn(move |it| routes.clone().call(it.map(Body::new))),
                );
                let connection = graceful.watch(connection);
                tokio::spawn(async move {
                    // Whatever ends it early is the client's affair.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
}

fn io(stream: TcpStream) -> TokioIo<Connection> {
    // Answers are written whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    TokioIo::new(Connection::new(stream))
}

/// Room for one more; `said` is when the log last told that there was none.
async fn place(
    room: &Arc<Semaphore>,
    most: usize,
    said: &mut Option<Instant>,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(room).try_acquire_owned() {
        return Some(place);
    }
    if said.is_none_or(|it| it.elapsed() >= SAY_AGAIN) {
        *said = Some(Instant::now());
        tracing::warn!(
            most,
            "no room for more connections: new ones wait (CODEX_MAX_CONNECTIONS)"
        );
    }
    // Never closed.
    Arc::clone(room).acquire_owned().await.ok()
}

/// A connection that its client gave up says nothing about the next one.
async fn pause_after(error: &io::Error) {
    let of_the_client = [
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
    ];
    if !of_the_client.contains(&error.kind()) {
        tracing::error!(%error, "can't take a connection");
        tokio::time::sleep(PAUSE).await;
    }
}

/// No more connections than the system has files for, after asking it for as many as it gives.
#[cfg(unix)]
fn within_files(most: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let Some(files) = files else { return most };
    let most_here = usize::try_from(files.saturating_sub(FILES_KEPT).max(1)).unwrap_or(usize::MAX);
    if most_here < most {
        tracing::warn!(
            most,
            most_here,
            files,
            "fewer connections than CODEX_MAX_CONNECTIONS: the system gives this process no more files"
        );
    }
    most.min(most_here)
}

#[cfg(not(unix))]
fn within_files(most: usize) -> usize {
    most
}
