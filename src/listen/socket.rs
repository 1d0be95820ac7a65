//! A socket that connections are accepted on, and what it gives.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use crate::workers::{Worker, Workers};

/// A socket that one of the workers accepts on.
pub struct Listener {
    socket: AsyncFd<TcpListener>,
    acceptor: Arc<Worker>,
}

/// A connection that was accepted. No runtime knows of it yet.
pub struct Accepted {
    socket: OwnedFd,
    peer: SocketAddr,
}

impl Listener {
    /// A socket that listens already, and never blocks.
    ///
    /// # Errors
    ///
    /// The system's.
    #[expect(
        deprecated,
        reason = "what follows it is unsafe for the sake of types whose descriptor may change, which this one's can't"
    )]
    pub fn new(socket: TcpListener, workers: &Workers) -> io::Result<Self> {
        let acceptor = Arc::clone(workers.for_socket());
        let socket = {
            let _entered = acceptor.enter();
            AsyncFd::with_interest(socket, Interest::READABLE)?
        };
        Ok(Self { socket, acceptor })
    }

    /// Who accepts on it.
    pub fn acceptor(&self) -> &Arc<Worker> {
        &self.acceptor
    }

    /// Accepts a connection.
    ///
    /// # Errors
    ///
    /// Those of `accept(2)`.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let accept = |socket: &TcpListener| Ok(acceptfrom_with(socket, flags)?);
        let (socket, peer) = self.socket.async_io(Interest::READABLE, accept).await?;
        let peer = peer.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Accepted {
            socket,
            peer: SocketAddr::try_from(peer)?,
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Accepted {
    /// Its other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Has the runtime of this thread watch it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn register(self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.socket.into())
    }
}
