//! Which server a key belongs to: weighted rendezvous hashing.
//!
//! For each key every server has a number of its own, made from the key and the server's identity, and the server with
//! the smallest one has the key (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998). The
//! number is exponentially distributed with the server's weight for its rate, so that the shares are the weights
//! exactly, as far as keys are many (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).
//!
//! A server's number depends on nobody else. So when one goes, its keys go to those who are next for them, and no other
//! key moves; when one comes or its weight grows, it takes keys from the others, and none moves between those. The
//! second smallest number tells who stands in.
//!
//! All of it is integers and IEEE 754 operations that give the same on every machine: nodes agree without a word.

/// What decides how late a server is for a key.
#[derive(Clone, Copy)]
pub(super) struct Draw(u64);

impl Draw {
    /// `identity` is a digest of what the server is called, `key` of what its requests have in common.
    pub(super) fn new(key: u64, identity: u64) -> Self {
        Self(mix(key ^ identity))
    }

    /// How late a server of that weight is for the key: the server with the smallest value has it.
    pub(super) fn lateness(self, weight: u32) -> f64 {
        exponential(self.0) / f64::from(weight)
    }

    /// Whether it is certain to be later than that. It takes a fraction of the time that [`Self::lateness`] does, and
    /// among many servers it is the answer for nearly all: -log2 x is above (1 - x) log2 e.
    pub(super) fn is_surely_later(self, than: f64, weight: u32) -> bool {
        /// Somewhat below log2 e, and more than the error of [`exponential`].
        const SLOPE: f64 = 1.442;
        const ERROR: f64 = 2e-6;
        /// 2^-53, so that what is left of 64 bits becomes a fraction.
        const UNIT: f64 = f64::EPSILON / 2.0;
        #[expect(
            clippy::cast_precision_loss,
            reason = "the largest double of integers that are exact"
        )]
        let fraction = (self.0 >> 11).cast_signed() as f64 * UNIT;
        (1.0 - fraction) * SLOPE - ERROR > than * f64::from(weight)
    }
}

/// Makes every bit of the outcome depend on every bit of `x` (the finalizer of SplitMix64: Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", 2014).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Takes uniform bits for a binary fraction between 0 and 1, and gives the negative of its logarithm to base 2, which is
/// exponentially distributed. Above 0, to some millionths exact.
fn exponential(uniform: u64) -> f64 {
    let uniform = uniform | 1;
    let zeros = uniform.leading_zeros();
    // The fraction is `significand / 2^(zeros + 1)`, the significand from 1 to below 2.
    let bits = (uniform << zeros << 1) >> 12;
    let significand = f64::from_bits(1.0_f64.to_bits() | bits);
    f64::from(zeros + 1) - log2(significand)
}

/// The logarithm to base 2 of a number from 1 to 2, by the series of the inverse hyperbolic tangent around the square root
/// of 2, without the library's function, which may differ from machine to machine.
fn log2(x: f64) -> f64 {
    let s = (x - std::f64::consts::SQRT_2) / (x + std::f64::consts::SQRT_2);
    let square = s * s;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0)));
    0.5 + s * series * (2.0 * std::f64::consts::LOG2_E)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_is_what_it_was() {
        // Nodes of two versions agree about whose a key is.
        assert_eq!(mix(1), 0x5692_161d_100b_05e5);
        assert_eq!(Draw::new(1, 2).lateness(3).to_bits(), LATENESS);
    }

    /// Computed in Python from the description above.
    const LATENESS: u64 = 0x3ff0_69db_94ed_049c;

    #[test]
    fn the_mean_is_that_of_an_exponential_distribution() {
        let count = 100_000;
        let sum: f64 = (0..count).map(|n| exponential(mix(n))).sum();
        let mean = sum / 100_000.0;
        assert!((mean - std::f64::consts::LOG2_E).abs() < 0.02, "{mean}");
    }

    proptest! {
        #[test]
        fn the_logarithm_is_right(x in 1.0..2.0_f64) {
            prop_assert!((log2(x) - x.log2()).abs() < 1e-6);
        }

        /// Never of one that would have won.
        #[test]
        fn who_is_surely_later_is(bits: u64, near in 0..5_u32, than in 0.0..3.0_f64, weight in 1..1000_u32) {
            // Those with nearly all bits set have the smallest values, for which the error counts most.
            let draw = Draw(bits | !(u64::MAX >> (near * 16).min(63)));
            for than in [than, than / f64::from(weight), draw.lateness(weight)] {
                prop_assert!(!draw.is_surely_later(than, weight) || draw.lateness(weight) > than);
            }
        }

        #[test]
        fn it_falls_as_the_fraction_grows(a: u64, b: u64) {
            let (small, large) = (a.min(b) | 1, a.max(b) | 1);
            prop_assert!(exponential(small) >= exponential(large));
            prop_assert!(exponential(small) > 0.0);
        }
    }
}
