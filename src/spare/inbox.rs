//! What has come on a connection and hasn't been taken yet.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use bytes::BytesMut;

/// Buffers of about one size that a thread keeps, in a `thread_local!`.
pub struct Buffers {
    kept: RefCell<Vec<BytesMut>>,
    size: usize,
    /// How many are kept.
    most: usize,
}

impl Buffers {
    /// None yet. No more than `most` are kept.
    pub const fn new(size: usize, most: usize) -> Self {
        Self {
            kept: RefCell::new(Vec::new()),
            size,
            most,
        }
    }

    /// A buffer with room for so many bytes, if they fit in one of these.
    fn take(&self, room: usize) -> Option<BytesMut> {
        if room > self.size {
            return None;
        }
        let kept = self.kept.borrow_mut().pop();
        Some(kept.unwrap_or_else(|| BytesMut::with_capacity(self.size)))
    }

    /// Takes a buffer out of its place, unless others still look at what came in it.
    fn keep(&self, place: &mut BytesMut) {
        if !place.try_reclaim(self.size) {
            return;
        }
        let buffer = std::mem::take(place);
        let mut kept = self.kept.borrow_mut();
        if kept.len() < self.most && buffer.capacity() < self.size * 2 {
            kept.push(buffer);
        }
    }
}

/// What has come on a connection and hasn't been taken yet. It has a buffer of the thread's while something is in it.
pub struct Inbox {
    bytes: BytesMut,
    buffers: &'static LocalKey<Buffers>,
}

impl Inbox {
    /// Empty, to be filled in one of these buffers.
    pub fn new(buffers: &'static LocalKey<Buffers>) -> Self {
        Self {
            bytes: BytesMut::new(),
            buffers,
        }
    }

    /// Makes room for so many more bytes.
    pub fn reserve(&mut self, room: usize) {
        if self.bytes.is_empty() && !self.bytes.try_reclaim(room) {
            self.let_go();
            // At the thread's end there are none.
            let of_thread = self.buffers.try_with(|buffers| buffers.take(room));
            self.bytes = of_thread.ok().flatten().unwrap_or_default();
        }
        self.bytes.reserve(room);
    }

    /// Gives the buffer back to the thread, if nothing is in it. What others still look at stays: so long it is no burden.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() {
            let _ = self
                .buffers
                .try_with(|buffers| buffers.keep(&mut self.bytes));
        }
    }

    /// The same, but what others still look at is theirs from now on.
    pub fn let_go(&mut self) {
        self.rest();
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }

    /// What is in it, taken out with its buffer.
    pub fn into_bytes(mut self) -> BytesMut {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.bytes.clear();
        self.rest();
    }
}

impl Deref for Inbox {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.bytes
    }
}

impl DerefMut for Inbox {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static BUFFERS: Buffers = const { Buffers::new(64, 2) };
    }

    fn kept() -> usize {
        BUFFERS.with(|buffers| buffers.kept.borrow().len())
    }

    #[test]
    fn a_buffer_comes_back_when_nobody_looks_at_it() {
        let mut inbox = Inbox::new(&BUFFERS);
        inbox.reserve(64);
        inbox.extend_from_slice(b"head");
        let at = inbox.as_ptr();
        inbox.rest();
        assert_eq!(kept(), 0, "something is in it");
        let head = inbox.split_to(4).freeze();
        inbox.rest();
        assert_eq!((kept(), inbox.capacity()), (0, 60), "it is looked at");
        drop(head);
        inbox.rest();
        assert_eq!((kept(), inbox.capacity()), (1, 0));
        inbox.reserve(64);
        assert_eq!((kept(), inbox.as_ptr()), (0, at));
        inbox.reserve(1000);
        assert_eq!(kept(), 1, "a larger one was needed");
    }

    #[test]
    fn what_is_looked_at_can_be_left_to_others() {
        let mut inbox = Inbox::new(&BUFFERS);
        inbox.reserve(64);
        inbox.extend_from_slice(b"head");
        let head = inbox.split_to(4).freeze();
        inbox.let_go();
        assert_eq!((kept(), inbox.capacity()), (0, 0));
        assert_eq!(*head, *b"head");
    }

    #[test]
    fn large_buffers_and_too_many_arent_kept() {
        let of = |size| {
            let mut inbox = Inbox::new(&BUFFERS);
            inbox.reserve(size);
            inbox
        };
        drop(of(1000));
        assert_eq!(kept(), 0);
        drop([of(1), of(1), of(1)]);
        assert_eq!(kept(), 2);
    }
}
