//! The two ends of a client's connection: as the socket says, or a trusted proxy that brings it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::proxy_protocol::{Addresses, Header};

/// Where a connection comes from and goes to.
#[derive(Debug, Clone)]
pub struct Ends {
    /// The client's end, as far as it is known.
    pub peer: SocketAddr,
    introduction: Option<Arc<Introduction>>,
}

/// A trusted proxy has said whose connection it brings.
#[derive(Debug)]
struct Introduction {
    /// The proxy's end of the socket.
    by: SocketAddr,
    header: Header,
}

impl Ends {
    /// Those of a socket whose other end is `peer`.
    pub fn of_socket(peer: SocketAddr) -> Self {
        Self {
            peer,
            introduction: None,
        }
    }

    /// Those that a header says, which came from `by`.
    pub fn introduced(by: SocketAddr, header: Header) -> Self {
        let peer = match header.addresses {
            Addresses::Inet { source, .. } => source,
            // It has no address that anybody could compare.
            Addresses::Unknown | Addresses::Unix(_) => by,
            // The proxy connects for itself.
            Addresses::Local => return Self::of_socket(by),
        };
        let introduction = Some(Arc::new(Introduction { by, header }));
        Self { peer, introduction }
    }

    /// The client's address.
    pub fn peer_ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// The other end of the socket: the client, or the proxy that brings it.
    pub fn socket_peer(&self) -> SocketAddr {
        self.introduction
            .as_ref()
            .map_or(self.peer, |introduction| introduction.by)
    }

    /// What the client connected to.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local(&self, socket: &TcpStream) -> io::Result<SocketAddr> {
        match self.header().map(|header| &header.addresses) {
            Some(Addresses::Inet { destination, .. }) => Ok(*destination),
            _ => socket.local_addr(),
        }
    }

    /// What a proxy has said of the connection.
    pub fn header(&self) -> Option<&Header> {
        self.introduction
            .as_ref()
            .map(|introduction| &introduction.header)
    }

    /// Whether the client spoke TLS to the proxy that brings it.
    pub fn came_by_tls(&self) -> bool {
        self.header().is_some_and(|header| header.tlvs.is_tls())
    }
}
