//! Pools, listeners and what they share, put together and changed in place.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::server::configuration::ServerConf;
use pingora_proxy::http_proxy;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::acme;
use super::arrivals::Arrivals;
use super::door::Door;
use super::files::Kept;
use super::keys::Keys;
use super::links::Links;
use super::overrides::{Overrides, Shelf};
use super::refusals::Refusals;
use super::reload::Reloads;
use super::secured;
use super::service::Service;
use super::tables::session_table;
use crate::acme::{Challenges, Manager};
use crate::admin::status::ReloadStatus;
use crate::allocator;
use crate::config::model::{self, Config};
use crate::descriptors::Shares;
use crate::dispatch::PoolSite;
use crate::health::Watch;
use crate::http::{Edge, Shared};
use crate::listen::{self, Capacity, Drain, Limits, Reception};
use crate::observe::Metrics;
use crate::observe::access_log::AccessLog;
use crate::persistence::table::SessionTable;
use crate::persistence::{self, Moment};
use crate::pool::Pool;
use crate::supervise::{self, Task};
use crate::tls::Terminator;
use crate::upstream::Link;

/// How often the weights of servers in slow start are brought up to date.
const SLOW_START_STEP: Duration = Duration::from_millis(100);

/// How often idle connections to servers are looked at.
const REAP: Duration = Duration::from_millis(500);

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
}

