//! Of pools: who is left, who looks after them, room, sessions.

use super::{Advice, Facts, Severity, counted, docs};
use crate::admin::status::{PoolStatus, ServerSource, ServerStatus};
use crate::config::model::{CheckKind, Config, Pool, PoolServer, Protocol, Secure};

/// Percent of a pool's room or of its session table from which on it is nearly used up.
const NEARLY: u64 = 90;

pub fn advise(facts: &Facts<'_>, all: &mut Vec<Advice>) {
    for (pool, status) in facts.pools() {
        let found = [
            nobody_is_left(pool, status),
            one_is_left(pool, status),
            a_single_server(pool, status),
            no_health_check(pool, status),
            only_the_port_is_checked(facts.config, pool),
            queue_was_full(pool, status),
            nearly_full(pool, status),
            weights_and_limits_differ(pool),
            table_nearly_full(pool, status),
            cookie_without_secure(facts.config, pool),
            servers_not_verified(pool),
            not_as_in_the_file(status),
        ];
        all.extend(found.into_iter().flatten());
    }
}

fn of_pool(
    key: &'static str,
    severity: Severity,
    pool: &str,
    finding: impl Into<String>,
    remedy: &str,
    page: &str,
) -> Advice {
    Advice {
        key,
        severity,
        about: format!("pool {pool}"),
        finding: finding.into(),
        remedy: remedy.to_owned(),
        docs: docs(page),
    }
}

fn nobody_is_left(pool: &Pool, status: &PoolStatus) -> Option<Advice> {
    if status.available_servers > 0 {
        return None;
    }
    let finding = match status.servers.len() {
        0 => "It has no server: requests get 503.".to_owned(),
        1 => "Its only server takes no work: requests get 503.".to_owned(),
        count => format!("None of its {count} servers takes work: requests get 503."),
    };
    Some(of_pool(
        "no_server_available",
        Severity::Problem,
        &pool.name,
        finding,
        "See each server's reason; `equipoise diagnose` walks the way to one step by step.",
        "troubleshooting.md",
    ))
}

fn one_is_left(pool: &Pool, status: &PoolStatus) -> Option<Advice> {
    if status.available_servers != 1 || status.servers.len() < 2 {
        return None;
    }
    // Backups that stand by can still step in.
    let others = status.servers.iter().filter(|server| server.backup);
    if others.filter(|server| server.state.takes_new()).count() > 0 {
        return None;
    }
    Some(of_pool(
        "one_server_left",
        Severity::Warning,
        &pool.name,
        format!(
            "One of its {} servers is left: if it fails, the pool is gone.",
            status.servers.len()
        ),
        "Bring another one back, or add one.",
        "availability.md",
    ))
}

fn a_single_server(pool: &Pool, status: &PoolStatus) -> Option<Advice> {
    if status.servers.len() != 1 || pool.discovery.is_some() {
        return None;
    }
    Some(of_pool(
        "single_server",
        Severity::Warning,
        &pool.name,
        "It has a single server: when that fails or is restarted, clients get 503.",
        "Add a second server, or a backup that says sorry.",
        "configuration.md#servers",
    ))
}

fn no_health_check(pool: &Pool, status: &PoolStatus) -> Option<Advice> {
    if pool.health_check.is_some() || status.servers.len() < 2 {
        return None;
    }
    let (severity, watched) = if pool.outlier_detection.is_some() {
        (Severity::Hint, "only failures of real requests take it out")
    } else {
        (Severity::Warning, "it goes on getting requests")
    };
    Some(of_pool(
        "no_health_check",
        severity,
        &pool.name,
        format!("Nobody checks its servers: when one fails, {watched}."),
        "Set health_check.",
        "configuration.md#health_check",
    ))
}

fn only_the_port_is_checked(config: &Config, pool: &Pool) -> Option<Advice> {
    let check = pool.health_check.as_ref()?;
    let serves_http = config.listeners.iter().any(|listener| {
        matches!(listener.protocol, Protocol::Http | Protocol::Https)
            && listener.pools().any(|name| *name == pool.name)
    });
    if !serves_http || !matches!(check.kind, CheckKind::Tcp) {
        return None;
    }
    Some(of_pool(
        "tcp_check_of_http",
        Severity::Hint,
        &pool.name,
        "Its servers speak HTTP, and the check only looks whether their port is open: one that answers 500 counts as up.",
        "Use health_check type http with a path that says whether the application works.",
        "configuration.md#health_check",
    ))
}

