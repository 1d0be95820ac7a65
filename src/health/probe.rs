//! The probes: one check of one server.

use std::sync::Arc;

use tokio::time::Instant;

use super::words;
use crate::config::model::{Alpn, CheckKind, HealthCheck, HttpCheck};
use crate::pool::Server;
use crate::shortage::Shortage;
use crate::upstream;
use crate::upstream::{Caller, Link, Secure, ServerName};

mod exchange;
mod grpc;
mod http;

pub use exchange::Exchange;

/// Why a check did not pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// There was no whole answer; the reason in words.
    Broken(String),
    /// There was a whole answer, and it isn't what is wanted; the reason in words.
    Unwanted(String),
    /// The check could not be made, because this process lacked a descriptor, port or memory. It says nothing about the server.
    NotMade(Shortage),
}

/// A pool's check, ready to run.
pub struct Probe {
    kind: Kind,
    port: Option<u16>,
    link: Arc<Link>,
}

enum Kind {
    Tcp,
    /// Used for pools without TLS: any certificate will do.
    Tls(Option<Box<Secure>>),
    Http(Box<HttpCheck>),
    Grpc,
}

impl Probe {
    /// Compiles what the configuration says, for servers that are spoken to over `link`.
    pub fn new(check: &HealthCheck, link: &Arc<Link>) -> Self {
        let kind = match &check.kind {
            CheckKind::Tcp => Kind::Tcp,
            CheckKind::Tls => Kind::Tls(Secure::unverified().ok().map(Box::new)),
            CheckKind::Http(http) => Kind::Http(http.clone()),
            CheckKind::Grpc => Kind::Grpc,
        };
        Self {
            kind,
            port: check.port,
            link: Arc::clone(link),
        }
    }

    /// Checks a server once. Returns what was seen, in words.
    ///
    /// # Errors
    ///
    /// What was seen instead. Only a body has a limit of time in here: what has come of it until `deadline` is judged.
    pub async fn run(&self, server: &Arc<Server>, deadline: Instant) -> Result<String, Failed> {
        let exchange = || Exchange::new(server, self.port, &self.link, deadline);
        match &self.kind {
            Kind::Tcp => match upstream::reach(server, self.port, &self.caller()).await {
                Ok(_) => Ok("connected".to_owned()),
                Err(unreachable) => Err(words::of_unreachable(&unreachable)),
            },
            Kind::Tls(unverified) => self.tls(unverified.as_deref(), server).await,
            Kind::Http(check) => {
                let seen = http::check(&exchange(), check).await;
                self.refine(seen, server).await
            }
            Kind::Grpc => {
                let seen = grpc::check(&exchange()).await;
                self.refine(seen, server).await
            }
        }
    }

    fn caller(&self) -> Caller {
        self.link.own_caller(self.port)
    }

    /// With TLS 1.3 a server refuses our certificate after the handshake, and its alert may be lost in the reset: a
    /// failed exchange is looked at once more without a request in the way.
    async fn refine(
        &self,
        seen: Result<String, Failed>,
        server: &Server,
    ) -> Result<String, Failed> {
        match seen {
            Err(Failed::Broken(reason)) if self.link.secure().is_some() => {
                self.tls(None, server).await?;
                Err(Failed::Broken(reason))
            }
            seen => seen,
        }
    }

    /// A handshake, by the pool's rules if it has any.
    async fn tls(&self, unverified: Option<&Secure>, server: &Server) -> Result<String, Failed> {
        let (secure, alpn) = match (self.link.secure(), unverified) {
            (Some(secure), _) => (secure, self.link.http2().then_some(&Alpn::H2)),
            (None, Some(secure)) => (secure, None),
            (None, None) => return Err(Failed::Unwanted("OpenSSL can't be used".to_owned())),
        };
        let name: Option<ServerName> = secure.name(server.configured_address());
        let (stream, address) = upstream::reach(server, self.port, &self.caller())
            .await
            .map_err(|unreachable| words::of_unreachable(&unreachable))?;
        match secure.examine(name.as_ref(), alpn, stream).await {
            Ok(()) if secure.verify => Ok("handshake done, certificate verified".to_owned()),
            Ok(()) => Ok("handshake done".to_owned()),
            Err(trouble) => {
                let reason = words::of_tls(&trouble.what, address.as_str());
                Err(Failed::Broken(reason))
            }
        }
    }
}
