//! What an HTTP listener does with requests: one immutable snapshot of settings, pool and handles.
//!
//! A request takes the snapshot of the moment when it begins and keeps it to its end; a reload puts
//! the next one in its place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use prometheus::Histogram;

use super::head::HeadLimits;
use crate::balance::Slot;
use crate::client_address::Resolver;
use crate::config::model;
use crate::dispatch::PoolSite;
use crate::listen::Patience;
use crate::observe::metrics::{Metrics, Traffic};
use crate::tls::Established;

/// A listener's snapshot.
pub struct Site {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Its HTTP settings.
    pub http: model::Http,
    /// Those of them that a header section is held to.
    pub limits: HeadLimits,
    /// How the client's address is found and told.
    pub resolver: Resolver,
    /// Whether messages say that they came through here.
    pub via: bool,
    /// Connections one client may hold, `0` = no limit.
    pub connections_per_client: usize,
    /// Where everything goes; `None` if everything is redirected.
    pub target: Option<Arc<PoolSite>>,
    /// Every request is sent on to https, at this port.
    pub redirect_https: Option<u16>,
    /// Whole requests, in seconds.
    pub duration: Histogram,
    /// Requests that ended, over all snapshots of the listener.
    pub requests: Arc<AtomicU64>,
    unserved: Traffic,
    /// By [`Slot::index`].
    traffic: Vec<Option<Traffic>>,
}

impl Site {
    /// A snapshot for the listener as configured.
    pub fn new(
        listener: &model::Listener,
        target: Option<Arc<PoolSite>>,
        metrics: &Metrics,
        requests: &Arc<AtomicU64>,
    ) -> Self {
        let name = &*listener.name;
        let pool = target.as_ref().map_or("", |target| target.pool.name());
        let mut traffic: Vec<Option<Traffic>> = Vec::new();
        let servers = target.as_ref().map(|target| target.pool.servers());
        for server in servers.iter().flat_map(|servers| servers.iter()) {
            let index = server.slot().index();
            if traffic.len() <= index {
                traffic.resize(index + 1, None);
            }
            if let Some(place) = traffic.get_mut(index) {
                *place = Some(metrics.traffic(name, pool, server.name()));
            }
        }
        Self {
            listener: Arc::clone(&listener.name),
            http: listener.http.clone(),
            limits: HeadLimits::from(&listener.http),
            resolver: Resolver::new(&listener.client_address),
            via: listener.client_address.via,
            connections_per_client: listener.max_connections_per_client,
            requests: Arc::clone(requests),
            duration: metrics.request_duration(name, pool),
            unserved: metrics.traffic(name, pool, ""),
            traffic,
            redirect_https: listener.redirect_https,
            target,
        }
    }

    /// What keeps the time that a request's server may be silent; `None` = Pingora sees to it.
    pub fn patience(&self) -> Option<Arc<Patience>> {
        let target = self.target.as_ref()?;
        target.link.http2().then(Arc::default)
    }

    /// The counters for requests that ended on a server, or on none.
    pub fn traffic(&self, slot: Option<Slot>) -> &Traffic {
        slot.and_then(|slot| self.traffic.get(slot.index()))
            .and_then(Option::as_ref)
            .unwrap_or(&self.unserved)
    }
}

/// A listener whose snapshot can be replaced.
pub struct HttpListener {
    /// The snapshot of now.
    pub site: ArcSwap<Site>,
}

/// One client connection, as its requests know it.
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
    /// What TLS says of it; `None` without TLS.
    pub tls: Option<Established>,
}
