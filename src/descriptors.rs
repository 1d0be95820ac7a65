//! The budget of file descriptors: who may hold how many of those that this process may have.
//!
//! | share | is for |
//! |---|---|
//! | clients | connections of clients, one each; what is beyond waits in the kernel's backlog ([`crate::listen`]) |
//! | servers | connections to servers: requests, tunnels, TCP, copies; at least as many as clients |
//! | checks | health checks that run at once |
//! | rest | listeners, logs, files, the admin listener, resolver and stores |
//!
//! Who wants to connect to a server takes a [`Place`] first. When there is none, an idle connection is given up
//! ([`idle`]), and whoever wants one waits for its end, first come, first served. So nobody meets the system's limit
//! as long as the rest keeps to its share.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::shortage::Shortage;

pub mod idle;

/// Checks at once, at most.
const MOST_CHECKS: usize = 1024;

/// How a process's descriptors are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// What the process may have.
    pub limit: usize,
    /// Connections of clients.
    pub clients: usize,
    /// As many of them as the start was to have. Where there are fewer, that was told then.
    pub wanted: usize,
    /// Connections to servers.
    pub servers: usize,
    /// Of these, how many may be idle.
    pub idle: usize,
    /// Health checks at once.
    pub checks: usize,
    /// All else.
    pub rest: usize,
}

/// Not one client could be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may have {limit} file descriptors, and {rest} of them are for its listeners, logs and files: not one client \
     could be served; raise LimitNOFILE or ulimit -n"
)]
pub struct TooFew {
    limit: usize,
    rest: usize,
}

impl Shares {
    /// Shares out `limit` descriptors, of which `open` are in use for good, among as many clients as are `wanted`, if
    /// there are as many, and their servers.
    ///
    /// # Errors
    ///
    /// There isn't one for a client and one for its server.
    pub fn of(limit: usize, open: usize, wanted: usize) -> Result<Self, TooFew> {
        // Files that are read again, the admin listener's clients, the resolver's sockets.
        let rest = open.saturating_add((limit / 16).clamp(16, 256));
        let left = limit.saturating_sub(rest);
        let checks = (left / 8).clamp(1, MOST_CHECKS);
        let left = left.saturating_sub(checks);
        let clients = wanted.min(left / 2);
        if clients == 0 {
            return Err(TooFew { limit, rest });
        }
        let servers = left - clients;
        Ok(Self {
            limit,
            clients,
            wanted,
            servers,
            idle: (servers / 4).max(1),
            checks,
            rest,
        })
    }

    /// The same descriptors with more clients.
    ///
    /// # Errors
    ///
    /// How many there may be at most, so that each can have a server.
    fn admitting(self, clients: usize) -> Result<Self, usize> {
        let both = self.clients + self.servers;
        let most = both / 2;
        if clients > most {
            return Err(most);
        }
        let servers = both - clients;
        Ok(Self {
            clients,
            servers,
            idle: (servers / 4).max(1),
            ..self
        })
    }
}

/// A budget that holds for all of the process, as the system's limit does. As long as none is set, everybody gets a place.
static SHARES: Mutex<Option<Shares>> = Mutex::new(None);
/// Places on the way to servers that are taken beyond their share, since clients got more of it: they aren't handed out again.
static SURPLUS: AtomicUsize = AtomicUsize::new(0);
static SERVERS: Semaphore = Semaphore::const_new(Semaphore::MAX_PERMITS);
static CHECKS: Semaphore = Semaphore::const_new(Semaphore::MAX_PERMITS);

/// Those who wait for a place on the way to a server.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Puts the budget into force. It can be set once in a process.
pub fn set(shares: Shares) {
    let mut now = SHARES.lock();
    if now.is_none() {
        *now = Some(shares);
        SERVERS.forget_permits(Semaphore::MAX_PERMITS.saturating_sub(shares.servers));
        CHECKS.forget_permits(Semaphore::MAX_PERMITS.saturating_sub(shares.checks));
    }
}

/// Lets more clients come. Their places are taken from the servers' share, which is the larger one, as connections to servers
/// end. Nothing changes for a number that is no larger than the one of now, or than the one that was wanted at the start.
///
/// # Errors
///
/// How many there may be at most, so that each can have a server.
pub fn admit_clients(wanted: usize) -> Result<(), usize> {
    let mut guard = SHARES.lock();
    let Some(now) = *guard else { return Ok(()) };
    if wanted <= now.clients.max(now.wanted) {
        return Ok(());
    }
    let more = now.admitting(wanted)?;
    let fewer = now.servers - more.servers;
    let forgotten = SERVERS.forget_permits(fewer);
    SURPLUS.fetch_add(fewer - forgotten, Ordering::AcqRel);
    *guard = Some(more);
    Ok(())
}

