//! The PROXY protocol, in and out (sections 2, 6 and 9 of the specification).

mod incoming;
mod outgoing;
mod personal;
mod shipped;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use crate::common::announced::{v2, v2_usual};
use crate::common::*;

/// The client that headers tell of.
const CLIENT: &str = "203.0.113.7";

/// A listener that believes this machine's headers.
pub fn believing() -> &'static str {
    "proxy_protocol: true\nclient_address: {trusted_proxies: [127.0.0.1/32]}"
}

/// A header of version 1, for a client over IPv4.
pub const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 4321 443\r\n";

/// A connection on which that has been said.
#[track_caller]
pub fn saying(to: SocketAddr, first: &[u8]) -> Client {
    let mut client = Client::connect(to);
    client.send(first).unwrap();
    client
}

/// A plain socket on which that has been said, for TLS to begin on.
#[track_caller]
pub fn socket_saying(to: SocketAddr, first: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect_timeout(&to, SOON).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(first).unwrap();
    socket
}
