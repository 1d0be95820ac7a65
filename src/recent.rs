//! What was met lately: keys, each until a moment, in bounded memory.
//!
//! Rate limits and passwords remember something of many keys for a while, and whoever sends requests chooses the
//! keys. Here a key takes a few bytes, and memory grows with the keys that are remembered up to a limit. At the limit
//! those go first that are over, then those that would be over soonest.

use std::array;

use hashbrown::HashTable;
use parking_lot::Mutex;

/// Parts with a lock of their own. A power of two.
const SHARDS: usize = 32;

/// The least that is made room for at once.
const FEW: usize = 16;

/// What is remembered: a digest already, by a key that nobody outside knows.
pub trait Key: Copy + Eq {
    /// Some of its bits.
    fn bits(&self) -> u64;
}

impl Key for u64 {
    fn bits(&self) -> u64 {
        *self
    }
}

impl Key for [u64; 2] {
    fn bits(&self) -> u64 {
        self[0]
    }
}

/// Keys, each until a moment. Moments are numbers; what they count is the user's business.
pub struct Recent<K> {
    shards: [Mutex<Shard<K>>; SHARDS],
    /// Keys in a shard at most.
    most: usize,
}

/// A lock's worth of keys, on cache lines of its own.
#[repr(align(64))]
struct Shard<K> {
    entries: HashTable<(K, u64)>,
}

impl<K: Key> Recent<K> {
    /// Room for `size` keys; it takes memory as they come.
    pub fn new(size: usize) -> Self {
        Self {
            shards: array::from_fn(|_| {
                Mutex::new(Shard {
                    entries: HashTable::new(),
                })
            }),
            most: (size / SHARDS).max(FEW),
        }
    }

    /// Changes until when a key is remembered. `change` is given the moment that holds, 0 for a key that isn't there, and
    /// returns the new one, or `None` to leave it as it is. That is one step, also when others ask for the same key.
    pub fn update<R>(&self, key: K, now: u64, change: impl FnOnce(u64) -> (Option<u64>, R)) -> R {
        let bits = key.bits();
        // The table within uses the lowest and the highest bits.
        let at = (bits >> 40) as usize % SHARDS;
        let Some(shard) = self.shards.get(at) else {
            return change(0).1;
        };
        let mut shard = shard.lock();
        if let Some((_, until)) = shard.entries.find_mut(bits, |(other, _)| *other == key) {
            let (next, answer) = change(*until);
            *until = next.unwrap_or(*until);
            return answer;
        }
        let (next, answer) = change(0);
        if let Some(until) = next {
            shard.make_room(self.most, now);
            shard
                .entries
                .insert_unique(bits, (key, until), |(key, _)| key.bits());
        }
        answer
    }

    /// Keys in memory.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().entries.len()).sum()
    }

    /// Bytes allocated.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let allocated = |shard: &Mutex<Shard<K>>| shard.lock().entries.allocation_size();
        self.shards.iter().map(allocated).sum()
    }
}

impl<K: Key> Shard<K> {
    /// Sees to it that one more fits. Its cost is shared by the many that fit then.
    fn make_room(&mut self, most: usize, now: u64) {
        let entries = &mut self.entries;
        if entries.len() < entries.capacity().min(most) {
            return;
        }
        entries.retain(|(_, until)| *until > now);
        let wanted = (most / 16).max(1);
        let mut excess = (entries.len() + wanted).saturating_sub(most);
        if excess > 0 {
            let mut moments: Vec<u64> = entries.iter().map(|(_, until)| *until).collect();
            let nth = (excess - 1).min(moments.len().saturating_sub(1));
            let (_, &mut last, _) = moments.select_nth_unstable(nth);
            entries.retain(|(_, until)| {
                let goes = excess > 0 && *until <= last;
                excess -= usize::from(goes);
                !goes
            });
        }
        let room = (entries.len() / 2)
            .max(FEW)
            .min(most.saturating_sub(entries.len()));
        entries.reserve(room, |(key, _)| key.bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spread over all bits, as digests are.
    fn key(n: u64) -> u64 {
        (n + 1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(17)
            .wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    fn put(recent: &Recent<u64>, n: u64, until: u64, now: u64) {
        recent.update(key(n), now, |_| (Some(until), ()));
    }

    fn until(recent: &Recent<u64>, n: u64) -> u64 {
        recent.update(key(n), 0, |until| (None, until))
    }

    #[test]
    fn what_is_put_in_is_there_until_changed() {
        let recent = Recent::new(1000);
        assert_eq!(until(&recent, 1), 0);
        put(&recent, 1, 7, 0);
        put(&recent, 2, 8, 0);
        assert_eq!((until(&recent, 1), until(&recent, 2)), (7, 8));
        put(&recent, 1, 9, 0);
        assert_eq!((until(&recent, 1), recent.len()), (9, 2));
    }

    #[test]
    fn asking_alone_takes_no_memory() {
        let recent = Recent::new(1000);
        for n in 0..1000 {
            until(&recent, n);
        }
        assert_eq!((recent.len(), recent.memory()), (0, 0));
    }

    #[test]
    fn however_many_come_memory_is_bounded_and_the_most_stay() {
        let recent = Recent::new(100_000);
        for n in 0..300_000 {
            put(&recent, n, n + 1, 0);
            if n % 50_000 == 0 {
                assert!(recent.len() <= 100_000);
            }
        }
        assert!(recent.len() <= 100_000);
        assert!(recent.memory() < 5_000_000, "{}", recent.memory());
        // Those that would be over last, but for the unevenness of the parts.
        let newest = (210_000..300_000).filter(|&n| until(&recent, n) > 0);
        assert!(newest.count() > 88_000);
    }

    #[test]
    fn memory_follows_what_lives_rather_than_what_was_ever_there() {
        let recent = Recent::new(100_000);
        for now in 1..100_000 {
            // A hundred live at any time.
            put(&recent, now, now + 100, now);
        }
        assert!(recent.memory() < 64 << 10, "{}", recent.memory());
    }

    #[test]
    fn who_is_remembered_longest_is_not_pushed_out_by_many() {
        let recent = Recent::new(10_000);
        for n in 0..100 {
            put(&recent, n, 1_000_000, 0);
        }
        for n in 100..50_000 {
            put(&recent, n, 10, 0);
        }
        assert!((0..100).all(|n| until(&recent, n) == 1_000_000));
    }

    #[test]
    fn equal_moments_do_not_go_all_at_once() {
        let recent = Recent::new(SHARDS * 100);
        for n in 0..20_000 {
            put(&recent, n, 5, 0);
        }
        assert!(recent.len() > SHARDS * 80, "{}", recent.len());
    }
}
