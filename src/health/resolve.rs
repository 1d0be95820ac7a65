//! Name resolution: a server given by name has addresses as long as its name resolves.
//!
//! A name that does not resolve makes its server unavailable; it never keeps the program from starting. Addresses that
//! served until now are kept when the resolver fails.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use super::names;
use crate::pool::{Pool, Server};

/// Follows the server's name, as long as there is the pool.
pub async fn keep_resolved(pool: Weak<Pool>, server: Arc<Server>, host: Arc<str>, port: u16) {
    let mut name = names::follow(&host);
    let mut is_lost = false;
    loop {
        let answer = tokio::select! {
            answer = name.next() => answer,
            () = server.connect_failure() => {
                name.look_again();
                continue;
            }
        };
        let Some(pool) = pool.upgrade() else { return };
        let of_server = (&**pool.name(), &**server.name());
        match answer {
            Ok(found) => {
                let found: Vec<SocketAddr> = found
                    .iter()
                    .map(|address| {
                        let mut address = *address;
                        address.set_port(port);
                        address
                    })
                    .collect();
                if std::mem::take(&mut is_lost) {
                    let (pool, server) = of_server;
                    tracing::info!(pool, server, "name resolves again");
                }
                pool.set_resolved(&server, Ok(&found));
            }
            // Addresses that served until now are better than none: the checks will tell if they aren't.
            Err(reason) if server.addresses().is_some() => {
                let (pool, server) = of_server;
                if !std::mem::replace(&mut is_lost, true) {
                    tracing::warn!(
                        pool,
                        server,
                        reason = &*reason,
                        "name no longer resolves, keeping the last addresses"
                    );
                }
            }
            Err(reason) => pool.set_resolved(&server, Err(reason.to_string())),
        }
    }
}
