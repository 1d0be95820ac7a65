//! The picks by keys and by draws against what they promise.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{NoPick, Params, Sample, Selector, Slot, digest};
use crate::config::model::Algorithm::{self, Hash, PeakEwma, RandomTwo};

fn selector(algorithm: Algorithm, weights: &[u32]) -> (Selector, Vec<Slot>) {
    let mut selector = Selector::new(algorithm, 7);
    let slots = (0..)
        .zip(weights)
        .map(|(n, &weight)| add(&mut selector, weight, 0, n))
        .collect();
    (selector, slots)
}

fn add(selector: &mut Selector, weight: u32, limit: u32, n: u32) -> Slot {
    let slot = selector.insert(Params {
        weight,
        limit,
        position: n,
        identity: digest(format!("server-{n}").as_bytes()),
    });
    selector.set_eligible(slot, true);
    slot
}

fn key(n: u64) -> u64 {
    digest(&n.to_be_bytes())
}

/// Whose the keys are, when each request ends at once.
fn owners(selector: &mut Selector, keys: u64) -> Vec<Slot> {
    (0..keys)
        .map(|n| {
            let slot = selector.pick(Some(key(n)), &[]).unwrap();
            selector.release(slot);
            slot
        })
        .collect()
}

fn count(owners: &[Slot], slot: Slot) -> f64 {
    f64::from(u32::try_from(owners.iter().filter(|owner| **owner == slot).count()).unwrap())
}

#[test]
fn shares_are_the_weights() {
    for weights in [
        vec![1; 10],
        vec![6, 3, 2, 1],
        vec![100, 1000, 10],
        vec![65_535, 65_535],
    ] {
        let (mut selector, slots) = selector(Hash, &weights);
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        // A million keys, so that chance plays no part.
        let mut counts = vec![0_u32; slots.len()];
        for n in 0..1_000_000 {
            let slot = selector.pick(Some(key(n)), &[]).unwrap();
            selector.release(slot);
            counts[slot.index()] += 1;
        }
        for (count, weight) in counts.iter().zip(&weights) {
            let share = f64::from(*count) / 1e6 / (f64::from(*weight) / total);
            assert!((0.95..1.05).contains(&share), "{weights:?}: {counts:?}");
        }
    }
}

#[test]
fn when_one_goes_its_keys_alone_move() {
    let (mut selector, slots) = selector(Hash, &[1; 10]);
    let before = owners(&mut selector, 20_000);
    selector.remove(slots[3]);
    let after = owners(&mut selector, 20_000);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == slots[3]);
    }
    let moved = count(&before, slots[3]);
    assert!(moved < 20_000.0 * 0.11, "{moved}");
    // And to all others alike.
    for slot in slots.iter().filter(|slot| **slot != slots[3]) {
        let gained = count(&after, *slot) - count(&before, *slot);
        assert!((0.7..1.3).contains(&(gained / (moved / 9.0))), "{gained}");
    }
}

#[test]
fn the_order_of_the_file_is_of_no_matter() {
    let (mut one, _) = selector(Hash, &[1; 5]);
    let mut other = Selector::new(Hash, 99);
    let slots: Vec<_> = (0..5).rev().map(|n| add(&mut other, 1, 0, n)).collect();
    for (a, b) in owners(&mut one, 1000).iter().zip(owners(&mut other, 1000)) {
        let place = slots.iter().position(|slot| *slot == b).unwrap();
        assert_eq!(a.index(), 4 - place);
    }
}

#[test]
fn a_tried_or_full_server_is_stood_in_for_by_the_next() {
    let (mut selector, slots) = selector(Hash, &[1; 4]);
    let first = selector.pick(Some(key(1)), &[]).unwrap();
    let second = selector.pick(Some(key(1)), &[first]).unwrap();
    assert_ne!(first, second);
    selector.set_limit(first, 1);
    assert_eq!(selector.pick(Some(key(1)), &[]), Ok(second));
    selector.release(first);
    assert_eq!(selector.pick(Some(key(1)), &[]), Ok(first));
    assert_eq!(selector.pick(Some(key(1)), &slots), Err(NoPick::AllFull));
    for slot in slots {
        selector.set_weight(slot, 0);
    }
    assert_eq!(selector.pick(Some(key(1)), &[]), Err(NoPick::NoneEligible));
}

