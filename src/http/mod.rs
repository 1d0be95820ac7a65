//! The proxy: what happens to a request, hook by hook.
//!
//! [`connection::serve`] hands over one well-formed request at a time. The hooks of [`ProxyHttp`] are
//! in the order in which they run: find the client and its session ([`ProxyHttp::request_filter`]),
//! find a server ([`ProxyHttp::upstream_peer`]), rewrite the request, rewrite the response, and record
//! how it ended ([`ProxyHttp::logging`]). They call plain functions for every decision.
//!
//! The lease on a server lives in the request's context: taken for each try in `upstream_peer`, given
//! back when the request has been recorded, and by `Drop` wherever else a context may end.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::acme::Challenges;
use crate::listen::{Amendment, ClientStream, Drain, Patience};
use crate::observe::access_log::AccessLog;
use crate::upstream;
use crate::upstream::Trouble;

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
pub mod head;
mod headers;
mod host;
mod identity;
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
mod trouble;
mod unchunked;
mod unfinished;
mod variables;

use answer::answer;
use context::{Context, Origin};
use failure::{Failure, Verdict};
use request_id::RequestId;
use retry::{fail, has_answer, judge, prepare_retry};
pub use site::{HttpListener, Site};

/// How long the rest of a request is still read that was answered before its end.
const LATE_BODY: Duration = Duration::from_secs(2);

/// The name of the header that carries the request id.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all connections share.
pub struct Shared {
    /// Where requests are recorded.
    pub access_log: Arc<AccessLog>,
    /// Whether the process is to end.
    pub drain: Arc<Drain>,
    /// What authorities are answered.
    pub challenges: Arc<Challenges>,
}

/// The proxy. One serves all listeners, so that they share the idle connections to the servers.
pub struct Edge {
    shared: Arc<Shared>,
}

