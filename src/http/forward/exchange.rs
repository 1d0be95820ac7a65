//! The exchange of a request and its response, between a client and the server of one try.
//!
//! Both directions move at once, as far as either end lets them, with one buffer each. Whoever is waited for is known here,
//! and so is how long.

use std::future::poll_fn;
use std::task::{self, Poll, ready};

use http::{StatusCode, Version};
use tokio::time::Instant;

use super::response;
use super::upload::Upload;
use super::waits::Waits;
use crate::headers::Fields;
use crate::http::answer;
use crate::http::answer::guard;
use crate::http::body::compression::Compressor;
use crate::http::context::{Context, Timeouts};
use crate::http::failure::{Failure, Verdict};
use crate::http::request::departure;
use crate::http::wire::client::{LOOK, Part, Room};
use crate::http::wire::message::{RequestHeader, ResponseHeader};
use crate::http::wire::server::{self, Event};
use crate::http::wire::{Client, Server};
use crate::listen::LazyTimer;

/// How a try failed.
#[derive(Debug)]
pub enum TryError {
    /// What is to be done about it is still to be judged.
    Failed(Failure),
    /// It has been judged.
    Judged(Failure, Verdict),
}

impl From<Failure> for TryError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Runs the exchange of a request, of which the server's connection has the header already, to its end.
///
/// Returns the server's connection if protocols are switched, for a [`super::tunnel`].
///
/// # Errors
///
/// Why it has no response, or not the one that it should have.
pub async fn run(
    request: &RequestHeader,
    client: &mut Client,
    server: Server,
    upload: &mut Upload,
    context: &mut Context,
    upgrade: bool,
) -> Result<Option<Box<server::Http1>>, TryError> {
    let mut exchange = Exchange::new(request, client, server, upload, context, upgrade)?;
    let mut timer = exchange.client.take_timer();
    loop {
        match poll_fn(|cx| exchange.poll(cx, &mut timer)).await {
            Ok(Step::Done) => {
                exchange.client.put_timer(timer);
                exchange.keep_connection();
                return Ok(None);
            }
            Ok(Step::Head(head)) => {
                if exchange.note_head(head)? {
                    return exchange.into_switched().map(Some);
                }
            }
            Err(failure) => {
                exchange.explain(failure);
                if failure == Failure::ServerTimeout {
                    exchange.server.note_timeout();
                }
                return Err(TryError::Failed(failure));
            }
        }
    }
}

/// A request and its response, under way.
struct Exchange<'a> {
    request: &'a RequestHeader,
    client: &'a mut Client,
    server: Server,
    upload: &'a mut Upload,
    context: &'a mut Context,
    upgrade: bool,
    limits: Limits,
    /// Bytes of the request's body that this try's server was given.
    given: u64,
    response: Response,
    waits: Waits,
}

/// How long whom is waited for, and what is too much.
#[derive(Debug, Clone, Copy)]
struct Limits {
    server: Timeouts,
    body_timeout: std::time::Duration,
    send_timeout: std::time::Duration,
    max_body: u64,
}

/// How far the response is.
#[derive(Debug)]
enum Response {
    /// No final header has come.
    Awaited,
    Body,
    /// All that came is queued, and so may be the end of it.
    Ended(Option<Box<Ending>>),
    /// The server broke off; what came before is still sent.
    Failed(Failure),
}

/// What is queued when there is room.
#[derive(Debug)]
struct Ending {
    rest: Option<bytes::Bytes>,
    trailers: Option<Fields>,
}

/// What the exchange has come to.
enum Step {
    Head(ResponseHeader),
    Done,
}

impl<'a> Exchange<'a> {
    fn new(
        request: &'a RequestHeader,
        client: &'a mut Client,
        server: Server,
        upload: &'a mut Upload,
        context: &'a mut Context,
        upgrade: bool,
    ) -> Result<Self, TryError> {
        let Some(server_timeouts) = context.timeouts() else {
            return Err(TryError::Failed(Failure::Internal));
        };
        let http = &context.site().http;
        let limits = Limits {
            server: server_timeouts,
            body_timeout: http.body_timeout,
            send_timeout: http.send_timeout,
            max_body: http.max_body_size,
        };
        Ok(Self {
            request,
            client,
            server,
            upload,
            context,
            upgrade,
            limits,
            given: 0,
            response: Response::Awaited,
            waits: Waits::default(),
        })
    }

