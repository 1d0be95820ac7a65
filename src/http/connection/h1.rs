//! HTTP/1 on a connection: read a header section, have it served, again, until one side is done.
//!
//! The deadlines of a header section and of the wait between requests are kept here, on the connection, as are the refusals
//! of [`head`]: what comes out of here is a request that is well formed.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Version};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout_at};

use super::{Refused, TOO_MANY, Visit, termination_of};
use crate::http::context::{Context, Incoming, Origin};
use crate::http::handover;
use crate::http::site::Site;
use crate::http::wire::Client;
use crate::http::wire::client::{Handback, Http1};
use crate::http::wire::head::{self, Head, RequestLine};
use crate::http::wire::message::RequestHeader;
use crate::listen::{ClientStream, Leave};
use crate::observe::Termination;

/// What a client begins with that knows that we speak HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A client that has made no request for so long isn't likely to make one at the very moment when its connection is closed.
const LULL: Duration = Duration::from_secs(1);

/// Serves a connection's requests to their end. Returns the connection if its client speaks HTTP/2 instead.
pub async fn converse(visit: &Visit, mut stream: Box<ClientStream>) -> Option<Box<ClientStream>> {
    let mut conversation = Conversation {
        drain: visit.edge.drain.watch(),
        leave: visit.edge.drain.watch_leave(),
        visit,
        served: 0,
        handback: Arc::default(),
    };
    loop {
        let next = conversation.next_head(&mut stream).await;
        // The head was waited for, however long: what counts is the configuration of now.
        let site = visit.listener.site.load_full();
        let (head, received, time) = match next {
            Next::Request(head, received, time) => (head, received, time),
            Next::Http2 => return Some(stream),
            Next::Over => return None,
            Next::Refused(refusal) => {
                conversation.refuse(&mut stream, &site, &refusal).await;
                return None;
            }
        };
        if visit.too_many {
            let refusal = Refusal {
                status: 503,
                reason: TOO_MANY,
                termination: Termination::Limit,
                line: None,
                received,
                time,
            };
            conversation.refuse(&mut stream, &site, &refusal).await;
            return None;
        }
        conversation.served = conversation.served.saturating_add(1);
        let context = conversation.arrive(stream, head, site, received, time)?;
        // Apart, so that an idle connection isn't as large as a request.
        Box::pin(handover::serve(&visit.proxy, &conversation.drain, context)).await;
        stream = conversation.handback.take().await?;
    }
}

/// What comes next on a connection.
enum Next {
    Request(Head, Instant, SystemTime),
    /// Its client speaks HTTP/2, and nothing of that has been taken yet.
    Http2,
    /// Nothing: the client is done, or idle for too long, or we are stopping.
    Over,
    Refused(Refusal),
}

/// A request that is answered here.
struct Refusal {
    status: u16,
    reason: &'static str,
    termination: Termination,
    line: Option<RequestLine>,
    received: Instant,
    time: SystemTime,
}

/// What lasts from request to request.
struct Conversation<'a> {
    visit: &'a Visit,
    drain: watch::Receiver<bool>,
    leave: watch::Receiver<Option<Leave>>,
    served: u32,
    handback: Arc<Handback>,
}

