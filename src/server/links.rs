//! How each pool's servers are spoken to: files read once, before privileges are dropped, and again at a reload.

use std::sync::Arc;

use super::files::is_forbidden;
use crate::config::model::{Config, UpstreamTls};
use crate::upstream::{Link, Unusable, UnusableFiles};

/// A file of a pool's TLS that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("pools.{pool}.tls.{}: {source}", source.key)]
pub struct LinkTrouble {
    /// The pool.
    pool: Arc<str>,
    /// What is wrong.
    pub source: Unusable,
}

impl LinkTrouble {
    /// The key that it is written at.
    pub fn path(&self) -> [&str; 4] {
        ["pools", &self.pool, "tls", self.source.key]
    }
}

/// All of them.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct LinkTroubles(pub Vec<LinkTrouble>);

/// One link a pool, in the order of the configuration.
#[derive(Default)]
pub struct Links(Vec<Arc<Link>>);

impl Links {
    /// Reads what a configuration needs. A link that is as it was in `known` goes on, and so does one some of whose files
    /// can't be read any more: they may be root's, and we aren't root by now.
    ///
    /// # Errors
    ///
    /// All files that can't be used.
    pub fn load(config: &Config, known: &Self) -> Result<Self, LinkTroubles> {
        let (mut links, mut troubles) = (Vec::with_capacity(config.pools.len()), Vec::new());
        for pool in &config.pools {
            let before = known.0.iter().find(|link| *link.pool() == pool.name);
            let files = || pool.tls.iter().flat_map(UpstreamTls::files);
            match (Link::load(pool, before), before) {
                (Ok(link), _) => links.push(link),
                (Err(error), Some(before))
                    if before.is_configured_as(pool) && files().any(|file| is_forbidden(&file)) =>
                {
                    tracing::warn!(pool = &*pool.name, %error, "keeping what was read of its TLS before");
                    links.push(Arc::clone(before));
                }
                (Err(UnusableFiles(all)), _) => {
                    troubles.extend(all.into_iter().map(|source| LinkTrouble {
                        pool: Arc::clone(&pool.name),
                        source,
                    }));
                }
            }
        }
        if troubles.is_empty() {
            Ok(Self(links))
        } else {
            Err(LinkTroubles(troubles))
        }
    }

    /// In the order of the configuration's pools.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.0.iter()
    }
}
