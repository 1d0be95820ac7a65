//! What two processes say to each other at an upgrade. What one doesn't know of the other's words it passes over; what
//! can't be understood without them needs another [`PROTOCOL`].

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::observe::metrics::Totals;
use crate::pool::PoolState;
use crate::server::overrides::Overrides;

/// The version of all this.
pub const PROTOCOL: u32 = 1;

/// Who wants to take over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Its build.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where its configuration listens.
    pub binds: Vec<SocketAddr>,
}

/// Why something isn't done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reason {
    /// In words.
    pub reason: String,
}

/// What is handed over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Offer {
    /// The old process's build.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// One for each descriptor that follows.
    pub descriptors: Vec<Offered>,
}

/// A descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offered {
    /// A listener's socket.
    Listener {
        /// Its name.
        name: String,
        /// As it is configured: its port may be 0.
        address: SocketAddr,
    },
    /// The admin listener's.
    Admin {
        /// As it is configured.
        address: String,
    },
    /// The one that upgrades are asked for at.
    Upgrade {
        /// Its path.
        path: String,
    },
    /// The pid file, open for writing.
    PidFile {
        /// Its path.
        path: String,
    },
}

/// What the old process knows that a new one can't find out.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What the operator has changed of servers.
    pub overrides: Overrides,
    /// Whether the operator has drained the instance.
    pub is_drained: bool,
    /// Servers that DNS named, by pool.
    pub discovered: BTreeMap<String, Vec<Discovered>>,
    /// What is known of the servers.
    pub pools: Vec<PoolState>,
    /// Keys of session tickets that are in no file, by listener, the newest first.
    pub ticket_keys: BTreeMap<String, Tickets>,
    /// Requests of each listener.
    pub requests: BTreeMap<String, u64>,
    /// What was counted.
    pub totals: Totals,
}

/// A server that DNS named.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Discovered {
    /// Its address, as a file would have it.
    pub address: String,
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: u16,
    /// Used only when no other server is available.
    pub backup: bool,
}

/// Random keys of session tickets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tickets {
    /// In base64, the newest first.
    pub keys: Vec<String>,
    /// How old the newest is, in seconds.
    pub age: u64,
}

/// The new process accepts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Serving {
    /// Which of the offered descriptors it goes on with.
    pub kept: Vec<usize>,
}

/// How far the old process's drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Connections of clients that it still serves.
    pub connections: usize,
}
