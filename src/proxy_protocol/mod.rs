//! The PROXY protocol: how a proxy tells a server, before anything else, whose connection it brings.
//!
//! Version 1 is a line of text, version 2 is binary and has room for more than addresses ([`Tlvs`]). [`read`] takes either,
//! in pieces, and never a byte too many; [`Writer`] writes either. No socket and no Pingora.
//!
//! Source: HAProxy's doc/proxy-protocol.txt, revision of 2024.

use std::net::{IpAddr, SocketAddr};

mod checksum;
mod read;
mod tlv;
mod write;

pub use read::{Malformed, read};
pub use tlv::{Tls, TlsClient, Tlvs, kind};
pub use write::{Facts, Version, Writer};

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8; 6] = b"PROXY ";
/// Bytes of version 1 at most, its end included.
const LONGEST_LINE: usize = 107;
/// Bytes of a Unix socket's path in version 2.
const UNIX_PATH: usize = 108;

/// What a proxy says of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose it is.
    pub addresses: Addresses,
    /// What else it says of it.
    pub tlvs: Tlvs,
}

/// The two ends of the connection that a proxy has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// The proxy connects for itself, to see whether the server is there.
    Local,
    /// The proxy can't tell, or not in terms of TCP.
    Unknown,
    /// Over IPv4 or IPv6.
    Inet {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
    /// Over a Unix socket.
    Unix(Box<UnixAddresses>),
}

/// Paths of sockets as they stand in a header: filled up with zeros, or abstract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixAddresses {
    /// The client's.
    pub source: [u8; UNIX_PATH],
    /// What the client connected to.
    pub destination: [u8; UNIX_PATH],
}

impl Addresses {
    /// Those of a connection over TCP, both of one family: if they aren't, both become IPv6.
    pub fn inet(source: SocketAddr, destination: SocketAddr) -> Self {
        let [source, destination] = [source, destination]
            .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
        let mapped = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => SocketAddr::from((ip.to_ipv6_mapped(), address.port())),
            IpAddr::V6(_) => address,
        };
        if source.is_ipv4() == destination.is_ipv4() {
            Self::Inet {
                source,
                destination,
            }
        } else {
            Self::Inet {
                source: mapped(source),
                destination: mapped(destination),
            }
        }
    }
}

#[cfg(test)]
mod tests;
