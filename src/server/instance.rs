//! Pools, listeners and what they share, put together and changed in place.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::acme;
use super::discovery::Discoveries;
use super::door::Door;
use super::files::Kept;
use super::keys::Keys;
use super::links::Links;
use super::listening::{self, Listening};
use super::overrides::{Overrides, Shelf};
use super::pid_file::PidFile;
use super::reload::Reloads;
use super::secured;
use super::service::Service;
use super::tables::session_table;
use super::upgrade::{Handover, Predecessor};
use crate::acme::{Challenges, Manager};
use crate::admin::status::ReloadStatus;
use crate::allocator;
use crate::config::model::{self, Config, PoolServer};
use crate::descriptors::Shares;
use crate::dispatch::PoolSite;
use crate::health::Watch;
use crate::http::{Edge, Shared};
use crate::listen::{Capacity, Drain, Limits};
use crate::observe::access_log::AccessLog;
use crate::observe::{History, Metrics, history};
use crate::persistence::table::SessionTable;
use crate::persistence::{self, Moment};
use crate::pool::{Pool, PoolState};
use crate::supervise::{self, Task};
use crate::tls::Terminator;
use crate::upstream::Link;
use crate::workers::Workers;

/// How often the weights of servers in slow start are brought up to date.
const SLOW_START_STEP: Duration = Duration::from_millis(100);

/// How often idle connections to servers are looked at.
const REAP: Duration = Duration::from_millis(500);

/// The directory of the session tables, in the state directory.
const SESSIONS: &str = "sessions";

/// How often the memory that isn't needed any more is given back to the system.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// How long after the first connections could be accepted a name may resolve for the first time without its server
/// starting slowly.
const STARTUP: Duration = Duration::from_secs(1);

/// After how long servers that are still unknown aren't waited for to tell of a pool's first checks.
const KNOWN_AFTER: Duration = Duration::from_secs(2);

/// Entries of a session table that one step of its expiry looks at.
const EXPIRED_AT_ONCE: usize = 4096;

/// What is read from files before privileges are dropped.
pub struct Prepared {
    /// What signs cookies.
    pub keys: Keys,
    /// What ends TLS, by the listener's name.
    pub terminators: HashMap<Arc<str>, Arc<Terminator>>,
    /// What an authority is answered that validates names.
    pub challenges: Arc<Challenges>,
    /// How servers are spoken to.
    pub links: Links,
    /// The admin listener.
    pub admin: Door,
    /// Where the operator's changes are kept.
    pub shelf: Shelf,
    /// The operator's changes, as the configuration leaves them in force.
    pub overrides: Overrides,
    /// Servers that were discovered already, by pool.
    pub discovered: HashMap<Arc<str>, Vec<PoolServer>>,
    /// What another process knew of the pools.
    pub known: Vec<PoolState>,
    /// The file with the process's id.
    pub pid_file: PidFile,
    /// The threads that clients are served by.
    pub workers: Arc<Workers>,
}

/// A running instance.
pub struct Instance {
    pub(super) started: (SystemTime, Instant),
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Arc<Drain>,
    pub(super) workers: Arc<Workers>,
    pub(super) listeners: ArcSwap<Vec<Arc<Listening>>>,
    proxy: Arc<HttpProxy<Edge>>,
    shared: Arc<Shared>,
    pub(super) access_log: Arc<AccessLog>,
    /// How many client connections may be held.
    pub(super) capacity: Arc<Capacity>,
    /// Client connections being served.
    pub(super) connections: TaskTracker,
    /// Those that came after the others were told to go, for a stop.
    pub(super) newcomers: TaskTracker,
    pub(super) state: Mutex<Changeable>,
    /// What was read from files. Held by a reload and by an operator's change, so that there is one at a time.
    pub(super) files: Mutex<Kept>,
    pub(super) overrides: Mutex<Overrides>,
    pub(super) shelf: Shelf,
    /// Held while it is changed whether the instance is drained.
    pub(super) drained: Mutex<()>,
    pub(super) admin: Door,
    pub(super) reloads: Reloads,
    pub(super) last_reload: Mutex<Option<ReloadStatus>>,
    pub(super) certificates: Manager,
    pub(super) background: TaskTracker,
    pub(super) discoveries: Discoveries,
    pub(super) history: History,
    pub(super) pid_file: Mutex<PidFile>,
    /// How another process takes over.
    pub(super) handover: Handover,
    /// The process that this one has taken over from, as long as it is there.
    pub(super) predecessor: Mutex<Option<Arc<Predecessor>>>,
}

