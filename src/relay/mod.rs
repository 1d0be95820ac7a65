//! Both directions of a connection, until both have ended, one end breaks, or nothing moves for too long.
//!
//! Bytes go from socket to socket through memory that all connections of a thread share, or, where there are many and both
//! ends are sockets as they are, through a pipe and never come here (splice(2)). Only what the far socket doesn't
//! take at once is kept, and as long as there is something kept, nothing more is read: a slow reader slows its writer down,
//! and a connection on which nothing happens holds no buffer at all.

use std::cell::Cell;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::config::model;
use crate::observe::Termination;

mod flow;
mod pipe;
mod wire;

use flow::{Fault, Flow, Moved};
pub use pipe::Socket;
pub use wire::{Held, ServerWire, Wire};

/// Bytes read at once.
const SCRATCH: usize = 64 * 1024;

/// How often an end that isn't read from is asked whether it is still there.
const LOOK: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both ends said all they had to say, and heard it.
    Complete,
    /// The server said all it had to say and left; what the client still had to say nobody heard.
    ServerLeft,
    /// The client broke off.
    ClientGone,
    /// The server broke off.
    ServerGone,
    /// Nothing moved for `tcp.idle_timeout`.
    Idle,
    /// Nothing moved for `tcp.half_close_timeout` after one end had said all.
    HalfClosed,
}

impl End {
    /// The word for the access log.
    pub fn termination(self) -> Termination {
        match self {
            // As with a server that answers early: it is what the server wanted.
            Self::Complete | Self::ServerLeft => Termination::Complete,
            Self::ClientGone => Termination::ClientAborted,
            Self::ServerGone => Termination::ServerReset,
            Self::Idle => Termination::IdleTimeout,
            Self::HalfClosed => Termination::HalfCloseTimeout,
        }
    }
}

/// Who is told of the bytes that go through.
pub trait Meter {
    /// Bytes came from the client.
    fn note_in(&mut self, count: usize);
    /// Bytes went to the client.
    fn note_out(&mut self, count: usize);
}

/// Moves bytes both ways until the end. Closes nothing: that the caller does, as the [`End`] demands.
pub fn relay(
    client: &mut impl Wire,
    server: &mut impl Wire,
    meter: &mut impl Meter,
    limits: &model::Tcp,
) -> impl Future<Output = End> {
    relay_after(Vec::new(), client, server, meter, limits)
}

/// As [`relay`], with what the client has said `first` already.
pub async fn relay_after(
    first: Vec<u8>,
    client: &mut impl Wire,
    server: &mut impl Wire,
    meter: &mut impl Meter,
    limits: &model::Tcp,
) -> End {
    if !first.is_empty() {
        meter.note_in(first.len());
    }
    let mut relay = Relay::new(first, limits, Instant::now());
    let mut timer = std::pin::pin!(tokio::time::sleep(limits.idle_timeout));
    std::future::poll_fn(|cx| {
        let mut scratch = take_scratch();
        let polled = relay.poll(cx, client, server, meter, timer.as_mut(), &mut scratch);
        give_scratch_back(scratch);
        polled
    })
    .await
}

struct Relay<'a> {
    /// From the client to the server.
    up: Flow,
    /// From the server to the client.
    down: Flow,
    limits: &'a model::Tcp,
    /// When something moved last, or a direction ended.
    last: Instant,
    /// How it will have ended when both directions have; `None`: as it should.
    verdict: Option<End>,
}