#[test]
fn requests_without_a_key_take_turns() {
    let (mut selector, slots) = selector(Hash, &[2, 1]);
    let mut counts = [0; 2];
    for n in 0..300 {
        // Those with keys are in nobody's way.
        selector.pick(Some(key(n)), &[]).unwrap();
        let slot = selector.pick(None, &[]).unwrap();
        counts[slots.iter().position(|other| *other == slot).unwrap()] += 1;
    }
    assert_eq!(counts, [200, 100]);
}

#[test]
fn a_bounded_load_moves_no_more_than_it_has_to() {
    let (mut selector, slots) = selector(Hash, &[1; 4]);
    selector.set_bounded_load(Some(1.25));
    let hot = selector.pick(Some(key(5)), &[]).unwrap();
    for _ in 0..399 {
        selector.pick(Some(key(5)), &[]).unwrap();
    }
    // 400 requests, of which 125 are as much as one may have.
    assert_eq!(selector.active(hot), 125);
    let mut counts: Vec<_> = slots.iter().map(|slot| selector.active(*slot)).collect();
    counts.sort_unstable();
    assert_eq!(counts, [25, 125, 125, 125]);
    selector.set_bounded_load(None);
    assert_eq!(selector.pick(Some(key(5)), &[]), Ok(hot));
}

#[test]
fn of_two_draws_the_one_with_less_to_do() {
    let (mut s, slots) = selector(RandomTwo, &[1; 2]);
    for _ in 0..1000 {
        s.pick(None, &[]).unwrap();
        assert!(s.active(slots[0]).abs_diff(s.active(slots[1])) <= 1);
    }
    // Among many the busiest is far below what chance alone would make of it.
    let (mut s, slots) = selector(RandomTwo, &[1; 100]);
    for _ in 0..10_000 {
        s.pick(None, &[]).unwrap();
    }
    let busiest = slots.iter().map(|slot| s.active(*slot)).max().unwrap();
    assert!(busiest <= 105, "{busiest}");
}

#[test]
fn draws_respect_weights() {
    let (mut s, slots) = selector(RandomTwo, &[6, 3, 1]);
    let mut counts = [0_u32; 3];
    for _ in 0..100_000 {
        // Idle: all are equal, so that the first draw decides.
        let slot = s.pick(None, &[]).unwrap();
        s.release(slot);
        counts[slot.index()] += 1;
    }
    for (count, share) in counts.iter().zip([0.6, 0.3, 0.1]) {
        let share = f64::from(*count) / 1e5 / share;
        assert!((0.95..1.05).contains(&share), "{counts:?}");
    }
    for _ in 0..1000 {
        s.pick(None, &[]).unwrap();
    }
    assert!(s.active(slots[0]).abs_diff(600) < 30 && s.active(slots[2]).abs_diff(100) < 20);
}

fn answered(millis: u64) -> Sample {
    Sample {
        took: Duration::from_millis(millis),
        failed: false,
    }
}

#[test]
fn a_slow_server_gets_less() {
    let (mut s, slots) = selector(PeakEwma, &[1; 3]);
    for (slot, millis) in slots.iter().zip([10, 10, 100]) {
        s.observe(*slot, answered(millis), Duration::ZERO);
    }
    for _ in 0..210 {
        s.pick(None, &[]).unwrap();
    }
    let active: Vec<_> = slots.iter().map(|slot| s.active(*slot)).collect();
    // Ten times as slow for a tenth of the requests.
    assert!((6..=14).contains(&active[2]), "{active:?}");
    assert!(active[0].abs_diff(active[1]) <= 10, "{active:?}");
}

#[test]
fn a_server_that_fails_fast_draws_nothing_to_itself() {
    let (mut s, slots) = selector(PeakEwma, &[1; 2]);
    s.observe(slots[0], answered(20), Duration::ZERO);
    let failed = Sample {
        failed: true,
        ..answered(0)
    };
    s.observe(slots[1], failed, Duration::ZERO);
    for _ in 0..100 {
        let slot = s.pick(None, &[]).unwrap();
        assert_eq!(slot, slots[0]);
        s.release(slot);
    }
    // It is tried again some day.
    s.observe(slots[0], answered(20), Duration::from_secs(60));
    assert_eq!(s.pick(None, &[]), Ok(slots[1]));
}

