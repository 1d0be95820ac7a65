//! Waiting for a place when every server (or the one a session is bound to) is at its limit.
//!
//! First come, first served, bounded in number and time. A freed place is handed to the first waiter that can use it
//! within the step that freed it, so that nobody overtakes.
//!
//! Waiters that want the same stand in one line, in the order in which they came: those bound to one server, those who
//! take any, and by themselves those who take any but the ones that they have [tried](retriers). What a release or leaving costs
//! grows with the logarithm of the number of waiters.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::tier::Tier;
use super::{BoundRefusal, Lease, Pool, Server, State, member};
use crate::balance::Slot;

mod retriers;

use retriers::Retriers;

/// Why waiting was of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueRefusal {
    /// As many wait as may.
    Full,
    /// No place became free in time.
    TimedOut,
    /// The server that was waited for takes no more work.
    Unavailable,
}

/// What a waiter wants, which tells the line it stands in.
#[derive(Debug, Clone)]
enum Wanted {
    /// The server its session is bound to.
    Bound(Arc<Server>),
    /// Any.
    Any,
    /// Any but those, which are some.
    AnyBut(Arc<[Slot]>),
}

/// One who waits.
struct Waiter {
    hand: oneshot::Sender<Lease>,
    /// As in [`Pool::acquire`].
    key: Option<u64>,
}

/// Those who want the same, by the numbers in which they came.
type Line = BTreeMap<u64, Waiter>;

/// All who wait. No line for a server is empty.
#[derive(Default)]
pub(super) struct Waiting {
    bound: HashMap<Slot, (Arc<Server>, Line)>,
    any: Line,
    retriers: Retriers<Waiter>,
    count: usize,
    next_number: u64,
}

/// One who is next for a place.
struct Next {
    number: u64,
    wanted: Wanted,
    key: Option<u64>,
}

/// A lease for one who has waited.
pub(super) struct Handover {
    hand: oneshot::Sender<Lease>,
    lease: Lease,
}

impl Handover {
    /// Hands the lease over; if the waiter has gone, it is given back by being dropped. Not under the pool's lock.
    pub(super) fn complete(self) {
        drop(self.hand.send(self.lease));
    }
}

impl Waiting {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether nothing is left behind by those who have waited.
    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.bound.is_empty() && self.any.is_empty() && self.retriers.is_empty() && self.count == 0
    }

    fn join(&mut self, wanted: &Wanted, waiter: Waiter) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.count += 1;
        match wanted {
            Wanted::Bound(server) => {
                let line = self.bound.entry(server.slot());
                let (_, line) = line.or_insert_with(|| (Arc::clone(server), Line::new()));
                line.insert(number, waiter);
            }
            Wanted::Any => drop(self.any.insert(number, waiter)),
            Wanted::AnyBut(tried) => self.retriers.push(number, tried, waiter),
        }
        number
    }

    /// Takes a waiter out. `None` when it isn't there any more.
    fn leave(&mut self, wanted: &Wanted, number: u64) -> Option<Waiter> {
        let waiter = match wanted {
            Wanted::Bound(server) => {
                let (_, line) = self.bound.get_mut(&server.slot())?;
                let waiter = line.remove(&number);
                if line.is_empty() {
                    self.bound.remove(&server.slot());
                }
                waiter
            }
            Wanted::Any => self.any.remove(&number),
            Wanted::AnyBut(_) => self.retriers.remove(number),
        }?;
        self.count -= 1;
        Some(waiter)
    }

    /// Takes out all that wait for a server. Returns how many there were: dropping them has told them.
    fn dismiss(&mut self, server: &Server) -> usize {
        let gone = self.bound.remove(&server.slot());
        let gone = gone.map_or(0, |(_, line)| line.len());
        self.count -= gone;
        gone
    }

    /// The first of those who are bound to a server.
    fn next_bound(&self, server: Slot) -> Option<Next> {
        let (server, line) = self.bound.get(&server)?;
        first(line, || Wanted::Bound(Arc::clone(server)))
    }

    /// The first of those who take any server.
    fn next_any(&self) -> Option<Next> {
        first(&self.any, || Wanted::Any)
    }

    /// The first of those who take a server because they have failed on others.
    fn next_retrier(&self, server: Slot) -> Option<Next> {
        let (number, tried, waiter) = self.retriers.first_for(server)?;
        Some(Next {
            number,
            wanted: Wanted::AnyBut(Arc::clone(tried)),
            key: waiter.key,
        })
    }

    /// Whether nobody who came before wants the same.
    fn is_first(&self, wanted: &Wanted, number: u64) -> bool {
        let first = match wanted {
            Wanted::Bound(server) => self.next_bound(server.slot()),
            Wanted::Any => self.next_any(),
            // Whoever came before has gone without what this one may use.
            Wanted::AnyBut(_) => return true,
        };
        first.is_some_and(|first| first.number == number)
    }
}

/// The first in a line.
fn first(line: &Line, wanted: impl FnOnce() -> Wanted) -> Option<Next> {
    let (number, waiter) = line.first_key_value()?;
    Some(Next {
        number: *number,
        wanted: wanted(),
        key: waiter.key,
    })
}

