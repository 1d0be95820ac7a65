//! When this process or its machine has run out of something that a connection needs.
//!
//! Such a failure says nothing about whoever was to be connected to: no server is blamed for it, no check has failed, and
//! no other server would do better. What there is to spend, and on what, is in [`crate::descriptors`].

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use parking_lot::Mutex;

/// What this process, or its machine, has run out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The process's limit of open files (`EMFILE`), or its budget within that limit.
    #[error("this process has no file descriptor left (raise LimitNOFILE or ulimit -n)")]
    Descriptors,
    /// The machine's limit of open files (`ENFILE`).
    #[error("this machine has no file descriptor left (raise fs.file-max)")]
    Files,
    /// All local ports to that address are in use (`EADDRNOTAVAIL`).
    #[error("no local port is left to connect from (raise net.ipv4.ip_local_port_range)")]
    Ports,
    /// Memory of the kernel's (`ENOBUFS`, `ENOMEM`).
    #[error("this machine has no memory left for a connection")]
    Memory,
}

impl Shortage {
    /// Whether an error of the system's is one of these. `to` is where it was connected to, if that is what failed.
    pub fn of(error: &io::Error, to: Option<SocketAddr>) -> Option<Self> {
        match Errno::from_raw(error.raw_os_error()?) {
            Errno::EMFILE => Some(Self::Descriptors),
            Errno::ENFILE => Some(Self::Files),
            Errno::ENOBUFS | Errno::ENOMEM => Some(Self::Memory),
            // Also said of an address that no address of this machine goes with, as ::1 where IPv6 is switched off.
            Errno::EADDRNOTAVAIL if to.is_none_or(has_source) => Some(Self::Ports),
            _ => None,
        }
    }
}

/// Whether this machine has an address to reach that one from. Nothing is sent.
fn has_source(to: SocketAddr) -> bool {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    UdpSocket::bind(any)
        .and_then(|socket| socket.connect(to))
        .is_ok()
}

/// How soon a shortage is told of again.
const AGAIN: Duration = Duration::from_secs(60);

/// What was met of late, by whoever meets it: thousands do at once.
#[derive(Debug, Default)]
struct Report {
    last: Mutex<Option<Instant>>,
    since: AtomicU64,
}

impl Report {
    const fn new() -> Self {
        Self {
            last: Mutex::new(None),
            since: AtomicU64::new(0),
        }
    }

    /// Notes one at `now`. If it is to be told: how many there were since the last one told, this one included.
    fn note(&self, now: Instant) -> Option<u64> {
        self.since.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last.try_lock()?;
        if last.is_some_and(|last| now.saturating_duration_since(last) < AGAIN) {
            return None;
        }
        *last = Some(now);
        Some(self.since.swap(0, Ordering::Relaxed))
    }
}

/// Says in the log that something could not be done for this shortage: once a minute, for all who meet it.
pub fn tell(shortage: Shortage, undone: &str) {
    static REPORT: Report = Report::new();
    if let Some(times) = REPORT.note(Instant::now()) {
        tracing::error!(times, "{undone}: {shortage}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_have_run_out_of_is_told_from_what_a_server_did() {
        let of = |errno: Errno| Shortage::of(&io::Error::from_raw_os_error(errno as i32), None);
        assert_eq!(of(Errno::EMFILE), Some(Shortage::Descriptors));
        assert_eq!(of(Errno::ENFILE), Some(Shortage::Files));
        assert_eq!(of(Errno::EADDRNOTAVAIL), Some(Shortage::Ports));
        assert_eq!(of(Errno::ENOBUFS), Some(Shortage::Memory));
        assert_eq!(of(Errno::ENOMEM), Some(Shortage::Memory));
        for theirs in [
            Errno::ECONNREFUSED,
            Errno::ETIMEDOUT,
            Errno::ECONNRESET,
            Errno::EHOSTUNREACH,
            Errno::EACCES,
        ] {
            assert_eq!(of(theirs), None, "{theirs}");
        }
        assert_eq!(
            Shortage::of(&io::ErrorKind::TimedOut.into(), None),
            None,
            "no error of the system's"
        );
    }

    #[test]
    fn no_port_is_a_shortage_only_where_there_is_an_address_to_connect_from() {
        let error = io::Error::from_raw_os_error(Errno::EADDRNOTAVAIL as i32);
        let loopback = "127.0.0.1:80".parse().ok();
        assert_eq!(Shortage::of(&error, loopback), Some(Shortage::Ports));
        // A link-local address without a link: there is nothing to connect from.
        let nowhere = "[fe80::1]:80".parse().ok();
        assert_eq!(Shortage::of(&error, nowhere), None);
    }

    #[test]
    fn thousands_are_told_once_a_minute() {
        let (report, start) = (Report::default(), Instant::now());
        assert_eq!(report.note(start), Some(1));
        for n in 0..1000 {
            assert_eq!(report.note(start + Duration::from_millis(n)), None);
        }
        assert_eq!(report.note(start + AGAIN), Some(1001));
    }
}
