//! HTTP/2 on a connection (RFC 9113): many requests at once, each a task of its own.
//!
//! The `h2` crate keeps frames, streams, windows and header compression. This module drives it ([`Driver`]) and holds
//! the connection to our limits: how long it may be idle, how long a header block may take, how many requests it may
//! carry, what a client may not overdo ([`meter`]), what its header blocks have to be ([`screen`]), and how
//! it ends: told by GOAWAY, its requests served to their ends. A request becomes an HTTP/1 one but for its version
//! ([`request`]), so that nothing behind here knows the difference.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, Reason, RecvStream};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, request as parts};
use pingora::protocols::http::date;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep_until};
use tokio_util::task::TaskTracker;

use super::{Refused, TOO_MANY, Visit, termination_of};
use crate::bodies::{Bodies, Body};
use crate::coalescing::WriteCoalescing;
use crate::config::model;
use crate::http::X_REQUEST_ID;
use crate::http::answer;
use crate::http::answer::error_page::allowed;
use crate::http::answer::identity;
use crate::http::context::{self, Incoming, Origin};
use crate::http::handover;
use crate::http::site::Site;
use crate::http::wire::Client;
use crate::http::wire::client::{Http2, LOOK};
use crate::http::wire::http2::fields::{self, Legible, Unfit};
use crate::http::wire::message::RequestHeader;
use crate::listen::ClientStream;
use crate::observe::Termination;
use crate::supervise;

mod backlog;
mod line;
mod linger;
mod meter;
mod request;
mod screen;
mod turnover;

pub use backlog::Held;
use line::Wire;
pub use line::{Holding, Line, Presence};
pub use linger::linger;
use meter::Fault;
use turnover::Turnover;

const PROTOCOL: &str = "HTTP/2.0";

/// Bytes a client may send of one body ahead of its server: 40 MB/s over 20 ms of round trip, as measured.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// The same over all bodies of a connection: with servers that take nothing, this is what it costs us at most.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// With so many bodies that wait for their servers, the rest of a connection's may wait for its window.
pub const BODIES_IN_WINDOW: u32 = CONNECTION_WINDOW / STREAM_WINDOW;
/// Bytes of one response that wait for the connection to take them; the rest waits at the server.
const SEND_BUFFER: usize = 64 * 1024;
/// Requests that were reset before `h2` handed them over and that it remembers until it does: more than clients
/// cancel at once. The [`meter`] has a say in how often they do.
const RESET_AT_ONCE: usize = 1000;
/// How long a client may take to read a GOAWAY, or to say that it has.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long requests are still taken of a client that was told that the connection ends and doesn't say that it has
/// heard; one that does is told at once which was the last.
const LAST_CALL: Duration = Duration::from_secs(5);
const STAND_IN: HeaderName = HeaderName::from_static(fields::STAND_IN);

/// Serves a connection whose client speaks HTTP/2, to its end.
pub(super) async fn converse(visit: &Visit, stream: Box<ClientStream>) {
    let site = visit.listener.site.load_full();
    let drain = visit.edge.drain.watch();
    let line = Line::new(streams_at_once(&site.http));
    let wire = Wire::new(stream, Arc::clone(&line), Arc::clone(&visit.listener));
    let connection = tokio::select! {
        biased;
        connection = settings(&site).handshake(wire) => connection,
        () = tokio::time::sleep(site.http.header_timeout) => return,
        // A connection that has said nothing yet loses nothing.
        () = begun(drain.clone()) => return,
    };
    let Ok(connection) = connection else { return };
    let streams = TaskTracker::new();
    let mut driver = Driver {
        visit,
        connection,
        timer: Box::pin(sleep_until(
            (Instant::now() + site.http.header_timeout).into(),
        )),
        line,
        coalescing: WriteCoalescing::default(),
        streams: streams.clone(),
        uploads: Bodies::default(),
        served: 0,
        busy: Instant::now(),
        turnover: Turnover::new(Instant::now()),
        closing: None,
        patient: false,
        called: false,
    };
    driver.drive(drain).await;
    drop(driver);
    // With the connection gone they have nobody to serve, and see to their ends.
    streams.close();
    streams.wait().await;
}