impl Pool {
    /// Waits for a place on `wants`, or on any server that isn't in `tried`; by `key`, as in [`Pool::acquire`], if there are
    /// several.
    ///
    /// # Errors
    ///
    /// [`QueueRefusal`] when the queue is full, the pool's queue timeout passes, or `wants` goes down.
    pub async fn wait(
        self: &Arc<Self>,
        wants: Option<&Arc<Server>>,
        key: Option<u64>,
        tried: &[Slot],
    ) -> Result<Lease, QueueRefusal> {
        let limits = self.settings().queue;
        let wanted = wanted(wants, tried);
        let (hand, handed) = oneshot::channel();
        let number = {
            let mut state = self.state.lock();
            if state.waiting.len() >= limits.size {
                return Err(QueueRefusal::Full);
            }
            let number = state.waiting.join(&wanted, Waiter { hand, key });
            self.metrics.queue_length.inc();
            // A place may have become free between the refusal and this lock. Whoever has waited has had it offered then.
            let mut handovers = Vec::new();
            if state.waiting.is_first(&wanted, number) {
                let wanted = wanted.clone();
                let next = Next {
                    number,
                    wanted,
                    key,
                };
                self.serve(&mut state, &next, &mut handovers);
            }
            drop(state);
            handovers.into_iter().for_each(Handover::complete);
            number
        };
        let _place = QueuePlace {
            pool: self,
            wanted,
            number,
        };
        match tokio::time::timeout(limits.timeout, handed).await {
            Ok(Ok(lease)) => Ok(lease),
            // Taken from the queue without a lease.
            Ok(Err(_)) => Err(QueueRefusal::Unavailable),
            Err(_) => Err(QueueRefusal::TimedOut),
        }
    }

    /// Takes from the queue whoever can be served now: on `freed`, if only there a place has become free. The caller
    /// completes the handovers after unlocking.
    pub(super) fn serve_waiters(
        self: &Arc<Self>,
        state: &mut State,
        freed: Option<Slot>,
    ) -> Vec<Handover> {
        let mut handovers = Vec::new();
        if state.waiting.is_empty() {
            return handovers;
        }
        if let Some(freed) = freed {
            self.serve_on(state, freed, &mut handovers);
            return handovers;
        }
        let members = state.members.iter().flatten().map(|server| server.slot());
        // Servers that have gone meanwhile may be waited for.
        let all: BTreeSet<Slot> = members.chain(state.waiting.bound.keys().copied()).collect();
        for server in all {
            self.serve_on(state, server, &mut handovers);
        }
        handovers
    }

    /// Hands out the places of a server, first come, first served. Where one goes without, so do those behind that want
    /// the same: it is no place for them.
    fn serve_on(self: &Arc<Self>, state: &mut State, server: Slot, handovers: &mut Vec<Handover>) {
        let (mut bound, mut any, mut retriers) = (true, true, true);
        loop {
            let waiting = &state.waiting;
            let has_place = state.has_place(server);
            let firsts = [
                bound.then(|| waiting.next_bound(server)),
                (any && has_place).then(|| waiting.next_any()),
                (retriers && has_place).then(|| waiting.next_retrier(server)),
            ];
            let firsts = firsts.into_iter().flatten().flatten();
            let Some(next) = firsts.min_by_key(|next| next.number) else {
                return;
            };
            if !self.serve(state, &next, handovers) {
                match next.wanted {
                    Wanted::Bound(_) => bound = false,
                    Wanted::Any => any = false,
                    Wanted::AnyBut(_) => retriers = false,
                }
            }
        }
    }

    /// Takes one from the queue, if there is a place.
    fn serve(
        self: &Arc<Self>,
        state: &mut State,
        next: &Next,
        handovers: &mut Vec<Handover>,
    ) -> bool {
        let Some(server) = self.place_for(state, next) else {
            return false;
        };
        let lease = Lease::new(self, server);
        // The waiter is still there, because the lock has been held since it was found.
        if let Some(Waiter { hand, .. }) = state.waiting.leave(&next.wanted, next.number) {
            self.metrics.queue_length.dec();
            handovers.push(Handover { hand, lease });
        }
        true
    }

    /// Counts one more on a server, if there is a place.
    fn place_for(&self, state: &mut State, next: &Next) -> Option<Arc<Server>> {
        let server = match &next.wanted {
            Wanted::Any => return state.pick(next.key, &[]).ok(),
            Wanted::AnyBut(tried) => return state.pick(next.key, tried).ok(),
            Wanted::Bound(server) => server,
        };
        match state.charge(server) {
            Ok(()) => Some(Arc::clone(server)),
            Err(BoundRefusal::Full) => None,
            Err(BoundRefusal::Unavailable) => {
                // A server that takes no more work is not waited for any longer.
                let gone = state.waiting.dismiss(server);
                let gone = i64::try_from(gone).unwrap_or(i64::MAX);
                self.metrics.queue_length.sub(gone);
                None
            }
        }
    }
}

impl State {
    /// Whether a server takes new work and isn't at its limit.
    fn has_place(&self, slot: Slot) -> bool {
        let server = member(&self.members, slot).filter(|server| server.slot() == slot);
        server.is_some_and(|server| {
            let limit = server.limit();
            Tier::of(server.admission(), server.is_backup()).is_some()
                && (limit == 0 || self.selector.active(slot) < limit)
        })
    }
}

fn wanted(server: Option<&Arc<Server>>, tried: &[Slot]) -> Wanted {
    if let Some(server) = server {
        return Wanted::Bound(Arc::clone(server));
    }
    if tried.is_empty() {
        return Wanted::Any;
    }
    Wanted::AnyBut(tried.into())
}

/// Leaves the queue when the wait ends, also when it is cancelled.
struct QueuePlace<'a> {
    pool: &'a Pool,
    wanted: Wanted,
    number: u64,
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        let left = self
            .pool
            .state
            .lock()
            .waiting
            .leave(&self.wanted, self.number);
        if left.is_some() {
            self.pool.metrics.queue_length.dec();
        }
    }
}
