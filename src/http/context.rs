//! What a request carries from hook to hook.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;

use super::backoff::Backoff;
use super::failure::Failure;
use super::mirror::Copy;
use super::request_id::RequestId;
use super::routes::Route;
use super::site::{Connection, Site};
use super::target::Target;
use super::unfinished::Unfinished;
use crate::balance::Slot;
use crate::client_address::Client;
use crate::dispatch::Binding;
use crate::dispatch::PoolSite;
use crate::listen::Patience;
use crate::pool::Lease;
use crate::tunnel::Tunnel;
use crate::upstream::{Destination, Keeping};

/// Where a request comes from and when: known before its first hook.
#[derive(Clone)]
pub struct Origin {
    /// The connection it came on.
    pub connection: Arc<Connection>,
    /// The listener's snapshot that it is served by.
    pub site: Arc<Site>,
    /// When its first byte came.
    pub received: Instant,
    /// The same by the wall clock.
    pub time: SystemTime,
    /// How long its server may be silent; `None` = Pingora sees to it.
    pub patience: Option<Arc<Patience>>,
}

/// A request's state.
#[derive(Default)]
pub struct Context {
    /// Set before the first hook, taken by nobody.
    pub origin: Option<Box<Origin>>,
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
    pub uri: Option<Vec<u8>>,
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
    /// The whole response has come from the server.
    pub response_ended: bool,
    /// What goes to the mirror of it.
    pub copy: Option<Copy>,
    /// Whether the mirror has been asked if it wants one.
    pub mirrored: bool,
    /// When there may be a place for the client's next request.
    pub retry_after: Option<Duration>,
    /// What went wrong, if something has.
    pub failure: Option<Failure>,
    /// As long as it isn't recorded: what is recorded of it if nobody sees its end.
    pub unfinished: Option<Unfinished>,
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(unfinished) = self.unfinished.take() {
            unfinished.record(self);
        }
    }
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
    /// The connection of this try, if it is one of HTTP/1.
    pub keeping: Option<Arc<Keeping>>,
    /// Where this try leads.
    pub destination: Option<Destination>,
    /// It was kept from an earlier request.
    pub reused: bool,
    /// What the connections of this try are to know of each other if it switches protocols.
    pub tunnel: Option<Arc<Tunnel>>,
    /// When this try began.
    pub begun: Option<Instant>,
    /// From there to the first byte of the response.
    pub first_byte: Option<Duration>,
}

impl Upstream {
    /// The address of the server of this try, in words for the log.
    pub fn address(&self) -> Option<&str> {
        let tried = self.lease.is_some();
        let destination = self.destination.as_ref().filter(|_| tried);
        destination.map(|destination| destination.address().as_str())
    }
}

impl Context {
    /// The listener's snapshot.
    pub fn site(&self) -> Option<&Arc<Site>> {
        self.origin.as_ref().map(|origin| &origin.site)
    }

    /// Where the request goes.
    pub fn target(&self) -> Option<&Arc<PoolSite>> {
        self.target.as_ref().map(|target| &target.site)
    }

    /// How long connecting may take.
    pub fn connect_timeout(&self) -> Option<Duration> {
        let of_route = self
            .route
            .as_ref()
            .and_then(|route| route.connect_timeout());
        of_route.or_else(|| Some(self.target()?.pool.settings().timeouts.connect))
    }

    /// How long the server may be silent, if that is ours to see to.
    pub fn patience(&self) -> Option<&Patience> {
        let http2 = self.target()?.link.http2();
        let patience = self.origin.as_ref()?.patience.as_deref();
        patience.filter(|_| http2)
    }

    /// How long that is.
    pub fn receive_timeout(&self) -> Option<Duration> {
        let of_route = self
            .route
            .as_ref()
            .and_then(|route| route.receive_timeout());
        of_route.or_else(|| Some(self.target()?.pool.settings().timeouts.receive))
    }

    /// The server has the whole request, or has said something: from now on it may be silent for `timeouts.receive`.
    pub fn wait_for_server(&self) {
        if let (Some(patience), Some(timeout)) = (self.patience(), self.receive_timeout()) {
            patience.begin(timeout);
        }
    }

    /// The client's address, or the peer's as long as the client isn't found.
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client.map(|client| client.address).or_else(|| {
            self.origin
                .as_ref()
                .map(|origin| origin.connection.peer.ip().to_canonical())
        })
    }
}