/// What a reload changes. Nobody holds it for long.
pub(super) struct Changeable {
    /// What is in force: the file's, with the operator's changes laid over it.
    pub(super) config: Arc<Config>,
    /// What the file says.
    pub(super) written: Arc<Config>,
    pub(super) pools: Vec<Running>,
    /// Set once connections are accepted.
    pub(super) accepting: bool,
}

/// A pool and those who watch over its servers.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) pool: Arc<Pool>,
    pub(super) watch: Arc<Watch>,
    pub(super) link: Arc<Link>,
    pub(super) table: Option<Arc<SessionTable>>,
}

impl Instance {
    /// Puts an instance together; servers are watched from now on. Must be called within a runtime.
    /// `shares` says how many connections may be held.
    pub fn new(
        config: &Config,
        prepared: Prepared,
        metrics: Arc<Metrics>,
        access_log: Arc<AccessLog>,
        shares: Shares,
    ) -> Self {
        let Prepared {
            keys,
            mut terminators,
            challenges,
            links,
            admin,
            shelf,
            overrides,
            discovered,
            known,
            pid_file,
            workers,
        } = prepared;
        let written = config;
        let discoveries = Discoveries::of(discovered);
        let config = &overrides.laid_over(&discoveries.laid_over(written));
        metrics.set_server_histograms(config.metrics.server_histograms);
        metrics.set_server_counters(config.metrics.server_counters);
        let background = TaskTracker::new();
        let drain = Arc::new(Drain::default());
        let pools: Vec<Running> = config
            .pools
            .iter()
            .zip(links.iter())
            .map(|(model, link)| {
                let known = known.iter().find(|known| known.name == *model.name);
                Running::start(model, link, known, &metrics, &background)
            })
            .collect();
        let process = Capacity::new(Some(shares.clients));
        let sites = pool_sites(&pools, &keys);
        let certificates = acme::start(config, &challenges, &metrics, &background);
        let shared = Arc::new(Shared {
            access_log: Arc::clone(&access_log),
            drain: Arc::clone(&drain),
            challenges,
        });
        let proxy = Arc::new(http_proxy(&Arc::new(pingora_conf(config)), Edge));
        let this = Self {
            started: (SystemTime::now(), Instant::now()),
            metrics,
            drain,
            workers,
            listeners: ArcSwap::default(),
            proxy,
            shared,
            access_log,
            capacity: process,
            connections: TaskTracker::new(),
            newcomers: TaskTracker::new(),
            state: Mutex::new(Changeable {
                config: Arc::new(config.clone()),
                written: Arc::new(written.clone()),
                pools,
                accepting: false,
            }),
            files: Mutex::new(Kept { keys, links }),
            drained: Mutex::default(),
            overrides: Mutex::new(overrides),
            shelf,
            admin,
            reloads: Reloads::default(),
            last_reload: Mutex::default(),
            certificates,
            background,
            history: History::default(),
            discoveries,
            pid_file: Mutex::new(pid_file),
            handover: Handover::default(),
            predecessor: Mutex::default(),
        };
        let listeners = config.listeners.iter().map(|model| {
            let terminator = terminators.remove(&model.name);
            Arc::new(this.listener(model, &sites, terminator))
        });
        let listeners = listeners.collect();
        this.listeners.store(Arc::new(listeners));
        this
    }

    /// A listener that doesn't listen yet.
    pub(super) fn listener(
        &self,
        model: &model::Listener,
        sites: &HashMap<Arc<str>, Arc<PoolSite>>,
        terminator: Option<Arc<Terminator>>,
    ) -> Listening {
        let metrics = &self.metrics;
        let limits = Limits::new(
            Arc::clone(&self.capacity),
            &model.name,
            model.max_connections,
            metrics.listener(&model.name),
        );
        let service = Service::new(model, sites, metrics, &self.proxy, &self.shared);
        Listening::new(model, service, limits, terminator)
    }

