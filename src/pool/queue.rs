//! Waiting for a place when every server (or the one a session is bound to) is at its limit.
//!
//! First come, first served, bounded in number and time. A freed place is handed to the first waiter
//! that can use it within the step that freed it, so that nobody overtakes.

use std::sync::Arc;

use parking_lot::MutexGuard;
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

/// One that waits.
pub(super) struct Waiter {
    number: u64,
    /// The server a session is bound to; `None` takes any.
    wants: Option<Arc<Server>>,
    tried: Vec<Slot>,
    hand: oneshot::Sender<Lease>,
}

impl Waiter {
    /// Hands the lease over; if the waiter has gone, it is given back by being dropped.
    pub(super) fn hand(self, lease: Lease) {
        drop(self.hand.send(lease));
    }
}

impl Pool {
    /// Waits for a place on `wants`, or on any server that isn't in `tried`.
    ///
    /// # Errors
    ///
    /// [`QueueRefusal`] when the queue is full, the pool's queue timeout passes, or `wants` goes down.
    pub async fn wait(
        self: &Arc<Self>,
        wants: Option<&Arc<Server>>,
        tried: &[Slot],
    ) -> Result<Lease, QueueRefusal> {
        let limits = self.settings().queue;
        let (hand, handed) = oneshot::channel();
        let number = {
            let mut state = self.state.lock();
            if state.waiting.len() >= limits.size {
                return Err(QueueRefusal::Full);
            }
            let number = state.next_waiter;
            state.next_waiter += 1;
            state.waiting.push_back(Waiter {
                number,
                wants: wants.cloned(),
                tried: tried.to_vec(),
                hand,
            });
            self.metrics.queue_length.inc();
            // A place may have become free between the refusal and this lock.
            let handed = self.serve_waiters(&mut state);
            drop(state);
            for (waiter, lease) in handed {
                waiter.hand(lease);
            }
            number
        };
        let _place = QueuePlace { pool: self, number };
        match tokio::time::timeout(limits.timeout, handed).await {
            Ok(Ok(lease)) => Ok(lease),
            // Taken from the queue without a lease.
            Ok(Err(_)) => Err(QueueRefusal::Unavailable),
            Err(_) => Err(QueueRefusal::TimedOut),
        }
    }

    /// Takes from the queue whoever can be served now. The caller hands over after unlocking.
    pub(super) fn serve_waiters(
        self: &Arc<Self>,
        state: &mut MutexGuard<'_, State>,
    ) -> Vec<(Waiter, Lease)> {
        let mut served = Vec::new();
        let mut at = 0;
        // Once one that takes any server has gone without, so will all the others.
        let mut all_full = false;
        while let Some(next) = state.waiting.get(at) {
            let (bound_to, tried) = (next.wants.clone(), next.tried.clone());
            let server = match bound_to {
                Some(server) => match state.charge(&server) {
                    Ok(()) => Some(server),
                    Err(BoundRefusal::Full) => None,
                    Err(BoundRefusal::Unavailable) => {
                        // Nothing to wait for any more: dropping it tells.
                        if state.waiting.remove(at).is_some() {
                            self.metrics.queue_length.dec();
                        }
                        continue;
                    }
                },
                None if all_full => None,
                None => {
                    let server = state.pick(&tried).ok();
                    all_full = server.is_none() && tried.is_empty();
                    server
                }
            };
            match server {
                Some(server) => {
                    if let Some(waiter) = state.waiting.remove(at) {
                        self.metrics.queue_length.dec();
                        served.push((waiter, Lease::new(self, server)));
                    }
                }
                None => at += 1,
            }
        }
        served
    }
}

/// Leaves the queue when the wait ends, also when it is cancelled.
struct QueuePlace<'a> {
    pool: &'a Pool,
    number: u64,
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        let before = state.waiting.len();
        state.waiting.retain(|waiter| waiter.number != self.number);
        if state.waiting.len() < before {
            self.pool.metrics.queue_length.dec();
        }
    }
}
