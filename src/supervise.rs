//! Work that has to go on as long as what it works for: nothing of it dies in silence.
//!
//! [`keep`] runs a task and [`keep_thread`] a thread. Either is begun again when it panics or fails, with a line in
//! the log, a count, and a pause that grows while it goes on failing. Work whose end is the end of one request or
//! connection is spawned by [`once`]: a panic there costs that request or connection, the panic hook logs it, and it
//! is counted in [`panics`].

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// The first pause before a task is begun again. Each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before a task is begun again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What has run for this long is healthy: the next pause is the first one again.
const HEALTHY: Duration = Duration::from_secs(60);

/// What is kept running: the label `task` of `equipoise_task_restarts_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Accepting connections of a listener.
    Accept,
    /// The thread that writes the access log.
    AccessLog,
    /// Obtaining and renewing a certificate.
    Acme,
    /// The admin listener.
    Admin,
    /// Looking at the files of certificates.
    Certificates,
    /// The checks of a server.
    HealthCheck,
    /// The thread that writes the program's own log.
    Log,
    /// Looking up a server's name.
    Names,
    /// Telling what became of a pool's first checks.
    FirstChecks,
    /// Waiting to be asked for a reload.
    Reload,
    /// The thread that keeps a session table in files.
    Sessions,
    /// The connection to a shared session store, and what is queued for it.
    SessionStore,
    /// Handing over to, or taking over from, another process.
    Upgrade,
    /// Slow start and the expiry of sessions.
    Upkeep,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Accept,
        Self::AccessLog,
        Self::Acme,
        Self::Admin,
        Self::Certificates,
        Self::HealthCheck,
        Self::Log,
        Self::Names,
        Self::FirstChecks,
        Self::Reload,
        Self::Sessions,
        Self::SessionStore,
        Self::Upgrade,
        Self::Upkeep,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AccessLog => "access_log",
            Self::Acme => "acme",
            Self::Admin => "admin",
            Self::Certificates => "certificates",
            Self::HealthCheck => "health_check",
            Self::Log => "log",
            Self::Names => "names",
            Self::FirstChecks => "first_checks",
            Self::Reload => "reload",
            Self::Sessions => "sessions",
            Self::SessionStore => "session_store",
            Self::Upgrade => "upgrade",
            Self::Upkeep => "upkeep",
        }
    }
}

/// How a task ended that nobody aborted.
pub trait Ending {
    /// Why it should not have ended; `None` if it was meant to.
    fn trouble(self) -> Option<String>;
}

/// What returns nothing has done what it had to do.
impl Ending for () {
    fn trouble(self) -> Option<String> {
        None
    }
}

