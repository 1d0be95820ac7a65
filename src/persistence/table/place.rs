//! A key's place in the table, with its shard locked: what may be done there so that the table's counts and bounds hold.

use std::sync::atomic::Ordering::Relaxed;

use super::feed::Change;
use super::local::Local;
use super::shard::{End, Record, Shard, Slot};
use crate::persistence::SessionKey;

/// Entries that an addition takes out at most, so that shrinking doesn't stall it.
const SHED: usize = 2;

/// A key's place in its shard, which is locked.
pub(super) struct Place<'a> {
    pub(super) local: &'a Local,
    pub(super) shard: &'a mut Shard,
    pub(super) key: SessionKey,
    pub(super) now: u32,
    pub(super) capacity: usize,
}

impl Place<'_> {
    /// The entry, if it has not expired.
    pub(super) fn live(&self) -> Option<(Slot, Record)> {
        let slot = self.shard.find(self.key.as_bytes())?;
        let record = *self.shard.record(slot)?;
        self.local
            .lives(&record, self.now)
            .then_some((slot, record))
    }

    pub(super) fn remove(&mut self) -> bool {
        let removed = self.shard.remove(self.key.as_bytes()).is_some();
        if removed {
            self.local.change_len(-1);
        }
        removed
    }

    /// Makes it the newest entry; others go if there is no place.
    pub(super) fn set(&mut self, record: Record) {
        self.remove();
        for _ in 0..SHED {
            if self.shard.len() >= self.capacity {
                evict_oldest(self.local, self.shard, self.now);
            }
        }
        self.insert(record, End::Newest);
        self.local.note(Change::Bound(self.key, record));
    }

    /// Takes over an entry that was elsewhere. At the old end it only fills what is free.
    pub(super) fn move_in(&mut self, record: Record, end: End) {
        match end {
            End::Newest => self.set(record),
            End::Oldest if self.shard.len() < self.capacity => self.insert(record, end),
            End::Oldest => self.local.metrics.evictions.inc(),
        }
    }

    fn insert(&mut self, record: Record, end: End) {
        self.shard
            .insert(*self.key.as_bytes(), record, end, self.capacity);
        self.local.change_len(1);
    }

    /// While entries move there are two sets of shards; together they shall not hold more than one may.
    pub(super) fn shed_from(&self, before: &mut Shard) {
        for _ in 0..SHED {
            if self.local.len() > self.local.size.load(Relaxed) {
                evict_oldest(self.local, before, self.now);
            }
        }
    }
}

fn evict_oldest(local: &Local, shard: &mut Shard, now: u32) {
    if let Some((key, record)) = shard.at(End::Oldest) {
        shard.remove(&key);
        local.change_len(-1);
        if !local.is_idle(&record, now) {
            local.metrics.evictions.inc();
        }
    }
}
