//! Passive detection.

use std::time::Duration;

/// When a server is ejected that fails real traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Failures in a row; 0 = any number.
    pub consecutive_failures: u32,
    /// How much more it fails than the others of its pool, in percent, up to 100; 0 = however much.
    pub failure_rate: u32,
    /// The last seconds that `failure_rate` is about.
    pub window: Duration,
    /// Requests in the window, at least 1, before `failure_rate` counts.
    pub minimum: u32,
    /// How long it is out the first time.
    pub ejection: Duration,
    /// Servers that may be out at once, in percent, 1 to 100.
    pub max_ejected: u32,
    /// Failed connections count.
    pub on_connect_failure: bool,
    /// Resets count.
    pub on_reset: bool,
    /// Timeouts count.
    pub on_timeout: bool,
    /// Statuses that count.
    pub on_statuses: Vec<u16>,
}

/// How a server failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There was no connection, or no TLS on it.
    ConnectFailure,
    /// It broke off, or answered nonsense.
    Reset,
    /// It didn't answer in time.
    Timeout,
    /// It answered with this status.
    Status(u16),
}

impl OutlierDetection {
    /// Whether such a fault counts as a failure.
    pub fn heeds(&self, fault: Fault) -> bool {
        match fault {
            Fault::ConnectFailure => self.on_connect_failure,
            Fault::Reset => self.on_reset,
            Fault::Timeout => self.on_timeout,
            Fault::Status(status) => self.on_statuses.contains(&status),
        }
    }
}
