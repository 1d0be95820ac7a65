//! The session table: which server a session is bound to, for persistence that the message alone does not decide
//! (`learn`, `source_ip`).
//!
//! Each pool has one; it lives across reloads. It is in memory, and may have a Redis or Valkey server behind it that
//! several nodes share ([`store`]). Then memory is a cache in front: a session that is known here costs no round trip, and what was
//! decided without the store, because it was away, is told to it later.

mod feed;
mod follow;
mod hash;
mod kept;
mod local;
mod names;
mod place;
mod records;
mod shard;
mod store;
#[cfg(test)]
mod tests;
mod upkeep;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge};
use tokio::runtime::Handle;

use self::kept::Keeping;
use self::local::Local;
use self::store::Attached;
use super::{Moment, SessionKey};
use crate::config::model;

pub use follow::{Absorber, Follower, FollowerEnd};
pub use records::RecordsError;
pub use store::{StoreMetrics, validate_url};

/// How long the word of the shared store counts at most, in seconds, before it is asked again (in the background, when
/// the session is next used): so long may another node's decision go unnoticed.
const FRESH: u32 = 5;

/// What a table is to be like.
#[derive(Debug, Clone, Copy)]
pub struct TableSettings<'a> {
    /// Entries at most; 0 counts as 1.
    pub size: usize,
    /// After this without a request a session is forgotten. Counted in whole seconds, rounded up.
    pub idle: Duration,
    /// After this a session is forgotten however active it is. Counted as `idle` is.
    pub max_lifetime: Option<Duration>,
    /// Where it is kept.
    pub store: &'a model::Store,
}

/// What is counted of a table. The default counts for nobody.
#[derive(Clone)]
pub struct TableMetrics {
    /// Entries in memory. Those that expired are among them until they are met.
    pub entries: IntGauge,
    /// Entries that had to go, before they expired, because the table was full.
    pub evictions: IntCounter,
    /// The shared store's part.
    pub store: StoreMetrics,
}

/// A session and its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The server's name, which need not be in the pool any more.
    pub server: Arc<str>,
    /// When the session was bound to it.
    pub started: Moment,
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is bound.
    Known(Binding),
    /// Nothing, or nothing that the store would say in time.
    Unknown,
    /// It was bound, and was idle for too long or is too old. Told once.
    Expired,
}

/// How long a request has waited for the shared store so far. One for each request, so that all it asks together waits
/// no longer than the store's `timeout`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waited(Duration);

/// The sessions of one pool.
pub struct SessionTable {
    local: Arc<Local>,
    pool: Arc<str>,
    metrics: Mutex<StoreMetrics>,
    store: ArcSwapOption<Attached>,
    /// For how many seconds the store's word counts; `u32::MAX`: there is no store.
    fresh: AtomicU32,
    /// What the store is kept in touch with on.
    runtime: Mutex<Option<Handle>>,
    /// The files that it is kept in, if it is.
    keeping: Keeping,
}

impl SessionTable {
    /// An empty table. With a shared store, [`SessionTable::start`] should follow; otherwise the first request starts it.
    pub fn new(settings: &TableSettings<'_>, pool: &str, metrics: TableMetrics) -> Arc<Self> {
        let store = metrics.store.clone();
        let table = Self {
            local: Arc::new(Local::new(
                settings.size,
                settings.idle,
                settings.max_lifetime,
                metrics,
            )),
            pool: pool.into(),
            metrics: Mutex::new(store),
            store: ArcSwapOption::empty(),
            fresh: AtomicU32::new(u32::MAX),
            runtime: Mutex::new(None),
            keeping: Keeping::default(),
        };
        table.reconfigure(settings);
        Arc::new(table)
    }

    /// Whether a store that other nodes may use, too, is behind it.
    pub fn is_shared(&self) -> bool {
        self.fresh.load(Relaxed) != u32::MAX
    }

    /// Connects to the shared store, if there is one (now or after a reconfiguration), on `runtime`, which must outlive the
    /// table's use.
    pub fn start(&self, runtime: &Handle) {
        *self.runtime.lock() = Some(runtime.clone());
        if let Some(store) = &*self.store.load() {
            store.start(runtime);
        }
    }

    /// Keeps the sessions in files of `directory` from now on, so that they outlast the process, however it ends. `reads`:
    /// what is there already is taken over first. May block for a moment.
    pub fn keep_in(&self, directory: &Path, reads: bool) {
        self.keeping
            .begin(directory, &self.pool, &self.local, reads);
    }

    /// Whether it is kept in files.
    pub fn is_kept(&self) -> bool {
        self.keeping.is_on()
    }

    /// Returns when all is written, or after some seconds; what happens from then on isn't kept.
    pub fn end_keeping(&self) {
        self.keeping.end();
    }

