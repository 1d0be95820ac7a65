//! What somebody who knows load balancers would say who sees how this instance is configured and how it is doing.
//!
//! Each finding is a plain function of the configuration in force, the status and the certificates, so that all of them
//! can be tried without an instance. What the configuration refuses or warns of anyway isn't repeated here.

mod instance;
mod listeners;
mod pools;
mod servers;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;

use super::control::CertificateStatus;
use super::status::{PoolStatus, Status};
use crate::config::model::{Config, Pool};

/// A finding, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Advice {
    /// Its name, which stays the same over versions.
    pub key: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: `instance`, `listener NAME`, `pool NAME`, or `server POOL/NAME`.
    pub about: String,
    /// What was found, in a sentence.
    pub finding: String,
    /// What to do about it, in a sentence.
    pub remedy: String,
    /// Where the documentation says more.
    pub docs: String,
}

/// How much a finding matters; what matters most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Clients feel it, or will soon.
    Problem,
    /// The next failure would become an outage, or somebody could do harm.
    Warning,
    /// It could be better.
    Hint,
}

/// What advice is found in.
pub struct Facts<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// How the instance is doing.
    pub status: &'a Status,
    /// What is served.
    pub certificates: &'a [CertificateStatus],
    /// The time of day.
    pub now: SystemTime,
}

impl Facts<'_> {
    /// Each pool as it is configured and as it is doing.
    fn pools(&self) -> impl Iterator<Item = (&Pool, &PoolStatus)> {
        self.config.pools.iter().filter_map(|pool| {
            let status = self.status.pools.iter();
            let mut status = status.filter(|status| *status.name == *pool.name);
            Some((pool, status.next()?))
        })
    }
}

/// All that is to be said, what matters most first.
pub fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    instance::advise(facts, &mut all);
    listeners::advise(facts, &mut all);
    pools::advise(facts, &mut all);
    servers::advise(facts, &mut all);
    all.sort_by_key(|advice| advice.severity);
    all
}

/// The address of a page of the documentation: `operating.md#servers`.
fn docs(page: &str) -> String {
    format!("{}/blob/main/docs/{page}", env!("CARGO_PKG_REPOSITORY"))
}

/// `one server`, `3 servers`.
fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("one {one}"),
        count => format!("{count} {many}"),
    }
}
