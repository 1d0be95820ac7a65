//! The proxy: what happens to a request.
//!
//! [`connection::serve`] brings one well-formed request at a time, and Pingora's `HttpProxy` calls [`Edge`] with it. In
//! [`ProxyHttp::request_filter`] it is found out where it goes ([`request::arrival`]). Then the connection has it back
//! ([`handover`]), and takes it there and back ([`forward`]): both ends of its way are at hand, the client's and the
//! server's ([`wire`]). For each try [`ProxyHttp::upstream_peer`] says which server is asked. Decisions are plain functions.
//!
//! The lease on a server lives in the request's context: taken for each try, given back when the request has been
//! recorded, and by `Drop` wherever else a context may end.

use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use pingora::modules::http::HttpModules;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{ProxyHttp, Session};

use crate::acme::Challenges;
use crate::headers::names::KnownName;
use crate::listen::Drain;
use crate::observe::access_log::AccessLog;

mod answer;
mod body;
pub mod connection;
mod context;
mod facade;
mod failure;
mod forward;
mod handover;
mod record;
mod request;
mod site;
pub mod wire;

use context::HookContext;
use record::RequestRecord;
use request::id::RequestId;
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

/// What Pingora's hooks return. A future without fields takes no memory when it is boxed, so a hook that is done at once
/// says so with one.
type Hook<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The proxy, as Pingora knows it. What it serves a request by lies in the request's context.
pub struct Edge;

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = HookContext;

    fn new_ctx(&self) -> HookContext {
        handover::arriving()
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // None: each costs every request.
    }

    fn early_request_filter<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        _: &'life1 mut Session,
        _: &'life2 mut HookContext,
    ) -> Hook<'async_trait, Result<()>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(poll_fn(|_| Poll::Ready(Ok(()))))
    }

    fn request_filter<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        _: &'life1 mut Session,
        context: &'life2 mut HookContext,
    ) -> Hook<'async_trait, Result<bool>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        let Some(record) = RequestRecord::open(context) else {
            let error = Error::explain(ErrorType::InternalError, "a request from nowhere");
            return Box::pin(ready(Err(error)));
        };
        // What is left to do is done by whoever brought it: true.
        match handover::receive(record) {
            None => Box::pin(poll_fn(|_| Poll::Ready(Ok(true)))),
            Some(mut rest) => Box::pin(poll_fn(move |cx| rest.poll(cx).map(|()| Ok(true)))),
        }
    }

    fn logging<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        _: &'life1 mut Session,
        _: Option<&'life2 Error>,
        _: &'life3 mut HookContext,
    ) -> Hook<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        // A record writes its line itself.
        Box::pin(poll_fn(|_| Poll::Ready(())))
    }

    async fn upstream_peer(
        &self,
        _: &mut Session,
        context: &mut HookContext,
    ) -> Result<Box<HttpPeer>> {
        let Some(context) = context else {
            return Error::e_explain(ErrorType::InternalError, "a request from nowhere");
        };
        forward::choice::peer(context).await.map_err(|failure| {
            context.failure = Some(failure);
            Error::new(ErrorType::ConnectProxyFailure)
        })
    }
}
