//! Making a pool what the configuration says, in place.
//!
//! A server whose name and address are unchanged stays the same server: its count, turn, health and
//! slow start go on. A changed weight resets nothing. Building a pool is reconciling an empty one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::gate::Gate;
use super::queue::Handover;
use super::slow_start::SCALE;
use super::tier::Tier;
use super::{Admission, Operator, Pool, Server, State};
use crate::balance::{Params, digest};
use crate::config::model;

impl Pool {
    /// Applies a new configuration of this pool.
    pub fn reconcile(self: &Arc<Self>, model: &model::Pool) {
        let mut state = self.state.lock();
        let previous = self.settings.load_full();
        if previous.algorithm != model.algorithm {
            state.selector.set_algorithm(model.algorithm);
        }
        state.selector.set_bounded_load(model.bounded_load);
        let heeds_latency = model.algorithm == model::Algorithm::PeakEwma;
        self.heeds_latency.store(heeds_latency, Ordering::Relaxed);
        let watches = model.outlier_detection.is_some();
        self.watches_traffic.store(watches, Ordering::Relaxed);
        let mut old: HashMap<Arc<str>, Arc<Server>> = self
            .servers
            .load()
            .iter()
            .map(|server| (Arc::clone(server.name()), Arc::clone(server)))
            .collect();
        let first_time = old.is_empty();

        let mut servers = Vec::with_capacity(model.servers.len());
        for (position, wanted) in (0u32..).zip(&model.servers) {
            // One at another address is another server: the old one stays among those that go.
            let is_kept = old
                .get(&wanted.name)
                .is_some_and(|server| *server.configured_address() == wanted.address);
            let kept = is_kept.then(|| old.remove(&wanted.name)).flatten();
            let server = if let Some(server) = kept {
                // The operator's weight is kept unless the file changed that very value.
                let before = previous.servers.iter().find(|s| s.name == wanted.name);
                let changed = before.is_none_or(|before| before.weight != wanted.weight);
                let before = server.admission();
                update(&mut state, &server, wanted, position, changed, model);
                if before != Admission::Up && server.admission() == Admission::Up {
                    self.warm_up(&mut state, &server, model.slow_start);
                }
                server
            } else {
                let server = self.add(&mut state, model, wanted, position);
                if !first_time {
                    server.set_cold();
                    if server.admission() == Admission::Up {
                        self.warm_up(&mut state, &server, model.slow_start);
                    }
                }
                server
            };
            servers.push(server);
        }
        for server in old.values() {
            remove(&mut state, server);
            let replaced = servers.iter().any(|new| new.name() == server.name());
            if !replaced {
                self.registry.forget_server(&self.name, server.name());
            }
        }
        self.settings.store(Arc::new(model.clone()));
        self.servers.store(Arc::new(servers));
        let readmitted = if watches {
            self.readmit_if_none(&mut state)
        } else {
            self.readmit_all(&mut state)
        };
        let handovers = self.serve_waiters(&mut state, None);
        let turn = self.turn(&state);
        drop(state);
        handovers.into_iter().for_each(Handover::complete);
        for server in &readmitted {
            self.announce(server);
        }
        self.tell_turn(turn);
    }

    fn add(
        self: &Arc<Self>,
        state: &mut State,
        pool: &model::Pool,
        wanted: &model::PoolServer,
        position: u32,
    ) -> Arc<Server> {
        let slot = state.selector.insert(Params {
            weight: u32::from(wanted.weight) * SCALE,
            limit: wanted.max_connections,
            position,
            identity: digest(wanted.name.as_bytes()),
        });
        let checks = pool.health_check.as_ref();
        let mut gate = Gate::new(
            checks.is_some(),
            checks.map_or(model::InitialState::Up, |check| check.initial),
            Server::initial_resolution(&wanted.address),
            SystemTime::now(),
        );
        gate.set_operator(wanted.operator, SystemTime::now());
        let metrics = self.registry.server(&self.name, &wanted.name);
        metrics.weight.set(i64::from(wanted.weight));
        let (healthy, since) = (gate.is_healthy(), gate.since());
        let server = Arc::new(Server::new(wanted, slot, gate, metrics));
        server.metrics().set_state(server.state(), healthy, since);
        if state.members.len() <= slot.index() {
            state.members.resize(slot.index() + 1, None);
        }
        if let Some(place) = state.members.get_mut(slot.index()) {
            *place = Some(Arc::clone(&server));
        }
        if wanted.operator == Operator::Maintenance {
            server.set_cold();
        }
        let admission = server.admission();
        state.reclass(&server, None, Tier::of(admission, server.is_backup()));
        server
    }
}

fn update(
    state: &mut State,
    server: &Arc<Server>,
    wanted: &model::PoolServer,
    position: u32,
    weight_changed: bool,
    pool: &model::Pool,
) {
    let before = Tier::of(server.admission(), server.is_backup());
    let checked = pool.health_check.is_some();
    if server.change_gate(|gate| gate.set_checks(checked, SystemTime::now())) {
        let gate = server.gate();
        server
            .metrics()
            .set_state(server.state(), gate.is_healthy(), gate.since());
        tracing::info!(
            pool = &*pool.name,
            server = &*wanted.name,
            "no longer checked, counts as up"
        );
    }
    if weight_changed {
        let weight = u32::from(wanted.weight);
        server.set_weight(weight);
        server.metrics().weight.set(i64::from(weight));
        state
            .selector
            .set_weight(server.slot(), weight * server.effective_percent());
    }
    server.set_limit(wanted.max_connections);
    server.set_backup(wanted.backup);
    state
        .selector
        .set_limit(server.slot(), wanted.max_connections);
    state.selector.set_position(server.slot(), position);
    let after = Tier::of(server.admission(), server.is_backup());
    if before != after {
        state.reclass(server, before, after);
    }
}

fn remove(state: &mut State, server: &Arc<Server>) {
    let tier = Tier::of(server.admission(), server.is_backup());
    state.reclass(server, tier, None);
    state.ramps.stop(server.slot());
    state.selector.remove(server.slot());
    if let Some(place) = state.members.get_mut(server.slot().index())
        && place
            .as_ref()
            .is_some_and(|there| Arc::ptr_eq(there, server))
    {
        *place = None;
    }
}
