//! Connections for requests that may switch protocols.
//!
//! Pingora 0.9.1 sends a request's header and then waits for two things at once: the end of the
//! request's (empty) body, which is queued already, and the response. It looks at them in random order,
//! and if `101 Switching Protocols` is there first, takes the end of the body for the end of the tunnel
//! and closes it (pingora#946). A server nearby answers fast enough for that to happen to one WebSocket
//! in a hundred. A [`Patient`] connection has nothing to read the first time it is asked, so the body
//! always comes first.

use std::pin::Pin;
use std::task::{Context, Poll};

use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose first read is put off to the task's next turn.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    has_waited: bool,
}

impl<S> Patient<S> {
    /// `stream`, connected, with its handshake done if there is one.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            has_waited: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.has_waited {
            self.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> VirtualSocket for Patient<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug,
{
    fn set_socket_option(&self, _option: VirtualSockOpt) -> std::io::Result<()> {
        // What it needs is set when it is made.
        Ok(())
    }
}
