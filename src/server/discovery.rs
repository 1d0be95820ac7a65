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

    fn held(&self, pool: &str) -> Vec<PoolServer> {
        self.found.lock().get(pool).cloned().unwrap_or_default()
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
        let complaint = match judge(answer, &held, settings.min) {
            Verdict::Take(servers) => {
                take(&instance, &pool, servers).await;
                None
            }
            Verdict::MakeDo(servers, reason) => {
                take(&instance, &pool, servers).await;
                Some((
                    "discovery: the answer is taken for want of a better one",
                    reason,
                ))
            }
            Verdict::Keep(reason) if held.is_empty() => {
                Some(("discovery: there are no servers yet", reason))
            }
            Verdict::Keep(reason) => Some(("discovery: the last good servers are kept", reason)),
        };
        tell(
            &pool,
            complaint,
            &mut told,
            instance.discoveries.held(&pool).len(),
        );
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

/// What has become of an answer that wasn't good, and why it wasn't.
type Complaint = (&'static str, String);

/// Tells what is wrong, once, and when it is over.
fn tell(pool: &str, complaint: Option<Complaint>, told: &mut Option<Complaint>, servers: usize) {
    match &complaint {
        Some(_) if complaint == *told => return,
        Some((outcome, reason)) => tracing::warn!(pool, reason, servers, "{outcome}"),
        None if told.is_some() => tracing::info!(pool, "discovery: answered again"),
        None => {}
    }
    *told = complaint;
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
