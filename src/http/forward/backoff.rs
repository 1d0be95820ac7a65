//! The waits before the same server is connected to once more.
//!
//! A server that is being restarted refuses for a moment. If no other can take the request, it is worth waiting for that
//! one: a little longer each time, and not in step with all the others that wait.

use std::time::{Duration, Instant};

/// The first wait, at least.
const FIRST: Duration = Duration::from_millis(100);

/// No wait is longer than this.
const LONGEST: Duration = Duration::from_secs(1);

/// The waits of one request.
#[derive(Debug, Default, Clone, Copy)]
pub struct Backoff {
    waits: u32,
    /// When the first failure was.
    since: Option<Instant>,
}

impl Backoff {
    /// How long to wait after a failure at `now`: 100 ms, then twice as long each time, and up to half as much again by
    /// `chance` (0 to 1). `None`: that would be later than `within` after the first failure.
    pub fn pause(&self, now: Instant, within: Duration, chance: f64) -> Option<Duration> {
        let doubled = FIRST.saturating_mul(1u32.checked_shl(self.waits.min(16)).unwrap_or(1));
        let pause = doubled
            .mul_f64(1.0 + chance.clamp(0.0, 1.0) / 2.0)
            .min(LONGEST);
        let passed = self
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        (passed.saturating_add(pause) <= within).then_some(pause)
    }

    /// Notes that such a wait begins.
    pub fn note(&mut self, now: Instant) {
        self.waits = self.waits.saturating_add(1);
        self.since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_wait_is_twice_as_long_up_to_a_second() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = std::iter::repeat_with(|| {
            let pause = backoff.pause(now, Duration::from_secs(60), 0.0).unwrap();
            backoff.note(now);
            pause.as_millis()
        })
        .take(40)
        .collect();
        assert_eq!(waits[..6], [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(waits[39], 1000);
    }

    proptest! {
        /// All waits together, and what passes between them, are never longer than the limit.
        #[test]
        fn the_limit_is_for_all_waits_together(
            limit in 0u64..10_000, steps in proptest::collection::vec((0u64..500, 0.0f64..1.0), 0..30),
        ) {
            let (limit, start) = (Duration::from_millis(limit), Instant::now());
            let (mut now, mut backoff) = (start, Backoff::default());
            let mut first = None;
            for (connecting, chance) in steps {
                now += Duration::from_millis(connecting);
                let Some(pause) = backoff.pause(now, limit, chance) else { continue };
                backoff.note(now);
                first.get_or_insert(now);
                now += pause;
                prop_assert!(pause <= LONGEST);
                prop_assert!(now - first.unwrap() <= limit);
            }
        }
    }
}
