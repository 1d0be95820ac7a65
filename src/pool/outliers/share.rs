//! Whether a server fails a larger share of its requests than the others of its pool, beyond chance.
//!
//! It is held against the others taken together: what all share, a database or a network that is broken, makes nobody an
//! outlier. It works from two servers on, where a distance in standard deviations from the mean of the servers can't: among n
//! of them none exceeds the square root of n - 1.

use super::window::Tally;

/// How many standard errors the difference of two shares has to exceed 0 by: less happens by chance alone.
const CHANCE: f64 = 2.5;

/// For shares that are equal but for rounding.
const ROUNDING: f64 = 1e-9;

/// Whether `server` fails more than `others` by at least `by`, a share from 0 to 1, and by more than chance explains: the
/// test of two proportions with the pooled variance.
pub(super) fn stands_out(server: Tally, others: Tally, by: f64) -> bool {
    if server.tries == 0 || others.tries == 0 {
        return false;
    }
    let (tries, other_tries) = (f64::from(server.tries), f64::from(others.tries));
    let difference = server.share() - others.share();
    let pooled = (server.share() * tries + others.share() * other_tries) / (tries + other_tries);
    let error = (pooled * (1.0 - pooled) * (1.0 / tries + 1.0 / other_tries)).sqrt();
    difference + ROUNDING >= by && difference >= CHANCE * error && difference > 0.0
}

/// The reason, in words.
pub(super) fn words(server: Tally, others: Tally) -> String {
    format!(
        "{:.0}% of its {} requests failed, {:.0}% of the others' {}",
        server.share() * 100.0,
        server.tries,
        others.share() * 100.0,
        others.tries
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(tries: u32, failed: u32) -> Tally {
        Tally { tries, failed }
    }

    fn by_a_fifth(server: (u32, u32), others: (u32, u32)) -> bool {
        let (server, others) = (tally(server.0, server.1), tally(others.0, others.1));
        stands_out(server, others, 0.2)
    }

    #[test]
    fn a_server_that_fails_a_fifth_is_found_between_two() {
        assert!(by_a_fifth((50, 10), (50, 0)));
        assert!(by_a_fifth((20, 10), (20, 0)));
        assert!(!by_a_fifth((50, 9), (50, 0)), "less than a fifth");
    }

    #[test]
    fn what_all_share_is_nobodys_fault() {
        assert!(!by_a_fifth((100, 100), (100, 100)));
        assert!(!by_a_fifth((100, 60), (100, 50)));
        assert!(by_a_fifth((100, 90), (300, 150)));
    }

    #[test]
    fn a_few_failures_may_be_chance() {
        assert!(!by_a_fifth((20, 4), (20, 0)));
        assert!(by_a_fifth((20, 20), (1, 0)), "all of twenty is no chance");
        assert!(
            !by_a_fifth((20, 20), (0, 0)),
            "there is nobody to compare with"
        );
        assert!(!by_a_fifth((0, 0), (20, 0)));
    }

    #[test]
    fn the_better_one_never_stands_out() {
        assert!(!stands_out(tally(100, 0), tally(100, 50), 0.0));
        assert!(!stands_out(tally(100, 0), tally(100, 0), 0.0));
    }

    #[test]
    fn the_words_have_both_shares() {
        assert_eq!(
            words(tally(50, 12), tally(200, 2)),
            "24% of its 50 requests failed, 1% of the others' 200"
        );
    }
}