/// A running instance.
pub struct Instance {
    pub(super) started: (SystemTime, Instant),
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Arc<Drain>,
    pub(super) listeners: Vec<Listening>,
    pub(super) access_log: Arc<AccessLog>,
    /// How many client connections may be held, and for how many descriptors were set aside at the start.
    pub(super) capacity: Arc<Capacity>,
    pub(super) clients: usize,
    /// Client connections being served.
    pub(super) connections: TaskTracker,
    pub(super) state: Mutex<Changeable>,
    /// What was read from files. Held by a reload and by an operator's change, so that there is one at a time.
    pub(super) files: Mutex<Kept>,
    pub(super) overrides: Mutex<Overrides>,
    pub(super) shelf: Shelf,
    pub(super) admin: Door,
    pub(super) reloads: Reloads,
    pub(super) last_reload: Mutex<Option<ReloadStatus>>,
    pub(super) certificates: Manager,
    pub(super) background: TaskTracker,
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

/// A listener and where it listens.
pub(super) struct Listening {
    pub(super) name: Arc<str>,
    pub(super) protocol: model::Protocol,
    pub(super) service: Service,
    pub(super) addresses: Mutex<Vec<SocketAddr>>,
    pub(super) limits: Arc<Limits>,
    /// For connections that are accepted from now on.
    pub(super) keepalive: Arc<ArcSwap<model::TcpKeepalive>>,
    pub(super) reception: Arc<ArcSwap<Reception>>,
    /// `None` for the protocols without TLS.
    pub(super) terminator: Option<Arc<Terminator>>,
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
        } = prepared;
        let written = config;
        let config = &overrides.laid_over(written);
        metrics.set_server_histograms(config.metrics.server_histograms);
        metrics.set_server_counters(config.metrics.server_counters);
        let background = TaskTracker::new();
        let drain = Arc::new(Drain::default());
        let pools: Vec<Running> = config
            .pools
            .iter()
            .zip(links.iter())
            .map(|(model, link)| Running::start(model, link, &metrics, &background))
            .collect();
        let process = Capacity::new(Some(shares.clients));
        let sites = pool_sites(&pools, &keys);
        let certificates = acme::start(config, &challenges, &metrics, &background);
        let shared = Arc::new(Shared {
            access_log: Arc::clone(&access_log),
            drain: Arc::clone(&drain),
            challenges,
        });
        let proxy = Arc::new(http_proxy(
            &Arc::new(pingora_conf(config)),
            Edge::new(Arc::clone(&shared)),
        ));
        let listeners = config
            .listeners
            .iter()
            .map(|model| Listening {
                name: Arc::clone(&model.name),
                protocol: model.protocol,
                service: Service::new(model, &sites, &metrics, &proxy, &shared),
                addresses: Mutex::default(),
                limits: Limits::new(
                    Arc::clone(&process),
                    &model.name,
                    model.max_connections,
                    metrics.listener(&model.name),
                ),
                keepalive: Arc::new(ArcSwap::from_pointee(model.tcp_keepalive)),
                reception: Arc::new(ArcSwap::from_pointee(Reception::new(model))),
                terminator: terminators.remove(&model.name),
            })
            .collect();
        Self {
            started: (SystemTime::now(), Instant::now()),
            metrics,
            drain,
            listeners,
            access_log,
            capacity: process,
            clients: shares.clients,
            connections: TaskTracker::new(),
            state: Mutex::new(Changeable {
                config: Arc::new(config.clone()),
                written: Arc::new(written.clone()),
                pools,
                accepting: false,
            }),
            files: Mutex::new(Kept { keys, links }),
            overrides: Mutex::new(overrides),
            shelf,
            admin,
            reloads: Reloads::default(),
            last_reload: Mutex::default(),
            certificates,
            background,
        }
    }

    /// Returns when every server has had its first check, or after `at_most`.
    pub async fn first_checks(&self, at_most: Duration) {
        let watches: Vec<_> = self
            .state
            .lock()
            .pools
            .iter()
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

    /// Accepts connections on the bound sockets, in the order of the listeners.
    pub fn accept(self: &Arc<Self>, sockets: Vec<Vec<std::net::TcpListener>>) {
        for (listening, sockets) in self.listeners.iter().zip(sockets) {
            for socket in sockets {
                let bound = socket.local_addr().and_then(|address| {
                    TcpListener::from_std(socket).map(|socket| (address, socket))
                });
                match bound {
                    Ok((address, socket)) => {
                        listening.addresses.lock().push(address);
                        tracing::info!(%address, listener = &*listening.name, "listening");
                        self.accept_on(listening, socket);
                    }
                    Err(error) => {
                        tracing::error!(%error, listener = &*listening.name, "cannot listen");
                    }
                }
            }
        }
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
    pub(super) fn terminators(&self) -> impl Iterator<Item = Arc<Terminator>> {
        let listeners = self.listeners.iter();
        listeners
            .filter_map(|listening| listening.terminator.clone())
            .chain(self.admin.tls.load_full())
    }

    fn accept_on(&self, listening: &Listening, socket: TcpListener) {
        let arrivals = Arrivals {
            reception: Arc::clone(&listening.reception),
            service: listening.service.clone(),
            terminator: listening.terminator.clone(),
            tracker: self.connections.clone(),
            drain: Arc::clone(&self.drain),
            refusals: Refusals {
                listener: Arc::clone(&listening.name),
                access_log: Arc::clone(&self.access_log),
                protocol: listening.protocol.logged(),
            },
        };
        let serve = move |socket, peer, admitted| arrivals.take(socket, peer, admitted);
        // Tracked with the connections: those still in the backlog are to be served, too.
        let (socket, keepalive) = (Arc::new(socket), Arc::clone(&listening.keepalive));
        let (limits, drain) = (Arc::clone(&listening.limits), Arc::clone(&self.drain));
        supervise::keep(
            &self.connections,
            Task::Accept,
            &listening.name,
            move || {
                listen::accept(
                    Arc::clone(&socket),
                    Arc::clone(&limits),
                    Arc::clone(&keepalive),
                    Arc::clone(&drain),
                    serve.clone(),
                )
            },
        );
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
        for listening in &self.listeners {
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

/// Has all worker threads give back what memory they have no use for: those that sleep wake up for it.
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

    pub(super) fn start(
        model: &model::Pool,
        link: &Arc<Link>,
        metrics: &Arc<Metrics>,
        tracker: &TaskTracker,
    ) -> Self {
        let pool = Pool::new(model, metrics);
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
