//! What may happen thousands of times a second is told once a second.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What the seconds are counted from.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Lets one of its callers a second through.
#[derive(Debug, Default)]
pub struct Seldom(AtomicU64);

impl Seldom {
    /// Nobody has come yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether the caller is the first one in this second.
    pub fn first_at(&self, now: Instant) -> bool {
        // The first second is 1: 0 is that nobody has come yet.
        let now = 1 + now.saturating_duration_since(*BEGUN).as_secs();
        self.0.swap(now, Ordering::Relaxed) != now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_of_each_second_comes_through() {
        let seldom = Seldom::new();
        let begun = *BEGUN;
        let at = |millis| seldom.first_at(begun + Duration::from_millis(millis));
        assert!(at(0));
        assert!(!at(999));
        assert!(at(5_000));
        assert!(!at(5_999));
        assert!(at(6_000));
    }
}
