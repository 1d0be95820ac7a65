//! The servers of a pool as balancing sees them, and the next one to use.

use crate::config::model::Algorithm;

use super::contest::{Contest, Entrant};

/// How many requests beyond its share a server can owe because of bound requests.
///
/// Bound requests go where they are bound, however much that server has had already, so what it owes
/// could grow for days, and then be paid back by as many new sessions in a row going elsewhere.
/// Beyond this they are only counted.
const MAX_DEBT: u64 = 1000;

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
    active: u32,
    /// nginx's `current_weight`, while this server is not in the contest, which has its own.
    current: i64,
}

impl Server {
    /// Would be picked, were it not for its limit.
    fn is_candidate(&self) -> bool {
        self.present && self.eligible && self.weight > 0
    }

    fn is_full(&self) -> bool {
        self.limit > 0 && self.active >= self.limit
    }

    fn entrant(&self, algorithm: Algorithm) -> Option<Entrant> {
        (self.is_candidate() && !self.is_full()).then_some(Entrant {
            current: self.current,
            weight: self.weight,
            load: match algorithm {
                Algorithm::WeightedRoundRobin => 0,
                Algorithm::WeightedLeastConnections => self.active,
            },
            position: self.position,
        })
    }
}

impl Selector {
    /// A selector without servers.
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            servers: Vec::new(),
            free: Vec::new(),
            contest: Contest::default(),
            candidates: 0,
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

    /// Opens or closes the gate for new work. A server that is not eligible keeps its turn frozen.
    pub fn set_eligible(&mut self, slot: Slot, eligible: bool) {
        self.update(slot, |server| server.eligible = eligible);
    }

    /// Changes a weight; counts and the other servers' turns stay as they are.
    ///
    /// When it shrinks, what the server owes or is owed shrinks with it, so that 6000:3000 changed to
    /// 2:1 doesn't have to work off thousands of picks first.
    pub fn set_weight(&mut self, slot: Slot, weight: u32) {
        self.update(slot, |server| {
            if weight > 0 && weight < server.weight {
                server.current = scale(server.current, weight, server.weight);
            }
            server.weight = weight;
        });
    }

    /// Changes the algorithm; counts and turns stay as they are.
    pub fn set_algorithm(&mut self, algorithm: Algorithm) {
        let indices = 0..u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        for index in indices.clone() {
            self.leave(index);
        }
        self.algorithm = algorithm;
        for index in indices {
            self.enter(index);
        }
    }

    /// Changes a limit; what is active beyond it stays.
    pub fn set_limit(&mut self, slot: Slot, limit: u32) {
        self.update(slot, |server| server.limit = limit);
    }

    /// Changes the place in the configuration's order.
    pub fn set_position(&mut self, slot: Slot, position: u32) {
        self.update(slot, |server| server.position = position);
    }

    /// Picks the next server, leaving out those of `exclude`, and counts one active request on it.
    ///
    /// # Errors
    ///
    /// [`NoPick`] says why there is none.
    pub fn pick(&mut self, exclude: &[Slot]) -> Result<Slot, NoPick> {
        for &slot in exclude {
            if self.server(slot).is_some() {
                self.leave(slot.index);
            }
        }
        let picked = self.pick_entered();
        for &slot in exclude {
            if self.server(slot).is_some() {
                self.enter(slot.index);
            }
        }
        picked.ok_or(if self.candidates == 0 {
            NoPick::NoneEligible
        } else {
            NoPick::AllFull
        })
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
        let mut price = 0;
        if self.algorithm == Algorithm::WeightedRoundRobin
            && let Some(current) = self.contest.current(slot.index)
        {
            let total = self.contest.total();
            if current > 0 || current.unsigned_abs() < total.saturating_mul(MAX_DEBT) {
                price = total;
                self.contest.step();
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
            price = self.contest.total();
            self.contest.step();
        }
        let index = self.contest.best()?;
        self.count(index, price)
    }

    /// One more active request on a server, which pays for its turn.
    fn count(&mut self, index: u32, price: u64) -> Option<Slot> {
        let server = self.servers.get_mut(index as usize)?;
        server.active = server.active.saturating_add(1);
        if server.is_full() {
            if let Some(current) = self.contest.take(index) {
                server.current = current.saturating_sub_unsigned(price);
            }
        } else {
            let load = match self.algorithm {
                Algorithm::WeightedRoundRobin => 0,
                Algorithm::WeightedLeastConnections => server.active,
            };
            self.contest.change(index, price, load);
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
            self.candidates -= usize::from(server.is_candidate());
            change(server);
            self.candidates += usize::from(server.is_candidate());
        }
        self.enter(slot.index);
    }
}

/// `current * weight / before` for a weight below `before`, rounded towards 0.
fn scale(current: i64, weight: u32, before: u32) -> i64 {
    let scaled = i128::from(current) * i128::from(weight) / i128::from(before);
    i64::try_from(scaled).unwrap_or(current)
}
