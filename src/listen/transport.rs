//! What a client's bytes come through: the socket, or TLS on it.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// A client's connection below the protocol.
#[derive(Debug)]
pub enum Transport {
    /// The socket itself.
    Plain(TcpStream),
    /// TLS, after its handshake.
    Tls(Box<SslStream<TcpStream>>),
}

impl Transport {
    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref(),
        }
    }

    /// Our end's address.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()
    }

    /// Whether bytes of the client lie in the socket, which the system knows before the runtime does.
    pub fn has_arrived(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let looked = rustix::net::recv(self.socket(), &mut [0_u8; 1], flags);
        looked.is_ok_and(|(count, _)| count > 0)
    }

    /// Ready when a read may bring something.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_read_ready(cx),
            // OpenSSL may have more than the socket, and has something to do for itself now and then.
            Self::Tls(_) => Poll::Ready(Ok(())),
        }
    }

    /// Says goodbye in the words of the transport, then waits until the client has closed its side, for at most
    /// `patience`: closing a socket with something unread in it resets the connection, and what was sent last is lost.
    pub async fn close_gently(self, patience: Duration) {
        let closed = async {
            let mut socket = match self {
                Self::Plain(socket) => socket,
                Self::Tls(stream) => return drain_tls(*stream).await,
            };
            socket.shutdown().await?;
            drain(&mut socket).await
        };
        drop(tokio::time::timeout(patience, closed).await);
    }
}

async fn drain_tls(mut stream: SslStream<TcpStream>) -> io::Result<()> {
    // It may have been said before, and then OpenSSL complains of what the client has sent since: no reason to hang up.
    drop(stream.shutdown().await);
    let socket = stream.get_mut();
    socket.shutdown().await?;
    // What still comes is of no interest, so it isn't decrypted either.
    drain(socket).await
}

async fn drain(socket: &mut TcpStream) -> io::Result<()> {
    tokio::io::copy(socket, &mut tokio::io::sink())
        .await
        .map(drop)
}

forward_stream!(Transport: Self::Plain(socket) => socket, Self::Tls(stream) => &mut **stream);
