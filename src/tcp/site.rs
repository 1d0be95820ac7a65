//! A listener of connections: its settings and pool, as one snapshot that a reload replaces.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::ledger::Ledger;
use super::names::Names;
use crate::client_address::Resolver;
use crate::config::model;
use crate::dispatch::PoolSite;
use crate::listen::{Admitted, ClientLimits, Ends};
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::Outcomes;
use crate::observe::{Metrics, Termination};

/// After how much silence the system probes by itself (`tcp_keepalive_time`, tcp(7)).
const SYSTEMS_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// A listener's snapshot. A connection keeps the one that it began with to its end.
pub struct Site {
    /// The listener's name.
    pub name: Arc<str>,
    /// TLS ends here.
    pub tls: bool,
    /// How long silence is borne.
    pub tcp: model::Tcp,
    /// The probes on idle connections to the servers, as on those to the clients. `None`: the system's own, as a connection
    /// ends by its silence before the first one of either.
    pub keepalive: Option<model::TcpKeepalive>,
    /// Where everything goes that isn't routed by its name.
    pub target: Target,
    /// Where TLS goes by the name that it asks for; `None` = nothing is looked at.
    pub names: Option<Names<Target>>,
    /// How long a client may take to say the name.
    pub patience: Duration,
    resolver: Resolver,
    /// What one client may do.
    client_limits: ClientLimits,
}

/// Where connections go.
pub struct Target {
    /// The pool; `None` = nowhere.
    pub site: Option<Arc<PoolSite>>,
    /// How they end.
    pub outcomes: Outcomes,
}

impl Site {
    /// A snapshot for the listener as configured. `pools` are all there are.
    pub fn new(
        listener: &model::Listener,
        pools: &HashMap<Arc<str>, Arc<PoolSite>>,
        metrics: &Metrics,
    ) -> Self {
        let target = |pool: Option<&Arc<str>>| Target {
            site: pool.and_then(|name| pools.get(name)).cloned(),
            outcomes: metrics.outcomes(&listener.name, pool.map_or("", |name| name)),
        };
        let routes = &listener.sni_routes;
        let names = routes
            .iter()
            .map(|(pattern, pool)| (pattern.clone(), target(Some(pool))));
        Self {
            target: target(listener.pool.as_ref()),
            names: (!routes.is_empty()).then(|| Names::new(names)),
            patience: listener.http.header_timeout,
            name: Arc::clone(&listener.name),
            tls: listener.protocol == model::Protocol::Tls,
            tcp: listener.tcp,
            keepalive: Some(listener.tcp_keepalive)
                .filter(|own| own.idle.min(SYSTEMS_IDLE) < listener.tcp.idle_timeout),
            resolver: Resolver::new(&listener.client_address),
            client_limits: ClientLimits::new(listener),
        }
    }
}

/// A listener whose snapshot can be replaced.
pub struct Listener {
    /// The snapshot of now.
    pub site: ArcSwap<Site>,
    pub(super) access_log: Arc<AccessLog>,
}

impl Listener {
    /// A listener that records its connections in `access_log`.
    pub fn new(site: Site, access_log: Arc<AccessLog>) -> Self {
        Self {
            site: ArcSwap::from_pointee(site),
            access_log,
        }
    }

    /// Counts a connection for its client. False if that holds or makes too many: the connection has been recorded, and
    /// is to be closed.
    pub fn admits(&self, ends: &Ends, admitted: &mut Admitted) -> bool {
        let site = self.site.load();
        let client = ends.peer_ip();
        // A trusted proxy brings many clients; it is not one of them.
        let trusted = || site.resolver.trusts(client);
        let limits = site.client_limits;
        if limits == ClientLimits::default()
            || trusted()
            || admitted.of_client(client, limits, Instant::now()).is_ok()
        {
            return true;
        }
        let metrics = admitted.metrics();
        let began = (SystemTime::now(), Instant::now());
        let mut ledger = Ledger::new(&self.access_log, &site, ends, None, metrics, began);
        ledger.termination = Termination::Limit;
        false
    }
}
