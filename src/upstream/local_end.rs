//! The local end of connections to servers: an address of this machine, or the client's own.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use crate::config::model::Source;

/// Where connections to servers come from, as the servers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalEnd {
    /// An address of this machine.
    Own(IpAddr),
    /// A client's address, which is none of ours (`IP_TRANSPARENT`, ip(7)).
    Client(IpAddr),
}

impl LocalEnd {
    fn address(self) -> IpAddr {
        match self {
            Self::Own(address) | Self::Client(address) => address,
        }
    }
}

/// Connects from there, or from wherever the system likes. A client's address of another family than the server's is left
/// aside: nothing of the client's could reach the server.
///
/// # Errors
///
/// The system's; where the local end is what is wrong, with words of its own.
pub async fn connect(to: SocketAddr, from: Option<LocalEnd>) -> io::Result<TcpStream> {
    let from = from.filter(|from| match from {
        LocalEnd::Client(client) => client.is_ipv4() == to.is_ipv4(),
        LocalEnd::Own(_) => true,
    });
    match from {
        None => TcpStream::connect(to).await,
        Some(from) => bound(to, from)?.connect(to).await,
    }
}

/// Connects as a pool with that `source` does for nobody in particular.
///
/// # Errors
///
/// As [`connect`].
pub async fn connect_from(to: SocketAddr, source: Option<Source>) -> io::Result<TcpStream> {
    let from = match source {
        Some(Source::Address(address)) => Some(LocalEnd::Own(address)),
        Some(Source::Client) | None => None,
    };
    connect(to, from).await
}

fn bound(to: SocketAddr, from: LocalEnd) -> io::Result<TcpSocket> {
    let address = from.address();
    if address.is_ipv4() != to.is_ipv4() {
        let message = format!(
            "it can't be connected to from {address} (source): one is IPv4, the other IPv6"
        );
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
    }
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let LocalEnd::Client(_) = from {
        make_transparent(&SockRef::from(&socket), to).map_err(|error| {
            io::Error::new(error.kind(), format!("{NOT_TRANSPARENT} ({error})"))
        })?;
    }
    // So that the port is chosen by where it goes, too: otherwise all servers together have as many as one. Old kernels don't
    // know it for IPv6.
    let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
    socket.bind(SocketAddr::new(address, 0)).map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no address {address} to connect from (source)")
            }
            _ => format!("it can't be connected to from {address} (source): {error}"),
        };
        io::Error::new(error.kind(), message)
    })?;
    Ok(socket)
}

/// What is missing where clients' addresses can't be taken.
const NOT_TRANSPARENT: &str =
    "`source: client` needs CAP_NET_ADMIN, to connect from clients' addresses";

fn make_transparent(socket: &Socket, to: SocketAddr) -> io::Result<()> {
    if to.is_ipv4() {
        socket.set_ip_transparent_v4(true)
    } else {
        socket.set_ip_transparent_v6(true)
    }
}

/// Whether this process may connect from addresses that aren't this machine's.
///
/// # Errors
///
/// It may not, in words.
pub fn may_be_transparent() -> Result<(), String> {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    Socket::new(Domain::IPV4, Type::STREAM, None)
        .and_then(|socket| make_transparent(&socket, any))
        .map_err(|error| format!("{NOT_TRANSPARENT} ({error})"))
}

/// Whether an address is this machine's, to connect from.
///
/// # Errors
///
/// It isn't, in words.
pub fn may_be_own(address: IpAddr) -> Result<(), String> {
    let domain = Domain::for_address(SocketAddr::new(address, 0));
    Socket::new(domain, Type::STREAM, None)
        .and_then(|socket| socket.bind(&SocketAddr::new(address, 0).into()))
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no address {address} to connect from")
            }
            _ => format!("can't be connected from: {error}"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_own_address_is_what_the_server_sees() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let from = IpAddr::from([127, 9, 8, 7]);
        let (connected, accepted) =
            tokio::join!(connect(to, Some(LocalEnd::Own(from))), listener.accept());
        assert_eq!(accepted.unwrap().1.ip(), from);
        drop(connected.unwrap());
    }

    #[tokio::test]
    async fn what_is_wrong_with_it_is_said() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        for (from, wanted) in [
            ("192.0.2.55", "this machine has no address 192.0.2.55"),
            ("::1", "one is IPv4, the other IPv6"),
        ] {
            let from = LocalEnd::Own(from.parse().unwrap());
            let error = connect(to, Some(from)).await.unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
            // Nothing of ours has run out.
            assert_eq!(error.raw_os_error(), None);
        }
    }

    #[tokio::test]
    async fn a_client_of_another_family_is_left_aside() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let from = LocalEnd::Client("2001:db8::1".parse().unwrap());
        let (connected, accepted) = tokio::join!(connect(to, Some(from)), listener.accept());
        assert!(accepted.unwrap().1.ip().is_loopback());
        drop(connected.unwrap());
    }
}
