//! A client connection's life, whichever HTTP it speaks.
//!
//! With TLS the protocol is agreed in the handshake. Without, HTTP/1 is read until the first bytes turn out to be
//! HTTP/2's preface ("prior knowledge", RFC 9113 section 3.3). Either way what comes out of here is one well-formed
//! request at a time with the way back to its client ([`Context`](crate::http::context::Context)); what is malformed or over a limit
//! is answered and recorded here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use pingora_proxy::HttpProxy;

use crate::config::model::Alpn;
use crate::headers::Fields;
use crate::http::Edge;
use crate::http::Shared;
use crate::http::answer::error_page::ErrorPage;
use crate::http::request::id::RequestId;
use crate::http::site::{Connection, HttpListener, Site};
use crate::listen::{Admitted, ClientLimits, ClientStream, Ends, Transport};
use crate::observe::access_log::Record;
use crate::observe::{ErrorReason, Termination};
use crate::persistence::LastToken;
use crate::tls::Established;
use crate::upstream::Personal;

mod h1;
pub mod h2;

/// Takes one accepted connection. What is returned serves it to its end; `None`, if it has ended already.
pub fn serve(
    proxy: Arc<HttpProxy<Edge>>,
    edge: Arc<Shared>,
    listener: Arc<HttpListener>,
    transport: Transport,
    tls: Option<Established>,
    ends: Ends,
    mut admitted: Admitted,
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let local = ends.local(transport.socket()).ok()?;
    let agreed_http2 = tls.as_ref().is_some_and(|tls| tls.alpn == Some(Alpn::H2));
    let site = listener.site.load_full();
    let peer_ip = ends.peer_ip();
    // A trusted proxy brings many clients on its connections; it is not one of them.
    let limits = if site.resolver.trusts(peer_ip) {
        ClientLimits::default()
    } else {
        site.client_limits
    };
    let too_many = admitted.of_client(peer_ip, limits, Instant::now()).is_err();
    let connection = Connection {
        ends,
        local,
        tls,
        shared: Arc::clone(&edge),
        personal: Personal::default(),
        last_token: LastToken::default(),
    };
    let visit = Visit {
        proxy,
        edge,
        listener,
        connection: Arc::new(connection),
        too_many,
    };
    let stream = Box::new(ClientStream::new(transport, admitted));
    Some(converse(visit, stream, agreed_http2))
}

async fn converse(visit: Visit, stream: Box<ClientStream>, agreed_http2: bool) {
    let stream = if agreed_http2 {
        Some(stream)
    } else {
        h1::converse(&visit, stream).await
    };
    if let Some(stream) = stream {
        // Apart, so that connections of HTTP/1 aren't as large as these.
        Box::pin(h2::converse(&visit, stream)).await;
    }
}

/// A connection and where it leads, the same for all its requests.
struct Visit {
    proxy: Arc<HttpProxy<Edge>>,
    edge: Arc<Shared>,
    listener: Arc<HttpListener>,
    connection: Arc<Connection>,
    /// Its client holds or makes more connections than it may.
    too_many: bool,
}

/// The answer to every request of a client that holds or makes too many connections.
const TOO_MANY: &str = "too many connections from this client";

/// A request that is answered here, as far as it could be made out.
struct Refused<'a> {
    status: u16,
    reason: &'static str,
    termination: Termination,
    protocol: Option<&'static str>,
    method: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    /// Where they can be told from the rest.
    headers: Option<&'a Fields>,
    received: Instant,
    time: SystemTime,
}

impl Visit {
    /// Records a request that nobody else is to see. Returns what to answer.
    fn refuse(&self, site: &Site, refused: &Refused<'_>) -> (RequestId, ErrorPage) {
        let id = RequestId::random(&mut rand::rng());
        let page = ErrorPage::new(
            &site.http.error_pages,
            refused.status,
            refused.reason,
            id.as_str(),
            refused.headers,
        );
        let (path, query) = crate::http::record::split_target(refused.target.unwrap_or_default());
        let ends = &self.connection.ends;
        let (client, peer) = (ends.peer_ip(), ends.socket_peer().ip().to_canonical());
        let record = Record {
            method: refused.method,
            host: refused.host,
            path: refused.target.map(|_| path),
            query,
            protocol: refused.protocol,
            status: Some(refused.status),
            bytes_out: page.body.len() as u64,
            duration: refused.received.elapsed(),
            request_id: Some(id.as_str()),
            termination: refused.termination,
            ..Record::new(refused.time, client, peer, &site.listener)
        };
        site.traffic.request(refused.status);
        let status = Some(refused.status);
        let error = ErrorReason::of(refused.termination, status);
        site.outcomes.ended(status, error, false);
        site.duration.observe(record.duration.as_secs_f64());
        site.requests.fetch_add(1, Ordering::Relaxed);
        self.edge.access_log.write(&record);
        (id, page)
    }
}

/// Why a request of that status was refused, for the log.
fn termination_of(status: u16) -> Termination {
    match status {
        413 | 414 | 431 => Termination::Limit,
        _ => Termination::BadRequest,
    }
}
