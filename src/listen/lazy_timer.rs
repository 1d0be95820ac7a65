//! One timer for all that a connection waits for, one wait after the other.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is set anew only for what is due sooner than what it was last set to. It may fire too early, seldom, which
/// costs less than the runtime's lock for each wait: nearly all of them end long before their time.
#[derive(Debug, Default)]
pub struct LazyTimer(Option<Pin<Box<Sleep>>>);

impl LazyTimer {
    /// Ready when that time has come.
    pub fn poll_due(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        loop {
            ready!(self.poll_set(cx, due));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
        }
    }

    /// Ready when that time has come, or sooner.
    pub fn poll_set(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }

    /// Whether it has fired since it was set.
    pub fn has_fired(&self) -> bool {
        self.0.as_ref().is_some_and(|timer| timer.is_elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_own_time() {
        let (start, mut timer) = (Instant::now(), LazyTimer::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        // Nobody waits for this one to the end.
        assert!(
            poll_fn(|cx| Poll::Ready(timer.poll_due(cx, after(5))))
                .await
                .is_pending()
        );
        for seconds in [60, 61, 61, 200] {
            poll_fn(|cx| timer.poll_due(cx, after(seconds))).await;
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
        assert!(
            poll_fn(|cx| Poll::Ready(timer.poll_due(cx, after(500))))
                .await
                .is_pending()
        );
        poll_fn(|cx| timer.poll_due(cx, after(300))).await;
        assert_eq!(start.elapsed().as_secs(), 300);
    }
}