    /// What authorities that validate names are answered.
    pub(super) fn challenges(&self) -> &Arc<Challenges> {
        &self.shared.challenges
    }

    /// Keeps the session tables in files; `reads`: what is there is taken over.
    pub fn keep_sessions(&self, reads: bool) {
        for running in self.state.lock().pools.clone() {
            running.keep_sessions(self.shelf.directory(), reads);
        }
    }

    /// Returns when the session tables are in their files, or after some seconds.
    pub fn end_keeping_sessions(&self) {
        for running in self.state.lock().pools.clone() {
            if let Some(table) = &running.table {
                table.end_keeping();
            }
        }
    }

    /// Returns when every server has had its first check, or after `at_most`. Of which it is known how they are aren't
    /// waited for.
    pub async fn first_checks(&self, at_most: Duration) {
        self.discoveries.first_answers(at_most).await;
        let watches: Vec<_> = self
            .state
            .lock()
            .pools
            .iter()
            .filter(|running| !running.pool.knows_its_servers())
            .map(|running| Arc::clone(&running.watch))
            .collect();
        let all = async {
            for watch in &watches {
                watch.first_results(at_most).await;
            }
        };
        // What isn't known by then is the state `unknown`.
        drop(tokio::time::timeout(at_most, all).await);
    }

    /// No more connections are taken than those that are accepted, or wait for it.
    pub fn close_sockets(&self) {
        for listening in &**self.listeners.load() {
            listening.let_go();
        }
    }

    /// Accepts connections on the bound sockets of `config`, in the order of its listeners.
    pub fn accept(self: &Arc<Self>, config: &Config, sockets: Vec<Vec<std::net::TcpListener>>) {
        let sockets = listening::first_sockets(config, sockets, &self.workers);
        self.listen(&[], &self.listeners.load(), &sockets);
        self.state.lock().accepting = true;
        let instance = Arc::downgrade(self);
        supervise::keep(
            &self.background,
            Task::Certificates,
            "all listeners",
            move || secured::keep_fresh(Weak::clone(&instance)),
        );
        let instance = Arc::downgrade(self);
        let startup_ends = Instant::now() + STARTUP;
        supervise::keep(&self.background, Task::Upkeep, "all pools", move || {
            keep_up(Weak::clone(&instance), startup_ends)
        });
    }

    /// Who ends TLS here.
    pub(super) fn terminators(&self) -> impl Iterator<Item = Arc<Terminator>> + use<> {
        let listeners = self.listeners.load();
        let terminators = listeners
            .iter()
            .filter_map(|listening| listening.terminator.clone());
        let terminators: Vec<_> = terminators.chain(self.admin.tls.load_full()).collect();
        terminators.into_iter()
    }

    /// Puts another state of the pools' servers in force.
    pub(super) fn reconcile(&self, config: Arc<Config>, keys: &Keys) {
        let pools = self.state.lock().pools.clone();
        for running in &pools {
            let model = config
                .pools
                .iter()
                .find(|model| model.name == *running.pool.name());
            if let Some(model) = model {
                running.pool.reconcile(model);
                running.watch.sync(&running.link);
                running.heed_operator(model);
            }
        }
        let sites = pool_sites(&pools, keys);
        for listening in self.listeners.load().iter() {
            let model = config
                .listeners
                .iter()
                .find(|model| model.name == listening.name);
            if let Some(model) = model {
                listening.service.reconfigure(model, &sites, &self.metrics);
            }
        }
        self.state.lock().config = config;
    }
}

