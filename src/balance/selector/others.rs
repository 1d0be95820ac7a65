//! The picks that take no turns: by a key, or by two draws.

use std::cmp::Ordering;

use rand::Rng as _;

use super::super::latency::Sample;
use super::super::rendezvous::Draw;
use super::{Selector, Server, Slot};
use crate::config::model::Algorithm;

/// A server that was drawn, and where its share of all draws begins.
#[derive(Clone, Copy)]
struct Drawn {
    index: u32,
    begins: u64,
}

/// A server that may have a key.
#[derive(Clone, Copy)]
struct Candidate {
    index: u32,
    identity: u64,
    lateness: f64,
}

impl Candidate {
    /// Whether it has the key rather than the other one.
    fn is_before(self, other: Self) -> bool {
        let by_lateness = self.lateness.total_cmp(&other.lateness);
        by_lateness.then(self.identity.cmp(&other.identity)) == Ordering::Less
    }
}

impl Selector {
    /// Counts one active request on the server that `key` belongs to, of those that can be picked and aren't in `exclude`.
    ///
    /// With a bounded load it goes to the first, in the key's order, that has less than its share of the active requests
    /// times the bound (Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", 2016). There is always
    /// one, because all such shares together are more than there are requests.
    pub(super) fn pick_by_key(&mut self, key: u64, exclude: &[Slot]) -> Option<Slot> {
        let is_open = |index: u32, server: &Server| {
            server.is_candidate()
                && !server.is_full()
                && !exclude
                    .iter()
                    .any(|slot| slot.index == index && slot.generation == server.generation)
        };
        let servers = || (0..).zip(&self.servers);
        let places_by_weight = self.bounded_load.map(|bound| {
            let open = servers().filter(|(index, server)| is_open(*index, server));
            let (active, weights) = open.fold((1, 0), |(active, weights), (_, server)| {
                (
                    active + u64::from(server.active),
                    weights + u64::from(server.weight),
                )
            });
            bound * precise(active) / precise(weights)
        });
        let has_room = |server: &Server| {
            places_by_weight.is_none_or(|places| {
                f64::from(server.active) < (places * f64::from(server.weight)).ceil()
            })
        };
        let mut best: Option<Candidate> = None;
        for (index, server) in servers() {
            let draw = Draw::new(key, server.identity);
            let is_later = |best: Candidate| draw.is_surely_later(best.lateness, server.weight);
            if best.is_some_and(is_later) || !is_open(index, server) || !has_room(server) {
                continue;
            }
            let candidate = Candidate {
                index,
                identity: server.identity,
                lateness: draw.lateness(server.weight),
            };
            if best.is_none_or(|best| candidate.is_before(best)) {
                best = Some(candidate);
            }
        }
        self.count(best?.index, 0)
    }

    /// Counts one active request on the better of two servers that are drawn by their weights, from those in the contest.
    pub(super) fn pick_of_two(&mut self) -> Option<Slot> {
        let (first, second) = self.draw_two()?;
        let index = match second {
            Some(second) if self.compare(second, first) == Ordering::Less => second,
            _ => first,
        };
        self.count(index, 0)
    }

    /// Two different servers; of one that is alone no second one.
    fn draw_two(&mut self) -> Option<(u32, Option<u32>)> {
        let total = self.contest.total();
        if total == 0 {
            return None;
        }
        let place = self.random.random_range(0..total);
        let first = self.draw(place)?;
        let weight = self
            .server_at(first.index)
            .map_or(0, |server| server.weight);
        let others = total.saturating_sub(u64::from(weight));
        if others == 0 {
            return Some((first.index, None));
        }
        let mut place = self.random.random_range(0..others);
        if place >= first.begins {
            place += u64::from(weight);
        }
        Some((first.index, self.draw(place).map(|second| second.index)))
    }

    fn draw(&self, place: u64) -> Option<Drawn> {
        let (index, begins) = self.contest.at(place)?;
        Some(Drawn { index, begins })
    }

    /// Which of two should rather have one more request.
    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (Some(a), Some(b)) = (self.server_at(a), self.server_at(b)) else {
            return Ordering::Equal;
        };
        let places = |server: &Server| {
            u64::from(server.active) + u64::from(self.algorithm == Algorithm::PeakEwma)
        };
        let by_count = (places(a) * u64::from(b.weight)).cmp(&(places(b) * u64::from(a.weight)));
        if self.algorithm != Algorithm::PeakEwma {
            return by_count;
        }
        let (of_a, of_b) = match (a.latency.at(self.now), b.latency.at(self.now)) {
            (Some(of_a), Some(of_b)) => (of_a, of_b),
            // Of one that has not answered yet nothing is known but how much it has to do, and that it has not failed.
            (None, Some(_)) if b.latency.has_failed() => return Ordering::Less,
            (Some(_), None) if a.latency.has_failed() => return Ordering::Greater,
            _ => return by_count,
        };
        let cost = |server: &Server, latency: f64| {
            latency * precise(places(server)) / f64::from(server.weight)
        };
        cost(a, of_a).total_cmp(&cost(b, of_b)).then(by_count)
    }

    fn server_at(&self, index: u32) -> Option<&Server> {
        self.servers.get(index as usize)
    }

    /// Takes in how long a server took for an answer that came at `now`, a time since whenever. Picks of `peak_ewma` go by
    /// the last time that they were told.
    pub fn observe(&mut self, slot: Slot, sample: Sample, now: std::time::Duration) {
        self.now = self.now.max(now);
        if let Some(server) = self.server_mut(slot) {
            server.latency.observe(sample, now);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sums of weights and counts: a rounding is no matter"
)]
fn precise(value: u64) -> f64 {
    value as f64
}
