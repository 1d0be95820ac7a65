//! What a table does by and by: taking out what is idle or too much, moving entries to other shards, visiting all of
//! them. Each step is short and holds one shard's lock.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use super::local::{Layout, Local, Shards, shard_count, shards};
use super::shard::{End, Record, Shard};
use crate::persistence::{Moment, SessionKey};

/// Entries that are looked at while one lock is held.
const CHUNK: usize = 64;
/// The same where all are copied.
const MANY: usize = 1024;

/// A place to go on from when all entries are visited.
#[derive(Default, Clone, Copy)]
pub(super) struct Cursor {
    shard: usize,
    slot: usize,
}

impl Local {
    /// Takes out idle entries and such as are too many, and moves entries to their new shards, `budget` of them in all at most.
    pub(super) fn expire(&self, now: Moment, mut budget: usize) {
        let Some(mut turn) = self.turn.try_lock() else {
            return;
        };
        let now = now.0;
        let layout = self.layout.load_full();
        if let Some(before) = &layout.before {
            budget = self.migrate(before, now, budget);
        } else if layout.shards.len() != shard_count(self.size.load(Relaxed)) {
            self.lay_out_anew(&layout);
            return;
        }
        for _ in 0..layout.shards.len() {
            if budget == 0 {
                return;
            }
            *turn = (*turn + 1) % layout.shards.len();
            if let Some(shard) = layout.shards.get(*turn) {
                let capacity = self.capacity(*turn, layout.shards.len());
                budget = self.clear_away(shard, capacity, now, budget);
            }
        }
    }

    /// Live entries from `cursor` on, some at a time; `None` after the last.
    pub(super) fn walk(&self, cursor: Cursor, now: Moment) -> Option<(Cursor, Vec<SessionKey>)> {
        let now = now.0;
        let layout = self.layout.load();
        let shard = layout.shards.get(cursor.shard)?.lock();
        let Some(records) = shard.walk(cursor.slot, CHUNK) else {
            let next = Cursor {
                shard: cursor.shard + 1,
                slot: 0,
            };
            return Some((next, Vec::new()));
        };
        let live = records
            .filter(|(_, record)| self.lives(record, now))
            .map(|(key, _)| SessionKey::from_bytes(key))
            .collect();
        let next = Cursor {
            slot: cursor.slot + CHUNK,
            ..cursor
        };
        Some((next, live))
    }

    /// Calls `visit` with all live entries, some at a time. One that changes meanwhile may be visited as it was before, one
    /// that moves meanwhile twice.
    pub(super) fn each<E>(
        &self,
        now: Moment,
        mut visit: impl FnMut(Vec<(SessionKey, Record)>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut layout = self.layout.load_full();
        loop {
            for shard in layout
                .before
                .iter()
                .chain([&layout.shards])
                .flat_map(|all| all.iter())
            {
                let mut from = 0;
                loop {
                    let locked = shard.lock();
                    let Some(records) = locked.walk(from, MANY) else {
                        break;
                    };
                    let live: Vec<_> = records
                        .filter(|(_, record)| self.lives(record, now.0))
                        .map(|(key, record)| (SessionKey::from_bytes(key), record))
                        .collect();
                    drop(locked);
                    from += MANY;
                    visit(live)?;
                }
            }
            let next = self.layout.load_full();
            // What was to be visited may have moved to where nobody has looked.
            if Arc::ptr_eq(&next.shards, &layout.shards) {
                return Ok(());
            }
            layout = next;
        }
    }

    /// Makes shards for the size that is configured now, to which the entries then move.
    fn lay_out_anew(&self, layout: &Layout) {
        let guards: Vec<_> = layout.shards.iter().map(Mutex::lock).collect();
        self.layout.store(Arc::new(Layout {
            shards: shards(shard_count(self.size.load(Relaxed)), self.seed),
            before: Some(Arc::clone(&layout.shards)),
        }));
        // Who waits for one of these locks finds the flag, and then the new layout.
        for mut guard in guards {
            guard.retired = true;
        }
    }

    /// Moves entries to their new shards, the most recently used of each old shard first and in front of none that was used since.
    fn migrate(&self, before: &Shards, now: u32, mut budget: usize) -> usize {
        loop {
            let mut left = false;
            for shard in before.iter() {
                if budget == 0 {
                    return 0;
                }
                let next = shard.lock().at(End::Newest);
                if let Some((key, _)) = next {
                    left = true;
                    budget -= 1;
                    self.with_moved(SessionKey::from_bytes(key), now, End::Oldest, |_| ());
                }
            }
            if !left {
                let layout = self.layout.load_full();
                self.layout.store(Arc::new(Layout {
                    shards: Arc::clone(&layout.shards),
                    before: None,
                }));
                return budget;
            }
        }
    }

    /// Takes the idle and the surplus out of a shard.
    fn clear_away(
        &self,
        shard: &Mutex<Shard>,
        capacity: usize,
        now: u32,
        mut budget: usize,
    ) -> usize {
        loop {
            let mut shard = shard.lock();
            for _ in 0..CHUNK.min(budget) {
                let Some((key, record)) = shard.at(End::Oldest) else {
                    shard.release_if_empty();
                    return budget;
                };
                let idle = self.is_idle(&record, now);
                if !idle && shard.len() <= capacity {
                    return budget;
                }
                shard.remove(&key);
                self.change_len(-1);
                if !idle {
                    self.metrics.evictions.inc();
                }
                budget -= 1;
            }
            if budget == 0 {
                return 0;
            }
        }
    }
}
