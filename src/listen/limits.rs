//! How many connections may be held: in the process, at a listener, by one client.
//!
//! At the limit of the process or a listener nothing more is accepted: new connections wait in the
//! kernel's backlog, and the established ones never notice. A client that holds too many is accepted
//! and turned away in the words of the protocol.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::observe::metrics::ListenerMetrics;

/// The limits that new connections of one listener are held to.
pub struct Limits {
    process: Arc<Semaphore>,
    listener: Option<Arc<Semaphore>>,
    /// Connections by client. Only kept when there is a limit.
    clients: Mutex<HashMap<IpAddr, usize>>,
    metrics: ListenerMetrics,
}

/// Room for one connection that isn't accepted yet.
pub struct Room {
    _process: OwnedSemaphorePermit,
    _listener: Option<OwnedSemaphorePermit>,
}

/// One admitted connection; it counts until this is dropped.
pub struct Admitted {
    _room: Room,
    limits: Arc<Limits>,
    counted: Option<IpAddr>,
}

impl Limits {
    /// `listener` is the listener's own limit, `0` for none.
    pub fn new(process: Arc<Semaphore>, listener: usize, metrics: ListenerMetrics) -> Arc<Self> {
        Arc::new(Self {
            process,
            listener: (listener > 0)
                .then(|| Arc::new(Semaphore::new(listener.min(Semaphore::MAX_PERMITS)))),
            clients: Mutex::default(),
            metrics,
        })
    }

    /// Waits for room for one more connection. `None` when the limits are being taken down.
    pub async fn room(&self) -> Option<Room> {
        let listener = match &self.listener {
            Some(limit) => Some(Arc::clone(limit).acquire_owned().await.ok()?),
            None => None,
        };
        Some(Room {
            _process: Arc::clone(&self.process).acquire_owned().await.ok()?,
            _listener: listener,
        })
    }

    /// Counts an accepted connection.
    pub fn admit(self: &Arc<Self>, room: Room) -> Admitted {
        self.metrics.connections_total.inc();
        self.metrics.connections_active.inc();
        Admitted {
            _room: room,
            limits: Arc::clone(self),
            counted: None,
        }
    }
}

impl Admitted {
    /// Counts the connection for its client. Returns false, and doesn't count, if the client holds
    /// `limit` already. `0` = no limit.
    pub fn count_client(&mut self, client: IpAddr, limit: usize) -> bool {
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

    fn limits(process: usize, listener: usize) -> Arc<Limits> {
        let metrics = Metrics::new(SystemTime::UNIX_EPOCH).listener("web");
        Limits::new(Arc::new(Semaphore::new(process)), listener, metrics)
    }

    async fn admit(limits: &Arc<Limits>) -> Admitted {
        limits.admit(limits.room().await.unwrap())
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
