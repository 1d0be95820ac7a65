//! Of the instance as a whole: descriptors, the last reload, the admin listener.

use super::{Advice, Facts, Severity, docs};
use crate::admin::status::{ChangesBy, InstanceState, ReloadResult};

/// Percent of a share of descriptors from which on it is nearly used up.
const NEARLY: u64 = 85;

pub fn advise(facts: &Facts<'_>, all: &mut Vec<Advice>) {
    let rules = [
        failed_reload,
        draining,
        descriptors_nearly_used,
        too_few_descriptors,
        read_only,
    ];
    all.extend(rules.iter().filter_map(|rule| rule(facts)));
}

fn of_instance(
    key: &'static str,
    severity: Severity,
    finding: impl Into<String>,
    remedy: impl Into<String>,
    page: &str,
) -> Advice {
    Advice {
        key,
        severity,
        about: "instance".to_owned(),
        finding: finding.into(),
        remedy: remedy.into(),
        docs: docs(page),
    }
}

fn failed_reload(facts: &Facts<'_>) -> Option<Advice> {
    let reload = facts.status.reload.as_ref()?;
    if reload.result == ReloadResult::Success {
        return None;
    }
    let first = reload.problems.first().map_or("", String::as_str);
    Some(of_instance(
        "reload_failed",
        Severity::Problem,
        format!(
            "The last reload was refused, so the files say something else than what is running: {first}"
        ),
        "Mend the configuration and reload; a restart as it is now would fail.",
        "configuration.md#reload",
    ))
}

fn draining(facts: &Facts<'_>) -> Option<Advice> {
    if facts.status.state != InstanceState::Draining {
        return None;
    }
    Some(of_instance(
        "instance_drained",
        Severity::Warning,
        "The instance is drained: it is not ready, and tells its connections to go.",
        "Take it back with DELETE /api/v1/drain when the work is done.",
        "operating.md#the-instance",
    ))
}

fn descriptors_nearly_used(facts: &Facts<'_>) -> Option<Advice> {
    let descriptors = facts.status.descriptors.as_ref()?;
    let shares = [
        ("connections of clients", descriptors.clients),
        ("connections to servers", descriptors.servers),
    ];
    let (name, share) = shares
        .into_iter()
        .find(|(_, share)| share.limit > 0 && share.held * 100 >= share.limit * NEARLY)?;
    Some(of_instance(
        "descriptors_nearly_used",
        Severity::Problem,
        format!(
            "{} of {} file descriptors for {name} are in use.",
            share.held, share.limit
        ),
        "Raise LimitNOFILE (systemd) or ulimit -n, and restart; what is beyond the limit has to wait.",
        "performance.md#file-descriptors",
    ))
}

fn too_few_descriptors(facts: &Facts<'_>) -> Option<Advice> {
    let descriptors = facts.status.descriptors.as_ref()?;
    let wanted = u64::try_from(facts.config.server.max_connections).unwrap_or(u64::MAX);
    if descriptors.clients.limit >= wanted {
        return None;
    }
    Some(of_instance(
        "too_few_descriptors",
        Severity::Hint,
        format!(
            "The process may have {} file descriptors, which is enough for {} client connections and not for the {wanted} of \
             server.max_connections.",
            descriptors.limit, descriptors.clients.limit
        ),
        "Raise LimitNOFILE (systemd) or ulimit -n, or lower server.max_connections.",
        "performance.md#file-descriptors",
    ))
}

fn read_only(facts: &Facts<'_>) -> Option<Advice> {
    if facts.status.changes_by != ChangesBy::Nobody {
        return None;
    }
    Some(of_instance(
        "admin_only_reads",
        Severity::Hint,
        "No token is configured, so nobody can drain a server or take one out for maintenance.",
        "Set admin.token_file, or bind the admin listener to a Unix socket.",
        "operating.md#who-may-do-what",
    ))
}
