//! How long a server may be silent once it has the whole request, kept where the client is waited for.
//!
//! Pingora's own timer begins when the request's header is sent and isn't put off by the body, with servers that speak
//! HTTP/2: an upload that takes longer than it would be cut off although every byte flows. So for those it is switched
//! off, and whoever waits on the client's side waits for so long and no longer.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A request's patience with its server.
#[derive(Debug, Default)]
pub struct Patience {
    /// In milliseconds; 0 = nothing is waited for.
    span: AtomicU64,
    /// Counts what came from the server, and everything else that begins the wait anew.
    turn: AtomicU64,
    ended: AtomicBool,
}

impl Patience {
    /// From now on the server may be silent for so long.
    pub fn begin(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.span.store(millis.max(1), Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on nothing is waited for.
    pub fn rest(&self) {
        self.span.store(0, Ordering::Relaxed);
    }

    /// Whether it has come to its end.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Ready when it comes to its end. `wait` is the caller's, and kept by it from call to call. Time that nobody asks
    /// in, because the client is slow to take what has come, doesn't count.
    pub fn poll_end(&self, wait: &mut Wait, cx: &mut Context<'_>) -> Poll<()> {
        let span = self.span.load(Ordering::Relaxed);
        if span == 0 {
            return Poll::Pending;
        }
        let turn = self.turn.load(Ordering::Relaxed);
        if wait.turn != turn {
            wait.turn = turn;
            let until = Instant::now() + Duration::from_millis(span);
            match &mut wait.sleep {
                Some(sleep) => sleep.as_mut().reset(until),
                None => wait.sleep = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        let Some(sleep) = &mut wait.sleep else {
            return Poll::Pending;
        };
        sleep.as_mut().poll(cx).map(|()| {
            self.ended.store(true, Ordering::Relaxed);
        })
    }
}

/// The wait for the end of a [`Patience`].
#[derive(Debug, Default)]
pub struct Wait {
    turn: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SPAN: Duration = Duration::from_secs(5);
    const LESS: Duration = Duration::from_secs(4);

    #[tokio::test(start_paused = true)]
    async fn it_ends_after_its_span_and_begins_anew_with_each_turn() {
        let (patience, mut wait) = (Patience::default(), Wait::default());
        let began = Instant::now();
        for _ in 0..3 {
            patience.begin(SPAN);
            let ended = poll_fn(|cx| patience.poll_end(&mut wait, cx));
            assert!(tokio::time::timeout(LESS, ended).await.is_err());
        }
        assert!(!patience.has_ended());
        poll_fn(|cx| patience.poll_end(&mut wait, cx)).await;
        assert!(patience.has_ended());
        assert!(began.elapsed() >= 2 * LESS + SPAN);
    }

    #[tokio::test(start_paused = true)]
    async fn at_rest_it_never_ends() {
        let (patience, mut wait) = (Patience::default(), Wait::default());
        for _ in 0..2 {
            let ended = poll_fn(|cx| patience.poll_end(&mut wait, cx));
            assert!(tokio::time::timeout(100 * SPAN, ended).await.is_err());
            patience.begin(SPAN);
            patience.rest();
        }
    }
}
