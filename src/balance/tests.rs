//! The selector against the shares it promises, and in the manual's scenarios.

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{NoCharge, NoPick, Params, Selector, Slot};
use crate::config::model::Algorithm::{self, WeightedLeastConnections, WeightedRoundRobin};

/// A selector of eligible servers without limits.
fn selector(algorithm: Algorithm, weights: &[u32]) -> (Selector, Vec<Slot>) {
    let mut selector = Selector::new(algorithm, 1);
    let slots = weights
        .iter()
        .zip(0..)
        .map(|(&weight, position)| add(&mut selector, weight, 0, position))
        .collect();
    (selector, slots)
}

fn add(selector: &mut Selector, weight: u32, limit: u32, position: u32) -> Slot {
    let slot = selector.insert(Params {
        weight,
        limit,
        position,
        identity: 0,
    });
    selector.set_eligible(slot, true);
    slot
}

/// The next `n` picks as letters; none of them ends.
fn picks(selector: &mut Selector, slots: &[Slot], n: usize) -> String {
    (0..n)
        .map(|_| letter(slots, selector.pick(None, &[]).unwrap()))
        .collect()
}

fn letter(slots: &[Slot], slot: Slot) -> char {
    (b'a'..)
        .zip(slots)
        .find(|(_, s)| **s == slot)
        .map(|(letter, _)| char::from(letter))
        .unwrap()
}

#[test]
fn round_robin_gives_the_sequence_that_nginx_is_known_for() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[5, 1, 1]);
    assert_eq!(picks(&mut s, &slots, 14), "aabacaaaabacaa");
    let (mut s, slots) = selector(WeightedRoundRobin, &[4, 2, 1]);
    assert_eq!(picks(&mut s, &slots, 14), "abacabaabacaba");
    let (mut s, slots) = selector(WeightedRoundRobin, &[1, 1, 1]);
    assert_eq!(picks(&mut s, &slots, 6), "abcabc");
}

#[test]
fn six_three_two_one_is_interleaved() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[60, 30, 20, 10]);
    let order = picks(&mut s, &slots, 24);
    assert_eq!(order, "abacabdaacbaabacabdaacba");
}

#[test]
fn position_and_not_insertion_settles_equals() {
    for algorithm in [WeightedRoundRobin, WeightedLeastConnections] {
        let mut s = Selector::new(algorithm, 1);
        let a = add(&mut s, 1, 0, 2);
        let b = add(&mut s, 1, 0, 1);
        assert_eq!(s.pick(None, &[]), Ok(b));
        assert_eq!(s.pick(None, &[]), Ok(a));
        s.set_position(a, 0);
        assert_eq!(s.pick(None, &[]), Ok(a));
    }
}

#[test]
fn why_nobody_was_picked() {
    for algorithm in [WeightedRoundRobin, WeightedLeastConnections] {
        let mut s = Selector::new(algorithm, 1);
        assert_eq!(s.pick(None, &[]), Err(NoPick::NoneEligible));
        let a = s.insert(Params {
            weight: 1,
            limit: 1,
            position: 0,
            identity: 0,
        });
        assert_eq!(s.pick(None, &[]), Err(NoPick::NoneEligible));
        s.set_eligible(a, true);
        assert_eq!(s.pick(None, &[a]), Err(NoPick::AllFull));
        assert_eq!(s.pick(None, &[]), Ok(a));
        assert_eq!(s.pick(None, &[]), Err(NoPick::AllFull));
        s.set_weight(a, 0);
        assert_eq!(s.pick(None, &[]), Err(NoPick::NoneEligible));
        s.set_weight(a, 3);
        assert_eq!(s.pick(None, &[]), Err(NoPick::AllFull));
        s.release(a);
        assert_eq!(s.pick(None, &[]), Ok(a));
        s.set_limit(a, 2);
        assert_eq!(s.pick(None, &[]), Ok(a));
        s.remove(a);
        assert_eq!(s.pick(None, &[]), Err(NoPick::NoneEligible));
    }
}

