//! What a request carries from hook to hook.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::HeaderValue;

use crate::balance::Slot;
use crate::client_address::Client;
use crate::dispatch::Binding;
use crate::dispatch::PoolSite;
use crate::http::Shared;
use crate::http::body::compression::Compressor;
use crate::http::body::mirror::Copy;
use crate::http::failure::Failure;
use crate::http::forward::backoff::Backoff;
use crate::http::request::id::RequestId;
use crate::http::request::routes::Route;
use crate::http::request::target::Target;
use crate::http::site::{Connection, Site};
use crate::http::wire;
use crate::http::wire::message::RequestHeader;
use crate::pool::{Address, Lease, Server};
use crate::upstream::{Caller, Connections, Link};

/// Where a request comes from and when: known before its first hook.
pub struct Origin {
    /// The connection it came on.
    pub connection: Arc<Connection>,
    /// The listener's snapshot that it is served by.
    pub site: Arc<Site>,
    /// When its first byte came.
    pub received: Instant,
    /// The same by the wall clock.
    pub time: SystemTime,
}

/// A request and the way back.
pub struct Incoming {
    /// Its header.
    pub request: RequestHeader,
    /// Its client.
    pub client: wire::Client,
}

/// A request's state as Pingora's hooks get it. None: another one has it.
pub type HookContext = Option<Box<Context>>;

/// A request's state.
pub struct Context {
    /// The request, until somebody serves it. At a place that it keeps: it is large.
    pub incoming: Option<Box<Incoming>>,
    /// Where it comes from.
    pub origin: Origin,
    /// The client, once found.
    pub client: Option<Client>,
    /// Whether it came by https, to us or to a trusted proxy in front.
    pub https: bool,
    /// The request's id.
    pub request_id: Option<RequestId>,
    /// The route that takes it.
    pub route: Option<Arc<Route>>,
    /// How many bytes of its path, as it is compared, the route's path or prefix took.
    pub taken: usize,
    /// What the server is asked for, where that isn't what came.
    pub uri: Option<Bytes>,
    /// The server's name for the place that a request of WebDAV copies or moves to, where that isn't the client's.
    pub destination: Option<HeaderValue>,
    /// The pool that it goes to.
    pub target: Option<Arc<Target>>,
    /// What persistence knows of its session.
    pub binding: Binding,
    /// The way to a server.
    pub upstream: Upstream,
    /// Bytes of body seen so far.
    pub body_bytes: u64,
    /// Its client waits to be told that it may send the body.
    pub expects: bool,
    /// What compresses its response, if that may be.
    pub compressor: Option<Compressor>,
    /// What goes to the mirror of it.
    pub copy: Option<Copy>,
    /// Whether the mirror has been asked if it wants one.
    pub mirrored: bool,
    /// When there may be a place for the client's next request.
    pub retry_after: Option<Duration>,
    /// What went wrong, if something has.
    pub failure: Option<Failure>,
}

/// How long a server may take: the route's times, or else the pool's.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To be connected to, TLS included.
    pub connect: Duration,
    /// To take a part of the request.
    pub send: Duration,
    /// To be silent.
    pub receive: Duration,
}

/// The way to a server, try after try.
#[derive(Default)]
pub struct Upstream {
    /// The place on the server of this try.
    pub lease: Option<Lease>,
    /// Servers that failed this request.
    pub tried: Vec<Slot>,
    /// Tries so far.
    pub attempts: u32,
    /// Tries on a fresh connection after a stale one.
    pub stale_retries: u32,
    /// Of those that are tried, the ones that could not be connected to: they may be tried again.
    pub refused: Vec<Slot>,
    /// The waits before such tries.
    pub backoff: Backoff,
    /// How long to wait before the next try.
    pub pause: Option<Duration>,
    /// Interim responses to this try.
    pub interim: u32,
    /// How often the server's address had changed.
    pub moves: u64,
    /// The connection of HTTP/2 of the last try, or 0.
    pub connection: u64,
    /// Where this try leads.
    pub address: Option<Arc<Address>>,
    /// It was kept from an earlier request.
    pub reused: bool,
    /// When this try began.
    pub begun: Option<Instant>,
    /// From there to the first byte of the response.
    pub first_byte: Option<Duration>,
}

impl Upstream {
    /// The address of the server of this try, in words for the log.
    pub fn address(&self) -> Option<&str> {
        let tried = self.lease.is_some();
        let address = self.address.as_ref().filter(|_| tried);
        address.map(|address| address.as_str())
    }
}

impl Context {
    /// Of a request that has come.
    pub fn new(incoming: Incoming, origin: Origin) -> Self {
        Self {
            incoming: Some(Box::new(incoming)),
            origin,
            client: None,
            https: false,
            request_id: None,
            route: None,
            taken: 0,
            uri: None,
            destination: None,
            target: None,
            binding: Binding::default(),
            upstream: Upstream::default(),
            body_bytes: 0,
            expects: false,
            compressor: None,
            copy: None,
            mirrored: false,
            retry_after: None,
            failure: None,
        }
    }

    /// What all connections share.
    pub fn shared(&self) -> &Shared {
        &self.origin.connection.shared
    }

    /// The listener's snapshot.
    pub fn site(&self) -> &Arc<Site> {
        &self.origin.site
    }

    /// Where the request goes.
    pub fn target(&self) -> Option<&Arc<PoolSite>> {
        self.target.as_ref().map(|target| &target.site)
    }

    /// The idle connections to a server that the request may use.
    pub fn connections(&self, link: &Arc<Link>, server: &Server) -> Arc<Connections> {
        if link.is_personal() {
            let personal = &self.origin.connection.personal;
            return personal.connections(link, server, self.client_address());
        }
        link.connections(server)
    }

    /// Who a connection to a server is made for.
    pub fn caller(&self, link: &Link) -> Caller {
        self.origin.connection.caller(link, self.client_address())
    }

    /// How long a server may take for what.
    pub fn timeouts(&self) -> Option<Timeouts> {
        let of_pool = &self.target()?.pool.settings().timeouts;
        let of_route = self.route.as_ref().map(|route| route.timeouts());
        let either = |of_route: Option<Duration>, of_pool| of_route.unwrap_or(of_pool);
        Some(Timeouts {
            connect: either(of_route.and_then(|route| route.connect), of_pool.connect),
            send: either(of_route.and_then(|route| route.send), of_pool.send),
            receive: either(of_route.and_then(|route| route.receive), of_pool.receive),
        })
    }

    /// The client's address, or the peer's as long as the client isn't found.
    pub fn client_address(&self) -> IpAddr {
        match self.client {
            Some(client) => client.address,
            None => self.origin.connection.ends.peer_ip(),
        }
    }
}
