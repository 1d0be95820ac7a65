//! Slow start: a server that is new or came back gets its weight by and by.
//!
//! The effective weight grows linearly from 10 % to 100 % over the pool's `slow_start`, so that a
//! least-connections pool doesn't throw all its traffic at an empty, cold server (HAProxy's
//! `slowstart`, nginx's `slow_start`).

use std::time::{Duration, Instant};

use crate::balance::Slot;

/// Weights are handed to the selector in hundredths, so that 10 % of weight 1 is still a weight.
pub const SCALE: u32 = 100;

/// The share of its weight a server has `elapsed` after it came back, in percent, 10 to 100.
pub fn percent(elapsed: Duration, whole: Duration) -> u32 {
    const FLOOR: u128 = 10;
    if whole.is_zero() || elapsed >= whole {
        return 100;
    }
    let grown = FLOOR + (100 - FLOOR) * elapsed.as_micros() / whole.as_micros().max(1);
    u32::try_from(grown).unwrap_or(100).clamp(10, 100)
}

/// The servers whose weight is growing.
#[derive(Debug, Default)]
pub struct Ramps {
    running: Vec<(Slot, Instant)>,
}

impl Ramps {
    /// Starts (or restarts) a server's ramp.
    pub fn start(&mut self, slot: Slot, now: Instant) {
        self.stop(slot);
        self.running.push((slot, now));
    }

    /// For how long a server's weight has been growing; `None` if it isn't.
    pub fn elapsed(&self, slot: Slot, now: Instant) -> Option<Duration> {
        let (_, since) = self.running.iter().find(|(other, _)| *other == slot)?;
        Some(now.saturating_duration_since(*since))
    }

    /// Forgets a server.
    pub fn stop(&mut self, slot: Slot) {
        self.running.retain(|(other, _)| *other != slot);
    }

    /// Whether any server's weight is growing.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Calls `apply` with every growing server and its percentage at `now`; forgets those that have
    /// arrived at 100.
    pub fn advance(&mut self, now: Instant, whole: Duration, mut apply: impl FnMut(Slot, u32)) {
        self.running.retain(|(slot, since)| {
            let percent = percent(now.saturating_duration_since(*since), whole);
            apply(*slot, percent);
            percent < 100
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_is_linear_from_ten_percent() {
        let whole = Duration::from_secs(30);
        assert_eq!(percent(Duration::ZERO, whole), 10);
        assert_eq!(percent(Duration::from_secs(15), whole), 55);
        assert_eq!(percent(Duration::from_secs(30), whole), 100);
        assert_eq!(percent(Duration::from_secs(300), whole), 100);
    }

    #[test]
    fn no_slow_start_means_all_at_once() {
        assert_eq!(percent(Duration::ZERO, Duration::ZERO), 100);
    }
}
