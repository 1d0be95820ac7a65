//! What is written down of a connection: while it lasts what it moves, at its end one line in the access log.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::net::TcpStream;

use super::site::{Site, Target};
use crate::config::model::{Alpn, Fault};
use crate::descriptors::Place;
use crate::listen::Ends;
use crate::observe::access_log::{AccessLog, Record};
use crate::observe::metrics::ListenerMetrics;
use crate::observe::{ErrorReason, PersistenceResult, Termination};
use crate::pool::{Address, Lease, Outcome, Server};
use crate::relay::{End, Meter};
use crate::tls::Established;
use crate::upstream;
use crate::upstream::{Caller, ClientConnection, Link};

/// A connection's account. It is closed, and the line written, when this is dropped: that is so for a connection that is
/// cut off with its task as for every other.
pub struct Ledger<'a> {
    /// The place on the server; it ends with the connection at the latest.
    pub lease: Option<Lease>,
    /// The descriptor of the connection to the server.
    pub place: Option<Place>,
    /// The server of the last attempt.
    pub server: Option<Arc<Server>>,
    /// Its address: the one that it was reached at, or was to be.
    pub address: Option<Arc<Address>>,
    /// How many times a server was tried.
    pub attempts: u32,
    /// Where it goes.
    pub target: &'a Target,
    /// The name that it asked for by TLS that doesn't end here.
    pub name: Option<Box<str>>,
    /// What session persistence made of the connection.
    pub persistence: Option<PersistenceResult>,
    /// The last word on it. Until there is one: the process ended before the connection.
    pub termination: Termination,
    access_log: &'a AccessLog,
    site: &'a Site,
    ends: &'a Ends,
    tls: Option<&'a Established>,
    metrics: &'a ListenerMetrics,
    began: (SystemTime, Instant),
    bytes_in: u64,
    bytes_out: u64,
}

impl<'a> Ledger<'a> {
    /// Opens the account of a connection that `began` then.
    pub fn new(
        access_log: &'a AccessLog,
        site: &'a Site,
        ends: &'a Ends,
        tls: Option<&'a Established>,
        metrics: &'a ListenerMetrics,
        began: (SystemTime, Instant),
    ) -> Self {
        Self {
            lease: None,
            place: None,
            server: None,
            address: None,
            attempts: 0,
            target: &site.target,
            name: None,
            persistence: None,
            termination: Termination::Shutdown,
            access_log,
            site,
            ends,
            tls,
            metrics,
            began,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// The client's address.
    pub fn client(&self) -> IpAddr {
        self.ends.peer_ip()
    }

    /// What the client has agreed on to speak above TLS that ends here.
    pub fn agreed(&self) -> Option<&'a Alpn> {
        self.tls.and_then(|tls| tls.alpn.as_ref())
    }

    /// Who a connection to a server of that link is made for. `client` is the client's socket.
    pub fn caller(&self, link: &Link, client: &TcpStream) -> io::Result<Caller> {
        if !link.is_personal() {
            return Ok(link.anybody());
        }
        Ok(link.caller(&ClientConnection {
            client: self.ends.peer,
            local: self.ends.local(client)?,
            introduction: self.ends.header(),
            tls: self.tls,
            name: self.name.as_deref(),
            id: &upstream::random_id(),
        }))
    }

    /// Counts what a client has said that gets no server.
    pub fn note_unheard(&mut self, count: usize) {
        self.bytes_in += count as u64;
        self.metrics.bytes_in.inc_by(count as u64);
    }

    /// The metrics of its listener.
    pub fn metrics(&self) -> &ListenerMetrics {
        self.metrics
    }

    /// Tells passive detection how the connection ended. A reset after the server has said something may be how its protocol
    /// says goodbye.
    pub fn note_outcome(&self, end: End) {
        let outcome = if end == End::ServerGone && self.bytes_out == 0 {
            Outcome::BrokenOff(Fault::Reset)
        } else {
            Outcome::Completed
        };
        if let (Some(target), Some(server)) = (&self.target.site, &self.server) {
            target.pool.note_outcome(server, outcome);
        }
    }

    fn write(&self) {
        let server = self.server.as_deref();
        let address = self.address.as_deref();
        let pool = self.target.site.as_ref().map(|site| &site.pool);
        let tls = self.tls;
        self.access_log.write(&Record {
            protocol: Some(if self.site.tls { "TLS" } else { "TCP" }),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration: self.began.1.elapsed(),
            pool: pool.map(|pool| &**pool.name()),
            server: server.map(|server| &**server.name()),
            server_address: address.map(Address::as_str),
            attempts: self.attempts,
            persistence: self.persistence,
            tls_version: tls.map(|tls| tls.version),
            tls_cipher: tls.map(|tls| tls.cipher),
            sni: tls
                .and_then(|tls| tls.sni.as_deref())
                .or(self.name.as_deref())
                .map(str::as_bytes),
            termination: self.termination,
            ..Record::new(
                self.began.0,
                self.ends.peer_ip(),
                self.ends.socket_peer().ip().to_canonical(),
                &self.site.name,
            )
        });
    }
}

impl Meter for Ledger<'_> {
    fn note_in(&mut self, count: usize) {
        self.bytes_in += count as u64;
        self.metrics.bytes_in.inc_by(count as u64);
        if let Some(server) = &self.server {
            server.metrics().bytes_in.inc_by(count as u64);
        }
    }

    fn note_out(&mut self, count: usize) {
        self.bytes_out += count as u64;
        self.metrics.bytes_out.inc_by(count as u64);
        if let Some(server) = &self.server {
            server.metrics().bytes_out.inc_by(count as u64);
        }
    }
}

impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.termination = Termination::Internal;
        }
        let error = ErrorReason::of(self.termination, None);
        let outcomes = &self.target.outcomes;
        outcomes.ended(None, error, self.server.is_some());
        if let Some(server) = &self.server {
            let failed = matches!(
                self.termination,
                Termination::ServerReset
                    | Termination::ServerRefused
                    | Termination::ServerTimeout
                    | Termination::ServerTls
            );
            server.note_request(failed, None);
        }
        if self.access_log.wants(self.termination) {
            self.write();
        }
    }
}
