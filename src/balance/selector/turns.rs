//! The state of a selector's turns, in a form that another selector of the same servers can go on with.

use super::{Selector, Slot};

/// How far a server's turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// nginx's `current_weight`.
    pub current: i64,
    /// The weight that it was earned with; 0 while the server can't be picked.
    pub weight: u32,
}

impl Selector {
    /// How far the turns of these servers are.
    pub fn turns(&mut self, slots: &[Slot]) -> Vec<Progress> {
        self.settle();
        let mut progress = |slot: &Slot| {
            let current = self.contest.current(slot.index);
            let server = self.server(*slot)?;
            Some(Progress {
                current: current.unwrap_or(server.current),
                weight: server.earned_with,
            })
        };
        let none = Progress {
            current: 0,
            weight: 0,
        };
        slots
            .iter()
            .map(|slot| progress(slot).unwrap_or(none))
            .collect()
    }

    /// Goes on with turns that were earned elsewhere. Where the weights are others by now they are carried over as after any
    /// change.
    pub fn take_turns(&mut self, turns: &[(Slot, Progress)]) {
        self.drain(|_| {});
        self.unsettle();
        for (slot, progress) in turns {
            if let Some(server) = self.server_mut(*slot) {
                server.current = progress.current;
                server.earned_with = progress.weight;
            }
        }
        self.earned_with = turns.iter().map(|(_, turn)| u64::from(turn.weight)).sum();
        self.fill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Params, Selector};
    use crate::config::model::Algorithm;

    fn selector(algorithm: Algorithm, weights: &[u32]) -> (Selector, Vec<Slot>) {
        let mut selector = Selector::new(algorithm, 1);
        let slots = (0..).zip(weights).map(|(position, weight)| {
            let slot = selector.insert(Params {
                weight: *weight,
                limit: 0,
                position,
                identity: u64::from(position),
            });
            selector.set_eligible(slot, true);
            slot
        });
        let slots = slots.collect();
        (selector, slots)
    }

    #[test]
    fn the_next_one_goes_on_where_the_last_one_was() {
        let weights = [5, 1, 3];
        for algorithm in [
            Algorithm::WeightedRoundRobin,
            Algorithm::WeightedLeastConnections,
        ] {
            for served in 0..20 {
                let (mut first, slots) = selector(algorithm, &weights);
                let (mut second, others) = selector(algorithm, &weights);
                let pick = |selector: &mut Selector, slots: &[Slot]| {
                    let slot = selector.pick(None, &[]).expect("a server");
                    selector.release(slot);
                    slots.iter().position(|one| *one == slot)
                };
                for _ in 0..served {
                    pick(&mut first, &slots);
                }
                let turns = first.turns(&slots);
                let turns: Vec<_> = others.iter().copied().zip(turns).collect();
                second.take_turns(&turns);
                for _ in 0..20 {
                    assert_eq!(pick(&mut first, &slots), pick(&mut second, &others));
                }
            }
        }
    }

    #[test]
    fn other_weights_begin_without_old_credit() {
        let (mut first, slots) = selector(Algorithm::WeightedRoundRobin, &[1, 1, 1]);
        for _ in 0..2 {
            first.pick(None, &[]).expect("a server");
        }
        let turns = first.turns(&slots);
        let (mut second, others) = selector(Algorithm::WeightedRoundRobin, &[4, 1]);
        second.take_turns(&others.iter().copied().zip(turns).collect::<Vec<_>>());
        let mut counts = [0; 2];
        for _ in 0..50 {
            let slot = second.pick(None, &[]).expect("a server");
            counts[slot.index()] += 1;
        }
        assert_eq!(counts, [40, 10]);
    }
}