    /// Sets the metrics of the shared store that a later [`SessionTable::reconfigure`] may bring.
    pub fn count_store(&self, metrics: StoreMetrics) {
        *self.metrics.lock() = metrics;
    }

    /// Takes other settings and keeps the entries. A smaller size takes effect by and by ([`SessionTable::expire`]).
    pub fn reconfigure(&self, settings: &TableSettings<'_>) {
        self.local
            .configure(settings.size, settings.idle, settings.max_lifetime);
        let before = self.store.load_full();
        let model::Store::Redis(wanted) = settings.store else {
            self.fresh.store(u32::MAX, Relaxed);
            self.store.store(None);
            return;
        };
        self.fresh
            .store((self.local.idle() / 4).min(FRESH), Relaxed);
        if before.is_some_and(|before| before.settings() == wanted) {
            return;
        }
        let store = Attached::new(
            wanted,
            &self.pool,
            Arc::clone(&self.local),
            self.metrics.lock().clone(),
        );
        if let (Some(runtime), Some(store)) = (&*self.runtime.lock(), &store) {
            store.start(runtime);
        }
        self.store.store(store.map(Arc::new));
    }

    /// The session's server; uses the session, so that its idle time begins anew. Asks the shared store only for what is not known
    /// here.
    pub async fn get(&self, key: SessionKey, now: Moment, waited: &mut Waited) -> Answer {
        let answer = self.known(key, now);
        if matches!(answer, Answer::Known(_)) {
            return answer;
        }
        let Some(store) = self.store.load_full() else {
            return answer;
        };
        // Apart, as below: most tables aren't shared, and the wait would make every request larger.
        match Box::pin(store.look(key, now, waited)).await {
            Some(said) => Answer::Known(self.merge(key, said, now)),
            None => answer,
        }
    }

    /// Binds a session that is not. Of several at once, on whichever node, one wins, and all get its binding.
    pub async fn bind(
        &self,
        key: SessionKey,
        server: &Arc<str>,
        now: Moment,
        waited: &mut Waited,
    ) -> Binding {
        if let Some(store) = self.store.load_full() {
            if let Answer::Known(binding) = self.known(key, now) {
                return binding;
            }
            if let Some(said) = Box::pin(store.bind(key, server, now, waited)).await {
                return self.merge(key, said, now);
            }
        }
        self.local.bind(key, server, now)
    }

    /// Binds a session that can't stay with `from` to `to`, and begins it anew, unless somebody has moved it away from `from` already: then gives that
    /// binding.
    pub async fn rebind(
        &self,
        key: SessionKey,
        from: &str,
        to: &Arc<str>,
        now: Moment,
        waited: &mut Waited,
    ) -> Binding {
        if let Some(store) = self.store.load_full()
            && let Some(said) = Box::pin(store.rebind(key, from, to, now, waited)).await
        {
            self.local.replace(key, &said, now);
            return said;
        }
        self.local.rebind(key, from, to, now)
    }

    /// Binds a session whatever it was bound to. If that is the same server, the session goes on. The shared store is told in the
    /// background.
    pub fn put(&self, key: SessionKey, server: &Arc<str>, now: Moment) {
        let (binding, news) = self.local.put(key, server, now);
        if news && let Some(store) = &*self.store.load() {
            store.put_later(key, binding, now);
        }
    }

    /// Forgets a session. The shared store is told in the background.
    pub fn forget(&self, key: SessionKey) {
        self.local.forget(key);
        if let Some(store) = &*self.store.load() {
            store.forget_later(key);
        }
    }

    /// Takes out what has expired, at most `budget` entries, and goes on with whatever else takes time: call it about
    /// ten times a second. A table of a million entries that all expire at once is empty after a million entries' budget; nobody
    /// meets an expired one before.
    pub fn expire(&self, now: Moment, budget: usize) {
        self.local.expire(now, budget);
        if let Some(store) = &*self.store.load() {
            store.tell_again(now);
        }
    }

    /// Entries in memory.
    pub fn len(&self) -> usize {
        self.local.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What memory says.
    fn known(&self, key: SessionKey, now: Moment) -> Answer {
        let fresh = Some(self.fresh.load(Relaxed)).filter(|&fresh| fresh != u32::MAX);
        let known = self.local.get(key, now, fresh);
        if known.stale
            && let Some(store) = &*self.store.load()
        {
            store.check_later(key, now);
        }
        known.answer
    }

    fn merge(&self, key: SessionKey, said: Binding, now: Moment) -> Binding {
        self.local.merge(key, &said, now, true).unwrap_or(said)
    }
}

impl Default for TableMetrics {
    fn default() -> Self {
        Self {
            entries: store::gauge("entries"),
            evictions: store::counter("evictions"),
            store: StoreMetrics::default(),
        }
    }
}
