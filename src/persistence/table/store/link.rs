//! The connection to a shared store, and whether the store is in use.
//!
//! It is taken out of use at the first failure, so that an outage costs one wait and not one a request, and put in use again by a new
//! connection on which it has said its time within the time that a request would wait. While it is idle it is asked
//! as well, so that mostly not a request finds out.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Store;
use super::command::StoreClock;
use super::endpoint::{Driver, Link};
use crate::persistence::Moment;

/// For an attempt to connect, in the background.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two attempts: the first pause, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Between two questions whether it is alive.
const PING: Duration = Duration::from_secs(1);

/// Whether the store is in use.
pub(super) enum State {
    /// The first attempt has not ended; requests may wait for it.
    Starting,
    /// In use, through this connection, and its number.
    Up(u64, MultiplexedConnection),
    /// Left out, and why.
    Down(String),
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
    let mut number = 0;
    let mut pause = PAUSE;
    let mut told = false;
    loop {
        number += 1;
        match store.attempt().await {
            Ok(link) => {
                store.put_in_use(number, &link.connection, told);
                pause = PAUSE;
                let reason = store.until_lost(number, link).await;
                store.warn(&reason);
                told = true;
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
        let connect = async {
            let mut link = self.endpoint.connect().await?;
            self.ping(&mut link.connection).await?;
            Ok(link)
        };
        let mut connect = std::pin::pin!(timeout(CONNECT, connect));
        let attempted = tokio::select! {
            done = &mut connect => done,
            // Requests have waited long enough for a store that was not there yet.
            () = sleep(self.settings.timeout) => {
                self.state.send_replace(State::Down("not connected yet".to_owned()));
                connect.await
            }
        };
        attempted.unwrap_or_else(|_| Err(format!("no connection within {CONNECT:?}")))
    }

    /// Asks for the time, which shows that it answers.
    async fn ping(&self, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let limit = self.settings.timeout;
        let command = redis::cmd("TIME");
        match timeout(limit, command.query_async(connection)).await {
            Ok(Ok((seconds, micros))) => {
                self.set_clock(seconds, micros);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }

    fn set_clock(&self, seconds: u64, micros: u64) {
        let millis = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        let mut clock = self.clock.lock();
        *clock = Some(StoreClock::new(millis, Moment::millis_now(), *clock));
    }

    fn put_in_use(&self, number: u64, connection: &MultiplexedConnection, was_away: bool) {
        self.state
            .send_replace(State::Up(number, connection.clone()));
        // It may have forgotten everything, and has heard nothing meanwhile.
        *self.again.lock() = Some(super::Cursor::default());
        if was_away {
            tracing::info!(pool = %self.pool, "the session store {} is in use again", self.endpoint);
        }
    }

    /// Asks from time to time; ends when the connection does or a request has given it up.
    async fn until_lost(&self, number: u64, link: Link) -> String {
        let Link {
            mut connection,
            driver: mut task,
        } = link;
        let Driver(driver) = &mut task;
        let _in_use = InUse::new(&self.metrics.up);
        let mut changes = self.state.subscribe();
        let reason = loop {
            let next = Instant::now() + PING;
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
            if let Err(reason) = self.ping(&mut connection).await {
                break reason;
            }
        };
        self.lost(number, &reason);
        reason
    }

    fn warn(&self, reason: &str) {
        tracing::warn!(
            pool = %self.pool,
            "the session store {} is away ({reason}); sessions are kept in memory meanwhile",
            self.endpoint
        );
    }
}
