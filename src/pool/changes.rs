//! Changes of a server's state, each from its one source, applied to the selector in the same step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::MutexGuard;
use serde_json::json;

use super::gate::Gate;
use super::queue::Handover;
use super::server::LastCheck;
use super::tier::Tier;
use super::{Admission, Checked, Operator, Pool, Resolution, Server, State};
use crate::balance::Slot;
use crate::observe::{ServerState, Topic};

impl Pool {
    /// What the operator wants of a server.
    pub fn set_operator(self: &Arc<Self>, server: &Arc<Server>, operator: Operator) {
        let closes = operator == Operator::Maintenance;
        self.change_gate(server, closes, |gate, now| gate.set_operator(operator, now));
    }

    /// The checks' decision about a server, with the reason in words.
    pub fn set_checked(self: &Arc<Self>, server: &Arc<Server>, checked: Checked, reason: &str) {
        self.change_gate(server, checked == Checked::Down, |gate, now| {
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
                self.change_gate(server, false, |gate, now| {
                    gate.set_resolution(Resolution::Resolved, String::new(), now)
                });
            }
            Err(reason) => self.change_gate(server, true, |gate, now| {
                gate.set_resolution(Resolution::Unresolved, reason, now)
            }),
        }
    }

    /// Marks the end of the process's start. A server whose name has not resolved by now starts slowly when it does; a server
    /// whose first check is still under way doesn't start slowly if that check passes.
    pub fn end_startup(&self) {
        for server in self.servers.load().iter() {
            if server.addresses().is_none() {
                server.set_cold();
            }
        }
    }

    /// Runs `write`, which closes the gate or doesn't, on the server's gate and lets the selector know what follows
    /// from it.
    pub(super) fn change_gate(
        self: &Arc<Self>,
        server: &Arc<Server>,
        closes: bool,
        write: impl FnOnce(&mut Gate, SystemTime) -> bool,
    ) {
        let state = self.state.lock();
        self.change_gate_in(state, server, closes, write);
    }

    /// As [`Self::change_gate`], in a state that is locked already.
    pub(super) fn change_gate_in(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        server: &Arc<Server>,
        closes: bool,
        write: impl FnOnce(&mut Gate, SystemTime) -> bool,
    ) {
        let changed = self.write_gate(&mut state, server, closes, write);
        let readmitted = self.readmit_if_none(&mut state);
        let handovers = self.serve_waiters(&mut state, None);
        let turn = self.turn(&state);
        drop(state);
        handovers.into_iter().for_each(Handover::complete);
        if changed {
            self.announce(server);
        }
        for server in &readmitted {
            self.announce(server);
        }
        self.tell_turn(turn);
    }

    /// Returns whether the server's state in words changed.
    pub(super) fn write_gate(
        &self,
        state: &mut State,
        server: &Arc<Server>,
        closes: bool,
        write: impl FnOnce(&mut Gate, SystemTime) -> bool,
    ) -> bool {
        let before = server.admission();
        let changed = server.change_gate(|gate| write(gate, SystemTime::now()));
        let after = server.admission();
        if closes {
            server.set_cold();
        }
        if before != after {
            if after == Admission::Up {
                self.warm_up(state, server, self.settings.load().slow_start);
            }
            state.reclass(
                server,
                Tier::of(before, server.is_backup()),
                Tier::of(after, server.is_backup()),
            );
        }
        changed
    }

    /// Lets all servers back that are ejected, when nobody else is left: one that fails some requests is better than none.
    /// Returns those whose state in words changed.
    pub(super) fn readmit_if_none(&self, state: &mut State) -> Vec<Arc<Server>> {
        if state.census.available() > 0 || !self.watches_traffic.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.readmit_all(state)
    }

    /// Lets all servers back that are ejected. Returns those whose state in words changed.
    pub(super) fn readmit_all(&self, state: &mut State) -> Vec<Arc<Server>> {
        let mut readmitted = Vec::new();
        let now = Instant::now();
        let members: Vec<_> = state.members.iter().flatten().map(Arc::clone).collect();
        for server in members {
            if server.traffic().end_ejection(now, |_| true)
                && self.write_gate(state, &server, false, |gate, at| gate.set_ejected(None, at))
            {
                readmitted.push(server);
            }
        }
        readmitted
    }

    /// Starts a server slowly that has just become available, if it is to.
    pub(super) fn warm_up(&self, state: &mut State, server: &Server, slow_start: Duration) {
        if server.take_cold() && !slow_start.is_zero() {
            self.start_slowly(state, server);
        }
    }

    /// Puts a server at the foot of its slow start.
    fn start_slowly(&self, state: &mut State, server: &Server) {
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
        let (state, reason) = (server.state(), server.reason());
        server
            .metrics()
            .set_state(state, gate.is_healthy(), gate.since());
        let (pool, name) = (&*self.name, &**server.name());
        self.registry.events().publish(
            Topic::Server,
            json!({"pool": pool, "server": name, "state": state, "reason": reason}),
        );
        if state == ServerState::Down {
            tracing::warn!(pool, server = name, %state, reason, "server state changed");
        } else if self.goes_without_saying(state) {
            tracing::debug!(pool, server = name, %state, reason, "server state changed");
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
            // `to` is the class that the server is moved to; its gate may say something else by now.
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
