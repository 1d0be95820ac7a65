//! The table in memory: shards with a lock each, so that threads seldom wait for one another, and no operation that
//! takes longer because the table is large.
//!
//! - **Bound.** The shards' capacities add up to the configured size. A table of up to 8191 entries is one shard and thus exactly
//!   least-recently-used; a larger one is so within each shard, to which keys are spread evenly.
//! - **Expiry.** A shard's list is in order of use, so the idle ones are at its end: they are taken from there, some at a time
//!   ([`Local::expire`]), and an idle entry that is asked for before that is treated as gone.
//! - **Resizing.** A new size that asks for another number of shards makes new ones; the entries move some at a time, and at
//!   once when they are asked for. A smaller size sheds some at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::feed::{Change, Followed};
use super::hash::Seed;
use super::names::Names;
use super::place::Place;
use super::shard::{End, Record, Shard};
use super::{Answer, Binding, TableMetrics};
use crate::persistence::{Moment, SessionKey};

/// Shards at most; a power of two.
const MOST_SHARDS: usize = 64;
/// Entries a shard at least, if there are several.
const SHARD: usize = 4096;
/// Sessions and their servers in this process.
pub(super) struct Local {
    pub(super) layout: ArcSwap<Layout>,
    pub(super) names: Names,
    /// Who is told of changes.
    pub(super) followers: ArcSwap<Vec<Followed>>,
    pub(super) metrics: TableMetrics,
    pub(super) seed: Seed,
    /// Entries there are.
    len: AtomicUsize,
    /// Entries at most.
    pub(super) size: AtomicUsize,
    /// Seconds.
    idle: AtomicU32,
    /// Seconds; 0 = for ever.
    max_lifetime: AtomicU32,
    /// Held by whoever changes the layout or clears away; says at which shard to go on.
    pub(super) turn: Mutex<usize>,
}

pub(super) struct Layout {
    pub(super) shards: Shards,
    /// The shards before, while there is something in them.
    pub(super) before: Option<Shards>,
}

pub(super) type Shards = Arc<[Mutex<Shard>]>;

/// What is known locally, and whether the shared store should be asked again in the background.
pub(super) struct Known {
    pub(super) answer: Answer,
    pub(super) stale: bool,
}

impl Local {
    pub(super) fn new(
        size: usize,
        idle: Duration,
        max_lifetime: Option<Duration>,
        metrics: TableMetrics,
    ) -> Self {
        let seed = Seed::random();
        let local = Self {
            layout: ArcSwap::from_pointee(Layout {
                shards: shards(shard_count(size), seed),
                before: None,
            }),
            names: Names::default(),
            followers: ArcSwap::default(),
            metrics,
            seed,
            len: AtomicUsize::new(0),
            size: AtomicUsize::new(0),
            idle: AtomicU32::new(0),
            max_lifetime: AtomicU32::new(0),
            turn: Mutex::new(0),
        };
        local.configure(size, idle, max_lifetime);
        local
    }

    /// Takes effect at once for what is asked, and by and by ([`Local::expire`]) for what is kept.
    pub(super) fn configure(&self, size: usize, idle: Duration, max_lifetime: Option<Duration>) {
        self.size.store(size.max(1), Relaxed);
        self.idle.store(ceiling_seconds(idle), Relaxed);
        self.max_lifetime
            .store(max_lifetime.map_or(0, ceiling_seconds), Relaxed);
    }

    /// Looks a session up and makes it the most recently used. `fresh` is for how many seconds the word of the shared store
    /// counts; `None`: there is none.
    pub(super) fn get(&self, key: SessionKey, now: Moment, fresh: Option<u32>) -> Known {
        let found = self.with(key, now, |place| {
            let Some((slot, record)) = place.live() else {
                return Err(place.remove());
            };
            place.shard.touch(slot, place.now);
            let age = place.now.saturating_sub(record.checked);
            let stale = fresh.is_some_and(|fresh| record.checked == 0 || age >= fresh);
            if stale && let Some(record) = place.shard.record_mut(slot) {
                // Nobody else asks in the meantime.
                record.checked = place.now;
            }
            Ok((record, stale))
        });
        let (answer, stale) = match found {
            Ok((record, stale)) => (self.binding(&record).map(Answer::Known), stale),
            Err(expired) => (expired.then_some(Answer::Expired), false),
        };
        Known {
            answer: answer.unwrap_or(Answer::Unknown),
            stale,
        }
    }

