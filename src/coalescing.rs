//! Writes of many that go out as one.
//!
//! What several tasks have to say on one connection is written by a task of its own. The runtime runs a task that was just
//! woken next, so that one would write what the first of them says before the second has said anything: a system call for
//! each, and with TLS a record. HAProxy runs its connections after its streams for the same reason.

use std::task::{Context, Poll};

/// Lets a task that writes for others go after those that are ready.
#[derive(Debug, Default)]
pub struct WriteCoalescing {
    /// The task was last seen to wait, so a poll now means that it has been woken.
    is_asleep: bool,
}

impl WriteCoalescing {
    /// Does `poll`, after all tasks that are ready to run if the task has just been woken and `is_shared` by several.
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        is_shared: bool,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if std::mem::take(&mut self.is_asleep) && is_shared {
            // A task that wakes itself goes to the end of its worker's queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = poll(cx);
        self.is_asleep = polled.is_pending();
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
    fn who_is_woken_lets_others_go_first_once() {
        let mut coalescing = WriteCoalescing::default();
        let waits = Poll::Pending;
        // At the beginning nobody is ready.
        assert_eq!(poll(&mut coalescing, true, waits), (waits, true));
        for _ in 0..3 {
            assert_eq!(poll(&mut coalescing, true, waits), (waits, false));
            assert_eq!(poll(&mut coalescing, true, waits), (waits, true));
        }
    }

    #[test]
    fn what_comes_in_one_piece_is_taken_in_one_go() {
        let mut coalescing = WriteCoalescing::default();
        assert!(poll(&mut coalescing, true, Poll::Pending).1);
        assert!(!poll(&mut coalescing, true, Poll::Ready(())).1);
        for _ in 0..3 {
            assert_eq!(
                poll(&mut coalescing, true, Poll::Ready(())),
                (Poll::Ready(()), true)
            );
        }
        assert!(poll(&mut coalescing, true, Poll::Pending).1);
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
