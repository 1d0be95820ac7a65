//! One server of a pool: who it is, where it is, how it does.
//!
//! A [`Server`] lives as long as its name and address stay in the configuration, over any number of
//! reloads, and then as long as a lease on it is out. Its counters are plain atomics; what decides
//! about new work is in the pool's one lock, not here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::addresses::{Address, Addresses, Endpoint};
use super::gate::{Admission, Gate, Resolution};
use super::open::OpenConnections;
use super::outliers::Traffic;
use super::refusals::Refusals;
use crate::balance::Slot;
use crate::config::model::{PoolServer, ServerAddress};
use crate::observe::ServerState;
use crate::observe::metrics::ServerMetrics;

/// A server of a pool.
pub struct Server {
    name: Arc<str>,
    configured: ServerAddress,
    slot: Slot,
    weight: AtomicU32,
    effective_percent: AtomicU32,
    limit: AtomicU32,
    backup: AtomicBool,
    addresses: ArcSwapOption<Addresses>,
    connect_failure: Notify,
    refusals: Refusals,
    gate: Mutex<Gate>,
    /// Which work it may be given, by gate and weight, as [`Admission`]'s discriminant. It is read for each request of a
    /// session.
    admission: AtomicU8,
    /// Whether it starts slowly when it becomes available: it was closed, or added to a running pool.
    cold: AtomicBool,
    last_check: Mutex<Option<LastCheck>>,
    traffic: Traffic,
    /// Connections to it that are kept alive, in use or idle.
    kept: AtomicUsize,
    connections: OpenConnections,
    requests: AtomicU64,
    latency_us: AtomicU64,
    metrics: ServerMetrics,
}

/// The last active check that ended.
#[derive(Debug, Clone)]
pub struct LastCheck {
    /// How it ended.
    pub result: CheckResult,
    /// What it saw, in words.
    pub reason: String,
    /// When it ended.
    pub at: SystemTime,
    /// How long it took.
    pub duration: Duration,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// It passed.
    Success,
    /// The server did not do as is wanted.
    Failure,
    /// It could not be made, for want of something of ours.
    NotMade,
}

impl CheckResult {
    /// Whether it passed; `None` if it says nothing about the server.
    pub fn verdict(self) -> Option<bool> {
        match self {
            Self::Success => Some(true),
            Self::Failure => Some(false),
            Self::NotMade => None,
        }
    }
}

impl Server {
    pub(super) fn new(model: &PoolServer, slot: Slot, gate: Gate, metrics: ServerMetrics) -> Self {
        let endpoint = match &model.address {
            ServerAddress::Socket(address) => Some(Endpoint::Inet(*address)),
            ServerAddress::Unix(path) => Some(Endpoint::Unix(Arc::from(path.as_path()))),
            ServerAddress::Name(..) => None,
        };
        let server = Self {
            name: Arc::clone(&model.name),
            configured: model.address.clone(),
            slot,
            weight: AtomicU32::new(u32::from(model.weight)),
            effective_percent: AtomicU32::new(100),
            limit: AtomicU32::new(model.max_connections),
            backup: AtomicBool::new(model.backup),
            addresses: ArcSwapOption::from_pointee(endpoint.map(Addresses::one)),
            connect_failure: Notify::new(),
            refusals: Refusals::default(),
            gate: Mutex::new(gate),
            admission: AtomicU8::new(Admission::Closed as u8),
            cold: AtomicBool::new(false),
            last_check: Mutex::new(None),
            traffic: Traffic::default(),
            kept: AtomicUsize::new(0),
            connections: OpenConnections::default(),
            requests: AtomicU64::new(0),
            latency_us: AtomicU64::new(0),
            metrics,
        };
        server.refresh_admission();
        server
    }

    /// What resolution starts from: an address needs none.
    pub(super) fn initial_resolution(address: &ServerAddress) -> Resolution {
        match address {
            ServerAddress::Name(..) => Resolution::Unresolved,
            ServerAddress::Socket(_) | ServerAddress::Unix(_) => Resolution::Resolved,
        }
    }

    /// The server's name, unique in its pool.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The address as configured.
    pub fn configured_address(&self) -> &ServerAddress {
        &self.configured
    }

    /// Its addresses; `None` while its name does not resolve.
    pub fn addresses(&self) -> Option<Arc<Addresses>> {
        self.addresses.load_full()
    }

    /// The address in use.
    pub fn address(&self) -> Option<Arc<Address>> {
        let addresses = self.addresses.load();
        addresses.as_ref().map(|all| Arc::clone(all.used()))
    }

    /// Sets what its name resolves to, in the resolver's order. An empty list changes nothing.
    pub(super) fn resolve_to(&self, found: &[SocketAddr]) {
        self.addresses.rcu(|now| {
            let next = Addresses::found(found, now.as_deref());
            next.map(Arc::new).or_else(|| now.clone())
        });
    }

    /// Notes that it was reached at this one of its addresses, so that the next connection is tried there first.
    pub fn use_address(&self, address: &Address) {
        let is_used = |all: &Addresses| **all.used() == *address;
        if self.addresses.load().as_deref().is_none_or(is_used) {
            return;
        }
        self.addresses.rcu(|now| {
            let next = now.as_ref().and_then(|now| now.using(address));
            next.map(Arc::new).or_else(|| now.clone())
        });
    }

