//! The line to an HTTP/2 client: its bytes, and what they tell the one who drives the connection.
//!
//! `h2` owns the stream and doesn't give it back, so what the driver needs to know of it lies beside it: the
//! [`Line`]. Requests leave word there, too, when they begin, send and end.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::backlog::Backlog;
use super::meter::{Deeds, Fault};
use super::screen::{Around, Screen};
use crate::http::site::HttpListener;
use crate::http::wire::http2::fields;
use crate::http::wire::http2::frames::PREFACE;
use crate::listen::ClientStream;
use crate::relay::Wire as _;

/// Frames are gathered up to this many bytes before they are written: `h2` writes a frame's header and its payload
/// apart, and with TLS each would be a record of its own.
const GATHERED: usize = 32 * 1024;
/// Bytes sent that one acknowledgement more is granted for; whoever sends bodies in small frames or with a small
/// window acknowledges often.
const SENT_PER_ACKNOWLEDGEMENT: usize = 1024;
/// Acknowledgements that any write is worth: two WINDOW_UPDATEs for each of its frames, and a PING.
const ACKNOWLEDGEMENTS: u32 = 4;
/// Bytes that the header sections of a connection's requests may cost together; beyond that requests are refused until
/// others have ended. Four header sections of the largest size always may.
const HEADERS_AT_ONCE: usize = 4 * 1024 * 1024;
/// Requests whose header's cost is remembered until `h2` hands them over. More than wait there at once.
const COSTS: usize = 20_000;

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
    deeds: Deeds,
    backlog: Backlog,
    /// What the header sections of requests cost that are under way or have yet to be handed over by `h2`.
    headers: AtomicUsize,
    /// `h2` is to take no more requests from here on.
    last_call: AtomicBool,
    /// So many small pieces of bodies have come that nothing more is read before they have been gathered.
    crowded: AtomicBool,
    /// There is something to be written once `h2` has said all that it has to say.
    unwritten: AtomicBool,
    /// The client has ended its side, and may still be listening (RFC 9112 section 9.6 has it so for HTTP/1).
    half_closed: AtomicBool,
    /// `h2` may hear that the client has.
    over: AtomicBool,
}

/// What reading and writing have brought to light.
struct Watched {
    screen: Screen,
    /// Requests that `h2` has yet to hand over, and what their headers cost.
    costs: VecDeque<(u32, usize)>,
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
                screen: Screen::new(max_streams, now),
                costs: VecDeque::new(),
                fault: None,
                stalled_since: None,
            }),
            active: AtomicUsize::new(0),
            held: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            deeds: Deeds::default(),
            backlog: Backlog::default(),
            headers: AtomicUsize::new(0),
            last_call: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            unwritten: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            over: AtomicBool::new(false),
        })
    }

    /// Why the client is to be sent away, if it is. Nothing more is read from it then.
    pub fn fault(&self) -> Option<Fault> {
        self.watched.lock().fault
    }

    /// Since when a header block is under way.
    pub fn block_since(&self) -> Option<Instant> {
        self.watched.lock().screen.block_since()
    }

    /// Whether the client has heard that the connection ends.
    pub fn has_heard(&self) -> bool {
        self.watched.lock().screen.has_heard()
    }

    /// Has `h2` take no more requests from its next read on, and tell the client which was the last.
    pub fn last_call(&self) {
        self.last_call.store(true, Ordering::Relaxed);
    }

    /// Whether small pieces of bodies are to be gathered; whoever asks does it now.
    pub fn take_crowded(&self) -> bool {
        take(&self.crowded)
    }

    /// Whether something was gathered that is written when `h2` next reads. It is told once.
    pub fn take_unwritten(&self) -> bool {
        take(&self.unwritten)
    }

    /// Whether the client has ended its side. `h2` doesn't know, since it would end everything.
    pub fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed)
    }

    /// Tells `h2`, at its next read, that the client has ended its side. False if that was asked for before.
    pub fn end(&self) -> bool {
        !self.over.swap(true, Ordering::Relaxed)
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

    /// A request begins, the one of that stream.
    pub fn enter(self: &Arc<Self>, stream: u32) -> Presence {
        self.active.fetch_add(1, Ordering::AcqRel);
        Presence {
            line: Arc::clone(self),
            header: self.take_cost(stream),
        }
    }

    /// What the header of that stream's request costs. What came before it and wasn't handed over never will be.
    fn take_cost(&self, stream: u32) -> usize {
        let costs = &mut self.watched.lock().costs;
        while let Some((earlier, cost)) = costs.front().copied().filter(|(id, _)| *id <= stream) {
            costs.pop_front();
            if earlier == stream {
                return cost;
            }
            self.headers.fetch_sub(cost, Ordering::Relaxed);
        }
        0
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
        self.deeds.note_sent(worth.saturating_add(ACKNOWLEDGEMENTS));
    }

    /// What waits for the client.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// What becomes of the client's requests.
    pub fn deeds(&self) -> &Deeds {
        &self.deeds
    }

    /// Looks at what has come, which ends with `fresh`. Returns how much of that passes as it is; what passes of the rest,
    /// or instead of it, is appended to `out`.
    fn screen(
        &self,
        listener: &HttpListener,
        fresh: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        let limits = listener.site.load().limits;
        let Watched {
            screen,
            costs,
            fault,
            ..
        } = &mut *self.watched.lock();
        let mut around = Around {
            now: Instant::now(),
            limits,
            deeds: &self.deeds,
            admit: &mut |stream, cost| {
                let most = HEADERS_AT_ONCE.max(fields::largest_list(&limits).saturating_mul(4));
                if self.headers.load(Ordering::Relaxed).saturating_add(cost) > most {
                    return false;
                }
                self.headers.fetch_add(cost, Ordering::Relaxed);
                costs.push_back((stream, cost));
                if costs.len() > COSTS
                    && let Some((_, cost)) = costs.pop_front()
                {
                    self.headers.fetch_sub(cost, Ordering::Relaxed);
                }
                true
            },
        };
        let screened = screen.pass(fresh, &mut around).and_then(|passed| {
            let rest = fresh.get(passed..).unwrap_or_default();
            screen.take(rest, out, &mut around).map(|()| passed)
        });
        if screen.is_crowded() {
            self.crowded.store(true, Ordering::Relaxed);
        }
        *fault = screened.err();
        screened
    }
}

