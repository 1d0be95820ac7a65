//! Who is waited for in an exchange, and since when.
//!
//! Whoever moves anything isn't waited for anew with every look: a wait begins when somebody is first found idle, and begins
//! anew when something has moved since.

use tokio::time::Instant;

/// Who is waited for.
#[derive(Debug, Default)]
pub struct Waits {
    /// The client, for more of its request.
    pub client_sends: Wait,
    /// The client, to take more of the response.
    pub client_takes: Wait,
    /// The server, for more of the response.
    pub server_sends: Wait,
    /// The server, to take more of the request.
    pub server_takes: Wait,
}

impl Waits {
    /// A new look at everything.
    pub fn begin(&mut self) {
        for wait in [
            &mut self.client_sends,
            &mut self.client_takes,
            &mut self.server_sends,
            &mut self.server_takes,
        ] {
            wait.is_on = false;
        }
    }
}

/// A wait for somebody, which begins anew whenever something moves.
#[derive(Debug, Default)]
pub struct Wait {
    is_on: bool,
    /// What had moved when it began.
    moved: u64,
    since: Option<Instant>,
}

impl Wait {
    /// It is waited, and so much has moved so far.
    pub fn wait(&mut self, moved: u64) {
        self.is_on = true;
        if self.moved != moved {
            self.moved = moved;
            self.since = None;
        }
    }

    /// Since when it is waited, if it is.
    pub fn since(&mut self, now: Instant) -> Option<Instant> {
        if !self.is_on {
            self.since = None;
            return None;
        }
        Some(*self.since.get_or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_lasts_as_long_as_nothing_moves() {
        let (mut waits, start) = (Waits::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut look = |moved: Option<u64>, seconds| {
            waits.begin();
            if let Some(moved) = moved {
                waits.server_sends.wait(moved);
            }
            waits.server_sends.since(at(seconds))
        };
        assert_eq!(look(Some(0), 1), Some(at(1)));
        assert_eq!(look(Some(0), 5), Some(at(1)));
        assert_eq!(look(Some(7), 6), Some(at(6)), "something came");
        assert_eq!(look(Some(7), 8), Some(at(6)));
        assert_eq!(look(None, 9), None, "somebody else is waited for");
        assert_eq!(look(Some(7), 10), Some(at(10)));
    }
}
