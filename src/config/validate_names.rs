//! Pools by the name that clients ask for by TLS.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::checks::{Checks, entries};
use super::model::HostPattern;
use super::raw;
use super::scalar::Scalar as _;
use super::tree::At;

/// The routes of a listener of protocol tcp. What is wrong with them is noted at its place.
pub(super) fn sni_routes(
    raw: &raw::Listener,
    at: &At<'_>,
    pools: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) -> Vec<(HostPattern, Arc<str>)> {
    if at.is_written() && raw.protocol == raw::Protocol::Tls {
        checks.note(
            at,
            "has a meaning for protocol tcp alone: with protocol tls the name is looked at to choose a certificate",
        );
    }
    let mut routes: Vec<(HostPattern, Arc<str>)> = Vec::new();
    for ((text, pool), entry) in raw.tcp.sni_routes.0.iter().zip(entries(at)) {
        let at = at.entry(entry);
        let pattern = match HostPattern::parse(text) {
            Ok(HostPattern::Exact(name)) if is_address(&name) => {
                checks.note(
                    &at,
                    "is an address, which no client asks for by TLS (RFC 6066 section 3)",
                );
                continue;
            }
            Ok(pattern) => pattern,
            Err(message) => {
                checks.note(&at, message);
                continue;
            }
        };
        if routes.iter().any(|(other, _)| *other == pattern) {
            checks.note(
                &at,
                format!(
                    "is there twice: case and a dot at the end make no difference to {pattern}"
                ),
            );
            continue;
        }
        if let Some(pool) = pools.get(pool.0.as_str()) {
            routes.push((pattern, Arc::clone(pool)));
        }
    }
    routes
}

fn is_address(name: &str) -> bool {
    name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok()
}
