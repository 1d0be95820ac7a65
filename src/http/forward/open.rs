//! A connection to the server of a try: one that is idle, a place on one that is shared, or a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;
use tokio::time::timeout;

use super::gone;
use crate::descriptors;
use crate::http::answer;
use crate::http::context::{Context, Timeouts};
use crate::http::failure::Failure;
use crate::http::request::departure::Departure;
use crate::http::wire::http2::request_line::RequestLine;
use crate::http::wire::http2::streams::UnsentError;
use crate::http::wire::server;
use crate::http::wire::server::{Http1, Http2, RequestBody};
use crate::http::wire::{Client, Server};
use crate::pool;
use crate::shortage;
use crate::upstream;
use crate::upstream::{DialError, Dialer, InFlight, Link, Stream};

/// Opens the way to the server of this try. The request's header is on it then.
///
/// # Errors
///
/// There is no connection, or it takes no request.
pub async fn open(
    peer: &mut HttpPeer,
    departure: Departure,
    context: &mut Context,
    client: &mut Client,
) -> Result<Server, Failure> {
    let (Some(target), Some(lease), Some(timeouts)) = (
        context.target().cloned(),
        context.upstream.lease.as_ref(),
        context.timeouts(),
    ) else {
        return Err(Failure::Internal);
    };
    let mut way = Way {
        peer,
        link: &target.link,
        server: &Arc::clone(lease.server()),
        timeouts,
    };
    if target.link.http2() {
        let settings = target.pool.settings();
        let idle = settings.timeouts.idle;
        let keeps = settings.keepalive.connections > 0;
        let line = RequestLine::of(&departure.request, target.link.scheme());
        let line = line.ok_or(Failure::BadRequest)?;
        let in_flight = way.place(context, client, idle, keeps).await?;
        context.upstream.connection = in_flight.connection();
        go_on(context, client).await?;
        let ends = departure.body == RequestBody::None;
        let asked = Http2::ask(in_flight, &line, &departure.request.headers, ends);
        return asked.map(Server::Http2).map_err(|error| match error {
            UnsentError::Ending => Failure::GoingAway,
            UnsentError::Full => Failure::NotProcessed,
        });
    }
    let connections = context.connections(&target.link, way.server);
    let is_ordinary = !departure.upgrade && context.upstream.stale_retries == 0;
    let idle = is_ordinary.then(|| connections.take(context.upstream.moves));
    let stream = match idle.flatten() {
        Some(stream) => {
            note_reused(context, way.server);
            stream
        }
        // Apart, since most find one that was kept: a request is the smaller for it as long as it is under way.
        None => Box::pin(way.connect(context, client)).await?,
    };
    Ok(Server::Http1(Http1::new(
        stream,
        &departure.request,
        departure.body,
    )))
}

/// Which server is connected to, and how.
struct Way<'a> {
    peer: &'a mut HttpPeer,
    link: &'a Arc<Link>,
    server: &'a Arc<pool::Server>,
    timeouts: Timeouts,
}

impl Way<'_> {
    /// A place on a shared connection.
    async fn place(
        &mut self,
        context: &mut Context,
        client: &mut Client,
        idle: Duration,
        keeps: bool,
    ) -> Result<InFlight, Failure> {
        let connections = context.connections(self.link, self.server);
        let (moves, last) = (context.upstream.moves, context.upstream.connection);
        if let Some(place) = upstream::enter(&connections, moves, last) {
            note_reused(context, self.server);
            return Ok(place);
        }
        // One connection has room for many: who comes while it is made waits for it.
        let turn = timeout(self.timeouts.connect, connections.opening()).await;
        let _one_at_a_time = turn.map_err(|_| Failure::ConnectTimeout)?;
        if let Some(place) = upstream::enter(&connections, moves, last) {
            note_reused(context, self.server);
            return Ok(place);
        }
        let stream = Box::pin(self.connect(context, client)).await?;
        let shared = server::begin(stream, moves, idle);
        upstream::share(&connections, &shared, keeps, last).ok_or(Failure::NotProcessed)
    }

    /// A new connection.
    async fn connect(
        &mut self,
        context: &mut Context,
        client: &mut Client,
    ) -> Result<Stream, Failure> {
        let caller = context.caller(self.link);
        let dialer = Arc::new(Dialer::new(self.server, None, self.link, caller));
        let patience = self.timeouts.connect;
        let dialled = async {
            // Who has to wait for a descriptor does so here, where it isn't the server that takes time to connect.
            match descriptors::server(patience).await {
                Ok(place) => dialer.reserve(place),
                Err(shortage) => return Err(DialError::OwnShortage(shortage)),
            }
            let begun = Instant::now();
            let stream = upstream::connect(self.peer, &dialer, patience).await?;
            Ok((stream, begun.elapsed()))
        };
        let dialled = tokio::select! {
            biased;
            dialled = dialled => dialled,
            () = gone(client) => return Err(Failure::ClientGone),
        };
        if let Some(reached) = dialer.reached() {
            context.upstream.address = Some(Arc::clone(reached));
        }
        match dialled {
            Ok((stream, took)) => {
                self.server.metrics().connected(took);
                Ok(stream)
            }
            Err(error) => Err(self.failed(error, context)),
        }
    }

    fn failed(&self, error: DialError, context: &mut Context) -> Failure {
        match error {
            DialError::OwnShortage(shortage) => {
                shortage::tell(shortage, "a server could not be connected to");
                // It was never asked.
                context.upstream.lease = None;
                Failure::OwnShortage
            }
            DialError::Tls(trouble) => {
                self.link.tell(self.server, &trouble);
                Failure::ServerTls
            }
            DialError::TimedOut => Failure::ConnectTimeout,
            DialError::Unreachable(unreachable) if unreachable.has_timed_out() => {
                Failure::ConnectTimeout
            }
            DialError::Unreachable(_) | DialError::Connector(_) => Failure::Connect,
        }
    }
}

fn note_reused(context: &mut Context, server: &pool::Server) {
    context.upstream.reused = true;
    server.metrics().connections_reused.inc();
}

/// Tells a client that waits for it to send its body. Servers of HTTP/2 aren't asked: few of them would say so.
async fn go_on(context: &mut Context, client: &mut Client) -> Result<(), Failure> {
    if !std::mem::take(&mut context.expects) {
        return Ok(());
    }
    client.queue_interim(answer::response(100));
    answer::flush(client, context).await
}
