//! The TCP proxy: a client's bytes to a server and back, as they come.
//!
//! [`serve`] is a connection's whole life. It gets a server ([`connect`]) before anything is read from the client, so that
//! servers that speak first are served alike, unless which one depends on what the client says ([`preview`]); then both directions are moved ([`relay`](crate::relay)) until both have ended, one has
//! broken, or nothing has moved for too long. How one side ends is what the other side gets to see: an end for an end, a
//! reset for a reset ([`Wire`](crate::relay::Wire)).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::listen::{Admitted, Ends, Transport};
use crate::relay::{End, Held, relay_after};
use crate::tls::Established;

mod connect;
mod ledger;
mod names;
mod preview;
mod site;

use connect::NoWay;
use ledger::Ledger;
use preview::preview;
pub use site::{Listener, Site};

/// How long what a client still sends is taken in and thrown away, after its server has said all and left.
const LINGER: Duration = Duration::from_secs(2);

/// Serves one accepted connection to its end.
pub async fn serve(
    listener: Arc<Listener>,
    transport: Transport,
    tls: Option<Established>,
    ends: Ends,
    admitted: Admitted,
) {
    let site = listener.site.load_full();
    let began = (SystemTime::now(), Instant::now());
    let mut ledger = Ledger::new(
        &listener.access_log,
        &site,
        &ends,
        tls.as_ref(),
        admitted.metrics(),
        began,
    );
    let mut client = Held::new(transport);
    let first = match &site.names {
        Some(names) => {
            let Ok(preview) = preview(&mut client.wire, site.patience).await else {
                ledger.termination = NoWay::ClientGone.termination();
                return;
            };
            let named = preview.name.as_deref().and_then(|name| names.find(name));
            ledger.target = named.unwrap_or(&site.target);
            ledger.name = preview.name;
            preview.bytes
        }
        None => Vec::new(),
    };
    // Boxed, because it needs much memory for a moment, and the connection may last for days.
    let reached = Box::pin(connect::reach(&site, &mut ledger, &client.wire)).await;
    let (wire, stay) = match reached {
        Ok(reached) => reached,
        Err(no_way) => {
            ledger.note_unheard(first.len());
            ledger.termination = no_way.termination();
            if let Some(reason) = no_way.reject_reason() {
                ledger.metrics().rejected.inc(reason);
            }
            return;
        }
    };
    let mut server = Held::new(wire);
    let end = {
        let (client, server) = (&mut client.wire, &mut server.wire);
        let relayed = relay_after(first, client, server, &mut ledger, &site.tcp);
        // In one place, whoever waits for it.
        let mut relayed = std::pin::pin!(relayed);
        match &stay {
            Some(stay) => stay.during(relayed.as_mut()).await,
            None => relayed.await,
        }
    };
    ledger.termination = end.termination();
    ledger.note_outcome(end);
    if matches!(end, End::Complete | End::ServerLeft) {
        client.end();
        server.end();
    }
    drop((server, ledger));
    if end == End::ServerLeft {
        client.drain(LINGER).await;
    }
    drop(client);
    if let Some(stay) = stay {
        stay.renew().await;
    }
}

#[cfg(test)]
mod tests;
