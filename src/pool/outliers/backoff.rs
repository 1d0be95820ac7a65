//! How long a server is out: longer each time, if it fails again soon.

use std::time::{Duration, Instant};

/// As long as it gets, unless the configuration begins with more.
const LONGEST: Duration = Duration::from_secs(300);

/// What is known of a server's last ejection.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// How long it was, and when it ended.
    last: Option<(Duration, Instant)>,
}

impl Backoff {
    /// How long an ejection at `now` lasts: twice as long as the last one, if the server has not been back for twice as long
    /// as that; else `first`.
    pub(super) fn next(&self, first: Duration, now: Instant) -> Duration {
        match self.last {
            Some((last, returned)) if now.saturating_duration_since(returned) < last * 2 => {
                (last * 2).clamp(first, LONGEST.max(first))
            }
            _ => first,
        }
    }

    /// Notes that an ejection of `lasts` has ended at `now`.
    pub(super) fn returned(&mut self, lasts: Duration, now: Instant) {
        self.last = Some((lasts, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(30);

    #[test]
    fn it_doubles_up_to_five_minutes() {
        let mut now = Instant::now();
        let mut backoff = Backoff::default();
        let mut seen = Vec::new();
        for _ in 0..6 {
            let lasts = backoff.next(FIRST, now);
            seen.push(lasts.as_secs());
            now += lasts;
            backoff.returned(lasts, now);
            now += Duration::from_secs(1);
        }
        assert_eq!(seen, [30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn a_server_that_did_well_for_a_while_begins_anew() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        backoff.returned(Duration::from_secs(60), now);
        assert_eq!(
            backoff
                .next(FIRST, now + Duration::from_secs(119))
                .as_secs(),
            120
        );
        assert_eq!(backoff.next(FIRST, now + Duration::from_secs(120)), FIRST);
    }

    #[test]
    fn a_first_one_that_is_longer_stays_as_long() {
        let now = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut backoff = Backoff::default();
        backoff.returned(hour, now);
        assert_eq!(backoff.next(hour, now), hour);
        assert_eq!(
            backoff.next(FIRST, now).as_secs(),
            300,
            "the file asks for less now"
        );
    }
}
