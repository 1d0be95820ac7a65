//! From a client to a server: pick, connect, and try another one if that fails.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;

use super::ledger::Ledger;
use super::site::Site;
use crate::balance::Sample;
use crate::config::model::{self, Alpn};
use crate::descriptors;
use crate::descriptors::Place;
use crate::dispatch;
use crate::dispatch::{Binding, NoPlace, PoolSite, Stay};
use crate::listen::Transport;
use crate::observe::{RejectReason, RetryReason, Termination};
use crate::pool::{Address, Outcome, Server};
use crate::relay::ServerWire;
use crate::shortage;
use crate::shortage::Shortage;
use crate::upstream;
use crate::upstream::{Caller, Link, Raw};

/// Why a client gets no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoWay {
    /// It asks for a name that leads nowhere.
    NoRoute,
    /// There is no place on any.
    NoPlace(NoPlace),
    /// The last one that was tried could not be connected to.
    Refused,
    /// The last one that was tried took too long.
    TimedOut,
    /// TLS to the last one that was tried failed.
    TlsFailed,
    /// None could be connected to for want of something of ours.
    OwnShortage,
    /// The client has gone meanwhile.
    ClientGone,
}

impl NoWay {
    /// The word for the access log.
    pub fn termination(self) -> Termination {
        match self {
            Self::NoRoute => Termination::NoRoute,
            Self::NoPlace(NoPlace::NoServer) => Termination::NoServer,
            Self::NoPlace(NoPlace::BoundServerUnavailable) => Termination::BoundServerUnavailable,
            Self::NoPlace(NoPlace::QueueFull) => Termination::QueueFull,
            Self::NoPlace(NoPlace::QueueTimeout) => Termination::QueueTimeout,
            Self::Refused => Termination::ServerRefused,
            Self::TimedOut => Termination::ServerTimeout,
            Self::TlsFailed => Termination::ServerTls,
            Self::OwnShortage => Termination::ProxyResources,
            Self::ClientGone => Termination::ClientAborted,
        }
    }

    /// The word for the metric; `None`: it was the client that left.
    pub fn reject_reason(self) -> Option<RejectReason> {
        match self {
            Self::NoRoute => Some(RejectReason::NoRoute),
            Self::NoPlace(NoPlace::NoServer | NoPlace::BoundServerUnavailable) => {
                Some(RejectReason::NoServer)
            }
            Self::NoPlace(NoPlace::QueueFull | NoPlace::QueueTimeout) => Some(RejectReason::Queue),
            Self::Refused | Self::TimedOut | Self::TlsFailed => Some(RejectReason::ConnectFailure),
            Self::OwnShortage => Some(RejectReason::ProxyResources),
            Self::ClientGone => None,
        }
    }
}

/// Connects to a server of the connection's pool. Nothing is read from the client meanwhile, so nothing of it is lost. With the
/// connection comes what keeps its session from expiring, if it has one.
///
/// # Errors
///
/// [`NoWay`] says why there is no connection.
pub async fn reach(
    site: &Site,
    ledger: &mut Ledger<'_>,
    client: &Transport,
) -> Result<(ServerWire, Option<Stay>), NoWay> {
    let Some(target) = &ledger.target.site else {
        return Err(NoWay::NoRoute);
    };
    let mut binding = Binding::of_client(target, ledger.client()).await;
    let reached = tokio::select! {
        biased;
        reached = search(site, target, &mut binding, ledger, client) => reached,
        // Nobody is to wait for a client that has gone. One that has only ended its side is still there.
        _ = client.socket().ready(Interest::ERROR) => Err(NoWay::ClientGone),
    };
    if matches!(reached, Err(no_way) if no_way != NoWay::ClientGone) {
        binding.move_back(target).await;
    }
    ledger.persistence = binding.result;
    if let Some(result) = binding.result {
        target.pool.metrics().persistence.inc(result);
    }
    reached.map(|wire| (wire, binding.stay(target)))
}

async fn search(
    site: &Site,
    target: &PoolSite,
    binding: &mut Binding,
    ledger: &mut Ledger<'_>,
    client: &Transport,
) -> Result<ServerWire, NoWay> {
    // One that has no address any more has gone.
    let caller = ledger.caller(&target.link, client.socket());
    let caller = caller.map_err(|_| NoWay::ClientGone)?;
    let settings = Arc::clone(&target.pool.settings());
    let mut tried = Vec::new();
    let mut failed = None;
    loop {
        let (lease, by) = match dispatch::choose(target, binding, &tried).await {
            Ok(chosen) => chosen,
            Err(none) => {
                // With no server left to try, the failure of the last one is the news.
                let failed =
                    failed.filter(|_| matches!(none, NoPlace::NoServer | NoPlace::QueueFull));
                return Err(failed.unwrap_or(NoWay::NoPlace(none)));
            }
        };
        let server = Arc::clone(lease.server());
        server.metrics().picks.inc(by);
        ledger.attempts += 1;
        ledger.address = server.address();
        ledger.server = Some(Arc::clone(&server));
        ledger.lease = Some(lease);
        let begun = Instant::now();
        let agreed = ledger.agreed();
        let link = &target.link;
        let connected = connect(link, &caller, &server, agreed, &settings, site.keepalive);
        let trouble = match connected.await {
            Ok((wire, address, place)) => {
                (ledger.address, ledger.place) = (Some(address), Some(place));
                note_connect(target, &server, begun, false);
                return Ok(wire);
            }
            Err(trouble) => trouble,
        };
        let no_way = trouble.no_way();
        if let Trouble::OwnShortage(shortage) = trouble {
            // It would be missing for another one as well.
            shortage::tell(shortage, "a server could not be connected to");
            (ledger.server, ledger.address, ledger.lease) = (None, None, None);
            return Err(no_way);
        }
        note_connect(target, &server, begun, true);
        tell(target, &server, &trouble);
        let retries = &settings.retries;
        if !retries.on_connect_failure || ledger.attempts > retries.attempts {
            return Err(no_way);
        }
        server.note_request(true, None);
        ledger.lease = None;
        tried.push(server.slot());
        failed = Some(no_way);
        target
            .pool
            .metrics()
            .retries
            .inc(RetryReason::ConnectFailure);
    }
}