fn take(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Relaxed)
}

/// A request under way; it and its header count until this is dropped.
pub struct Presence {
    line: Arc<Line>,
    header: usize,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let line = &self.line;
        line.headers.fetch_sub(self.header, Ordering::Relaxed);
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

/// The bytes of a connection, screened as they come and gathered as they go.
pub struct Wire {
    stream: Box<ClientStream>,
    line: Arc<Line>,
    listener: Arc<HttpListener>,
    /// Bytes of the preface that are still to come. They are handed over by themselves, so that `h2` is there when
    /// a fault has to be told.
    preface: usize,
    /// Screened, and not yet handed over from `given` on.
    screened: Vec<u8>,
    given: usize,
    /// Not yet written. Allocated only while there is something.
    out: BytesMut,
    stalled: bool,
}

impl Wire {
    /// From here on the stream's bytes are HTTP/2's.
    pub fn new(stream: Box<ClientStream>, line: Arc<Line>, listener: Arc<HttpListener>) -> Self {
        Self {
            stream,
            line,
            listener,
            preface: PREFACE,
            screened: Vec::new(),
            given: 0,
            out: BytesMut::new(),
            stalled: false,
        }
    }

    /// Hands over what was screened before. False if there is nothing.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.given == self.screened.len() && self.line.last_call.load(Ordering::Relaxed) {
            // Where frames meet.
            let frame = self.line.watched.lock().screen.last_call();
            if let Some(frame) = frame {
                self.line.last_call.store(false, Ordering::Relaxed);
                self.screened.extend(frame);
            }
        }
        let rest = self.screened.get(self.given..).unwrap_or_default();
        let part = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(part);
        let given = !part.is_empty();
        self.given += part.len();
        if self.given == self.screened.len() {
            self.given = 0;
            self.screened.clear();
        }
        given
    }

    /// Reads as much of the preface as is still to come. True at the end of the stream.
    fn poll_preface(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [0; PREFACE];
        let mut room = ReadBuf::new(room.get_mut(..self.preface).unwrap_or_default());
        ready!(Pin::new(&mut *self.stream).poll_read(cx, &mut room))?;
        self.preface -= room.filled().len();
        let passed = self
            .line
            .screen(&self.listener, room.filled(), &mut self.screened);
        let passed = passed.unwrap_or_default();
        let passed = room.filled().get(..passed).unwrap_or_default();
        self.screened.extend_from_slice(passed);
        Poll::Ready(Ok(room.filled().is_empty()))
    }

    /// The client has ended its side. False if it is gone with that.
    fn half_close(&mut self) -> bool {
        if self.listener.site.load().http.abort_on_half_close {
            return false;
        }
        let Some(frames) = self.line.watched.lock().screen.give_up() else {
            return false;
        };
        self.screened.extend(frames);
        self.line.half_closed.store(true, Ordering::Relaxed);
        true
    }

    /// What there is to read from a client that has ended its side.
    fn poll_half_closed(&self) -> Poll<io::Result<()>> {
        if self.line.over.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        if self.stream.has_failed() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        // The driver looks now and then.
        Poll::Pending
    }

    /// Writes out what was gathered, all the way.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        self.note_stalled(flushed.is_pending());
        if flushed.is_ready() {
            self.line.backlog.clear();
        }
        flushed
    }

    /// Writes out what was gathered, as far as TLS.
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
            self.line.backlog.note_taken(written);
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
        if this.out.has_remaining()
            && let Poll::Ready(Err(error)) = this.poll_written(cx)
        {
            return Poll::Ready(Err(error));
        }
        loop {
            if this.line.fault().is_some() {
                // Nobody listens any more; the driver knows, and ends it.
                return Poll::Pending;
            }
            if this.give(buf) {
                return Poll::Ready(Ok(()));
            }
            if this.line.is_half_closed() {
                return this.poll_half_closed();
            }
            if this.line.crowded.load(Ordering::Relaxed) {
                // The driver gathers first, and asks again at once.
                return Poll::Pending;
            }
            if this.preface > 0 {
                if ready!(this.poll_preface(cx))? {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let before = buf.filled().len();
            let read = Pin::new(&mut *this.stream).poll_read(cx, buf);
            if read.is_pending() {
                // A connection holds no buffer while it waits.
                this.screened = Vec::new();
            }
            ready!(read)?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                if this.half_close() {
                    continue;
                }
                return Poll::Ready(Ok(()));
            }
            let passed = this.line.screen(&this.listener, fresh, &mut this.screened);
            // With a fault nothing more is handed over.
            let passed = passed.unwrap_or_default();
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
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
        // A client that takes nothing now is waited for, as without gathering.
        if this.stalled || !this.out.has_remaining() {
            return this.poll_written(cx);
        }
        // `h2` flushes behind each piece of a body. The driver has it read once more when it has said all.
        this.line.unwritten.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut *this.stream).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Who waits learns from its stream that nobody takes it any more.
        self.line.backlog.clear();
    }
}
