//! Servers that are found by DNS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where a pool's servers are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The name that stands for them.
    pub dns: DiscoveredName,
    /// Between two look-ups, at most.
    pub interval: Duration,
    /// With fewer servers an answer is not taken, if there is an earlier one. At least 1.
    pub min: usize,
    /// The name servers; `None` = as the machine resolves names.
    pub resolvers: Option<Vec<SocketAddr>>,
}

/// A name that stands for servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoveredName {
    /// Each address of it is a server at that port.
    Addresses(Arc<str>, u16),
    /// Its SRV records name the servers.
    Services(Arc<str>),
}

impl DiscoveredName {
    /// The name alone.
    pub fn host(&self) -> &Arc<str> {
        match self {
            Self::Addresses(host, _) => host,
            Self::Services(name) => name,
        }
    }
}
