//! The connections to one server that wait for their next request, or carry several at once.
//!
//! HTTP/1's are kept last in, first out, so that those that aren't needed grow old; no more than `keepalive.connections` over
//! all threads. A worker gets those that it has used itself, and another one's if it has none. None is handed out that has data
//! or its end pending. HTTP/2's are shared, as far as the server allows.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::coop;

use super::Stream;
use super::shared::Shared;
use crate::balance::Slot;
use crate::descriptors::idle::{Keeper, Rest};
use crate::workers;

/// The connections to a server.
pub struct Connections {
    slot: Slot,
    kept: Mutex<Vec<Kept>>,
    shared: Mutex<Vec<Arc<Shared>>>,
    /// Held by who makes a connection that is to be shared.
    opening: tokio::sync::Mutex<()>,
}

/// An idle connection of HTTP/1.
struct Kept {
    stream: Stream,
    /// How often the server's address had changed when it was made.
    moves: u64,
    /// The worker that used it, whose runtime watches it.
    worker: Option<usize>,
    since: Instant,
    /// When it is closed.
    until: Instant,
    _rest: Rest,
}

impl Connections {
    /// To the server in that place.
    pub fn new(slot: Slot) -> Self {
        Self {
            slot,
            kept: Mutex::default(),
            shared: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// The place of its server.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// An idle connection, made when the server's address had changed so often.
    pub fn take(&self, moves: u64) -> Option<Stream> {
        let here = workers::current();
        loop {
            let mut kept = {
                let mut all = self.kept.lock();
                let own = all.iter().rposition(|kept| kept.worker == here);
                let at = own.or(all.len().checked_sub(1))?;
                all.remove(at)
            };
            if kept.moves == moves && is_quiet(&mut kept.stream) {
                return Some(kept.stream);
            }
        }
    }

    /// Keeps a connection for `idle`, unless there are `most`.
    pub fn keep(&self, stream: Stream, moves: u64, most: usize, idle: Duration) {
        if most == 0 || idle.is_zero() {
            return;
        }
        let Some(rest) = Rest::begin() else { return };
        let since = Instant::now();
        let mut kept = self.kept.lock();
        if kept.len() < most {
            kept.push(Kept {
                stream,
                moves,
                worker: workers::current(),
                since,
                until: since.checked_add(idle).unwrap_or(since),
                _rest: rest,
            });
        }
    }

    /// The shared connections.
    pub(super) fn shared(&self) -> &Mutex<Vec<Arc<Shared>>> {
        &self.shared
    }

    /// The right to make a connection that is to be shared, until this is dropped.
    pub async fn opening(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.opening.lock().await
    }

    /// Closes what has been idle for too long, and what its server has closed or said something on.
    pub fn reap(&self, now: Instant) {
        let mut over = Vec::new();
        {
            let mut kept = self.kept.lock();
            let mut at = 0;
            while let Some(one) = kept.get_mut(at) {
                if one.until <= now || !is_quiet(&mut one.stream) {
                    over.push(kept.remove(at));
                } else {
                    at += 1;
                }
            }
        }
        // Closed outside the lock.
        drop(over);
        self.shared.lock().retain(|shared| !shared.is_over(now));
    }

    /// Closes all that are idle; those that are in use end with their requests.
    pub fn close(&self) {
        let kept = std::mem::take(&mut *self.kept.lock());
        drop(kept);
        self.shared.lock().clear();
    }
}

impl Keeper for Connections {
    fn give_up_one(&self) -> bool {
        let oldest = {
            let mut kept = self.kept.lock();
            let ages = kept.iter().enumerate().min_by_key(|(_, kept)| kept.since);
            let at = ages.map(|(at, _)| at);
            at.map(|at| kept.remove(at))
        };
        if oldest.is_some() {
            return true;
        }
        let mut shared = self.shared.lock();
        let idle = shared.iter().position(|shared| shared.is_idle());
        idle.map(|at| shared.swap_remove(at)).is_some()
    }
}

/// Whether nothing has come on an idle connection: neither data, which nobody asked for, nor its end. No system call is
/// needed while nothing is pending.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut buf = ReadBuf::new(&mut byte);
    let mut context = Context::from_waker(Waker::noop());
    // The runtime lets a task read nothing more once it has done a certain amount; this read isn't counted.
    let read = coop::unconstrained(poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buf)));
    pin!(read).poll(&mut context).is_pending()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pingora::protocols::l4::stream::Stream as Plain;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::supervise::tests::use_up_the_turn;

    #[tokio::test]
    async fn what_a_server_has_said_unasked_is_seen_whatever_the_task_has_done_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(stream, listener.accept());
        let (stream, mut server) = (stream.unwrap(), accepted.unwrap().0);
        server.write_all(b"HTTP/1.1 408\r\n\r\n").await.unwrap();
        stream.readable().await.unwrap();
        let mut stream: Stream = Box::new(Plain::from(stream));
        let is_quiet = tokio::spawn(async move {
            use_up_the_turn().await;
            is_quiet(&mut stream)
        });
        let is_quiet = tokio::time::timeout(Duration::from_secs(20), is_quiet);
        assert!(!is_quiet.await.unwrap().unwrap());
    }
}
