//! Connections for requests that may switch protocols.
//!
//! Pingora 0.9.1 sends a request's header and then waits for two things at once: the end of the
//! request's (empty) body, which is queued already, and the response. It looks at them in random order,
//! and if `101 Switching Protocols` is there first, takes the end of the body for the end of the tunnel
//! and closes it (pingora#946). A server nearby answers fast enough for that to happen to one WebSocket
//! in a hundred. A [`Patient`] connection has nothing to read the first time it is asked, so the body
//! always comes first.
//!
//! Once it is a tunnel, it keeps half-closes: see [`Tunnel`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::tunnel::{Beginning, Tunnel};

/// A connection whose first read is put off to the task's next turn.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    has_waited: bool,
    tunnel: Arc<Tunnel>,
    beginning: Beginning,
    /// What the client sends has come to its end, and the server has been told.
    told_end: bool,
    ended: bool,
    quiet: Quiet,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Patient<S> {
    /// `stream`, connected, with its handshake done if there is one. When the server has finished its side of `tunnel`,
    /// the client may be silent for `quiet`.
    pub fn new(stream: S, tunnel: Arc<Tunnel>, quiet: Duration) -> Self {
        Self {
            stream,
            has_waited: false,
            tunnel,
            beginning: Beginning::default(),
            told_end: false,
            ended: false,
            quiet: Quiet {
                span: quiet,
                seen: 0,
                timer: None,
            },
        }
    }

    /// Passes the client's end on, once the server has all before it.
    fn tell_end(&mut self, cx: &mut Context<'_>) {
        if !self.told_end && self.tunnel.client().is_delivered() {
            // A server that has gone is found out by reading.
            self.told_end = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
        }
    }

    /// The server has finished, which Pingora is to learn when the client has, too.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.tunnel.is_over() {
            ready!(self.quiet.poll(&self.tunnel, cx));
            self.tunnel.client().end();
        }
        Poll::Ready(Ok(()))
    }
}

/// How long the client may be silent that a server waits for no more.
#[derive(Debug)]
struct Quiet {
    span: Duration,
    /// Bytes that the client had sent when the timer was set.
    seen: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Quiet {
    fn poll(&mut self, tunnel: &Tunnel, cx: &mut Context<'_>) -> Poll<()> {
        let sent = tunnel.client().passed();
        let until = Instant::now() + self.span;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if self.seen != sent {
            self.seen = sent;
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_waited {
            this.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.tell_end(cx);
        if this.ended {
            return this.poll_end(cx);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() && buf.remaining() > 0 {
            this.ended = true;
            if !this.beginning.is_found() {
                return Poll::Ready(Ok(()));
            }
            this.tunnel.server().end();
            // Whoever writes to the client is in this task, and looks again.
            cx.waker().wake_by_ref();
            return this.poll_end(cx);
        }
        this.tunnel.server().note_read(this.beginning.take(fresh));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.tunnel.client().note_passed(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> VirtualSocket for Patient<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug,
{
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        // What it needs is set when it is made.
        Ok(())
    }
}
