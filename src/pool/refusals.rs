//! A server whose answers are refused, told once and not with each of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// After so many answers in a row that are passed on, the refusals count as over.
const OVER: u32 = 20;

/// The shortest time between two lines about one server, however often its refusals end and begin.
const AGAIN: Duration = Duration::from_secs(60);

/// Whether a server's answers are refused here, as far as the log knows.
#[derive(Debug, Default)]
pub struct Refusals {
    is_told: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    /// How many answers were passed on since the last one that was refused.
    passed: u32,
}

impl Refusals {
    /// Notes an answer that was refused at `now`. Returns whether that is news.
    pub fn refused(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.passed = 0;
        let is_recent = |told| now.saturating_duration_since(told) < AGAIN;
        if self.is_told.load(Ordering::Relaxed) || state.told.is_some_and(is_recent) {
            return false;
        }
        state.told = Some(now);
        self.is_told.store(true, Ordering::Relaxed);
        true
    }

    /// Notes an answer that is passed on. Returns whether the refusals that were told of are over.
    pub fn passed(&self) -> bool {
        if !self.is_told.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = self.state.lock();
        state.passed += 1;
        state.passed >= OVER && self.is_told.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(refusals: &Refusals, times: u32) -> usize {
        (0..times).filter(|_| refusals.passed()).count()
    }

    #[test]
    fn refusals_are_told_once_and_their_end_once() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        assert_eq!(pass(&refusals, 100), 0);
        assert!(refusals.refused(start));
        for second in 0..1000 {
            assert!(!refusals.refused(start + Duration::from_secs(second)));
        }
        assert_eq!(pass(&refusals, OVER - 1), 0);
        assert_eq!(pass(&refusals, 100), 1);
    }

    #[test]
    fn a_server_that_wavers_is_told_of_once_a_minute() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        assert!(refusals.refused(start));
        assert_eq!(pass(&refusals, OVER), 1);
        assert!(!refusals.refused(start + Duration::from_secs(59)));
        assert_eq!(pass(&refusals, 2 * OVER), 0, "what was not told isn't over");
        assert!(refusals.refused(start + AGAIN));
    }
}
