//! What is written down of connections that fail before there is anything to serve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::listen::{Ends, NotIntroduced};
use crate::observe::access_log::{AccessLog, Record};
use crate::observe::metrics::ListenerMetrics;
use crate::observe::{RejectReason, Seldom, Termination};
use crate::tls::HandshakeFailure;

/// Lets one warning a second through about proxies that don't say whose connection they bring.
static TOLD: Seldom = Seldom::new();

/// The access log, for one listener's connections of that kind.
#[derive(Clone)]
pub struct Refusals {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Where the lines go.
    pub access_log: Arc<AccessLog>,
    /// What the listener speaks, for the log.
    pub protocol: Option<&'static str>,
}

impl Refusals {
    /// A TLS handshake of a connection that `began` then came to nothing.
    pub fn no_tls(&self, ends: &Ends, began: (SystemTime, Instant), failure: &HandshakeFailure) {
        if !self.access_log.wants(failure.termination) {
            return;
        }
        let peer = ends.socket_peer().ip().to_canonical();
        self.access_log.write(&Record {
            protocol: Some("TLS"),
            status: failure.status,
            duration: began.1.elapsed(),
            sni: failure.sni.as_deref().map(str::as_bytes),
            termination: failure.termination,
            ..Record::new(began.0, ends.peer_ip(), peer, &self.listener)
        });
    }

    /// A proxy's connection that `began` then has no PROXY header.
    pub fn not_introduced(
        &self,
        by: SocketAddr,
        began: (SystemTime, Instant),
        why: NotIntroduced,
        metrics: &ListenerMetrics,
    ) {
        // Whoever only looks whether somebody listens has nothing to say.
        if matches!(why, NotIntroduced::Nobody | NotIntroduced::Stopping) {
            return;
        }
        metrics.rejected.inc(RejectReason::ProxyProtocol);
        if TOLD.first_at(Instant::now()) {
            tracing::warn!(
                listener = &*self.listener,
                proxy = %by,
                "{why}: the connection is closed, because client_address.trusted_proxies has that proxy and proxy_protocol is on"
            );
        }
        if !self.access_log.wants(Termination::ProxyProtocol) {
            return;
        }
        let by = by.ip().to_canonical();
        self.access_log.write(&Record {
            protocol: self.protocol,
            duration: began.1.elapsed(),
            termination: Termination::ProxyProtocol,
            ..Record::new(began.0, by, by, &self.listener)
        });
    }
}
