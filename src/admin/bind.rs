//! Taking the admin listener's address.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::host::HostCheck;
use crate::config::model::AdminBind;

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

    /// Which `Host` headers are believed here.
    pub(super) fn host_check(&self) -> HostCheck {
        match self.tcp_address() {
            Some(address) if address.ip().is_loopback() => HostCheck::ThisMachine,
            _ => HostCheck::Any,
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
            let listener = bind_unix(path)?;
            listener.set_nonblocking(true)?;
            let file = Arc::new(SocketFile::new(path)?);
            fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
            Ok(Listener::Unix(listener, file))
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// A socket that nobody listens on; never another kind of file.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A Unix socket's file, removed on drop unless another process has put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Nothing depends on it: the next start replaces what is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
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

    #[test]
    fn a_left_over_socket_is_replaced_a_live_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin.sock");
        // What a killed process leaves behind: the file without a listener.
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        let live = bind(&AdminBind::Unix(path.clone())).expect("replaced");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let error = bind(&AdminBind::Unix(path.clone())).expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(live);
        assert!(!path.exists());
    }

    #[test]
    fn other_files_and_other_processes_sockets_are_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin.sock");
        fs::write(&path, "precious").expect("written");
        assert!(bind(&AdminBind::Unix(path.clone())).is_err());
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
        fs::remove_file(&path).expect("removed");
        let ours = bind(&AdminBind::Unix(path.clone())).expect("bound");
        let moved = dir.path().join("moved.sock");
        fs::rename(&path, &moved).expect("renamed");
        let _theirs = UnixListener::bind(&path).expect("bound");
        drop(ours);
        assert!(path.exists(), "the successor's socket stays");
    }
}
