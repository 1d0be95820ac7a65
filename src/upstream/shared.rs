//! Connections to a server that carry several requests at once, as many as the server allows.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::connections::Connections;
use crate::descriptors::idle::Rest;

/// What carries the requests of a shared connection, by whatever protocol.
pub trait Carrier: Any + Send + Sync {
    /// How many requests it may carry at once; `None`: it takes no more.
    fn most_requests(&self) -> Option<usize>;

    /// It ends with the last request that is under way.
    fn close(&self);
}

/// A connection that requests share. When it is needed no more, it ends.
pub struct Shared {
    id: u64,
    carrier: Box<dyn Carrier>,
    moves: u64,
    in_flight: AtomicUsize,
    idle: Duration,
    rest: Mutex<Option<(Instant, Option<Rest>)>>,
}

/// How many connections there have been.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

impl Shared {
    /// A new connection. `moves`: how often the server's address has changed; `idle`: how long it may be without a request.
    pub fn new(carrier: Box<dyn Carrier>, moves: u64, idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            id: CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1,
            carrier,
            moves,
            in_flight: AtomicUsize::new(0),
            idle,
            rest: Mutex::default(),
        })
    }

    /// A place for one more request, if the server allows one.
    pub fn enter(self: &Arc<Self>) -> Option<InFlight> {
        let most = self.carrier.most_requests()?;
        let taken = self
            .in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < most).then_some(count + 1)
            });
        taken.ok()?;
        self.rest.lock().take();
        Some(InFlight {
            shared: Arc::clone(self),
        })
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    /// Whether it has ended, or has been idle for too long.
    pub fn is_over(&self, now: Instant) -> bool {
        let idle_since = self.rest.lock().as_ref().map(|(since, _)| *since);
        self.carrier.most_requests().is_none()
            || (self.is_idle()
                && idle_since
                    .is_some_and(|since| now.saturating_duration_since(since) >= self.idle))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.carrier.close();
    }
}

/// A request that is under way on a shared connection, for as long as this is there.
pub struct InFlight {
    shared: Arc<Shared>,
}

impl InFlight {
    /// What carries it, if that is of this kind.
    pub fn carrier<T: Carrier>(&self) -> Option<&T> {
        let carrier: &dyn Any = &*self.shared.carrier;
        carrier.downcast_ref()
    }

    /// Which connection this is, of all that there have been. None has the number 0.
    pub fn connection(&self) -> u64 {
        self.shared.id
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let shared = &self.shared;
        if shared.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            *shared.rest.lock() = Some((Instant::now(), Rest::begin()));
        }
    }
}

/// A place on one of a server's connections, if there is one. `moves`: how often the server's address has changed; `but`: the
/// connection that this request is to be tried again away from, if it isn't 0. Others come to that one last from now on.
pub fn enter(connections: &Connections, moves: u64, but: u64) -> Option<InFlight> {
    let mut shared = connections.shared().lock();
    shared.retain(|shared| shared.moves == moves && shared.carrier.most_requests().is_some());
    put_last(&mut shared, but);
    let mut others = shared.iter().filter(|shared| shared.id != but);
    others.find_map(Shared::enter)
}

fn put_last(all: &mut Vec<Arc<Shared>>, which: u64) {
    if which != 0
        && let Some(place) = all.iter().position(|shared| shared.id == which)
    {
        let last = all.remove(place);
        all.push(last);
    }
}

/// Shares a new connection, whose first place is the caller's. `but`: as for [`enter`].
pub fn share(
    connections: &Connections,
    shared: &Arc<Shared>,
    keeps: bool,
    but: u64,
) -> Option<InFlight> {
    let place = shared.enter();
    if keeps {
        let mut all = connections.shared().lock();
        all.push(Arc::clone(shared));
        put_last(&mut all, but);
    }
    place
}