#[test]
fn a_server_that_has_not_answered_yet_is_taken_by_its_count() {
    let (mut s, slots) = selector(PeakEwma, &[1; 2]);
    s.observe(slots[0], answered(1), Duration::ZERO);
    for _ in 0..100 {
        s.pick(None, &[]).unwrap();
    }
    assert_eq!((s.active(slots[0]), s.active(slots[1])), (50, 50));
}

#[test]
fn one_that_has_not_answered_yet_is_better_than_one_that_fails() {
    let (mut s, slots) = selector(PeakEwma, &[1; 2]);
    let failed = Sample {
        failed: true,
        ..answered(0)
    };
    s.observe(slots[0], failed, Duration::ZERO);
    for _ in 0..100 {
        assert_eq!(s.pick(None, &[]), Ok(slots[1]));
    }
}

/// What a reload, a check or a session does. Servers are named by an index into all there are.
#[derive(Clone, Debug)]
enum Event {
    Pick(Option<u64>),
    Tried(Index),
    Bound(Index),
    Release(Index),
    Weight(Index, u32),
    Eligible(Index, bool),
    Limit(Index, u32),
    Add(u32),
    Remove(Index),
    Observe(Index, u64, bool),
    Algorithm(Algorithm),
    BoundedLoad(Option<f64>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => any::<Option<u64>>().prop_map(Event::Pick),
        2 => any::<Index>().prop_map(Event::Tried),
        2 => any::<Index>().prop_map(Event::Bound),
        6 => any::<Index>().prop_map(Event::Release),
        2 => (any::<Index>(), 0..5_u32).prop_map(|(i, weight)| Event::Weight(i, weight)),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(i, eligible)| Event::Eligible(i, eligible)),
        2 => (any::<Index>(), 0..4_u32).prop_map(|(i, limit)| Event::Limit(i, limit)),
        1 => (0..5_u32).prop_map(Event::Add),
        1 => any::<Index>().prop_map(Event::Remove),
        2 => (any::<Index>(), 0..1000_u64, any::<bool>()).prop_map(|(i, t, f)| Event::Observe(i, t, f)),
        1 => prop_oneof![
            Just(Hash), Just(RandomTwo), Just(PeakEwma), Just(Algorithm::WeightedRoundRobin),
            Just(Algorithm::WeightedLeastConnections), Just(Algorithm::SourceHash)
        ].prop_map(Event::Algorithm),
        1 => prop_oneof![Just(None), (1.01..3.0_f64).prop_map(Some)].prop_map(Event::BoundedLoad),
    ]
}

#[derive(Clone, Copy)]
struct Member {
    slot: Slot,
    weight: u32,
    limit: u32,
    eligible: bool,
    active: u32,
}

