//! Connecting to a server: at the one of its addresses that answers.
//!
//! A name may have several addresses of which not all work: `localhost` is often `::1` first where the server listens at
//! `127.0.0.1` only. As RFC 8305 has it, they are tried in order, the next one as soon as the one before has failed or
//! has said nothing for a moment, and the first that is connected to wins. It is the first one to be tried from then on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::caller::Caller;
use super::dial::{Raw, connect};
use super::local_end::LocalEnd;
use crate::pool::{Address, Server};
use crate::shortage::Shortage;

/// How long an address may say nothing until the next one is tried beside it (RFC 8305 section 5).
const DELAY: Duration = Duration::from_millis(250);

/// A server could be connected to at none of its addresses: what became of each.
#[derive(Debug)]
pub struct Unreachable {
    failures: Vec<(Arc<Address>, io::Error)>,
}

/// Connects to a server, at that port if one is given, for `caller`. Whoever uses it limits the time. Returns the address as
/// well.
///
/// # Errors
///
/// What became of each of its addresses.
pub async fn reach(
    server: &Server,
    port: Option<u16>,
    caller: &Caller,
) -> Result<(Raw, Arc<Address>), Unreachable> {
    let Some(addresses) = server.addresses() else {
        return Err(Unreachable { failures: vec![] });
    };
    // Told if it fails, or takes so long that nobody waits any more.
    let mut watch = Watch {
        server,
        has_failed: true,
    };
    let targets = addresses.in_order().map(|base| match port {
        Some(port) => (Arc::clone(base), Arc::new(base.at_port(port))),
        None => (Arc::clone(base), Arc::clone(base)),
    });
    let (mut raw, (base, target), failures) = race(targets, caller.local_end()).await?;
    server.use_address(&base);
    if let Err(error) = caller.introduce(&mut raw).await {
        let failures = vec![(target, error)];
        return Err(Unreachable { failures });
    }
    watch.has_failed = failures > 0;
    Ok((raw, target))
}

type Target = (Arc<Address>, Arc<Address>);

/// The first of them that is connected to, from there, and how many failed before.
async fn race(
    mut targets: impl Iterator<Item = Target>,
    from: Option<LocalEnd>,
) -> Result<(Raw, Target, usize), Unreachable> {
    let Some(first) = targets.next() else {
        return Err(Unreachable { failures: vec![] });
    };
    let Some(second) = targets.next() else {
        // As with most servers there is nothing to race against.
        return match connect(first.1.endpoint(), from).await {
            Ok(raw) => Ok((raw, first, 0)),
            Err(error) => Err(Unreachable {
                failures: vec![(first.1, error)],
            }),
        };
    };
    let mut all = vec![first, second];
    all.extend(targets);
    race_all(all, from).await
}

/// As [`race`], each in a task of its own.
async fn race_all(
    targets: Vec<Target>,
    from: Option<LocalEnd>,
) -> Result<(Raw, Target, usize), Unreachable> {
    let mut failures = Vec::new();
    let mut attempts = JoinSet::new();
    let mut targets = targets.into_iter();
    loop {
        if let Some(target) = targets.next() {
            attempts.spawn(async move {
                let connected = connect(target.1.endpoint(), from).await;
                (target, connected)
            });
        }
        let is_last = targets.len() == 0;
        loop {
            tokio::select! {
                ended = attempts.join_next() => match ended {
                    Some(Ok((target, Ok(raw)))) => return Ok((raw, target, failures.len())),
                    Some(Ok((target, Err(error)))) => failures.push((target.1, error)),
                    // Cancelled with the runtime, if at all.
                    Some(Err(_)) => {}
                    None => return Err(Unreachable { failures }),
                },
                () = tokio::time::sleep(DELAY), if !is_last => {}
            }
            if !is_last {
                break;
            }
        }
    }
}

/// Has a server's name looked up again if a connect to it fails.
struct Watch<'a> {
    server: &'a Server,
    has_failed: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.has_failed {
            self.server.note_connect_failure();
        }
    }
}

impl Unreachable {
    /// What was missing here, if that is why one of the addresses could not be connected to: who knows what would have
    /// become of it.
    pub fn own_shortage(&self) -> Option<Shortage> {
        let of = |(address, error): &(Arc<Address>, io::Error)| {
            Shortage::of(error, address.endpoint().inet())
        };
        self.failures.iter().find_map(of)
    }

    /// Whether the last address, which had the most time, let it pass.
    pub fn has_timed_out(&self) -> bool {
        let last = self.failures.last();
        last.is_some_and(|(_, error)| error.kind() == io::ErrorKind::TimedOut)
    }
}

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.failures.is_empty() {
            return f.write_str("its name does not resolve");
        }
        for (place, (address, error)) in self.failures.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            f.write_str(&in_words(error, address))?;
        }
        Ok(())
    }
}

impl std::error::Error for Unreachable {}

/// The system's error of a connect, as somebody says it who looked.
fn in_words(error: &io::Error, address: &Address) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("connect to {address} refused (nothing listens there)")
        }
        io::ErrorKind::TimedOut => format!("connect to {address} timed out (filtered or down)"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("no route to {address}")
        }
        _ => format!("connect to {address} failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::pool::Endpoint;

    fn target(address: SocketAddr) -> Target {
        let address = Arc::new(Address::from(Endpoint::Inet(address)));
        (Arc::clone(&address), address)
    }

    /// An address where nothing listens, and a listener.
    fn addresses() -> (SocketAddr, std::net::TcpListener) {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = closed.local_addr().unwrap();
        (closed, std::net::TcpListener::bind("127.0.0.1:0").unwrap())
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_at_once() {
        let (closed, listener) = addresses();
        let open = listener.local_addr().unwrap();
        let (_, won, failures) = race([closed, closed, open].map(target).into_iter(), None)
            .await
            .unwrap();
        assert_eq!((won, failures), (target(open), 2));
    }

    #[tokio::test]
    async fn the_first_that_works_is_taken() {
        let (_, listener) = addresses();
        let (_, other) = addresses();
        let open = [&listener, &other].map(|one| one.local_addr().unwrap());
        let (_, won, failures) = race(open.map(target).into_iter(), None).await.unwrap();
        assert_eq!((won, failures), (target(open[0]), 0));
    }

    #[tokio::test]
    async fn if_all_fail_each_has_its_words() {
        let (closed, _) = addresses();
        let (other, _) = addresses();
        let error = race([closed, other].map(target).into_iter(), None)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "connect to {closed} refused (nothing listens there); \
                 connect to {other} refused (nothing listens there)"
            )
        );
        let none = race(std::iter::empty(), None).await.unwrap_err();
        assert_eq!(none.to_string(), "its name does not resolve");
    }
}
