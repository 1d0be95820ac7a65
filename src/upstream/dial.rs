//! Connections that are made here and not by Pingora: our own handshake, with its own words.
//!
//! Pingora can't keep a connection whose handshake is ours, so those are for what is not kept: health checks, and
//! requests that may switch protocols. Of other requests' connections only the first part is made here
//! ([`super::keeping`]).

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::net::{TcpStream, UnixStream};
use tokio_openssl::SslStream;

use super::keeping::Keeping;
use super::link::Link;
use super::patient::Patient;
use super::reach::reach;
use crate::pool::{Address, Endpoint, Server};
use crate::shortage::Shortage;
use crate::tunnel::Tunnel;

/// A handshake of ours failed; the error's context says why, in words.
pub const TLS_FAILED: ErrorType = ErrorType::Custom("UpstreamTls");

/// Connects to a server, at the one of its addresses that answers. Whoever uses it limits the time.
#[derive(Debug)]
pub struct Dialer {
    server: Arc<Server>,
    port: Option<u16>,
    purpose: Purpose,
    reached: OnceLock<Arc<Address>>,
}

#[derive(Debug)]
enum Purpose {
    /// For a check: by the rules of the link.
    Check(Arc<Link>),
    /// The same for a request that may switch protocols.
    Upgrade(Arc<Link>, Arc<Keeping>, Upgrade),
}

/// What a connection for a request has to know that may switch protocols.
#[derive(Debug)]
pub struct Upgrade {
    /// What becomes of it then.
    pub tunnel: Arc<Tunnel>,
    /// How long the client may be silent when the server has finished.
    pub quiet: Duration,
}

impl Dialer {
    /// For a check, at that port if one is given.
    pub fn for_check(server: &Arc<Server>, port: Option<u16>, link: &Arc<Link>) -> Self {
        Self::new(server, port, Purpose::Check(Arc::clone(link)))
    }

    /// For a request that may switch protocols.
    pub fn for_upgrade(
        server: &Arc<Server>,
        link: &Arc<Link>,
        keeping: &Arc<Keeping>,
        upgrade: Upgrade,
    ) -> Self {
        let purpose = Purpose::Upgrade(Arc::clone(link), Arc::clone(keeping), upgrade);
        Self::new(server, None, purpose)
    }

    fn new(server: &Arc<Server>, port: Option<u16>, purpose: Purpose) -> Self {
        Self {
            server: Arc::clone(server),
            port,
            purpose,
            reached: OnceLock::new(),
        }
    }

    /// Where it connected to for a check, if it did.
    pub fn reached(&self) -> Option<&Arc<Address>> {
        self.reached.get()
    }

    async fn secure(&self, link: &Link, raw: Raw) -> Result<Dialed> {
        let Some(secure) = link.secure() else {
            return Ok(Dialed::Plain(raw));
        };
        let name = link.name(&self.server);
        match secure
            .handshake(name.as_ref(), Some(link.alpn()), raw)
            .await
        {
            Ok(stream) => Ok(Dialed::Tls(Box::new(stream))),
            Err(trouble) => Error::e_explain(TLS_FAILED, trouble.what),
        }
    }
}

#[async_trait]
impl L4Connect for Dialer {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        let socket: Box<dyn VirtualSocket> = match &self.purpose {
            Purpose::Check(link) => {
                let (raw, address) = reach_server(&self.server, self.port).await?;
                // Once for each Dialer, as each is for one connection.
                drop(self.reached.set(address));
                Box::new(self.secure(link, raw).await?)
            }
            Purpose::Upgrade(link, keeping, Upgrade { tunnel, quiet }) => {
                let raw = keeping.reach().await?;
                let stream = self.secure(link, raw).await?;
                Box::new(Patient::new(stream, Arc::clone(tunnel), *quiet))
            }
        };
        Ok(VirtualSocketStream::new(socket).into())
    }
}

/// Connects to a server. Its error is one of Pingora's.
pub(super) async fn reach_server(
    server: &Server,
    port: Option<u16>,
) -> Result<(Raw, Arc<Address>)> {
    reach(server, port).await.map_err(|unreachable| {
        if let Some(shortage) = unreachable.own_shortage() {
            return out_of(shortage);
        }
        // The last one is the one that had the most time.
        let error = unreachable.errors().last().map(io::Error::kind);
        let kind = match error {
            Some(io::ErrorKind::ConnectionRefused) => ErrorType::ConnectRefused,
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                ErrorType::ConnectNoRoute
            }
            Some(io::ErrorKind::TimedOut) => ErrorType::ConnectTimedout,
            _ => ErrorType::ConnectError,
        };
        Error::because(kind, unreachable.to_string(), unreachable)
    })
}

/// Something of ours is missing for a connection.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
pub(super) fn out_of(shortage: Shortage) -> Box<Error> {
    Error::because(ErrorType::ConnectError, "", shortage)
}

/// Connects to an endpoint.
///
/// # Errors
///
/// The system's.
pub async fn connect(endpoint: &Endpoint) -> io::Result<Raw> {
    match endpoint {
        Endpoint::Inet(address) => inet(*address).await,
        Endpoint::Unix(path) => UnixStream::connect(path).await.map(Raw::Unix),
    }
}

async fn inet(address: std::net::SocketAddr) -> io::Result<Raw> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Raw::Tcp(stream))
}

/// A connection below any protocol.
#[derive(Debug)]
pub enum Raw {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A connection to a server.
#[derive(Debug)]
enum Dialed {
    Plain(Raw),
    Tls(Box<SslStream<Raw>>),
}

impl VirtualSocket for Dialed {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        // What it needs is set when it is made.
        Ok(())
    }
}

forward_stream!(Raw: Self::Tcp(stream) => stream, Self::Unix(stream) => stream);
forward_stream!(Dialed: Self::Plain(stream) => stream, Self::Tls(stream) => &mut **stream);
