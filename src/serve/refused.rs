//! A connection on which hyper's own refusals become whole answers, and reach the client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use codex_miroir::http::unreadable;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// For so long a client may go on sending what isn't read, and lose nothing of the answer: a connection that is closed
/// with something unread is reset, and the answer may be thrown away with it.
const LINGER: Duration = Duration::from_secs(1);

/// A client's connection.
pub(super) struct Connection {
    stream: TcpStream,
    refusal: Option<Refusal>,
}

/// What is sent in place of hyper's bytes.
struct Refusal {
    left: Bytes,
    /// How many of hyper's it stands for, until that is told.
    replaces: Option<usize>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        let refusal = None;
        Self { stream, refusal }
    }

    /// Sends what replaces of hyper's answer.
    fn poll_refuse(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(refusal) = &mut self.refusal
            && refusal.left.has_remaining()
        {
            let stream = Pin::new(&mut self.stream);
            match ready!(stream.poll_write(context, &refusal.left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => refusal.left.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Looks at what hyper is about to send.
    fn inspect(&mut self, answer: &[u8]) {
        if self.refusal.is_none()
            && let Some(whole) = unreadable(answer)
        {
            let request_id = String::from_utf8_lossy(whole.request_id.as_bytes());
            tracing::debug!(%request_id, code = ?whole.code, "a request that can't be read");
            self.refusal = Some(Refusal {
                left: whole.bytes.into(),
                replaces: Some(answer.len()),
                linger: None,
            });
        }
    }

    /// How many bytes of hyper's are dealt with, where something stands for them.
    fn poll_replaced(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        ready!(self.poll_refuse(context))?;
        let replaces = self.refusal.as_mut().and_then(|it| it.replaces.take());
        Poll::Ready(Ok(replaces))
    }

    /// Reads what still comes, and drops it.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(refusal) = &mut self.refusal else {
            return Poll::Ready(());
        };
        let linger = || Box::pin(tokio::time::sleep(LINGER));
        let linger = refusal.linger.get_or_insert_with(linger);
        let mut dropped = [0; 4096];
        while linger.as_mut().poll(context).is_pending() {
            let mut dropped = ReadBuf::new(&mut dropped);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut dropped);
            if ready!(read).is_err() || dropped.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inspect(bytes);
        match ready!(self.poll_replaced(context))? {
            Some(replaces) => Poll::Ready(Ok(replaces)),
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inspect(parts.first().map_or(&[], |it| it));
        match ready!(self.poll_replaced(context))? {
            Some(replaces) => Poll::Ready(Ok(replaces)),
            None => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
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
