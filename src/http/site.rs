//! What an HTTP listener does with requests: one immutable snapshot of settings, pool and handles.
//!
//! A request takes the snapshot of the moment when it begins and keeps it to its end; a reload puts
//! the next one in its place.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use prometheus::Histogram;

use super::head::HeadLimits;
use crate::balance::Slot;
use crate::client_address::Resolver;
use crate::config::model;
use crate::observe::metrics::{Metrics, Traffic};
use crate::persistence::table::SessionTable;
use crate::persistence::{Affinity, Keyring, Member};
use crate::pool::{Pool, Server};
use crate::tls::Established;
use crate::upstream::Link;

/// A pool and its session persistence, as requests find them.
pub struct PoolSite {
    /// The pool.
    pub pool: Arc<Pool>,
    /// How its servers are spoken to.
    pub link: Arc<Link>,
    /// How its sessions are kept on their servers, if they are.
    pub affinity: Option<Affinity<Arc<Server>>>,
    /// Where sessions are remembered that the messages say too little about.
    pub table: Option<Arc<SessionTable>>,
    /// A session is remembered when its first request is balanced, not when a server marks it.
    pub binds_at_pick: bool,
    /// What becomes of a session whose server can't take it.
    pub on_unavailable: model::OnUnavailable,
    by_name: HashMap<Arc<str>, Arc<Server>>,
    /// By [`Slot::index`].
    routes: Vec<Arc<str>>,
}

impl PoolSite {
    /// The pool as its settings of now say, spoken to by `link`. `keys` sign its cookies, `table` remembers its
    /// sessions.
    pub fn new(
        pool: &Arc<Pool>,
        link: Arc<Link>,
        keys: Option<&Keyring>,
        table: Option<Arc<SessionTable>>,
    ) -> Arc<Self> {
        let settings = pool.settings();
        let servers = pool.servers();
        let mut routes: Vec<Arc<str>> = Vec::new();
        // Both are in the order of the configuration.
        let members = servers
            .iter()
            .zip(&settings.servers)
            .map(|(server, model)| {
                let index = server.slot().index();
                if routes.len() <= index {
                    routes.resize(index + 1, Arc::from(""));
                }
                if let Some(place) = routes.get_mut(index) {
                    *place = Arc::clone(&model.route);
                }
                Member {
                    name: Arc::clone(server.name()),
                    route: Arc::clone(&model.route),
                    handle: Arc::clone(server),
                }
            });
        let members: Vec<_> = members.collect();
        let persistence = settings.persistence.as_ref();
        Arc::new(Self {
            pool: Arc::clone(pool),
            link,
            affinity: persistence
                .and_then(|settings| Affinity::new(settings, keys, pool.name(), members)),
            table,
            binds_at_pick: matches!(persistence, Some(model::Persistence::SourceIp(_))),
            on_unavailable: persistence.map_or(
                model::OnUnavailable::Rebalance,
                model::Persistence::on_unavailable,
            ),
            by_name: servers
                .iter()
                .map(|server| (Arc::clone(server.name()), Arc::clone(server)))
                .collect(),
            routes,
        })
    }

    /// The server of that name, if it is in the pool.
    pub fn server(&self, name: &str) -> Option<&Arc<Server>> {
        self.by_name.get(name)
    }

    /// How a server marks its session ids.
    pub fn route(&self, server: &Server) -> &str {
        self.routes
            .get(server.slot().index())
            .map_or("", |route| route)
    }
}

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
            connections_per_client: listener.max_connections_per_client,
            requests: Arc::clone(requests),
            duration: metrics.request_duration(name, pool),
            unserved: metrics.traffic(name, pool, ""),
            traffic,
            redirect_https: listener.redirect_https,
            target,
        }
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
