//! How each pool's servers are spoken to: files read once, before privileges are dropped, and again at a reload.

use std::sync::Arc;

use crate::config::model::Config;
use crate::upstream::{Link, Unusable};

/// A file of a pool's TLS that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("pools.{pool}.tls.{}: {source}", source.key)]
pub struct LinkTrouble {
    /// The pool.
    pool: Arc<str>,
    /// What is wrong.
    source: Unusable,
}

/// One link a pool, in the order of the configuration.
#[derive(Default)]
pub struct Links(Vec<Arc<Link>>);

impl Links {
    /// Reads what a configuration needs. A link that is as it was in `known` goes on.
    ///
    /// # Errors
    ///
    /// The first file that can't be used.
    pub fn load(config: &Config, known: &Self) -> Result<Self, LinkTrouble> {
        config
            .pools
            .iter()
            .map(|pool| {
                let before = known.0.iter().find(|link| *link.pool() == pool.name);
                Link::load(pool, before).map_err(|source| LinkTrouble {
                    pool: Arc::clone(&pool.name),
                    source,
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// In the order of the configuration's pools.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.0.iter()
    }
}
