//! HTTP/2 on a connection (RFC 9113): many requests at once, each a task of its own.
//!
//! The connection's [`Streams`] know frames, windows and header compression. This module moves their bytes ([`Driver`]) and
//! holds the connection to our limits: how long it may be idle, how long a header block may take, how many requests it may carry,
//! and how it ends: told by GOAWAY, its requests served to their ends. A request is an HTTP/1 one but for its version by then,
//! so that nothing behind here knows the difference.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::Visit;
use crate::coalescing::WriteCoalescing;
use crate::config::model;
use crate::http::context::{self, Incoming, Origin};
use crate::http::handover;
use crate::http::site::Site;
use crate::http::wire::Client;
use crate::http::wire::client::{Http2, LOOK};
use crate::http::wire::http2::ErrorCode;
use crate::http::wire::http2::meter::Fault;
use crate::http::wire::http2::output::Output;
use crate::http::wire::http2::streams::{self, Arrival, Condition, Streams};
use crate::listen::{ClientStream, LazyTimer};
use crate::relay::Wire as _;
use crate::supervise;

mod refusal;
mod turnover;

use refusal::{DEFECT, SLOW_HEADER, sent_away};
use turnover::Turnover;

/// Bytes that are read at once, and as many as may be when they come faster than they are read.
const READ: usize = 4 * 1024;
const FAST_READ: usize = 64 * 1024;
/// More room than this for requests that have come isn't kept from one read to the next.
const MOST_KEPT: usize = 16;
/// How long a client may take to read a GOAWAY, or to say that it has.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long requests are still taken of a client that was told that the connection ends and doesn't say that it has
/// heard; one that does is told at once which was the last.
const LAST_CALL: Duration = Duration::from_secs(5);

/// Serves a connection whose client speaks HTTP/2, to its end.
pub(super) async fn converse(visit: &Visit, stream: Box<ClientStream>) {
    let (site, now) = (visit.listener.site.load_full(), Instant::now());
    let tasks = TaskTracker::new();
    let mut driver = Driver {
        visit,
        stream,
        streams: Streams::with_client(streams_at_once(&site.http), &site.limits, now),
        output: Output::default(),
        coalescing: WriteCoalescing::default(),
        tasks: tasks.clone(),
        drain: visit.edge.drain.watch(),
        arrivals: Vec::new(),
        wakers: Vec::new(),
        read: READ,
        fault: None,
        half_closed: false,
        is_shared: false,
        timer: LazyTimer::default(),
        served: 0,
        busy: now,
        turnover: Turnover::new(now),
        closing: None,
    };
    drop(site);
    driver.drive().await;
    drop(driver);
    // With the connection gone they have nobody to serve, and see to their ends.
    tasks.close();
    tasks.wait().await;
}

fn streams_at_once(http: &model::Http) -> u32 {
    http.http2.map_or(128, |http2| http2.max_streams)
}

async fn begun(mut drain: watch::Receiver<bool>) {
    // The sender lives as long as the process.
    drop(drain.wait_for(|begun| *begun).await);
}

/// What happens on a connection.
#[derive(Debug, Clone, Copy)]
enum Event {
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
    /// All has been said.
    Done,
    /// The client is gone.
    Over,
}

/// Drives a connection.
struct Driver<'a> {
    visit: &'a Visit,
    stream: Box<ClientStream>,
    streams: Arc<Streams>,
    output: Output,
    coalescing: WriteCoalescing,
    tasks: TaskTracker,
    drain: watch::Receiver<bool>,
    /// Requests that have come and that nobody serves yet.
    arrivals: Vec<Arrival>,
    /// Tasks to wake once the lock of the streams is released.
    wakers: Vec<Waker>,
    /// Bytes that are read next.
    read: usize,
    /// Nothing more is read from the client.
    fault: Option<Fault>,
    /// The client has ended its side, and may still be listening (RFC 9112 section 9.6 has it so for HTTP/1).
    half_closed: bool,
    /// Several requests were under way when that was last looked at.
    is_shared: bool,
    timer: LazyTimer,
    served: u32,
    /// When it was last seen to have streams.
    busy: Instant,
    turnover: Turnover,
    closing: Option<Closing>,
}

/// How far a connection is whose client was told that it ends.
#[derive(Debug, Clone, Copy)]
struct Closing {
    /// When it was told.
    since: Instant,
    /// Requests of a client that has heard so are taken for a while all the same.
    patient: bool,
    /// It has been told which was its last request.
    called: bool,
}

