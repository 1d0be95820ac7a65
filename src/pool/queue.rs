//! Waiting for a place when every server (or the one a session is bound to) is at its limit.
//!
//! First come, first served, bounded in number and time. A freed place is handed to the first waiter that can use it
//! within the step that freed it, so that nobody overtakes.
//!
//! Waiters that want the same stand in one line, in the order in which they came: those bound to one server, those who
//! take any, those who take any but the ones that they have tried. Only the head of a line can be next, so that what a
//! release costs doesn't grow with the number of waiters; leaving a line costs its logarithm.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{BoundRefusal, Lease, Pool, Server, State};
use crate::balance::Slot;

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
    /// Any but those, which are in order and none twice.
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

/// All who wait. No line is empty.
#[derive(Default)]
pub(super) struct Waiting {
    bound: HashMap<Slot, (Arc<Server>, Line)>,
    any: HashMap<Arc<[Slot]>, Line>,
    count: usize,
    next_number: u64,
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
        self.bound.is_empty() && self.any.is_empty() && self.count == 0
    }

    fn join(&mut self, wanted: &Wanted, waiter: Waiter) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let line = match wanted {
            Wanted::Bound(server) => {
                let line = self.bound.entry(server.slot());
                &mut line.or_insert_with(|| (Arc::clone(server), Line::new())).1
            }
            Wanted::AnyBut(tried) => self.any.entry(Arc::clone(tried)).or_default(),
        };
        line.insert(number, waiter);
        self.count += 1;
        number
    }

    /// Takes a waiter out. `None` when it isn't there any more.
    fn leave(&mut self, wanted: &Wanted, number: u64) -> Option<Waiter> {
        let line = self.line_mut(wanted)?;
        let waiter = line.remove(&number)?;
        if line.is_empty() {
            match wanted {
                Wanted::Bound(server) => drop(self.bound.remove(&server.slot())),
                Wanted::AnyBut(tried) => drop(self.any.remove(tried)),
            }
        }
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

    /// The first in a line.
    fn head(&mut self, wanted: &Wanted) -> Option<u64> {
        let line = self.line_mut(wanted)?;
        line.first_key_value().map(|(number, _)| *number)
    }

    /// What the first in a line goes by.
    fn key_of_head(&mut self, wanted: &Wanted) -> Option<u64> {
        let line = self.line_mut(wanted)?;
        line.first_key_value().and_then(|(_, waiter)| waiter.key)
    }

    /// The heads of the lines that a place on `freed` may be for, or else of all lines.
    fn heads(&self, freed: Option<Slot>) -> BTreeMap<u64, Wanted> {
        let first = |line: &Line| line.first_key_value().map(|(number, _)| *number);
        let bound = |(server, line): &(Arc<Server>, Line)| {
            first(line).map(|number| (number, Wanted::Bound(Arc::clone(server))))
        };
        let mut heads: BTreeMap<u64, Wanted> = match freed {
            Some(freed) => self.bound.get(&freed).and_then(bound).into_iter().collect(),
            None => self.bound.values().filter_map(bound).collect(),
        };
        for (tried, line) in &self.any {
            if let Some(number) = first(line)
                && freed.is_none_or(|freed| !tried.contains(&freed))
            {
                heads.insert(number, Wanted::AnyBut(Arc::clone(tried)));
            }
        }
        heads
    }

    fn line_mut(&mut self, wanted: &Wanted) -> Option<&mut Line> {
        match wanted {
            Wanted::Bound(server) => self.bound.get_mut(&server.slot()).map(|(_, line)| line),
            Wanted::AnyBut(tried) => self.any.get_mut(tried),
        }
    }
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
            let is_first = state.waiting.head(&wanted) == Some(number);
            let own = is_first.then(|| (number, wanted.clone()));
            let handovers = self.serve_heads(&mut state, own.into_iter().collect());
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
        if state.waiting.is_empty() {
            return Vec::new();
        }
        let heads = state.waiting.heads(freed);
        self.serve_heads(state, heads)
    }

    /// As [`Self::serve_waiters`], of the lines with these heads: whoever goes without a place goes without one until another
    /// becomes free, and so do those behind.
    fn serve_heads(
        self: &Arc<Self>,
        state: &mut State,
        mut heads: BTreeMap<u64, Wanted>,
    ) -> Vec<Handover> {
        let mut handovers = Vec::new();
        while let Some((number, wanted)) = heads.pop_first() {
            let Some(server) = self.place_for(state, &wanted) else {
                continue;
            };
            let lease = Lease::new(self, server);
            // The waiter is still there, because the lock has been held since it was found at the head of its line.
            if let Some(waiter) = state.waiting.leave(&wanted, number) {
                self.metrics.queue_length.dec();
                let hand = waiter.hand;
                handovers.push(Handover { hand, lease });
            }
            if let Some(next) = state.waiting.head(&wanted) {
                heads.insert(next, wanted);
            }
        }
        handovers
    }

    /// Counts one more on a server, if there is a place for the head of a line.
    fn place_for(&self, state: &mut State, wanted: &Wanted) -> Option<Arc<Server>> {
        let server = match wanted {
            Wanted::AnyBut(tried) => {
                let key = state.waiting.key_of_head(wanted);
                return state.pick(key, tried).ok();
            }
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

fn wanted(server: Option<&Arc<Server>>, tried: &[Slot]) -> Wanted {
    if let Some(server) = server {
        return Wanted::Bound(Arc::clone(server));
    }
    let mut tried = tried.to_vec();
    tried.sort_unstable();
    tried.dedup();
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
