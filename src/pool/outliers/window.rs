//! What a server did in the last seconds: a ring of slices, of which the oldest goes as a new one begins.

use std::ops::{AddAssign, Sub};
use std::time::{Duration, Instant};

const SLICES: usize = 10;

/// Requests, or connections, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) tries: u32,
    pub(super) failed: u32,
}

impl Tally {
    /// The share that failed, 0 to 1. One that broke off may be counted in another slice than its beginning.
    pub(super) fn share(self) -> f64 {
        if self.tries == 0 {
            return 0.0;
        }
        f64::from(self.failed.min(self.tries)) / f64::from(self.tries)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.tries = self.tries.saturating_add(other.tries);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            tries: self.tries.saturating_sub(other.tries),
            failed: self.failed.saturating_sub(other.failed),
        }
    }
}

/// The last seconds.
#[derive(Debug, Default)]
pub(super) struct Window {
    slices: [Tally; SLICES],
    /// Which slice is the newest, and since when.
    newest: usize,
    began: Option<Instant>,
}

impl Window {
    /// Adds what has come to pass up to `now`. Returns what it was in the last `length`.
    pub(super) fn add(&mut self, news: Tally, now: Instant, length: Duration) -> Tally {
        let slice = (length / 10).max(Duration::from_millis(1));
        let began = *self.began.get_or_insert(now);
        let passed = now.saturating_duration_since(began).as_nanos() / slice.as_nanos();
        if passed > 0 {
            for _ in 0..passed.min(SLICES as u128) {
                self.newest = (self.newest + 1) % SLICES;
                if let Some(oldest) = self.slices.get_mut(self.newest) {
                    *oldest = Tally::default();
                }
            }
            self.began = Some(now);
        }
        if let Some(newest) = self.slices.get_mut(self.newest) {
            *newest += news;
        }
        let mut sum = Tally::default();
        self.slices.iter().for_each(|slice| sum += *slice);
        sum
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    fn tally(tries: u32, failed: u32) -> Tally {
        Tally { tries, failed }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut window = Window::default();
        assert_eq!(window.add(tally(5, 1), at(0), LENGTH), tally(5, 1));
        assert_eq!(window.add(tally(2, 2), at(5), LENGTH), tally(7, 3));
        assert_eq!(window.add(tally(1, 0), at(9), LENGTH), tally(8, 3));
        assert_eq!(window.add(tally(0, 0), at(10), LENGTH), tally(3, 2));
        assert_eq!(window.add(tally(0, 0), at(60), LENGTH), tally(0, 0));
        window.add(tally(3, 3), at(60), LENGTH);
        window.clear();
        assert_eq!(window.add(tally(0, 0), at(60), LENGTH), tally(0, 0));
    }

    #[test]
    fn many_looks_in_a_slice_move_nothing_on() {
        let begin = Instant::now();
        let mut window = Window::default();
        for n in 0..50 {
            let at = begin + Duration::from_millis(100 * n);
            window.add(tally(1, 0), at, LENGTH);
        }
        let at = begin + Duration::from_secs(5);
        assert_eq!(window.add(tally(0, 0), at, LENGTH), tally(50, 0));
    }

    #[test]
    fn a_share_is_never_more_than_all() {
        assert!(tally(0, 3).share().abs() < f64::EPSILON);
        assert!((tally(2, 3).share() - 1.0).abs() < f64::EPSILON);
        assert!((tally(10, 3).share() - 0.3).abs() < f64::EPSILON);
    }
}
