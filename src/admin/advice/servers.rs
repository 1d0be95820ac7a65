//! Of single servers: those that are slower than their pool, and those that an operator has forgotten.

use std::time::{Duration, SystemTime};

use super::{Advice, Facts, Severity, docs};
use crate::admin::status::{OperatorState, PoolStatus, ServerStatus};

/// How much slower than the median of its pool a server has to be, and by how many seconds at least.
const SLOWER: f64 = 3.0;
const BY: f64 = 0.02;
/// Requests before a server's latency says anything.
const ENOUGH: u64 = 50;
/// How long an operator may take over what a server was taken out for.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

pub fn advise(facts: &Facts<'_>, all: &mut Vec<Advice>) {
    for pool in &facts.status.pools {
        all.extend(slow(pool));
        let servers = pool.servers.iter();
        all.extend(servers.filter_map(|server| forgotten(pool, server, facts.now)));
    }
}

fn of_server(
    key: &'static str,
    severity: Severity,
    (pool, server): (&PoolStatus, &ServerStatus),
    finding: String,
    remedy: &str,
    page: &str,
) -> Advice {
    Advice {
        key,
        severity,
        about: format!("server {}/{}", pool.name, server.name),
        finding,
        remedy: remedy.to_owned(),
        docs: docs(page),
    }
}

fn slow(pool: &PoolStatus) -> Vec<Advice> {
    let known = |server: &ServerStatus| server.latency.filter(|_| server.requests >= ENOUGH);
    let mut latencies: Vec<f64> = pool.servers.iter().filter_map(known).collect();
    latencies.sort_by(f64::total_cmp);
    let Some(median) = latencies
        .get((latencies.len().saturating_sub(1)) / 2)
        .copied()
    else {
        return Vec::new();
    };
    if latencies.len() < 2 {
        return Vec::new();
    }
    let slow = pool.servers.iter().filter_map(|server| {
        let latency = known(server)?;
        (server.state.takes_new() && latency >= median * SLOWER && latency >= median + BY).then(|| {
            let finding = format!(
                "It answers after {:.0} ms, the pool's median server after {:.0} ms.",
                latency * 1000.0,
                median * 1000.0
            );
            let remedy = "Look at that machine; lower its weight meanwhile, or let the pool heed it: algorithm peak_ewma.";
            of_server("slow_server", Severity::Warning, (pool, server), finding, remedy, "balancing.md#which-one")
        })
    });
    slow.collect()
}

fn forgotten(pool: &PoolStatus, server: &ServerStatus, now: SystemTime) -> Option<Advice> {
    let word = match server.operator {
        OperatorState::Ready => return None,
        OperatorState::Drain => "drained",
        OperatorState::Maintenance => "in maintenance",
    };
    let long = now
        .duration_since(server.since)
        .ok()
        .filter(|long| *long >= FORGOTTEN)?;
    let finding = format!("It has been {word} for {} days.", long.as_secs() / 86_400);
    Some(of_server(
        "forgotten_server",
        Severity::Hint,
        (pool, server),
        finding,
        "Make it ready again, or take it out of the file.",
        "operating.md#servers",
    ))
}