impl<E: Display> Ending for Result<(), E> {
    fn trouble(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// Runs what `begin` makes until it ends as it was meant to, or is aborted. `of` says whose it is, for the log. Must
/// be called within a runtime.
pub fn keep<F>(
    tracker: &TaskTracker,
    task: Task,
    of: impl Display,
    begin: impl FnMut() -> F + Send + 'static,
) -> AbortHandle
where
    F: Future<Output: Ending> + Send + 'static,
{
    tracker
        .spawn(run(task, of.to_string(), begin))
        .abort_handle()
}

/// As [`keep`], on a runtime that outlives it, and with nobody who waits for its end.
pub fn keep_on<F>(
    runtime: &Handle,
    task: Task,
    of: impl Display,
    begin: impl FnMut() -> F + Send + 'static,
) -> AbortHandle
where
    F: Future<Output: Ending> + Send + 'static,
{
    runtime
        .spawn(run(task, of.to_string(), begin))
        .abort_handle()
}

async fn run<F>(task: Task, of: String, mut begin: impl FnMut() -> F + Send + 'static)
where
    F: Future<Output: Ending> + Send + 'static,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let Some(trouble) = attempt(&mut begin).await else {
            return;
        };
        if begun.elapsed() >= HEALTHY {
            pause = FIRST_PAUSE;
        }
        tell(task, &of, &trouble, pause);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Runs `work` in a thread of its own until it returns; begins it again after a panic.
///
/// # Errors
///
/// The thread can't be made.
pub fn keep_thread(
    task: Task,
    name: &str,
    mut work: impl FnMut() + Send + 'static,
) -> std::io::Result<()> {
    let of = name.to_owned();
    let kept = move || {
        while let Err(payload) = catch_unwind(AssertUnwindSafe(&mut work)) {
            tell(task, &of, &words(payload.as_ref()), THREAD_PAUSE);
            #[expect(
                clippy::disallowed_methods,
                reason = "a thread of its own, on which nothing else runs"
            )]
            std::thread::sleep(THREAD_PAUSE);
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(kept)
        .map(drop)
}

/// Runs `work` once, in a thread of its own. If it panics, that is all that is lost.
///
/// # Errors
///
/// The thread can't be made.
pub fn thread_once(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
}

/// Begins another process. Whoever does that waits for its end.
///
/// # Errors
///
/// The program can't be run.
pub fn process_once(command: &mut std::process::Command) -> std::io::Result<std::process::Child> {
    command.spawn()
}

/// The pause before a thread's work is begun again.
const THREAD_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of a task from which on it gets memory of its own before it is spawned: the runtime copies it half a dozen times on
/// its way there and once more when it has ended, which takes longer than an allocation.
const BOXED: usize = 512;

/// Spawns what ends with the one request, connection or errand that it is for. If it panics, that is all that is lost.
/// Must be called within a runtime.
pub fn once<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    if size_of::<F>() < BOXED {
        tokio::spawn(task)
    } else {
        tokio::spawn(Box::pin(task))
    }
}

/// As [`once`], tracked: who waits for the tracker waits for it, too.
pub fn once_tracked<F>(tracker: &TaskTracker, task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    if size_of::<F>() < BOXED {
        tracker.spawn(task)
    } else {
        tracker.spawn(Box::pin(task))
    }
}

/// How often each task was begun again since the process began.
pub fn restarts() -> impl Iterator<Item = (Task, u64)> {
    let counts = RESTARTS.iter().map(|count| count.load(Ordering::Relaxed));
    Task::ALL.into_iter().zip(counts)
}

/// Panics since the process began, wherever they were.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Counts a panic; for the panic hook.
pub fn note_panic() {
    PANICS.fetch_add(1, Ordering::Relaxed);
}

// The process's own, like its panic hook and its log: some of what is kept runs before there are metrics.
static PANICS: AtomicU64 = AtomicU64::new(0);
/// By task, in the order of [`Task::ALL`].
static RESTARTS: [AtomicU64; Task::ALL.len()] = [const { AtomicU64::new(0) }; Task::ALL.len()];

/// One run. `None`: it ended as it was meant to.
async fn attempt<F>(begin: &mut (impl FnMut() -> F + Send)) -> Option<String>
where
    F: Future<Output: Ending> + Send + 'static,
{
    let begun = catch_unwind(AssertUnwindSafe(begin)).map(Box::pin);
    let mut running = match begun {
        Ok(running) => running,
        Err(payload) => return Some(words(payload.as_ref())),
    };
    let ended = guarded(running.as_mut()).await;
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(running)));
    match (ended, dropped) {
        (Err(payload), _) | (_, Err(payload)) => Some(words(payload.as_ref())),
        (Ok(ending), Ok(())) => ending.trouble(),
    }
}

/// The output of a future.
///
/// # Errors
///
/// What it panicked with.
pub async fn guarded<F: Future>(mut future: Pin<&mut F>) -> std::thread::Result<F::Output> {
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await
}

fn tell(task: Task, of: &str, trouble: &str, pause: Duration) {
    if let Some(count) = RESTARTS.get(task as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    let task = task.as_str();
    tracing::error!(
        task,
        of,
        again_in = ?pause,
        "a background task ended unexpectedly and is begun again: {trouble}"
    );
}

fn words(payload: &(dyn Any + Send)) -> String {
    format!("it panicked: {}", panic_message(payload))
}

/// What a panic said.
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a word")
}

