//! From socket to stream: binding, accepting, connection limits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::config::model;
use crate::observe::{DelayReason, RejectReason};
use crate::shortage;
use crate::shortage::Shortage;
use crate::workers::{Worker, Workers};
use limits::Room;

mod capacity;
mod closing;
mod drain;
mod ends;
mod lazy_timer;
pub mod limits;
mod rates;
mod reception;
mod socket;
mod stream;
mod transport;

pub use capacity::Capacity;
pub use closing::Closing;
pub use drain::{Drain, Leave};
pub use ends::Ends;
pub use lazy_timer::LazyTimer;
pub use limits::{Admitted, ClientLimits, Limits};
pub use reception::{NotIntroduced, Reception};
pub use socket::{Accepted, Listener};
pub use stream::ClientStream;
pub use transport::Transport;

/// Connections the kernel holds for us while we are busy; it cuts this down to its own limit
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 65_535;

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for listener {listener}: {}", words(.source))]
pub struct BindError {
    /// The listener's name.
    pub listener: String,
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Binds every address of a listener. Nothing is accepted yet.
///
/// # Errors
///
/// The first address that can't be bound.
pub fn bind(listener: &model::Listener) -> Result<Vec<std::net::TcpListener>, BindError> {
    listener
        .bind
        .iter()
        .map(|address| {
            bind_one(*address).map_err(|source| BindError {
                listener: listener.name.to_string(),
                address: *address,
                source,
            })
        })
        .collect()
}

/// Binds one address. Nothing is accepted yet.
///
/// # Errors
///
/// The system's.
pub fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that 0.0.0.0:80 and [::]:80 stand side by side (RFC 3493 section 5.3).
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether who listens on one address keeps others from the other one.
pub fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Binds one address, also while these sockets of ours are open on overlapping ones, which they are to leave. Nothing is
/// accepted yet.
///
/// # Errors
///
/// The system's.
pub fn bind_beside(address: SocketAddr, leaving: &[Socket]) -> io::Result<std::net::TcpListener> {
    let bound = bind_one(address);
    if leaving.is_empty() || !bound.as_ref().is_err_and(is_in_use) {
        return bound;
    }
    // Both have to agree to it, and nobody else is to make use of that: so only for the moment.
    for socket in leaving {
        socket.set_reuse_port(true)?;
    }
    let bound = bind_sharing(address);
    for socket in leaving {
        socket.set_reuse_port(false)?;
    }
    bound
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn bind_sharing(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // Which looks once more whether it may.
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(false)?;
    Ok(socket.into())
}

/// Why an address can't be listened on, in words.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use by another process".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (ports below 1024 need root or CAP_NET_BIND_SERVICE)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Accepts until draining begins or the socket is to be closed or is handed over, calling `serve` with each connection and the
/// worker that it is to live on. What is in the backlog at that moment is still accepted, by whoever goes on with it: those
/// clients have been told that they are connected.
pub async fn accept(
    socket: Arc<Listener>,
    limits: Arc<Limits>,
    drain: Arc<Drain>,
    closing: Arc<Closing>,
    workers: Arc<Workers>,
    serve: impl Fn(Accepted, Admitted, &Worker),
) {
    let (begun, closed) = (drain.stopped(), closing.begun());
    tokio::pin!(begun, closed);
    let take = |connection: Accepted, room: Room| {
        let worker = workers.for_connection(socket.acceptor());
        serve(connection, limits.admit(room, worker.place()), worker);
    };
    let mut at_hand = None;
    // What shows that nothing can be accepted for want of descriptors or memory.
    let mut short = None;
    while at_hand.is_none() && !closing.has_begun() {
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            () = &mut begun => break,
            () = &mut closed => break,
        };
        match accepted {
            Ok(connection) => {
                short = None;
                tokio::select! {
                    biased;
                    room = limits.room() => {
                        let Some(room) = room else { return };
                        take(connection, room);
                    }
                    () = &mut begun => at_hand = Some(connection),
                }
            }
            Err(error) => {
                if let Some(shortage) = Shortage::of(&error, None) {
                    if short.is_none() {
                        short = Some(limits.delay(DelayReason::ProxyResources));
                    }
                    shortage::tell(shortage, "connections wait to be accepted");
                    // Nothing to wait for but somebody else's close.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                } else {
                    tracing::debug!(%error, "a connection ended before it was accepted");
                }
            }
        }
    }
    if closing.is_handed_over() {
        // The connection at hand was accepted here, so the other process can't accept it.
        if let Some(connection) = at_hand
            && let Some(room) = limits.room().await
        {
            take(connection, room);
        }
        return;
    }
    if closing.has_begun() && at_hand.is_none() && !drain.is_stopping() {
        // As many as can have waited; who comes later is too late anyway.
        for _ in 0..BACKLOG {
            let Some(connection) = now(socket.accept()).await.and_then(Result::ok) else {
                return;
            };
            tokio::select! {
                biased;
                room = limits.room() => {
                    let Some(room) = room else { return };
                    take(connection, room);
                }
                () = &mut begun => {
                    at_hand = Some(connection);
                    break;
                }
            }
        }
    }
    loop {
        let next = match at_hand.take() {
            Some(next) => Some(next),
            None => now(socket.accept()).await.and_then(Result::ok),
        };
        let Some(connection) = next else { return };
        match limits.room_now() {
            Some(room) => take(connection, room),
            None => limits.reject(RejectReason::Stopping),
        }
    }
}

/// A future's value if it has one without waiting.
async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = std::future::ready(()) => None,
    }
}

/// Sets what connections have that are accepted from now on: they inherit it from the socket that they come by (Linux
/// copies all of its options), which costs each of them nothing.
pub fn tune(listener: &Listener, keepalive: model::TcpKeepalive) {
    let socket = SockRef::from(listener);
    let probes = TcpKeepalive::new()
        .with_time(keepalive.idle)
        .with_interval(keepalive.interval)
        .with_retries(keepalive.probes);
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&probes));
    // Connections work untuned, too.
    if let Err(error) = tuned {
        tracing::warn!(%error, "cannot set the options of a listening socket");
    }
}
