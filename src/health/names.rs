//! Names and their addresses, looked up by the system's resolver.
//!
//! Servers of the same name share its look-ups. A name is looked up at intervals as long as there is a server of that name,
//! and at once when a connect to one of them has failed.
//!
//! The system's resolver blocks a thread for each look-up, for as long as it likes. So the number of look-ups at once is
//! limited, in two lanes: one for names that answer soon, and one for names that don't, so that slow names hold up only
//! each other. A look-up that turns out to be slow moves from the first lane to the second, and its name begins in the
//! second the next time.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::supervise::{self, Task};

/// How many look-ups may run at once in each of the two lanes.
const LOOKUPS: usize = 32;
/// An answer within this time counts as soon.
const SOON: Duration = Duration::from_secs(1);
/// How often a name that resolves is looked up again.
const REFRESH: Duration = Duration::from_secs(10);
/// How soon a name that does not resolve is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// The shortest time between two look-ups of one name, whoever asks for them.
const SPACING: Duration = Duration::from_secs(1);
/// After how long without an answer a name counts as unresolved. The look-up goes on.
const PATIENCE: Duration = Duration::from_secs(10);
/// After how long a look-up is given up: the name is then asked for again, while the thread of the first may still hang.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// How many addresses of one name are used at most.
const ADDRESSES: usize = 64;

/// What a name resolves to, port 0, in the resolver's order; or why it doesn't.
pub type Answer = Result<Arc<[SocketAddr]>, Arc<str>>;

type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The names of this process's servers.
static NAMES: LazyLock<Arc<Names>> = LazyLock::new(|| Names::new(Arc::new(system)));

/// Begins to look up a server's name at intervals, or joins those who follow it already. Must be called within a Tokio runtime.
pub fn follow(host: &Arc<str>) -> Followed {
    NAMES.follow(host)
}

/// Asks the system's resolver, which blocks the thread.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that looks names up, on a thread of its own"
)]
fn system(host: &str) -> io::Result<Vec<SocketAddr>> {
    std::net::ToSocketAddrs::to_socket_addrs(&(host, 0)).map(Iterator::collect)
}

/// All names that somebody follows, and the limits that they share.
struct Names {
    lookup: Lookup,
    known: Mutex<HashMap<Arc<str>, Weak<Name>>>,
    quick: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

struct Name {
    answer: watch::Sender<Option<Answer>>,
    wanted: Arc<Notify>,
}

/// A name that is looked up again and again as long as there is one of these for it.
pub struct Followed {
    name: Arc<Name>,
    answer: watch::Receiver<Option<Answer>>,
}

impl Followed {
    /// Waits for an answer that differs from the last one. The first call returns at once if there is an answer already.
    pub async fn next(&mut self) -> Answer {
        loop {
            if self.answer.changed().await.is_err() {
                // This can't happen, because the sender is in `self.name`.
                std::future::pending::<()>().await;
            }
            if let Some(answer) = self.answer.borrow_and_update().clone() {
                return answer;
            }
        }
    }

    /// Asks for a look-up at once, or as soon as [`SPACING`] has passed since the last one.
    pub fn look_again(&self) {
        self.name.wanted.notify_one();
    }
}

impl Names {
    fn new(lookup: Lookup) -> Arc<Self> {
        Arc::new(Self {
            lookup,
            known: Mutex::default(),
            quick: Arc::new(Semaphore::new(LOOKUPS)),
            slow: Arc::new(Semaphore::new(LOOKUPS)),
        })
    }

    fn follow(self: &Arc<Self>, host: &Arc<str>) -> Followed {
        let mut known = self.known.lock();
        let name = known.get(host).and_then(Weak::upgrade);
        let name = name.unwrap_or_else(|| {
            let name = Arc::new(Name {
                answer: watch::Sender::new(None),
                wanted: Arc::default(),
            });
            known.insert(Arc::clone(host), Arc::downgrade(&name));
            let (names, followed) = (Arc::clone(self), Arc::downgrade(&name));
            let (asked, wanted) = (Arc::clone(host), Arc::clone(&name.wanted));
            supervise::keep_on(&Handle::current(), Task::Names, host, move || {
                let keeper = Keeper {
                    names: Arc::clone(&names),
                    name: Weak::clone(&followed),
                    host: Arc::clone(&asked),
                    wanted: Arc::clone(&wanted),
                    was_slow: false,
                    stuck: None,
                };
                keeper.run()
            });
            name
        });
        let mut answer = name.answer.subscribe();
        answer.mark_changed();
        Followed { name, answer }
    }

