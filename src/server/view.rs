//! The instance as the admin API shows it.

use super::instance::Instance;
use super::listening::Listening;
use super::operator;
use super::overrides::Overrides;
use crate::admin::status::{
    CheckResult, CheckStatus, InstanceState, ListenerStatus, PoolStatus, ServerSource,
    ServerStatus, Status, timestamp,
};
use crate::admin::{ApiError, View};
use crate::observe::VERSION;
use crate::observe::labels::RejectReason;
use crate::observe::metrics::Tally;
use crate::pool;
use crate::pool::{Admission, Pool, Server};

impl View for Instance {
    fn status(&self) -> Status {
        let (started, since) = self.started;
        let overrides = self.overrides.lock().clone();
        let pools = self.state.lock().pools.clone();
        Status {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            started: timestamp(started),
            uptime: since.elapsed().as_secs_f64(),
            state: if self.drain.is_stopping() {
                InstanceState::Stopping
            } else if self.drain.is_leaving() {
                InstanceState::Draining
            } else {
                InstanceState::Running
            },
            reload: self.last_reload.lock().clone(),
            listeners: self
                .listeners
                .load()
                .iter()
                .map(|listening| self.listener_status(listening))
                .collect(),
            pools: pools
                .iter()
                .map(|running| {
                    let tally = self.metrics.tally_of_pool(running.pool.name());
                    pool_status(&running.pool, tally, &overrides)
                })
                .collect(),
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.drain.is_stopping() {
            Err("stopping".to_owned())
        } else if self.drain.is_leaving() {
            Err("drained by the operator".to_owned())
        } else if self.state.lock().accepting {
            Ok(())
        } else {
            Err("starting: waiting for the servers' first checks".to_owned())
        }
    }
}

impl Instance {
    /// One server, as the admin API shows it.
    pub(super) fn server_status(&self, pool: &str, server: &str) -> Result<ServerStatus, ApiError> {
        let running = self.running(pool)?;
        let servers = running.pool.servers();
        let found = servers.iter().find(|one| **one.name() == *server);
        let found = found.ok_or_else(|| operator::no_server(pool, server))?;
        let overrides = self.overrides.lock();
        Ok(self::server_status(&running.pool, found, &overrides))
    }

    fn listener_status(&self, listening: &Listening) -> ListenerStatus {
        let metrics = self.metrics.listener(&listening.name);
        let tally = self.metrics.tally_of_listener(&listening.name);
        // At a limit connections wait; only the process's end turns them away.
        let no_room = metrics.rejected.value(RejectReason::Stopping);
        ListenerStatus {
            name: listening.name.to_string(),
            protocol: listening.protocol.word().to_owned(),
            addresses: listening
                .addresses()
                .iter()
                .map(ToString::to_string)
                .collect(),
            pool: listening.service.pool(),
            connections_active: count(metrics.connections_active.get()),
            connections_total: metrics.connections_total.get(),
            connections_delayed: metrics.delayed.sum(),
            full: metrics.full.get() > 0,
            requests: listening.service.requests(),
            errors: tally.errors + no_room,
            unserved: tally.unserved + no_room,
            refused: tally.refused,
        }
    }
}

fn pool_status(pool: &Pool, tally: Tally, overrides: &Overrides) -> PoolStatus {
    let changes = overrides.pool(pool.name());
    PoolStatus {
        name: pool.name().to_string(),
        algorithm: pool.settings().algorithm.name().to_owned(),
        available_servers: pool.available(),
        queue_length: pool.queue_length() as u64,
        requests: tally.requests,
        errors: tally.errors,
        unserved: tally.unserved,
        servers: pool
            .servers()
            .iter()
            .map(|server| server_status(pool, server, overrides))
            .collect(),
        removed: changes.map_or_else(Vec::new, |changes| {
            changes.removed.keys().cloned().collect()
        }),
    }
}

fn server_status(pool: &Pool, server: &Server, overrides: &Overrides) -> ServerStatus {
    let changes = overrides.pool(pool.name());
    let is_added = changes.is_some_and(|changes| changes.added(server.name()));
    let gate = server.gate();
    let takes_new = matches!(server.admission(), Admission::Up | Admission::Unknown);
    let latency = server.latency();
    ServerStatus {
        name: server.name().to_string(),
        address: server.configured_address().to_string(),
        server_address: server.address().map(|address| address.to_string()),
        state: server.state(),
        reason: gate.reason().to_owned(),
        since: timestamp(gate.since()),
        weight: server.weight(),
        effective_weight: if takes_new {
            f64::from(server.weight() * server.effective_percent()) / 100.0
        } else {
            0.0
        },
        backup: server.is_backup(),
        active: u64::from(pool.active(server)),
        max_connections: u64::from(server.limit()),
        requests: server.requests(),
        errors: server.errors(),
        latency: (!latency.is_zero()).then_some(latency.as_secs_f64()),
        last_check: server.last_check().map(|check| CheckStatus {
            result: match check.result {
                pool::CheckResult::Success => CheckResult::Success,
                pool::CheckResult::Failure => CheckResult::Failure,
                pool::CheckResult::NotMade => CheckResult::NotMade,
            },
            reason: check.reason,
            at: timestamp(check.at),
            duration_ms: check.duration.as_secs_f64() * 1000.0,
        }),
        operator: gate.operator().into(),
        source: if is_added {
            ServerSource::Api
        } else {
            ServerSource::File
        },
        overridden: operator::overridden(overrides, pool.name(), server.name()),
    }
}

fn count(gauge: i64) -> u64 {
    u64::try_from(gauge).unwrap_or(0)
}