#[test]
fn a_late_release_does_not_touch_the_next_server_in_the_same_place() {
    let mut s = Selector::new(WeightedLeastConnections, 1);
    let old = add(&mut s, 1, 0, 0);
    s.pick(None, &[]).unwrap();
    s.remove(old);
    let new = add(&mut s, 1, 0, 0);
    s.pick(None, &[]).unwrap();
    assert_eq!(new.index(), old.index());
    assert_ne!(new, old);
    s.release(old);
    s.set_eligible(old, false);
    s.remove(old);
    assert_eq!((s.active(new), s.active(old)), (1, 0));
    assert_eq!(s.charge(old), Err(NoCharge::Removed));
    assert_eq!(s.pick(None, &[old]), Ok(new));
}

#[test]
fn bound_requests_are_charged_to_the_share() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[1, 1]);
    for _ in 0..5 {
        s.charge(slots[0]).unwrap();
    }
    assert_eq!(picks(&mut s, &slots, 8), "bbbbbaba");
}

#[test]
fn what_a_server_owes_for_bound_requests_is_bounded() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[1, 1]);
    for _ in 0..100_000 {
        s.charge(slots[0]).unwrap();
        s.release(slots[0]);
    }
    let before_its_turn = (0..9999)
        .take_while(|_| s.pick(None, &[]) == Ok(slots[1]))
        .count();
    assert!(
        (1000..=2001).contains(&before_its_turn),
        "{before_its_turn}"
    );
}

#[test]
fn bound_requests_to_servers_that_take_no_new_ones_are_only_counted() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[2, 1, 0]);
    s.set_eligible(slots[1], false);
    for _ in 0..3 {
        s.charge(slots[1]).unwrap();
        s.charge(slots[2]).unwrap();
    }
    assert_eq!((s.active(slots[1]), s.active(slots[2])), (3, 3));
    s.set_eligible(slots[1], true);
    assert_eq!(picks(&mut s, &slots, 3), "aba");
}

#[test]
fn bound_requests_respect_the_limit() {
    let mut s = Selector::new(WeightedRoundRobin, 1);
    let a = add(&mut s, 1, 2, 0);
    assert_eq!(
        [s.charge(a), s.charge(a), s.charge(a)],
        [Ok(()), Ok(()), Err(NoCharge::Full)]
    );
    s.release(a);
    assert_eq!(s.charge(a), Ok(()));
    assert_eq!(s.active(a), 2);
}

#[test]
fn a_tried_server_is_left_out_of_the_turn() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[2, 1, 1]);
    assert_eq!(s.pick(None, &slots[..1]), Ok(slots[1]));
    assert_eq!(s.pick(None, &slots[..1]), Ok(slots[2]));
    assert_eq!(s.pick(None, &slots), Err(NoPick::AllFull));
    // The first was frozen meanwhile: its sequence starts here.
    assert_eq!(picks(&mut s, &slots, 4), "abca");
}

#[test]
fn weights_scaled_down_at_run_time_go_on_in_the_same_order() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[6000, 3000, 2000, 1000]);
    let mut order = picks(&mut s, &slots, 17);
    for (&slot, weight) in slots.iter().zip([6, 3, 2, 1]) {
        s.set_weight(slot, weight);
    }
    order += &picks(&mut s, &slots, 19);
    assert_eq!(order, "abacabdaacba".repeat(3));
}

/// How often each server is picked in the next `n` requests that end at once.
fn shares(selector: &mut Selector, slots: &[Slot], n: u32) -> Vec<u32> {
    let mut counts = vec![0; slots.len()];
    for _ in 0..n {
        let slot = selector.pick(None, &[]).unwrap();
        selector.release(slot);
        counts[slots.iter().position(|other| *other == slot).unwrap()] += 1;
    }
    counts
}

