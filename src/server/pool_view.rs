//! Pools and servers as the admin API shows them.

use super::instance::{Instance, Running};
use super::operator;
use super::overrides::Overrides;
use super::view::occurred;
use crate::admin::ApiError;
use crate::admin::status::{
    CheckResult, CheckStatus, PersistenceStatus, PoolStatus, ServerSource, ServerStatus, timestamp,
};
use crate::config::model::Persistence;
use crate::observe::History;
use crate::observe::labels::RetryReason;
use crate::observe::metrics::Tally;
use crate::pool;
use crate::pool::{Admission, Pool, Server};

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
}

pub(super) fn pool_status(
    running: &Running,
    tally: &Tally,
    overrides: &Overrides,
    history: &History,
) -> PoolStatus {
    let pool = &running.pool;
    let changes = overrides.pool(pool.name());
    let settings = pool.settings();
    let servers: Vec<ServerStatus> = pool
        .servers()
        .iter()
        .map(|server| server_status(pool, server, overrides))
        .collect();
    let retries = &pool.metrics().retries;
    PoolStatus {
        name: pool.name().to_string(),
        algorithm: settings.algorithm.name().to_owned(),
        available_servers: pool.available(),
        active: servers.iter().map(|server| server.active).sum(),
        capacity: capacity(&servers),
        queue_length: pool.queue_length() as u64,
        queue_size: settings.queue.size as u64,
        queue_refused_lately: history.not_queued(pool.name()),
        requests: tally.requests,
        errors: tally.errors,
        error_reasons: occurred(tally.errors_by_word()),
        unserved: tally.unserved,
        responses: tally.into(),
        // Those that the budget had nothing left for were not sent.
        retries: retries.sum() - retries.value(RetryReason::BudgetExhausted),
        latency_percentiles: history.latency(pool.name()).map(Into::into),
        persistence: settings
            .persistence
            .as_ref()
            .map(|persistence| persistence_status(running, persistence)),
        servers,
        removed: changes.map_or_else(Vec::new, |changes| {
            changes.removed.keys().cloned().collect()
        }),
    }
}

/// How much the servers that take new work may work on at once; `None` = as much as comes.
fn capacity(servers: &[ServerStatus]) -> Option<u64> {
    let takers = servers
        .iter()
        .filter(|server| server.effective_weight > 0.0);
    takers
        .map(|server| Some(server.max_connections).filter(|limit| *limit > 0))
        .sum()
}

fn persistence_status(running: &Running, persistence: &Persistence) -> PersistenceStatus {
    let table = running.table.as_ref();
    PersistenceStatus {
        r#type: persistence.name(),
        results: running.pool.metrics().persistence.values().collect(),
        entries: table.map(|table| table.len() as u64),
        size: persistence.table().map(|table| table.size as u64),
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
        reason: server.reason(),
        since: gate.since(),
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
