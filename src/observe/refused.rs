//! The last requests and connections that were refused here, with their reasons: what an operator asks for first when
//! somebody says "it doesn't work".

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::SystemTime;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use super::access_log::Record;
use super::{Termination, timestamp};

/// Refusals that are kept.
const KEPT: usize = 100;
/// Characters of a value that a client chose.
const SHOWN: usize = 120;

/// A request or connection that was refused.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Refused {
    /// When it came, RFC 3339.
    #[serde(serialize_with = "timestamp::serialize")]
    #[schemars(with = "String")]
    pub at: SystemTime,
    /// The client's address.
    #[schemars(with = "String")]
    pub client: IpAddr,
    /// The listener that it came to.
    pub listener: String,
    /// As it is written in the request.
    pub protocol: Option<String>,
    /// The method, shortened.
    pub method: Option<String>,
    /// The host, shortened.
    pub host: Option<String>,
    /// The path without the query, which may hold secrets; shortened.
    pub path: Option<String>,
    /// The answer's status; `null` = the connection was closed.
    pub status: Option<u16>,
    /// Why, in the access log's words.
    #[schemars(with = "String")]
    pub reason: Termination,
    /// The request's id.
    pub request_id: Option<String>,
}

/// The last of them.
#[derive(Default)]
pub struct RefusedRequests(Mutex<VecDeque<Refused>>);

impl RefusedRequests {
    /// Keeps a request that has ended, if it was refused.
    pub fn note(&self, record: &Record<'_>) {
        if !is_refusal(record.termination) {
            return;
        }
        let refused = Refused {
            at: record.time,
            client: record.client,
            listener: record.listener.to_owned(),
            protocol: record.protocol.map(str::to_owned),
            method: record.method.map(shown),
            host: record.host.map(shown),
            path: record.path.map(shown),
            status: record.status,
            reason: record.termination,
            request_id: record.request_id.map(str::to_owned),
        };
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(refused);
    }

    /// All that are kept, the last one first.
    pub fn all(&self) -> Vec<Refused> {
        self.0.lock().iter().rev().cloned().collect()
    }
}

/// Whether what ended like this was never meant to be served, or could not be for want of room.
pub(super) fn is_refusal(termination: Termination) -> bool {
    matches!(
        termination,
        Termination::BadRequest
            | Termination::Unsupported
            | Termination::Limit
            | Termination::RateLimited
            | Termination::Denied
            | Termination::NoRoute
            | Termination::ClientTls
            | Termination::ProxyProtocol
            | Termination::QueueFull
            | Termination::BoundServerUnavailable
    )
}

/// What a client sent, on one line and no longer than is read.
fn shown(bytes: &[u8]) -> String {
    // No character has more than four bytes.
    let head = bytes.get(..SHOWN * 4).unwrap_or(bytes);
    crate::config::on_one_line(&String::from_utf8_lossy(head), SHOWN)
}