#[test]
fn credit_of_other_weights_buys_nothing() {
    for algorithm in [WeightedRoundRobin, WeightedLeastConnections] {
        for heavy in [1000, 65_535] {
            let (mut s, slots) = selector(algorithm, &[heavy, 1]);
            shares(&mut s, &slots, 480);
            s.set_weight(slots[0], 1);
            for _ in 0..5 {
                assert_eq!(shares(&mut s, &slots, 2), [1, 1], "{algorithm:?}");
            }
        }
    }
}

#[test]
fn a_weight_that_was_zero_comes_back_without_credit() {
    for algorithm in [WeightedRoundRobin, WeightedLeastConnections] {
        let (mut s, slots) = selector(algorithm, &[1000, 1]);
        shares(&mut s, &slots, 480);
        s.set_weight(slots[0], 0);
        assert_eq!(shares(&mut s, &slots, 7), [0, 7]);
        s.set_weight(slots[0], 1);
        for _ in 0..5 {
            assert_eq!(shares(&mut s, &slots, 2), [1, 1], "{algorithm:?}");
        }
    }
}

#[test]
fn who_is_left_shares_from_the_first_pick_on() {
    for algorithm in [WeightedRoundRobin, WeightedLeastConnections] {
        for before in [1, 240, 480, 501, 1000] {
            let (mut s, slots) = selector(algorithm, &[1000, 1, 1]);
            shares(&mut s, &slots, before);
            s.set_eligible(slots[0], false);
            for _ in 0..5 {
                assert_eq!(
                    shares(&mut s, &slots, 2),
                    [0, 1, 1],
                    "{algorithm:?}, {before}"
                );
            }
        }
    }
}

#[test]
fn a_change_that_is_taken_back_is_none() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[5, 1, 1]);
    assert_eq!(picks(&mut s, &slots, 3), "aab");
    s.set_weight(slots[0], 9);
    s.set_eligible(slots[1], false);
    s.set_weight(slots[0], 5);
    s.set_eligible(slots[1], true);
    assert_eq!(picks(&mut s, &slots, 4), "acaa");
}

#[test]
fn turns_go_on_when_a_server_comes_or_goes() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[100, 100, 100]);
    // One that flaps between any two picks doesn't make the first server take all the work.
    let mut order = String::new();
    for _ in 0..4 {
        s.set_eligible(slots[2], false);
        order += &picks(&mut s, &slots, 1);
        s.set_eligible(slots[2], true);
        order += &picks(&mut s, &slots, 1);
    }
    assert_eq!(order, "abababab");
}

/// `a` is full for as long as its long requests last: what the others were owed beside it doesn't count.
#[test]
fn those_beside_a_full_server_take_turns() {
    for before in [240, 480, 501] {
        let mut s = Selector::new(WeightedRoundRobin, 1);
        let a = add(&mut s, 1000, 1, 0);
        let slots = [a, add(&mut s, 1, 0, 1), add(&mut s, 1, 0, 2)];
        shares(&mut s, &slots, before);
        while s.active(a) == 0 {
            s.pick(None, &[]).unwrap();
        }
        let counts = shares(&mut s, &slots, 40);
        assert!(counts[1].abs_diff(counts[2]) <= 8, "{before}: {counts:?}");
    }
}

/// Scenario 2 of the manual.
#[test]
fn a_new_server_takes_everything_until_it_has_caught_up() {
    let (mut s, mut slots) = selector(WeightedLeastConnections, &[1, 1]);
    picks(&mut s, &slots, 100);
    assert_eq!((s.active(slots[0]), s.active(slots[1])), (50, 50));
    slots.push(add(&mut s, 1, 0, 2));
    assert_eq!(picks(&mut s, &slots, 50), "c".repeat(50));
    picks(&mut s, &slots, 30);
    assert_eq!(
        [60, 60, 60],
        [s.active(slots[0]), s.active(slots[1]), s.active(slots[2])]
    );
}

