//! The server: receives a request, applies its faults, and answers it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::exchange::{Call, Reply, refuse};
use super::hub::Hub;
use super::traffic::Fault;

/// Serves the hub, or a replica of it, until the runtime ends.
pub(super) async fn serve(hub: Arc<Hub>, replica: Option<usize>, listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).unwrap();
    let app = Router::new().fallback(handle).with_state((hub, replica));
    let service = app.into_make_service_with_connect_info::<Line>();
    let served = axum::serve(Lines(listener), service).await;
    served.unwrap();
}

async fn handle(
    State((hub, replica)): State<(Arc<Hub>, Option<usize>)>,
    request: Request,
) -> Response {
    let line = request.extensions().get::<ConnectInfo<Line>>().cloned();
    let ConnectInfo(line) = line.unwrap();
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Response::default();
    };
    let call = Call::new(
        parts.method.as_str(),
        &parts.uri,
        parts.headers,
        body.to_bytes(),
    );
    let token = call
        .header("authorization")
        .map(|value| value.split_once(' ').map_or(value, |(_, token)| token));
    let plain = format!("/{}", call.segments.join("/"));
    let mut fate = hub
        .traffic
        .note(&call.method, &parts.uri.to_string(), &plain, token);
    tokio::time::sleep(fate.latency).await;
    fate.held(false).await;
    let fault = fate.fault.clone();
    let reply = match &fault {
        Some(Fault::Reset) => return line.cut(),
        Some(Fault::Hang) => {
            hub.traffic.recovery(fate.id).await;
            return line.cut();
        }
        Some(Fault::LoseAnswer) | None => {
            let hub = Arc::clone(&hub);
            // A request that has begun is completed, whether or not the client still waits.
            let done = tokio::task::spawn_blocking(move || hub.answer(&call, replica));
            done.await.unwrap()
        }
        Some(fault) => outage_answer(fault),
    };
    fate.held(true).await;
    if let Some(Fault::LoseAnswer) = fault {
        return line.cut();
    }
    hub.traffic.answered(fate.id, reply.status);
    response(reply)
}

/// The answer during an outage.
fn outage_answer(fault: &Fault) -> Reply {
    match fault {
        Fault::Status(status) => *refuse(*status, "Server Error"),
        Fault::Redirect(to) => Reply::empty(307).with("location", to),
        _ => Reply::raw(
            200,
            "text/html; charset=utf-8",
            "<!DOCTYPE html><title>Unicorn!</title><p>This page is taking too long to load.",
        ),
    }
}

fn response(reply: Reply) -> Response {
    let mut response = Response::builder().status(reply.status);
    let (kind, bytes) = reply.bytes();
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    if let Some(kind) = kind {
        response = response.header("content-type", kind);
    }
    response.body(Body::from(bytes)).unwrap()
}

/// Signals that a connection is to be reset.
#[derive(Debug, Clone)]
struct Line(Arc<AtomicBool>);

impl Line {
    fn cut(&self) -> Response {
        self.0.store(true, Ordering::SeqCst);
        Response::default()
    }
}

/// Connections that can be reset underneath the server.
struct Lines(TcpListener);

struct Cuttable {
    stream: TcpStream,
    line: Line,
}

impl Listener for Lines {
    type Io = Cuttable;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Cuttable, SocketAddr) {
        loop {
            if let Ok((stream, from)) = self.0.accept().await {
                let _ = stream.set_nodelay(true);
                let line = Line(Arc::default());
                return (Cuttable { stream, line }, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().line.clone()
    }
}

impl Cuttable {
    /// An error once the connection is to be reset; closing it then sends a reset.
    fn check(&self) -> io::Result<()> {
        if !self.line.0.load(Ordering::SeqCst) {
            return Ok(());
        }
        let _ = self.stream.set_zero_linger();
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