    /// Takes in the head of a response. True: protocols are switched.
    fn note_head(&mut self, mut response: ResponseHeader) -> Result<bool, TryError> {
        let replayable = self.upload.is_replayable();
        let framing = response::admit(self.request, &mut response, self.context, replayable)?;
        let status = response.status;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            self.client.queue_interim(response);
            return Ok(false);
        }
        self.upload.forget();
        response::edit(self.request, &mut response, self.context);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            self.client.queue_interim(response);
            return Ok(true);
        }
        self.server.begin_body(framing);
        let ended = self.server.is_at_end();
        let size = response::body_size(self.request, status, framing, ended);
        // The rest of a request that was answered before its end is of no use to anybody.
        let last = answer::is_draining(self.context) || !self.upload.is_whole();
        answer::queue_head(self.client, self.context, response, size, last)
            .map_err(|_| Failure::ClientGone)?;
        self.response = Response::Body;
        Ok(false)
    }

    fn poll(
        &mut self,
        cx: &mut task::Context<'_>,
        timer: &mut LazyTimer,
    ) -> Poll<Result<Step, Failure>> {
        self.waits.begin();
        if let Err(failure) = self.poll_up(cx) {
            return Poll::Ready(Err(failure));
        }
        if let Poll::Ready(step) = self.poll_down(cx) {
            return Poll::Ready(step);
        }
        // As long as its request isn't read to the end, its end is found by reading on.
        let is_told = self.client.tells_when_gone() || self.upload.is_whole();
        if is_told && self.client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        self.poll_time(cx, timer)
    }

    /// Moves the request's body.
    fn poll_up(&mut self, cx: &mut task::Context<'_>) -> Result<(), Failure> {
        if matches!(self.response, Response::Ended(_) | Response::Failed(_)) {
            // Nobody wants the rest of it.
            return Ok(());
        }
        loop {
            if !self.server.has_room() || self.upload.is_over() {
                match self.server.poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.client.note_passed_on(),
                    Poll::Ready(Err(error)) => {
                        tracing::debug!(%error, "a server takes nothing more");
                        self.upload.give_up();
                        return Ok(());
                    }
                    Poll::Pending => {
                        self.waits.server_takes.wait(self.server.taken());
                        return Ok(());
                    }
                }
            }
            if self.upload.is_over() {
                return Ok(());
            }
            match self.upload.poll_next(self.client, cx) {
                Poll::Ready(Ok(Part::Data(piece))) => {
                    let at = self.given;
                    self.given += piece.len() as u64;
                    self.context.body_bytes = self.given;
                    if self.limits.max_body > 0 && self.given > self.limits.max_body {
                        return Err(Failure::BodyTooLarge);
                    }
                    departure::copy(self.context, at, Some(&piece), false);
                    self.server.queue_data(piece);
                }
                Poll::Ready(Ok(Part::End(trailers))) => {
                    departure::copy(self.context, self.given, None, true);
                    let trailers = trailers.filter(|_| self.passes_request_trailers());
                    self.server.queue_end(trailers.map(|mut trailers| {
                        guard::clean_trailers(&mut trailers);
                        trailers
                    }));
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => {
                    match self.server.poll_flush(cx) {
                        Poll::Ready(Ok(())) => {
                            self.client.note_passed_on();
                            self.waits.client_sends.wait(self.given);
                        }
                        Poll::Ready(Err(_)) => self.upload.give_up(),
                        Poll::Pending => self.waits.server_takes.wait(self.server.taken()),
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Moves the response.
    fn poll_down(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Step, Failure>> {
        loop {
            if let Response::Ended(ending) = &mut self.response
                && let Some(mut ending) = ending.take()
            {
                let needs_room = ending.rest.is_some() || ending.trailers.is_some();
                if needs_room && !self.client.has_room() {
                    self.response = Response::Ended(Some(ending));
                } else if let Some(rest) = ending.rest.take() {
                    self.client.queue_data(rest);
                    self.response = Response::Ended(Some(ending));
                } else {
                    self.client.queue_end(ending.trailers);
                }
            }
            let is_ending = matches!(self.response, Response::Ended(_) | Response::Failed(_));
            // An end that has come goes with the last piece.
            if is_ending || !(self.client.has_room() || self.server.is_at_end()) {
                ready!(self.poll_client(cx))?;
                match &self.response {
                    Response::Ended(None) => return Poll::Ready(Ok(Step::Done)),
                    Response::Failed(failure) => return Poll::Ready(Err(*failure)),
                    _ => {}
                }
                if is_ending {
                    continue;
                }
            }
            if matches!(self.response, Response::Body) && !self.server.is_at_end() {
                let room = self.client.poll_room(cx);
                if room != Poll::Ready(Room::Plenty) {
                    self.server.read_little();
                }
                if room.is_pending() {
                    ready!(self.poll_client(cx))?;
                    self.waits.client_takes.wait(self.client.taken());
                    return Poll::Pending;
                }
            }
            match self.server.poll_event(cx) {
                Poll::Ready(Ok(Event::Head(head))) => return Poll::Ready(Ok(Step::Head(head))),
                Poll::Ready(Ok(Event::Data(piece))) => {
                    answer::queue_data(self.client, self.context, piece)?;
                }
                Poll::Ready(Ok(Event::End(trailers))) => {
                    let coded = self
                        .context
                        .compressor
                        .as_ref()
                        .is_some_and(Compressor::is_coding);
                    let rest = answer::last_piece(self.context)?;
                    // Trailers may describe the bytes as they were.
                    let passes = !coded && departure::takes_trailers(self.request);
                    let trailers = trailers.filter(|_| passes);
                    let trailers = trailers.map(|mut trailers| {
                        guard::clean_trailers(&mut trailers);
                        trailers
                    });
                    self.response = if rest.is_none() && trailers.is_none() {
                        self.client.queue_end(None);
                        Response::Ended(None)
                    } else {
                        Response::Ended(Some(Box::new(Ending { rest, trailers })))
                    };
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "the exchange with a server ended");
                    let failure = response::of_error(&error, self.context);
                    if self.client.status().is_none() {
                        return Poll::Ready(Err(failure));
                    }
                    self.response = Response::Failed(failure);
                }
                Poll::Pending => {
                    ready!(self.poll_client(cx))?;
                    // Who takes the request is busy, too.
                    let moved = self.server.come().wrapping_add(self.server.taken());
                    self.waits.server_sends.wait(moved);
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_client(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Failure>> {
        let flushed = self.client.poll_flush(cx);
        if flushed.is_pending() {
            self.waits.client_takes.wait(self.client.taken());
        }
        flushed.map_err(Failure::from)
    }

    /// Whether whoever is waited for has had its time.
    fn poll_time(
        &mut self,
        cx: &mut task::Context<'_>,
        timer: &mut LazyTimer,
    ) -> Poll<Result<Step, Failure>> {
        let mut now = Instant::now();
        loop {
            let (deadline, failure) = self.deadline(now);
            // Of a client that has ended its side only a question tells whether it is there.
            let looks = self.client.is_half_closed();
            if looks && timer.has_fired() && self.client.has_failed() {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            let due = if looks {
                deadline.min(now + LOOK)
            } else {
                deadline
            };
            ready!(timer.poll_set(cx, due));
            now = Instant::now();
            if now >= deadline {
                return Poll::Ready(Err(failure));
            }
        }
    }

    /// The next deadline, and what it means when it passes.
    fn deadline(&mut self, now: Instant) -> (Instant, Failure) {
        let Limits {
            server,
            body_timeout,
            send_timeout,
            ..
        } = self.limits;
        let mut next = (now + FAR, Failure::Internal);
        let mut consider = |since: Option<Instant>, patience, failure| {
            if let Some(since) = since
                && let Some(at) = since.checked_add(patience)
                && at < next.0
            {
                next = (at, failure);
            }
        };
        let is_awaited = matches!(self.response, Response::Awaited);
        let waits = &mut self.waits;
        let client_takes = waits.client_takes.since(now);
        consider(client_takes, send_timeout, Failure::ClientTimeout);
        consider(
            waits.server_takes.since(now),
            server.send,
            Failure::ServerTimeout,
        );
        let client_sends = waits.client_sends.since(now);
        consider(client_sends, body_timeout, Failure::ClientTimeout);
        let server_sends = waits.server_sends.since(now);
        if client_takes.is_some() {
            return next;
        }
        if client_sends.is_none() || !is_awaited {
            if waits.server_takes.since(now).is_none() {
                consider(server_sends, server.receive, Failure::ServerTimeout);
            }
        } else if !self.server.is_http2() {
            // The server is still waiting for the request, as are we.
            consider(client_sends, server.receive, Failure::ClientTimeout);
        }
        next
    }

    /// Whether the trailers of the request are passed on: the server was told that there are some, or HTTP/2 says it by
    /// itself.
    fn passes_request_trailers(&self) -> bool {
        let announced = self.request.headers.contains_key(http::header::TRAILER);
        (self.server.is_http2() && self.request.version == Version::HTTP_2) || announced
    }

    /// The server's connection may serve another request, if it is in order.
    fn keep_connection(self) {
        let Server::Http1(server) = self.server else {
            return;
        };
        let (Some(stream), Some(target), Some(lease)) = (
            server.into_kept(),
            self.context.target(),
            &self.context.upstream.lease,
        ) else {
            return;
        };
        let settings = target.pool.settings();
        let connections = self.context.connections(&target.link, lease.server());
        connections.keep(
            stream,
            self.context.upstream.moves,
            settings.keepalive.connections,
            settings.timeouts.idle,
        );
    }

    /// The server's connection, which speaks another protocol from now on.
    fn into_switched(self) -> Result<Box<server::Http1>, TryError> {
        match self.server {
            Server::Http1(server) if self.upgrade => Ok(Box::new(server)),
            _ => Err(TryError::Failed(Failure::Internal)),
        }
    }

    /// Has it found out why a new connection broke where a server may have refused our certificate: with TLS 1.3 it does so
    /// only now, and its alert may be lost in the reset.
    fn explain(&self, failure: Failure) {
        let is_new = !self.context.upstream.reused;
        if is_new && failure == Failure::ServerReset && self.server.come() == 0 {
            response::explain(self.context, None);
        }
    }
}

/// Longer than anybody waits.
const FAR: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);
