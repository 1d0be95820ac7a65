//! Pools of servers: identity and state, the lease that counts, the gate, slow start, the queue.
//!
//! One [`Pool`] lives as long as its name stays in the configuration; a reload changes it in place
//! ([`Pool::reconcile`]), so that counts, turns, health and slow start carry over by themselves. All
//! that a pick depends on is behind one lock, held for well under a microsecond: pick and count are
//! one step, and the last free place of a server goes to one request only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::balance::{Sample, Selector, Slot};
use crate::config::model;
use crate::observe::metrics::{Metrics, PoolMetrics};

mod addresses;
mod changes;
pub mod gate;
mod inherit;
mod lease;
mod open;
mod outliers;
mod queue;
mod reconcile;
mod refusals;
mod retry_budget;
pub mod server;
pub mod slow_start;
pub mod tier;
mod told;

pub use addresses::{Address, Addresses, Endpoint};
pub use gate::{Admission, Checked, Operator, Resolution};
pub use inherit::PoolState;
pub use lease::{BoundRefusal, Lease, Others, Refusal};
pub use open::{OpenConnection, OpenConnections};
pub use outliers::Outcome;
pub use queue::QueueRefusal;
pub use refusals::Refusals;
pub use retry_budget::RetryBudget;
pub use server::{CheckResult, LastCheck, Server};
pub use told::Told;

/// A set of servers that do the same work, and who of them takes the next request.
pub struct Pool {
    name: Arc<str>,
    settings: ArcSwap<model::Pool>,
    servers: ArcSwap<Vec<Arc<Server>>>,
    state: Mutex<State>,
    /// Whether [`Pool::advance_slow_start`] has anything to do.
    ramping: AtomicBool,
    /// Whether picks depend on how fast servers answer.
    heeds_latency: AtomicBool,
    /// Whether what becomes of requests is watched.
    watches_traffic: AtomicBool,
    /// What the selector's times count from.
    made: Instant,
    retry_budget: RetryBudget,
    told: Told,
    metrics: PoolMetrics,
    registry: Arc<Metrics>,
}

/// What a pick depends on.
struct State {
    selector: Selector,
    census: tier::Census,
    /// The class that is eligible in the selector.
    open: Option<tier::Tier>,
    /// Servers by [`Slot::index`].
    members: Vec<Option<Arc<Server>>>,
    ramps: slow_start::Ramps,
    waiting: queue::Waiting,
}

impl Pool {
    /// A pool as configured, with nothing known of its servers yet.
    pub fn new(model: &model::Pool, metrics: &Arc<Metrics>) -> Arc<Self> {
        let now = Instant::now();
        let pool = Arc::new(Self {
            name: Arc::clone(&model.name),
            settings: ArcSwap::from_pointee(model.clone()),
            servers: ArcSwap::default(),
            state: Mutex::new(State {
                selector: Selector::new(model.algorithm, rand::random()),
                census: tier::Census::default(),
                open: None,
                members: Vec::new(),
                ramps: slow_start::Ramps::default(),
                waiting: queue::Waiting::default(),
            }),
            ramping: AtomicBool::new(false),
            heeds_latency: AtomicBool::new(false),
            watches_traffic: AtomicBool::new(false),
            made: now,
            retry_budget: RetryBudget::new(now),
            told: Told::default(),
            metrics: metrics.pool(&model.name),
            registry: Arc::clone(metrics),
        });
        pool.reconcile(model);
        pool
    }

    /// The pool's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The settings in force.
    pub fn settings(&self) -> arc_swap::Guard<Arc<model::Pool>> {
        self.settings.load()
    }

    /// The servers in the order of the configuration.
    pub fn servers(&self) -> Arc<Vec<Arc<Server>>> {
        self.servers.load_full()
    }

    /// The handles of its metrics.
    pub fn metrics(&self) -> &PoolMetrics {
        &self.metrics
    }

    /// How many of its requests may be sent again.
    pub fn retry_budget(&self) -> &RetryBudget {
        &self.retry_budget
    }

    /// Notes how long a server took to answer, or to fail, where picks depend on it.
    pub fn note_latency(&self, server: &Server, sample: Sample) {
        if self.heeds_latency.load(Ordering::Relaxed) {
            let now = self.made.elapsed();
            let mut state = self.state.lock();
            state.selector.observe(server.slot(), sample, now);
        }
    }

    /// Whether the checks, if there are any, have said of each server what it is.
    pub fn knows_its_servers(&self) -> bool {
        let servers = self.servers.load();
        let mut gates = servers.iter().map(|server| server.gate());
        gates.all(|gate| gate.checked() != Checked::Unknown)
    }

    /// Requests active on a server.
    pub fn active(&self, server: &Server) -> u32 {
        self.state.lock().selector.active(server.slot())
    }

    /// Servers that take new work now.
    pub fn available(&self) -> usize {
        self.state.lock().census.available()
    }

    /// Requests that wait for a place.
    pub fn queue_length(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Lets the weights of servers in slow start grow to what they are at `now`. To be called every
    /// fraction of a second; costs one load when no server is in slow start.
    pub fn advance_slow_start(&self, now: Instant) {
        if !self.ramping.load(Ordering::Relaxed) {
            return;
        }
        let whole = self.settings.load().slow_start;
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (selector, members) = (&mut state.selector, &state.members);
        state.ramps.advance(now, whole, |slot, percent| {
            if let Some(server) = member(members, slot) {
                server.set_effective_percent(percent);
                selector.set_weight(slot, server.weight() * percent);
            }
        });
        self.ramping
            .store(!state.ramps.is_empty(), Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn member(members: &[Option<Arc<Server>>], slot: Slot) -> Option<&Arc<Server>> {
    members.get(slot.index()).and_then(Option::as_ref)
}

#[cfg(test)]
mod tests;
