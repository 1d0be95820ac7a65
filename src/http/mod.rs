//! The proxy: what happens to a request.
//!
//! [`connection::serve`] brings one well-formed request at a time, and Pingora's `HttpProxy` calls [`Edge`] with it. It is
//! served in [`ProxyHttp::request_filter`], from its arrival ([`arrival`]) to its last byte ([`forward`]): there both
//! ends of its way are at hand, the client's and the server's ([`wire`]). For each try [`ProxyHttp::upstream_peer`] says
//! which server is asked. Decisions are plain functions.
//!
//! The lease on a server lives in the request's context: taken for each try, given back when the request has been
//! recorded, and by `Drop` wherever else a context may end.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::modules::http::HttpModules;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{ProxyHttp, Session};

use crate::acme::Challenges;
use crate::headers::names::KnownName;
use crate::listen::Drain;
use crate::observe::access_log::AccessLog;

mod acme;
mod answer;
mod arrival;
mod authority;
mod backoff;
mod choice;
mod client_certificate;
mod compression;
pub mod connection;
mod context;
mod date;
mod departure;
mod destination;
mod error_page;
mod failure;
mod forward;
mod handover;
pub mod head;
mod host;
mod http2;
mod identity;
mod message;
mod mirror;
mod options;
mod record;
mod redirect;
mod request_id;
mod response_guard;
mod retry;
mod routes;
mod settle;
mod site;
mod target;
mod variables;
mod wire;

use context::{Arrival, Context, Incoming};
use failure::Failure;
use record::RequestRecord;
use request_id::RequestId;
pub use site::{HttpListener, Site};

/// The name of the header that carries the request id.
const X_REQUEST_ID: KnownName = KnownName::new("x-request-id");

/// What all connections share.
pub struct Shared {
    /// Where requests are recorded.
    pub access_log: Arc<AccessLog>,
    /// Whether the process is to end.
    pub drain: Arc<Drain>,
    /// What authorities are answered.
    pub challenges: Arc<Challenges>,
}

/// The proxy. One serves all listeners.
pub struct Edge {
    shared: Arc<Shared>,
}

impl Edge {
    /// A proxy.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Serves a request to its end, or finds out why it can't be.
    async fn serve(&self, record: &mut RequestRecord<'_>) -> std::result::Result<(), Failure> {
        let RequestRecord {
            session,
            context,
            incoming,
            ..
        } = record;
        let Incoming { request, client } = &mut **incoming;
        if arrival::receive(&self.shared, request, client, context).await? {
            return Ok(());
        }
        forward::forward(self, session, request, context, client).await
    }
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context {
            arrival: handover::take(),
            ..Context::default()
        }
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // None: each costs every request.
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        let Some(arrival) = context.arrival.take() else {
            return Error::e_explain(ErrorType::InternalError, "a request from nowhere");
        };
        let Arrival { origin, incoming } = arrival;
        context.origin = Some(origin);
        let mut record = RequestRecord::open(&self.shared, session, context, incoming);
        if let Err(failure) = self.serve(&mut record).await {
            forward::fail(&mut record, failure).await;
        }
        record.complete();
        // It has been answered, as far as its client took it.
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        context: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        choice::peer(context).await.map_err(|failure| {
            context.failure = Some(failure);
            Error::new(ErrorType::ConnectProxyFailure)
        })
    }
}
