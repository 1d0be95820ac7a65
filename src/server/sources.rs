//! What connecting from other addresses than the system's choice needs of this machine (`pools.*.source`).

use std::net::SocketAddr;
use std::{fmt, fs};

use crate::config::model::{Config, Pool, PoolServer, ServerAddress, Source};
use crate::config::{Loaded, Problem};
use crate::upstream;

/// All IPv4 routes of this network namespace, of all tables.
const ROUTES_V4: &str = "/proc/net/fib_trie";
/// All IPv6 routes.
const ROUTES_V6: &str = "/proc/net/ipv6_route";

/// What `source` needs and this process, or its machine, doesn't have. It may come yet, so nothing is refused for it.
pub fn missing(loaded: &Loaded) -> Vec<Problem> {
    let mut found = Vec::new();
    for pool in &loaded.config.pools {
        let at = ["pools", &*pool.name, "source"];
        match pool.source {
            None => {}
            Some(Source::Address(address)) => {
                if let Err(reason) = upstream::may_be_own(address) {
                    found.push(loaded.problem(&at, reason));
                }
            }
            Some(Source::Client) => {
                let lacks = lacks(pool, &pool.servers).into_iter();
                found.extend(lacks.map(|lack| loaded.problem(&at, lack.to_string())));
            }
        }
    }
    found
}

/// What `source: client` needs and isn't there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What is missing, in words.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it is missing for every process of this machine that is started alike: a user who isn't root may lack what a
    /// service of that user is given.
    pub is_certain: bool,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// What this process, or its machine, lacks to connect to these servers of a pool from clients' addresses. Sockets of this machine
/// need nothing.
pub fn lacks(pool: &Pool, servers: &[PoolServer]) -> Vec<Lack> {
    let is_local = |server: &PoolServer| matches!(server.address, ServerAddress::Unix(_));
    let is_moot = !servers.is_empty() && servers.iter().all(is_local);
    if pool.source != Some(Source::Client) || is_moot {
        return Vec::new();
    }
    let all = lacks_right().into_iter().chain(no_way_back(servers));
    all.collect()
}

/// That this process may not connect from clients' addresses, if it is so.
pub(super) fn lacks_right() -> Option<Lack> {
    upstream::may_be_transparent().err().map(|what| Lack {
        what,
        remedy: "start as root, or give it to the service (systemd: AmbientCapabilities and CapabilityBoundingSet)".to_owned(),
        is_certain: nix::unistd::geteuid().is_root(),
    })
}

/// Whether servers are to see clients' own addresses.
pub(super) fn are_clients(config: &Config) -> bool {
    let mut pools = config.pools.iter();
    pools.any(|pool| pool.source == Some(Source::Client))
}

/// Tells at the start what is missing.
pub(super) fn tell(loaded: &Loaded) {
    for missing in missing(loaded) {
        tracing::warn!("{missing}");
    }
}

/// What servers say to clients has to be delivered to this process: for which kind of addresses no route does that, in
/// words. Of servers that are given by name or discovered it isn't known here which kind they have: either will do.
fn no_way_back(servers: &[PoolServer]) -> Vec<Lack> {
    let Ok(v4) = fs::read_to_string(ROUTES_V4) else {
        return Vec::new();
    };
    let v6 = fs::read_to_string(ROUTES_V6).unwrap_or_default();
    let (v4, v6) = (delivers_v4(&v4), delivers_v6(&v6));
    let any = |wanted: fn(&SocketAddr) -> bool| {
        let mut addresses = servers.iter().filter_map(|server| match &server.address {
            ServerAddress::Socket(address) => Some(address),
            ServerAddress::Name(..) | ServerAddress::Unix(_) => None,
        });
        addresses.any(wanted)
    };
    let (of_v4, of_v6) = (any(SocketAddr::is_ipv4), any(SocketAddr::is_ipv6));
    let mut missing = Vec::new();
    if !v4 && (of_v4 || (!of_v6 && !v6)) {
        missing.push(delivered_nowhere("", "ip"));
    }
    if !v6 && of_v6 {
        missing.push(delivered_nowhere("IPv6 ", "ip -6"));
    }
    missing
}

fn delivered_nowhere(kind: &str, ip: &str) -> Lack {
    Lack {
        what: format!(
            "what servers answer to clients' {kind}addresses is delivered nowhere: no route takes such addresses for this machine's own"
        ),
        remedy: format!(
            "add, for the interface that the servers are behind: {ip} rule add iif IFACE lookup 100; \
             {ip} route add local default dev lo table 100"
        ),
        is_certain: true,
    }
}

/// Whether some table has a local route for more than one address, but for the loopback network.
fn delivers_v4(fib_trie: &str) -> bool {
    let mut address = "";
    for line in fib_trie.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf;
        } else if let Some(route) = line.strip_prefix('/')
            && route.ends_with(" LOCAL")
            && !route.starts_with("32 ")
            && address != "127.0.0.0"
        {
            return true;
        }
    }
    false
}

/// The same of IPv6: destination, length of its prefix, …, flags, interface, in hexadecimal.
fn delivers_v6(ipv6_route: &str) -> bool {
    /// `RTF_LOCAL` of linux/ipv6_route.h.
    const LOCAL: u32 = 0x8000_0000;
    ipv6_route.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |place: usize| {
            let text = fields.get(place)?;
            u32::from_str_radix(text, 16).ok()
        };
        matches!((number(1), number(8)), (Some(prefix), Some(flags)) if prefix < 128 && flags & LOCAL != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
     |-- 192.0.2.0
        /24 link UNICAST
";

    #[test]
    fn a_local_route_for_others_addresses_is_found() {
        assert!(!delivers_v4(USUAL));
        let table = "Id 100:\n  +-- 0.0.0.0/0 2 0 2\n     |-- 0.0.0.0\n        /0 host LOCAL\n";
        assert!(delivers_v4(&format!("{table}{USUAL}")));
        assert!(delivers_v4(
            &USUAL.replace("/24 link UNICAST", "/24 host LOCAL")
        ));
        assert!(!delivers_v4(""));
    }

    #[test]
    fn the_same_of_ipv6() {
        let zeros = "0".repeat(32);
        let line = |to: &str, prefix: &str, flags: &str| {
            format!(
                "{to} {prefix} {zeros} 00 {zeros} 00000400 00000001 00000000 {flags}       lo\n"
            )
        };
        let own = line("00000000000000000000000000000001", "80", "80200001");
        let usual = line(&zeros, "00", "00200200");
        assert!(!delivers_v6(&format!("{own}{usual}nonsense\n")));
        assert!(delivers_v6(&line(&zeros, "00", "80200001")));
    }
}
