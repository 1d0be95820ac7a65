//! How much credit servers may bring into a round of other weights.
//!
//! Smooth weighted round robin keeps a credit for each server (nginx's `current_weight`): a pick raises each by the
//! server's weight `w`, and the server with the most pays the sum of all weights, `W`. Credit that was earned in a round
//! of a large sum and is spent in one of a small sum buys many picks in a row. So when weights or members have changed,
//! credits are cut off at a level `L`: the highest for which
//!
//! > the sum of `L - c` over all credits `c` below `L` is less than `W`,
//!
//! which is where `W` units of water, poured over the credits, would stand. Turns go on where they were as far as that
//! allows, and **every window of `W / gcd` picks has the exact shares, from the first pick on**:
//!
//! With `n` servers the one that is picked has, raised, at least the mean of what all have, so that after it has paid it
//! has more than `m - W + W / n`, where `m` is the mean at the start. From then on it only grows until it is picked
//! again. After `W / gcd` picks each credit differs from the one at the start by a multiple of `W`: by how many picks
//! more or less than its share the server got. A server with more than its share has at most `c - W`, and
//! `c <= L < m + W / n`, which is less than what was shown that it has. So nobody gets more than his share, nobody
//! less, and all stand where they stood.

/// The level for a sum of weights; no credit may be higher. `credits` are put in order. With no credits there is nothing
/// to cut off.
pub fn level(credits: &mut [i64], total: u64) -> i64 {
    credits.sort_unstable();
    // What can be poured without the surface being reached.
    let water = i128::from(total.saturating_sub(1));
    let mut below: i128 = 0;
    for (count, &credit) in (0_i128..).zip(credits.iter()) {
        // As deep as the lowest `count` credits lie under this one.
        let needed = i128::from(credit) * count - below;
        if needed > water {
            return surface(below, water, count);
        }
        below += i128::from(credit);
    }
    i64::MAX
}

/// Where the water stands over `count` credits of the sum `below`, if it stands over no others.
fn surface(below: i128, water: i128, count: i128) -> i64 {
    let level = (below + water).div_euclid(count.max(1));
    i64::try_from(level).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(credits: &[i64], total: u64) -> Vec<i64> {
        let level = level(&mut credits.to_vec(), total);
        credits.iter().map(|credit| *credit.min(&level)).collect()
    }

    #[test]
    fn credits_of_a_large_round_are_cut_off_for_a_small_one() {
        assert_eq!(cut(&[-480, 480], 2), [-480, -479]);
        assert_eq!(cut(&[240, -762], 2), [-761, -762]);
        assert_eq!(cut(&[0, 0, 0], 3), [0, 0, 0]);
        assert_eq!(cut(&[-200, 100, 100], 300), [-200, 99, 99]);
        assert_eq!(cut(&[], 0), [0; 0]);
        assert_eq!(cut(&[7], 0), [7]);
    }

    proptest! {
        #[test]
        fn the_level_is_the_highest_under_water(
            mut credits in prop::collection::vec(-1000..1000_i64, 0..12),
            total in 1..2000_u64,
        ) {
            let depth = |level: i64| credits.iter().map(|credit| (level - credit).max(0)).sum::<i64>();
            let highest = credits.iter().copied().max().unwrap_or(0);
            // A search instead of the sum.
            let expected = (-4000..=highest).rev().find(|level| depth(*level) < i64::try_from(total).unwrap()).unwrap();
            let found = level(&mut credits, total);
            prop_assert_eq!(found.min(highest), expected);
        }
    }
}
