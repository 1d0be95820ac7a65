//! What of a connection's responses has come from their servers and its client has yet to take.
//!
//! A response hands over to `h2` no more than its window allows, so all of it goes out as fast as the client reads. When it
//! doesn't, each of many responses would leave its part there; so they share one budget, and wait when it is used up.
//! What a response can't hand over for want of a window is held beside that. When both together are as much as the budget,
//! nothing more is read from servers, but for a response whose window is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::line::Line;

/// Bytes that wait for one client at most, over all its responses.
const MOST: usize = 1024 * 1024;

/// The budget of one connection.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Handed over to `h2`.
    waiting: AtomicUsize,
    /// Not handed over.
    held: AtomicUsize,
    /// Who wants to hand over more.
    waiters: Mutex<Vec<Waker>>,
}

impl Backlog {
    /// Ready when so many bytes more may be handed over; they are counted then.
    pub fn poll_admit(&self, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        self.poll(cx, || self.try_admit(bytes))
    }

    /// Ready when more may be read from servers.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll(cx, || self.all() < MOST)
    }

    fn poll(&self, cx: &Context<'_>, is_ready: impl Fn() -> bool) -> Poll<()> {
        if is_ready() {
            return Poll::Ready(());
        }
        let waiters = &mut *self.waiters.lock();
        if !waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        // It may have been drained before anybody waited.
        if is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn all(&self) -> usize {
        self.waiting.load(Ordering::Relaxed) + self.held.load(Ordering::Relaxed)
    }

    fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    fn let_go(&self, bytes: usize) {
        let was_full = self.all() >= MOST;
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if was_full {
            self.wake();
        }
    }

    fn try_admit(&self, bytes: usize) -> bool {
        let more =
            |waiting: usize| (waiting == 0 || waiting + bytes <= MOST).then(|| waiting + bytes);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// The client has taken so many bytes, frames' headers and all.
    pub fn note_taken(&self, bytes: usize) {
        let less = |waiting: usize| Some(waiting.saturating_sub(bytes));
        let (Ok(_) | Err(_)) =
            self.waiting
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.wake();
    }

    fn wake(&self) {
        let waiters = std::mem::take(&mut *self.waiters.lock());
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Nothing waits any more: all has been taken, but for what was handed over to streams that are gone.
    pub fn clear(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.wake();
    }
}

/// A piece of a response that has come from its server and isn't with `h2`. It counts in the backlog of its connection.
pub struct Held {
    piece: Bytes,
    line: Arc<Line>,
}

impl Held {
    /// Nothing yet.
    pub fn none(line: &Arc<Line>) -> Self {
        Self {
            piece: Bytes::new(),
            line: Arc::clone(line),
        }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.piece.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.piece.is_empty()
    }

    /// Holds this piece, and no other.
    pub fn set(&mut self, piece: Bytes) {
        self.line.backlog().hold(piece.len());
        let before = std::mem::replace(&mut self.piece, piece);
        self.line.backlog().let_go(before.len());
    }

    /// Lets the first bytes of it go.
    pub fn split_to(&mut self, length: usize) -> Bytes {
        let part = self.piece.split_to(length);
        self.line.backlog().let_go(part.len());
        part
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.line.backlog().let_go(self.piece.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(backlog: &Backlog, bytes: usize) -> bool {
        let cx = Context::from_waker(Waker::noop());
        backlog.poll_admit(bytes, &cx).is_ready()
    }

    #[test]
    fn what_is_more_waits_until_the_client_has_taken_some() {
        let backlog = Backlog::default();
        assert!(admits(&backlog, MOST));
        assert!(!admits(&backlog, 10));
        backlog.note_taken(9);
        assert!(!admits(&backlog, 10));
        backlog.note_taken(1);
        assert!(admits(&backlog, 10));
        assert!(!admits(&backlog, 10));
        backlog.clear();
        assert!(admits(&backlog, 10));
    }

    #[test]
    fn what_is_held_leaves_no_room_until_it_goes() {
        let line = Line::new(1);
        let has_room = || {
            let cx = Context::from_waker(Waker::noop());
            line.backlog().poll_room(&cx).is_ready()
        };
        let mut held = Held::none(&line);
        held.set(Bytes::from(vec![0; MOST - 1]));
        assert!(has_room());
        let mut other = Held::none(&line);
        other.set(Bytes::from_static(b"ab"));
        assert!(!has_room());
        assert_eq!(held.split_to(2).len(), 2);
        assert!(has_room());
        other.set(Bytes::from_static(b"abc"));
        assert!(!has_room());
        assert!(admits(line.backlog(), 10), "what is held isn't with h2");
        drop(held);
        assert!(has_room());
    }

    #[test]
    fn one_that_is_alone_always_may() {
        let backlog = Backlog::default();
        assert!(admits(&backlog, MOST + 1));
        assert!(!admits(&backlog, 1));
    }
}
