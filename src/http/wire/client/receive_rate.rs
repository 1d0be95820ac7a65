//! How fast a request's body has to arrive.
//!
//! `body_timeout` is put off by every byte, so that a client that sends one now and then holds a server's place for as
//! long as it likes. With `min_receive_rate` the body has to arrive at that rate on average, from its first byte on, as
//! with `MinRate` of httpd's RequestReadTimeout. Only time that is spent waiting for the client counts: while the server
//! is slow to take what has come nobody asks here, and the clock stands still.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A body isn't judged before it was waited for this long: a moment's pause is no attack.
const GRACE: Duration = Duration::from_secs(5);

/// The pace of one body.
#[derive(Debug)]
pub struct ReceiveRate {
    /// Bytes a second, not 0.
    least: u64,
    received: u64,
    waited: Duration,
    /// Since when the client is being waited for.
    since: Option<Instant>,
    /// Fires at the deadline or before.
    timer: Option<Pin<Box<Sleep>>>,
}

impl ReceiveRate {
    /// `least` in bytes a second; `None` for 0, which demands nothing.
    pub fn new(least: u64) -> Option<Self> {
        (least > 0).then_some(Self {
            least,
            received: 0,
            waited: Duration::ZERO,
            since: None,
            timer: None,
        })
    }

    /// So many bytes of the body have come.
    pub fn note(&mut self, bytes: usize) {
        self.received += bytes as u64;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// The client isn't waited for just now: it may be unable to send.
    pub fn pause(&mut self) {
        self.since = None;
    }

    /// Nothing has come. Ready when the body has become too slow; that it has begun is somebody else's to see to.
    pub fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.received == 0 {
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = since + self.allowed().saturating_sub(self.waited);
        // It only ever moves on, so a timer that fires too early costs less than to set it again for every read.
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// How long the client may have been waited for, for what it has sent.
    fn allowed(&self) -> Duration {
        let millis = self.received.saturating_mul(1000) / self.least;
        // A century is as good as for ever, and can be added to an instant.
        Duration::from_millis(millis.min(3_000_000_000_000)).max(GRACE)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Waits for the client as long as `patience`, or until it is too slow.
    async fn is_too_slow(rate: &mut ReceiveRate, patience: Duration) -> bool {
        let end = poll_fn(|cx| rate.poll_too_slow(cx));
        tokio::time::timeout(patience, end).await.is_ok()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_trickles_is_too_slow_when_the_grace_is_over() {
        let mut rate = ReceiveRate::new(100).unwrap();
        let start = Instant::now();
        loop {
            rate.note(50);
            if is_too_slow(&mut rate, SECOND).await {
                break;
            }
            assert!(start.elapsed() < 20 * SECOND, "never");
        }
        let took = start.elapsed();
        assert!(
            (GRACE..GRACE + 2 * SECOND).contains(&took),
            "after {took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_the_pace_is_never_too_slow() {
        let mut rate = ReceiveRate::new(100).unwrap();
        for _ in 0..1000 {
            rate.note(101);
            assert!(!is_too_slow(&mut rate, SECOND).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_beginning_pays_for_a_pause_and_no_more() {
        let mut rate = ReceiveRate::new(100).unwrap();
        rate.note(6000);
        assert!(!is_too_slow(&mut rate, 59 * SECOND).await);
        assert!(is_too_slow(&mut rate, 2 * SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_nobody_waits_for_the_client_in_does_not_count() {
        let mut rate = ReceiveRate::new(100).unwrap();
        for _ in 0..100 {
            rate.note(50);
            assert!(!is_too_slow(&mut rate, Duration::from_millis(10)).await);
            rate.note(50);
            // The server is slow to take it.
            tokio::time::advance(10 * SECOND).await;
        }
        rate.pause();
        tokio::time::advance(100 * SECOND).await;
        assert!(!is_too_slow(&mut rate, SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_has_not_begun_is_not_judged() {
        let mut rate = ReceiveRate::new(u64::MAX).unwrap();
        assert!(!is_too_slow(&mut rate, 100 * SECOND).await);
        rate.note(usize::MAX);
        assert!(!is_too_slow(&mut rate, SECOND).await);
        assert!(ReceiveRate::new(0).is_none());
        let mut least = ReceiveRate::new(1).unwrap();
        least.note(usize::MAX);
        assert!(!is_too_slow(&mut least, SECOND).await);
    }
}
