//! Idle connections to servers: bounded by a share of the budget, and given up for those that are needed.
//!
//! Whoever keeps them is asked to give one up when a connection is wanted and there is no descriptor for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Who keeps idle connections.
pub trait Keeper: Send + Sync {
    /// Closes the connection that has been idle for the longest time. False: there is none.
    fn give_up_one(&self) -> bool;
}

/// All of them, and where to look next.
static KEEPERS: Mutex<(Vec<Weak<dyn Keeper>>, usize)> = Mutex::new((Vec::new(), 0));

static IDLE: AtomicUsize = AtomicUsize::new(0);

/// Has a keeper asked, as long as it is there.
pub fn register(keeper: Weak<dyn Keeper>) {
    let mut keepers = KEEPERS.lock();
    keepers.0.retain(|keeper| keeper.strong_count() > 0);
    keepers.0.push(keeper);
}

/// One idle connection, for as long as this is there.
#[derive(Debug)]
pub struct Rest(());

impl Rest {
    /// `None`: there are as many as there may be, or somebody waits for the descriptor.
    pub fn begin() -> Option<Self> {
        let most = super::shares().map_or(usize::MAX, |shares| shares.idle);
        if super::is_waited() {
            return None;
        }
        let taken = IDLE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |idle| {
            (idle < most).then_some(idle + 1)
        });
        taken.ok().map(|_| Self(()))
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        IDLE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives up an idle connection, if there is one. Returns whether there was.
pub fn give_up_one() -> bool {
    let mut tried = 0;
    loop {
        // The keeper takes locks of its own, and may be dropped here.
        let Some((keeper, all)) = next() else {
            return false;
        };
        if keeper.is_some_and(|keeper| keeper.give_up_one()) {
            return true;
        }
        tried += 1;
        if tried >= all {
            return false;
        }
    }
}

/// The keeper whose turn it is, and how many there are.
fn next() -> Option<(Option<Arc<dyn Keeper>>, usize)> {
    let mut keepers = KEEPERS.lock();
    let (list, at) = &mut *keepers;
    let all = list.len();
    *at = at.wrapping_add(1).checked_rem(all)?;
    let keeper = list.get(*at).and_then(Weak::upgrade);
    Some((keeper, all))
}

/// How many there are.
pub fn count() -> usize {
    IDLE.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Some(AtomicUsize);

    impl Keeper for Some {
        fn give_up_one(&self) -> bool {
            let left = self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                });
            left.is_ok()
        }
    }

    #[test]
    fn all_are_given_up_one_after_the_other_whoever_keeps_them() {
        let keepers = [0, 2, 1, 0].map(|count| Arc::new(Some(AtomicUsize::new(count))));
        for keeper in &keepers {
            let weak: Weak<Some> = Arc::downgrade(keeper);
            register(weak);
        }
        assert_eq!((0..10).filter(|_| give_up_one()).count(), 3);
    }
}
