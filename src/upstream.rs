//! Servers as Pingora's peers, and the connections to them: for requests and for health checks alike.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pingora::connectors::TransportConnector;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::upstreams::peer::HttpPeer;
use tokio::time::timeout;

use crate::pool::{Endpoint, Server};

mod caller;
mod connections;
mod dial;
mod files;
mod http2;
mod link;
mod local_end;
mod name;
mod personal;
mod reach;
mod report;
mod secure;
mod trouble;

pub use caller::{Caller, ClientConnection};
pub use connections::Connections;
pub use dial::{DialError, Dialer, Raw};
pub use files::{Unusable, UnusableFiles};
pub use http2::{InFlight, OPENS_WITHIN, Shared, UnsentError, Witness, enter, share};
pub use link::Link;
pub use local_end::{connect_from, may_be_own, may_be_transparent};
pub use name::ServerName;
pub use personal::{Personal, random_id};
/// A connection to a server, with TLS if its link has it.
pub use pingora::protocols::Stream;
pub use reach::{Unreachable, reach};
pub use secure::Secure;
pub use trouble::{CERTIFICATE_WANTED, Trouble, is_about_our_certificate};

/// What connects to servers. It keeps no connections: [`Connections`] do.
static CONNECTOR: LazyLock<TransportConnector> = LazyLock::new(|| TransportConnector::new(None));

/// A server as a peer, whose `dialer` says how it is connected to. `None` when there is nowhere to connect to: its name
/// does not resolve, or it is a Unix socket whose path is too long to be one.
pub fn peer(server: &Server, dialer: &Arc<Dialer>) -> Option<HttpPeer> {
    // Only so that there is one: the dialer asks the server.
    let mut peer = peer_at(address(server.address()?.endpoint())?);
    peer.options.custom_l4 = Some(Arc::clone(dialer) as Arc<_>);
    Some(peer)
}

/// Connects to a peer by its dialer, within a time.
///
/// # Errors
///
/// Why there is no connection.
pub async fn connect(
    peer: &HttpPeer,
    dialer: &Dialer,
    patience: Duration,
) -> Result<Stream, DialError> {
    match timeout(patience, CONNECTOR.new_stream(peer)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(dialer
            .failed()
            .unwrap_or_else(|| DialError::Connector(error.to_string()))),
        Err(_) => Err(DialError::TimedOut),
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
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
