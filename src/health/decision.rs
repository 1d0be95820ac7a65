//! Rise and fall: when results become a decision.

use crate::pool::Checked;

/// Counts results against the state they would change.
#[derive(Debug)]
pub struct Decision {
    rise: u32,
    fall: u32,
    state: Checked,
    /// Consecutive results that differ from `state`.
    streak: u32,
}

impl Decision {
    /// Starts from what is already known of the server.
    pub fn new(rise: u32, fall: u32, state: Checked) -> Self {
        Self {
            rise,
            fall,
            state,
            streak: 0,
        }
    }

    /// Takes in one result. Returns the new state when it decides one.
    pub fn observe(&mut self, success: bool) -> Option<Checked> {
        let needed = match (self.state, success) {
            (Checked::Up, true) | (Checked::Down, false) => {
                self.streak = 0;
                return None;
            }
            // Of a server that nothing is known of, the first result decides.
            (Checked::Unknown, _) => 1,
            (Checked::Down, true) => self.rise,
            (Checked::Up, false) => self.fall,
        };
        self.streak += 1;
        if self.streak < needed {
            return None;
        }
        self.streak = 0;
        self.state = if success { Checked::Up } else { Checked::Down };
        Some(self.state)
    }

    /// Whether results have begun to differ, so that the next one is wanted soon.
    pub fn is_pending(&self) -> bool {
        self.streak > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_result_of_an_unknown_server_decides() {
        assert_eq!(
            Decision::new(2, 3, Checked::Unknown).observe(false),
            Some(Checked::Down)
        );
        assert_eq!(
            Decision::new(2, 3, Checked::Unknown).observe(true),
            Some(Checked::Up)
        );
    }

    #[test]
    fn three_failures_in_a_row_take_it_down_and_two_successes_bring_it_up() {
        let mut decision = Decision::new(2, 3, Checked::Up);
        assert_eq!(decision.observe(false), None);
        assert!(decision.is_pending());
        assert_eq!(decision.observe(false), None);
        assert_eq!(decision.observe(true), None);
        assert!(!decision.is_pending(), "a success starts over");
        assert_eq!(decision.observe(false), None);
        assert_eq!(decision.observe(false), None);
        assert_eq!(decision.observe(false), Some(Checked::Down));
        assert_eq!(decision.observe(true), None);
        assert_eq!(decision.observe(true), Some(Checked::Up));
    }

    proptest! {
        /// A change needs exactly `rise` or `fall` equal results in a row, whatever came before.
        #[test]
        fn a_change_has_its_streak(results in prop::collection::vec(any::<bool>(), 1..100),
                                   rise in 1u32..5, fall in 1u32..5) {
            let mut decision = Decision::new(rise, fall, Checked::Up);
            let mut history = Vec::new();
            for success in results {
                history.push(success);
                if let Some(state) = decision.observe(success) {
                    let needed = if state == Checked::Up { rise } else { fall } as usize;
                    let wanted = state == Checked::Up;
                    prop_assert!(history.len() >= needed);
                    prop_assert!(history[history.len() - needed..].iter().all(|s| *s == wanted));
                }
            }
        }
    }
}
