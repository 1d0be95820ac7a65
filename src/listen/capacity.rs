//! A number of places that can be changed while they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places, handed out in the order in which they were asked for.
pub struct Capacity {
    places: Arc<Semaphore>,
    size: Mutex<usize>,
    /// Places that are taken beyond the size, since it shrank: they are not handed out again.
    surplus: AtomicUsize,
}

/// A place; given back when this is dropped.
pub struct CapacityPlace {
    permit: Option<OwnedSemaphorePermit>,
    of: Arc<Capacity>,
}

impl Capacity {
    /// `size` places; as many as anybody may want if there is no limit (`None`).
    pub fn new(size: Option<usize>) -> Arc<Self> {
        let size = bounded(size);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(size)),
            size: Mutex::new(size),
            surplus: AtomicUsize::new(0),
        })
    }

    /// Changes the number of places. Who has one keeps it; if more are taken than there are now, none is handed out
    /// until as many have been given back.
    pub fn resize(&self, size: Option<usize>) {
        let wanted = bounded(size);
        let mut size = self.size.lock();
        if wanted > *size {
            let more = wanted - *size;
            // Those that are taken beyond the old size are places again before new ones are made.
            let made = more - self.absolve(more);
            self.places.add_permits(made);
        } else {
            let fewer = *size - wanted;
            let free = self.places.forget_permits(fewer);
            self.surplus.fetch_add(fewer - free, Ordering::AcqRel);
        }
        *size = wanted;
    }

    /// Waits for a place.
    pub async fn take(self: &Arc<Self>) -> Option<CapacityPlace> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(self.place(permit))
    }

    /// A place, if there is one now.
    pub fn take_now(self: &Arc<Self>) -> Option<CapacityPlace> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(self.place(permit))
    }

    fn place(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> CapacityPlace {
        CapacityPlace {
            permit: Some(permit),
            of: Arc::clone(self),
        }
    }

    /// Strikes off up to `count` places of the surplus. Returns how many.
    fn absolve(&self, count: usize) -> usize {
        let mut struck = 0;
        // It always succeeds: the closure never refuses.
        let _ = self
            .surplus
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |surplus| {
                struck = surplus.min(count);
                Some(surplus - struck)
            });
        struck
    }
}

impl Drop for CapacityPlace {
    fn drop(&mut self) {
        if self.of.surplus.load(Ordering::Acquire) > 0
            && self.of.absolve(1) == 1
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

fn bounded(size: Option<usize>) -> usize {
    size.map_or(Semaphore::MAX_PERMITS, |size| {
        size.min(Semaphore::MAX_PERMITS)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_shrank_hands_out_none_until_enough_came_back() {
        let capacity = Capacity::new(Some(3));
        let mut held: Vec<_> = (0..3).filter_map(|_| capacity.take_now()).collect();
        assert!(held.len() == 3 && capacity.take_now().is_none());
        capacity.resize(Some(1));
        held.pop();
        assert!(capacity.take_now().is_none());
        held.pop();
        assert!(capacity.take_now().is_none());
        held.pop();
        assert!(capacity.take_now().is_some());
        capacity.resize(None);
        assert!(capacity.take_now().is_some());
    }

    proptest! {
        /// Whatever happens, a place is had exactly when fewer are taken than there are.
        #[test]
        fn there_are_as_many_places_as_the_size_says(
            first in 0..5_usize,
            steps in prop::collection::vec(prop_oneof![
                2 => Just(None),
                1 => prop::option::of(0..6_usize).prop_map(|size| Some(Err(size))),
                2 => any::<prop::sample::Index>().prop_map(|which| Some(Ok(which))),
            ], 0..60),
        ) {
            let capacity = Capacity::new(Some(first));
            let (mut size, mut held) = (Some(first), Vec::new());
            for step in steps {
                match step {
                    None => {
                        let place = capacity.take_now();
                        prop_assert_eq!(place.is_some(), size.is_none_or(|size| held.len() < size));
                        held.extend(place);
                    }
                    Some(Err(wanted)) => {
                        capacity.resize(wanted);
                        size = wanted;
                    }
                    Some(Ok(which)) if !held.is_empty() => {
                        held.swap_remove(which.index(held.len()));
                    }
                    Some(Ok(_)) => {}
                }
            }
        }
    }
}