    /// Notes that it could not be connected to at any of its addresses.
    pub fn note_connect_failure(&self) {
        self.connect_failure.notify_one();
    }

    /// Waits for [`Self::note_connect_failure`], for whoever knows where to look for other addresses.
    pub async fn connect_failure(&self) {
        self.connect_failure.notified().await;
    }

    /// Whether its answers are refused here.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Its place in the pool's selector.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The weight in force, before slow start.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
        self.refresh_admission();
    }

    /// How much of its weight slow start allows, 10–100 percent.
    pub fn effective_percent(&self) -> u32 {
        self.effective_percent.load(Ordering::Relaxed)
    }

    pub(super) fn set_effective_percent(&self, percent: u32) {
        self.effective_percent.store(percent, Ordering::Relaxed);
    }

    /// Makes it start slowly when it next becomes available.
    pub(super) fn set_cold(&self) {
        self.cold.store(true, Ordering::Relaxed);
    }

    /// Whether it is to start slowly, now that it has become available. True once only.
    pub(super) fn take_cold(&self) -> bool {
        self.cold.swap(false, Ordering::Relaxed)
    }

    /// Whether it is to start slowly when it next becomes available.
    pub(super) fn is_cold(&self) -> bool {
        self.cold.load(Ordering::Relaxed)
    }

    /// Goes on with what another process counted.
    pub(super) fn inherit(&self, requests: u64, latency_us: u64, check: Option<LastCheck>) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.latency_us.store(latency_us, Ordering::Relaxed);
        *self.last_check.lock() = check;
    }

    /// Requests at once, `0` = no limit.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Used only when no other server is available.
    pub fn is_backup(&self) -> bool {
        self.backup.load(Ordering::Relaxed)
    }

    pub(super) fn set_backup(&self, backup: bool) {
        self.backup.store(backup, Ordering::Relaxed);
    }

    /// A copy of the gate, for whoever shows it.
    pub fn gate(&self) -> Gate {
        self.gate.lock().clone()
    }

    /// The state in one word, as metrics and the API name it.
    pub fn state(&self) -> ServerState {
        match self.gate.lock().state() {
            ServerState::Up | ServerState::Unknown if self.weight() == 0 => ServerState::Drain,
            other => other,
        }
    }

    /// Why the state is what it is, in words.
    pub fn reason(&self) -> String {
        let gate = self.gate.lock();
        match gate.state() {
            ServerState::Up | ServerState::Unknown if self.weight() == 0 => {
                "its weight is 0".to_owned()
            }
            _ => gate.reason().to_owned(),
        }
    }

    /// Which work the server may be given: what its gate lets through, less new sessions when its
    /// weight is 0.
    pub fn admission(&self) -> Admission {
        const ALL: [Admission; 4] = [
            Admission::Up,
            Admission::Unknown,
            Admission::BoundOnly,
            Admission::Closed,
        ];
        let now = self.admission.load(Ordering::Relaxed);
        ALL.into_iter()
            .find(|admission| *admission as u8 == now)
            .unwrap_or(Admission::Closed)
    }

    /// Runs `write` on the gate. Returns what it returned.
    pub(super) fn change_gate(&self, write: impl FnOnce(&mut Gate) -> bool) -> bool {
        let changed = write(&mut self.gate.lock());
        self.refresh_admission();
        changed
    }

    fn refresh_admission(&self) {
        let admission = match self.gate.lock().admission() {
            Admission::Up | Admission::Unknown if self.weight() == 0 => Admission::BoundOnly,
            other => other,
        };
        self.admission.store(admission as u8, Ordering::Relaxed);
    }

    /// The last active check that ended.
    pub fn last_check(&self) -> Option<LastCheck> {
        self.last_check.lock().clone()
    }

    pub(super) fn set_last_check(&self, check: LastCheck) {
        *self.last_check.lock() = Some(check);
    }

    /// The connections to it that are open, those of checks apart.
    pub fn connections(&self) -> &OpenConnections {
        &self.connections
    }

    /// What its traffic tells of it.
    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Takes a place among its connections that are kept, of which there are `limit`. Returns whether there
    /// was one.
    pub fn keep_connection(&self, limit: usize) -> bool {
        self.kept
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| {
                (kept < limit).then_some(kept + 1)
            })
            .is_ok()
    }

    /// Gives such a place back.
    pub fn drop_connection(&self) {
        self.kept.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes one request that ended on this server: whether it failed for the server's part, and how
    /// long the first byte of the answer took, if one came.
    pub fn note_request(&self, failed: bool, first_byte: Option<Duration>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.metrics.errors.inc();
        }
        if let Some(first_byte) = first_byte {
            let sample = u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX / 16);
            let mean = self.latency_us.load(Ordering::Relaxed);
            // An exponentially weighted mean with 1/8 for the newest. A lost update under contention
            // loses one sample of a display value.
            let next = if mean == 0 {
                sample
            } else {
                mean - mean / 8 + sample / 8
            };
            self.latency_us.store(next, Ordering::Relaxed);
        }
    }

    /// Requests that ended here since the start.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests that failed for the server's part since the start.
    pub fn errors(&self) -> u64 {
        self.metrics.errors.get()
    }

    /// A moving mean of the time to the first byte of an answer.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }

    /// The handles of its metrics.
    pub fn metrics(&self) -> &ServerMetrics {
        &self.metrics
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("address", &self.configured)
            .finish_non_exhaustive()
    }
}
