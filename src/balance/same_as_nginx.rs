//! The selector and the literal model of nginx side by side, whatever happens to them.

use proptest::prelude::*;
use proptest::sample::Index;

use super::model::Model;
use super::{NoCharge, Params, Selector, Slot};
use crate::config::model::Algorithm::{self, WeightedLeastConnections, WeightedRoundRobin};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn round_robin_is_nginx_whatever_happens(events in prop::collection::vec(events(20), 1..200)) {
        same_as_nginx(WeightedRoundRobin, &events)?;
    }

    #[test]
    fn least_connections_is_nginx_whatever_happens(events in prop::collection::vec(events(6), 1..200)) {
        same_as_nginx(WeightedLeastConnections, &events)?;
    }

    #[test]
    fn large_pools_are_nginx_too(
        weights in prop::collection::vec(weights(), 1..150),
        algorithm in prop_oneof![Just(WeightedRoundRobin), Just(WeightedLeastConnections)],
        ends in prop::collection::vec(prop_oneof![2 => Just(None), 1 => any::<Index>().prop_map(Some)], 600),
    ) {
        let mut pair = Pair::new(algorithm);
        for weight in weights {
            pair.play(&Event::Insert { weight, limit: 0, position: 0, eligible: true })?;
        }
        for end in ends {
            pair.play(&end.map_or(Event::Pick(1), Event::Release))?;
        }
    }
}

/// Something that happens to a selector. Servers are named by an index into all there ever were.
#[derive(Clone, Debug)]
enum Event {
    Insert {
        weight: u32,
        limit: u32,
        position: u32,
        eligible: bool,
    },
    Remove(Index),
    Weight(Index, u32),
    Eligible(Index, bool),
    Limit(Index, u32),
    Position(Index, u32),
    Pick(usize),
    Retry(Vec<Index>),
    Charge(Index),
    /// By an index into all leases held.
    Release(Index),
}

/// Few values of each, so that equals are common, and some large ones.
fn weights() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..4_u32, 3 => (1..8_u32).prop_map(|w| w * 10), 1 => 1..70_000_u32]
}

fn events(picks: usize) -> impl Strategy<Value = Event> {
    let limits = || prop_oneof![2 => Just(0), 1 => 1..5_u32];
    prop_oneof![
        2 => (weights(), limits(), 0..6_u32, any::<bool>())
            .prop_map(|(weight, limit, position, eligible)| Event::Insert { weight, limit, position, eligible }),
        1 => any::<Index>().prop_map(Event::Remove),
        1 => (any::<Index>(), weights()).prop_map(|(i, weight)| Event::Weight(i, weight)),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(i, eligible)| Event::Eligible(i, eligible)),
        1 => (any::<Index>(), limits()).prop_map(|(i, limit)| Event::Limit(i, limit)),
        1 => (any::<Index>(), 0..6_u32).prop_map(|(i, position)| Event::Position(i, position)),
        8 => (1..=picks).prop_map(Event::Pick),
        1 => prop::collection::vec(any::<Index>(), 0..4).prop_map(Event::Retry),
        2 => any::<Index>().prop_map(Event::Charge),
        8 => any::<Index>().prop_map(Event::Release),
    ]
}

/// A selector and the model side by side.
struct Pair {
    selector: Selector,
    model: Model,
    slots: Vec<Slot>,
    /// By index into `slots`; of removed servers, too.
    leases: Vec<usize>,
}

impl Pair {
    fn new(algorithm: Algorithm) -> Self {
        let model = Model {
            algorithm,
            peers: Vec::new(),
            last_total: 0,
        };
        Self {
            selector: Selector::new(algorithm, 1),
            model,
            slots: Vec::new(),
            leases: Vec::new(),
        }
    }

    fn play(&mut self, event: &Event) -> Result<(), TestCaseError> {
        if let Event::Insert {
            weight,
            limit,
            position,
            eligible,
        } = *event
        {
            let params = Params {
                weight,
                limit,
                position: self.free_position(position),
                identity: 0,
            };
            let slot = self.selector.insert(params);
            self.selector.set_eligible(slot, eligible);
            let i = self.model.insert(params);
            self.model.peers[i].eligible = eligible;
            self.slots.push(slot);
        }
        let n = self.slots.len();
        if n == 0 {
            return Ok(());
        }
        match event {
            Event::Insert { .. } => {}
            Event::Remove(i) => {
                self.selector.remove(self.slots[i.index(n)]);
                let peer = &mut self.model.peers[i.index(n)];
                peer.removed = true;
                peer.conns = 0;
            }
            Event::Weight(i, weight) => {
                self.selector.set_weight(self.slots[i.index(n)], *weight);
                self.model.peers[i.index(n)].params.weight = *weight;
            }
            Event::Eligible(i, eligible) => {
                self.selector
                    .set_eligible(self.slots[i.index(n)], *eligible);
                self.model.peers[i.index(n)].eligible = *eligible;
            }
            Event::Limit(i, limit) => {
                self.selector.set_limit(self.slots[i.index(n)], *limit);
                self.model.peers[i.index(n)].params.limit = *limit;
            }
            Event::Position(i, position) => {
                let position = self.free_position(*position);
                self.selector.set_position(self.slots[i.index(n)], position);
                self.model.peers[i.index(n)].params.position = position;
            }
            Event::Pick(times) => {
                for _ in 0..*times {
                    self.pick(&[])?;
                }
            }
            Event::Retry(tried) => {
                self.pick(&tried.iter().map(|i| i.index(n)).collect::<Vec<_>>())?;
            }
            Event::Charge(i) => self.charge(i.index(n))?,
            Event::Release(i) => {
                if !self.leases.is_empty() {
                    let lease = self.leases.swap_remove(i.index(self.leases.len()));
                    self.release(lease);
                }
            }
        }
        for (peer, &slot) in self.model.peers.iter().zip(&self.slots) {
            prop_assert_eq!(peer.conns, self.selector.active(slot));
        }
        Ok(())
    }

    /// Positions are unique in a configuration: spreads them around the wanted one.
    fn free_position(&self, wanted: u32) -> u32 {
        (wanted * 1000..(wanted + 1) * 1000)
            .find(|&position| {
                self.model
                    .peers
                    .iter()
                    .all(|peer| peer.params.position != position)
            })
            .unwrap()
    }

    fn pick(&mut self, tried: &[usize]) -> Result<(), TestCaseError> {
        let exclude: Vec<_> = tried.iter().map(|&i| self.slots[i]).collect();
        let expected = self.model.pick(tried);
        prop_assert_eq!(
            self.selector.pick(None, &exclude),
            expected.map(|i| self.slots[i])
        );
        self.leases.extend(expected);
        Ok(())
    }

    fn charge(&mut self, i: usize) -> Result<(), TestCaseError> {
        let expected = if self.model.peers[i].removed {
            Err(NoCharge::Removed)
        } else if self.model.charge(i) {
            self.leases.push(i);
            Ok(())
        } else {
            Err(NoCharge::Full)
        };
        prop_assert_eq!(self.selector.charge(self.slots[i]), expected);
        Ok(())
    }

    fn release(&mut self, i: usize) {
        self.selector.release(self.slots[i]);
        let peer = &mut self.model.peers[i];
        peer.conns = peer.conns.saturating_sub(1);
    }
}

fn same_as_nginx(algorithm: Algorithm, events: &[Event]) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(algorithm);
    for event in events {
        pair.play(event)?;
    }
    while let Some(lease) = pair.leases.pop() {
        pair.release(lease);
    }
    for &slot in &pair.slots {
        prop_assert_eq!(pair.selector.active(slot), 0);
    }
    Ok(())
}
