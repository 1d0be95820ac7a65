//! What an HTTP listener does with requests: one immutable snapshot of settings, pools and handles.
//!
//! A request takes the snapshot of the moment when it begins and keeps it to its end; a reload puts
//! the next one in its place.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use prometheus::Histogram;
use tokio_util::sync::CancellationToken;

use crate::client_address::Resolver;
use crate::config::model;
use crate::dispatch::PoolSite;
use crate::http::Shared;
use crate::http::request::routes::Routes;
use crate::http::request::target::Target;
use crate::http::wire::head::HeadLimits;
use crate::listen::{ClientLimits, Ends};
use crate::observe::metrics::{Metrics, Outcomes, Traffic};
use crate::persistence::LastToken;
use crate::tls::Established;
use crate::upstream::{Caller, ClientConnection, Link, Personal};

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
    /// What one client may do.
    pub client_limits: ClientLimits,
    /// What is done with some of the requests.
    pub routes: Option<Routes>,
    /// Where everything else goes.
    pub target: Option<Arc<Target>>,
    /// Every request is sent on to https, at this port.
    pub redirect_https: Option<u16>,
    /// Whole requests that go to no pool, in seconds.
    pub duration: Histogram,
    /// The counters for requests that go to no pool.
    pub traffic: Traffic,
    /// How they end.
    pub outcomes: Outcomes,
    /// Requests that ended, over all snapshots of the listener.
    pub requests: Arc<AtomicU64>,
}

impl Site {
    /// A snapshot for the listener as configured. `pools` are all there are, `before` is the snapshot that it replaces.
    pub fn new(
        listener: &model::Listener,
        pools: &HashMap<Arc<str>, Arc<PoolSite>>,
        metrics: &Metrics,
        requests: &Arc<AtomicU64>,
        before: Option<&Self>,
    ) -> Self {
        let name = &*listener.name;
        let targets: HashMap<Arc<str>, Arc<Target>> = listener
            .pools()
            .filter_map(|pool| {
                let site = pools.get(pool)?;
                Some((Arc::clone(pool), Target::new(name, site, metrics)))
            })
            .collect();
        let routes = Routes::new(
            listener,
            &targets,
            before.and_then(|before| before.routes.as_ref()),
        );
        let target = listener
            .pool
            .as_ref()
            .and_then(|pool| targets.get(pool).cloned());
        Self {
            listener: Arc::clone(&listener.name),
            http: listener.http.clone(),
            limits: HeadLimits::from(&listener.http),
            resolver: Resolver::new(&listener.client_address),
            via: listener.client_address.via,
            client_limits: ClientLimits::new(listener),
            requests: Arc::clone(requests),
            duration: metrics.request_duration(name, ""),
            traffic: metrics.traffic(name, "", ""),
            outcomes: metrics.outcomes(name, ""),
            redirect_https: listener.redirect_https,
            routes,
            target,
        }
    }
}

/// A listener whose snapshot can be replaced.
pub struct HttpListener {
    /// The snapshot of now.
    pub site: ArcSwap<Site>,
    /// Cancelled when the listener is no longer there: connections that it accepted are to end when they can.
    pub gone: CancellationToken,
}

/// One client connection, as its requests know it.
pub struct Connection {
    /// The other end, and who says so.
    pub ends: Ends,
    /// What the client connected to.
    pub local: SocketAddr,
    /// What TLS says of it; `None` without TLS.
    pub tls: Option<Established>,
    /// What all connections share.
    pub shared: Arc<Shared>,
    /// Connections to servers that are this client's alone.
    pub personal: Personal,
    /// The session's token that one of its requests brought.
    pub last_token: LastToken,
}

impl Connection {
    /// Whether it came by https: to us, or to the proxy that brings it.
    pub fn is_https(&self) -> bool {
        self.tls.is_some() || self.ends.came_by_tls()
    }

    /// Who connects to a server for the client at that address, who asked on this connection.
    pub fn caller(&self, link: &Link, client: IpAddr) -> Caller {
        if !link.is_personal() {
            return link.anybody();
        }
        let peer = self.ends.peer;
        let client = if peer.ip().to_canonical() == client {
            peer
        } else {
            // Nobody has said at which port it was.
            SocketAddr::new(client, 0)
        };
        link.caller(&ClientConnection {
            client,
            local: self.local,
            introduction: self.ends.header(),
            tls: self.tls.as_ref(),
            name: None,
            id: self.personal.id(),
        })
    }
}
