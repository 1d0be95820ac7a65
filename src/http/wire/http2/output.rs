//! What is being written to a connection of HTTP/2.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::io::AsyncWrite;

use super::streams::{self, Streams};

/// Bytes that are being written.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// How many of them have gone.
    written: usize,
    /// TLS may hold some of what has gone.
    unflushed: bool,
    stalled_since: Option<Instant>,
    wakers: Vec<Waker>,
}

impl Output {
    /// Since when the other side has taken nothing of what there is to send.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Writes all that there is to write. Pending: the socket takes no more now.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        streams: &Streams,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = self.poll_all(stream, streams, cx);
        if polled.is_pending() {
            self.stalled_since.get_or_insert_with(Instant::now);
        } else {
            self.stalled_since = None;
        }
        polled
    }

    fn poll_all<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        streams: &Streams,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.bytes.get(self.written..)
                && !rest.is_empty()
            {
                let count = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += count;
                self.unflushed = true;
                self.stalled_since = None;
                streams.note_written(count, &mut self.wakers);
                streams::wake(&mut self.wakers);
            }
            streams::give_back(&mut self.bytes);
            self.written = 0;
            streams.take_output(&mut self.bytes, &mut self.wakers);
            streams::wake(&mut self.wakers);
            if self.bytes.is_empty() {
                break;
            }
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