fn streams_at_once(http: &model::Http) -> u32 {
    http.http2.map_or(128, |http2| http2.max_streams)
}

/// How `h2` is to hold a connection. What isn't set has a default that was chosen for servers.
fn settings(site: &Site) -> Builder {
    let mut settings = Builder::new();
    let largest_list = fields::largest_list(&site.limits);
    settings
        .max_concurrent_streams(streams_at_once(&site.http))
        .max_header_list_size(u32::try_from(largest_list).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESET_AT_ONCE)
        // What is malformed doesn't come so far, and what is left ends streams that nothing was done for.
        .max_local_error_reset_streams(None);
    settings
}

async fn begun(mut drain: watch::Receiver<bool>) {
    // The sender lives as long as the process.
    drop(drain.wait_for(|begun| *begun).await);
}

/// What happens on a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is a request, and none is kept"
)]
enum Event {
    Request(Request<RecvStream>, SendResponse<Bytes>),
    /// The process is to end.
    Drain,
    /// The client is to be sent away.
    Fault(Fault),
    /// A header block takes too long.
    SlowHeader(Instant),
    /// It has carried its share of requests, and to be told so costs its client nothing now.
    Enough,
    /// A client that has heard that the connection ends has had time to say more.
    LastCall,
    /// No request for too long.
    Idle,
    /// The client takes nothing of what there is to send.
    Stalled,
    /// It has ended, one way or another.
    Over,
}

/// A request that nobody else is to see.
struct Refusing {
    status: u16,
    reason: &'static str,
    legible: Legible,
    received: Instant,
    time: SystemTime,
}

/// Drives a connection.
struct Driver<'a> {
    visit: &'a Visit,
    connection: Connection<Wire, Bytes>,
    line: Arc<Line>,
    coalescing: WriteCoalescing,
    streams: TaskTracker,
    uploads: Bodies,
    /// Fires at the next deadline or before.
    timer: Pin<Box<Sleep>>,
    served: u32,
    /// When it was last seen to have streams.
    busy: Instant,
    turnover: Turnover,
    /// Since when the client knows that the connection ends.
    closing: Option<Instant>,
    /// Requests of a client that has heard so are taken for a while all the same.
    patient: bool,
    /// `h2` knows that the client has heard.
    called: bool,
}

