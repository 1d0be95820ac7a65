//! What a connection's responses have handed to `h2` and its client has yet to take.
//!
//! A response hands over no more than its window allows, so all of it goes out as fast as the client reads. When it
//! doesn't, each of many responses would leave its part there; so they share one budget, and wait when it is used up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Bytes that wait for one client at most, over all its responses.
const MOST: usize = 1024 * 1024;

/// The budget of one connection.
#[derive(Debug, Default)]
pub struct Backlog {
    waiting: AtomicUsize,
    /// Who wants to hand over more.
    waiters: Mutex<Vec<Waker>>,
}

impl Backlog {
    /// Ready when so many bytes more may be handed over; they are counted then.
    pub fn poll_admit(&self, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        if self.try_admit(bytes) {
            return Poll::Ready(());
        }
        let waiters = &mut *self.waiters.lock();
        if !waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        // It may have been drained before anybody waited.
        if self.try_admit(bytes) {
            return Poll::Ready(());
        }
        Poll::Pending
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
    fn one_that_is_alone_always_may() {
        let backlog = Backlog::default();
        assert!(admits(&backlog, MOST + 1));
        assert!(!admits(&backlog, 1));
    }
}
