//! A server as Pingora's peer: for requests and for health checks alike.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::upstreams::peer::{HttpPeer, Tracer, Tracing};

use crate::config::model;
use crate::pool::{Endpoint, Server};

mod patient;

/// The [`HttpPeer::group_key`] of connections that may switch protocols. They are not kept.
const UPGRADES: u64 = u64::MAX;

/// A peer for one try of a request. `None` when there is nowhere to connect to: the server's name does
/// not resolve, or it is a Unix socket whose path is too long to be one. The idle connections of tries
/// after a stale connection are kept apart from those that have just proved stale: `fresh` numbers
/// such tries, 0 is the ordinary one. `upgrade` says that the request may switch protocols.
pub fn for_request(
    server: &Arc<Server>,
    settings: &model::Pool,
    fresh: u32,
    upgrade: bool,
) -> Option<(Box<HttpPeer>, Arc<Keeping>)> {
    let timeouts = &settings.timeouts;
    let keeping = Arc::new(Keeping {
        server: Arc::clone(server),
        limit: if upgrade {
            0
        } else {
            settings.keepalive.connections
        },
        kept: AtomicBool::new(false),
    });
    let endpoint = server.endpoint()?;
    let mut peer = Box::new(peer_at(address(&endpoint)?));
    peer.group_key = u64::from(fresh);
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.receive);
    options.write_timeout = Some(timeouts.send);
    options.idle_timeout = Some(timeouts.idle);
    options.tracer = Some(Tracer(Box::new(Place(Arc::clone(&keeping)))));
    if upgrade {
        options.custom_l4 = Some(Arc::new(patient::Connector));
        options.idle_timeout = Some(Duration::ZERO);
        peer.group_key = UPGRADES;
    }
    Some((peer, keeping))
}

/// Whether a connection that is made for a request may be kept afterwards: no more of a server's
/// connections may than the configuration says. It holds its place among them until it is closed, whoever
/// uses it meanwhile.
#[derive(Debug)]
pub struct Keeping {
    server: Arc<Server>,
    limit: usize,
    kept: AtomicBool,
}

impl Keeping {
    /// Whether the connection has a place, once it is made.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }
}

/// [`Keeping`], as the connection holds it.
#[derive(Debug)]
struct Place(Arc<Keeping>);

impl Tracing for Place {
    fn on_connected(&self) {
        let kept = self.0.server.keep_connection(self.0.limit);
        self.0.kept.store(kept, Ordering::Relaxed);
    }

    fn on_disconnected(&self) {
        if self.0.kept.swap(false, Ordering::Relaxed) {
            self.0.server.drop_connection();
        }
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

/// A peer at an address, spoken to in plain HTTP/1.1, with no limit of time.
#[allow(clippy::disallowed_methods)] // An address is no name: nothing is looked up here.
pub fn peer_at(address: PingoraAddr) -> HttpPeer {
    const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let mut peer = HttpPeer::new(UNSPECIFIED, false, String::new());
    peer._address = address;
    peer
}

/// An endpoint as Pingora's address. `None` for a Unix socket whose path is too long to be one.
pub fn address(endpoint: &Endpoint) -> Option<PingoraAddr> {
    Some(match endpoint {
        Endpoint::Inet(address) => PingoraAddr::Inet(*address),
        Endpoint::Unix(path) => {
            PingoraAddr::Unix(std::os::unix::net::SocketAddr::from_pathname(path).ok()?)
        }
    })
}
