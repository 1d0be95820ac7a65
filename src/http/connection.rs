//! A client connection's life: read a header section, have it served, again, until one side is done.
//!
//! The deadlines of a header section and of the wait between requests are kept here, on the
//! connection, as are the refusals of [`head`]: what comes out of here is a request that Pingora may
//! see.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora_proxy::HttpProxy;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::context::Origin;
use super::error_page::ErrorPage;
use super::head::{self, Head, RequestLine};
use super::request_id::RequestId;
use super::site::{Connection, HttpListener, Site};
use super::{Edge, Shared};
use crate::listen::{Admitted, ClientStream, Transport};
use crate::observe::access_log::Record;
use crate::observe::{RejectReason, Termination};
use crate::tls::Established;

/// Serves one accepted connection to its end.
pub async fn serve(
    proxy: Arc<HttpProxy<Edge>>,
    edge: Arc<Shared>,
    listener: Arc<HttpListener>,
    transport: Transport,
    tls: Option<Established>,
    peer: SocketAddr,
    mut admitted: Admitted,
) {
    let Ok(local) = transport.local_addr() else {
        return;
    };
    let connection = Arc::new(Connection { peer, local, tls });
    let site = listener.site.load_full();
    let peer_ip = peer.ip().to_canonical();
    // A trusted proxy brings many clients on its connections; it is not one of them.
    let limit = if site
        .resolver
        .client(peer_ip, &HeaderMap::new())
        .trusted_peer
    {
        0
    } else {
        site.connections_per_client
    };
    let too_many = !admitted.count_client(peer_ip, limit);
    if too_many {
        admitted.metrics().rejected.inc(RejectReason::ClientLimit);
    }
    let mut conversation = Conversation {
        drain: edge.drain.watch(),
        edge,
        connection,
        served: 0,
    };
    let mut stream = Box::new(ClientStream::new(transport, admitted));
    loop {
        let site = listener.site.load_full();
        let (head, received, time) = match conversation.next_head(&mut stream, &site).await {
            Next::Request(head, received, time) => (head, received, time),
            Next::Over => return,
            Next::Refused(refusal) => {
                conversation.refuse(&mut stream, &site, &refusal).await;
                return;
            }
        };
        if too_many {
            let refusal = Refused {
                status: 503,
                reason: "too many connections from this client",
                termination: Termination::Limit,
                line: None,
                received,
                time,
            };
            conversation.refuse(&mut stream, &site, &refusal).await;
            return;
        }
        conversation.served = conversation.served.saturating_add(1);
        let session = conversation.session(stream, &head, site, received, time);
        let watch = conversation.drain.clone();
        let Some(reused) = proxy.process_new_http(session, &watch).await else {
            return;
        };
        let (reused, _) = reused.consume();
        match reused.into_any().downcast::<ClientStream>() {
            // Pingora and we have to agree on where the request ended; if not, nothing more is read.
            Ok(back) if back.is_between_messages() => stream = back,
            _ => return,
        }
    }
}

/// What comes next on a connection.
enum Next {
    Request(Head, Instant, SystemTime),
    /// Nothing: the client is done, or idle for too long, or we are stopping.
    Over,
    Refused(Refused),
}

/// A request that is answered here.
struct Refused {
    status: u16,
    reason: &'static str,
    termination: Termination,
    line: Option<RequestLine>,
    received: Instant,
    time: SystemTime,
}

/// What lasts from request to request.
struct Conversation {
    edge: Arc<Shared>,
    connection: Arc<Connection>,
    drain: watch::Receiver<bool>,
    served: u32,
}

impl Conversation {
    /// Waits for the next header section and looks at it.
    async fn next_head(&mut self, stream: &mut ClientStream, site: &Site) -> Next {
        let patience = if self.served == 0 {
            site.http.header_timeout
        } else {
            site.http.keepalive_timeout
        };
        if !self.first_byte(stream, patience).await {
            return Next::Over;
        }
        let (received, time) = (Instant::now(), SystemTime::now());
        let deadline = tokio::time::Instant::from_std(received) + site.http.header_timeout;
        let refused = |status, reason, termination, line| {
            Next::Refused(Refused {
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
            match head::inspect(pending, scanned, &site.limits) {
                Ok(Some(head)) => return Next::Request(head, received, time),
                Ok(None) => scanned = pending.len(),
                Err(refusal) => {
                    let termination = match refusal.status {
                        413 | 414 | 431 => Termination::Limit,
                        _ => Termination::BadRequest,
                    };
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
                        None,
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
        tokio::select! {
            biased;
            readable = tokio::time::timeout(patience, stream.readable()) => {
                matches!(readable, Ok(Ok(())))
            }
            // The sender lives as long as the process.
            _ = self.drain.wait_for(|begun| *begun) => false,
        }
    }

    /// Hands a request over: a Pingora session that sees this message and no other.
    fn session(
        &self,
        mut stream: Box<ClientStream>,
        head: &Head,
        site: Arc<Site>,
        received: Instant,
        time: SystemTime,
    ) -> ServerSession {
        stream.skip(head.leading);
        stream.begin(head.length, head.framing);
        let http = &site.http;
        let last = http.keepalive_requests > 0 && self.served >= http.keepalive_requests;
        let (body_timeout, send_timeout) = (http.body_timeout, http.send_timeout);
        let mut session = ServerSession::new_http1(stream);
        session.set_read_timeout(Some(body_timeout));
        session.set_write_timeout(Some(send_timeout));
        session.set_keepalive_reuses_remaining(last.then_some(0));
        session.set_connection_user_context(Some(Box::new(Origin {
            connection: Arc::clone(&self.connection),
            site,
            received,
            time,
        })));
        session
    }

    /// Answers a request that nobody else is to see, and writes its line to the log.
    async fn refuse(&self, stream: &mut ClientStream, site: &Site, refused: &Refused) {
        let id = RequestId::random(&mut rand::rng());
        let page = ErrorPage::new(refused.status, refused.reason, id.as_str(), None);
        let part = |range: &std::ops::Range<usize>| stream.pending().get(range.clone());
        let method = refused.line.as_ref().and_then(|line| part(&line.method));
        let target = refused.line.as_ref().and_then(|line| part(&line.target));
        let (path, query) = super::record::split_target(target.unwrap_or_default());
        let client: IpAddr = self.connection.peer.ip().to_canonical();
        let record = Record {
            method,
            path: target.map(|_| path),
            query,
            status: Some(refused.status),
            bytes_out: page.body.len() as u64,
            duration: refused.received.elapsed(),
            request_id: Some(id.as_str()),
            termination: refused.termination,
            ..Record::new(refused.time, client, client, &site.listener)
        };
        site.traffic(None).request(refused.status);
        site.duration.observe(record.duration.as_secs_f64());
        site.requests.fetch_add(1, Ordering::Relaxed);
        self.edge.access_log.write(&record);
        let date = httpdate::fmt_http_date(SystemTime::now());
        let wire = page.to_wire(id.as_str(), &date, method == Some(b"HEAD"));
        let answer = async {
            stream.write_all(&wire).await?;
            stream.flush().await
        };
        // A client that doesn't take its refusal goes without.
        drop(tokio::time::timeout(site.http.send_timeout, answer).await);
    }
}