    /// Strikes a name that nobody follows any more.
    fn forget(&self, host: &str) {
        let mut known = self.known.lock();
        if known.get(host).is_some_and(|name| name.strong_count() == 0) {
            known.remove(host);
        }
    }
}

/// Looks one name up again and again.
struct Keeper {
    names: Arc<Names>,
    name: Weak<Name>,
    host: Arc<str>,
    wanted: Arc<Notify>,
    /// Whether the last answer took longer than [`SOON`].
    was_slow: bool,
    /// A look-up that was given up and may still have its thread.
    stuck: Option<Looking>,
}

type Looking = JoinHandle<io::Result<Vec<SocketAddr>>>;

impl Keeper {
    async fn run(mut self) {
        loop {
            let (answer, began) = self.look_up().await;
            let soonest = match &answer {
                Ok(_) => began + REFRESH.mul_f64(rand::rng().random_range(0.9..=1.0)),
                Err(_) => Instant::now() + RETRY,
            };
            if !self.publish(answer) {
                break;
            }
            tokio::select! {
                () = sleep_until(soonest) => {}
                () = self.wanted.notified() => sleep_until(began + SPACING).await,
            }
            if self.name.strong_count() == 0 {
                break;
            }
        }
        self.names.forget(&self.host);
    }

    /// Tells the followers an answer. Returns false if there are none left.
    fn publish(&self, answer: Answer) -> bool {
        let Some(name) = self.name.upgrade() else {
            return false;
        };
        name.answer.send_if_modified(|last| {
            let is_news = last.as_ref() != Some(&answer);
            *last = Some(answer);
            is_news
        });
        true
    }

    /// Looks up once. Returns the answer, and when it was asked for.
    async fn look_up(&mut self) -> (Answer, Instant) {
        let place = self.place().await;
        let began = Instant::now();
        let mut looking = self.begin(Arc::clone(&place));
        let moved = async {
            sleep_until(began + SOON).await;
            Arc::clone(&self.names.slow).acquire_owned().await.ok()
        };
        tokio::pin!(moved);
        let mut is_moved = self.was_slow;
        let mut is_told = false;
        let given_up = sleep_until(began + GIVEN_UP);
        tokio::pin!(given_up);
        loop {
            tokio::select! {
                done = &mut looking => {
                    self.was_slow = began.elapsed() > SOON;
                    return (self.answer(done), began);
                }
                // The look-up is slow: it leaves its place to names that answer soon.
                there = &mut moved, if !is_moved => {
                    is_moved = true;
                    *place.lock() = there;
                }
                () = sleep_until(began + PATIENCE), if !is_told => {
                    is_told = true;
                    self.publish(self.no_answer());
                }
                () = &mut given_up, if !self.is_stuck() => {
                    self.was_slow = true;
                    self.stuck = Some(looking);
                    return (self.no_answer(), began);
                }
            }
        }
    }

    /// Waits for a place in the name's lane. The place is held until the look-up's thread has ended.
    async fn place(&self) -> Arc<Mutex<Option<OwnedSemaphorePermit>>> {
        let lane = if self.was_slow {
            &self.names.slow
        } else {
            &self.names.quick
        };
        // `None` only if the semaphore were closed, which nobody does.
        Arc::new(Mutex::new(Arc::clone(lane).acquire_owned().await.ok()))
    }

    fn begin(&self, place: Arc<Mutex<Option<OwnedSemaphorePermit>>>) -> Looking {
        let (lookup, host) = (Arc::clone(&self.names.lookup), Arc::clone(&self.host));
        tokio::task::spawn_blocking(move || {
            let found = lookup(&host);
            drop(place);
            found
        })
    }

    fn is_stuck(&self) -> bool {
        self.stuck
            .as_ref()
            .is_some_and(|stuck| !stuck.is_finished())
    }

    fn no_answer(&self) -> Answer {
        Err(format!("{} does not resolve: no answer in 10s", self.host).into())
    }

    fn answer(&self, done: Result<io::Result<Vec<SocketAddr>>, tokio::task::JoinError>) -> Answer {
        let host = &self.host;
        match done {
            Ok(Ok(mut found)) if !found.is_empty() => {
                found.truncate(ADDRESSES);
                Ok(found.into())
            }
            Ok(Ok(_)) => Err(format!("{host} resolves to no address").into()),
            Ok(Err(error)) => Err(format!("{host} does not resolve: {error}").into()),
            Err(error) => Err(format!("{host} does not resolve: {error}").into()),
        }
    }
}

#[cfg(test)]
mod tests;
