//! What a request carries from hook to hook.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::failure::Failure;
use super::request_id::RequestId;
use super::site::{Connection, Site};
use crate::balance::Slot;
use crate::client_address::Client;
use crate::dispatch::Binding;
use crate::dispatch::PoolSite;
use crate::listen::Patience;
use crate::pool::Lease;
use crate::tunnel::Tunnel;
use crate::upstream::Keeping;

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
    /// The request's id.
    pub request_id: Option<RequestId>,
    /// What persistence knows of its session.
    pub binding: Binding,
    /// The way to a server.
    pub upstream: Upstream,
    /// Bytes of body seen so far.
    pub body_bytes: u64,
    /// The whole response has come from the server.
    pub response_ended: bool,
    /// What went wrong, if something has.
    pub failure: Option<Failure>,
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
    /// Whether the connection of this try may be kept; `None` once one that was kept serves it.
    pub keeping: Option<Arc<Keeping>>,
    /// What the connections of this try are to know of each other if it switches protocols.
    pub tunnel: Option<Arc<Tunnel>>,
    /// When this try began.
    pub begun: Option<Instant>,
    /// From there to the first byte of the response.
    pub first_byte: Option<Duration>,
}

impl Context {
    /// The listener's snapshot.
    pub fn site(&self) -> Option<&Arc<Site>> {
        self.origin.as_ref().map(|origin| &origin.site)
    }

    /// Where the request goes.
    pub fn target(&self) -> Option<&Arc<PoolSite>> {
        self.site()?.target.as_ref()
    }

    /// How long the server may be silent, if that is ours to see to.
    pub fn patience(&self) -> Option<&Patience> {
        self.origin.as_ref()?.patience.as_deref()
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