/// Slow start and the expiry of sessions, as long as the instance lives.
async fn keep_up(instance: Weak<Instance>, startup_ends: Instant) {
    let mut ticks = tokio::time::interval(SLOW_START_STEP);
    let mut startup_ends = Some(startup_ends);
    let mut reaped = Instant::now();
    let mut given_back = reaped;
    let mut recorded = reaped;
    loop {
        ticks.tick().await;
        let Some(instance) = instance.upgrade() else {
            return;
        };
        let now = Instant::now();
        if startup_ends.take_if(|end| *end <= now).is_some() {
            for running in &instance.state.lock().pools {
                running.pool.end_startup();
            }
        }
        let reap = now.saturating_duration_since(reaped) >= REAP;
        if reap {
            reaped = now;
        }
        if now.saturating_duration_since(given_back) >= GIVE_BACK {
            given_back = now;
            give_memory_back();
        }
        let elapsed = now.saturating_duration_since(recorded);
        if elapsed >= history::INTERVAL {
            recorded = now;
            instance.record_history(elapsed);
        }
        persistence::heed_wall_clock();
        let moment = Moment::now();
        for running in &instance.state.lock().pools {
            running.pool.advance_slow_start(now);
            running.pool.watch_traffic(now);
            if reap {
                running.link.reap(now);
            }
            if let Some(table) = &running.table {
                table.expire(moment, EXPIRED_AT_ONCE);
            }
        }
    }
}

/// Has all threads give back what memory they have no use for. Those that sleep wake up for it: the workers by themselves.
fn give_memory_back() {
    allocator::ask();
    for _ in 0..Handle::current().metrics().num_workers() {
        supervise::once(async {});
    }
}

/// Logs, in the background, what became of a pool's first checks, once every server is known or some seconds have passed.
async fn tell_first_checks(pool: Weak<Pool>, watch: Weak<Watch>) {
    let Some(first) = watch.upgrade() else { return };
    first.first_results(KNOWN_AFTER).await;
    drop(first);
    let deadline = Instant::now() + KNOWN_AFTER;
    loop {
        let Some(pool) = pool.upgrade() else { return };
        if pool.is_known() || Instant::now() >= deadline {
            pool.tell_first_checks();
            return;
        }
        drop(pool);
        tokio::time::sleep(SLOW_START_STEP).await;
    }
}

impl Running {
    /// Brings servers into the states that the operator wants.
    pub(super) fn heed_operator(&self, model: &model::Pool) {
        for server in self.pool.servers().iter() {
            let wanted = model
                .servers
                .iter()
                .find(|wanted| wanted.name == *server.name());
            if let Some(wanted) = wanted
                && wanted.operator != server.gate().operator()
            {
                self.pool.set_operator(server, wanted.operator);
            }
        }
    }

    /// Keeps the sessions in files of that directory, unless they are kept already, or elsewhere.
    pub(super) fn keep_sessions(&self, state_dir: Option<&Path>, reads: bool) {
        let (Some(table), Some(state_dir)) = (&self.table, state_dir) else {
            return;
        };
        if table.is_shared() {
            table.end_keeping();
        } else if !table.is_kept() {
            table.keep_in(&state_dir.join(SESSIONS), reads);
        }
    }

    pub(super) fn start(
        model: &model::Pool,
        link: &Arc<Link>,
        known: Option<&PoolState>,
        metrics: &Arc<Metrics>,
        tracker: &TaskTracker,
    ) -> Self {
        let pool = Pool::new(model, metrics);
        // Before checks begin, so that they go on from there.
        if let Some(known) = known {
            pool.inherit(known, Instant::now());
        }
        let watch = Arc::new(Watch::start(&pool, link, tracker));
        let (known, watched) = (Arc::downgrade(&pool), Arc::downgrade(&watch));
        supervise::keep(tracker, Task::FirstChecks, pool.name(), move || {
            tell_first_checks(Weak::clone(&known), Weak::clone(&watched))
        });
        let link = Arc::clone(link);
        let table = session_table(model, None, metrics);
        Self {
            pool,
            watch,
            link,
            table,
        }
    }
}

/// What listeners are given of the pools.
pub(super) fn pool_sites(pools: &[Running], keys: &Keys) -> HashMap<Arc<str>, Arc<PoolSite>> {
    pools
        .iter()
        .map(|running| {
            let keyring = keys.of(&running.pool.settings()).cloned();
            (
                Arc::clone(running.pool.name()),
                PoolSite::new(
                    &running.pool,
                    Arc::clone(&running.link),
                    keyring.as_ref(),
                    running.table.clone(),
                ),
            )
        })
        .collect()
}

/// What Pingora wants to know.
fn pingora_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.threads,
        ..ServerConf::default()
    }
}
