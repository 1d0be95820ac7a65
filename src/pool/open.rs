//! The connections to a server that are open, so that an operator can end them.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd as _, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::Mutex;

/// All connections to one server.
#[derive(Debug, Default)]
pub struct OpenConnections(Arc<Mutex<HashMap<RawFd, Arc<AtomicBool>>>>);

/// One of them, as long as this lives. Belongs to whoever has the socket, and is to be dropped before that: only as long
/// as it is here, the descriptor's number is known to be this connection's.
#[derive(Debug)]
pub struct OpenConnection {
    of: Arc<Mutex<HashMap<RawFd, Arc<AtomicBool>>>>,
    descriptor: RawFd,
    ended: Arc<AtomicBool>,
}

impl OpenConnections {
    /// Notes that a connection is open.
    pub fn note(&self, socket: impl AsFd) -> OpenConnection {
        let descriptor = socket.as_fd().as_raw_fd();
        let ended = Arc::<AtomicBool>::default();
        self.0.lock().insert(descriptor, Arc::clone(&ended));
        OpenConnection {
            of: Arc::clone(&self.0),
            descriptor,
            ended,
        }
    }

    /// Ends all of them, for both sides. Returns how many.
    pub fn end_all(&self) -> usize {
        let open = self.0.lock();
        for (descriptor, ended) in &*open {
            ended.store(true, Ordering::Release);
            // A connection that has ended by itself meanwhile has what is wanted of it.
            let _ = shutdown(*descriptor, Shutdown::Both);
        }
        open.len()
    }
}

impl OpenConnection {
    /// Whether it was ended here: what looks like its end is none that its server meant.
    pub fn was_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.of.lock().remove(&self.descriptor);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn all_that_are_open_are_ended_and_none_that_has_gone() {
        let open = OpenConnections::default();
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        let noted = open.note(&ours);
        let (gone, _) = UnixStream::pair().expect("a pair");
        drop(open.note(&gone));
        assert!(!noted.was_ended());
        assert_eq!(open.end_all(), 1);
        assert!(noted.was_ended());
        assert_eq!(ours.read(&mut [0]).expect("its end"), 0);
        assert_eq!(theirs.read(&mut [0]).expect("its end"), 0);
        drop(noted);
        assert_eq!(open.end_all(), 0);
    }
}
