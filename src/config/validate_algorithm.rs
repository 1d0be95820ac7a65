//! raw -> model for how a pool's servers are picked: which keys belong to which algorithm.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::checks::Checks;
use super::model;
use super::problem::shown;
use super::raw::{self, Algorithm as Raw};
use super::tree::At;

/// What `bounded_load` may be. At 1 no server could have more than its exact share, and every key would move.
const BOUNDS: RangeInclusive<f64> = 1.01..=100.0;

/// How a pool's servers are picked.
pub(super) struct Picking {
    pub(super) algorithm: model::Algorithm,
    pub(super) hash_key: Option<model::HashKey>,
    pub(super) bounded_load: Option<f64>,
}

/// `at` is the pool in the sound part of the tree, `written` in all of it.
pub(super) fn picking(
    raw: &raw::Pool,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> Picking {
    let algorithm = match raw.algorithm {
        Raw::WeightedRoundRobin => model::Algorithm::WeightedRoundRobin,
        Raw::WeightedLeastConnections => model::Algorithm::WeightedLeastConnections,
        Raw::SourceHash => model::Algorithm::SourceHash,
        Raw::Hash => model::Algorithm::Hash,
        Raw::RandomTwo => model::Algorithm::RandomTwo,
        Raw::PeakEwma => model::Algorithm::PeakEwma,
    };
    let is_unknown = at.is_broken(written, "algorithm");
    for (key, fits, algorithms) in [
        ("hash_on", raw.algorithm == Raw::Hash, "hash"),
        (
            "source_prefix",
            raw.algorithm == Raw::SourceHash,
            "source_hash",
        ),
        (
            "bounded_load",
            algorithm.is_hash(),
            "hash and algorithm: source_hash",
        ),
    ] {
        let at = at.key(key);
        if at.is_written() && !fits && !is_unknown {
            checks.note(
                &at,
                format!("has a meaning for algorithm: {algorithms} alone"),
            );
        }
    }
    if let Some(bound) = raw.bounded_load
        && !BOUNDS.contains(&bound)
    {
        let message = format!("must be from 1.01 to 100, found {bound}");
        checks.note(&at.key("bounded_load"), message);
    }
    Picking {
        algorithm,
        hash_key: hash_key(raw, at, written, checks),
        bounded_load: raw.bounded_load.filter(|_| algorithm.is_hash()),
    }
}

fn hash_key(
    raw: &raw::Pool,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::HashKey> {
    match (raw.algorithm, &raw.hash_on) {
        (Raw::SourceHash, _) => Some(model::HashKey::Source {
            prefix_v4: raw.source_prefix.v4,
            prefix_v6: raw.source_prefix.v6,
        }),
        (Raw::Hash, Some(raw::HashOn::Path)) => Some(model::HashKey::Path),
        (Raw::Hash, Some(raw::HashOn::Query(name))) => {
            Some(model::HashKey::Query(Arc::from(name.as_str())))
        }
        (Raw::Hash, Some(raw::HashOn::Header(name))) => Some(model::HashKey::Header(name.clone())),
        (Raw::Hash, Some(raw::HashOn::Cookie(name))) => {
            Some(model::HashKey::Cookie(Arc::from(name.as_str())))
        }
        // What is written but not sound has been complained about already.
        (Raw::Hash, None) if !written.key("hash_on").is_written() => {
            let message =
                "is missing; algorithm hash needs it: path, query:NAME, header:NAME or cookie:NAME";
            checks.note(&at.key("hash_on"), message);
            None
        }
        _ => None,
    }
}

/// Notes a pool of connections that is to hash something of requests. `at` is a listener.
pub(super) fn hashes_connections(
    listener: &raw::Listener,
    at: &At<'_>,
    pools: &HashMap<&str, &model::Pool>,
    checks: &mut Checks<'_>,
) {
    if matches!(
        listener.protocol,
        raw::Protocol::Http | raw::Protocol::Https
    ) {
        return;
    }
    let mut complain = |name: &raw::Name, at: &At<'_>| {
        let pool = pools.get(name.0.as_str());
        if pool.is_some_and(|pool| pool.algorithm == model::Algorithm::Hash) {
            let message = format!(
                "pool `{}` has algorithm: hash, which looks at requests, and a connection has none; write source_hash there",
                shown(&name.0)
            );
            checks.note(at, message);
        }
    };
    if let Some(name) = &listener.pool {
        complain(name, &at.key("pool"));
    }
}
