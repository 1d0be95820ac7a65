//! What the log is told of a pool as a whole: that it has no server any more, that it has one again, and what became of
//! its first checks.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{Pool, Server, State};
use crate::observe::{Seldom, ServerState, Topic};

/// Servers whose reasons stand in one line.
const REASONS: usize = 5;

/// What was told, and what may be told again.
#[derive(Default)]
pub struct Told {
    /// A session's server is unavailable.
    pub session_lost: Seldom,
    /// A server can't be connected to.
    pub connect: Seldom,
    /// The budget for retries is used up.
    pub retries: Seldom,
    /// A server that fails is not ejected.
    pub spared: Seldom,
    /// Copies for a mirror are given up.
    pub mirror: Seldom,
    /// That no server is available.
    without_server: AtomicBool,
    /// What became of the first checks: from now on each server is told of by itself.
    first_checks: AtomicBool,
}

/// What has changed for the pool as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has no available server any more.
    Lost,
    /// It has one again.
    Back,
}

impl Pool {
    /// What of it may be told once a second only: for each pool by itself, so that none hides another's trouble.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// What has changed since this was last asked. To be told by [`Self::tell_turn`] once the lock is given back.
    pub(super) fn turn(&self, state: &State) -> Option<Turn> {
        if !self.told.first_checks.load(Ordering::Relaxed) {
            return None;
        }
        let without = state.census.available() == 0;
        if self.told.without_server.swap(without, Ordering::Relaxed) == without {
            return None;
        }
        Some(if without { Turn::Lost } else { Turn::Back })
    }

    /// One line for an outage's begin, with what each server says, and one for its end.
    pub(super) fn tell_turn(&self, turn: Option<Turn>) {
        let pool = &*self.name;
        match turn {
            None => {}
            Some(Turn::Lost) => {
                let reasons = self.reasons();
                let data = json!({"pool": pool, "available": 0, "reason": reasons});
                self.registry.events().publish(Topic::Pool, data);
                tracing::error!(pool, "the pool has no available server: {reasons}");
            }
            Some(Turn::Back) => {
                let (available, all) = (self.available(), self.servers().len());
                let data = json!({"pool": pool, "available": available});
                self.registry.events().publish(Topic::Pool, data);
                tracing::info!(pool, available, of = all, "the pool has a server again");
            }
        }
    }

    /// Whether every server is more than `unknown` by now.
    pub fn is_known(&self) -> bool {
        let servers = self.servers();
        servers
            .iter()
            .all(|server| server.state() != ServerState::Unknown)
    }

    /// One line of what the first checks found out, instead of one for each server that is well.
    pub fn tell_first_checks(&self) {
        if self.told.first_checks.swap(true, Ordering::Relaxed) {
            return;
        }
        let servers = self.servers();
        let count = |state| servers.iter().filter(|s| s.state() == state).count();
        let (available, unknown) = (self.available(), count(ServerState::Unknown));
        let pool = &*self.name;
        tracing::info!(
            pool,
            available,
            of = servers.len(),
            unknown,
            "first checks done"
        );
        let turn = self.turn(&self.state.lock());
        self.tell_turn(turn);
    }

    /// Whether a server's new state is but what everybody expects at the start.
    pub(super) fn goes_without_saying(&self, state: ServerState) -> bool {
        matches!(state, ServerState::Up | ServerState::Unknown)
            && !self.told.first_checks.load(Ordering::Relaxed)
    }

    fn reasons(&self) -> String {
        let servers = self.servers();
        let mut text = String::new();
        for server in servers.iter().take(REASONS) {
            let separator = if text.is_empty() { "" } else { "; " };
            let words = words(server);
            // Memory can be written to.
            let _ = write!(text, "{separator}{}: {words}", server.name());
        }
        match servers.len().saturating_sub(REASONS) {
            0 => {}
            more => {
                let _ = write!(text, "; and {more} more");
            }
        }
        if text.is_empty() {
            text.push_str("it has no servers");
        }
        text
    }
}

fn words(server: &Server) -> String {
    let reason = server.reason();
    if reason.is_empty() {
        server.state().to_string()
    } else {
        reason
    }
}