impl Conversation<'_> {
    /// Waits for the next header section and looks at it. A wait that has begun keeps its length over a reload; what is
    /// looked at is held to the limits of that moment.
    async fn next_head(&mut self, stream: &mut ClientStream) -> Next {
        let listener = &self.visit.listener;
        let patience = {
            let site = listener.site.load();
            if self.served == 0 {
                site.http.header_timeout
            } else {
                site.http.keepalive_timeout
            }
        };
        if !self.first_byte(stream, patience).await {
            return Next::Over;
        }
        let (received, time) = (Instant::now(), SystemTime::now());
        let (deadline, may_be_http2) = {
            let site = listener.site.load();
            let deadline = tokio::time::Instant::from_std(received) + site.http.header_timeout;
            (deadline, self.served == 0 && site.http.http2.is_some())
        };
        let refused = |status, reason, termination, line| {
            Next::Refused(Refusal {
                status,
                reason,
                termination,
                line,
                received,
                time,
            })
        };
        let mut scanned = 0;
        loop {
            let pending = stream.pending();
            if may_be_http2 && pending.starts_with(PREFACE) {
                return Next::Http2;
            }
            let preface_begins = may_be_http2 && PREFACE.starts_with(pending);
            match head::inspect(pending, scanned, &listener.site.load().limits) {
                _ if preface_begins => {}
                Ok(Some(head)) => return Next::Request(head, received, time),
                Ok(None) => scanned = pending.len(),
                Err(refusal) => {
                    let termination = termination_of(refusal.status);
                    return refused(refusal.status, refusal.reason, termination, refusal.line);
                }
            }
            match timeout_at(deadline, stream.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Next::Over,
                Err(_) if scanned == 0 => return Next::Over,
                Err(_) => {
                    return refused(
                        408,
                        "the request's header took too long to arrive",
                        Termination::ClientTimeout,
                        head::line_so_far(stream.pending()),
                    );
                }
            }
        }
    }

    /// Waits until the client begins a request. False if it doesn't.
    async fn first_byte(&mut self, stream: &mut ClientStream, patience: Duration) -> bool {
        if !stream.pending().is_empty() {
            return true;
        }
        let due = tokio::time::Instant::now() + patience;
        let mut timer = std::mem::take(stream.timer());
        let begins = tokio::select! {
            biased;
            readable = stream.readable() => readable.is_ok(),
            () = poll_fn(|cx| timer.poll_due(cx, due)) => false,
            () = sent_away_for_good(&mut self.leave, self.visit.connection.ends.peer, due - patience) => false,
        };
        *stream.timer() = timer;
        // A request that came just now, and that the runtime hasn't heard of, isn't to meet a closed connection.
        begins || stream.has_arrived()
    }

    /// Takes a request from the connection, with the way back.
    fn arrive(
        &self,
        mut stream: Box<ClientStream>,
        head: Head,
        site: Arc<Site>,
        received: Instant,
        time: SystemTime,
    ) -> Option<Box<Context>> {
        let bytes = stream.take_out(head.leading + head.length);
        let framing = head.framing;
        let request = request(&bytes, head)?;
        let http = &site.http;
        let last = (http.keepalive_requests > 0 && self.served >= http.keepalive_requests)
            || self.visit.listener.gone.is_cancelled()
            || self
                .visit
                .edge
                .drain
                .sends_away(self.visit.connection.ends.peer);
        let client = Http1::new(
            stream,
            &request,
            framing,
            http,
            last,
            Arc::clone(&self.handback),
        );
        let incoming = Incoming {
            request,
            client: Client::Http1(client),
        };
        let origin = Origin {
            connection: Arc::clone(&self.visit.connection),
            site,
            received,
            time,
        };
        Some(Box::new(Context::new(incoming, origin)))
    }

    /// Answers a request that nobody else is to see, and writes its line to the log.
    async fn refuse(&self, stream: &mut ClientStream, site: &Site, refusal: &Refusal) {
        let part = |range: &std::ops::Range<usize>| stream.pending().get(range.clone());
        let method = refusal.line.as_ref().and_then(|line| part(&line.method));
        let target = refusal.line.as_ref().and_then(|line| part(&line.target));
        let without_body = method == Some(b"HEAD");
        let (id, page) = self.visit.refuse(
            site,
            &Refused {
                status: refusal.status,
                reason: refusal.reason,
                termination: refusal.termination,
                protocol: None,
                method,
                host: None,
                target,
                headers: None,
                received: refusal.received,
                time: refusal.time,
            },
        );
        let date = httpdate::fmt_http_date(SystemTime::now());
        let server = site.http.server_header.as_ref();
        let wire = page.to_wire(id.as_str(), &date, server, without_body);
        let answer = async {
            stream.write_all(&wire).await?;
            stream.flush().await
        };
        // A client that doesn't take its refusal goes without.
        drop(tokio::time::timeout(site.http.send_timeout, answer).await);
    }
}

/// Returns when a connection of that peer that has had nothing under way since `idle_since` is to end. One that is busy is
/// not: its next response says so, and costs the client nothing.
async fn sent_away_for_good(
    leave: &mut watch::Receiver<Option<Leave>>,
    peer: SocketAddr,
    idle_since: tokio::time::Instant,
) {
    loop {
        let moment = leave.borrow_and_update().filter(Leave::is_for_good);
        let moment = moment.map(|leave| (idle_since + LULL).max(leave.moment(peer).into()));
        // The sender lives as long as the process.
        match moment {
            Some(moment) => tokio::select! {
                () = sleep_until(moment) => return,
                _ = leave.changed() => {}
            },
            None => drop(leave.changed().await),
        }
    }
}

/// A request's header, of which all parts have been checked. `None` can't be.
fn request(bytes: &Bytes, head: Head) -> Option<RequestHeader> {
    let part = |range: &std::ops::Range<usize>| bytes.get(range.clone());
    let method = Method::from_bytes(part(&head.line.method)?).ok()?;
    let target = match &head.encoded {
        Some(encoded) => Bytes::copy_from_slice(encoded),
        None => bytes.slice(head.line.target.clone()),
    };
    let version = if head.is_version_10 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let mut fields = head.fields;
    fields.set_received(bytes.clone());
    Some(RequestHeader::new(method, target, version, fields))
}
