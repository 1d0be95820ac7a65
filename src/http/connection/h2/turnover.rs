//! When a connection that has carried its share of requests (`http2.max_requests`) is told to go.
//!
//! A GOAWAY is meant to cost a client nothing, but does. Chromium fails requests that it is about to send, of which it
//! has some when many are open, and Python's h2 gives up those that are open. So a client is told in a quiet moment, when
//! it has nothing open. One that is never quiet is told after twice its share, in a moment in which it makes one request
//! after another.

use std::time::{Duration, Instant};

/// How long it has to be quiet, or calm: longer than a browser that loads a page pauses.
const MOMENT: Duration = Duration::from_secs(5);

/// What is known of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Turnover {
    /// When it last had more than one request open.
    busy: Instant,
}

impl Turnover {
    /// For a connection that begins now.
    pub fn new(now: Instant) -> Self {
        Self { busy: now }
    }

    /// So many requests are open.
    pub fn note(&mut self, open: usize, now: Instant) {
        if open > 1 {
            self.busy = now;
        }
    }

    /// From when on the client may be told to go, unless something happens before; `None` = not as things stand.
    ///
    /// `served`: requests so far. `most`: its share, `0` = no limit. `quiet_since`: since when nothing is open.
    pub fn due(&self, served: u32, most: u32, quiet_since: Option<Instant>) -> Option<Instant> {
        if most == 0 || served < most {
            return None;
        }
        let quiet = quiet_since.map(|since| since + MOMENT);
        let calm = (served / 2 >= most).then(|| self.busy + MOMENT);
        match (quiet, calm) {
            (Some(quiet), Some(calm)) => Some(quiet.min(calm)),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_ends_with_the_first_quiet_moment() {
        let start = Instant::now();
        let turnover = Turnover::new(start);
        let quiet = Some(start + Duration::from_secs(5));
        assert_eq!(turnover.due(1_000_000, 0, quiet), None, "no limit");
        assert_eq!(turnover.due(9, 10, quiet), None);
        assert_eq!(turnover.due(10, 10, None), None, "something is open");
        let due = start + Duration::from_secs(5) + MOMENT;
        assert_eq!(turnover.due(10, 10, quiet), Some(due));
    }

    #[test]
    fn who_is_never_quiet_is_told_when_calm() {
        let start = Instant::now();
        let mut turnover = Turnover::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let after = |seconds| Some(at(seconds) + MOMENT);
        assert_eq!(turnover.due(19, 10, None), None);
        assert_eq!(turnover.due(20, 10, None), after(0));
        turnover.note(1, at(3));
        assert_eq!(turnover.due(20, 10, None), after(0));
        turnover.note(2, at(3));
        assert_eq!(turnover.due(20, 10, None), after(3));
        assert_eq!(turnover.due(20, 10, Some(at(2))), after(2));
    }
}
