//! How connections to servers are made: at the address that answers, with our own handshake and its words.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_openssl::SslStream;

use super::caller::Caller;
use super::link::Link;
use super::local_end;
use super::local_end::LocalEnd;
use super::reach::{Unreachable, reach};
use super::roaming::Roaming;
use super::trouble::Trouble;
use crate::descriptors::Place;
use crate::pool::{Address, Endpoint, OpenConnection, Server};
use crate::shortage::Shortage;

/// Why a server was not connected to.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// It can't be reached at any of its addresses.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The handshake failed.
    #[error("TLS failed: {0}")]
    Tls(Trouble),
    /// Something of ours is missing.
    #[error(transparent)]
    OwnShortage(Shortage),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// Pingora's connector says no.
    #[error("{0}")]
    Connector(String),
}

/// Makes one connection to a server, at the one of its addresses that answers, with TLS if the link has it. Pingora's
/// connectors connect by it. Whoever uses it limits the time.
#[derive(Debug)]
pub struct Dialer {
    server: Arc<Server>,
    link: Arc<Link>,
    port: Option<u16>,
    caller: Caller,
    /// The descriptor that was set aside for it.
    place: Mutex<Option<Place>>,
    reached: OnceLock<Arc<Address>>,
    failed: Mutex<Option<DialError>>,
}

impl Dialer {
    /// For a connection to that server, at that port if one is given, for `caller`.
    pub fn new(server: &Arc<Server>, port: Option<u16>, link: &Arc<Link>, caller: Caller) -> Self {
        Self {
            server: Arc::clone(server),
            link: Arc::clone(link),
            port,
            caller,
            place: Mutex::default(),
            reached: OnceLock::new(),
            failed: Mutex::default(),
        }
    }

    /// Brings along the place of the connection, which has it until it is closed.
    pub fn reserve(&self, place: Place) {
        *self.place.lock() = Some(place);
    }

    /// Where it connected to, if it did.
    pub fn reached(&self) -> Option<&Arc<Address>> {
        self.reached.get()
    }

    /// Why it didn't connect. Tells once.
    pub fn failed(&self) -> Option<DialError> {
        self.failed.lock().take()
    }

    async fn dial(&self) -> std::result::Result<Dialed, DialError> {
        let place = self.place.lock().take();
        let (raw, address) =
            reach(&self.server, self.port, &self.caller)
                .await
                .map_err(|unreachable| match unreachable.own_shortage() {
                    Some(shortage) => DialError::OwnShortage(shortage),
                    None => DialError::Unreachable(unreachable),
                })?;
        // Once, as each dialer is for one connection.
        drop(self.reached.set(address));
        let open = self.server.connections().note(&raw);
        let raw = Roaming::new(raw);
        let wire = match self.link.secure() {
            None => Wire::Plain(raw),
            Some(secure) => {
                let name = self.link.name(&self.server);
                let alpn = Some(self.link.alpn());
                let stream = secure.handshake(name.as_ref(), alpn, raw).await;
                Wire::Tls(Box::new(stream.map_err(DialError::Tls)?))
            }
        };
        Ok(Dialed {
            open,
            wire,
            _place: place,
        })
    }
}

#[async_trait]
impl L4Connect for Dialer {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        match self.dial().await {
            Ok(dialed) => Ok(VirtualSocketStream::new(Box::new(dialed)).into()),
            Err(failed) => {
                let kind = match &failed {
                    DialError::Tls(_) => TLS_FAILED,
                    _ => ErrorType::ConnectError,
                };
                let words = failed.to_string();
                *self.failed.lock() = Some(failed);
                Error::e_explain(kind, words)
            }
        }
    }
}

/// The type of Pingora's error for a handshake of ours that failed.
const TLS_FAILED: ErrorType = ErrorType::Custom("UpstreamTls");

/// Connects to an endpoint, from there.
///
/// # Errors
///
/// The system's.
pub async fn connect(endpoint: &Endpoint, from: Option<LocalEnd>) -> io::Result<Raw> {
    match endpoint {
        Endpoint::Inet(address) => inet(*address, from).await,
        Endpoint::Unix(path) => UnixStream::connect(path).await.map(Raw::Unix),
    }
}

async fn inet(address: std::net::SocketAddr, from: Option<LocalEnd>) -> io::Result<Raw> {
    let stream = local_end::connect(address, from).await?;
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

/// A connection to a server, and its place in the budget of descriptors.
#[derive(Debug)]
struct Dialed {
    /// Before the socket, as that is to be closed after it.
    open: OpenConnection,
    wire: Wire,
    _place: Option<Place>,
}

#[derive(Debug)]
enum Wire {
    Plain(Roaming),
    Tls(Box<SslStream<Roaming>>),
}

impl VirtualSocket for Dialed {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        // What it needs is set when it is made.
        Ok(())
    }
}

forward_stream!(Raw: Self::Tcp(stream) => stream, Self::Unix(stream) => stream);
forward_stream!(Wire: Self::Plain(stream) => stream, Self::Tls(stream) => &mut **stream);

impl Raw {
    /// It, watched by the runtime of this thread instead of the one that it was watched by.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn moved_here(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Self::Unix(stream) => Self::Unix(UnixStream::from_std(stream.into_std()?)?),
        })
    }
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.wire).poll_read(cx, buf));
        if buf.filled().len() == before && self.open.was_ended() {
            // A response that ends with its connection isn't complete now.
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
