//! How a pool's servers are spoken to: with TLS or without, HTTP/1.1 or HTTP/2.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::caller::{Caller, ClientConnection};
use super::connections::Connections;
use super::files::UnusableFiles;
use super::hash;
use super::local_end::LocalEnd;
use super::name::ServerName;
use super::personal::AllPersonal;
use super::reach::reach;
use super::report::Report;
use super::secure::Secure;
use super::trouble::Trouble;
use crate::config::model::{self, Alpn, ProxyProtocol, Source};
use crate::descriptors;
use crate::pool::Server;
use crate::supervise;

/// How long a server may take to show why its TLS fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a pool's servers are spoken to, with files read. It never changes; a reload that finds another configuration,
/// or other content in the files, makes the next one.
pub struct Link {
    pool: Arc<str>,
    tls: Option<model::UpstreamTls>,
    secure: Option<Secure>,
    http2: bool,
    proxy_protocol: Option<ProxyProtocol>,
    source: Option<Source>,
    key: u64,
    report: Report,
    /// By [`Slot::index`](crate::balance::Slot::index).
    connections: RwLock<Vec<Option<Arc<Connections>>>>,
    /// Of connections that belong to one client each.
    personal: Arc<AllPersonal>,
}

impl Link {
    /// Reads what a pool's configuration names. If nothing is different from `known`, that goes on.
    ///
    /// # Errors
    ///
    /// All files that can't be used.
    pub fn load(pool: &model::Pool, known: Option<&Arc<Self>>) -> Result<Arc<Self>, UnusableFiles> {
        let secure = pool.tls.as_ref().map(Secure::load).transpose()?;
        let key = match (&secure, pool.http2) {
            (None, false) => 0,
            (secure, http2) => hash(&(secure.as_ref().map(Secure::fingerprint), http2)),
        };
        if let Some(known) = known
            && known.key == key
            && known.is_configured_as(pool)
        {
            return Ok(Arc::clone(known));
        }
        let personal = Arc::<AllPersonal>::default();
        if pool.proxy_protocol.is_some() || pool.source == Some(Source::Client) {
            let weak: Weak<AllPersonal> = Arc::downgrade(&personal);
            descriptors::idle::register(weak);
        }
        Ok(Arc::new(Self {
            pool: Arc::clone(&pool.name),
            tls: pool.tls.clone(),
            secure,
            http2: pool.http2,
            proxy_protocol: pool.proxy_protocol,
            source: pool.source,
            key,
            report: Report::default(),
            connections: RwLock::default(),
            personal,
        }))
    }

    /// Whether the pool's configuration was like this when it was made.
    pub fn is_configured_as(&self, pool: &model::Pool) -> bool {
        self.tls == pool.tls
            && self.http2 == pool.http2
            && self.proxy_protocol == pool.proxy_protocol
            && self.source == pool.source
    }

    /// The pool's name.
    pub fn pool(&self) -> &Arc<str> {
        &self.pool
    }

    /// TLS, if the servers speak it.
    pub fn secure(&self) -> Option<&Secure> {
        self.secure.as_ref()
    }

    /// Whether the servers speak HTTP/2.
    pub fn http2(&self) -> bool {
        self.http2
    }

