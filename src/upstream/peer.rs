//! Servers as Pingora's peers.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::upstreams::peer::HttpPeer;

use crate::pool::{Endpoint, Server};

thread_local! {
    /// The memory of the last peer that was needed no more: each is large, and most aren't connected to, as connections
    /// to them are kept.
    static KEPT: Cell<Option<Box<HttpPeer>>> = const { Cell::new(None) };
}

/// A server as a peer, which is connected to by a [`Dialer`](super::Dialer). `None` when there is nowhere to connect to: its
/// name does not resolve, or it is a Unix socket whose path is too long to be one.
pub fn peer(server: &Server) -> Option<Box<HttpPeer>> {
    // Only so that there is one: the dialer asks the server.
    let address = address(server.address()?.endpoint())?;
    let mut peer = KEPT.take().unwrap_or_else(unspecified);
    peer._address = address;
    Some(peer)
}

/// Keeps the memory of a peer that is needed no more.
pub fn keep_peer(mut peer: Box<HttpPeer>) {
    peer.options.custom_l4 = None;
    KEPT.set(Some(peer));
}

/// A peer at no address, spoken to in plain HTTP/1.1, with no limit of time.
#[allow(clippy::disallowed_methods)] // An address is no name: nothing is looked up here.
fn unspecified() -> Box<HttpPeer> {
    const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    Box::new(HttpPeer::new(UNSPECIFIED, false, String::new()))
}

/// An endpoint as Pingora's address. `None` for a Unix socket whose path is too long to be one.
fn address(endpoint: &Endpoint) -> Option<PingoraAddr> {
    Some(match endpoint {
        Endpoint::Inet(address) => PingoraAddr::Inet(*address),
        Endpoint::Unix(path) => {
            PingoraAddr::Unix(std::os::unix::net::SocketAddr::from_pathname(path).ok()?)
        }
    })
}
