//! What is written down of connections that fail before there is anything to serve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::observe::access_log::{AccessLog, Record};
use crate::tls::HandshakeFailure;

/// The access log, for one listener's connections of that kind.
#[derive(Clone)]
pub struct Refusals {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Where the lines go.
    pub access_log: Arc<AccessLog>,
}

impl Refusals {
    /// A TLS handshake of a connection that `began` then came to nothing.
    pub fn write(
        &self,
        peer: SocketAddr,
        began: (SystemTime, Instant),
        failure: &HandshakeFailure,
    ) {
        if !self.access_log.enabled() {
            return;
        }
        let peer = peer.ip().to_canonical();
        self.access_log.write(&Record {
            protocol: Some("TLS"),
            status: failure.status,
            duration: began.1.elapsed(),
            sni: failure.sni.as_deref().map(str::as_bytes),
            termination: failure.termination,
            ..Record::new(began.0, peer, peer, &self.listener)
        });
    }
}
