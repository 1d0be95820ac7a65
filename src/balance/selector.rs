//! The servers of a pool as balancing sees them, and the next one to use.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::config::model::Algorithm;

use super::contest::{Contest, Entrant};
use super::latency::PeakEwma;

mod level;
mod others;
mod settle;
mod turns;

pub use turns::Progress;

/// How many requests beyond its share a server can owe because of bound requests.
///
/// Bound requests go where they are bound, however much that server has had already, so what it owes
/// could grow for days, and then be paid back by as many new sessions in a row going elsewhere.
/// Beyond this they are only counted.
const MAX_DEBT: u64 = 1000;

/// How many rounds ahead of the others a server's turn may be when some of them are full, which is found out when it is
/// picked: what it was owed in rounds of all servers would else be paid back in much shorter ones. It is more than ever
/// comes about among servers of similar weights, whose turns stay as they are in nginx.
const MAX_LEAD: u32 = 4;

/// A server's place in its [`Selector`], valid until the server is removed and never equal to the
/// slot of another server of that selector, before or after.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Slot {
    index: u32,
    /// Tells this server from those that had the same index before.
    generation: u32,
}

impl Slot {
    /// A small number for tables by server: unique among the servers that are there, reused later.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// What balancing needs to know of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// The effective weight; only its ratio to the other servers' matters. 0 is never picked.
    pub weight: u32,
    /// Active requests at most; 0 = no limit.
    pub limit: u32,
    /// Order in the configuration: of equally good servers the one with the lowest is picked.
    pub position: u32,
    /// A digest of what the server is called: keys are shared out by it. See [`digest`](super::digest).
    pub identity: u64,
}

/// Why no server was picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoPick {
    /// No server is both eligible and of a weight above 0.
    #[error("no server is eligible")]
    NoneEligible,
    /// Such servers exist, but each is at its limit or was excluded.
    #[error("every eligible server is full")]
    AllFull,
}

/// Why a bound request was not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoCharge {
    /// The server is at its limit.
    #[error("the server is full")]
    Full,
    /// The server is not in the selector any more.
    #[error("the server was removed")]
    Removed,
}

/// The balancing state of one pool: active counts, limits, and whose turn it is.
///
/// Each [`pick`](Self::pick) and each successful [`charge`](Self::charge) counts one active request,
/// which is given back by one [`release`](Self::release). None of the three allocates.
#[derive(Debug)]
pub struct Selector {
    algorithm: Algorithm,
    servers: Vec<Server>,
    /// Indices of `servers` that are not in use.
    free: Vec<u32>,
    /// The servers that can be picked now.
    contest: Contest,
    /// How many servers could be picked, were it not for limits.
    candidates: usize,
    /// Whether candidates or their weights have changed since the turns were last brought in line with them.
    changed: bool,
    /// The sum of the weights at that time.
    earned_with: u64,
    /// The sum of the weights in the last round.
    last_total: u64,
    /// How much more than its share of the active requests a server may have before a key goes elsewhere; above 1.
    bounded_load: Option<f64>,
    random: SmallRng,
    /// The last time that [`Self::observe`] was told.
    now: Duration,
}

#[derive(Debug, Default)]
struct Server {
    generation: u32,
    /// False while the place waits for reuse.
    present: bool,
    eligible: bool,
    weight: u32,
    limit: u32,
    position: u32,
    identity: u64,
    active: u32,
    latency: PeakEwma,
    /// nginx's `current_weight`, while this server is not in the contest, which has its own.
    current: i64,
    /// The weight that `current` was earned with; 0 while this server was no candidate.
    earned_with: u32,
}

impl Server {
    /// Would be picked, were it not for its limit.
    fn is_candidate(&self) -> bool {
        self.weight_as_candidate() > 0
    }

    /// The weight, or 0 if the server is not to be picked.
    fn weight_as_candidate(&self) -> u32 {
        if self.present && self.eligible {
            self.weight
        } else {
            0
        }
    }

    fn is_full(&self) -> bool {
        self.limit > 0 && self.active >= self.limit
    }

    fn entrant(&self, algorithm: Algorithm) -> Option<Entrant> {
        (self.is_candidate() && !self.is_full()).then_some(Entrant {
            current: self.current,
            weight: self.weight,
            load: load(algorithm, self.active),
            position: self.position,
        })
    }
}

