//! A request's way to a server and back: choose, open, exchange, and another try where one is safe.

use std::future::poll_fn;
use std::sync::Arc;

use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::ProxyHttp;
use tokio::time::timeout;

use crate::http::Edge;
use crate::http::answer;
use crate::http::context::{Context, HookContext, Incoming};
use crate::http::facade::StandIn;
use crate::http::failure::Failure;
use crate::http::record::RequestRecord;
use crate::http::request::departure;
use crate::http::wire;
use crate::http::wire::Client;
use crate::http::wire::client::LOOK;
use crate::http::wire::message::RequestHeader;
use crate::upstream;

pub mod backoff;
pub mod choice;
mod exchange;
mod open;
mod response;
pub mod retry;
mod tunnel;
mod upload;
mod waits;

use exchange::TryError;
use retry::Sent;
use upload::Upload;

/// Serves a request whose pool is known.
///
/// # Errors
///
/// Why it has no whole response.
pub async fn forward(record: &mut RequestRecord) -> Result<(), Failure> {
    let RequestRecord {
        context: hooks,
        incoming,
        ..
    } = record;
    let Incoming {
        request: original,
        client,
    } = &mut **incoming;
    let target = hooks.as_ref().and_then(|context| context.target());
    let replay_buffer = target.map_or(0, |target| target.pool.settings().retries.replay_buffer);
    let mut upload = Upload::new(client, replay_buffer);
    loop {
        let peer = tokio::select! {
            biased;
            peer = choose(hooks) => peer?,
            // Nobody is to wait in the queue for a client that has gone.
            () = gone(client) => return Err(Failure::ClientGone),
        };
        let Some(context) = hooks.as_deref_mut() else {
            return Err(Failure::Internal);
        };
        let (failure, verdict) = match attempt(original, client, &mut upload, peer, context).await {
            Ok(()) => {
                retry::note_success(context);
                return Ok(());
            }
            Err(TryError::Failed(failure)) => {
                context.failure = Some(failure);
                let sent = Sent {
                    method: &original.method,
                    answered: client.status().is_some(),
                    replayable: upload.is_replayable(),
                };
                let reused = context.upstream.reused;
                (failure, retry::judge(sent, context, failure, reused))
            }
            Err(TryError::Judged(failure, verdict)) => (failure, verdict),
        };
        context.failure = Some(failure);
        retry::note_failure(context, failure, verdict, client.status());
        if !retry::prepare(context, verdict) {
            return Err(context.failure.unwrap_or(failure));
        }
    }
}

/// Tries it with one server.
async fn attempt(
    original: &RequestHeader,
    client: &mut Client,
    upload: &mut Upload,
    mut peer: Box<HttpPeer>,
    context: &mut Context,
) -> Result<(), TryError> {
    let departure = departure::prepare(original, upload.has_body(), context);
    let upgrade = departure.upgrade;
    let opened = open::open(&mut peer, departure, context, client).await;
    upstream::keep_peer(peer);
    let server = opened?;
    upload.rewind();
    let switched = exchange::run(original, client, server, upload, context, upgrade).await?;
    if let Some(server) = switched {
        // Apart, since next to no request comes to this.
        Box::pin(tunnel::run(client, *server, context)).await?;
    }
    Ok(())
}

/// Ends a request that has failed: with an error page, if its client can still get one.
pub async fn fail(record: &mut RequestRecord, failure: Failure) {
    let RequestRecord {
        context, incoming, ..
    } = record;
    let Incoming { request, client } = &mut **incoming;
    let Some(context) = context.as_deref_mut() else {
        return client.break_off();
    };
    context.failure = Some(failure);
    tracing::debug!(?failure, "request failed");
    let status = failure.status().filter(|_| client.status().is_none());
    let Some(status) = status else {
        client.break_off();
        return;
    };
    if status >= 500
        && let Some(target) = context.target().map(Arc::clone)
    {
        context.binding.move_back(&target).await;
    }
    let last = !failure.leaves_connection_usable(true);
    if answer::answer(request, client, context, (failure, status), last)
        .await
        .is_err()
    {
        tracing::debug!("the client did not take its error page");
        client.break_off();
    }
}

/// Asks Pingora's hook for the server of the next try.
async fn choose(context: &mut HookContext) -> Result<Box<HttpPeer>, Failure> {
    let mut stand_in = StandIn::take();
    let peer = Edge.upstream_peer(stand_in.session(), context).await;
    stand_in.keep();
    peer.map_err(|error| {
        let failure = context.as_ref().and_then(|context| context.failure);
        failure.unwrap_or_else(|| {
            tracing::error!(%error, "no server could be chosen");
            Failure::Internal
        })
    })
}

/// Returns when the client has gone. In HTTP/1 that can't be told as long as its request isn't read to the end.
async fn gone(client: &mut Client) {
    if matches!(client, Client::Http1(_)) && !client.is_body_done() {
        std::future::pending::<()>().await;
    }
    loop {
        let gone = poll_fn(|cx| client.poll_gone(cx));
        if timeout(LOOK, gone).await.is_ok() || (client.is_half_closed() && client.has_failed()) {
            return;
        }
    }
}

impl From<wire::ClientError> for Failure {
    fn from(error: wire::ClientError) -> Self {
        match error {
            wire::ClientError::Gone => Self::ClientGone,
            wire::ClientError::Malformed => Self::BadRequest,
            wire::ClientError::TooSlow => Self::ClientTimeout,
        }
    }
}
