//! The server of a try: the session's own or the pool's pick, and how it is connected to.

use std::sync::Arc;
use std::time::Instant;

use pingora::Result;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::Session;

use super::answer::gone;
use super::context::Context;
use super::failure::Failure;
use super::retry::{fail, note_try};
use crate::descriptors;
use crate::dispatch;
use crate::observe::PickedBy;
use crate::shortage;
use crate::upstream;

/// Takes a place on a server for the next try.
///
/// # Errors
///
/// There is none, or nowhere to connect to, or the client has gone meanwhile.
pub async fn peer(session: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
    let Some(target) = context.target().cloned() else {
        return Err(fail(context, Failure::Internal));
    };
    let way = &mut context.upstream;
    if let Some(pause) = way.pause.take() {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = gone(session) => return Err(fail(context, Failure::ClientGone)),
        }
    }
    // A lease that is still there is for a fresh connection to the same server.
    if way.lease.is_none() {
        let chosen = tokio::select! {
            biased;
            chosen = dispatch::choose(&target, &mut context.binding, &way.tried) => {
                chosen.map_err(Failure::from)
            }
            // Nobody is to wait in the queue for a client that has gone.
            () = gone(session) => Err(Failure::ClientGone),
        };
        match chosen {
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
                return Err(fail(context, failure));
            }
        }
    }
    note_try(context);
    let patience = context.connect_timeout().unwrap_or_default();
    // Who has to wait for a descriptor does so here, where it isn't the server that takes time to connect.
    let place = if descriptors::is_short() && !target.link.http2() {
        tokio::select! {
            biased;
            place = descriptors::server(patience) => match place {
                Ok(place) => Some(place),
                Err(shortage) => {
                    shortage::tell(shortage, "a server could not be connected to");
                    context.upstream.lease = None;
                    return Err(fail(context, Failure::OwnShortage));
                }
            },
            () = gone(session) => return Err(fail(context, Failure::ClientGone)),
        }
    } else {
        None
    };
    // Should it be short all the same, the server is to have some of that time.
    let patience = patience / 2;
    let way = &mut context.upstream;
    way.begun = Some(Instant::now());
    way.first_byte = None;
    // A retry sends what was buffered of the body once more.
    context.body_bytes = 0;
    context.response_ended = false;
    context.failure = None;
    let fresh = way.stale_retries;
    let settings = target.pool.settings();
    let link = &target.link;
    // To HTTP/2 it is an ordinary request (RFC 9110 section 7.8), or was refused.
    way.tunnel = (session.is_upgrade_req() && !link.http2()).then(Arc::default);
    let upgrade = way.tunnel.clone();
    let found = way.lease.as_ref().and_then(|lease| {
        upstream::for_request(lease.server(), &settings, link, fresh, upgrade, patience)
    });
    let Some(found) = found else {
        return Err(fail(context, Failure::Connect));
    };
    let mut peer = found.peer;
    if let (Some(keeping), Some(place)) = (&found.keeping, place) {
        keeping.reserve(place);
    }
    (way.keeping, way.reused) = (found.keeping, false);
    way.destination = Some(found.destination);
    if let Some(route) = &context.route {
        route.limit(&mut peer.options);
    }
    Ok(peer)
}