impl<'a> Relay<'a> {
    fn new(first: Vec<u8>, limits: &'a model::Tcp, now: Instant) -> Self {
        Self {
            up: Flow::with(first),
            down: Flow::default(),
            limits,
            last: now,
            verdict: None,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl Wire,
        server: &mut impl Wire,
        meter: &mut impl Meter,
        timer: Pin<&mut Sleep>,
        scratch: &mut [u8],
    ) -> Poll<End> {
        let was_half_closed = self.is_half_closed();
        let (mut up, mut down) = (Moved::default(), Moved::default());
        let last = self.down.has_ended();
        let sent = self.up.poll(cx, client, server, scratch, &mut up, last);
        if up.read > 0 {
            meter.note_in(up.read);
        }
        match sent {
            // Many clients of TLS just leave when they have got what they wanted.
            Poll::Ready(Err(Fault::Near(error)))
                if error.kind() == ErrorKind::UnexpectedEof && self.down.has_ended() =>
            {
                return Poll::Ready(End::Complete);
            }
            Poll::Ready(Err(Fault::Near(error))) => return broke_off(End::ClientGone, &error),
            Poll::Ready(Err(Fault::Far(error))) => {
                tracing::debug!(%error, "a server takes nothing more");
                self.note_server_broke();
            }
            _ => {}
        }
        let last = self.up.has_ended();
        let fetched = self.down.poll(cx, server, client, scratch, &mut down, last);
        if down.written > 0 {
            meter.note_out(down.written);
        }
        match fetched {
            // What the server had said before is with the client already.
            Poll::Ready(Err(Fault::Near(error))) => return broke_off(End::ServerGone, &error),
            Poll::Ready(Err(Fault::Far(error))) => {
                tracing::debug!(%error, "a client takes nothing more");
                self.note_client_broke();
            }
            _ => {}
        }
        if self.up.is_done() && self.down.is_done() {
            return Poll::Ready(self.verdict.unwrap_or(End::Complete));
        }
        if up.any() || down.any() || was_half_closed != self.is_half_closed() {
            self.last = Instant::now();
        }
        self.poll_time(cx, client, server, timer)
    }

    /// The server takes nothing more. What it had said before is still to reach the client.
    fn note_server_broke(&mut self) {
        if self.up.has_ended() && self.down.is_closed() {
            // Both had said all: it is nobody's loss.
            return;
        }
        self.verdict.get_or_insert(if self.down.is_closed() {
            End::ServerLeft
        } else {
            End::ServerGone
        });
        self.up.break_off();
    }

    /// The client takes nothing more. What it had said before is still to reach the server.
    fn note_client_broke(&mut self) {
        if self.verdict != Some(End::ServerGone) {
            self.verdict = Some(End::ClientGone);
        }
        self.down.break_off();
    }

    fn is_half_closed(&self) -> bool {
        self.up.is_closed() || self.down.is_closed()
    }

    /// When silence has lasted for too long.
    fn deadline(&self) -> Instant {
        let patience = if self.is_half_closed() {
            self.limits.half_close_timeout
        } else {
            self.limits.idle_timeout
        };
        // No timeout that a file can hold is that long.
        self.last.checked_add(patience).unwrap_or(self.last)
    }

    fn poll_time(
        &mut self,
        cx: &mut Context<'_>,
        client: &impl Wire,
        server: &impl Wire,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<End> {
        // Bytes don't set the timer back: they would do so thousands of times a second, and it is asked once.
        let mut due = self.due();
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.deadline() {
                return Poll::Ready(if self.is_half_closed() {
                    End::HalfClosed
                } else {
                    End::Idle
                });
            }
            if !self.up.is_reading() && (self.up.is_near_broken() || client.has_failed()) {
                return Poll::Ready(End::ClientGone);
            }
            if !self.down.is_reading() && (self.down.is_near_broken() || server.has_failed()) {
                self.note_server_broke();
                // What that changes is seen in the next turn.
                cx.waker().wake_by_ref();
            }
            due = self.due();
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }

    /// When there is something to be looked after.
    fn due(&self) -> Instant {
        let deadline = self.deadline();
        if self.up.is_reading() && self.down.is_reading() {
            return deadline;
        }
        // Only who reads from an end hears of its reset.
        deadline.min(Instant::now() + LOOK)
    }
}

fn broke_off(end: End, error: &std::io::Error) -> Poll<End> {
    tracing::debug!(%error, ?end, "a connection broke");
    Poll::Ready(end)
}

thread_local! {
    static SHARED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's shared memory, for one turn.
fn take_scratch() -> Vec<u8> {
    let mut scratch = SHARED.take();
    scratch.resize(SCRATCH, 0);
    scratch
}

fn give_scratch_back(scratch: Vec<u8>) {
    SHARED.set(scratch);
}

#[cfg(test)]
pub(crate) mod tests;
