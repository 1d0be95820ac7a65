//! The lease: one request's place on a server.
//!
//! Its existence is the count. It is made by the same locked step that picks the server, and its
//! `Drop` gives the place back, however the request ends; nobody counts down by hand.

use std::sync::Arc;

use super::queue::Handover;
use super::{Pool, Server, State, member};
use crate::balance::{NoCharge, NoPick, Slot};
use crate::pool::gate::Admission;
use crate::pool::tier::Tier;

/// One active request (HTTP) or connection (TCP) on a server.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    server: Arc<Server>,
}

/// Why no server could be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No server takes new work.
    NoneAvailable,
    /// Servers do that the request has not failed on, but each is at its limit.
    Full,
}

/// Why the server a session is bound to could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundRefusal {
    /// It takes no work: down, in maintenance, unresolved or removed.
    Unavailable,
    /// It is at its limit.
    Full,
}

/// Whether servers are left that a request has not failed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// None that takes new work.
    None,
    /// All of them are at their limits.
    Full,
    /// One has a place.
    Free,
}

impl Pool {
    /// Whether a server other than `tried` could take a request.
    pub fn others(&self, tried: &[Slot]) -> Others {
        let state = self.state.lock();
        state
            .members
            .iter()
            .flatten()
            .filter(|server| {
                !tried.contains(&server.slot())
                    && Tier::of(server.admission(), server.is_backup()).is_some()
            })
            .fold(Others::None, |found, server| {
                let limit = server.limit();
                if limit == 0 || state.selector.active(server.slot()) < limit {
                    Others::Free
                } else if found == Others::None {
                    Others::Full
                } else {
                    found
                }
            })
    }

    /// Picks a server for new work and counts it, in one step. `key` is a digest of what the request is told from others
    /// by, if the pool hashes something of it; `tried` are the servers that this request has failed on already.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why there is none.
    pub fn acquire(self: &Arc<Self>, key: Option<u64>, tried: &[Slot]) -> Result<Lease, Refusal> {
        let mut guard = self.state.lock();
        let server = guard.pick(key, tried)?;
        drop(guard);
        Ok(Lease::new(self, server))
    }

    /// Counts a request on the server that its session is bound to.
    ///
    /// # Errors
    ///
    /// [`BoundRefusal`] says why it can't go there.
    pub fn acquire_bound(self: &Arc<Self>, server: &Arc<Server>) -> Result<Lease, BoundRefusal> {
        let mut guard = self.state.lock();
        guard.charge(server)?;
        drop(guard);
        Ok(Lease::new(self, Arc::clone(server)))
    }

    /// Gives one place back, and hands it to whoever waits for it.
    fn release(self: &Arc<Self>, server: &Server) {
        server.metrics().active.dec();
        let mut guard = self.state.lock();
        guard.selector.release(server.slot());
        let handovers = self.serve_waiters(&mut guard, Some(server.slot()));
        drop(guard);
        // Outside the lock: a waiter that has gone gives its lease back at once.
        handovers.into_iter().for_each(Handover::complete);
    }
}

impl State {
    pub(super) fn pick(
        &mut self,
        key: Option<u64>,
        tried: &[Slot],
    ) -> Result<Arc<Server>, Refusal> {
        let refused = match self.selector.pick(key, tried) {
            Ok(slot) => {
                // The selector only knows slots that `members` holds.
                return member(&self.members, slot)
                    .cloned()
                    .ok_or(Refusal::NoneAvailable);
            }
            Err(NoPick::NoneEligible) => Refusal::NoneAvailable,
            Err(NoPick::AllFull) => Refusal::Full,
        };
        if tried.is_empty() {
            return Err(refused);
        }
        if let Some(spare) = self.pick_spare(tried) {
            return Ok(spare);
        }
        // A place may become free where the request has not failed yet; elsewhere it is of no use.
        let left = self.members.iter().flatten().any(|server| {
            !tried.contains(&server.slot())
                && Tier::of(server.admission(), server.is_backup()).is_some()
        });
        Err(if left {
            Refusal::Full
        } else {
            Refusal::NoneAvailable
        })
    }

    /// A retry whose class of servers is exhausted may fall back to a lower one: the failures it has
    /// just met are news that the checks don't have yet. Rare, so a walk will do.
    fn pick_spare(&mut self, tried: &[Slot]) -> Option<Arc<Server>> {
        let spare = self
            .members
            .iter()
            .flatten()
            .filter(|server| !tried.contains(&server.slot()))
            .filter(|server| {
                server.limit() == 0 || self.selector.active(server.slot()) < server.limit()
            })
            .filter_map(|server| {
                Tier::of(server.admission(), server.is_backup()).map(|tier| (tier, server))
            })
            .min_by_key(|(tier, server)| (*tier, self.selector.active(server.slot())))
            .map(|(_, server)| Arc::clone(server))?;
        self.selector.charge(spare.slot()).ok()?;
        Some(spare)
    }

    pub(super) fn charge(&mut self, server: &Server) -> Result<(), BoundRefusal> {
        if server.admission() == Admission::Closed {
            return Err(BoundRefusal::Unavailable);
        }
        self.selector
            .charge(server.slot())
            .map_err(|refused| match refused {
                NoCharge::Full => BoundRefusal::Full,
                NoCharge::Removed => BoundRefusal::Unavailable,
            })
    }
}

impl Lease {
    /// Only after the selector has counted.
    pub(super) fn new(pool: &Arc<Pool>, server: Arc<Server>) -> Self {
        server.metrics().active.inc();
        Self {
            pool: Arc::clone(pool),
            server,
        }
    }

    /// The server this is a place on.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.release(&self.server);
    }
}
