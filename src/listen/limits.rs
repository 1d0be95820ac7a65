//! How many connections may be held: in the process, at a listener, by one client.
//!
//! At the limit of the process or a listener new connections wait in the kernel's backlog, and the established ones
//! never notice. Only who has a connection at hand asks for room, so that none is set aside for nobody; those who ask
//! get it in their order, whatever their listener. A client that holds too many is accepted and turned away in the words
//! of the protocol.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntGauge;

use super::capacity::{Capacity, CapacityPlace};
use super::rates::Rates;
use crate::config::model;
use crate::observe::metrics::ListenerMetrics;
use crate::observe::{DelayReason, RejectReason};
use crate::workers::WorkerPlace;

/// How soon it is told again that a listener is full.
const AGAIN: Duration = Duration::from_secs(60);

/// The limits that new connections of one listener are held to.
pub struct Limits {
    process: Arc<Capacity>,
    listener: Arc<Capacity>,
    /// Connections by client. Only kept when there is a limit.
    clients: Mutex<HashMap<IpAddr, usize>>,
    rates: Rates,
    metrics: ListenerMetrics,
    name: Arc<str>,
    /// When it was last told that there is no room.
    told: Mutex<Option<Instant>>,
}

/// What one client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientLimits {
    /// Connections at once; `0` = no limit.
    pub connections: usize,
    /// New connections a second; `0` = no limit.
    pub rate: u32,
}

impl ClientLimits {
    /// Those of a listener as configured.
    pub fn new(listener: &model::Listener) -> Self {
        Self {
            connections: listener.max_connections_per_client,
            rate: listener.connection_rate_per_client,
        }
    }
}

/// Shows that connections wait, until it is dropped.
pub struct Delayed(IntGauge);

impl Drop for Delayed {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Room for one connection that isn't accepted yet.
pub struct Room {
    _process: CapacityPlace,
    _listener: CapacityPlace,
}

/// One admitted connection; it counts until this is dropped.
pub struct Admitted {
    _room: Room,
    _place: WorkerPlace,
    limits: Arc<Limits>,
    counted: Option<IpAddr>,
}

impl Limits {
    /// `listener` is the own limit of the listener called `name`, `0` for none.
    pub fn new(
        process: Arc<Capacity>,
        name: &Arc<str>,
        listener: usize,
        metrics: ListenerMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            process,
            listener: Capacity::new((listener > 0).then_some(listener)),
            clients: Mutex::default(),
            rates: Rates::new(Instant::now()),
            metrics,
            name: Arc::clone(name),
            told: Mutex::default(),
        })
    }

    /// Changes the listener's own limit, `0` for none. Who is connected stays.
    pub fn resize(&self, listener: usize) {
        self.listener.resize((listener > 0).then_some(listener));
    }

    /// Waits for room for a connection that is there. `None` when the limits are being taken down.
    pub async fn room(&self) -> Option<Room> {
        let listener = self.take(&self.listener, DelayReason::ListenerLimit);
        let listener = listener.await?;
        Some(Room {
            _process: self.take(&self.process, DelayReason::ProcessLimit).await?,
            _listener: listener,
        })
    }

    async fn take(&self, limit: &Arc<Capacity>, reason: DelayReason) -> Option<CapacityPlace> {
        if let Some(place) = limit.take_now() {
            return Some(place);
        }
        let _delayed = self.delay(reason);
        limit.take().await
    }

    /// Room for a connection, if there is some now.
    pub fn room_now(&self) -> Option<Room> {
        let listener = self.listener.take_now()?;
        Some(Room {
            _process: self.process.take_now()?,
            _listener: listener,
        })
    }

    /// Notes that a connection has to wait from now on until what is returned is dropped.
    pub fn delay(&self, reason: DelayReason) -> Delayed {
        self.metrics.delayed.inc(reason);
        self.metrics.full.inc();
        // What is missing then, the log says elsewhere.
        if reason != DelayReason::ProxyResources {
            self.tell(reason, Instant::now());
        }
        Delayed(self.metrics.full.clone())
    }

    fn tell(&self, reason: DelayReason, now: Instant) {
        let mut told = self.told.lock();
        if told.is_some_and(|told| now.saturating_duration_since(told) < AGAIN) {
            return;
        }
        *told = Some(now);
        let limit = match reason {
            DelayReason::ListenerLimit => "max_connections of the listener",
            _ => "server.max_connections",
        };
        tracing::warn!(
            listener = &*self.name,
            "as many connections are held as {limit} allows: new ones wait in the backlog"
        );
    }

    /// Counts a connection that is closed without being served.
    pub fn reject(&self, reason: RejectReason) {
        self.metrics.rejected.inc(reason);
    }

    /// Counts an accepted connection, which has that place on a worker.
    pub fn admit(self: &Arc<Self>, room: Room, place: WorkerPlace) -> Admitted {
        self.metrics.connections_total.inc();
        self.metrics.connections_active.inc();
        Admitted {
            _room: room,
            _place: place,
            limits: Arc::clone(self),
            counted: None,
        }
    }
}

