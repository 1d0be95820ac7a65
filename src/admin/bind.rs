//! Taking the admin listener's address.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use super::host::HostCheck;
use crate::config::model::AdminBind;
use crate::unix_socket::{self, SocketFile};

/// A bound admin listener, not yet served.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix socket and its file, which goes when this does.
    Unix(UnixListener, Arc<SocketFile>),
}

impl Listener {
    /// The address that was taken: the port that the kernel chose, if it was asked to.
    pub fn tcp_address(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// There are no more file descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener, file) => Self::Unix(listener.try_clone()?, Arc::clone(file)),
        })
    }

    /// Its file goes, or doesn't, when this does.
    pub fn leave_file(&self, is_left: bool) {
        if let Self::Unix(_, file) = self {
            file.leave(is_left);
        }
    }

    /// Which `Host` headers are believed here.
    pub(super) fn host_check(&self) -> HostCheck {
        match self.tcp_address() {
            Some(address) if address.ip().is_loopback() => HostCheck::ThisMachine,
            _ => HostCheck::Any,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// Takes the address, before any runtime is there. A Unix socket's file gets mode 0660; one that an
/// earlier process left behind is replaced, one that someone listens on is not.
///
/// # Errors
/// The address is in use, not this machine's, or not permitted.
pub fn bind(address: &AdminBind) -> io::Result<Listener> {
    match address {
        AdminBind::Tcp(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Listener::Tcp(listener))
        }
        AdminBind::Unix(path) => {
            let (listener, file) = unix_socket::listen(path, 0o660)?;
            Ok(Listener::Unix(listener, Arc::new(file)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_an_error() {
        let first = bind(&AdminBind::Tcp("127.0.0.1:0".parse().unwrap())).expect("bound");
        let address = first.tcp_address().expect("TCP");
        let error = bind(&AdminBind::Tcp(address)).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
