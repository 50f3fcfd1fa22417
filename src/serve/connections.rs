//! Accepts connections up to a limit, and closes idle ones.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use codex_miroir::config::Config;
use codex_miroir::http::Routes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::Service;

use super::activity::Activity;
use super::client_connection::ClientConnection;

/// Size of a connection's read buffer: the limit of a request's line and headers together, twice that of Kestrel, the
/// Functions host's server. It is also the maximum chunk size of a body.
const READ_MAX_BYTES: usize = 64 << 10;

/// File descriptors reserved for storage and logs.
#[cfg(unix)]
const RESERVED_FILES: u64 = 512;

/// Delay after `accept` failed, for example because the process has no more file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Minimum interval of the warnings that the connection limit is reached.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Serves `routes` until `shutdown` completes. Then stops accepting, and waits at most `grace` for running requests.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Routes,
    config: &Config,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) {
    // More connections wait in the system's accept queue.
    let max_connections = cap_by_file_limit(config.max_connections.get());
    let permits = Arc::new(Semaphore::new(max_connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    // `Activity` takes its place.
    http.header_read_timeout(None).max_buf_size(READ_MAX_BYTES);
    // From the start of a connection, or its last response, to the end of the next request's headers. It must be longer
    // than clients keep pooled connections: .NET's client closes them after 60 s.
    let idle = config.idle;
    let mut shutdown = pin!(shutdown);
    let mut last_warning = None;
    loop {
        let next = async {
            let permit = acquire(&permits, max_connections, &mut last_warning).await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let activity = Activity::default();
                // Responses are written whole, so Nagle's algorithm would only delay them.
                let _ = stream.set_nodelay(true);
                let connection = http.serve_connection(
                    TokioIo::new(ClientConnection::new(stream, activity.clone())),
                    handler(routes.clone(), activity.clone()),
                );
                let connection = graceful.watch(connection);
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        // Errors of a connection are the client's and need no handling.
                        _ = connection => {}
                        () = activity.silent_for(idle) => {}
                    }
                    drop(permit);
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
}

/// Answers a connection's requests by `routes`, and says so to its `activity`.
fn handler(
    routes: Routes,
    activity: Activity,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| {
        activity.begin();
        // No `poll_ready`: a router is always ready.
        let response = routes.clone().call(request.map(Body::new));
        let activity = activity.clone();
        async move {
            let response = response.await;
            activity.end();
            response
        }
    })
}

/// Waits for the permit of one more connection. `last_warning` is when the log last said that the limit is reached.
async fn acquire(
    permits: &Arc<Semaphore>,
    max_connections: usize,
    last_warning: &mut Option<Instant>,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Some(permit);
    }
    if last_warning.is_none_or(|it| it.elapsed() >= WARN_INTERVAL) {
        *last_warning = Some(Instant::now());
        tracing::warn!(
            most = max_connections,
            "the connection limit is reached: new connections wait (CODEX_MAX_CONNECTIONS)"
        );
    }
    // `None` only if the semaphore were closed, which never happens.
    Arc::clone(permits).acquire_owned().await.ok()
}

/// Waits after a failed `accept`, unless the client closed the connection, which doesn't affect the next one.
async fn pause_after(error: &io::Error) {
    let by_client = [
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
    ];
    if !by_client.contains(&error.kind()) {
        tracing::error!(%error, "accepting a connection failed");
        tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
    }
}

/// Raises the process's limit of open files to the hard limit, and caps the connections by it.
#[cfg(unix)]
fn cap_by_file_limit(most: usize) -> usize {
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
    let most_here =
        usize::try_from(files.saturating_sub(RESERVED_FILES).max(1)).unwrap_or(usize::MAX);
    if most_here < most {
        tracing::warn!(
            most,
            most_here,
            files,
            "fewer connections than CODEX_MAX_CONNECTIONS: limited by the maximum of open files"
        );
    }
    most.min(most_here)
}

#[cfg(not(unix))]
fn cap_by_file_limit(most: usize) -> usize {
    most
}
