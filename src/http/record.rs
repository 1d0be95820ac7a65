//! The end of a request: one line in the access log, and the counts.

use std::sync::atomic::Ordering;

use http::Version;

use crate::headers::ValueRef;
use crate::headers::names;
use crate::headers::names::KnownName;
use crate::http::context::{Context, HookContext, Incoming};
use crate::http::failure::Failure;
use crate::http::wire::Client;
use crate::http::wire::message::RequestHeader;
use crate::observe::access_log::Record;
use crate::observe::{ErrorReason, Termination};
use crate::pool::Lease;

const TRACEPARENT: KnownName = KnownName::new("traceparent");
const X_FORWARDED_FOR: KnownName = KnownName::new("x-forwarded-for");

/// nginx's status for a client that went away before it could be answered; never sent.
const CLIENT_GONE: u16 = 499;

/// A request that is being served. It is recorded when this is dropped, however that comes about.
pub struct RequestRecord {
    /// What is known of the request.
    pub context: HookContext,
    /// Its header and its client.
    pub incoming: Box<Incoming>,
    is_complete: bool,
}

impl RequestRecord {
    /// Of a request that has come, and that nobody has opened.
    pub fn open(context: &mut HookContext) -> Option<Self> {
        let incoming = context.as_mut()?.incoming.take()?;
        Some(Self {
            context: context.take(),
            incoming,
            is_complete: false,
        })
    }

    /// It has been served, or what went wrong is known. Without this it was cut off by the end of the process, or by a
    /// fault of ours.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Why it ended.
    fn termination(&self, context: &Context) -> Termination {
        match context.failure {
            Some(failure) => failure.termination(),
            None if self.is_complete => Termination::Complete,
            None if context.shared().drain.is_stopping() && !std::thread::panicking() => {
                Termination::Shutdown
            }
            None => Termination::Internal,
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let Some(context) = &self.context else { return };
        let Incoming { request, client } = &*self.incoming;
        write(request, context, client, self.termination(context));
    }
}

fn write(request: &RequestHeader, context: &Context, way_back: &Client, termination: Termination) {
    let (origin, client) = (&context.origin, context.client_address());
    let access_log = &context.shared().access_log;
    let site = &origin.site;
    let upstream = &context.upstream;
    let server = upstream.lease.as_ref().map(Lease::server);
    let status = way_back.status().map(|status| status.as_u16());
    let status = status.or(context.failure.map(|_| CLIENT_GONE));
    let duration = origin.received.elapsed();

    let (traffic, seconds, outcomes) = match &context.target {
        Some(target) => {
            let slot = server.map(|server| server.slot());
            (target.traffic(slot), &target.duration, &target.outcomes)
        }
        None => (&site.traffic, &site.duration, &site.outcomes),
    };
    let error = ErrorReason::of(termination, status);
    outcomes.ended(status, error, server.is_some());
    traffic.request(status.unwrap_or(0));
    seconds.observe(duration.as_secs_f64());
    site.requests.fetch_add(1, Ordering::Relaxed);
    let pool = context.target().map(|target| &target.pool);
    if let (Some(result), Some(pool)) = (context.binding.result, pool) {
        pool.metrics().persistence.inc(result);
    }
    if let Some(server) = server {
        let failed = match context.failure {
            // With a status of ours.
            Some(Failure::OwnShortage) => false,
            Some(failure) if failure.blames_server() => true,
            _ => status.is_some_and(|status| status >= 500),
        };
        server.note_request(failed, upstream.first_byte);
        let metrics = server.metrics();
        metrics.bytes_in.inc_by(context.body_bytes);
        metrics.bytes_out.inc_by(way_back.body_sent());
    }

    if !access_log.wants(termination) {
        return;
    }
    let field = |name| request.headers.get(name).map(ValueRef::as_bytes);
    let (path, query) = split_target(request.target());
    let tls = origin.connection.tls.as_ref();
    access_log.write(&Record {
        method: Some(request.method.as_str().as_bytes()),
        host: field(names::HOST),
        path: Some(path),
        query,
        protocol: protocol(request.version),
        status,
        bytes_in: way_back.body_read(),
        bytes_out: way_back.body_sent(),
        duration,
        upstream_duration: upstream.first_byte,
        route: context.route.as_ref().map(|route| &*route.name),
        pool: pool.map(|pool| &**pool.name()),
        server: server.map(|server| &**server.name()),
        server_address: upstream.address(),
        attempts: upstream.attempts,
        persistence: context.binding.result,
        request_id: context
            .request_id
            .as_ref()
            .map(crate::http::RequestId::as_str),
        trace_id: trace_id(field(TRACEPARENT)),
        referer: field(names::REFERER),
        user_agent: field(names::USER_AGENT),
        x_forwarded_for: field(X_FORWARDED_FOR),
        tls_version: tls.map(|tls| tls.version),
        tls_cipher: tls.map(|tls| tls.cipher),
        sni: tls.and_then(|tls| tls.sni.as_deref()).map(str::as_bytes),
        termination,
        ..Record::new(
            origin.time,
            client,
            origin.connection.ends.socket_peer().ip().to_canonical(),
            &site.listener,
        )
    });
}

/// A request target's path and query.
pub fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(at) => {
            let (path, query) = target.split_at(at);
            (path, query.get(1..))
        }
        None => (target, None),
    }
}

/// A version as the log writes it.
pub fn protocol(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("HTTP/1.0"),
        Version::HTTP_11 => Some("HTTP/1.1"),
        Version::HTTP_2 => Some("HTTP/2.0"),
        _ => None,
    }
}

/// The trace id of a `traceparent` field (W3C Trace Context section 3.2): `00-<32 hex>-<16 hex>-<2 hex>`.
fn trace_id(traceparent: Option<&[u8]>) -> Option<&str> {
    let mut parts = std::str::from_utf8(traceparent?).ok()?.split('-');
    let (_version, trace) = (parts.next()?, parts.next()?);
    let fine = trace.len() == 32
        && trace
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fine.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_splits_at_its_first_question_mark() {
        assert_eq!(split_target(b"/a?b?c"), (&b"/a"[..], Some(&b"b?c"[..])));
        assert_eq!(split_target(b"/a?"), (&b"/a"[..], Some(&b""[..])));
        assert_eq!(split_target(b"/a"), (&b"/a"[..], None));
    }

    #[test]
    fn only_a_well_formed_trace_id_is_taken() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let parent = format!("00-{id}-b7ad6b7169203331-01");
        assert_eq!(trace_id(Some(parent.as_bytes())), Some(id));
        assert_eq!(trace_id(Some(b"00-xyz-1-01")), None);
        assert_eq!(trace_id(None), None);
    }
}
