//! Connections that are made here and not by Pingora: our own handshake, with its own words.
//!
//! Pingora can't keep such connections, so they are for those that are not kept: health checks, and requests that
//! may switch protocols.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::net::{TcpStream, UnixStream};
use tokio_openssl::SslStream;

use super::link::Link;
use super::name::ServerName;
use super::patient::Patient;
use crate::pool::Endpoint;
use crate::tunnel::Tunnel;

/// A handshake of ours failed; the error's context says why, in words.
pub const TLS_FAILED: ErrorType = ErrorType::Custom("UpstreamTls");

/// Connects to a server by the rules of its link. Whoever uses it limits the time.
#[derive(Debug)]
pub struct Dialer {
    /// How the server is spoken to.
    pub link: Arc<Link>,
    /// What it is asked for over TLS.
    pub name: Option<ServerName>,
    /// The connection is for a request that may switch protocols.
    pub upgrade: Option<Upgrade>,
}

/// What a connection for a request has to know that may switch protocols.
#[derive(Debug)]
pub struct Upgrade {
    /// What becomes of it then.
    pub tunnel: Arc<Tunnel>,
    /// How long the client may be silent when the server has finished.
    pub quiet: Duration,
}

#[async_trait]
impl L4Connect for Dialer {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let raw = connect_raw(address).await.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    ErrorType::ConnectNoRoute
                }
                io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
                _ => ErrorType::ConnectError,
            };
            Error::because(kind, "connecting to a server", error)
        })?;
        let stream = match self.link.secure() {
            None => Dialed::Plain(raw),
            Some(secure) => {
                let done = secure
                    .handshake(self.name.as_ref(), Some(self.link.alpn()), raw)
                    .await;
                match done {
                    Ok(stream) => Dialed::Tls(Box::new(stream)),
                    Err(trouble) => return Error::e_explain(TLS_FAILED, trouble.what),
                }
            }
        };
        let socket: Box<dyn VirtualSocket> = match &self.upgrade {
            Some(Upgrade { tunnel, quiet }) => {
                Box::new(Patient::new(stream, Arc::clone(tunnel), *quiet))
            }
            None => Box::new(stream),
        };
        Ok(VirtualSocketStream::new(socket).into())
    }
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

async fn connect_raw(address: &SocketAddr) -> io::Result<Raw> {
    match address {
        SocketAddr::Inet(address) => inet(*address).await,
        SocketAddr::Unix(address) => {
            let path = address
                .as_pathname()
                .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            UnixStream::connect(path).await.map(Raw::Unix)
        }
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
