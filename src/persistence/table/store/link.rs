//! The connection to a shared store, and whether the store is in use.
//!
//! It is taken out of use at the first failure, so that an outage costs one wait and not one a request, and put in use again by a new
//! connection on which it has done what a request would ask, within the time that a request would wait: one that has become a
//! replica, or is full, answers, but isn't in use. While it is idle it is asked as well, so that mostly not a request finds out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::IntGauge;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Store;
use super::command::StoreClock;
use super::complaint::{ELSEWHERE, Wrong};
use super::endpoint::{Driver, Judge, Link};
use crate::persistence::Moment;

/// Between two attempts: the first pause, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Between two questions whether it still takes commands.
const PROBE: Duration = Duration::from_secs(1);

/// Whether the store is in use.
pub(super) enum State {
    /// The first attempt has not ended; requests may wait for it.
    Starting,
    /// In use, through this connection, and its number.
    Up(u64, MultiplexedConnection),
    /// Left out, and why.
    Down(String),
}

/// Why a connection was given up, and whether it had been good for a while.
struct End {
    reason: String,
    lasted: bool,
}

impl Judge for Store {
    /// Does what a request will do.
    async fn judge(&self, connection: &mut MultiplexedConnection) -> Result<(), Wrong> {
        let loaded = self.keys.load(connection).await;
        loaded.map_err(|error| Wrong::of(&error))?;
        self.probe(connection).await
    }
}

/// Shows that the store is in use, however that ends.
struct InUse(IntGauge);

impl InUse {
    fn new(up: &IntGauge) -> Self {
        up.inc();
        Self(up.clone())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Connects, and connects again, for ever.
pub(super) async fn keep(store: Arc<Store>) {
    let mut pause = PAUSE;
    let mut told = false;
    loop {
        match store.attempt().await {
            Ok(link) => {
                let number = store.put_in_use(&link.connection);
                let end = store.until_lost(number, link, told).await;
                // What ends as soon as it begins is part of the outage before it.
                if end.lasted {
                    pause = PAUSE;
                }
                if end.lasted || !told {
                    store.warn(&end.reason);
                    told = true;
                }
            }
            Err(reason) => {
                if !told {
                    store.warn(&reason);
                    told = true;
                }
                store.state.send_replace(State::Down(reason));
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Store {
    /// The connection, if the store is in use; waits for the first attempt.
    pub(super) async fn connection(&self) -> Option<(u64, MultiplexedConnection)> {
        let current = |state: &State| match state {
            State::Up(number, connection) => Some(Some((*number, connection.clone()))),
            State::Down(_) => Some(None),
            State::Starting => None,
        };
        let now = current(&self.state.borrow());
        if let Some(now) = now {
            return now;
        }
        let mut changes = self.state.subscribe();
        let ended = changes.wait_for(|state| current(state).is_some()).await;
        ended.ok().and_then(|state| current(&state)).flatten()
    }

    /// Takes the store out of use if it still is by that connection.
    pub(super) fn lost(&self, number: u64, reason: &str) {
        self.state.send_if_modified(|state| {
            let is_current = matches!(state, State::Up(current, _) if *current == number);
            if is_current {
                *state = State::Down(reason.to_owned());
            }
            is_current
        });
    }

    async fn attempt(&self) -> Result<Link, String> {
        let connect = self.endpoint.connect(self);
        let mut connect = std::pin::pin!(connect);
        tokio::select! {
            done = &mut connect => done,
            // Requests have waited long enough for a store that was not there yet.
            () = sleep(self.settings.timeout) => {
                self.state.send_replace(State::Down("not connected yet".to_owned()));
                connect.await
            }
        }
    }

    /// Does what a request does, within the time that one has.
    async fn probe(&self, connection: &mut MultiplexedConnection) -> Result<(), Wrong> {
        let limit = self.settings.timeout;
        match timeout(limit, self.keys.probe(connection)).await {
            Ok(Ok((seconds, micros))) => {
                self.set_clock(seconds, micros);
                Ok(())
            }
            Ok(Err(error)) => Err(Wrong::of(&error)),
            Err(_) => Err(Wrong::because(format!("no answer within {limit:?}"))),
        }
    }

    fn set_clock(&self, seconds: u64, micros: u64) {
        let millis = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        let mut clock = self.clock.lock();
        *clock = Some(StoreClock::new(millis, Moment::millis_now(), *clock));
    }

    /// Gives the connection's number. No other connection has it, also when this task was begun again: a request that
    /// waited on an earlier connection must not take this one out of use.
    fn put_in_use(&self, connection: &MultiplexedConnection) -> u64 {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        self.state
            .send_replace(State::Up(number, connection.clone()));
        // It may have forgotten everything, and has heard nothing meanwhile.
        *self.again.lock() = Some(super::Cursor::default());
        number
    }

    /// Asks from time to time; ends when the connection does or a request has given it up. `was_away`: an outage was logged,
    /// and its end is still to be.
    async fn until_lost(&self, number: u64, link: Link, mut was_away: bool) -> End {
        let Link {
            mut connection,
            driver: mut task,
        } = link;
        let Driver(driver) = &mut task;
        let _in_use = InUse::new(&self.metrics.up);
        let mut changes = self.state.subscribe();
        let mut lasted = false;
        let reason = loop {
            let next = Instant::now() + PROBE;
            tokio::select! {
                _ = &mut *driver => break "connection closed".to_owned(),
                changed = changes.wait_for(|state| matches!(state, State::Down(_))) => {
                    break match changed.as_deref() {
                        Ok(State::Down(reason)) => reason.clone(),
                        _ => String::new(),
                    };
                }
                () = sleep_until(next) => {}
            }
            if let Err(wrong) = self.probe(&mut connection).await {
                break wrong.words;
            }
            lasted = true;
            if std::mem::take(&mut was_away) {
                tracing::info!(pool = %self.pool, "the session store {} is in use again", self.endpoint);
            }
        };
        let reason = if reason == ELSEWHERE && self.endpoint.is_cluster() {
            "the keys are on another node of the cluster now".to_owned()
        } else {
            reason
        };
        self.lost(number, &reason);
        End { reason, lasted }
    }

    fn warn(&self, reason: &str) {
        tracing::warn!(
            pool = %self.pool,
            "the session store {} is away ({reason}); sessions are kept in memory meanwhile",
            self.endpoint
        );
    }
}
