//! One copy on its way: a place on a server of the shadow pool, the request, and an answer that nobody reads.
//!
//! Counted on the server as any request is, and nowhere else. Each step has a limit of time, by the pool's timeouts;
//! the body alone has none of its own, since it comes as the original's does.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::Guard;
use http::{StatusCode, Version, header};
use tokio::time::timeout;

use super::Body;
use crate::balance::Sample;
use crate::config::model;
use crate::config::model::Fault;
use crate::descriptors;
use crate::dispatch::PoolSite;
use crate::http::wire;
use crate::http::wire::http2::request_line::RequestLine;
use crate::http::wire::message::RequestHeader;
use crate::http::wire::response_framing;
use crate::http::wire::server::{Event, Http1, Http2, RequestBody};
use crate::http::wire::{Server, ServerError};
use crate::observe::PickedBy;
use crate::pool;
use crate::pool::Lease;
use crate::upstream;
use crate::upstream::{Caller, DialError, Dialer, InFlight, Stream};

/// Interim responses that are taken at most.
const INTERIM: usize = 16;

/// A copy to be sent.
pub(super) struct Delivery {
    pub(super) target: Arc<PoolSite>,
    /// Who connections are made for.
    pub(super) caller: Caller,
    /// As the original's server gets it.
    pub(super) head: RequestHeader,
    pub(super) body: Option<Body>,
    /// What the shadow pool hashes of the original, if it does.
    pub(super) key: Option<u64>,
}

/// How it ended.
enum Outcome {
    /// The server has said something, which came after this time.
    Answered(StatusCode, Duration),
    /// The original was cut off, or the copy given up: nobody's fault.
    CutOff,
    /// The kept connection was closed before anybody looked at the request.
    Stale,
    Failed(Fault),
}

impl Delivery {
    /// Sends it, and notes on the server how that went.
    pub(super) async fn run(mut self) {
        let Ok(lease) = self.target.pool.acquire(self.key, &[]) else {
            return;
        };
        let server = Arc::clone(lease.server());
        server.metrics().picks.inc(PickedBy::Balance);
        let settings = Guard::into_inner(self.target.pool.settings());
        let begun = Instant::now();
        let mut outcome = self.send(&lease, &settings, false).await;
        if matches!(outcome, Outcome::Stale) && self.body.is_none() {
            outcome = self.send(&lease, &settings, true).await;
        }
        let pool = &self.target.pool;
        match outcome {
            Outcome::Answered(status, first_byte) => {
                server.metrics().responded(first_byte);
                let failed = status.is_server_error();
                server.note_request(failed, Some(first_byte));
                self.note_latency(&server, first_byte, failed);
                pool.note_outcome(&server, pool::Outcome::Answered(status.as_u16()));
                pool.note_outcome(&server, pool::Outcome::Completed);
            }
            Outcome::Failed(fault) => {
                server.note_request(true, None);
                self.note_latency(&server, begun.elapsed(), true);
                pool.note_outcome(&server, pool::Outcome::Failed(fault));
            }
            Outcome::CutOff | Outcome::Stale => {}
        }
    }

    fn note_latency(&self, server: &pool::Server, took: Duration, failed: bool) {
        self.target
            .pool
            .note_latency(server, Sample { took, failed });
    }

    /// One try. `fresh`: not on a connection that was there before.
    async fn send(&mut self, lease: &Lease, settings: &model::Pool, fresh: bool) -> Outcome {
        let server = lease.server();
        let link = &self.target.link;
        let Some(addresses) = server.addresses() else {
            return Outcome::Failed(Fault::ConnectFailure);
        };
        let moves = addresses.moves();
        let head = prepare(self.head.clone(), link.http2(), self.body.is_some());
        if link.http2() && RequestLine::of(&head, link.scheme()).is_none() {
            return Outcome::CutOff;
        }
        let begun = Instant::now();
        let (way, reused) = match self.open(lease, settings, fresh, moves).await {
            Ok(opened) => opened,
            Err(outcome) => return outcome,
        };
        if reused {
            server.metrics().connections_reused.inc();
        } else {
            server.metrics().connected(begun.elapsed());
        }
        let Some(mut asked) = ask(way, &head, link.scheme(), self.body.is_some()) else {
            return if reused {
                Outcome::Stale
            } else {
                Outcome::Failed(Fault::Reset)
            };
        };
        match exchange(&mut asked, &self.head, self.body.as_mut(), settings, begun).await {
            Ok(outcome) => {
                if let (Outcome::Answered(..), Server::Http1(http1)) = (&outcome, asked)
                    && let Some(stream) = http1.into_kept()
                    && !link.is_personal()
                {
                    let (most, idle) = (settings.keepalive.connections, settings.timeouts.idle);
                    link.connections(server).keep(stream, moves, most, idle);
                }
                outcome
            }
            Err(error) => {
                tracing::debug!(%error, server = &**server.name(), "copy: failed");
                let is_stale = match &error {
                    // On a connection that others use, too, nothing tells whether it had been over before.
                    ServerError::Closed | ServerError::Broken(_) => {
                        reused && !asked.is_http2() && asked.come() == 0
                    }
                    ServerError::NotProcessed | ServerError::GoingAway => true,
                    ServerError::Reset(_) | ServerError::NotHttp2 | ServerError::Invalid(_) => {
                        false
                    }
                };
                if is_stale {
                    Outcome::Stale
                } else {
                    Outcome::Failed(Fault::Reset)
                }
            }
        }
    }