impl Edge {
    /// A proxy.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // None: each costs every request.
    }

    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        context: &mut Context,
        origin: Box<dyn Any + Send + Sync>,
    ) {
        // Set by `connection` on each request, the first as well.
        context.origin = origin.downcast::<Origin>().ok();
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        arrival::receive(&self.shared, session, context).await
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        choice::peer(session, context).await
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        fd: std::os::unix::io::RawFd,
        digest: Option<&Digest>,
        context: &mut Context,
    ) -> Result<()> {
        let Some(lease) = &context.upstream.lease else {
            return Ok(());
        };
        if let Err(trouble) = upstream::admit(peer, digest) {
            if let Some(target) = context.target() {
                target.link.cast_out(lease.server(), &trouble);
            }
            let verdict = judge(session, context, Failure::ServerTls, false);
            let mut error = fail(context, Failure::ServerTls);
            prepare_retry(context, &mut error, verdict);
            return Err(error);
        }
        if let Some(keeping) = &context.upstream.keeping
            && !keeping.hold(fd)
        {
            // Given up at this very moment, for a connection that somebody waits for. Nothing was sent.
            let mut error = fail(context, Failure::ServerReset);
            prepare_retry(context, &mut error, Verdict::FreshConnection);
            return Err(error);
        }
        context.upstream.reused = reused;
        let metrics = lease.server().metrics();
        if reused {
            metrics.connections_reused.inc();
        } else {
            let begun = context.upstream.begun;
            metrics.connected(begun.map(|begun| begun.elapsed()).unwrap_or_default());
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        departure::prepare(session, request, context).await
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Context,
    ) -> Result<()> {
        let to_http2 = context.target().is_some_and(|target| target.link.http2());
        if !to_http2
            && !session.was_upgraded()
            && (context.response_ended || trouble::has_bodiless_answer(session))
        {
            // Answered before its end. A server that has forgotten the request would take the rest for another one.
            if end_of_stream {
                return Err(trouble::answered());
            }
            *body = Some(Bytes::new());
            return Ok(());
        }
        if end_of_stream {
            context.wait_for_server();
        }
        let at = context.body_bytes;
        context.body_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
        let limit = context.site().map_or(0, |site| site.http.max_body_size);
        if limit > 0 && context.body_bytes > limit {
            return Err(fail(context, Failure::BodyTooLarge));
        }
        departure::copy(context, at, body.as_ref(), end_of_stream);
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        context.wait_for_server();
        response_guard::admit(session, response, context)?;
        if response.status.is_informational()
            && response.status != http::StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        if context.site().is_some_and(|site| site.via) {
            let version = response.version;
            identity::via(&mut headers::Response(response), version);
        }
        let upstream = &mut context.upstream;
        if let (Some(begun), Some(lease)) = (upstream.begun, &upstream.lease) {
            let first_byte = begun.elapsed();
            upstream.first_byte = Some(first_byte);
            lease.server().metrics().responded(first_byte);
        }
        let Some(target) = context.target() else {
            return Ok(());
        };
        let retries = target.pool.settings().retries;
        let status = response.status.as_u16();
        if failure::is_retried_status(status, &retries) {
            let failure = Failure::ServerStatus(status);
            let verdict = judge(session, context, failure, false);
            // Passed on as it is when it can't be tried again.
            if let Verdict::AnotherServer(reason) = verdict {
                let mut error = fail(context, failure);
                prepare_retry(context, &mut error, Verdict::AnotherServer(reason));
                return Err(error);
            }
        }
        Ok(())
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        _context: &mut Context,
    ) -> Result<()> {
        response_guard::clean_trailers(trailers);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        if response.status == http::StatusCode::SWITCHING_PROTOCOLS {
            if let Some(stream) = trouble::client_stream(session.as_downstream()) {
                stream.become_tunnel(context.upstream.tunnel.clone());
            }
            // A tunnel may be silent for as long as `timeouts.receive` says; `body_timeout` is for bodies.
            session.set_read_timeout(None);
        } else if response.status.is_informational() {
            answer::expect_more(session);
            return Ok(());
        } else {
            answer::expect_no_more(session);
        }
        if !response.status.is_informational()
            && headers::ends_with_header(
                &session.req_header().method,
                response.status,
                &response.headers,
            )
            && !session.as_downstream_mut().is_body_done()
        {
            // Answered early, and there is no body to find that out by: see `response_body_filter`.
            context.response_ended = true;
            session.set_read_timeout(Some(LATE_BODY));
        }
        if !response.status.is_informational() {
            date::settle(&mut headers::Response(response));
            let amendment = Amendment {
                date: response.headers.get(header::DATE).cloned(),
                upgrade: response.headers.contains_key(header::UPGRADE),
            };
            if (amendment.date.is_some() || amendment.upgrade)
                && let Some(stream) = trouble::client_stream(session.as_downstream())
            {
                stream.amend(amendment);
            }
        }
        if let Some(lease) = &context.upstream.lease
            && let Some(target) = context.target.as_ref().map(|target| &target.site)
        {
            departure::map_back(session.req_header(), response, context);
            context.binding.finish_response(
                target,
                lease.server(),
                &session.req_header().headers,
                &mut headers::Response(response),
                context.https,
            );
        }
        if let Some(site) = context.site() {
            let server = site.http.server_header.as_ref();
            identity::server(&mut headers::Response(response), server);
        }
        departure::edit_response(session.req_header(), response, context);
        if let Some(unfinished) = &mut context.unfinished {
            unfinished.note_response(response.status);
        }
        if session.req_header().version == Version::HTTP_10 {
            // HTTP/1.0 knows no chunks: such a response ends with its connection.
            let chunked = response.remove_header(&header::TRANSFER_ENCODING).is_some();
            if chunked || !response.headers.contains_key(header::CONTENT_LENGTH) {
                session.set_keepalive(None);
                if let Some(stream) = trouble::client_stream(session.as_downstream()) {
                    // Until it is complete, which the end of the process may prevent.
                    stream.end_in_reset();
                }
            }
        }
        if self.shared.drain.has_begun() {
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Context,
    ) -> Result<Option<Duration>> {
        if let Some(unfinished) = &mut context.unfinished {
            unfinished.note_body(body.as_ref());
        }
        context.wait_for_server();
        if end_of_stream {
            if let Some(patience) = context.patience() {
                patience.rest();
            }
            context.response_ended = true;
            if !session.as_downstream_mut().is_body_done() {
                // Answered early: the rest of the request gets a moment, so that the client reads the answer
                // before the connection is closed, but it doesn't keep the server's place for long.
                session.set_read_timeout(Some(LATE_BODY));
            }
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let failure = trouble::of_connect(&error, peer);
        context.failure = Some(failure);
        if failure == Failure::OwnShortage {
            // It was never asked.
            context.upstream.lease = None;
        }
        if failure == Failure::ServerTls {
            explain(context, Some(&error));
        }
        // Only a kept connection can have been one of HTTP/2 already.
        let reused = failure == Failure::NotProcessed;
        let verdict = judge(session, context, failure, reused);
        prepare_retry(context, &mut error, verdict);
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        context: &mut Context,
        client_reused: bool,
    ) -> Box<Error> {
        // Pingora wants this decided, whatever we make of it below.
        error.retry.decide_reuse(client_reused);
        if *error.etype() == trouble::OURS {
            // Decided when it was made.
            return error;
        }
        if *error.etype() == trouble::ANSWERED {
            context.response_ended = true;
            return error;
        }
        let mut failure = trouble::classify(&error, session.as_downstream());
        if context.patience().is_some_and(Patience::has_ended) {
            failure = Failure::ServerTimeout;
        } else if failure == Failure::ServerTimeout
            && *error.etype() == ErrorType::ReadTimedout
            && !session.was_upgraded()
            && !session.as_downstream_mut().is_body_done()
            && !trouble::client_stream(session.as_downstream()).is_some_and(ClientStream::has_more)
        {
            // The server is still waiting for the request, as are we. In a tunnel it may speak at any time, and a server
            // that takes nothing of what has come is not waiting.
            failure = Failure::ClientTimeout;
        }
        let while_sending = matches!(
            error.etype(),
            ErrorType::WriteTimedout | ErrorType::WriteError
        );
        if context.response_ended
            && !while_sending
            && matches!(failure, Failure::ClientTimeout | Failure::ClientGone)
        {
            // The client has its answer; what it still owed of its request is of no use to anybody.
            return error;
        }
        context.failure = Some(failure);
        let is_new = !client_reused && failure == Failure::ServerReset;
        if is_new || failure == Failure::ServerTls {
            // With TLS 1.3 a server refuses our certificate only now, and its alert may be lost in the reset.
            explain(context, (!is_new).then_some(&error));
        } else if trouble::is_not_http2(&error)
            && let (Some(target), Some(lease)) = (context.target(), &context.upstream.lease)
        {
            target.link.tell(lease.server(), &Trouble::not_http2());
        } else if failure == Failure::ServerInvalid {
            response_guard::tell(context, &error.root_cause().to_string());
        }
        let verdict = judge(session, context, failure, client_reused);
        prepare_retry(context, &mut error, verdict);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy
    where
        Context: Send + Sync,
    {
        let failure = match context.failure {
            Some(failure) => failure,
            None if context.response_ended => {
                return FailToProxy {
                    error_code: 0,
                    can_reuse_downstream: false,
                };
            }
            None => trouble::classify(error, session.as_downstream()),
        };
        context.failure = Some(failure);
        tracing::debug!(%error, ?failure, "request failed");
        let answered = has_answer(session.as_downstream());
        let status = failure.status().filter(|_| !answered);
        if failure != Failure::ClientGone
            && session.req_header().version == Version::HTTP_10
            && answered
            && let Some(stream) = trouble::client_stream(session.as_downstream())
        {
            // Its response ends with its connection, so a plain close would make it look complete.
            stream.end_in_reset();
        }
        if let Some(status) = status {
            let ours = *error.etype() == trouble::OURS;
            if failure.leaves_connection_usable(ours) && !self.shared.drain.has_begun() {
                answer::settle_body(session);
            } else {
                // What is left of its body is not waited for.
                session.set_keepalive(None);
            }
            if status >= 500
                && let Some(target) = context.target().cloned()
            {
                context.binding.move_back(&target).await;
            }
            match answer(session, context, failure, status).await {
                Ok(()) => answer::keep_connection(session),
                Err(error) => {
                    tracing::debug!(%error, "the client did not take its error page");
                }
            }
        }
        FailToProxy {
            error_code: status.unwrap_or(0),
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Context) {
        if let (Some(error), None, false) = (error, context.failure, context.response_ended) {
            context.failure = Some(trouble::classify(error, session.as_downstream()));
        }
        if session.req_header().version == Version::HTTP_10
            && matches!(context.failure, None | Some(Failure::ClientGone))
            && let Some(stream) = trouble::client_stream(session.as_downstream())
        {
            stream.end_plainly();
        }
        record::finish(&self.shared, session.as_downstream(), context);
        if let Some(keeping) = context.upstream.keeping.take() {
            keeping.rest();
        }
        context.upstream.lease = None;
    }

    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        // The access log has it.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Context,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Has it found out, for the log, why TLS to the server of this try failed.
fn explain(context: &Context, error: Option<&Error>) {
    if let (Some(target), Some(lease)) = (context.target(), &context.upstream.lease) {
        let clue = error.map(|error| {
            error.context.as_ref().map_or_else(
                || error.root_cause().to_string(),
                |context| context.as_str().to_owned(),
            )
        });
        target.link.explain(lease.server(), clue.as_deref());
    }
}