    /// Binds a session unless a live binding is there; gives what then holds.
    pub(super) fn bind(&self, key: SessionKey, server: &Arc<str>, now: Moment) -> Binding {
        self.set_unless(key, server, now, |_| true)
    }

    /// Binds a session to `to` unless it is, meanwhile, bound to a server other than `from`; gives what then holds.
    pub(super) fn rebind(
        &self,
        key: SessionKey,
        from: &str,
        to: &Arc<str>,
        now: Moment,
    ) -> Binding {
        let from = self.names.known(from);
        self.set_unless(key, to, now, |record| Some(record.server) != from)
    }

    /// Binds a session whatever was there, except that a live binding to the same server stays as it is. Gives what then
    /// holds, and whether that is news.
    pub(super) fn put(&self, key: SessionKey, server: &Arc<str>, now: Moment) -> (Binding, bool) {
        let number = self.names.number(server);
        let binding = self.set_unless(key, server, now, |record| Some(record.server) == number);
        let news = number.is_some() && binding.started == now;
        (binding, news)
    }

    /// Takes over what the shared store said at `now`. Of two bindings the one that began later counts, and of two that
    /// began at once the store's: so all nodes come to the same. Gives what then holds. `add`: also if the session is unknown
    /// here.
    pub(super) fn merge(
        &self,
        key: SessionKey,
        said: &Binding,
        now: Moment,
        add: bool,
    ) -> Option<Binding> {
        let server = self.names.number(&said.server)?;
        let said = Record {
            server,
            started: said.started.0,
            used: now.0,
            checked: now.0,
        };
        let record = self.with(key, now, |place| match place.live() {
            Some((_, record)) if record.started > said.started => Some(record),
            Some((slot, record)) => {
                let said = Record {
                    used: record.used,
                    ..said
                };
                if let Some(record) = place.shard.record_mut(slot) {
                    *record = said;
                }
                self.note(Change::Bound(key, said));
                Some(said)
            }
            None if !add => None,
            None => {
                place.set(said);
                Some(said)
            }
        })?;
        self.binding(&record)
    }

    /// As the shared store said at `now`, whatever is known here.
    pub(super) fn replace(&self, key: SessionKey, said: &Binding, now: Moment) {
        if let Some(server) = self.names.number(&said.server) {
            let record = Record {
                server,
                started: said.started.0,
                used: now.0,
                checked: now.0,
            };
            self.with(key, now, |place| place.set(record));
        }
    }

    /// Takes a session out.
    pub(super) fn forget(&self, key: SessionKey) {
        self.with(key, Moment(0), |place| {
            if place.remove() {
                self.note(Change::Gone(key));
            }
        });
    }

    /// Takes over what another process, or this one before its restart, knew of a session, unless a later binding is
    /// there. Returns whether that changed something.
    pub(super) fn restore(
        &self,
        key: SessionKey,
        server: &Arc<str>,
        started: u32,
        used: u32,
        now: Moment,
    ) -> bool {
        let Some(server) = self.names.number(server) else {
            return false;
        };
        let record = Record {
            server,
            started,
            used,
            checked: 0,
        };
        if !self.lives(&record, now.0) {
            return false;
        }
        self.with(key, now, |place| match place.live() {
            Some((_, there)) if there.started > started => false,
            Some((slot, there)) if there.started == started && there.server == server => {
                if let Some(there) = place.shard.record_mut(slot) {
                    there.used = there.used.max(used);
                }
                false
            }
            _ => {
                place.set(record);
                true
            }
        })
    }

    /// Tells the followers.
    pub(super) fn note(&self, change: Change) {
        for (feed, tag) in self.followers.load().iter() {
            feed.note(*tag, change);
        }
    }

    /// What is known of a session, without using it: the binding, and for how much longer it lives unless it is used.
    pub(super) fn peek(&self, key: SessionKey, now: Moment) -> Option<(Binding, Duration)> {
        let (_, record) = self.with(key, now, |place| place.live())?;
        let unused = now.0.saturating_sub(record.used);
        let left = self.idle.load(Relaxed).saturating_sub(unused);
        let left = Duration::from_secs(u64::from(left.max(1)));
        Some((self.binding(&record)?, left))
    }

    /// The idle timeout in seconds.
    pub(super) fn idle(&self) -> u32 {
        self.idle.load(Relaxed)
    }

    /// Seconds; 0 = for ever.
    pub(super) fn max_lifetime(&self) -> u32 {
        self.max_lifetime.load(Relaxed)
    }

