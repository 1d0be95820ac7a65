//! The sockets of a connection, on either side, and how they end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use openssl::ssl::ErrorCode;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_openssl::SslStream;

use super::pipe::Socket;
use crate::listen::{ClientStream, Transport};

/// A stream of bytes that can be watched without being read.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// Whether it broke meanwhile. Tells an error once.
    fn has_failed(&self) -> bool;

    /// Makes its end a reset.
    fn reset_at_close(&self);

    /// The socket, if bytes go over it as they are and none of them are here already.
    fn plain(&self) -> Option<Socket<'_>> {
        None
    }

    /// Whether the end that was just read is none: TLS says goodbye, and who doesn't was cut off (RFC 8446
    /// section 6.1).
    fn is_cut_off(&mut self, cx: &mut Context<'_>) -> bool;
}

/// A connection to a server.
#[derive(Debug)]
pub enum ServerWire {
    /// Over TCP, with or without TLS.
    Inet(Transport),
    /// To a Unix socket.
    Unix(UnixStream),
    /// To a Unix socket, with TLS.
    UnixTls(Box<SslStream<UnixStream>>),
}

impl ServerWire {
    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Inet(transport) => SockRef::from(transport.socket()),
            Self::Unix(stream) => SockRef::from(stream),
            Self::UnixTls(stream) => SockRef::from(stream.get_ref()),
        }
    }
}

impl Wire for Transport {
    fn has_failed(&self) -> bool {
        failed(&SockRef::from(self.socket()))
    }

    fn reset_at_close(&self) {
        reset_at_close(&SockRef::from(self.socket()));
    }

    fn plain(&self) -> Option<Socket<'_>> {
        match self {
            Self::Plain(socket) => Some(Socket::Tcp(socket)),
            Self::Tls(_) => None,
        }
    }

    fn is_cut_off(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => is_cut_off(stream, cx),
        }
    }
}

impl Wire for ClientStream {
    fn has_failed(&self) -> bool {
        self.transport().is_ok_and(Wire::has_failed)
    }

    fn reset_at_close(&self) {
        if let Ok(transport) = self.transport() {
            transport.reset_at_close();
        }
    }

    fn is_cut_off(&mut self, cx: &mut Context<'_>) -> bool {
        self.transport_mut()
            .is_ok_and(|transport| transport.is_cut_off(cx))
    }
}

impl Wire for ServerWire {
    fn has_failed(&self) -> bool {
        failed(&self.socket())
    }

    fn reset_at_close(&self) {
        reset_at_close(&self.socket());
    }

    fn plain(&self) -> Option<Socket<'_>> {
        match self {
            Self::Inet(transport) => transport.plain(),
            Self::Unix(socket) => Some(Socket::Unix(socket)),
            Self::UnixTls(_) => None,
        }
    }

    fn is_cut_off(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Inet(transport) => transport.is_cut_off(cx),
            Self::Unix(_) => false,
            Self::UnixTls(stream) => is_cut_off(stream, cx),
        }
    }
}

fn is_cut_off<S>(stream: &mut SslStream<S>, cx: &mut Context<'_>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Reading takes both for an end; only a look ahead tells them apart.
    let looked = Pin::new(stream).poll_peek(cx, &mut [0]);
    !matches!(looked, Poll::Ready(Err(error)) if error.code() == ErrorCode::ZERO_RETURN)
}

fn failed(socket: &SockRef<'_>) -> bool {
    !matches!(socket.take_error(), Ok(None))
}

fn reset_at_close(socket: &SockRef<'_>) {
    // With no time to linger, close(2) resets (socket(7)). If it can't be set, the connection has gone already.
    drop(socket.set_linger(Some(Duration::ZERO)));
}

/// A connection that is reset when it is dropped, unless it has been ended in order: whoever is at its other end must not
/// take a connection that was cut off for one that is complete.
pub struct Held<W: Wire> {
    /// The connection.
    pub wire: W,
    in_order: bool,
}

impl<W: Wire> Held<W> {
    /// Takes hold of a connection.
    pub fn new(wire: W) -> Self {
        Self {
            wire,
            in_order: false,
        }
    }

    /// Both directions have been ended; it can be closed plainly.
    pub fn end(&mut self) {
        self.in_order = true;
    }

    /// Takes in, for at most `patience`, what the other end still sends, so that closing doesn't reset what is under way to it.
    pub async fn drain(&mut self, patience: Duration) {
        // Its memory is there for as long as this lasts, rather than for as long as the connection does.
        let (wire, void) = (&mut self.wire, &mut tokio::io::sink());
        drop(tokio::time::timeout(patience, tokio::io::copy(wire, void)).await);
    }
}

impl<W: Wire> Drop for Held<W> {
    fn drop(&mut self) {
        if !self.in_order {
            self.wire.reset_at_close();
        }
    }
}

forward_stream!(
    ServerWire:
    Self::Inet(transport) => transport,
    Self::Unix(stream) => stream,
    Self::UnixTls(stream) => &mut **stream
);