impl Admitted {
    /// Counts the connection for its client, unless that has made too many of late or holds too many.
    ///
    /// # Errors
    ///
    /// Why it may not come; that has been counted.
    pub fn of_client(
        &mut self,
        client: IpAddr,
        limits: ClientLimits,
        now: Instant,
    ) -> Result<(), RejectReason> {
        let reason = if !self.limits.rates.take(client, limits.rate, now) {
            RejectReason::ClientRate
        } else if !self.count_client(client, limits.connections) {
            RejectReason::ClientLimit
        } else {
            return Ok(());
        };
        self.limits.reject(reason);
        Err(reason)
    }

    /// Counts the connection for its client. Returns false, and doesn't count, if the client holds
    /// `limit` already. `0` = no limit.
    fn count_client(&mut self, client: IpAddr, limit: usize) -> bool {
        if limit == 0 {
            return true;
        }
        let mut clients = self.limits.clients.lock();
        let held = clients.entry(client).or_insert(0);
        if *held >= limit {
            return false;
        }
        *held += 1;
        self.counted = Some(client);
        true
    }

    /// The metrics of its listener.
    pub fn metrics(&self) -> &ListenerMetrics {
        &self.limits.metrics
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.limits.metrics.connections_active.dec();
        let Some(client) = self.counted else { return };
        let mut clients = self.limits.clients.lock();
        if let Some(held) = clients.get_mut(&client) {
            *held -= 1;
            if *held == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::observe::metrics::Metrics;
    use crate::workers::Workers;

    fn limits(process: usize, listener: usize) -> Arc<Limits> {
        let metrics = Metrics::new(SystemTime::UNIX_EPOCH).listener("web");
        let process = Capacity::new(Some(process));
        Limits::new(process, &Arc::from("web"), listener, metrics)
    }

    async fn admit(limits: &Arc<Limits>) -> Admitted {
        let place = Workers::start(1).unwrap().for_socket().place();
        limits.admit(limits.room().await.unwrap(), place)
    }

    #[tokio::test]
    async fn the_listener_limit_leaves_the_rest_in_the_backlog() {
        let limits = limits(10, 2);
        let first = admit(&limits).await;
        let _second = admit(&limits).await;
        assert!(futures_now(limits.room()).await.is_none());
        drop(first);
        assert!(futures_now(limits.room()).await.is_some());
    }

    /// However many listeners there are, and whoever of them has waited before: none keeps room that it doesn't use.
    #[tokio::test]
    async fn a_limit_of_one_is_shared_by_all_listeners() {
        let metrics = Metrics::new(SystemTime::UNIX_EPOCH);
        let process = Capacity::new(Some(1));
        let listeners: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let process = Arc::clone(&process);
                Limits::new(process, &Arc::from(name), 1, metrics.listener(name))
            })
            .collect();
        for limits in listeners.iter().cycle().take(9) {
            let admitted = admit(limits).await;
            assert!(listeners.iter().all(|other| other.room_now().is_none()));
            drop(admitted);
        }
    }

    #[tokio::test]
    async fn who_has_waited_longest_is_next() {
        let limits = limits(1, 0);
        let held = admit(&limits).await;
        let (first, second) = (limits.room(), limits.room());
        tokio::pin!(first, second);
        assert!(futures_now(first.as_mut()).await.is_none());
        assert!(futures_now(second.as_mut()).await.is_none());
        assert_eq!(limits.metrics.full.get(), 2);
        drop(held);
        assert!(futures_now(second.as_mut()).await.is_none());
        let room = futures_now(first.as_mut()).await.unwrap();
        assert_eq!(limits.metrics.full.get(), 1);
        assert_eq!(limits.metrics.delayed.value(DelayReason::ProcessLimit), 2);
        drop(room);
        assert!(futures_now(second).await.is_some());
    }

    #[tokio::test]
    async fn the_process_limit_counts_over_all() {
        let limits = limits(1, 0);
        let held = admit(&limits).await;
        assert!(futures_now(limits.room()).await.is_none());
        drop(held);
        assert!(futures_now(limits.room()).await.is_some());
    }

    #[tokio::test]
    async fn a_client_is_counted_by_its_address() {
        let limits = limits(10, 0);
        let (mut a, mut b, mut c) = (
            admit(&limits).await,
            admit(&limits).await,
            admit(&limits).await,
        );
        let (one, two) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert!(a.count_client(one, 1));
        assert!(!b.count_client(one, 1));
        assert!(c.count_client(two, 1));
        drop(b);
        drop(a);
        assert!(admit(&limits).await.count_client(one, 1));
        drop(c);
        assert!(limits.clients.lock().is_empty(), "nothing is left behind");
    }

    /// The future's value if it is ready without waiting.
    async fn futures_now<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => value,
            () = std::future::ready(()) => None,
        }
    }
}
