//! `pools.NAME.discovery` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::discovery_text::{DiscoveredName, NameServer};
use super::super::units::Span;
use super::OneOrMany;

/// Servers that DNS names, instead of a list of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// host:port, each of whose addresses (A and AAAA) is a server at that port; or a name of services (SRV) such as
    /// _http._tcp.example.com, whose records say ports, weights and, by their priorities, who is a backup.
    pub dns: DiscoveredName,
    /// Between two look-ups, 100ms to 1h; less if the records' TTL is shorter, though not below 1s for that.
    #[serde(default = "interval")]
    pub interval: Span,
    /// An answer with fewer servers is not taken, as long as there is an earlier one.
    #[serde(default = "min")]
    #[schemars(range(min = 1, max = 1000))]
    pub min: u32,
    /// system: as the machine resolves names, with its /etc/resolv.conf and /etc/hosts; or the addresses of name servers.
    #[serde(default = "resolvers")]
    #[schemars(length(min = 1))]
    pub resolvers: OneOrMany<NameServer>,
}

fn interval() -> Span {
    Span::secs(10)
}

fn min() -> u32 {
    1
}

fn resolvers() -> OneOrMany<NameServer> {
    OneOrMany(vec![NameServer::System])
}
