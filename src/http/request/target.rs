//! A pool as a listener sends requests to it: with the counters of the two together.

use std::sync::Arc;

use prometheus::Histogram;

use crate::balance::Slot;
use crate::dispatch::PoolSite;
use crate::observe::metrics::{Metrics, Outcomes, Traffic};

/// A pool that a listener's requests go to.
pub struct Target {
    /// The pool.
    pub site: Arc<PoolSite>,
    /// Whole requests, in seconds.
    pub duration: Histogram,
    /// How they end.
    pub outcomes: Outcomes,
    unserved: Traffic,
    /// By [`Slot::index`].
    traffic: Vec<Option<Traffic>>,
}

impl Target {
    /// `site` as the target of a listener.
    pub fn new(listener: &str, site: &Arc<PoolSite>, metrics: &Metrics) -> Arc<Self> {
        let pool = site.pool.name();
        let mut traffic: Vec<Option<Traffic>> = Vec::new();
        for server in site.pool.servers().iter() {
            let index = server.slot().index();
            if traffic.len() <= index {
                traffic.resize(index + 1, None);
            }
            if let Some(place) = traffic.get_mut(index) {
                *place = Some(metrics.traffic(listener, pool, server.name()));
            }
        }
        Arc::new(Self {
            site: Arc::clone(site),
            duration: metrics.request_duration(listener, pool),
            outcomes: metrics.outcomes(listener, pool),
            unserved: metrics.traffic(listener, pool, ""),
            traffic,
        })
    }

    /// The counters for requests that ended on a server, or on none.
    pub fn traffic(&self, slot: Option<Slot>) -> &Traffic {
        slot.and_then(|slot| self.traffic.get(slot.index()))
            .and_then(Option::as_ref)
            .unwrap_or(&self.unserved)
    }
}
