//! Draining: the process is to end, and every connection learns of it at its next convenient moment; or the instance is
//! to be left for a while, and its connections are told to go, each at a moment of its own.

use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Whether draining has begun, cheap to ask and possible to wait for.
#[derive(Debug)]
pub struct Drain {
    begun: AtomicBool,
    tell: watch::Sender<bool>,
    /// Whether connections are sent away.
    leaving: AtomicBool,
    leave: watch::Sender<Option<Leave>>,
    /// What the moments of connections differ by from drain to drain.
    seed: Mutex<u64>,
}

/// Since when connections are sent away, and over how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leave {
    since: Instant,
    spread: Duration,
    seed: u64,
}

impl Leave {
    /// When the connection of a peer is to go. Evenly spread, and always the same for one connection.
    fn moment(&self, peer: SocketAddr) -> Instant {
        let mut hash = std::hash::DefaultHasher::new();
        (self.seed, peer).hash(&mut hash);
        let share =
            f64::from(u32::try_from(hash.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        self.since
            .checked_add(self.spread.mul_f64(share))
            .unwrap_or(self.since)
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            begun: AtomicBool::new(false),
            tell: watch::Sender::new(false),
            leaving: AtomicBool::new(false),
            leave: watch::Sender::new(None),
            seed: Mutex::new(0),
        }
    }
}

impl Drain {
    /// Begins. There is no way back.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.tell.send_replace(true);
    }

    /// Whether draining has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Returns when draining begins; at once if it has.
    pub async fn begun(&self) {
        let mut told = self.tell.subscribe();
        // The sender is in `self`, so it can't be gone.
        drop(told.wait_for(|begun| *begun).await);
    }

    /// The same, in the form that Pingora's sessions take.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.tell.subscribe()
    }

    /// Sends connections away from `now` on, spread over that time. What comes is served all the same.
    pub fn send_away(&self, now: Instant, spread: Duration) {
        let seed = {
            let mut seed = self.seed.lock();
            *seed = seed.wrapping_add(1);
            *seed
        };
        self.leave.send_replace(Some(Leave {
            since: now,
            spread,
            seed,
        }));
        self.leaving.store(true, Ordering::Release);
    }

    /// Takes that back. Who has gone has gone.
    pub fn keep(&self) {
        self.leaving.store(false, Ordering::Release);
        self.leave.send_replace(None);
    }

    /// Whether connections are sent away.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Whether the connection of that peer is to end when it can, for whichever reason.
    pub fn sends_away(&self, peer: SocketAddr) -> bool {
        self.has_begun()
            || self.is_leaving() && {
                let leave = *self.leave.borrow();
                leave.is_some_and(|leave| leave.moment(peer) <= Instant::now())
            }
    }

    /// Returns when the connection of that peer is sent away.
    pub async fn sent_away(&self, peer: SocketAddr) {
        let mut told = self.leave.subscribe();
        loop {
            let leave = *told.borrow_and_update();
            let moment = async {
                match leave {
                    Some(leave) => tokio::time::sleep_until(leave.moment(peer).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = moment => return,
                // The sender is in `self`, so it can't be gone.
                _ = told.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_one_by_one_over_the_time_and_may_stay_again() {
        let drain = Drain::default();
        let peers: Vec<SocketAddr> = (1..=1000)
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .collect();
        let gone = |drain: &Drain| peers.iter().filter(|peer| drain.sends_away(**peer)).count();
        assert_eq!(gone(&drain), 0);
        let hour = Duration::from_secs(3600);
        let half_an_hour_ago = Instant::now().checked_sub(hour / 2).unwrap();
        drain.send_away(half_an_hour_ago, hour);
        assert!((400..600).contains(&gone(&drain)), "{}", gone(&drain));
        drain.keep();
        assert_eq!(gone(&drain), 0);
        drain.send_away(Instant::now(), Duration::ZERO);
        assert_eq!(gone(&drain), 1000);
        drain.keep();
        drain.begin();
        assert_eq!(gone(&drain), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_at_its_moment() {
        let drain = Drain::default();
        let peer = SocketAddr::from(([127, 0, 0, 1], 7));
        let told = drain.sent_away(peer);
        tokio::pin!(told);
        let wait = Duration::from_secs(60);
        assert!(tokio::time::timeout(wait, &mut told).await.is_err());
        drain.send_away(Instant::now(), Duration::ZERO);
        assert!(tokio::time::timeout(wait, &mut told).await.is_ok());
    }
}