impl Driver<'_> {
    async fn drive(&mut self, drain: watch::Receiver<bool>) {
        let mut draining = pin!(begun(drain.clone()));
        let mut leaving = pin!(
            self.visit
                .edge
                .drain
                .sent_away(self.visit.connection.ends.peer)
        );
        let listener = Arc::clone(&self.visit.listener);
        let mut gone = pin!(listener.gone.cancelled());
        loop {
            let told = self.closing.is_some() && !self.patient;
            let event = tokio::select! {
                biased;
                event = self.next() => event,
                () = &mut draining, if !told => Event::Drain,
                () = &mut leaving, if self.closing.is_none() => Event::Enough,
                () = &mut gone, if self.closing.is_none() => Event::Enough,
            };
            // It was waited for, however long: what counts is the configuration of now.
            let site = self.visit.listener.site.load_full();
            match event {
                Event::Request(request, respond) => {
                    // A defect costs the request that it is met with: `h2` resets its stream, and the others go on.
                    let begin = || self.begin(&site, request, respond, &drain);
                    if catch_unwind(AssertUnwindSafe(begin)).is_err() {
                        self.record_unseen(&site, DEFECT, Instant::now());
                    }
                }
                Event::Drain => self.close(false),
                Event::Enough => self.close(true),
                Event::LastCall => self.patient = false,
                Event::Fault(fault) => {
                    self.record_unseen(&site, sent_away(fault), Instant::now());
                    return self
                        .end(match fault {
                            Fault::Resets | Fault::Noise | Fault::Malformed | Fault::Block => {
                                Reason::ENHANCE_YOUR_CALM
                            }
                            Fault::Compression => Reason::COMPRESSION_ERROR,
                            Fault::Protocol | Fault::NoSettings => Reason::PROTOCOL_ERROR,
                            Fault::Closed => Reason::STREAM_CLOSED,
                        })
                        .await;
                }
                Event::SlowHeader(since) => {
                    self.record_unseen(&site, SLOW_HEADER, since);
                    return self.end(Reason::ENHANCE_YOUR_CALM).await;
                }
                Event::Idle => return self.end(Reason::NO_ERROR).await,
                Event::Stalled | Event::Over => return,
            }
        }
    }

    /// Waits for what happens next, driving the connection meanwhile.
    async fn next(&mut self) -> Event {
        poll_fn(|cx| {
            let is_shared = self.line.active() > 1;
            let mut coalescing = std::mem::take(&mut self.coalescing);
            let next = coalescing.poll(cx, is_shared, |cx| self.poll_next(cx));
            self.coalescing = coalescing;
            next
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    return Poll::Ready(Event::Request(request, respond));
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, peer = %self.visit.connection.ends.peer, "an HTTP/2 connection ended");
                    return Poll::Ready(Event::Over);
                }
                Poll::Ready(None) => return Poll::Ready(Event::Over),
                // It goes out with the next read.
                Poll::Pending if self.line.take_unwritten() => {}
                // Nothing was read while small pieces were to be gathered.
                Poll::Pending if self.line.take_crowded() => self.uploads.gather(),
                Poll::Pending if self.ask_if_there() => {}
                Poll::Pending if self.end_if_answered() => {}
                Poll::Pending => break,
            }
        }
        if self.is_last_call() {
            self.line.last_call();
            // To have it read that.
            cx.waker().wake_by_ref();
        }
        if let Some(fault) = self.line.fault() {
            return Poll::Ready(Event::Fault(fault));
        }
        let site = self.visit.listener.site.load();
        loop {
            let now = Instant::now();
            let (deadline, event) = self.deadline(&site.http, now);
            if deadline <= now {
                return Poll::Ready(event);
            }
            let deadline = if self.line.is_half_closed() {
                deadline.min(now + LOOK)
            } else {
                deadline
            };
            // One that fires too early costs less than to set it again for every request.
            if self.timer.is_elapsed() || self.timer.deadline() > deadline.into() {
                self.timer.as_mut().reset(deadline.into());
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Asks a client that has ended its side, once, whether it is there: if it has gone altogether, its machine answers
    /// with a reset. True when it was done now.
    fn ask_if_there(&mut self) -> bool {
        if !self.line.is_half_closed() || !self.connection.has_streams() {
            return false;
        }
        let pings = self.connection.ping_pong();
        pings.is_some_and(|mut pings| pings.send_ping(Ping::opaque()).is_ok())
    }

    /// Ends the connection of a client that has ended its side and has got all its answers. True when that was done now.
    fn end_if_answered(&mut self) -> bool {
        self.line.is_half_closed() && !self.connection.has_streams() && self.line.end()
    }

    /// Whether `h2` is to be told now, and wasn't before, that the client has heard.
    fn is_last_call(&mut self) -> bool {
        let now = !self.called && self.closing.is_some() && !self.patient && self.line.has_heard();
        self.called |= now;
        now
    }

    /// The next deadline, and what has happened when it passes.
    fn deadline(&mut self, http: &model::Http, now: Instant) -> (Instant, Event) {
        let patience = match (self.closing, self.served) {
            (Some(_), _) => LAST_WORDS,
            (None, 0) => http.header_timeout,
            (None, _) => http
                .http2
                .map_or(http.keepalive_timeout, |http2| http2.idle_timeout),
        };
        if self.connection.has_streams() {
            // Also when its request has been served, and the last of the response is still on its way.
            self.busy = now;
        }
        // While there are requests, nobody tells when the last one ends: a look now and then.
        let idle_since = self.line.idle_since().unwrap_or(now).max(self.busy);
        let idle_since = idle_since.max(self.closing.unwrap_or(idle_since));
        let mut next = (idle_since + patience, Event::Idle);
        if let (None, Some(http2)) = (self.closing, http.http2) {
            let open = self.line.active();
            self.turnover.note(open, now);
            let quiet_since = (open == 0).then_some(idle_since);
            let due = self
                .turnover
                .due(self.served, http2.max_requests, quiet_since);
            if let Some(due) = due.filter(|due| *due < next.0) {
                next = (due, Event::Enough);
            }
        }
        if let Some(since) = self.closing.filter(|_| self.patient)
            && since + LAST_CALL < next.0
        {
            next = (since + LAST_CALL, Event::LastCall);
        }
        if let Some(since) = self.line.block_since() {
            let until = since + http.header_timeout;
            // Who sends a header isn't idle.
            if self.closing.is_none() || until < next.0 {
                next = (until, Event::SlowHeader(since));
            }
        }
        if let Some(since) = self.line.stalled_since()
            && since + http.send_timeout < next.0
        {
            next = (since + http.send_timeout, Event::Stalled);
        }
        next
    }

    /// Lets a request be served, or refuses it.
    fn begin(
        &mut self,
        site: &Arc<Site>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        drain: &watch::Receiver<bool>,
    ) {
        let (received, time) = (Instant::now(), SystemTime::now());
        let presence = self.line.enter(respond.stream_id().as_u32());
        if self
            .closing
            .is_some_and(|since| since.elapsed() > LAST_CALL)
        {
            // Whoever hasn't answered the warning by now doesn't want to hear it, but may try elsewhere.
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        self.busy = received;
        self.served = self.served.saturating_add(1);
        let (mut parts, body) = request.into_parts();
        let body = (!body.is_end_stream()).then(|| Body::new(body));
        if let Some(body) = &body {
            self.uploads.add(body);
        }
        let stand_in = parts.headers.remove(STAND_IN);
        let stand_in = stand_in.as_ref().map(fields::stands_for);
        let legible = stand_in.map_or(Legible::ALL, |(_, legible)| legible);
        let refusal = match stand_in {
            _ if self.visit.too_many => {
                self.close(false);
                Err((503, TOO_MANY))
            }
            Some((Unfit::Busy, _)) => return respond.send_reset(Reason::REFUSED_STREAM),
            Some((Unfit::SelfDependent, _)) => return respond.send_reset(Reason::PROTOCOL_ERROR),
            Some((unfit, _)) => Err(unfit.refusal()),
            None => request::settle(&mut parts, body.is_none(), &site.limits),
        };
        if let Err((status, reason)) = refusal {
            let refused = Refusing {
                status,
                reason,
                legible,
                received,
                time,
            };
            self.refuse(site, &parts, respond, &refused);
            body.into_iter().for_each(linger);
            if status == 400 {
                self.line.deeds().note_malformed();
            }
            return;
        }
        let client = Http2::new(
            parts.method == Method::HEAD,
            body,
            respond,
            site.http.min_receive_rate,
            &self.line,
            presence,
        );
        let incoming = Incoming {
            request: RequestHeader::of_http2(parts),
            client: Client::Http2(client),
        };
        let origin = Origin {
            connection: Arc::clone(&self.visit.connection),
            received,
            time,
            site: Arc::clone(site),
        };
        let context = Box::new(context::Context::new(incoming, origin));
        let (proxy, drain) = (Arc::clone(&self.visit.proxy), drain.clone());
        supervise::once_tracked(&self.streams, async move {
            handover::serve(&proxy, &drain, context).await;
        });
    }

    /// Tells the client that this connection ends. What is under way is served, and so is what it had sent before it
    /// knew (RFC 9113 section 6.8). `patient`: and what it sends for a while after.
    fn close(&mut self, patient: bool) {
        if self.closing.is_some() {
            self.patient &= patient;
        } else {
            self.patient = patient;
            self.closing = Some(Instant::now());
            self.connection.graceful_shutdown();
        }
    }

    /// Ends the connection now, as soon as its client has been told why.
    async fn end(&mut self, reason: Reason) {
        self.connection.abrupt_shutdown(reason);
        let closed = poll_fn(|cx| {
            loop {
                let closed = self.connection.poll_closed(cx);
                if closed.is_ready() || !self.line.take_unwritten() {
                    return closed;
                }
            }
        });
        drop(tokio::time::timeout(LAST_WORDS, closed).await);
    }

    /// Answers a request that nobody else is to see.
    fn refuse(
        &self,
        site: &Site,
        request: &parts::Parts,
        mut respond: SendResponse<Bytes>,
        &Refusing {
            status,
            reason,
            legible,
            received,
            time,
        }: &Refusing,
    ) {
        let target = request.uri.path_and_query();
        let (id, page) = self.visit.refuse(
            site,
            &Refused {
                status,
                reason,
                termination: match status {
                    503 => Termination::Limit,
                    status => termination_of(status),
                },
                protocol: Some(PROTOCOL),
                method: legible.method.then_some(request.method.as_str().as_bytes()),
                host: request::asked_host(request).filter(|_| legible.host),
                target: target
                    .map(|target| target.as_str().as_bytes())
                    .filter(|_| legible.target),
                headers: Some(&request.headers.clone().into()),
                received,
                time,
            },
        );
        let without_body = request.method == Method::HEAD;
        let mut response = answer::response(status);
        let headers = &mut response.headers;
        headers.insert(DATE, date::get_cached_date());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(page.body.len()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_REQUEST_ID, id.value());
        if status == 405
            && let Ok(allowed) = HeaderValue::try_from(allowed(b""))
        {
            headers.insert(ALLOW, allowed);
        }
        if let Some(seconds) = page.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        identity::server(headers, site.http.server_header.as_ref());
        let sent = respond.send_response(response.into_http2(), without_body);
        let sent = sent.and_then(|mut send| {
            if without_body {
                return Ok(());
            }
            send.send_data(page.body, true)
        });
        if let Err(error) = sent {
            // It has given the request up meanwhile.
            tracing::debug!(%error, "a refusal was not sent");
        }
    }

    /// A request that never came to be is recorded, as in HTTP/1; there is no stream to answer it on.
    fn record_unseen(&self, site: &Site, (status, reason, termination): Unseen, since: Instant) {
        self.visit.refuse(
            site,
            &Refused {
                status,
                reason,
                termination,
                protocol: Some(PROTOCOL),
                method: None,
                host: None,
                target: None,
                headers: None,
                received: since,
                time: SystemTime::now()
                    .checked_sub(since.elapsed())
                    .unwrap_or(SystemTime::UNIX_EPOCH),
            },
        );
    }
}

/// How a request is recorded that never came to be.
type Unseen = (u16, &'static str, Termination);

const SLOW_HEADER: Unseen = (
    408,
    "the request's header took too long to arrive",
    Termination::ClientTimeout,
);
/// Why a client is sent away.
fn sent_away(fault: Fault) -> Unseen {
    let reason = match fault {
        Fault::Block => {
            return (
                431,
                "a header block is endless, or far too large",
                Termination::Limit,
            );
        }
        Fault::Resets => "too many requests were cancelled",
        Fault::Noise => "too many frames carry nothing",
        Fault::Malformed => "too many requests are malformed",
        Fault::Compression => "a header block can't be decompressed",
        Fault::Protocol => "a frame is in another's place, or shorter than it says",
        Fault::Closed => "a header block is on a stream that has ended",
        Fault::NoSettings => "the first frame isn't SETTINGS",
    };
    (400, reason, Termination::BadRequest)
}

const DEFECT: Unseen = (500, "a defect", Termination::Internal);
