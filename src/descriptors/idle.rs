//! Idle connections to servers, as far as they can be given up.
//!
//! Pingora keeps them, and closes one on which the end comes. So one is given up by shutting it down: whoever waits for its
//! next bytes, in Pingora's pool, meets its end and lets go of it. There is a word for each descriptor's number that says
//! who has it, and it is always the last word: a request that takes a connection at the moment at which it is given up
//! learns that, and takes another one.
//!
//! A number is in this table from when its connection is made until just before it is closed, so never for somebody else's
//! file.

use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::Mutex;

/// Nothing of ours, or nothing that could be given up.
const NOTHING: usize = 0;
/// An idle connection.
const IDLE: usize = 1;
/// An idle connection that was shut down.
const GIVEN_UP: usize = 2;

/// Numbers beyond are not given up; the lowest free one is taken for a new file.
const MOST: usize = 1 << 20;

/// Words of a chunk.
const CHUNK: usize = 4096;

static TABLE: OnceLock<Table> = OnceLock::new();

/// Who holds a connection: anything that no two have at the same time, such as a place in memory.
#[derive(Debug, Clone, Copy)]
pub struct Holder(usize);

impl Holder {
    /// Of whoever is at that place in memory for as long as it holds a connection.
    pub fn at<T>(place: &T) -> Self {
        // Never one of the words above: the first addresses are nobody's.
        Self(std::ptr::from_ref(place).addr().max(GIVEN_UP + 1))
    }
}

struct Table {
    /// Made as numbers come up, which they do from the lowest on.
    chunks: Box<[OnceLock<Box<[AtomicUsize]>>]>,
    /// Held by who shuts one down, with the number at which to look next.
    next: Mutex<usize>,
}

/// Knows connections by numbers below `limit` from now on.
pub(super) fn watch(limit: usize) {
    TABLE.get_or_init(|| Table::new(limit.min(MOST)));
}

/// The connection is `holder`'s now: it was made, or taken from among the idle ones. False if it has just been given up.
pub fn hold(number: RawFd, holder: Holder) -> bool {
    TABLE.get().is_none_or(|table| table.hold(number, holder))
}

/// The connection is idle now if it is still `holder`'s. It is given up at once if somebody waits for a place.
pub fn rest(number: RawFd, holder: Holder) {
    if let Some(table) = TABLE.get()
        && table.rest(number, holder)
        && super::is_waited()
    {
        table.give_up(number);
    }
}

/// The connection is about to be closed.
pub fn forget(number: RawFd) {
    if let Some(table) = TABLE.get() {
        table.forget(number);
    }
}

/// Gives up an idle connection, if there is one. Returns whether there was.
pub fn give_up_one() -> bool {
    TABLE.get().is_some_and(Table::give_up_one)
}

/// How many there are.
pub fn count() -> usize {
    TABLE.get().map_or(0, Table::count)
}

impl Table {
    fn new(size: usize) -> Self {
        Self {
            chunks: (0..size.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect(),
            next: Mutex::new(0),
        }
    }

    fn word(&self, number: RawFd) -> Option<&AtomicUsize> {
        let number = usize::try_from(number).ok()?;
        let chunk = self.chunks.get(number / CHUNK)?;
        chunk
            .get_or_init(|| (0..CHUNK).map(|_| AtomicUsize::new(NOTHING)).collect())
            .get(number % CHUNK)
    }

    /// The chunks that were made.
    fn made(&self) -> impl Iterator<Item = &[AtomicUsize]> {
        self.chunks
            .iter()
            .map_while(|chunk| chunk.get().map(|words| &**words))
    }

    fn hold(&self, number: RawFd, holder: Holder) -> bool {
        self.word(number)
            .is_none_or(|word| word.swap(holder.0, Ordering::AcqRel) != GIVEN_UP)
    }

    fn rest(&self, number: RawFd, holder: Holder) -> bool {
        self.word(number).is_some_and(|word| {
            word.compare_exchange(holder.0, IDLE, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
    }

    fn forget(&self, number: RawFd) {
        if let Some(word) = self.word(number)
            && word.swap(NOTHING, Ordering::AcqRel) == GIVEN_UP
        {
            // Who shuts it down may be about to. Not any more once the number is free for another file.
            drop(self.next.lock());
        }
    }

    fn give_up(&self, number: RawFd) -> bool {
        let _one_at_a_time = self.next.lock();
        self.shut_down(number)
    }

    fn give_up_one(&self) -> bool {
        let mut next = self.next.lock();
        let size = self.made().count() * CHUNK;
        let found = (*next..size)
            .chain(0..size.min(*next))
            .filter_map(|number| RawFd::try_from(number).ok())
            .find(|number| self.shut_down(*number));
        if let Some(number) = found {
            *next = usize::try_from(number).map_or(0, |number| number + 1);
        }
        found.is_some()
    }

    /// With the lock held.
    fn shut_down(&self, number: RawFd) -> bool {
        let given_up = self.word(number).is_some_and(|word| {
            word.load(Ordering::Relaxed) == IDLE
                && word
                    .compare_exchange(IDLE, GIVEN_UP, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
        });
        if given_up {
            // One that the server has ended already is as good as shut down.
            let _ = shutdown(number, Shutdown::Both);
        }
        given_up
    }

    fn count(&self) -> usize {
        let idle = |word: &&AtomicUsize| word.load(Ordering::Relaxed) == IDLE;
        self.made().flatten().filter(idle).count()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn table() -> Table {
        Table::new(1024)
    }

    #[test]
    fn only_an_idle_connection_is_given_up_and_its_holder_learns_it() {
        let table = table();
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let (number, a, b) = (ours.as_raw_fd(), Holder(100), Holder(200));
        assert!(table.hold(number, a));
        assert!(!table.give_up_one(), "in use");
        assert!(table.rest(number, a));
        assert_eq!(table.count(), 1);
        assert!(table.hold(number, b), "taken again");
        assert!(!table.rest(number, a), "another one's now");
        assert!(!table.give_up_one());
        assert!(table.rest(number, b));
        assert!(table.give_up_one());
        assert_eq!(ours.read(&mut [0]).unwrap(), 0, "shut down");
        assert!(!table.hold(number, a), "too late");
    }

    #[test]
    fn what_is_closed_is_never_shut_down() {
        let table = table();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let number = ours.as_raw_fd();
        table.hold(number, Holder(100));
        table.rest(number, Holder(100));
        table.forget(number);
        assert!(!table.give_up_one());
        assert!(!table.rest(number, Holder(100)));
    }

    #[test]
    fn numbers_beyond_the_table_are_left_alone() {
        let table = Table::new(0);
        assert!(table.hold(5, Holder(100)));
        assert!(!table.rest(5, Holder(100)));
        assert!(!table.give_up_one());
        table.forget(-1);
    }

    #[test]
    fn all_are_found_one_after_the_other() {
        let table = table();
        let pairs: Vec<_> = (0..20).map(|_| UnixStream::pair().unwrap()).collect();
        for (ours, _) in &pairs {
            table.hold(ours.as_raw_fd(), Holder(100));
            table.rest(ours.as_raw_fd(), Holder(100));
        }
        assert_eq!((0..30).filter(|_| table.give_up_one()).count(), 20);
        assert_eq!(table.count(), 0);
    }
}
