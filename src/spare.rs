//! Memory that is needed no more, kept by its thread for the next who needs such: that takes less time than to ask the
//! allocator, and what was used last is still in the processor's cache.

use std::cell::RefCell;
use std::thread::LocalKey;

mod inbox;

pub use inbox::{Buffers, Inbox};

/// Vectors of one kind that a thread keeps, in a `thread_local!`.
pub struct Spare<T> {
    kept: RefCell<Vec<Vec<T>>>,
    /// The room of a new one.
    room: usize,
    /// Those with more room aren't kept.
    largest: usize,
    /// How many are kept.
    most: usize,
}

impl<T> Spare<T> {
    /// None yet. New ones have `room`, those with more than `largest` aren't kept, and no more than `most`.
    pub const fn new(room: usize, largest: usize, most: usize) -> Self {
        Self {
            kept: RefCell::new(Vec::new()),
            room,
            largest,
            most,
        }
    }

    /// An empty one.
    pub fn take(&self) -> Vec<T> {
        let kept = self.kept.borrow_mut().pop();
        kept.unwrap_or_else(|| Vec::with_capacity(self.room))
    }

    /// Takes one that is needed no more.
    pub fn give_back(&self, mut vector: Vec<T>) {
        if vector.capacity() < self.room || vector.capacity() > self.largest {
            return;
        }
        vector.clear();
        let mut kept = self.kept.borrow_mut();
        if kept.len() < self.most {
            kept.push(vector);
        }
    }
}

/// An empty vector of the thread's spare ones.
pub fn take<T>(spare: &'static LocalKey<Spare<T>>) -> Vec<T> {
    // At the thread's end there are none.
    spare.try_with(Spare::take).unwrap_or_default()
}

/// Gives one back, if there is one.
pub fn give_back<T>(spare: &'static LocalKey<Spare<T>>, vector: Vec<T>) {
    if vector.capacity() > 0 {
        // At the thread's end there is nobody to keep it for.
        let _ = spare.try_with(|spare| spare.give_back(vector));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_use_is_kept_and_comes_back_empty() {
        let spare: Spare<u8> = Spare::new(8, 16, 1);
        let mut first = spare.take();
        first.extend_from_slice(b"left over");
        let at = first.as_ptr();
        spare.give_back(first);
        spare.give_back(Vec::with_capacity(16));
        let again = spare.take();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        spare.give_back(Vec::with_capacity(17));
        spare.give_back(Vec::with_capacity(7));
        assert!(spare.kept.borrow().is_empty());
    }
}