impl Driver<'_> {
    async fn drive(&mut self) {
        let mut draining = pin!(begun(self.drain.clone()));
        let peer = self.visit.connection.ends.peer;
        let mut leaving = pin!(self.visit.edge.drain.sent_away(peer));
        let listener = Arc::clone(&self.visit.listener);
        let mut gone = pin!(listener.gone.cancelled());
        self.take_in();
        loop {
            let told = self.closing.is_some_and(|closing| !closing.patient);
            let event = tokio::select! {
                biased;
                event = self.next() => event,
                () = &mut draining, if !told => Event::Drain,
                () = &mut leaving, if self.closing.is_none() => Event::Enough,
                () = &mut gone, if self.closing.is_none() => Event::Enough,
            };
            if matches!(event, Event::Drain | Event::Idle) && !self.streams.has_begun() {
                // A connection that has said nothing yet loses nothing.
                return;
            }
            // It was waited for, however long: what counts is the configuration of now.
            let site = self.visit.listener.site.load_full();
            match event {
                Event::Drain | Event::LastCall => self.close(false),
                Event::Enough => self.close(true),
                Event::Fault(fault) => {
                    self.record_unseen(&site, sent_away(fault), Instant::now());
                    return self.end(fault.code()).await;
                }
                Event::SlowHeader(since) => {
                    self.record_unseen(&site, SLOW_HEADER, since);
                    return self.end(ErrorCode::EnhanceYourCalm).await;
                }
                Event::Idle => return self.end(ErrorCode::NoError).await,
                Event::Done => return self.shut_down().await,
                Event::Stalled | Event::Over => return,
            }
        }
    }

    /// Waits for what happens next, moving bytes meanwhile.
    async fn next(&mut self) -> Event {
        poll_fn(|cx| {
            let mut coalescing = std::mem::take(&mut self.coalescing);
            let next = coalescing.poll(cx, self.is_shared, |cx| self.poll_next(cx));
            self.coalescing = coalescing;
            next
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Poll::Ready(event) = self.poll_move(cx) {
                return Poll::Ready(event);
            }
            let (now, condition) = (Instant::now(), self.streams.condition());
            self.is_shared = condition.active > 1;
            if let Some(fault) = self.fault {
                return Poll::Ready(Event::Fault(fault));
            }
            if condition.is_over {
                return Poll::Ready(Event::Done);
            }
            if self.is_last_call(&condition) {
                self.streams.take_no_more();
                continue;
            }
            if condition.due.is_some_and(|due| due <= now) {
                self.streams.end_late(now, &mut self.wakers);
                streams::wake(&mut self.wakers);
                continue;
            }
            let site = self.visit.listener.site.load();
            let (deadline, event) = self.deadline(&site.http, now, &condition);
            if deadline <= now {
                return Poll::Ready(event);
            }
            let look = self.half_closed.then(|| now + LOOK);
            let due = [condition.due, look].into_iter().flatten().min();
            let due = due.map_or(deadline, |due| due.min(deadline));
            // Of a client that has ended its side only a question tells whether it is there.
            if self.half_closed && self.timer.has_fired() && self.stream.has_failed() {
                return Poll::Ready(Event::Over);
            }
            ready!(self.timer.poll_set(cx, due.into()));
        }
    }

    /// Moves what there is to move in both directions. Pending: nothing more can be.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let mut is_crowded = false;
            while !self.half_closed && self.fault.is_none() {
                is_crowded = self.streams.is_crowded();
                if is_crowded {
                    break;
                }
                match self.stream.poll_fill(cx, self.read) {
                    Poll::Ready(Ok(0)) if self.half_close() => {}
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Event::Over),
                    Poll::Ready(Ok(count)) => {
                        if count == self.read {
                            self.read = (4 * self.read).min(FAST_READ);
                        }
                        self.take_in();
                    }
                    Poll::Pending => {
                        self.read = READ;
                        break;
                    }
                }
            }
            let written = (self.output).poll_write(&mut self.stream, &self.streams, cx);
            match written {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Event::Over),
                // The socket tells when it takes more.
                Poll::Pending => return Poll::Pending,
            }
            // What is crowded no more is read again.
            if !is_crowded && !self.streams.has_output(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Takes in what was read, and has the requests served that have come with it.
    fn take_in(&mut self) {
        let site = self.visit.listener.site.load_full();
        let received = self.streams.receive(
            self.stream.inbox(),
            &site.limits,
            Instant::now(),
            &mut self.arrivals,
            &mut self.wakers,
        );
        streams::wake(&mut self.wakers);
        self.fault = received.err();
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for arrival in arrivals.drain(..) {
            // A defect costs the request that it is met with, and the others go on.
            let begin = || self.begin(&site, arrival);
            if catch_unwind(AssertUnwindSafe(begin)).is_err() {
                self.record_unseen(&site, DEFECT, Instant::now());
            }
        }
        if arrivals.capacity() <= MOST_KEPT {
            self.arrivals = arrivals;
        }
    }

    /// The client has ended its side. False if it is gone with that.
    fn half_close(&mut self) -> bool {
        if self.visit.listener.site.load().http.abort_on_half_close {
            return false;
        }
        let is_between = self.streams.half_close(&mut self.wakers);
        streams::wake(&mut self.wakers);
        let waits = is_between && self.streams.condition().is_busy;
        if waits {
            self.half_closed = true;
            self.streams.ask();
        }
        waits
    }

    /// Whether the client is to be told now, and wasn't before, which was the last request.
    fn is_last_call(&mut self, condition: &Condition) -> bool {
        let Some(closing) = &mut self.closing else {
            return false;
        };
        let now = !closing.called && !closing.patient && condition.has_heard;
        closing.called |= now;
        now
    }

    /// The next deadline, and what has happened when it passes.
    fn deadline(
        &mut self,
        http: &model::Http,
        now: Instant,
        condition: &Condition,
    ) -> (Instant, Event) {
        let patience = match (self.closing, self.served) {
            (Some(_), _) => LAST_WORDS,
            (None, 0) => http.header_timeout,
            (None, _) => http
                .http2
                .map_or(http.keepalive_timeout, |http2| http2.idle_timeout),
        };
        if condition.is_busy {
            // Also when its request has been served, and the last of the response is still on its way.
            self.busy = now;
        }
        // While there are requests, nobody tells when the last one ends: a look now and then.
        let idle_since = condition.idle_since.unwrap_or(now).max(self.busy);
        let told = self.closing.map(|closing| closing.since);
        let idle_since = idle_since.max(told.unwrap_or(idle_since));
        let mut next = (idle_since + patience, Event::Idle);
        if let (None, Some(http2)) = (self.closing, http.http2) {
            self.turnover.note(condition.active, now);
            let quiet_since = (condition.active == 0).then_some(idle_since);
            let due = self
                .turnover
                .due(self.served, http2.max_requests, quiet_since);
            if let Some(due) = due.filter(|due| *due < next.0) {
                next = (due, Event::Enough);
            }
        }
        if let Some(closing) = self.closing.filter(|closing| closing.patient)
            && closing.since + LAST_CALL < next.0
        {
            next = (closing.since + LAST_CALL, Event::LastCall);
        }
        if let Some(since) = condition.block_since {
            let until = since + http.header_timeout;
            // Who sends a header isn't idle.
            if self.closing.is_none() || until < next.0 {
                next = (until, Event::SlowHeader(since));
            }
        }
        if let Some(since) = self.output.stalled_since()
            && since + http.send_timeout < next.0
        {
            next = (since + http.send_timeout, Event::Stalled);
        }
        next
    }

    /// Lets a request be served, or refuses it.
    fn begin(&mut self, site: &Arc<Site>, arrival: Arrival) {
        let (received, time) = (Instant::now(), SystemTime::now());
        let is_late = |closing: Closing| closing.since.elapsed() > LAST_CALL;
        if self.closing.is_some_and(is_late) {
            // Whoever hasn't answered the warning by now doesn't want to hear it, but may try elsewhere.
            return arrival.handle.reset(ErrorCode::RefusedStream);
        }
        self.busy = received;
        self.served = self.served.saturating_add(1);
        let request = match arrival.block.request {
            Ok(request) if self.visit.too_many => {
                self.close(false);
                let refusal = refusal::too_many(request);
                return self.refuse(site, arrival.handle, &refusal, (received, time));
            }
            Ok(request) => request,
            Err(refusal) => {
                if refusal.status == 400 {
                    self.streams.note_malformed();
                }
                return self.refuse(site, arrival.handle, &refusal, (received, time));
            }
        };
        let client = Http2::new(
            arrival.handle,
            request.method == Method::HEAD,
            !arrival.ends,
            site.http.min_receive_rate,
        );
        let incoming = Incoming {
            request,
            client: Client::Http2(client),
        };
        let origin = Origin {
            connection: Arc::clone(&self.visit.connection),
            received,
            time,
            site: Arc::clone(site),
        };
        let context = Box::new(context::Context::new(incoming, origin));
        let (proxy, drain) = (Arc::clone(&self.visit.proxy), self.drain.clone());
        supervise::once_tracked(&self.tasks, async move {
            handover::serve(&proxy, &drain, context).await;
        });
    }

    /// Tells the client that this connection ends. What is under way is served, and so is what it had sent before it
    /// knew (RFC 9113 section 6.8). `patient`: and what it sends for a while after.
    fn close(&mut self, patient: bool) {
        if let Some(closing) = &mut self.closing {
            closing.patient &= patient;
        } else {
            self.closing = Some(Closing {
                since: Instant::now(),
                patient,
                called: false,
            });
            self.streams.warn();
        }
    }

    /// Ends the connection now, as soon as its client has been told why.
    async fn end(&mut self, code: ErrorCode) {
        self.streams.go_away(code);
        self.shut_down().await;
    }

    /// Ends the connection when the last of what there is to say has been written.
    async fn shut_down(&mut self) {
        let ended = poll_fn(|cx| {
            ready!((self.output).poll_write(&mut self.stream, &self.streams, cx))?;
            Pin::new(&mut *self.stream).poll_shutdown(cx)
        });
        drop(tokio::time::timeout(LAST_WORDS, ended).await);
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.streams.end(&mut self.wakers);
        streams::wake(&mut self.wakers);
    }
}
