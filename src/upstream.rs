//! A server as Pingora's peer: for requests and for health checks alike.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::upstreams::peer::{HttpPeer, Tracer, Tracing};

use crate::config::model::Timeouts;
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
    timeouts: &Timeouts,
    fresh: u32,
    upgrade: bool,
) -> Option<Box<HttpPeer>> {
    let endpoint = server.endpoint()?;
    let mut peer = Box::new(peer_at(address(&endpoint)?));
    peer.group_key = u64::from(fresh);
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.receive);
    options.write_timeout = Some(timeouts.send);
    options.idle_timeout = Some(timeouts.idle);
    options.tracer = Some(Tracer(Box::new(Counted(Arc::clone(server)))));
    if upgrade {
        options.custom_l4 = Some(Arc::new(patient::Connector));
        options.idle_timeout = Some(Duration::ZERO);
        peer.group_key = UPGRADES;
    }
    Some(peer)
}

/// Counts a server's open connections, from connect to close, whoever holds them meanwhile.
#[derive(Debug)]
struct Counted(Arc<Server>);

impl Tracing for Counted {
    fn on_connected(&self) {
        self.0.connection_opened();
    }

    fn on_disconnected(&self) {
        self.0.connection_closed();
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
