//! Session tables: one for each pool that needs one, kept over reloads.

use std::sync::Arc;

use crate::config::model;
use crate::observe::Metrics;
use crate::persistence::table::{SessionTable, StoreMetrics, TableMetrics, TableSettings};

/// The session table that a pool is configured to have: the one it has, adjusted, or a new one.
/// Must be called within a runtime.
pub fn session_table(
    model: &model::Pool,
    known: Option<Arc<SessionTable>>,
    metrics: &Metrics,
) -> Option<Arc<SessionTable>> {
    let (idle, max_lifetime, table) = match model.persistence.as_ref()? {
        model::Persistence::Learn(learn) => (learn.timeout, learn.max_lifetime, &learn.table),
        model::Persistence::SourceIp(source) => {
            (source.timeout, source.max_lifetime, &source.table)
        }
        _ => return None,
    };
    let settings = TableSettings {
        size: table.size,
        idle,
        max_lifetime,
        store: &table.store,
    };
    let store_metrics = || match table.store {
        model::Store::Memory => StoreMetrics::default(),
        model::Store::Redis(_) => counted(metrics, &model.name),
    };
    if let Some(known) = known {
        if known.is_shared() != table.store.is_shared() {
            known.count_store(store_metrics());
        }
        known.reconfigure(&settings);
        return Some(known);
    }
    let counted = metrics.session_table(&model.name);
    let table_metrics = TableMetrics {
        entries: counted.entries,
        evictions: counted.evictions,
        store: store_metrics(),
    };
    let made = SessionTable::new(&settings, &model.name, table_metrics);
    made.start(&tokio::runtime::Handle::current());
    Some(made)
}

/// What is counted of the pool's shared store.
fn counted(metrics: &Metrics, pool: &str) -> StoreMetrics {
    let store = metrics.session_store(pool);
    StoreMetrics {
        hits: store.hits,
        misses: store.misses,
        errors: store.errors,
        timeouts: store.timeouts,
        skipped: store.skipped,
        up: store.up,
    }
}
