//! The instance as the admin API shows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::instance::Instance;
use super::listening::Listening;
use super::pool_view;
use crate::admin::advice::{self, Advice, Facts};
use crate::admin::history::HistoryStatus;
use crate::admin::status::{
    ChangesBy, DescriptorShare, DescriptorStatus, InstanceState, ListenerStatus, PredecessorStatus,
    Status, timestamp,
};
use crate::admin::{Control as _, View};
use crate::config::model::{AdminBind, Config};
use crate::descriptors;
use crate::observe::VERSION;
use crate::observe::labels::RejectReason;
use crate::observe::metrics::Tally;

impl View for Instance {
    fn status(&self) -> Status {
        let (started, since) = self.started;
        let overrides = self.overrides.lock().clone();
        let (config, pools) = {
            let state = self.state.lock();
            (Arc::clone(&state.config), state.pools.clone())
        };
        let tallies = self.metrics.tallies();
        let listeners = self.listeners.load();
        Status {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            started: timestamp(started),
            uptime: since.elapsed().as_secs_f64(),
            state: if self.drain.is_ending() {
                InstanceState::Stopping
            } else if self.drain.is_leaving() {
                InstanceState::Draining
            } else {
                InstanceState::Running
            },
            changes_by: self.changes_by(&config),
            latency_percentiles: self.history.latency_of_all().map(Into::into),
            descriptors: self.descriptor_status(&listeners),
            reload: self.last_reload.lock().clone(),
            certificates_refused: self.refused_certificates(),
            predecessor: self
                .predecessor
                .lock()
                .as_ref()
                .map(|predecessor| PredecessorStatus {
                    pid: predecessor.pid,
                    connections: predecessor.connections(),
                }),
            listeners: listeners
                .iter()
                .map(|listening| {
                    let tally = tallies.of_listener(&listening.name);
                    self.listener_status(listening, &tally, &config)
                })
                .collect(),
            pools: pools
                .iter()
                .map(|running| {
                    let tally = tallies.of_pool(running.pool.name());
                    pool_view::pool_status(running, &tally, &overrides, &self.history)
                })
                .collect(),
        }
    }

    fn history(&self, after: u64) -> HistoryStatus {
        self.history.after(after).into()
    }

    fn advice(&self) -> Vec<Advice> {
        let config = Arc::clone(&self.state.lock().config);
        advice::advise(&Facts {
            config: &config,
            status: &self.status(),
            certificates: &self.certificates(),
            now: SystemTime::now(),
        })
    }

    fn ready(&self) -> Result<(), String> {
        if self.drain.is_ending() {
            Err("stopping".to_owned())
        } else if self.drain.is_leaving() {
            Err("drained by the operator".to_owned())
        } else if self.state.lock().accepting {
            Ok(())
        } else {
            Err("starting: waiting for the servers' first checks".to_owned())
        }
    }
}

impl Instance {
    fn changes_by(&self, config: &Config) -> ChangesBy {
        let has_tokens = self.admin.access.load().tokens.is_some();
        match config.admin.as_ref().map(|admin| &admin.bind) {
            _ if has_tokens => ChangesBy::Token,
            Some(AdminBind::Unix(_)) => ChangesBy::Socket,
            _ => ChangesBy::Nobody,
        }
    }

    fn descriptor_status(&self, listeners: &[Arc<Listening>]) -> Option<DescriptorStatus> {
        let shares = descriptors::shares()?;
        let share = |held: usize, limit: usize| DescriptorShare {
            held: held as u64,
            limit: limit as u64,
        };
        let clients = listeners.iter().map(|listening| {
            count(
                self.metrics
                    .listener(&listening.name)
                    .connections_active
                    .get(),
            )
        });
        Some(DescriptorStatus {
            limit: shares.limit as u64,
            clients: DescriptorShare {
                held: clients.sum(),
                limit: shares.clients as u64,
            },
            servers: share(descriptors::servers_held(), shares.servers),
            idle: share(descriptors::idle::count(), shares.idle),
        })
    }

    fn listener_status(
        &self,
        listening: &Listening,
        tally: &Tally,
        config: &Config,
    ) -> ListenerStatus {
        let metrics = self.metrics.listener(&listening.name);
        let mut models = config.listeners.iter();
        let model = models.find(|model| model.name == listening.name);
        // At a limit connections wait; only the process's end turns them away.
        let no_room = metrics.rejected.value(RejectReason::Stopping);
        ListenerStatus {
            name: listening.name.to_string(),
            protocol: listening.protocol.word().to_owned(),
            addresses: listening
                .addresses()
                .iter()
                .map(ToString::to_string)
                .collect(),
            pool: listening.service.pool(),
            connections_active: count(metrics.connections_active.get()),
            connections_total: metrics.connections_total.get(),
            max_connections: model.map_or(0, |model| model.max_connections as u64),
            connections_delayed: metrics.delayed.sum(),
            rejected: occurred(metrics.rejected.values()),
            tls_handshakes_failed: listening.terminator.as_ref().map(|_| {
                let tls = self.metrics.tls(&listening.name);
                tls.failed.get() + tls.timed_out.get()
            }),
            full: metrics.full.get() > 0,
            requests: listening.service.requests(),
            errors: tally.errors + no_room,
            error_reasons: occurred(tally.errors_by_word()),
            unserved: tally.unserved + no_room,
            refused: tally.refused,
        }
    }
}

/// Counts by word, without those that are zero.
pub(super) fn occurred(
    counts: impl Iterator<Item = (&'static str, u64)>,
) -> BTreeMap<&'static str, u64> {
    counts.filter(|(_, count)| *count > 0).collect()
}

fn count(gauge: i64) -> u64 {
    u64::try_from(gauge).unwrap_or(0)
}
