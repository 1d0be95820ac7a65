//! Draining: the process is to end, and every connection learns of it at its next convenient moment; or the instance is
//! to be left for a while, and its connections are told to go.
//!
//! Either way each is told at a moment of its own, so that those who come back elsewhere don't do so all at once.

use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// What one connection adds to the time over which connections are told that the process ends: a hundred a second make
/// others no trouble, and a few are told at once.
const EACH: Duration = Duration::from_millis(10);

/// Whether draining has begun, cheap to ask and possible to wait for.
#[derive(Debug)]
pub struct Drain {
    /// The process is to end: nothing new is taken.
    stopping: AtomicBool,
    stop: watch::Sender<bool>,
    /// And every connection has been told.
    begun: AtomicBool,
    tell: watch::Sender<bool>,
    /// Whether connections are sent away by the operator, and the process goes on.
    leaving: AtomicBool,
    leave: watch::Sender<Option<Leave>>,
    /// What the moments of connections differ by from drain to drain.
    seed: Mutex<u64>,
}

/// Since when connections are sent away, and over how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    since: Instant,
    spread: Duration,
    seed: u64,
    /// All connections are to end, also those that have nothing under way.
    for_good: bool,
}

impl Leave {
    /// When the connection of a peer is to go. Evenly spread, and always the same for one connection.
    pub fn moment(&self, peer: SocketAddr) -> Instant {
        let mut hash = std::hash::DefaultHasher::new();
        (self.seed, peer).hash(&mut hash);
        let share =
            f64::from(u32::try_from(hash.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        self.since
            .checked_add(self.spread.mul_f64(share))
            .unwrap_or(self.since)
    }

    /// Whether connections are to be ended that have nothing under way.
    pub fn is_for_good(&self) -> bool {
        self.for_good
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            stopping: AtomicBool::new(false),
            stop: watch::Sender::new(false),
            begun: AtomicBool::new(false),
            tell: watch::Sender::new(false),
            leaving: AtomicBool::new(false),
            leave: watch::Sender::new(None),
            seed: Mutex::new(0),
        }
    }
}

impl Drain {
    /// Over how long so many connections are told that the process ends, which may take no longer than `grace`.
    pub fn spread_of(connections: usize, grace: Duration) -> Duration {
        let count = u32::try_from(connections).unwrap_or(u32::MAX);
        EACH.saturating_mul(count).min(grace / 2)
    }

    /// The process is to end: nothing new is taken from now on, and connections are told over that time. [`begin`](Self::begin)
    /// is to follow.
    pub fn stop(&self, now: Instant, spread: Duration) {
        self.stopping.store(true, Ordering::Release);
        self.stop.send_replace(true);
        self.send(now, spread, true);
    }

    /// Takes a stop back, which has not begun to end what is left. Who has gone has gone.
    pub fn resume(&self) {
        self.stopping.store(false, Ordering::Release);
        self.stop.send_replace(false);
        self.leave.send_replace(None);
    }

    /// Whether the process is to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns when the process is to end; at once if it is.
    pub async fn stopped(&self) {
        let mut told = self.stop.subscribe();
        // The sender is in `self`, so it can't be gone.
        drop(told.wait_for(|stopping| *stopping).await);
    }

    /// Tells all connections that are left. There is no way back.
    pub fn begin(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.send_replace(true);
        self.begun.store(true, Ordering::Release);
        self.send(Instant::now(), Duration::ZERO, true);
        self.tell.send_replace(true);
    }

    /// Whether all connections have been told that the process ends.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Returns when all are told; at once if they have been.
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
        if self.is_ending() {
            return;
        }
        self.send(now, spread, false);
        self.leaving.store(true, Ordering::Release);
    }

    /// As [`send_away`](Self::send_away), and connections end that have nothing under way: the process is about to end.
    pub fn send_away_for_good(&self, now: Instant, spread: Duration) {
        self.send(now, spread, true);
        self.leaving.store(true, Ordering::Release);
    }

    fn send(&self, now: Instant, spread: Duration, for_good: bool) {
        let seed = {
            let mut seed = self.seed.lock();
            *seed = seed.wrapping_add(1);
            *seed
        };
        self.leave.send_replace(Some(Leave {
            since: now,
            spread,
            seed,
            for_good,
        }));
    }

    /// Takes that back, unless the process is about to end. Who has gone has gone.
    pub fn keep(&self) {
        if !self.is_ending() {
            self.leaving.store(false, Ordering::Release);
            self.leave.send_replace(None);
        }
    }

    /// Whether the process is to end, or about to: it may serve newcomers until those of before have gone.
    pub fn is_ending(&self) -> bool {
        let leave = *self.leave.borrow();
        self.is_stopping() || leave.is_some_and(|leave| leave.for_good)
    }

    /// Whether connections are sent away by the operator.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Whether the connection of that peer is to end when it can, for whichever reason.
    pub fn sends_away(&self, peer: SocketAddr) -> bool {
        self.has_begun()
            || (self.is_leaving() || self.is_stopping()) && {
                let leave = *self.leave.borrow();
                leave.is_some_and(|leave| leave.moment(peer) <= Instant::now())
            }
    }

    /// Whether and when connections are sent away, for who waits for that.
    pub fn watch_leave(&self) -> watch::Receiver<Option<Leave>> {
        self.leave.subscribe()
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

    #[test]
    fn many_are_told_one_by_one_and_few_at_once() {
        let grace = Duration::from_secs(30);
        assert!(Drain::spread_of(1, grace) <= Duration::from_millis(10));
        assert_eq!(Drain::spread_of(100, grace), Duration::from_secs(1));
        assert_eq!(Drain::spread_of(1_000_000, grace), grace / 2);
        assert_eq!(Drain::spread_of(usize::MAX, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_stop_can_be_taken_back_until_it_has_begun() {
        let drain = Drain::default();
        let peer = SocketAddr::from(([127, 0, 0, 1], 7));
        drain.stop(Instant::now(), Duration::ZERO);
        assert!(drain.is_stopping() && drain.sends_away(peer) && !drain.has_begun());
        drain.resume();
        assert!(!drain.is_stopping() && !drain.sends_away(peer));
        drain.stop(Instant::now(), Duration::from_secs(3600));
        drain.keep();
        assert!(
            drain.watch_leave().borrow().is_some(),
            "the operator has no say in a stop"
        );
        drain.begin();
        assert!(drain.is_stopping() && drain.sends_away(peer) && drain.has_begun());
    }
}