impl Selector {
    /// A selector without servers. With the same `seed` it draws the same.
    pub fn new(algorithm: Algorithm, seed: u64) -> Self {
        Self {
            algorithm,
            bounded_load: None,
            random: SmallRng::seed_from_u64(seed),
            now: Duration::ZERO,
            servers: Vec::new(),
            free: Vec::new(),
            contest: Contest::default(),
            candidates: 0,
            changed: false,
            earned_with: 0,
            last_total: 0,
        }
    }

    /// Adds a server, which is not eligible until [`set_eligible`](Self::set_eligible) says so.
    pub fn insert(&mut self, params: Params) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.servers.push(Server::default());
            u32::try_from(self.servers.len() - 1).unwrap_or(u32::MAX)
        });
        self.contest.reserve(self.servers.len());
        let mut slot = Slot {
            index,
            generation: 0,
        };
        if let Some(server) = self.servers.get_mut(index as usize) {
            slot.generation = server.generation;
            *server = Server {
                generation: server.generation,
                present: true,
                weight: params.weight,
                limit: params.limit,
                position: params.position,
                identity: params.identity,
                ..Server::default()
            };
        }
        slot
    }

    /// Takes a server out. What is still active on it needs no release any more, and a late one does
    /// nothing, even if the place is in use again.
    pub fn remove(&mut self, slot: Slot) {
        if self.server(slot).is_none() {
            return;
        }
        self.update(slot, |server| server.present = false);
        if let Some(server) = self.servers.get_mut(slot.index as usize) {
            server.generation = server.generation.wrapping_add(1);
            self.free.push(slot.index);
        }
    }

    /// Opens or closes the gate for new work.
    pub fn set_eligible(&mut self, slot: Slot, eligible: bool) {
        self.update(slot, |server| server.eligible = eligible);
    }

    /// Changes a weight; counts stay as they are, and turns go on where they were.
    pub fn set_weight(&mut self, slot: Slot, weight: u32) {
        self.update(slot, |server| server.weight = weight);
    }

    /// Changes the algorithm; counts stay as they are.
    pub fn set_algorithm(&mut self, algorithm: Algorithm) {
        self.drain(|_| {});
        self.algorithm = algorithm;
        // The turns of another algorithm may be anywhere.
        self.unsettle();
        self.fill();
    }

    /// Sets how much more than its share of the active requests a server may have, above 1, before a key goes to the next
    /// one; `None` = any number.
    pub fn set_bounded_load(&mut self, bounded_load: Option<f64>) {
        self.bounded_load = bounded_load;
    }

    /// Changes a limit; what is active beyond it stays.
    pub fn set_limit(&mut self, slot: Slot, limit: u32) {
        self.update(slot, |server| server.limit = limit);
    }

    /// Changes the place in the configuration's order.
    pub fn set_position(&mut self, slot: Slot, position: u32) {
        self.update(slot, |server| server.position = position);
    }

    /// Picks the next server, leaving out those of `exclude`, and counts one active request on it. `key` is a digest of what
    /// the request is told from others by; without one the algorithms that go by keys take turns.
    ///
    /// # Errors
    ///
    /// [`NoPick`] says why there is none.
    pub fn pick(&mut self, key: Option<u64>, exclude: &[Slot]) -> Result<Slot, NoPick> {
        let picked = match key {
            Some(key) if self.algorithm.is_hash() => self.pick_by_key(key, exclude),
            _ => self.pick_entered_but(exclude),
        };
        picked.ok_or(if self.candidates == 0 {
            NoPick::NoneEligible
        } else {
            NoPick::AllFull
        })
    }

    fn pick_entered_but(&mut self, exclude: &[Slot]) -> Option<Slot> {
        self.settle();
        for &slot in exclude {
            if self.server(slot).is_some() {
                self.leave(slot.index);
            }
        }
        let picked = if matches!(self.algorithm, Algorithm::RandomTwo | Algorithm::PeakEwma) {
            self.pick_of_two()
        } else {
            self.pick_entered()
        };
        for &slot in exclude {
            if self.server(slot).is_some() {
                self.enter(slot.index);
            }
        }
        picked
    }

    /// Counts one active request of a session bound to this server, whether or not it is eligible.
    ///
    /// For round robin it is charged to the server's share as if the server had been picked, if it
    /// could have been.
    ///
    /// # Errors
    ///
    /// [`NoCharge`] says why it was not counted.
    pub fn charge(&mut self, slot: Slot) -> Result<(), NoCharge> {
        let server = self.server(slot).ok_or(NoCharge::Removed)?;
        if server.is_full() {
            return Err(NoCharge::Full);
        }
        self.settle();
        let mut price = 0;
        if self.algorithm == Algorithm::WeightedRoundRobin
            && let Some(current) = self.contest.current(slot.index)
        {
            let total = self.contest.total();
            if current > 0 || current.unsigned_abs() < total.saturating_mul(MAX_DEBT) {
                price = self.step();
            }
        }
        self.count(slot.index, price);
        Ok(())
    }

    /// Gives back what one [`pick`](Self::pick) or [`charge`](Self::charge) counted.
    pub fn release(&mut self, slot: Slot) {
        let Some(server) = self.server_mut(slot) else {
            return;
        };
        let was_full = server.is_full();
        server.active = server.active.saturating_sub(1);
        let active = server.active;
        if was_full {
            self.enter(slot.index);
        } else if self.algorithm == Algorithm::WeightedLeastConnections {
            self.contest.change(slot.index, 0, active);
        }
    }

    /// Active requests of a server; 0 when it was removed.
    pub fn active(&self, slot: Slot) -> u32 {
        self.server(slot).map_or(0, |server| server.active)
    }

    fn server(&self, slot: Slot) -> Option<&Server> {
        self.servers
            .get(slot.index as usize)
            .filter(|server| server.present && server.generation == slot.generation)
    }

    fn server_mut(&mut self, slot: Slot) -> Option<&mut Server> {
        self.servers
            .get_mut(slot.index as usize)
            .filter(|server| server.present && server.generation == slot.generation)
    }

    fn pick_entered(&mut self) -> Option<Slot> {
        let mut price = 0;
        // One that is alone pays to itself what it moves up.
        if self.contest.is_tied() {
            price = self.step();
        }
        let index = self.contest.best()?;
        self.count(index, price)
    }

    /// Raises the current weights for the next pick. Returns what the picked server pays.
    fn step(&mut self) -> u64 {
        let total = self.contest.total();
        if self.algorithm != Algorithm::WeightedLeastConnections
            && total < self.last_total
            && self.contest.leads_by_more_than(MAX_LEAD)
        {
            self.cut_entered(total);
        }
        self.last_total = total;
        self.contest.step();
        total
    }

    /// One more active request on a server, which pays for its turn.
    fn count(&mut self, index: u32, price: u64) -> Option<Slot> {
        let server = self.servers.get_mut(index as usize)?;
        server.active = server.active.saturating_add(1);
        if server.is_full() {
            if let Some(current) = self.contest.take(index) {
                server.current = current.saturating_sub_unsigned(price);
            }
        } else if price > 0 || self.algorithm == Algorithm::WeightedLeastConnections {
            self.contest
                .change(index, price, load(self.algorithm, server.active));
        }
        Some(Slot {
            index,
            generation: server.generation,
        })
    }

    /// Takes a server out of the contest, if it is in.
    fn leave(&mut self, index: u32) {
        if let Some(server) = self.servers.get_mut(index as usize)
            && let Some(current) = self.contest.take(index)
        {
            server.current = current;
        }
    }

    /// Lets a server into the contest that is out of it, if it may be picked.
    fn enter(&mut self, index: u32) {
        if let Some(server) = self.servers.get(index as usize)
            && let Some(entrant) = server.entrant(self.algorithm)
        {
            self.contest.put(index, entrant);
        }
    }

    /// Changes what decides whether and how a server takes part.
    fn update(&mut self, slot: Slot, change: impl FnOnce(&mut Server)) {
        if self.server(slot).is_none() {
            return;
        }
        self.leave(slot.index);
        if let Some(server) = self.servers.get_mut(slot.index as usize) {
            let before = server.weight_as_candidate();
            change(server);
            let after = server.weight_as_candidate();
            self.candidates -= usize::from(before > 0);
            self.candidates += usize::from(after > 0);
            self.changed |= before != after;
        }
        self.enter(slot.index);
    }
}

/// What a server has to do, as far as turns depend on it.
fn load(algorithm: Algorithm, active: u32) -> u32 {
    if algorithm == Algorithm::WeightedLeastConnections {
        active
    } else {
        0
    }
}
