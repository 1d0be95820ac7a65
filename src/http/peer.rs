//! A server as Pingora's peer.

use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::upstreams::peer::HttpPeer;

use crate::config::model::Timeouts;
use crate::pool::Endpoint;

/// A peer for one try. `None` for a Unix socket whose path is too long to be one. The idle connections
/// of tries after a stale connection are kept apart from those that have just proved stale: `fresh`
/// numbers such tries, 0 is the ordinary one.
pub fn build(endpoint: &Endpoint, timeouts: &Timeouts, fresh: u32) -> Option<Box<HttpPeer>> {
    let address = match endpoint {
        Endpoint::Inet(address) => PingoraAddr::Inet(*address),
        Endpoint::Unix(path) => {
            PingoraAddr::Unix(std::os::unix::net::SocketAddr::from_pathname(path).ok()?)
        }
    };
    // An address is no name: nothing is looked up here.
    let mut peer = Box::new(HttpPeer::new(UNSPECIFIED, false, String::new()));
    peer._address = address;
    peer.group_key = u64::from(fresh);
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.receive);
    options.write_timeout = Some(timeouts.send);
    options.idle_timeout = Some(timeouts.idle);
    Some(peer)
}

const UNSPECIFIED: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
