//! Writes of many that go out as one.
//!
//! What several tasks have to say on one connection is written by a task of its own. The runtime runs a task that was just
//! woken next, so that one would write what the first of them says before the second has said anything: a system call for
//! each, and with TLS a record. HAProxy runs its connections after its streams for the same reason.

use std::pin::pin;
use std::task::{Context, Poll};

use tokio::task::yield_now;

/// How often the runtime is to look for what has become ready before the task goes on. Each look is a system call, and a
/// write that it saves is several.
const ROUNDS: u8 = 2;

/// Puts off a task that writes for others until the tasks that are ready have run.
#[derive(Debug, Default)]
pub struct WriteCoalescing {
    /// What is left of the rounds that began when the task was last seen to wait.
    rounds: u8,
}

impl WriteCoalescing {
    /// Does `poll`. If the task has just been woken and `is_shared` by several, all tasks that are ready go first. Must be
    /// called by a task of the runtime.
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        is_shared: bool,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.rounds > 0 && is_shared {
            self.rounds -= 1;
            // Wakes this task when the runtime has run all others and has looked for events.
            if pin!(yield_now()).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let polled = poll(cx);
        self.rounds = if polled.is_pending() { ROUNDS } else { 0 };
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn poll(
        coalescing: &mut WriteCoalescing,
        is_shared: bool,
        inner: Poll<()>,
    ) -> (Poll<()>, bool) {
        let mut done = false;
        let polled = coalescing.poll(&mut Context::from_waker(Waker::noop()), is_shared, |_| {
            done = true;
            inner
        });
        (polled, done)
    }

    #[test]
    fn who_is_woken_lets_others_go_first() {
        let mut coalescing = WriteCoalescing::default();
        let waits = Poll::Pending;
        // At the beginning nobody is ready.
        assert_eq!(poll(&mut coalescing, true, waits), (waits, true));
        for _ in 0..3 {
            for _ in 0..ROUNDS {
                assert_eq!(poll(&mut coalescing, true, waits), (waits, false));
            }
            assert_eq!(poll(&mut coalescing, true, waits), (waits, true));
        }
    }

    #[test]
    fn what_comes_in_one_piece_is_taken_in_one_go() {
        let mut coalescing = WriteCoalescing::default();
        let (waits, ready) = (Poll::Pending, Poll::Ready(()));
        assert!(poll(&mut coalescing, true, waits).1);
        for _ in 0..ROUNDS {
            assert!(!poll(&mut coalescing, true, ready).1);
        }
        for _ in 0..3 {
            assert_eq!(poll(&mut coalescing, true, ready), (ready, true));
        }
        assert!(poll(&mut coalescing, true, waits).1);
    }

    #[test]
    fn who_writes_for_one_doesnt_wait() {
        let mut coalescing = WriteCoalescing::default();
        for _ in 0..3 {
            assert_eq!(
                poll(&mut coalescing, false, Poll::Pending),
                (Poll::Pending, true)
            );
        }
    }
}