    /// The scheme of the servers' URLs.
    pub fn scheme(&self) -> &'static str {
        if self.secure.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// What is offered in a handshake.
    pub fn alpn(&self) -> &'static Alpn {
        if self.http2 { &Alpn::H2 } else { &Alpn::Http11 }
    }

    /// What a server is asked for over TLS.
    pub fn name(&self, server: &Server) -> Option<ServerName> {
        self.secure.as_ref()?.name(server.configured_address())
    }

    /// Whether a connection to a server is for one client only, since the server knows whose it is.
    pub fn is_personal(&self) -> bool {
        self.proxy_protocol.is_some() || self.source == Some(Source::Client)
    }

    /// Who a connection is made for that any client may use.
    pub fn anybody(&self) -> Caller {
        Caller::default().from(self.local_end(None))
    }

    /// Who a connection for a client is made for.
    pub fn caller(&self, client: &ClientConnection<'_>) -> Caller {
        let caller = match self.proxy_protocol {
            Some(version) => Caller::client(version, client),
            None => Caller::default(),
        };
        caller.from(self.local_end(Some(client.client.ip().to_canonical())))
    }

    fn local_end(&self, client: Option<IpAddr>) -> Option<LocalEnd> {
        match self.source? {
            Source::Client => client.map(LocalEnd::Client),
            Source::Address(address) => Some(LocalEnd::Own(address)),
        }
    }

    /// Who a check is made for, at that port if one is given. What listens at another port than the traffic's expects
    /// no PROXY header, as in HAProxy.
    pub fn own_caller(&self, port: Option<u16>) -> Caller {
        let caller = match self.proxy_protocol {
            Some(version) if port.is_none() => Caller::ourselves(version),
            _ => Caller::default(),
        };
        caller.from(self.local_end(None))
    }

    /// The connections of all clients that belong to one of them each.
    pub(super) fn personal(&self) -> &AllPersonal {
        &self.personal
    }

    /// The connections to a server that any request may use.
    pub fn connections(&self, server: &Server) -> Arc<Connections> {
        let slot = server.slot();
        let of_server = |list: &[Option<Arc<Connections>>]| {
            let found = list.get(slot.index()).and_then(Option::as_ref);
            found.filter(|found| found.slot() == slot).cloned()
        };
        if let Some(found) = of_server(&self.connections.read()) {
            return found;
        }
        let mut list = self.connections.write();
        if let Some(found) = of_server(&list) {
            return found;
        }
        let made = Arc::new(Connections::new(slot));
        let weak: Weak<Connections> = Arc::downgrade(&made);
        descriptors::idle::register(weak);
        if list.len() <= slot.index() {
            list.resize(slot.index() + 1, None);
        }
        if let Some(place) = list.get_mut(slot.index()) {
            *place = Some(Arc::clone(&made));
        }
        made
    }

    /// Closes the idle connections to servers that aren't among these.
    pub fn retain(&self, servers: &[Arc<Server>]) {
        let is_kept = |slot| servers.iter().any(|server| server.slot() == slot);
        self.personal.retain(is_kept);
        let mut list = self.connections.write();
        for place in &mut *list {
            let goes = place
                .as_ref()
                .is_some_and(|connections| !is_kept(connections.slot()));
            if goes && let Some(connections) = place.take() {
                connections.close();
            }
        }
    }

    /// Closes connections that have been idle for too long, or that their servers have closed.
    pub fn reap(&self, now: Instant) {
        let list: Vec<_> = self.connections.read().iter().flatten().cloned().collect();
        for connections in list {
            connections.reap(now);
        }
        self.personal.reap(now);
    }

    /// Writes one warning about a server, if there isn't one of late that says the same.
    pub fn tell(&self, server: &Server, trouble: &Trouble) {
        self.report.tell(&self.pool, server, trouble);
    }

    /// Finds out why TLS to a server fails, and writes that into the log: by a handshake of our own, in the background,
    /// every few seconds at most. `clue` is what is known already; without one TLS is only suspected, and nothing is
    /// written if it works.
    pub fn explain(self: &Arc<Self>, server: &Arc<Server>, clue: Option<&str>) {
        if self.secure.is_none() || !self.report.may_look(server) {
            return;
        }
        let (link, server) = (Arc::clone(self), Arc::clone(server));
        let has_certificate = self
            .secure
            .as_ref()
            .is_some_and(|secure| secure.identity.is_some());
        let suspected = clue.map(|clue| Trouble::of_reason(clue, has_certificate));
        supervise::once(async move {
            let found = tokio::time::timeout(PATIENCE, link.examine(&server)).await;
            if let Some(trouble) = found.ok().flatten().or(suspected) {
                link.tell(&server, &trouble);
            }
        });
    }

    async fn examine(&self, server: &Server) -> Option<Trouble> {
        let secure = self.secure.as_ref()?;
        let name = self.name(server);
        let _place = descriptors::server_now()?;
        let (stream, _) = reach(server, None, &self.own_caller(None)).await.ok()?;
        secure
            .examine(name.as_ref(), Some(self.alpn()), stream)
            .await
            .err()
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("pool", &self.pool)
            .field("secure", &self.secure)
            .field("http2", &self.http2)
            .finish_non_exhaustive()
    }
}
