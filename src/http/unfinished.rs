//! The counts and the line in the access log of a request whose end nobody sees: it is cut off by the end of the process,
//! or met a defect.
//!
//! Nobody is asked about such a request any more: its task is dropped, session and all. So its context keeps the little
//! that makes a line of use, by reference count, and records it when it is dropped.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use pingora::http::RequestHeader;

use super::Shared;
use super::context::Context;
use super::record::{self, Ended, protocol, split_target};
use crate::observe::Termination;
use crate::observe::access_log::Record;
use crate::pool::Lease;

/// What is known of a request that isn't recorded yet.
pub struct Unfinished {
    shared: Arc<Shared>,
    /// `None` if nothing is logged.
    asked: Option<Asked>,
    status: Option<StatusCode>,
    bytes_out: u64,
}

/// What its line says of the request itself.
struct Asked {
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    version: Version,
}

impl Unfinished {
    /// Of a request that has come in.
    pub fn new(shared: &Arc<Shared>, request: &RequestHeader) -> Self {
        Self {
            shared: Arc::clone(shared),
            asked: shared.access_log.enabled().then(|| Asked {
                method: request.method.clone(),
                uri: request.uri.clone(),
                host: request.headers.get(header::HOST).cloned(),
                version: request.version,
            }),
            status: None,
            bytes_out: 0,
        }
    }

    /// The client is sent a response.
    pub fn note_response(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// The client is sent a part of its body.
    pub fn note_body(&mut self, part: Option<&Bytes>) {
        self.bytes_out += part.map_or(0, Bytes::len) as u64;
    }

    /// Records the request whose context this is: as a defect's where one is what drops the context.
    pub fn record(&self, context: &Context) {
        let has_panicked = std::thread::panicking();
        let termination = if self.shared.drain.has_begun() && !has_panicked {
            Termination::Shutdown
        } else {
            Termination::Internal
        };
        let status = self.status.map(|status| status.as_u16());
        record::count(
            context,
            &Ended {
                status,
                termination,
                bytes_out: self.bytes_out,
                server_failed: false,
            },
        );
        let Some(asked) = &self.asked else { return };
        let (Some(origin), Some(client)) = (&context.origin, context.client_address()) else {
            return;
        };
        let server = context.upstream.lease.as_ref().map(Lease::server);
        let target = asked
            .uri
            .path_and_query()
            .map_or("", |target| target.as_str());
        let (path, query) = split_target(target.as_bytes());
        let tls = origin.connection.tls.as_ref();
        self.shared.access_log.write(&Record {
            method: Some(asked.method.as_str().as_bytes()),
            host: asked.host.as_ref().map(HeaderValue::as_bytes),
            path: Some(path),
            query,
            protocol: protocol(asked.version),
            status,
            bytes_in: context.body_bytes,
            bytes_out: self.bytes_out,
            duration: origin.received.elapsed(),
            upstream_duration: context.upstream.first_byte,
            route: context.route.as_ref().map(|route| &*route.name),
            pool: context.target().map(|target| &**target.pool.name()),
            server: server.map(|server| &**server.name()),
            server_address: context.upstream.address(),
            attempts: context.upstream.attempts,
            persistence: context.binding.result,
            request_id: context.request_id.as_ref().map(super::RequestId::as_str),
            tls_version: tls.map(|tls| tls.version),
            tls_cipher: tls.map(|tls| tls.cipher),
            sni: tls.and_then(|tls| tls.sni.as_deref()).map(str::as_bytes),
            termination,
            ..Record::new(
                origin.time,
                client,
                origin.connection.peer.ip().to_canonical(),
                &origin.site.listener,
            )
        });
    }
}