/// Notes how long it took to connect, or to fail.
fn note_connect(target: &PoolSite, server: &Arc<Server>, begun: Instant, failed: bool) {
    let took = begun.elapsed();
    if !failed {
        server.metrics().connected(took);
    }
    target.pool.note_latency(server, Sample { took, failed });
    let outcome = if failed {
        Outcome::Failed(model::Fault::ConnectFailure)
    } else {
        Outcome::Connected
    };
    target.pool.note_outcome(server, outcome);
}

/// Why a connection to a server was not made.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("connect to {0} timed out after {1:?} (filtered or down)")]
    TimedOut(Arc<Address>, Duration),
    #[error("its name does not resolve")]
    Unresolved,
    #[error("{0}")]
    Unreachable(upstream::Unreachable),
    #[error("socket of a server: {0}")]
    Socket(io::Error),
    #[error("TLS to {0} failed: {1}")]
    Tls(Arc<Address>, upstream::Trouble),
    #[error(transparent)]
    OwnShortage(Shortage),
}

impl Trouble {
    fn of_unreachable(unreachable: upstream::Unreachable) -> Self {
        match unreachable.own_shortage() {
            Some(shortage) => Self::OwnShortage(shortage),
            None => Self::Unreachable(unreachable),
        }
    }

    fn no_way(&self) -> NoWay {
        match self {
            Self::TimedOut(..) => NoWay::TimedOut,
            Self::Tls(..) => NoWay::TlsFailed,
            Self::OwnShortage(_) => NoWay::OwnShortage,
            Self::Unresolved | Self::Unreachable(_) | Self::Socket(_) => NoWay::Refused,
        }
    }
}

async fn connect(
    link: &Link,
    caller: &Caller,
    server: &Server,
    agreed: Option<&Alpn>,
    settings: &model::Pool,
    keepalive: Option<model::TcpKeepalive>,
) -> Result<(ServerWire, Arc<Address>, Place), Trouble> {
    let first = server.address().ok_or(Trouble::Unresolved)?;
    let patience = settings.timeouts.connect;
    let place = descriptors::server(patience).await;
    let place = place.map_err(Trouble::OwnShortage)?;
    let connected = async {
        let (raw, address) = upstream::reach(server, None, caller)
            .await
            .map_err(Trouble::of_unreachable)?;
        let wire = set_up(raw, keepalive).map_err(Trouble::Socket)?;
        match secure(link, server, agreed, wire).await {
            Ok(wire) => Ok((wire, address, place)),
            Err(trouble) => Err(Trouble::Tls(address, trouble)),
        }
    };
    match tokio::time::timeout(patience, connected).await {
        Ok(connected) => connected,
        Err(_) => Err(Trouble::TimedOut(first, patience)),
    }
}

/// Speaks TLS from now on, if the pool has it, verified by the pool's rules. What is spoken in it only the client says, if
/// that has agreed on something.
async fn secure(
    link: &Link,
    server: &Server,
    agreed: Option<&Alpn>,
    wire: ServerWire,
) -> Result<ServerWire, upstream::Trouble> {
    let Some(secure) = link.secure() else {
        return Ok(wire);
    };
    let name = link.name(server);
    Ok(match wire {
        ServerWire::Inet(Transport::Plain(stream)) => {
            let stream = secure.handshake(name.as_ref(), agreed, stream).await?;
            ServerWire::Inet(Transport::Tls(Box::new(stream)))
        }
        ServerWire::Unix(stream) => {
            let stream = secure.handshake(name.as_ref(), agreed, stream).await?;
            ServerWire::UnixTls(Box::new(stream))
        }
        secured => secured,
    })
}

fn set_up(raw: Raw, keepalive: Option<model::TcpKeepalive>) -> io::Result<ServerWire> {
    match raw {
        Raw::Tcp(stream) => {
            let Some(keepalive) = keepalive else {
                SockRef::from(&stream).set_keepalive(true)?;
                return Ok(ServerWire::Inet(Transport::Plain(stream)));
            };
            let probes = TcpKeepalive::new()
                .with_time(keepalive.idle)
                .with_interval(keepalive.interval)
                .with_retries(keepalive.probes);
            SockRef::from(&stream).set_tcp_keepalive(&probes)?;
            Ok(ServerWire::Inet(Transport::Plain(stream)))
        }
        Raw::Unix(stream) => Ok(ServerWire::Unix(stream)),
    }
}

/// Logs why a server could not be connected to, at most once a second and pool: when one dies, thousands meet it.
fn tell(target: &PoolSite, server: &Server, trouble: &Trouble) {
    if let Trouble::Tls(_, trouble) = trouble {
        target.link.tell(server, trouble);
    } else if target.pool.told().connect.first_at(Instant::now()) {
        let (pool, server) = (&**target.pool.name(), &**server.name());
        tracing::warn!(pool, server, "{trouble}");
    }
}
