//! A server as Pingora's peer: for requests and for health checks alike.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::TcpKeepalive;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::tls::ALPN;
use pingora::upstreams::peer::{HttpPeer, PeerOptions, Scheme};

use crate::config::model;
use crate::pool::{Address, Endpoint, Server};
use crate::tunnel::Tunnel;

mod dial;
mod files;
mod inspect;
mod keeping;
mod link;
mod name;
mod own_shortage;
mod patient;
mod reach;
mod report;
mod secure;
mod trouble;

use dial::Upgrade;
pub use dial::{Dialer, Raw, TLS_FAILED};
pub use files::Unusable;
pub use inspect::admit;
pub use keeping::Keeping;
pub use link::Link;
pub use name::ServerName;
pub use own_shortage::own_shortage;
pub use reach::{Unreachable, reach};
pub use secure::Secure;
pub use trouble::{Trouble, is_about_our_certificate};

/// The [`HttpPeer::group_key`] of connections that may switch protocols. They are not kept.
const UPGRADES: u64 = u64::MAX;

/// Requests at once on one HTTP/2 connection, if the server doesn't say less: the usual number of servers.
const STREAMS: usize = 128;

/// What a server may send ahead on one stream of HTTP/2, in bytes, while a client reads slowly. A stream gets no
/// faster than this a round trip.
const STREAM_WINDOW: u32 = 512 << 10;

/// The same for a connection: enough that slow clients never hold up the others. It bounds what is held for one
/// connection.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 128;

/// How long the client of a tunnel may be silent when the server has finished its side, at most.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// A server as one try of a request gets it.
pub struct ForRequest {
    /// Where and how Pingora connects.
    pub peer: Box<HttpPeer>,
    /// The connection (HTTP/1 only).
    pub keeping: Option<Arc<Keeping>>,
    /// Where that leads.
    pub destination: Destination,
}

/// The address that a try leads to.
pub struct Destination {
    expected: Arc<Address>,
    /// Knows better, if a connection was made.
    keeping: Arc<Keeping>,
}

impl Destination {
    /// The address as it is known by now.
    pub fn address(&self) -> &Address {
        self.keeping.reached().unwrap_or(&self.expected)
    }
}

/// A server for one try of a request. `None` when there is nowhere to connect to: its name does not resolve, or it is a
/// Unix socket whose path is too long to be one. The idle connections of tries after a stale connection are kept apart
/// from those that have just proved stale: `fresh` numbers such tries, 0 is the ordinary one. `upgrade` is for a request
/// that may switch protocols. A new connection may wait for `patience` for its place in the budget of descriptors.
pub fn for_request(
    server: &Arc<Server>,
    settings: &model::Pool,
    link: &Arc<Link>,
    fresh: u32,
    upgrade: Option<Arc<Tunnel>>,
    patience: Duration,
) -> Option<ForRequest> {
    let timeouts = &settings.timeouts;
    let addresses = server.addresses()?;
    let expected = Arc::clone(addresses.used());
    let mut peer = Box::new(peer_at(address(expected.endpoint())?));
    peer.group_key = link.group(server, fresh, addresses.moves());
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    // With HTTP/2 it would run during an upload (see `listen::Patience`).
    options.read_timeout = (!link.http2()).then_some(timeouts.receive);
    options.write_timeout = Some(timeouts.send);
    options.idle_timeout = Some(timeouts.idle);
    let may_be_kept = upgrade.is_none();
    let keep = if may_be_kept && !link.http2() {
        settings.keepalive.connections
    } else {
        0
    };
    let keeping = Arc::new(Keeping::new(server, keep, patience));
    options.tracer = Some(keeping.tracer());
    options.custom_l4 = Some(Arc::clone(&keeping) as Arc<_>);
    if let Some(tunnel) = upgrade {
        peer.group_key = UPGRADES;
        options.idle_timeout = Some(Duration::ZERO);
        let upgrade = Upgrade {
            tunnel,
            // Ended here before it looks like a server that is silent.
            quiet: (timeouts.receive * 3 / 4).min(HALF_CLOSED),
        };
        let dialer = Dialer::for_upgrade(server, link, &keeping, upgrade);
        options.custom_l4 = Some(Arc::new(dialer));
    }
    let destination = Destination {
        expected,
        keeping: Arc::clone(&keeping),
    };
    if may_be_kept && let Some(secure) = link.secure() {
        let name = link.name(server);
        if name.is_none() && secure.verify {
            // Pingora takes no name for no verification.
            return None;
        }
        encrypt(&mut peer, secure, name.as_ref());
    }
    if link.http2() {
        speak_http2(&mut peer.options);
        if settings.keepalive.connections == 0 {
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        return Some(ForRequest {
            peer,
            keeping: None,
            destination,
        });
    }
    Some(ForRequest {
        peer,
        keeping: Some(keeping),
        destination,
    })
}

/// Has Pingora do the handshake. What it can't verify, [`admit`] does.
fn encrypt(peer: &mut HttpPeer, secure: &Secure, name: Option<&ServerName>) {
    peer.scheme = Scheme::HTTPS;
    peer.sni = name.map_or_else(String::new, |name| name.as_str().to_owned());
    peer.client_cert_key.clone_from(&secure.identity);
    let options = &mut peer.options;
    options.verify_cert = secure.verify;
    options.verify_hostname = name.is_some_and(|name| name.address().is_none());
    options.ca.clone_from(&secure.authorities);
    options.upstream_tls_handshake_complete_hook = Some(inspect::hook());
}

fn speak_http2(options: &mut PeerOptions) {
    options.alpn = ALPN::H2;
    options.max_h2_streams = STREAMS;
    options.h2_stream_window_size = Some(STREAM_WINDOW);
    options.h2_connection_window_size = Some(CONNECTION_WINDOW);
    // No pings: gRPC's servers take more than one in five minutes for an attack. The kernel asks instead.
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(15),
        count: 4,
        user_timeout: Duration::ZERO,
    });
}

/// A server for a check, whose `dialer` says how it is connected to. Without a limit of time. `None` when there is nowhere
/// to connect to.
pub fn for_check(server: &Server, dialer: &Arc<Dialer>) -> Option<HttpPeer> {
    // Only so that there is one: the dialer asks the server.
    let mut peer = peer_at(address(server.address()?.endpoint())?);
    peer.options.custom_l4 = Some(Arc::clone(dialer) as Arc<_>);
    Some(peer)
}

/// Has a check speak HTTP/2, by prior knowledge as far as Pingora knows: ours is the handshake, if there is one.
pub fn check_http2(peer: &mut HttpPeer) {
    peer.options.alpn = ALPN::H2;
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
