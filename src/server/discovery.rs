//! Pools whose servers DNS names: asking again and again, and changing the pools by what is answered.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::select_all;
use parking_lot::Mutex;
use rand::Rng as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::instance::Instance;
use crate::config::model::{self, Config, PoolServer};
use crate::discovery::{Verdict, judge, look_up};
use crate::supervise::{self, Task};

/// The shortest time between two look-ups for the sake of a TTL, or of a failed connection.
const SPACING: Duration = Duration::from_secs(1);
/// How soon it is asked again after no answer.
const RETRY: Duration = Duration::from_secs(2);

/// What was discovered, and who goes on asking.
#[derive(Default)]
pub(super) struct Discoveries {
    /// The servers of pools, by the last answers that were taken.
    found: Mutex<HashMap<Arc<str>, Vec<PoolServer>>>,
    running: Mutex<HashMap<Arc<str>, Running>>,
}

struct Running {
    settings: model::Discovery,
    task: AbortHandle,
    /// Whether there has been an answer, good or bad.
    asked: watch::Receiver<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Discoveries {
    /// A configuration with the servers that were found.
    pub(super) fn laid_over(&self, written: &Config) -> Config {
        let mut config = written.clone();
        let found = self.found.lock();
        for pool in &mut config.pools {
            if pool.discovery.is_some()
                && let Some(servers) = found.get(&pool.name)
            {
                pool.servers.clone_from(servers);
            }
        }
        config
    }

    /// The servers that were found, by pool.
    pub(super) fn found(&self) -> HashMap<Arc<str>, Vec<PoolServer>> {
        self.found.lock().clone()
    }

    /// With what another process has found.
    pub(super) fn of(found: HashMap<Arc<str>, Vec<PoolServer>>) -> Self {
        Self {
            found: Mutex::new(found),
            running: Mutex::default(),
        }
    }

    /// Returns when each name has been asked for once, or after `at_most`.
    pub(super) async fn first_answers(&self, at_most: Duration) {
        let asked: Vec<_> = self
            .running
            .lock()
            .values()
            .map(|running| running.asked.clone())
            .collect();
        let all = async {
            for mut asked in asked {
                drop(asked.wait_for(|asked| *asked).await);
            }
        };
        drop(timeout(at_most, all).await);
    }

    fn held(&self, pool: &str) -> usize {
        self.found.lock().get(pool).map_or(0, Vec::len)
    }
}

impl Instance {
    /// Follows a configuration: asks for the pools that have a name to ask for, and for nobody else. Must be called within a
    /// runtime.
    pub(super) fn discover(self: &Arc<Self>, config: &Config) {
        let discoveries = &self.discoveries;
        let mut running = discoveries.running.lock();
        let wanted = |name: &str| {
            let mut pools = config.pools.iter();
            let pool = pools.find(|pool| *pool.name == *name)?;
            pool.discovery.as_ref()
        };
        running.retain(|name, running| wanted(name) == Some(&running.settings));
        discoveries
            .found
            .lock()
            .retain(|name, _| wanted(name).is_some());
        for pool in &config.pools {
            let Some(settings) = &pool.discovery else {
                continue;
            };
            if running.contains_key(&pool.name) {
                continue;
            }
            let (tell, asked) = watch::channel(false);
            let (instance, tell) = (Arc::downgrade(self), Arc::new(tell));
            let (name, of) = (Arc::clone(&pool.name), settings.clone());
            let begin = move || {
                keep_asking(
                    Weak::clone(&instance),
                    Arc::clone(&name),
                    of.clone(),
                    Arc::clone(&tell),
                )
            };
            let task = supervise::keep(&self.background, Task::Names, &pool.name, begin);
            let next = Running {
                settings: settings.clone(),
                task,
                asked,
            };
            running.insert(Arc::clone(&pool.name), next);
        }
    }

    /// Gives a pool the servers that were found.
    fn take_servers(&self, pool: &Arc<str>, servers: Vec<PoolServer>) {
        // With a reload's lock: one lays these over what it has read.
        let kept = self.files.lock();
        let written = Arc::clone(&self.state.lock().written);
        let is_there = |model: &model::Pool| model.name == *pool && model.discovery.is_some();
        if !written.pools.iter().any(is_there) {
            return;
        }
        self.discoveries
            .found
            .lock()
            .insert(Arc::clone(pool), servers);
        let found = self.discoveries.laid_over(&written);
        let effective = self.overrides.lock().laid_over(&found);
        self.reconcile(Arc::new(effective), &kept.keys);
    }
}

async fn keep_asking(
    instance: Weak<Instance>,
    pool: Arc<str>,
    settings: model::Discovery,
    asked: Arc<watch::Sender<bool>>,
) {
    let mut told = None;
    loop {
        let began = Instant::now();
        let answer = look_up(&settings).await;
        let Some(instance) = instance.upgrade() else {
            return;
        };
        let good_for = match &answer {
            Ok(found) => settings.interval.min(found.ttl.max(SPACING)),
            Err(_) => settings.interval.min(RETRY),
        };
        let held = instance.discoveries.held(&pool);
        let servers = answer.map(|found| found.servers);
        let complaint = match judge(servers, held, settings.min) {
            Verdict::Take(servers, complaint) => {
                take(&instance, &pool, servers).await;
                complaint
            }
            Verdict::Keep(reason) => Some(reason),
        };
        tell(&pool, complaint.as_deref(), &mut told, held);
        asked.send_replace(true);
        let next = began + good_for.mul_f64(rand::rng().random_range(0.9..=1.0));
        let failed = connect_failure(&instance, &pool);
        // A wait keeps no reference to the instance, which may end meanwhile.
        drop(instance);
        tokio::select! {
            () = sleep_until(next) => {}
            () = failed => sleep_until(began + SPACING).await,
        }
    }
}

/// Puts the servers in force, if they aren't.
async fn take(instance: &Arc<Instance>, pool: &Arc<str>, servers: Vec<PoolServer>) {
    if instance.discoveries.found.lock().get(pool) == Some(&servers) {
        return;
    }
    tracing::info!(
        pool = &**pool,
        servers = servers.len(),
        "servers discovered"
    );
    let (instance, pool) = (Arc::clone(instance), Arc::clone(pool));
    // A reload may hold what is needed for a while.
    let taking = tokio::task::spawn_blocking(move || instance.take_servers(&pool, servers));
    if let Err(error) = taking.await {
        tracing::error!(%error, "servers that were discovered could not be taken");
    }
}

/// Tells what is wrong, once, and when it is over.
fn tell(pool: &str, complaint: Option<&str>, told: &mut Option<String>, held: usize) {
    match (complaint, &told) {
        (Some(reason), before) if before.as_deref() != Some(reason) => {
            tracing::warn!(
                pool,
                reason,
                servers = held,
                "discovery: the last good servers are kept"
            );
            *told = Some(reason.to_owned());
        }
        (None, Some(_)) => {
            tracing::info!(pool, "discovery: answered again");
            *told = None;
        }
        _ => {}
    }
}

/// Returns when one of the pool's servers could not be connected to.
fn connect_failure(instance: &Instance, pool: &str) -> impl Future<Output = ()> + use<> {
    let servers = instance.running(pool).map(|running| running.pool.servers());
    let servers: Vec<_> = servers.map(|servers| servers.to_vec()).unwrap_or_default();
    async move {
        if servers.is_empty() {
            return std::future::pending().await;
        }
        let failures = servers
            .iter()
            .map(|server| Box::pin(server.connect_failure()));
        select_all(failures).await;
    }
}
