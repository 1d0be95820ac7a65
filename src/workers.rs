//! The worker threads. Each has a runtime of its own, on which a client's connection lives from when it is accepted to its end:
//! no other thread takes over its work, so that what it works with stays in the caches of one core, and no wake-up for it
//! crosses threads.
//!
//! Nothing else runs there: checks, the admin API, signals and all that goes on in the background have a runtime for
//! themselves (see [`crate::server`]), so that they never wait behind a connection that is a lot of work.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::allocator;
use crate::supervise;

/// All of them.
pub struct Workers {
    first: Arc<Worker>,
    others: Vec<Arc<Worker>>,
    /// Who is asked first.
    turn: AtomicUsize,
    stop: CancellationToken,
    /// One of them has ended though nobody asked it to.
    lost: CancellationToken,
    /// Disconnected when all have ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// One thread and its runtime.
#[derive(Debug)]
pub struct Worker {
    number: usize,
    runtime: Handle,
    connections: AtomicUsize,
}

/// A connection of a worker, counted as long as this is there.
#[derive(Debug)]
pub struct WorkerPlace(Arc<Worker>);

/// A worker that has nothing to do wakes up so often, and gives back memory before it sleeps again, if it was asked to.
///
/// It is also what makes timers cheap: a runtime that is to sleep until later than a new timer is due, or without end, is woken
/// for each, by a system call of its own. Nearly all timers of connections are due later than this.
const TICK: Duration = Duration::from_secs(1);

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Which worker this thread is, if it is one.
pub fn current() -> Option<usize> {
    CURRENT.get()
}

impl Workers {
    /// Starts so many threads, one at least. They block the signals that this thread blocks.
    ///
    /// # Errors
    ///
    /// The system has no threads or descriptors left.
    pub fn start(count: usize) -> io::Result<Arc<Self>> {
        let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
        let (running, ended) = mpsc::channel();
        let start = |number| {
            let life = Life {
                stop: stop.clone(),
                lost: lost.clone(),
                _running: running.clone(),
            };
            Worker::start(number, life).inspect_err(|_| stop.cancel())
        };
        let first = start(0)?;
        let others: io::Result<_> = (1..count).map(start).collect();
        Ok(Arc::new(Self {
            first,
            others: others?,
            turn: AtomicUsize::new(0),
            stop,
            lost,
            ended: Mutex::new(ended),
        }))
    }

    /// Who is to accept on one more socket: they take turns.
    pub fn for_socket(&self) -> &Arc<Worker> {
        self.in_turn().next().unwrap_or(&self.first)
    }

    /// Who takes a connection that was just accepted by `acceptor`: whoever has the fewest. The acceptor itself if nobody has
    /// fewer, since handing it over costs a wake-up.
    pub fn for_connection<'a>(&'a self, acceptor: &'a Arc<Worker>) -> &'a Arc<Worker> {
        if self.others.is_empty() {
            return &self.first;
        }
        // Of several the first one.
        let all = std::iter::once(acceptor).chain(self.in_turn());
        all.min_by_key(|worker| worker.connections.load(Ordering::Relaxed))
            .unwrap_or(acceptor)
    }

    /// Returns when one of them has ended though nobody asked it to. The log says why.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Ends them, and with them whatever still runs there. Waits for that, but not for longer than `patience`.
    pub fn end(&self, patience: Duration) {
        self.stop.cancel();
        // Nobody ever sends: they have all ended, or time is up.
        let _ = self.ended.lock().recv_timeout(patience);
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Worker>> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// All of them, each time beginning with the next one.
    fn in_turn(&self) -> impl Iterator<Item = &Arc<Worker>> {
        let count = 1 + self.others.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        self.all().cycle().skip(turn).take(count)
    }
}

impl Worker {
    fn start(number: usize, life: Life) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread()
            .thread_name("blocking")
            .on_thread_park(allocator::heed)
            .enable_all()
            .build()?;
        let worker = Arc::new(Self {
            number,
            runtime: runtime.handle().clone(),
            connections: AtomicUsize::new(0),
        });
        supervise::thread_once("equipoise", move || life.live(number, runtime))?;
        Ok(worker)
    }

    /// What this thread spawns and registers meanwhile is that worker's.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Whether this thread is it.
    pub fn is_here(&self) -> bool {
        current() == Some(self.number)
    }

    /// Counts a connection.
    pub fn place(self: &Arc<Self>) -> WorkerPlace {
        self.connections.fetch_add(1, Ordering::Relaxed);
        WorkerPlace(Arc::clone(self))
    }
}

impl Drop for WorkerPlace {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker's thread, for as long as it lives.
struct Life {
    stop: CancellationToken,
    lost: CancellationToken,
    _running: mpsc::Sender<()>,
}

impl Life {
    fn live(&self, number: usize, runtime: Runtime) {
        CURRENT.set(Some(number));
        runtime.block_on(self.tick_until_stop());
        // Its tasks end here. What blocks a thread of its own isn't waited for.
        runtime.shutdown_background();
    }

    async fn tick_until_stop(&self) {
        let mut ticks = tokio::time::interval(TICK);
        let mut stop = pin!(self.stop.cancelled());
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = ticks.tick() => {}
            }
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            self.lost.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_fewest_is_next_and_the_acceptor_among_equals() {
        let workers = Workers::start(3).unwrap();
        let acceptor = workers.for_socket();
        let mut places = Vec::new();
        for number in 0..30 {
            let worker = workers.for_connection(acceptor);
            assert_eq!(Arc::ptr_eq(worker, acceptor), number % 3 == 0);
            places.push(worker.place());
        }
        let counts = || {
            workers
                .all()
                .map(|worker| worker.connections.load(Ordering::Relaxed))
        };
        assert!(counts().all(|count| count == 10));
        let left = places.swap_remove(17);
        let freed = Arc::clone(&left.0);
        drop(left);
        let next = workers.for_connection(acceptor);
        assert!(Arc::ptr_eq(next, &freed));
        drop(places);
        assert!(counts().all(|count| count == 0));
    }

    #[test]
    fn sockets_are_accepted_on_by_all_in_turn() {
        let workers = Workers::start(2).unwrap();
        let numbers: Vec<_> = (0..4).map(|_| workers.for_socket().number).collect();
        assert_eq!(numbers, [0, 1, 0, 1]);
    }

    #[tokio::test]
    async fn what_is_spawned_within_a_worker_runs_there_and_a_panic_costs_it_alone() {
        let workers = Workers::start(2).unwrap();
        for worker in workers.all() {
            let spawned = {
                let _entered = worker.enter();
                (
                    supervise::once(async { panic!("as it is to") }),
                    supervise::once(async { current() }),
                )
            };
            assert!(spawned.0.await.is_err_and(|error| error.is_panic()));
            assert_eq!(spawned.1.await.unwrap(), Some(worker.number));
        }
        assert_eq!(current(), None);
        let lost = tokio::time::timeout(Duration::ZERO, workers.lost()).await;
        assert!(lost.is_err());
    }

    #[test]
    fn the_end_drops_what_runs() {
        let workers = Workers::start(2).unwrap();
        let held = Arc::new(());
        for worker in workers.all() {
            let _entered = worker.enter();
            let inside = Arc::clone(&held);
            supervise::once(async move {
                std::future::pending::<()>().await;
                drop(inside);
            });
        }
        workers.end(Duration::from_secs(20));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
