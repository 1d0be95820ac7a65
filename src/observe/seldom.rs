//! What may happen thousands of times a second is told once a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lets one of its callers a second through.
#[derive(Debug, Default)]
pub struct Seldom(AtomicU64);

impl Seldom {
    /// Nobody has come yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether the caller is the first one in this second of the wall clock.
    pub fn first_at(&self, now: SystemTime) -> bool {
        let now = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
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
        let at = |millis| seldom.first_at(UNIX_EPOCH + Duration::from_millis(millis));
        assert!(at(5_000));
        assert!(!at(5_999));
        assert!(at(6_000));
    }
}
