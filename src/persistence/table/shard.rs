//! One part of the session table: a slab of entries, a hash index into it, and through it a list from the newest used entry
//! to the oldest. Every operation is a few steps whatever the size, and none allocates in a full shard.

use hashbrown::HashTable;

use super::hash::Seed;

/// "No entry" in a link.
const NONE: u32 = u32::MAX;

/// The first allocation.
const FEW: usize = 16;

/// What is remembered of a session. Times are whole seconds of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Its server, as an index into the table's names.
    pub(super) server: u32,
    /// When it was balanced.
    pub(super) started: u32,
    /// When it was used last.
    pub(super) used: u32,
    /// When the shared store was asked about it last; 0 = it knows nothing of it yet.
    pub(super) checked: u32,
}

/// A record and its place: 40 bytes.
struct Entry {
    key: [u8; 16],
    record: Record,
    /// The next one towards the newest; in a free slot, the next free one.
    newer: u32,
    older: u32,
}

/// Where an entry is in the slab; good until the entry is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot(u32);

/// Which end of the list an entry comes in at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Newest,
    Oldest,
}

/// A least-recently-used map from keys to records.
pub(super) struct Shard {
    slab: Vec<Entry>,
    free: u32,
    index: HashTable<u32>,
    newest: u32,
    oldest: u32,
    seed: Seed,
    /// Its entries are moving elsewhere: nothing may be added, look up the table's layout again.
    pub(super) retired: bool,
}

impl Shard {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            slab: Vec::new(),
            free: NONE,
            index: HashTable::new(),
            newest: NONE,
            oldest: NONE,
            seed,
            retired: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn find(&self, key: &[u8; 16]) -> Option<Slot> {
        let slab = &self.slab;
        self.index
            .find(self.seed.hash(key), |&slot| has_key(slab, slot, key))
            .map(|&slot| Slot(slot))
    }

    pub(super) fn record(&self, slot: Slot) -> Option<&Record> {
        self.slab.get(slot.0 as usize).map(|entry| &entry.record)
    }

    pub(super) fn record_mut(&mut self, slot: Slot) -> Option<&mut Record> {
        self.entry(slot.0).map(|entry| &mut entry.record)
    }

    /// Makes it the newest.
    pub(super) fn touch(&mut self, slot: Slot, now: u32) {
        if self.newest != slot.0 {
            self.unlink(slot.0);
            self.link(slot.0, End::Newest);
        }
        if let Some(record) = self.record_mut(slot) {
            record.used = now;
        }
    }

    /// Adds a key that is not there. `capacity` only says how far memory may grow ahead of need.
    pub(super) fn insert(&mut self, key: [u8; 16], record: Record, end: End, capacity: usize) {
        let entry = Entry {
            key,
            record,
            newer: NONE,
            older: NONE,
        };
        let slot = if self.free == NONE {
            let Some(slot) = u32::try_from(self.slab.len()).ok().filter(|&n| n != NONE) else {
                return;
            };
            if self.slab.len() == self.slab.capacity() {
                // Doubling, but never past what a full shard needs.
                let room = capacity.saturating_sub(self.slab.len()).max(1);
                self.slab.reserve_exact(self.slab.len().max(FEW).min(room));
            }
            self.slab.push(entry);
            slot
        } else {
            let slot = self.free;
            if let Some(place) = self.slab.get_mut(slot as usize) {
                self.free = place.newer;
                *place = entry;
            }
            slot
        };
        self.link(slot, end);
        let (slab, seed) = (&self.slab, &self.seed);
        self.index.insert_unique(seed.hash(&key), slot, |&slot| {
            slab.get(slot as usize)
                .map_or(0, |entry| seed.hash(&entry.key))
        });
    }

    pub(super) fn remove(&mut self, key: &[u8; 16]) -> Option<Record> {
        let slab = &self.slab;
        let found = self
            .index
            .find_entry(self.seed.hash(key), |&slot| has_key(slab, slot, key));
        let (slot, _) = found.ok()?.remove();
        self.unlink(slot);
        let free = self.free;
        let entry = self.entry(slot)?;
        entry.newer = free;
        let record = entry.record;
        self.free = slot;
        Some(record)
    }

    /// The entry at an end of the list.
    pub(super) fn at(&self, end: End) -> Option<([u8; 16], Record)> {
        let slot = match end {
            End::Newest => self.newest,
            End::Oldest => self.oldest,
        };
        let entry = self.slab.get(slot as usize)?;
        Some((entry.key, entry.record))
    }

    /// The records in slots from `from` on, `count` slots at most, free ones left out; `None` behind the last.
    pub(super) fn walk(
        &self,
        from: usize,
        count: usize,
    ) -> Option<impl Iterator<Item = ([u8; 16], Record)>> {
        let rest = self.slab.get(from..).filter(|rest| !rest.is_empty())?;
        let linked = |slot: usize, entry: &Entry| {
            // A free slot's key is not in the index, or is at another slot.
            self.find(&entry.key) == u32::try_from(slot).ok().map(Slot)
        };
        Some(
            rest.iter()
                .take(count)
                .enumerate()
                .filter(move |(n, entry)| linked(from + n, entry))
                .map(|(_, entry)| (entry.key, entry.record)),
        )
    }

    /// Gives memory back once nothing is in it.
    pub(super) fn release_if_empty(&mut self) {
        if self.index.is_empty() && self.slab.capacity() > FEW {
            *self = Self {
                retired: self.retired,
                ..Self::new(self.seed)
            };
        }
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.slab.capacity() * size_of::<Entry>() + self.index.allocation_size()
    }

    fn entry(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slab.get_mut(slot as usize)
    }

    fn link(&mut self, slot: u32, end: End) {
        let (newer, older) = match end {
            End::Newest => (NONE, self.newest),
            End::Oldest => (self.oldest, NONE),
        };
        if let Some(entry) = self.entry(slot) {
            (entry.newer, entry.older) = (newer, older);
        }
        self.join(newer, slot);
        self.join(slot, older);
    }

    fn unlink(&mut self, slot: u32) {
        if let Some((newer, older)) = self.entry(slot).map(|entry| (entry.newer, entry.older)) {
            self.join(newer, older);
        }
    }

    /// Makes them neighbours; `NONE` is the end of the list on that side.
    fn join(&mut self, newer: u32, older: u32) {
        match self.entry(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entry(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

fn has_key(slab: &[Entry], slot: u32, key: &[u8; 16]) -> bool {
    slab.get(slot as usize)
        .is_some_and(|entry| entry.key == *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_forty_bytes() {
        assert_eq!(size_of::<Entry>(), 40);
    }
}
