//! Which server a request goes to: the one its session is bound to, else the one the pool picks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};

use super::failure::Failure;
use super::site::PoolSite;
use crate::balance::Slot;
use crate::config::model::OnUnavailable;
use crate::observe::{PersistenceResult, PickedBy};
use crate::persistence::{Lookup, UnixTime};
use crate::pool::{BoundRefusal, Lease, QueueRefusal, Refusal, Server};

/// What persistence knows of a request's session, and has done about it.
#[derive(Default)]
pub struct Binding {
    /// The server it is bound to, until that proves unable.
    bound: Option<Bound>,
    /// For metric and log; `None` without persistence.
    pub result: Option<PersistenceResult>,
}

struct Bound {
    server: Arc<Server>,
    session_started: UnixTime,
    renew: bool,
}

impl Binding {
    /// Reads the session's binding from a request.
    pub fn read(target: &PoolSite, request: &HeaderMap, now: UnixTime) -> Self {
        let Some(cookie) = &target.cookie else {
            return Self::default();
        };
        let (bound, result) = match cookie.read(request, now) {
            Lookup::Miss => (None, PersistenceResult::Miss),
            Lookup::Invalid => (None, PersistenceResult::Invalid),
            Lookup::Expired => (None, PersistenceResult::Expired),
            // Its server was removed from the configuration.
            Lookup::Gone => (None, PersistenceResult::Unavailable),
            Lookup::Bound(bound) => (
                Some(Bound {
                    server: bound.server,
                    session_started: bound.session_started,
                    renew: bound.renew,
                }),
                PersistenceResult::Hit,
            ),
        };
        Self {
            bound,
            result: Some(result),
        }
    }

    /// The cookie to set on a response from `server`, if its session's has to change.
    pub fn set_cookie(
        &self,
        target: &PoolSite,
        server: &Server,
        now: UnixTime,
        https: bool,
    ) -> Option<HeaderValue> {
        let cookie = target.cookie.as_ref()?;
        let started = match &self.bound {
            Some(bound) if !bound.renew => return None,
            Some(bound) => bound.session_started,
            None => now,
        };
        Some(cookie.cookie_for(server.name(), started, now, https))
    }
}

/// Finds a place for a request, waiting for one if the pool has a queue. `tried` are the servers that
/// failed it already.
///
/// # Errors
///
/// The [`Failure`] to tell the client.
pub async fn choose(
    target: &PoolSite,
    binding: &mut Binding,
    tried: &[Slot],
) -> Result<(Lease, PickedBy), Failure> {
    if let Some(lease) = bound_place(target, binding, tried).await? {
        return Ok((lease, PickedBy::Persistence));
    }
    let pool = &target.pool;
    let by = if tried.is_empty() {
        PickedBy::Balance
    } else {
        PickedBy::Retry
    };
    let refusal = match pool.acquire(tried) {
        Ok(lease) => return Ok((lease, by)),
        Err(refusal) => refusal,
    };
    match refusal {
        Refusal::NoneAvailable => Err(Failure::NoServer),
        Refusal::Full => match pool.wait(None, tried).await {
            Ok(lease) => Ok((lease, by)),
            Err(QueueRefusal::Full) => Err(Failure::QueueFull),
            Err(QueueRefusal::TimedOut) => Err(Failure::QueueTimeout),
            Err(QueueRefusal::Unavailable) => Err(Failure::NoServer),
        },
    }
}

/// A place on the server that the session is bound to. `None`: it isn't bound, or not any more.
async fn bound_place(
    target: &PoolSite,
    binding: &mut Binding,
    tried: &[Slot],
) -> Result<Option<Lease>, Failure> {
    let Some(bound) = &binding.bound else {
        if binding.result == Some(PersistenceResult::Unavailable) {
            return lost(target, binding, "it was removed");
        }
        return Ok(None);
    };
    let server = Arc::clone(&bound.server);
    if tried.contains(&server.slot()) {
        return lost(target, binding, "the request failed there");
    }
    match target.pool.acquire_bound(&server) {
        Ok(lease) => Ok(Some(lease)),
        Err(BoundRefusal::Unavailable) => {
            let reason = server.gate().reason().to_owned();
            lost(target, binding, &reason)
        }
        Err(BoundRefusal::Full) => {
            match target.pool.wait(Some(&server), &[]).await {
                Ok(lease) => return Ok(Some(lease)),
                Err(QueueRefusal::Unavailable) => {
                    let reason = server.gate().reason().to_owned();
                    return lost(target, binding, &reason);
                }
                Err(QueueRefusal::Full | QueueRefusal::TimedOut) => {}
            }
            // Full is not unavailable: the session moves, whatever `on_unavailable` says.
            binding.bound = None;
            binding.result = Some(PersistenceResult::Rebalanced);
            Ok(None)
        }
    }
}

/// The session's server can't take it: `on_unavailable` decides.
fn lost(target: &PoolSite, binding: &mut Binding, reason: &str) -> Result<Option<Lease>, Failure> {
    let server = binding.bound.take().map(|bound| bound.server);
    let server = server.as_ref().map_or("", |server| &**server.name());
    tell_lost(target, server, reason);
    match target.on_unavailable {
        OnUnavailable::Reject => {
            binding.result = Some(PersistenceResult::Unavailable);
            Err(Failure::BoundServerUnavailable)
        }
        OnUnavailable::Rebalance => {
            binding.result = Some(PersistenceResult::Rebalanced);
            Ok(None)
        }
    }
}

/// Logs why sessions move, at most once a second: when a server dies, thousands do.
fn tell_lost(target: &PoolSite, server: &str, reason: &str) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = UnixTime::from(SystemTime::now()).0;
    if LAST.swap(now, Ordering::Relaxed) != now {
        let pool = &**target.pool.name();
        let then = match target.on_unavailable {
            OnUnavailable::Reject => "refused",
            OnUnavailable::Rebalance => "balanced anew",
        };
        tracing::info!(
            pool,
            server,
            reason,
            then,
            "a session's server is unavailable"
        );
    }
}
