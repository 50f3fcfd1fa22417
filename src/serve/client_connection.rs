//! A connection that replaces hyper's bare error responses by complete ones, and makes sure that they reach the client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use codex_miroir::http::parse_error_response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::activity::Activity;

/// How long to keep reading and discarding after a replaced response. Closing a socket with unread data resets the
/// connection, and the client may then lose the response.
const LINGER: Duration = Duration::from_secs(1);

/// A client's connection.
pub(super) struct ClientConnection {
    stream: TcpStream,
    activity: Activity,
    replacement: Option<ReplacementResponse>,
}

/// The response that is sent in place of hyper's.
struct ReplacementResponse {
    remaining: Bytes,
    /// The length of hyper's response, until it is reported to hyper as written.
    replaced_len: Option<usize>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl ClientConnection {
    pub(super) fn new(stream: TcpStream, activity: Activity) -> Self {
        Self {
            stream,
            activity,
            replacement: None,
        }
    }

    /// Sends the rest of the replacement.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(replacement) = &mut self.replacement
            && replacement.remaining.has_remaining()
        {
            let stream = Pin::new(&mut self.stream);
            match ready!(stream.poll_write(context, &replacement.remaining))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => replacement.remaining.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sets the replacement if hyper is about to send an error response of its own.
    fn inspect(&mut self, response: &[u8]) {
        if self.replacement.is_none()
            && let Some(whole) = parse_error_response(response)
        {
            let request_id = String::from_utf8_lossy(whole.request_id.as_bytes());
            tracing::debug!(%request_id, code = ?whole.code, "unreadable request");
            self.activity.sent();
            self.replacement = Some(ReplacementResponse {
                remaining: whole.bytes.into(),
                replaced_len: Some(response.len()),
                linger: None,
            });
        }
    }

    /// Notes that so many bytes were sent.
    fn note(&self, sent: usize) -> usize {
        self.activity.sent();
        sent
    }

    /// With a replacement: sends it, then returns once the length of hyper's response, to be reported as written.
    fn poll_replaced(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        ready!(self.poll_send(context))?;
        let replacement = self.replacement.as_mut();
        let replaced_len = replacement.and_then(|it| it.replaced_len.take());
        Poll::Ready(Ok(replaced_len))
    }

    /// After a replaced response: reads and discards input until it ends or the time is over.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(replacement) = &mut self.replacement else {
            return Poll::Ready(());
        };
        let linger = || Box::pin(tokio::time::sleep(LINGER));
        let linger = replacement.linger.get_or_insert_with(linger);
        let mut buffer = [0; 4096];
        while linger.as_mut().poll(context).is_pending() {
            let mut discarded = ReadBuf::new(&mut buffer);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut discarded);
            if ready!(read).is_err() || discarded.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for ClientConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for ClientConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inspect(bytes);
        match ready!(self.poll_replaced(context))? {
            Some(replaced_len) => Poll::Ready(Ok(replaced_len)),
            None => {
                let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
                sent.map_ok(|sent| self.note(sent))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inspect(parts.first().map_or(&[], |it| it));
        match ready!(self.poll_replaced(context))? {
            Some(replaced_len) => Poll::Ready(Ok(replaced_len)),
            None => {
                let sent = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
                sent.map_ok(|sent| self.note(sent))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        self.poll_linger(context).map(Ok)
    }
}