/// Scenario 3 of the manual: short connections, exact shares.
#[test]
fn four_unequal_servers_get_their_shares_exactly() {
    let (mut s, slots) = selector(WeightedRoundRobin, &[60, 30, 20, 10]);
    let mut counts = [0; 4];
    for _ in 0..12_000 {
        let slot = s.pick(None, &[]).unwrap();
        s.release(slot);
        counts[slots.iter().position(|&other| other == slot).unwrap()] += 1;
    }
    assert_eq!(counts, [6000, 3000, 2000, 1000]);
    assert!(slots.iter().all(|&slot| s.active(slot) == 0));
}

/// Scenario 5 of the manual.
#[test]
fn long_connections_settle_in_the_ratio_of_the_weights() {
    let (mut s, slots) = selector(WeightedLeastConnections, &[4, 2, 1]);
    for round in 1..=100 {
        picks(&mut s, &slots, 7);
        assert_eq!(
            slots.iter().map(|&slot| s.active(slot)).collect::<Vec<_>>(),
            [4 * round, 2 * round, round]
        );
    }
    // A hundred of one server end at once: it takes the next hundred.
    for _ in 0..100 {
        s.release(slots[1]);
    }
    assert_eq!(picks(&mut s, &slots, 100), "b".repeat(100));
}

#[test]
fn the_last_free_place_is_given_once() {
    for algorithm in [WeightedRoundRobin, WeightedLeastConnections] {
        let mut s = Selector::new(algorithm, 1);
        let slots: Vec<_> = (0..3)
            .map(|position| add(&mut s, 3 - position, 1 + position, position))
            .collect();
        let shared = Mutex::new(s);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (shared, slots) = (&shared, &slots);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for round in 0..3_000 {
                        let mut s = shared.lock();
                        match s.pick(None, &[]) {
                            Ok(slot) => held.push(slot),
                            Err(NoPick::AllFull) => {
                                assert_eq!(
                                    slots.iter().map(|&slot| s.active(slot)).sum::<u32>(),
                                    6
                                );
                            }
                            Err(NoPick::NoneEligible) => panic!("all are eligible"),
                        }
                        assert!(
                            (1..)
                                .zip(slots)
                                .all(|(limit, &slot)| s.active(slot) <= limit)
                        );
                        drop(s);
                        if held.len() > (round + thread) % 4 {
                            shared.lock().release(held.remove(0));
                        }
                    }
                    for slot in held {
                        shared.lock().release(slot);
                    }
                });
            }
        });
        let s = shared.into_inner();
        assert!(slots.iter().all(|&slot| s.active(slot) == 0));
    }
}

/// What a reload, a check or a session does to a selector. Servers are named by an index into all there ever were.
#[derive(Clone, Debug)]
enum Change {
    Weight(Index, u32),
    Eligible(Index, bool),
    Add(u32),
    Remove(Index),
    Bound(Index, u32),
    Algorithm(Algorithm),
}

