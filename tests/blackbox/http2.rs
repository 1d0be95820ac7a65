//! SPEC section 8 over HTTP/2: what is told, limited, refused and survived.

mod bodies;
mod browser;
mod drain;
mod floods;
mod frames;
mod half_close;
mod limits;
mod malformed;
mod memory;
mod messages;
mod pieces;
mod tools;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::common::*;

pub fn one() -> (Origin, Equipoise) {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    (origin, lb)
}

/// A server of raw bytes: the test reads and writes each connection by itself.
pub struct RawOrigin(TcpListener);

impl RawOrigin {
    pub fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// A load balancer before it.
    #[track_caller]
    pub fn behind(&self, listener: &str) -> Equipoise {
        Setup::new()
            .server_at("raw", &self.address().to_string(), "")
            .listener(listener)
            .start()
    }

    /// How many connections there are that nobody has accepted.
    pub fn connections_waiting(&self) -> usize {
        self.0.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| self.0.accept().ok()).count()
    }

    #[track_caller]
    pub fn accept(&self) -> RawServer {
        let (stream, _) = self.0.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        RawServer {
            stream,
            seen: Vec::new(),
        }
    }
}

/// One connection of a [`RawOrigin`].
pub struct RawServer {
    pub stream: TcpStream,
    seen: Vec<u8>,
}

impl RawServer {
    /// Everything up to and including `end`.
    #[track_caller]
    pub fn until(&mut self, end: &str) -> String {
        self.until_or_closed(end)
            .unwrap_or_else(|| panic!("closed before {end:?}"))
    }

    /// As [`Self::until`]; `None` if the connection is closed with nothing more said.
    #[track_caller]
    pub fn until_or_closed(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self
                .seen
                .windows(end.len())
                .position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let part: Vec<u8> = self.seen.drain(..at + end.len()).collect();
                return Some(String::from_utf8_lossy(&part).into_owned());
            }
            let mut buffer = [0; 16 * 1024];
            let read = self.stream.read(&mut buffer).unwrap();
            if read == 0 && self.seen.is_empty() {
                return None;
            }
            assert!(
                read > 0,
                "closed before {end:?}; so far {:?}",
                String::from_utf8_lossy(&self.seen)
            );
            self.seen.extend_from_slice(&buffer[..read]);
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Whether the load balancer closes it; waits, passing over what comes before.
    pub fn is_closed(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) => return e.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

/// The resident memory of a process, in bytes.
pub fn memory(lb: &Equipoise) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", lb.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
