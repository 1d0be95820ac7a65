//! All certificates that are configured, each looked after by one worker.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::challenges::Challenges;
use super::store::Store;
use super::worker::Worker;
use crate::config::model;
use crate::observe::metrics::AcmeMetrics;
use crate::supervise::{self, Task};

/// Obtains and renews. Stops when dropped.
pub struct Manager {
    challenges: Arc<Challenges>,
    orders: AcmeMetrics,
    tasks: TaskTracker,
    /// By [`Store::directory`].
    running: Mutex<HashMap<PathBuf, Running>>,
    stop: CancellationToken,
}

struct Running {
    settings: model::Acme,
    hurry: Arc<Notify>,
    renew: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Manager {
    /// A manager of nothing yet. Its tasks are tracked by `tasks`.
    pub fn new(challenges: Arc<Challenges>, orders: AcmeMetrics, tasks: TaskTracker) -> Self {
        Self {
            challenges,
            orders,
            tasks,
            running: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Looks after these from now on, and after no others. The same names wanted several times are one certificate.
    ///
    /// One whose settings have changed is tried at once; one that failed is tried again, a minute after its last
    /// failure at the earliest. Must be called within a runtime.
    pub fn look_after(&self, wanted: &[model::Acme]) {
        let mut running = self.running.lock();
        let storages = wanted.iter().map(|settings| settings.storage.clone());
        self.challenges.look_in(storages.collect());
        let mut before = std::mem::take(&mut *running);
        for settings in wanted {
            let directory = Store::new(settings).directory().to_owned();
            if let Some(same) = running.get(&directory) {
                if !is_obtained_alike(&same.settings, settings) {
                    tracing::warn!(
                        "ACME: {} is wanted twice with different settings; the first ones count",
                        settings.domains.join(", ")
                    );
                }
                continue;
            }
            let kept = match before.remove(&directory) {
                Some(known) if known.settings == *settings => {
                    known.hurry.notify_one();
                    known
                }
                Some(changed) => {
                    changed.stop.cancel();
                    self.start(settings)
                }
                None => self.start(settings),
            };
            running.insert(directory, kept);
        }
        for gone in before.into_values() {
            gone.stop.cancel();
        }
    }

    fn start(&self, settings: &model::Acme) -> Running {
        let stop = self.stop.child_token();
        let (hurry, renew) = (Arc::<Notify>::default(), Arc::<AtomicBool>::default());
        let (challenges, orders) = (Arc::clone(&self.challenges), self.orders.clone());
        let (wanted, hurried, stopped) = (settings.clone(), Arc::clone(&hurry), stop.clone());
        let forced = Arc::clone(&renew);
        let of = settings.domains.join(", ");
        supervise::keep(&self.tasks, Task::Acme, of, move || {
            let worker = Worker::new(
                wanted.clone(),
                Arc::clone(&challenges),
                orders.clone(),
                Arc::clone(&hurried),
                Arc::clone(&forced),
                stopped.clone(),
            );
            worker.run()
        });
        Running {
            settings: settings.clone(),
            hurry,
            renew,
            stop,
        }
    }

    /// Obtains certificates anew now, however long they are good for: those that have this name, or all. Gives the names
    /// of each.
    pub fn renew(&self, name: Option<&str>) -> Vec<Vec<Arc<str>>> {
        let running = self.running.lock();
        let has_name = |one: &&Running| {
            let mut domains = one.settings.domains.iter();
            name.is_none_or(|name| domains.any(|domain| domain.eq_ignore_ascii_case(name)))
        };
        let meant = running.values().filter(has_name);
        meant
            .map(|one| {
                one.renew.store(true, Ordering::Release);
                one.hurry.notify_one();
                one.settings.domains.clone()
            })
            .collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Whether the two differ in nothing but the order of their names.
fn is_obtained_alike(one: &model::Acme, other: &model::Acme) -> bool {
    let mut other = other.clone();
    other.domains.clone_from(&one.domains);
    *one == other
}
