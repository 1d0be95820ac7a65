//! A connection of HTTP/2 to a server, which requests share: its bytes are moved by a task of its own.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::coalescing::WriteCoalescing;
use crate::http::wire::http2::ErrorCode;
use crate::http::wire::http2::output::Output;
use crate::http::wire::http2::streams::{self, ConnectionEnd, Streams};
use crate::spare::{Buffers, Inbox};
use crate::supervise;
use crate::upstream::{Carrier, Shared, Stream};

/// Bytes that are read at once, and as many as may be when they come faster than they are read.
const READ: usize = 4 * 1024;
const FAST_READ: usize = 64 * 1024;
/// How long the server may take to read that the connection ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

thread_local! {
    static BUFFERS: Buffers = const { Buffers::new(READ, 16) };
}

/// Begins to speak HTTP/2 with a server. `moves`: how often its address has changed; `idle`: how long the connection may be
/// without a request.
pub fn begin(stream: Stream, moves: u64, idle: Duration) -> Arc<Shared> {
    let streams = Streams::with_server(Instant::now());
    let driver = Driver::new(stream, Arc::clone(&streams));
    supervise::once(driver.drive());
    Shared::new(Box::new(streams), moves, idle)
}

impl Carrier for Arc<Streams> {
    fn most_requests(&self) -> Option<usize> {
        Streams::most_requests(self)
    }

    fn close(&self) {
        Streams::close(self);
    }
}

/// Moves the bytes of a connection.
struct Driver<S: AsyncRead + AsyncWrite + Unpin> {
    stream: S,
    streams: Arc<Streams>,
    inbox: Inbox,
    /// Bytes that are read next.
    read: usize,
    output: Output,
    coalescing: WriteCoalescing,
    /// Several requests were under way when that was last looked at.
    is_shared: bool,
    /// Nothing more can be written. What the server said before is still read.
    write_error: Option<io::Error>,
    /// Tasks to wake once the lock of the streams is released.
    wakers: Vec<Waker>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn new(stream: S, streams: Arc<Streams>) -> Self {
        Self {
            stream,
            streams,
            inbox: Inbox::new(&BUFFERS),
            read: READ,
            output: Output::default(),
            coalescing: WriteCoalescing::default(),
            is_shared: false,
            write_error: None,
            wakers: Vec::new(),
        }
    }

    async fn drive(mut self) {
        let end = poll_fn(|cx| self.poll(cx)).await;
        let code = match &end {
            Some(ConnectionEnd::Faulty(fault)) => fault.code(),
            _ => ErrorCode::NoError,
        };
        if let Some(end) = &end {
            tracing::debug!(?end, "a connection of HTTP/2 to a server ended");
        }
        let is_there = matches!(end, None | Some(ConnectionEnd::Faulty(_)));
        self.streams
            .end_as(end.unwrap_or(ConnectionEnd::Closed), &mut self.wakers);
        streams::wake(&mut self.wakers);
        if is_there {
            self.streams.go_away(code);
            drop(tokio::time::timeout(LAST_WORDS, self.shut_down()).await);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<ConnectionEnd>> {
        let mut coalescing = std::mem::take(&mut self.coalescing);
        let polled = coalescing.poll(cx, self.is_shared, |cx| self.poll_move(cx));
        self.coalescing = coalescing;
        polled
    }

    /// Moves what there is to move in both directions. Ready when the connection has ended; `None`: nobody needs it any more.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<Option<ConnectionEnd>> {
        loop {
            if let Poll::Ready(end) = self.poll_read(cx) {
                let broken = self.write_error.take().map(Arc::new);
                return Poll::Ready(Some(broken.map_or(end, ConnectionEnd::Broken)));
            }
            self.is_shared = self.streams.condition().active > 1;
            let was_crowded = self.streams.is_crowded();
            if self.poll_write(cx).is_pending() {
                // The socket tells when it takes more.
                self.streams.wait(cx.waker());
            } else if was_crowded || self.streams.has_output(cx.waker()) {
                // What is crowded no more is read again.
                continue;
            }
            // Looked at last, so that whoever changes it wakes this task.
            return if self.streams.is_finished() {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
    }

    /// Writes what there is to write. Pending: no more of it can be now, or ever.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.write_error.is_some() {
            return Poll::Pending;
        }
        let written = ready!(self.output.poll_write(&mut self.stream, &self.streams, cx));
        if let Err(error) = written {
            self.write_error = Some(error);
            self.streams.close();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Reads what has come. Ready when nothing more will.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        while !self.streams.is_crowded() {
            self.inbox.reserve(self.read);
            let read = pin!(self.stream.read_buf(&mut *self.inbox)).poll(cx);
            match read {
                Poll::Ready(Ok(0)) => return Poll::Ready(ConnectionEnd::Closed),
                Poll::Ready(Ok(count)) => {
                    if count >= self.read {
                        self.read = (4 * self.read).min(FAST_READ);
                    }
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(ConnectionEnd::Broken(Arc::new(error)));
                }
                Poll::Pending => {
                    self.read = READ;
                    // No buffer is held for what hasn't come yet.
                    self.inbox.rest();
                    return Poll::Pending;
                }
            }
            let (now, inbox) = (Instant::now(), &mut *self.inbox);
            let taken = (self.streams).receive_from_server(inbox, now, &mut self.wakers);
            streams::wake(&mut self.wakers);
            if let Err(fault) = taken {
                return Poll::Ready(ConnectionEnd::Faulty(fault));
            }
        }
        Poll::Pending
    }

    /// Writes what there is to say at last, and ends the connection.
    async fn shut_down(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            ready!(self.output.poll_write(&mut self.stream, &self.streams, cx))?;
            Pin::new(&mut self.stream).poll_shutdown(cx)
        })
        .await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Driver<S> {
    fn drop(&mut self) {
        self.streams.end_as(ConnectionEnd::Closed, &mut self.wakers);
        streams::wake(&mut self.wakers);
    }
}

#[cfg(test)]
mod tests;