/// The budget, once it is set.
pub fn shares() -> Option<Shares> {
    *SHARES.lock()
}

/// How many connections to servers there are, those that are being made included.
pub fn servers_held() -> usize {
    let all = shares().map_or(Semaphore::MAX_PERMITS, |shares| shares.servers);
    all.saturating_sub(SERVERS.available_permits())
}

/// The right to hold one descriptor of a share, until this is dropped.
pub struct Place {
    permit: Option<SemaphorePermit<'static>>,
    is_of_servers: bool,
}

impl Place {
    fn of_servers(permit: SemaphorePermit<'static>) -> Self {
        Self {
            permit: Some(permit),
            is_of_servers: true,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_of_servers
            && SURPLUS.load(Ordering::Acquire) > 0
            && SURPLUS
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |surplus| {
                    surplus.checked_sub(1)
                })
                .is_ok()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

/// Counts who waits, for as long as this is there.
struct Waiting;

impl Waiting {
    fn new() -> Self {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether somebody waits for a place on the way to a server.
fn is_waited() -> bool {
    WAITING.load(Ordering::Relaxed) > 0
}

/// Whether there is no place for a connection to a server now.
pub fn is_short() -> bool {
    SERVERS.available_permits() == 0
}

/// A place for a connection to a server. When there is none, an idle connection is given up, and `patience` is how long
/// this waits.
///
/// # Errors
///
/// None became free in time.
pub async fn server(patience: Duration) -> Result<Place, Shortage> {
    if let Some(place) = server_now() {
        return Ok(place);
    }
    let _waiting = Waiting::new();
    idle::give_up_one();
    match tokio::time::timeout(patience, SERVERS.acquire()).await {
        Ok(Ok(permit)) => Ok(Place::of_servers(permit)),
        _ => Err(Shortage::Descriptors),
    }
}

/// A place for a connection to a server, if one is free.
pub fn server_now() -> Option<Place> {
    let permit = SERVERS.try_acquire().ok()?;
    Some(Place::of_servers(permit))
}

/// Waits for a place for a health check.
///
/// # Errors
///
/// None that could happen: nobody closes this share.
pub async fn check() -> Result<Place, Shortage> {
    let permit = CHECKS.acquire().await;
    let permit = permit.map_err(|_| Shortage::Descriptors)?;
    Ok(Place {
        permit: Some(permit),
        is_of_servers: false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_limits_hold_what_is_usual() {
        let shares = Shares::of(262_144, 30, 65_536).unwrap();
        assert_eq!(shares.clients, 65_536);
        assert!(shares.servers > 2 * 65_536);
        let shares = Shares::of(1024, 30, 65_536).unwrap();
        assert!(shares.clients > 350, "{shares:?}");
        let shares = Shares::of(420, 30, 65_536).unwrap();
        assert!(shares.clients > 140, "{shares:?}");
    }

    #[test]
    fn the_configured_number_needs_little_more_than_two_each() {
        let shares = Shares::of(2 * 65_536 + 2048, 30, 65_536).unwrap();
        assert_eq!(shares.clients, 65_536);
    }

    #[test]
    fn where_not_one_client_fits_nothing_is_shared_out() {
        let told = Shares::of(40, 30, 65_536).unwrap_err().to_string();
        assert!(told.contains("40 file descriptors"), "{told}");
        assert!(told.contains("not one client"), "{told}");
        assert!(Shares::of(0, 0, 1).is_err());
    }

    #[test]
    fn more_clients_come_at_the_cost_of_the_servers_share() {
        let shares = Shares::of(10_000, 30, 100).unwrap();
        let more = shares.admitting(3000).unwrap();
        assert_eq!(more.clients, 3000);
        assert_eq!(more.clients + more.servers, shares.clients + shares.servers);
        assert!(more.servers >= more.clients);
        let most = shares.admitting(9000).unwrap_err();
        assert_eq!(shares.admitting(most).unwrap().clients, most);
    }

    proptest! {
        /// Nobody gets what isn't there, and every client can have a server.
        #[test]
        fn the_shares_are_the_whole(limit in 0usize..1 << 21, open in 0usize..1000, wanted in 1usize..1 << 20) {
            let Ok(shares) = Shares::of(limit, open, wanted) else {
                prop_assert!(limit < open + 16 + 3 || limit / 16 + open + 3 > limit);
                return Ok(());
            };
            let Shares { clients, servers, idle, checks, rest, .. } = shares;
            prop_assert_eq!(clients + servers + checks + rest, limit);
            prop_assert!(rest >= open + 16);
            prop_assert!((1..=wanted).contains(&clients));
            prop_assert!(servers >= clients);
            prop_assert!((1..=servers).contains(&idle));
            prop_assert!(checks >= 1);
        }
    }
}
