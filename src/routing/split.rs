//! Whose turn it is among several pools.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Turns in a period at most, unless there are more pools than that. Larger sums of weights are scaled down.
const LONGEST: u64 = 65_536;

/// Turns by weight: each has exactly its share in every period, and has its turns as far apart as they can be.
#[derive(Debug)]
pub struct Schedule {
    /// A period of places in the list of weights.
    turns: Box<[usize]>,
    /// Turns had so far.
    had: AtomicUsize,
}

impl Schedule {
    /// A schedule for `weights`; a place of weight 0 has no turn.
    pub fn new(weights: &[u16]) -> Self {
        let weights = shares(weights);
        let total: u64 = weights.iter().sum();
        // The nth turn of a weight is due in the middle of the nth of as many equal parts of the period: at
        // (n + 1/2) / weight. Compared as whole numbers, which stay below 2^34.
        let mut turns = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
        for (place, weight) in weights.iter().enumerate() {
            turns.extend((0..*weight).map(|turn| (2 * turn + 1, *weight, place)));
        }
        turns.sort_unstable_by(
            |(due, weight, place), (other_due, other_weight, other_place)| {
                // Where two are due at once, the heavier goes first, then the earlier in the list.
                (due * other_weight)
                    .cmp(&(other_due * weight))
                    .then(other_weight.cmp(weight))
                    .then(place.cmp(other_place))
            },
        );
        Self {
            turns: turns.into_iter().map(|(_, _, place)| place).collect(),
            had: AtomicUsize::new(0),
        }
    }

    /// This one, going on where `before` is if that has the same turns: a reload gives nobody a turn twice.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        if self.turns == before.turns {
            self.had
                .store(before.had.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self
    }

    /// The place in the list of weights whose turn it is; 0 if no weight was above 0.
    pub fn next(&self) -> usize {
        let had = self.had.fetch_add(1, Ordering::Relaxed);
        let turn = had.checked_rem(self.turns.len()).unwrap_or(0);
        self.turns.get(turn).copied().unwrap_or(0)
    }
}

/// The smallest whole numbers in the proportion of `weights`, or nearly so where their sum would be too large; none
/// that was above 0 becomes 0.
fn shares(weights: &[u16]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b))).max(1);
    let shares: Vec<u64> = weights
        .iter()
        .map(|weight| u64::from(*weight) / divisor)
        .collect();
    let total: u64 = shares.iter().sum();
    if total <= LONGEST {
        return shares;
    }
    let scaled = |share: u64| ((share * LONGEST + total / 2) / total).max(share.min(1));
    shares.into_iter().map(scaled).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn turns(weights: &[u16], count: usize) -> Vec<usize> {
        let schedule = Schedule::new(weights);
        (0..count).map(|_| schedule.next()).collect()
    }

    #[test]
    fn turns_are_interleaved_and_repeat() {
        assert_eq!(turns(&[1, 1], 4), [0, 1, 0, 1]);
        assert_eq!(turns(&[5, 1, 1], 14), [[0, 0, 0, 1, 2, 0, 0]; 2].concat());
        assert_eq!(turns(&[300, 100], 8), [[0, 0, 1, 0]; 2].concat());
        assert_eq!(turns(&[0, 7], 3), [1, 1, 1]);
        assert_eq!(turns(&[0, 0], 2), [0, 0]);
        assert_eq!(turns(&[], 2), [0, 0]);
    }

    #[test]
    fn turns_go_on_where_the_same_ones_were() {
        let before = Schedule::new(&[2, 1]);
        let first = [before.next(), before.next()];
        let same = Schedule::new(&[4, 2]).after(&before);
        assert_eq!([&first[..], &[same.next()]].concat(), turns(&[2, 1], 3));
        let other = Schedule::new(&[1, 2]).after(&before);
        assert_eq!(other.next(), turns(&[1, 2], 1)[0]);
    }

    #[test]
    fn five_of_a_hundred_come_twenty_apart() {
        let canary: Vec<_> = turns(&[95, 5], 200)
            .into_iter()
            .enumerate()
            .filter_map(|(turn, place)| (place == 1).then_some(turn))
            .collect();
        assert_eq!(canary.len(), 10);
        assert!(canary.windows(2).all(|pair| pair[1] - pair[0] == 20));
    }

    #[test]
    fn large_weights_are_scaled_and_none_is_lost() {
        let weights = [65_535, 65_534, 1, 0];
        let schedule = Schedule::new(&weights);
        let mut counts = [0_usize; 4];
        for turn in &schedule.turns {
            counts[*turn] += 1;
        }
        assert!(schedule.turns.len() <= 65_538);
        assert_eq!((counts[2], counts[3]), (1, 0));
        assert!(counts[0].abs_diff(counts[1]) <= 1);
    }

    proptest! {
        #[test]
        fn every_period_is_exact_and_no_stretch_of_it_far_off(
            weights in proptest::collection::vec(0_u16..40, 1..6),
        ) {
            let total: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
            prop_assume!(total > 0);
            let turns = turns(&weights, total);
            let mut counts = vec![0; weights.len()];
            for (before, place) in turns.iter().enumerate() {
                counts[*place] += 1;
                for (count, weight) in counts.iter().zip(&weights) {
                    let due = (before + 1) * usize::from(*weight);
                    prop_assert!((count * total).abs_diff(due) <= weights.len() * total);
                }
            }
            let wanted: Vec<usize> = weights.iter().map(|weight| usize::from(*weight)).collect();
            prop_assert_eq!(counts, wanted);
        }
    }
}
