//! Which server a request or a connection goes to: the one its session is bound to, else the one the pool picks.
//!
//! What HTTP and TCP have in common between a client and its lease.

use std::sync::Arc;
use std::time::Instant;

use crate::balance::Slot;
use crate::config::model::OnUnavailable;
use crate::observe::{PersistenceResult, PickedBy};
use crate::pool::{BoundRefusal, Lease, QueueRefusal, Refusal, Server};

mod binding;
mod key;
mod site;
mod stay;

pub use binding::Binding;
pub use site::PoolSite;
pub use stay::Stay;

/// Why there is no place for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// No server takes new work.
    NoServer,
    /// The session's own server can't take it, and the configuration says to refuse.
    BoundServerUnavailable,
    /// All are full, and the queue is too.
    QueueFull,
    /// Waited for a place in vain.
    QueueTimeout,
}

/// Finds a place for a request, waiting for one if the pool has a queue. `tried` are the servers that
/// failed it already.
///
/// # Errors
///
/// [`NoPlace`] says why there is none.
pub async fn choose(
    target: &PoolSite,
    binding: &mut Binding,
    tried: &[Slot],
) -> Result<(Lease, PickedBy), NoPlace> {
    if let Some(lease) = bound_place(target, binding, tried).await? {
        return Ok((lease, PickedBy::Persistence));
    }
    let (lease, by) = any_place(target, binding.key, tried).await?;
    Ok(agree(target, binding, tried, lease, by).await)
}

/// A request has failed on the server of its session, which may not leave it.
pub fn give_up_session(target: &PoolSite, binding: &mut Binding) {
    // Refused, as `may_not_leave` says.
    drop(lost(target, binding, "the request failed there"));
}

/// A place on the server that the pool picks.
async fn any_place(
    target: &PoolSite,
    key: Option<u64>,
    tried: &[Slot],
) -> Result<(Lease, PickedBy), NoPlace> {
    let pool = &target.pool;
    let by = if tried.is_empty() {
        PickedBy::Balance
    } else {
        PickedBy::Retry
    };
    let refusal = match pool.acquire(key, tried) {
        Ok(lease) => return Ok((lease, by)),
        Err(refusal) => refusal,
    };
    match refusal {
        Refusal::NoneAvailable => Err(NoPlace::NoServer),
        Refusal::Full => match waited(target, None, key, tried).await {
            Ok(lease) => Ok((lease, by)),
            Err(QueueRefusal::Full) => Err(NoPlace::QueueFull),
            Err(QueueRefusal::TimedOut) => Err(NoPlace::QueueTimeout),
            Err(QueueRefusal::Unavailable) => Err(NoPlace::NoServer),
        },
    }
}

/// Waits for a place, on the clock.
async fn waited(
    target: &PoolSite,
    wants: Option<&Arc<Server>>,
    key: Option<u64>,
    tried: &[Slot],
) -> Result<Lease, QueueRefusal> {
    // Observed when it is dropped: a client that goes away has waited, too.
    let waiting = target.pool.metrics().queue_seconds.start_timer();
    let waited = target.pool.wait(wants, key, tried).await;
    if matches!(waited, Err(QueueRefusal::Full)) {
        waiting.stop_and_discard();
    }
    waited
}

/// Writes a pick into the session table. If another request of the same session was balanced at the same
/// moment, or on another node, one of the two picks counts: this one follows if it was the other.
async fn agree(
    target: &PoolSite,
    binding: &mut Binding,
    tried: &[Slot],
    lease: Lease,
    by: PickedBy,
) -> (Lease, PickedBy) {
    let Some(winner) = binding.remember(target, lease.server()).await else {
        return (lease, by);
    };
    if !tried.contains(&winner.slot())
        && let Ok(there) = target.pool.acquire_bound(&winner)
    {
        binding.follow(winner);
        return (there, PickedBy::Persistence);
    }
    // It can't take the request: the session moves on to where this one goes.
    binding.move_on(target, &winner, lease.server()).await;
    (lease, by)
}

/// A place on the server that the session is bound to: of several sessions that the request brings, on the first whose
/// server can take it. `None`: it isn't bound, or not any more.
async fn bound_place(
    target: &PoolSite,
    binding: &mut Binding,
    tried: &[Slot],
) -> Result<Option<Lease>, NoPlace> {
    if binding.server().is_none() && binding.result == Some(PersistenceResult::Unavailable) {
        return lost(target, binding, "it was removed");
    }
    let mut full = false;
    while let Some(server) = binding.server().cloned() {
        // One wait is enough, however many sessions the request brings.
        let unable = match place_on(target, &server, tried, !full).await {
            Ok(lease) => return Ok(Some(lease)),
            Err(unable) => unable,
        };
        full |= matches!(unable, Unable::Full);
        if binding.take_next() {
            continue;
        }
        if full {
            // Full is not unavailable: the session moves, whatever `on_unavailable` says.
            binding.unbind();
            binding.result = Some(PersistenceResult::Rebalanced);
            return Ok(None);
        }
        return match unable {
            Unable::Failed => lost(target, binding, "the request failed there"),
            Unable::Unavailable | Unable::Full => {
                let reason = why_unavailable(target, &server);
                lost(target, binding, &reason)
            }
        };
    }
    Ok(None)
}

/// Why a session's server can't take its request.
enum Unable {
    /// It was tried.
    Failed,
    /// It takes no requests.
    Unavailable,
    /// It had no place for as long as the request could wait.
    Full,
}

/// A place on `server`; if it has none and the request is `patient`, as soon as the pool's queue gives it one.
async fn place_on(
    target: &PoolSite,
    server: &Arc<Server>,
    tried: &[Slot],
    patient: bool,
) -> Result<Lease, Unable> {
    if tried.contains(&server.slot()) {
        return Err(Unable::Failed);
    }
    match target.pool.acquire_bound(server) {
        Ok(lease) => Ok(lease),
        Err(BoundRefusal::Unavailable) => Err(Unable::Unavailable),
        Err(BoundRefusal::Full) if !patient => Err(Unable::Full),
        Err(BoundRefusal::Full) => match waited(target, Some(server), None, &[]).await {
            Ok(lease) => Ok(lease),
            Err(QueueRefusal::Unavailable) => Err(Unable::Unavailable),
            Err(QueueRefusal::Full | QueueRefusal::TimedOut) => Err(Unable::Full),
        },
    }
}

/// Why a server that a session is bound to takes nothing, in words.
fn why_unavailable(target: &PoolSite, server: &Arc<Server>) -> String {
    let servers = target.pool.servers();
    if servers.iter().any(|member| Arc::ptr_eq(member, server)) {
        server.reason()
    } else {
        // Its checks have ended with it; what they said last was about its life.
        "it was removed".to_owned()
    }
}

/// The session's server can't take it: `on_unavailable` decides.
fn lost(target: &PoolSite, binding: &mut Binding, reason: &str) -> Result<Option<Lease>, NoPlace> {
    let server = binding.unbind();
    let server = server.as_ref().map_or("", |server| &**server.name());
    tell_lost(target, server, reason);
    match target.on_unavailable {
        OnUnavailable::Reject => {
            binding.result = Some(PersistenceResult::Unavailable);
            Err(NoPlace::BoundServerUnavailable)
        }
        OnUnavailable::Rebalance => {
            binding.result = Some(PersistenceResult::Rebalanced);
            Ok(None)
        }
    }
}

/// Logs why sessions move, at most once a second and pool: when a server dies, thousands do.
fn tell_lost(target: &PoolSite, server: &str, reason: &str) {
    if target.pool.told().session_lost.first_at(Instant::now()) {
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