impl Member {
    fn is_open(&self) -> bool {
        self.eligible && self.weight > 0 && (self.limit == 0 || self.active < self.limit)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the algorithm and whatever happened before: a server is picked whenever one can be, it is one that can be,
    /// and the counts are right.
    #[test]
    fn who_is_picked_can_be(events in prop::collection::vec(event(), 1..200)) {
        let mut s = Selector::new(Hash, 3);
        let mut members: Vec<Member> = Vec::new();
        let mut next = 0;
        for event in events {
            let n = members.len();
            let needs_one = !matches!(event, Event::Pick(_) | Event::Add(_) | Event::Algorithm(_) | Event::BoundedLoad(_));
            if n == 0 && needs_one {
                continue;
            }
            let (key, tried) = match &event {
                Event::Pick(key) => (*key, None),
                Event::Tried(i) => (Some(1), Some(members[i.index(n)].slot)),
                Event::Bound(i) => {
                    let member = &mut members[i.index(n)];
                    member.active += u32::from(s.charge(member.slot).is_ok());
                    continue;
                }
                Event::Release(i) => {
                    let member = &mut members[i.index(n)];
                    if member.active > 0 {
                        s.release(member.slot);
                        member.active -= 1;
                    }
                    continue;
                }
                Event::Weight(i, weight) => {
                    let member = &mut members[i.index(n)];
                    member.weight = *weight;
                    s.set_weight(member.slot, *weight);
                    continue;
                }
                Event::Eligible(i, eligible) => {
                    let member = &mut members[i.index(n)];
                    member.eligible = *eligible;
                    s.set_eligible(member.slot, *eligible);
                    continue;
                }
                Event::Limit(i, limit) => {
                    let member = &mut members[i.index(n)];
                    member.limit = *limit;
                    s.set_limit(member.slot, *limit);
                    continue;
                }
                Event::Add(weight) => {
                    let slot = add(&mut s, *weight, 0, next);
                    next += 1;
                    members.push(Member { slot, weight: *weight, limit: 0, eligible: true, active: 0 });
                    continue;
                }
                Event::Remove(i) => {
                    s.remove(members.remove(i.index(n)).slot);
                    continue;
                }
                Event::Observe(i, took, failed) => {
                    let sample = Sample { took: Duration::from_millis(*took), failed: *failed };
                    s.observe(members[i.index(n)].slot, sample, Duration::from_millis(*took * 7));
                    continue;
                }
                Event::Algorithm(algorithm) => {
                    s.set_algorithm(*algorithm);
                    continue;
                }
                Event::BoundedLoad(bound) => {
                    s.set_bounded_load(*bound);
                    continue;
                }
            };
            let open: Vec<_> = members.iter().filter(|member| member.is_open() && Some(member.slot) != tried).collect();
            match s.pick(key, tried.as_slice()) {
                Ok(slot) => {
                    prop_assert!(open.iter().any(|member| member.slot == slot));
                    members.iter_mut().find(|member| member.slot == slot).unwrap().active += 1;
                }
                Err(_) => prop_assert!(open.is_empty()),
            }
            for member in &members {
                prop_assert_eq!(s.active(member.slot), member.active);
            }
        }
    }

    /// Nobody but the servers concerned loses or gains a key, whatever the weights.
    #[test]
    fn no_key_moves_between_others(
        weights in prop::collection::vec(1..20_u32, 2..8), which: Index, weight in 0..40_u32,
    ) {
        let (mut s, slots) = selector(Hash, &weights);
        let one = slots[which.index(slots.len())];
        let before = owners(&mut s, 500);
        s.set_weight(one, weight);
        let after = owners(&mut s, 500);
        let grows = weight > weights[which.index(slots.len())];
        for (before, after) in before.iter().zip(&after) {
            let mover = if grows { after } else { before };
            prop_assert!(before == after || *mover == one);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Shares are within 5 % of the weights, and whose share goes or comes, its own keys alone move: at most a tenth more
    /// than they are by its weight. The same with a bounded load that nobody is at.
    #[test]
    fn shares_and_moves_follow_any_weights(
        weights in prop::collection::vec(1..20_u32, 2..8), which: Index, joins in 1..20_u32, bounded: bool,
    ) {
        const KEYS: u32 = 20_000;
        let (mut s, slots) = selector(Hash, &weights);
        s.set_bounded_load(bounded.then_some(1.25));
        let sum: u32 = weights.iter().sum();
        // What chance among so many keys does to a share, but for once in some ten thousand times.
        let chance = |share: f64| 4.0 * (share * (1.0 - share) / f64::from(KEYS)).sqrt();
        let share_of = |owners: &[Slot], slot: Slot| count(owners, slot) / f64::from(KEYS);
        let before = owners(&mut s, u64::from(KEYS));
        for (slot, weight) in slots.iter().zip(&weights) {
            let due = f64::from(*weight) / f64::from(sum);
            let share = share_of(&before, *slot);
            prop_assert!((share - due).abs() <= 0.05 * due + chance(due), "{} instead of {}", share, due);
        }
        let new = add(&mut s, joins, 0, 1000);
        let with_new = owners(&mut s, u64::from(KEYS));
        let due = f64::from(joins) / f64::from(sum + joins);
        prop_assert!(share_of(&with_new, new) <= 1.1 * due + chance(due));
        for (before, after) in before.iter().zip(&with_new) {
            prop_assert!(before == after || *after == new);
        }
        let gone = slots[which.index(slots.len())];
        s.remove(gone);
        let after = owners(&mut s, u64::from(KEYS));
        let due = f64::from(weights[which.index(slots.len())]) / f64::from(sum + joins);
        let moved = with_new.iter().zip(&after).filter(|(before, after)| before != after);
        let moved = f64::from(u32::try_from(moved.count()).unwrap());
        prop_assert!(moved / f64::from(KEYS) <= 1.1 * due + chance(due));
        for (before, after) in with_new.iter().zip(&after) {
            prop_assert!(before == after || *before == gone);
        }
    }
}