    /// A connection, and whether it was there before.
    async fn open(
        &self,
        lease: &Lease,
        settings: &model::Pool,
        fresh: bool,
        moves: u64,
    ) -> Result<(Way, bool), Outcome> {
        let (server, link) = (lease.server(), &self.target.link);
        let connections = link.connections(server);
        // One that is a client's alone is of no use to the next copy.
        let is_shared = !link.is_personal();
        if !fresh && is_shared {
            let there = if link.http2() {
                upstream::enter(&connections, moves, 0).map(Way::Place)
            } else {
                connections.take(moves).map(Way::Connection)
            };
            if let Some(way) = there {
                return Ok((way, true));
            }
        }
        let dialer = Arc::new(Dialer::new(server, None, link, self.caller.clone()));
        let mut peer = upstream::peer(server).ok_or(Outcome::Failed(Fault::ConnectFailure))?;
        // Nobody gives way to a copy, so it waits for nobody.
        dialer.reserve(descriptors::server_now().ok_or(Outcome::CutOff)?);
        let patience = settings.timeouts.connect;
        let stream = match upstream::connect(&mut peer, &dialer, patience).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, server = &**server.name(), "copy: no connection");
                return Err(match error {
                    DialError::OwnShortage(_) => Outcome::CutOff,
                    DialError::Tls(trouble) => {
                        link.tell(server, &trouble);
                        Outcome::Failed(Fault::ConnectFailure)
                    }
                    _ => Outcome::Failed(Fault::ConnectFailure),
                });
            }
        };
        if !link.http2() {
            return Ok((Way::Connection(stream), false));
        }
        let shared = wire::server::begin(stream, moves, settings.timeouts.idle);
        let keeps = settings.keepalive.connections > 0 && is_shared;
        let place = upstream::share(&connections, &shared, keeps, 0)
            .ok_or(Outcome::Failed(Fault::ConnectFailure))?;
        Ok((Way::Place(place), false))
    }
}

/// What a request can be sent on.
enum Way {
    Connection(Stream),
    Place(InFlight),
}

/// Sends a request's header; `None`: it isn't taken.
fn ask(way: Way, head: &RequestHeader, scheme: &'static str, has_body: bool) -> Option<Server> {
    match way {
        Way::Connection(stream) => {
            let body = match (has_body, head.headers.contains_key(header::CONTENT_LENGTH)) {
                (false, _) => RequestBody::None,
                (true, true) => RequestBody::Sized,
                (true, false) => RequestBody::Unknown,
            };
            Some(Server::Http1(Http1::new(stream, head, body)))
        }
        Way::Place(place) => {
            let line = RequestLine::of(head, scheme)?;
            let http2 = Http2::ask(place, &line, &head.headers, !has_body);
            http2.ok().map(Server::Http2)
        }
    }
}

/// What the exchange has come to.
enum Step {
    Event(Event),
    /// The whole request has been given.
    Sent,
    /// The original was cut off.
    CutOff,
}