fn queue_was_full(pool: &Pool, status: &PoolStatus) -> Option<Advice> {
    let refused = status.queue_refused_lately;
    if refused == 0 {
        return None;
    }
    Some(of_pool(
        "queue_was_full",
        Severity::Problem,
        &pool.name,
        format!(
            "In the last quarter of an hour its queue had no room, or not in time, for {}.",
            counted(
                usize::try_from(refused).unwrap_or(usize::MAX),
                "request",
                "requests"
            )
        ),
        "Add servers, raise max_connections if the servers can bear it, or queue.size if waiting is better than an error.",
        "configuration.md#queue",
    ))
}

fn nearly_full(pool: &Pool, status: &PoolStatus) -> Option<Advice> {
    let capacity = status.capacity.filter(|capacity| *capacity > 0)?;
    if status.active * 100 < capacity * NEARLY {
        return None;
    }
    Some(of_pool(
        "nearly_full",
        Severity::Warning,
        &pool.name,
        format!(
            "Its servers work on {} requests of the {capacity} that max_connections allows.",
            status.active
        ),
        "Add servers, or raise max_connections if the servers can bear it.",
        "configuration.md#servers",
    ))
}

fn weights_and_limits_differ(pool: &Pool) -> Option<Advice> {
    let room = |server: &PoolServer| f64::from(server.max_connections) / f64::from(server.weight);
    let is_meant =
        |server: &&PoolServer| !server.backup && server.weight > 0 && server.max_connections > 0;
    let by_room = |one: &&PoolServer, other: &&PoolServer| room(one).total_cmp(&room(other));
    let tight = pool.servers.iter().filter(is_meant).min_by(by_room)?;
    let roomy = pool.servers.iter().filter(is_meant).max_by(by_room)?;
    if room(roomy) / room(tight) < 2.0 {
        return None;
    }
    Some(of_pool(
        "weights_do_not_match_limits",
        Severity::Hint,
        &pool.name,
        format!(
            "{} has weight {} and room for {} requests, {} weight {} and room for {}: the first is full while the other has room left.",
            tight.name,
            tight.weight,
            tight.max_connections,
            roomy.name,
            roomy.weight,
            roomy.max_connections
        ),
        "Choose weights in proportion to max_connections, or the other way round.",
        "balancing.md#which-one",
    ))
}

fn table_nearly_full(pool: &Pool, status: &PoolStatus) -> Option<Advice> {
    let persistence = status.persistence.as_ref()?;
    let (entries, size) = (persistence.entries?, persistence.size?);
    if size == 0 || entries * 100 < size * NEARLY {
        return None;
    }
    Some(of_pool(
        "session_table_nearly_full",
        Severity::Warning,
        &pool.name,
        format!(
            "Its session table has {entries} entries and room for {size}: the oldest sessions are forgotten."
        ),
        "Raise persistence.table.size, or shorten persistence.timeout.",
        "sessions.md#the-session-table",
    ))
}

fn cookie_without_secure(config: &Config, pool: &Pool) -> Option<Advice> {
    let attributes = pool.persistence.as_ref()?.attributes()?;
    let mut listeners = config.listeners.iter();
    let https = listeners.find(|listener| {
        listener.protocol == Protocol::Https && listener.pools().any(|name| *name == pool.name)
    })?;
    if attributes.secure != Secure::Never {
        return None;
    }
    Some(of_pool(
        "cookie_without_secure",
        Severity::Warning,
        &pool.name,
        format!(
            "Its session cookie is set without Secure, although listener {} speaks HTTPS: browsers send it over plain HTTP, too.",
            https.name
        ),
        "Set persistence.secure to auto.",
        "configuration.md#persistence",
    ))
}

fn servers_not_verified(pool: &Pool) -> Option<Advice> {
    if pool.tls.as_ref()?.verify {
        return None;
    }
    Some(of_pool(
        "servers_not_verified",
        Severity::Warning,
        &pool.name,
        "The certificates of its servers are not verified: whoever is in between can read and change everything.",
        "Set tls.ca to the authority that issued them, and tls.verify to true.",
        "configuration.md#tls-and-http2",
    ))
}

fn not_as_in_the_file(status: &PoolStatus) -> Option<Advice> {
    let values = |server: &&ServerStatus| {
        server.source == ServerSource::Api || server.overridden.iter().any(|key| *key != "state")
    };
    let changed = status.servers.iter().filter(values).count() + status.removed.len();
    if changed == 0 {
        return None;
    }
    Some(of_pool(
        "not_as_in_the_file",
        Severity::Hint,
        &status.name,
        format!(
            "{} otherwise than the file says, by an operator's change.",
            match changed {
                1 => "One server is".to_owned(),
                count => format!("{count} servers are"),
            }
        ),
        "Write into the file what is to stay, and take back the rest.",
        "operating.md#servers",
    ))
}
