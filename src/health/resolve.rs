//! Name resolution: a server given by name has an address as long as its name resolves.
//!
//! Names are looked up with the system's resolver, off the request path, at the start and then again
//! and again. A name that does not resolve makes its server unavailable and is tried again soon; it
//! never keeps the program from starting. Of several addresses the one in use is kept while it is
//! still among the answers.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::pool::{Endpoint, Pool, Server};

/// How often a name that resolves is looked up again.
const REFRESH: Duration = Duration::from_secs(30);
/// How soon a name that does not resolve is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How long a resolver may take before a name that had no address yet counts as unresolved.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn keep_resolved(pool: Weak<Pool>, server: Arc<Server>, host: Arc<str>, port: u16) {
    loop {
        let lookup = tokio::net::lookup_host((&*host, port));
        let outcome = match tokio::time::timeout(PATIENCE, lookup).await {
            Ok(Ok(addresses)) => choose(&server, addresses.collect())
                .ok_or_else(|| format!("{host} resolves to no address")),
            Ok(Err(error)) => Err(format!("{host} does not resolve: {error}")),
            Err(_) => Err(format!("{host} does not resolve: no answer in 10s")),
        };
        let Some(pool) = pool.upgrade() else { return };
        let again = match outcome {
            Ok(address) => {
                pool.set_resolved(&server, Ok(Endpoint::Inet(address)));
                REFRESH
            }
            // An address that served until now is better than none: the checks will tell if it isn't.
            Err(reason) if server.endpoint().is_some() => {
                tracing::warn!(
                    pool = &**pool.name(),
                    server = &**server.name(),
                    reason,
                    "name no longer resolves, keeping the last address"
                );
                REFRESH
            }
            Err(reason) => {
                pool.set_resolved(&server, Err(reason));
                RETRY
            }
        };
        drop(pool);
        tokio::time::sleep(again).await;
    }
}

fn choose(server: &Server, addresses: Vec<SocketAddr>) -> Option<SocketAddr> {
    if let Some(Endpoint::Inet(current)) = server.endpoint().as_deref()
        && addresses.contains(current)
    {
        return Some(*current);
    }
    addresses.into_iter().next()
}