fn change() -> impl Strategy<Value = Change> {
    let weight = || prop_oneof![4 => 0..30_u32, 1 => 1..70_000_u32];
    prop_oneof![
        4 => (any::<Index>(), weight()).prop_map(|(i, weight)| Change::Weight(i, weight)),
        4 => (any::<Index>(), any::<bool>()).prop_map(|(i, eligible)| Change::Eligible(i, eligible)),
        2 => (1..1000_u32).prop_map(Change::Add),
        1 => any::<Index>().prop_map(Change::Remove),
        1 => (any::<Index>(), 0..50_u32).prop_map(|(i, requests)| Change::Bound(i, requests)),
        1 => prop_oneof![Just(WeightedRoundRobin), Just(WeightedLeastConnections)].prop_map(Change::Algorithm),
    ]
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_window_has_the_exact_shares(weights in prop::collection::vec(1..30_u32, 1..12), start in 0..500_usize) {
        let divisor = weights.iter().copied().fold(0, gcd);
        let window = weights.iter().map(|w| w / divisor).sum::<u32>() as usize;
        let (mut s, slots) = selector(WeightedRoundRobin, &weights);
        picks(&mut s, &slots, start);
        let order = picks(&mut s, &slots, window);
        for (letter, weight) in ('a'..).zip(&weights) {
            prop_assert_eq!(order.matches(letter).count(), (weight / divisor) as usize);
        }
    }

    #[test]
    fn every_window_is_exact_from_the_first_pick_after_any_change(
        algorithm in prop_oneof![Just(WeightedRoundRobin), Just(WeightedLeastConnections)],
        weights in prop::collection::vec(1..30_u32, 1..9),
        changes in prop::collection::vec((0..400_u32, change()), 1..12),
        start in 0..60_u32,
    ) {
        let (mut s, mut slots) = selector(algorithm, &weights);
        let mut members: Vec<(u32, bool)> = weights.iter().map(|&weight| (weight, true)).collect();
        let mut position = 100..;
        for (picks, change) in changes {
            if members.iter().any(|&(weight, eligible)| weight > 0 && eligible) {
                shares(&mut s, &slots, picks);
            }
            let n = members.len();
            if n == 0 && !matches!(change, Change::Add(_) | Change::Algorithm(_)) {
                continue;
            }
            match change {
                Change::Weight(i, weight) => {
                    s.set_weight(slots[i.index(n)], weight);
                    members[i.index(n)].0 = weight;
                }
                Change::Eligible(i, eligible) => {
                    s.set_eligible(slots[i.index(n)], eligible);
                    members[i.index(n)].1 = eligible;
                }
                Change::Add(weight) => {
                    slots.push(add(&mut s, weight, 0, position.next().unwrap()));
                    members.push((weight, true));
                }
                Change::Remove(i) => {
                    s.remove(slots[i.index(n)]);
                    slots.remove(i.index(n));
                    members.remove(i.index(n));
                }
                Change::Bound(i, requests) => {
                    for _ in 0..requests {
                        if s.charge(slots[i.index(n)]).is_ok() {
                            s.release(slots[i.index(n)]);
                        }
                    }
                }
                Change::Algorithm(algorithm) => s.set_algorithm(algorithm),
            }
        }
        // One more change, after which nothing is bound any more.
        slots.push(add(&mut s, 7, 0, position.next().unwrap()));
        members.push((7, true));
        let weights: Vec<u32> =
            members.iter().map(|&(weight, eligible)| if eligible { weight } else { 0 }).collect();
        let divisor = weights.iter().copied().fold(0, gcd);
        let expected: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
        let window = expected.iter().sum();
        prop_assert_eq!(&shares(&mut s, &slots, window), &expected, "the first window");
        shares(&mut s, &slots, start);
        prop_assert_eq!(&shares(&mut s, &slots, window), &expected, "a window after {}", start);
    }

    #[test]
    fn a_common_factor_does_not_change_the_order(
        weights in prop::collection::vec(1..300_u32, 1..12),
        factor in 1..10_000_u32,
        algorithm in prop_oneof![Just(WeightedRoundRobin), Just(WeightedLeastConnections)],
    ) {
        let scaled: Vec<_> = weights.iter().map(|w| w * factor).collect();
        let ((mut a, slots_a), (mut b, slots_b)) = (selector(algorithm, &weights), selector(algorithm, &scaled));
        prop_assert_eq!(picks(&mut a, &slots_a, 300), picks(&mut b, &slots_b, 300));
    }

    #[test]
    fn long_connections_follow_the_weights(weights in prop::collection::vec(1..100_u32, 1..12), rounds in 1..5_u32) {
        let (mut s, slots) = selector(WeightedLeastConnections, &weights);
        let divisor = weights.iter().copied().fold(0, gcd);
        let round: u32 = weights.iter().map(|w| w / divisor).sum();
        picks(&mut s, &slots, (round * rounds) as usize);
        for (&slot, weight) in slots.iter().zip(&weights) {
            prop_assert_eq!(s.active(slot), weight / divisor * rounds);
        }
    }
}
