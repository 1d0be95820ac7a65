//! The line to an HTTP/2 client: its bytes, and what they tell the one who drives the connection.
//!
//! `h2` owns the stream and doesn't give it back, so what the driver needs to know of it lies beside it: the
//! [`Line`]. Requests leave word there, too, when they begin, send and end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::{Earned, Fault, Meter};
use crate::listen::ClientStream;

/// Frames are gathered up to this many bytes before they are written: `h2` writes a frame's header and its payload
/// apart, and with TLS each would be a record of its own.
const GATHERED: usize = 32 * 1024;
/// Bytes sent that one acknowledgement more is granted for; whoever sends bodies in small frames or with a small
/// window acknowledges often.
const SENT_PER_ACKNOWLEDGEMENT: usize = 1024;
/// Acknowledgements that any write is worth: two WINDOW_UPDATEs for each of its frames, and a PING.
const ACKNOWLEDGEMENTS: u32 = 4;

/// What is known of a connection besides what `h2` knows.
pub struct Line {
    begun: Instant,
    watched: Mutex<Watched>,
    /// Requests under way.
    active: AtomicUsize,
    /// Bodies that wait for their servers to take more, and may fill the connection's window.
    held: AtomicU32,
    /// Milliseconds from `begun` to the end of the last request.
    idle_since: AtomicU64,
    finished: AtomicU32,
    sent: AtomicU32,
}

/// What reading and writing have brought to light.
struct Watched {
    meter: Meter,
    fault: Option<Fault>,
    stalled_since: Option<Instant>,
}

impl Line {
    /// For a connection that begins now and may carry so many requests at once.
    pub fn new(max_streams: u32) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            begun: now,
            watched: Mutex::new(Watched {
                meter: Meter::new(max_streams, now),
                fault: None,
                stalled_since: None,
            }),
            active: AtomicUsize::new(0),
            held: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            finished: AtomicU32::new(0),
            sent: AtomicU32::new(0),
        })
    }

    /// Why the client is to be sent away, if it is. Nothing more is read from it then.
    pub fn fault(&self) -> Option<Fault> {
        self.watched.lock().fault
    }

    /// Since when a header block is under way.
    pub fn block_since(&self) -> Option<Instant> {
        self.watched.lock().meter.block_since()
    }

    /// Since when the client has taken nothing of what there is to send.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.watched.lock().stalled_since
    }

    /// Requests under way.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// Since when there is no request; `None` if there is one.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.active.load(Ordering::Acquire) == 0)
            .then(|| self.begun + Duration::from_millis(self.idle_since.load(Ordering::Acquire)))
    }

    /// A request begins.
    pub fn enter(self: &Arc<Self>) -> Presence {
        self.active.fetch_add(1, Ordering::AcqRel);
        Presence(Arc::clone(self))
    }

    /// A body's server is to take what has come before more is asked for.
    pub fn hold(self: &Arc<Self>) -> Holding {
        self.held.fetch_add(1, Ordering::Relaxed);
        Holding(Arc::clone(self))
    }

    /// Bodies that wait for their servers.
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// So many bytes go to the client.
    pub fn note_sent(&self, bytes: usize) {
        let worth = u32::try_from(bytes / SENT_PER_ACKNOWLEDGEMENT).unwrap_or(u32::MAX);
        add(&self.sent, worth.saturating_add(ACKNOWLEDGEMENTS));
    }

    /// A request ran to its end.
    pub fn note_finished(&self) {
        add(&self.finished, 1);
    }

    fn earned(&self) -> Earned {
        Earned {
            finished: self.finished.swap(0, Ordering::Relaxed),
            sent: self.sent.swap(0, Ordering::Relaxed),
        }
    }
}

/// Wrapping around costs a client a few of billions.
fn add(counter: &AtomicU32, more: u32) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// A request under way; it counts until this is dropped.
pub struct Presence(Arc<Line>);

impl Drop for Presence {
    fn drop(&mut self) {
        let line = &self.0;
        let now = u64::try_from(line.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Before the count: who sees none under way is to see since when.
        line.idle_since.store(now, Ordering::Release);
        line.active.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A body that waits for its server; it counts until this is dropped.
pub struct Holding(Arc<Line>);

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of a connection, weighed as they come and gathered as they go.
pub struct Wire {
    stream: Box<ClientStream>,
    line: Arc<Line>,
    /// Not yet written. Allocated only while there is something.
    out: BytesMut,
    stalled: bool,
}

impl Wire {
    /// From here on the stream's bytes are HTTP/2's.
    pub fn new(stream: Box<ClientStream>, line: Arc<Line>) -> Self {
        Self {
            stream,
            line,
            out: BytesMut::new(),
            stalled: false,
        }
    }

    /// Writes out what was gathered.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out.has_remaining() {
            let written = match Pin::new(&mut *self.stream).poll_write(cx, &self.out) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.note_stalled(true);
                    return Poll::Pending;
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.note_stalled(false);
        }
        self.out = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn note_stalled(&mut self, stalled: bool) {
        if self.stalled != stalled {
            self.stalled = stalled;
            self.line.watched.lock().stalled_since = stalled.then(Instant::now);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.line.fault().is_some() {
            // Nobody listens any more; the driver knows, and ends it.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut *this.stream).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let mut watched = this.line.watched.lock();
        let weighed = watched
            .meter
            .note(fresh, Instant::now(), || this.line.earned());
        if let Err(fault) = weighed {
            watched.fault = Some(fault);
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.out.len() + buf.len() > GATHERED {
            ready!(this.poll_out(cx))?;
        }
        this.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        let flushed = Pin::new(&mut *this.stream).poll_flush(cx);
        this.note_stalled(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut *this.stream).poll_shutdown(cx)
    }
}
