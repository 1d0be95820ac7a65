//! Routes: what is done with some of a listener's requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use regex::bytes::Regex;

pub use super::super::route_text::{HostPattern, LimitKey, Rate, ValuePattern};
pub use super::super::template::{Piece, Template, Variable};

/// What is done with some of the requests.
#[derive(Debug, Clone)]
pub struct Route {
    /// What the access log calls it: as configured, or its place in the list, from 0.
    pub name: Arc<str>,
    /// Which requests.
    pub matches: Match,
    /// Where they go.
    pub action: Action,
    /// What paths keep: the route's own, or else the listener's.
    pub form: PathForm,
    /// What servers are asked for instead.
    pub rewrite: Rewrite,
    /// Fields of requests to the servers.
    pub request_headers: HeaderEdits,
    /// Fields of responses to the clients.
    pub response_headers: HeaderEdits,
    /// Requests in a time.
    pub rate_limit: Option<RateLimit>,
    /// Who may.
    pub basic_auth: Option<BasicAuth>,
    /// The only clients that may; none = all.
    pub allow: Vec<IpNet>,
    /// Clients that may not.
    pub deny: Vec<IpNet>,
    /// A pool that gets a copy.
    pub mirror: Option<Mirror>,
    /// Instead of the pool's.
    pub timeouts: RouteTimeouts,
}

/// What a path keeps in its normal form, by which routes compare it and servers get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathForm {
    /// Repeated slashes; they are merged otherwise.
    pub slashes: bool,
    /// Slashes and backslashes in percent-encoding; a path that has some is refused otherwise.
    pub encoded_slashes: bool,
}

impl PathForm {
    /// All that any form keeps.
    pub const ALL: Self = Self {
        slashes: true,
        encoded_slashes: true,
    };
}

/// Which requests a route is for: those for which every condition holds. An empty list is no condition.
#[derive(Debug, Clone)]
pub struct Match {
    /// One of these hosts.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathMatch,
    /// One of these methods.
    pub methods: Vec<Method>,
    /// Each of these fields.
    pub headers: Vec<(HeaderName, ValuePattern)>,
    /// Each of these parameters of the query.
    pub query: Vec<(String, ValuePattern)>,
    /// A client in one of these networks.
    pub clients: Vec<IpNet>,
}

/// A condition on paths. They are compared decoded, without parameters of segments.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// None.
    Any,
    /// One of these.
    Exact(Vec<String>),
    /// One of these, or one below; without a slash at the end.
    Prefix(Vec<String>),
    /// One that this matches somewhere.
    Regex(Regex),
}

/// Where requests go.
#[derive(Debug, Clone)]
pub enum Action {
    /// To this pool.
    Pool(Arc<str>),
    /// To one of these pools, by weight; not all weights are 0.
    Split(Vec<(Arc<str>, u16)>),
    /// Nowhere: the client is sent on.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        to: Template,
    },
    /// Nowhere: they are answered here.
    Respond {
        /// 200 to 599.
        status: u16,
        /// `None`: an error page for statuses from 400 on, none for others.
        body: Option<Bytes>,
        /// What the body is.
        content_type: HeaderValue,
    },
}

/// What servers are asked for instead.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// How the path changes.
    pub path: Option<PathRewrite>,
    /// The Host field.
    pub host: Option<HeaderValue>,
}

impl Rewrite {
    /// Whether anything changes.
    pub fn is_some(&self) -> bool {
        self.path.is_some() || self.host.is_some()
    }
}

/// How a path changes.
#[derive(Debug, Clone)]
pub enum PathRewrite {
    /// Instead of what `path` or `path_prefix` matched; percent-encoded, and for the latter without a slash at the end.
    Prefix(String),
    /// Replaced wherever it matches first.
    Regex {
        /// What.
        regex: Regex,
        /// By what, in the syntax of the regex crate.
        replacement: String,
    },
}

/// Fields that are removed, then set, then added.
#[derive(Debug, Clone, Default)]
pub struct HeaderEdits {
    /// Taken out.
    pub remove: Vec<HeaderName>,
    /// Their only value.
    pub set: Vec<(HeaderName, Template)>,
    /// A further value.
    pub add: Vec<(HeaderName, Template)>,
}

impl HeaderEdits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// Requests in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub rate: Rate,
    /// How many at once, at least 1.
    pub burst: u32,
    /// Whose requests are counted together.
    pub key: LimitKey,
}

/// Who may, by name and password (RFC 7617).
#[derive(Clone)]
pub struct BasicAuth {
    /// What browsers show: text that needs no escapes in a quoted string.
    pub realm: String,
    /// Names and bcrypt hashes.
    pub users: Arc<HashMap<String, String>>,
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("realm", &self.realm)
            .field("users", &self.users.len())
            .finish()
    }
}

/// A pool that gets a copy of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// Its name.
    pub pool: Arc<str>,
    /// Of how many, from 0 to 1.
    pub ratio: f64,
}

/// Towards the servers; `None` = as the pool has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// To make a connection.
    pub connect: Option<Duration>,
    /// Between two writes.
    pub send: Option<Duration>,
    /// Until the response's header, and between two reads.
    pub receive: Option<Duration>,
}
