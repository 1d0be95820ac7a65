//! Directories and ports that belong to one test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::{Domain, Socket, Type};

/// A directory that vanishes with its owner; kept when the test panics, so that it can be looked at.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(what: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("equipoise-test-{}-{n}-{what}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it, with its folders, and returns where.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left to look at: {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A port of 127.0.0.1 that nobody else gets while this lives.
///
/// The socket is bound but doesn't listen: connecting is refused, the kernel gives the port to
/// nobody, and whoever sets `SO_REUSEADDR` (every server does) can listen on it.
pub struct ReservedPort {
    socket: Socket,
    address: SocketAddr,
}

impl ReservedPort {
    pub fn new() -> Self {
        Self::at(0)
    }

    /// That port; 0 = the kernel chooses. Only where there is nobody else, as in a namespace of a test's own.
    pub fn at(port: u16) -> Self {
        let socket = reusable_socket();
        socket
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
            .unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Listens on it; dropping the listener makes the port refuse again.
    pub fn listen(&self) -> TcpListener {
        let socket = reusable_socket();
        socket.bind(&self.address.into()).unwrap();
        socket.listen(1024).unwrap();
        socket.into()
    }
}

fn reusable_socket() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket
}