#[cfg(test)]
pub mod tests {
    //! Tests, and what tests elsewhere need.

    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Poll;

    use tokio::sync::mpsc;
    use tokio::task::coop;

    use super::*;

    /// Does as much as the runtime lets a task do before others have their turn.
    pub async fn use_up_the_turn() {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for number in 0..1000 {
            sender.send(number).unwrap();
        }
        poll_fn(|cx| {
            while coop::has_budget_remaining() && receiver.poll_recv(cx).is_ready() {}
            Poll::Ready(())
        })
        .await;
    }

    fn restarts_of(task: Task) -> u64 {
        let count = restarts().find_map(|(of, count)| (of == task).then_some(count));
        count.expect("all tasks are counted")
    }

    #[test]
    fn each_task_has_its_own_count() {
        for (position, task) in Task::ALL.into_iter().enumerate() {
            assert_eq!(task as usize, position);
        }
    }

    /// Begins a task of which run `n` ends as `run(n)` says; gives how often it ran once it ended for good, and how
    /// long that took by the runtime's clock.
    async fn runs<E: Ending + Send + 'static>(
        run: impl Fn(u32) -> E + Clone + Send + Sync + 'static,
    ) -> (u32, Duration) {
        let count = Arc::new(AtomicU32::new(0));
        let tracker = TaskTracker::new();
        let (counted, begun) = (Arc::clone(&count), Instant::now());
        keep(&tracker, Task::Upkeep, "a test", move || {
            let n = counted.fetch_add(1, Ordering::Relaxed) + 1;
            let run = run.clone();
            async move {
                tokio::task::yield_now().await;
                run(n)
            }
        });
        tracker.close();
        tracker.wait().await;
        (count.load(Ordering::Relaxed), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_as_meant_is_not_begun_again() {
        assert_eq!(runs(|_| ()).await.0, 1);
        assert_eq!(runs(|_| Ok::<_, &str>(())).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_an_error_are_begun_again_ever_later_and_counted() {
        let before = restarts_of(Task::Upkeep);
        let (count, took) = runs(|n| {
            assert!(n != 1, "the first run panics");
            if n < 4 { Err("not yet") } else { Ok(()) }
        })
        .await;
        assert_eq!(count, 4);
        // 100, 200 and 400 ms.
        assert!(took >= Duration::from_millis(700), "{took:?}");
        assert!(restarts_of(Task::Upkeep) >= before + 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_has_an_end() {
        let (count, took) = runs(|n| if n < 15 { Err("no") } else { Ok(()) }).await;
        assert_eq!(count, 15);
        // 0.1 + 0.2 + … + 25.6 s, then five times 30 s.
        let most = Duration::from_secs(52) + LONGEST_PAUSE * 5;
        assert!(took > LONGEST_PAUSE * 5 && took < most, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_before_the_task_runs_and_one_at_its_end_count_too() {
        struct Bad(bool);
        impl Drop for Bad {
            fn drop(&mut self) {
                assert!(!self.0, "dropped");
            }
        }
        let count = Arc::new(AtomicU32::new(0));
        let tracker = TaskTracker::new();
        let counted = Arc::clone(&count);
        keep(&tracker, Task::Upkeep, "a test", move || {
            let n = counted.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(n != 1, "before it runs");
            let bad = Bad(n == 2);
            async move { drop(bad) }
        });
        tracker.close();
        tracker.wait().await;
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_aborted_task_is_gone() {
        let tracker = TaskTracker::new();
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let task = keep(&tracker, Task::Upkeep, "a test", move || {
            let inside = Arc::clone(&inside);
            async move {
                std::future::pending::<()>().await;
                drop(inside);
            }
        });
        tokio::task::yield_now().await;
        task.abort();
        tracker.close();
        tracker.wait().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_thread_that_panics_goes_on() {
        let (tell, told) = std::sync::mpsc::channel();
        let mut runs = 0;
        keep_thread(Task::Log, "a-test", move || {
            runs += 1;
            assert!(runs != 1, "the first run panics");
            tell.send(runs).expect("the test waits");
        })
        .expect("a thread");
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(2));
    }
}