/// Sends the body and reads the response, which nobody wants.
async fn exchange(
    server: &mut Server,
    request: &RequestHeader,
    mut body: Option<&mut Body>,
    settings: &model::Pool,
    begun: Instant,
) -> Result<Outcome, ServerError> {
    let (mut answered, mut interim, mut taken) = (None, 0, 0);
    loop {
        let uploads = body.is_some();
        let patience = if uploads {
            settings.timeouts.send
        } else {
            settings.timeouts.receive
        };
        let step = poll_fn(|cx| {
            while let Some(coming) = &mut body {
                if !server.has_room() && !matches!(server.poll_flush(cx), Poll::Ready(Ok(()))) {
                    break;
                }
                match coming.pieces.poll_recv(cx) {
                    Poll::Ready(Some(piece)) => server.queue_data(piece.bytes),
                    Poll::Ready(None) if coming.is_whole() => {
                        server.queue_end(None);
                        body = None;
                        // From now on it is the answer that is waited for.
                        return Poll::Ready(Ok(Step::Sent));
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(Step::CutOff)),
                    Poll::Pending => break,
                }
            }
            // One that takes no more may have answered.
            let _ = server.poll_flush(cx).is_ready();
            server.poll_event(cx).map_ok(Step::Event)
        });
        let step = match (timeout(patience, step).await, answered) {
            (Ok(Ok(step)), _) => step,
            (Ok(Err(error)), None) => return Err(error),
            // The body comes as the original's does, and may be slow to be taken.
            (Err(_), None) if uploads && (server.has_room() || server.taken() > taken) => {
                taken = server.taken();
                continue;
            }
            (Err(_), None) => {
                server.note_timeout();
                return Err(ServerError::Closed);
            }
            (_, Some((status, after))) => return Ok(Outcome::Answered(status, after)),
        };
        match step {
            Step::CutOff => return Ok(Outcome::CutOff),
            Step::Sent | Step::Event(Event::Data(_)) => {}
            Step::Event(Event::End(_)) => {
                return Ok(
                    answered.map_or(Outcome::Failed(Fault::Reset), |(status, after)| {
                        Outcome::Answered(status, after)
                    }),
                );
            }
            Step::Event(Event::Head(head)) => {
                let response = head;
                let framing = response_framing::of(&request.method, &response, None)
                    .map_err(ServerError::Invalid)?;
                if !response.status.is_informational() {
                    answered = Some((response.status, begun.elapsed()));
                    if body.is_some() {
                        // Early: it may take no more.
                        return Ok(Outcome::Answered(response.status, begun.elapsed()));
                    }
                    server.begin_body(framing);
                    continue;
                }
                interim += 1;
                if interim == INTERIM {
                    return Err(ServerError::Invalid("too many interim responses"));
                }
            }
        }
    }
}

/// The original's header, for a server that may speak another version than the original's.
fn prepare(mut head: RequestHeader, http2: bool, has_body: bool) -> RequestHeader {
    // For one hop only (RFC 9110 section 7.6.1), and nobody waits for a go-ahead.
    for name in [
        header::CONNECTION,
        header::EXPECT,
        header::UPGRADE,
        header::PROXY_AUTHORIZATION,
        header::TRANSFER_ENCODING,
        header::HeaderName::from_static("keep-alive"),
        header::HeaderName::from_static("proxy-connection"),
    ] {
        head.headers.remove(&name);
    }
    let length = head.headers.get(header::CONTENT_LENGTH);
    if !has_body && length.is_some_and(|length| length != "0") {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    if http2 {
        head.version = Version::HTTP_2;
    } else {
        head.version = Version::HTTP_11;
        head.headers.remove(header::TE);
    }
    head
}

#[cfg(test)]
mod tests {
    use http::Method;

    use crate::headers::Fields;
    use crate::headers::names::Name;

    use super::*;

    fn head(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = Fields::new();
        for (name, value) in fields {
            head.append(
                Name::parse(name.as_bytes()).unwrap().name,
                value.parse().unwrap(),
            );
        }
        RequestHeader::new(Method::POST, "/a?b=c".into(), Version::HTTP_11, head)
    }

    fn lines(head: &RequestHeader) -> Vec<String> {
        let lines = head.headers.iter();
        let mut lines: Vec<_> = lines
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn nothing_for_one_hop_goes_along() {
        let original = head(&[
            ("Host", "a.example"),
            ("Connection", "close"),
            ("Expect", "100-continue"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("X-Mine", "1"),
        ]);
        let plain = prepare(original.clone(), false, true);
        assert_eq!(lines(&plain), ["host: a.example", "x-mine: 1"]);
        assert_eq!(plain.version, Version::HTTP_11);
        let http2 = prepare(original, true, true);
        assert_eq!(
            lines(&http2),
            ["host: a.example", "te: trailers", "x-mine: 1"]
        );
    }

    #[test]
    fn the_bodys_length_is_said_as_it_is() {
        let of = |length: &[(&'static str, &str)], has_body| {
            lines(&prepare(head(length), false, has_body))
        };
        assert_eq!(of(&[("Content-Length", "5")], true), ["content-length: 5"]);
        assert_eq!(of(&[("Content-Length", "0")], false), ["content-length: 0"]);
        assert!(of(&[("Content-Length", "5")], false).is_empty());
        assert!(of(&[], true).is_empty());
        assert!(of(&[], false).is_empty());
    }
}
