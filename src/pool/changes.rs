//! Changes of a server's state, each from its one source, applied to the selector in the same step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use super::gate::Gate;
use super::queue::Handover;
use super::server::LastCheck;
use super::tier::Tier;
use super::{Admission, Checked, Operator, Pool, Resolution, Server, State};
use crate::balance::Slot;
use crate::observe::ServerState;

impl Pool {
    /// What the operator wants of a server.
    pub fn set_operator(self: &Arc<Self>, server: &Arc<Server>, operator: Operator) {
        self.change_gate(server, |gate, now| gate.set_operator(operator, now));
    }

    /// The checks' decision about a server, with the reason in words.
    pub fn set_checked(self: &Arc<Self>, server: &Arc<Server>, checked: Checked, reason: &str) {
        self.change_gate(server, |gate, now| {
            gate.set_checked(checked, reason.to_owned(), now)
        });
    }

    /// One check that ended, whatever the decision.
    pub fn note_check(&self, server: &Server, check: LastCheck) {
        match check.result.verdict() {
            Some(true) => server.metrics().checks_passed.inc(),
            Some(false) => server.metrics().checks_failed.inc(),
            None => {}
        }
        server.set_last_check(check);
    }

    /// The outcome of resolving a server's name: addresses in the resolver's order, or the reason why there is none.
    pub fn set_resolved(
        self: &Arc<Self>,
        server: &Arc<Server>,
        outcome: Result<&[SocketAddr], String>,
    ) {
        match outcome {
            Ok(found) => {
                server.resolve_to(found);
                self.change_gate(server, |gate, now| {
                    gate.set_resolution(Resolution::Resolved, String::new(), now)
                });
            }
            Err(reason) => self.change_gate(server, |gate, now| {
                gate.set_resolution(Resolution::Unresolved, reason, now)
            }),
        }
    }

    /// Runs `write` on the server's gate and lets the selector know what follows from it.
    fn change_gate(
        self: &Arc<Self>,
        server: &Arc<Server>,
        write: impl FnOnce(&mut Gate, SystemTime) -> bool,
    ) {
        let slow_start = self.settings.load().slow_start;
        let mut state = self.state.lock();
        let before = server.admission();
        let changed = server.change_gate(|gate| write(gate, SystemTime::now()));
        let after = server.admission();
        if before != after {
            if after == Admission::Up {
                // Back from nothing, not merely checked for the first time or undrained.
                let been_up = server.been_up.swap(true, Ordering::Relaxed);
                let came_back = been_up && before == Admission::Closed && !slow_start.is_zero();
                if came_back {
                    self.start_slowly(&mut state, server);
                }
            }
            state.reclass(
                server,
                Tier::of(before, server.is_backup()),
                Tier::of(after, server.is_backup()),
            );
        }
        let handovers = self.serve_waiters(&mut state, None);
        drop(state);
        handovers.into_iter().for_each(Handover::complete);
        if changed {
            self.announce(server);
        }
    }

    /// Puts a server at the foot of its slow start.
    pub(super) fn start_slowly(&self, state: &mut State, server: &Server) {
        state.ramps.start(server.slot(), Instant::now());
        server.set_effective_percent(10);
        state
            .selector
            .set_weight(server.slot(), server.weight() * 10);
        self.ramping.store(true, Ordering::Relaxed);
    }

    /// Logs and exports a server's new state, once.
    pub(super) fn announce(&self, server: &Server) {
        let gate = server.gate();
        let (state, reason) = (server.state(), gate.reason());
        server
            .metrics()
            .set_state(state, gate.is_healthy(), gate.since());
        let (pool, name) = (&*self.name, &**server.name());
        if state == ServerState::Down {
            tracing::warn!(pool, server = name, %state, reason, "server state changed");
        } else {
            tracing::info!(pool, server = name, %state, reason, "server state changed");
        }
    }
}

impl State {
    /// Moves a server between classes, and opens another class if that follows.
    pub(super) fn reclass(&mut self, server: &Server, from: Option<Tier>, to: Option<Tier>) {
        self.census.moved(from, to);
        let best = self.census.best();
        if best == self.open {
            let slot: Slot = server.slot();
            self.selector.set_eligible(slot, to.is_some() && to == best);
            return;
        }
        self.open = best;
        for member in self.members.iter().flatten() {
            // `to` is what the server being moved has become, whatever its gate says by now.
            let tier = if member.slot() == server.slot() {
                to
            } else {
                Tier::of(member.admission(), member.is_backup())
            };
            self.selector
                .set_eligible(member.slot(), tier.is_some() && tier == best);
        }
    }
}