    /// Entries there are, idle ones that nobody has met yet included.
    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Makes a new binding to `server`, unless there is a live one that `keep`s its place: that one is used instead.
    fn set_unless(
        &self,
        key: SessionKey,
        server: &Arc<str>,
        now: Moment,
        keep: impl FnOnce(&Record) -> bool,
    ) -> Binding {
        let kept = self.names.number(server).and_then(|number| {
            self.with(key, now, |place| match place.live() {
                Some((slot, record)) if keep(&record) => {
                    place.shard.touch(slot, place.now);
                    Some(record)
                }
                _ => {
                    place.set(Record {
                        server: number,
                        started: place.now,
                        used: place.now,
                        checked: 0,
                    });
                    None
                }
            })
        });
        kept.and_then(|record| self.binding(&record))
            .unwrap_or_else(|| Binding {
                server: Arc::clone(server),
                started: now,
            })
    }

    /// Does something at the place of a key. An entry that is still in a shard of before moves first.
    fn with<R>(&self, key: SessionKey, now: Moment, act: impl FnOnce(&mut Place<'_>) -> R) -> R {
        self.with_moved(key, now.0, End::Newest, act)
    }

    /// `end`: where an entry comes in that moves.
    pub(super) fn with_moved<R>(
        &self,
        key: SessionKey,
        now: u32,
        end: End,
        act: impl FnOnce(&mut Place<'_>) -> R,
    ) -> R {
        loop {
            let layout = self.layout.load();
            let Some((number, shard)) = self.shard_of(&layout.shards, key) else {
                continue; // can't be: there is always a shard
            };
            let mut shard = shard.lock();
            if shard.retired {
                continue;
            }
            let mut place = Place {
                local: self,
                shard: &mut shard,
                key,
                now,
                capacity: self.capacity(number, layout.shards.len()),
            };
            // Locked in this order everywhere: the shard, then the one before.
            let before = layout.before.as_ref();
            let before = before.and_then(|before| self.shard_of(before, key));
            let Some((_, before)) = before else {
                return act(&mut place);
            };
            let mut before = before.lock();
            if let Some(record) = before.remove(key.as_bytes()) {
                self.change_len(-1);
                place.move_in(record, end);
            }
            let done = act(&mut place);
            place.shed_from(&mut before);
            return done;
        }
    }

    fn shard_of<'a>(
        &self,
        shards: &'a Shards,
        key: SessionKey,
    ) -> Option<(usize, &'a Mutex<Shard>)> {
        // The index takes the low and the topmost bits of the same hash.
        let middle = usize::try_from(self.seed.hash(key.as_bytes()) >> 40 & 0xFFFF).unwrap_or(0);
        let number = middle % shards.len().max(1);
        shards.get(number).map(|shard| (number, shard))
    }

    /// Entries that shard `number` of `count` may hold.
    pub(super) fn capacity(&self, number: usize, count: usize) -> usize {
        let size = self.size.load(Relaxed);
        let share = size / count + usize::from(number < size % count);
        share.max(1)
    }

    pub(super) fn lives(&self, record: &Record, now: u32) -> bool {
        let max_lifetime = self.max_lifetime.load(Relaxed);
        !self.is_idle(record, now)
            && (max_lifetime == 0 || now.saturating_sub(record.started) <= max_lifetime)
    }

    pub(super) fn is_idle(&self, record: &Record, now: u32) -> bool {
        now.saturating_sub(record.used) > self.idle.load(Relaxed)
    }

    fn binding(&self, record: &Record) -> Option<Binding> {
        Some(Binding {
            server: self.names.name(record.server)?,
            started: Moment(record.started),
        })
    }

    pub(super) fn change_len(&self, by: isize) {
        self.len.fetch_add(by.cast_unsigned(), Relaxed);
        self.metrics.entries.add(i64::try_from(by).unwrap_or(0));
    }
}

#[cfg(test)]
impl Local {
    /// Bytes allocated for entries.
    pub(super) fn memory(&self) -> usize {
        let layout = self.layout.load();
        layout
            .shards
            .iter()
            .map(|shard| shard.lock().memory())
            .sum()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let left = i64::try_from(*self.len.get_mut()).unwrap_or(0);
        self.metrics.entries.sub(left);
    }
}

pub(super) fn shard_count(size: usize) -> usize {
    let wanted = (size / SHARD).clamp(1, MOST_SHARDS);
    // The power of two that is not above it.
    1 << wanted.ilog2()
}

pub(super) fn shards(count: usize, seed: Seed) -> Shards {
    (0..count).map(|_| Mutex::new(Shard::new(seed))).collect()
}

fn ceiling_seconds(duration: Duration) -> u32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX)
}
