//! The server of a try: the session's own or the pool's pick.

use std::sync::Arc;
use std::time::Instant;

use pingora::upstreams::peer::HttpPeer;

use crate::dispatch;
use crate::http::context::Context;
use crate::http::failure::Failure;
use crate::http::forward::retry::note_try;
use crate::observe::PickedBy;
use crate::upstream;

/// Takes a place on a server for the next try. May be dropped at any time: a request that waits in the queue leaves
/// nothing there.
///
/// # Errors
///
/// There is none, or nowhere to connect to.
pub async fn peer(context: &mut Context) -> Result<Box<HttpPeer>, Failure> {
    let Some(target) = context.target().cloned() else {
        return Err(Failure::Internal);
    };
    let way = &mut context.upstream;
    if let Some(pause) = way.pause.take() {
        tokio::time::sleep(pause).await;
    }
    // A lease that is still there is for a fresh connection to the same server.
    if way.lease.is_none() {
        let chosen = dispatch::choose(&target, &mut context.binding, &way.tried).await;
        match chosen.map_err(Failure::from) {
            Ok((lease, by)) => {
                let by = match by {
                    PickedBy::Balance if way.attempts > 0 => PickedBy::Retry,
                    by => by,
                };
                lease.server().metrics().picks.inc(by);
                way.lease = Some(lease);
            }
            Err(failure) => {
                // With no server left to try, the failure of the last one is the news.
                let failure = match (failure, context.failure) {
                    (Failure::NoServer | Failure::QueueFull, Some(before)) => before,
                    (now, _) => now,
                };
                return Err(failure);
            }
        }
    }
    let now = Instant::now();
    note_try(context, now);
    let way = &mut context.upstream;
    (way.begun, way.first_byte, way.reused) = (Some(now), None, false);
    // A retry sends what was kept of the body once more.
    context.body_bytes = 0;
    context.failure = None;
    let found = way.lease.as_ref().and_then(|lease| {
        let server = lease.server();
        let addresses = server.addresses()?;
        let peer = upstream::peer(server)?;
        (way.moves, way.address) = (addresses.moves(), Some(Arc::clone(addresses.used())));
        Some(peer)
    });
    found.ok_or(Failure::Connect)
}
