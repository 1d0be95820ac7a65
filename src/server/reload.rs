//! Reloads: one at a time, each all or nothing.
//!
//! Everything is read and judged first, outside of every lock that anybody else waits for; then it takes effect at once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::instance::Instance;
use super::notify::Notifier;
use super::upgrade::Program;
use super::watch::Seen;
use crate::admin::status::{ReloadResult, ReloadStatus, timestamp};
use crate::config::{Loaded, Problems};
use crate::observe::Topic;
use crate::supervise::{self, Task};

mod apply;

/// Problems that the status has in words; the log has all.
const SHOWN: usize = 20;

/// Where the configuration comes from.
pub struct Source {
    /// The file, for the log.
    pub file: PathBuf,
    /// Reads it again.
    pub reread: Reread,
    /// How another process is begun like this one; `None` = it can't be.
    pub program: Option<Program>,
}

/// Reads the configuration again.
pub type Reread = Box<dyn Fn() -> Result<Loaded, Problems> + Send + Sync>;

/// Who wants to know how a reload ended.
type Reply = oneshot::Sender<ReloadStatus>;

/// Reloads that are asked for, and what is in force.
#[derive(Default)]
pub struct Reloads {
    asked: OnceLock<mpsc::UnboundedSender<Option<Reply>>>,
    current: ArcSwapOption<Loaded>,
    /// The files as they were when they were read last.
    seen: Mutex<Seen>,
    /// Why nothing is reloaded now, or any more.
    held: Mutex<Option<&'static str>>,
}

/// Why nothing is reloaded any more.
pub const STOPPING: &str = "the instance is stopping: nothing is reloaded any more";

impl Reloads {
    /// Asks for a reload. While one is under way, another one follows it, for all who have asked meanwhile.
    ///
    /// # Errors
    ///
    /// There is nothing to reload; the error says why.
    pub fn ask(&self, reply: Option<Reply>) -> Result<(), &'static str> {
        if let Some(why) = self.refusal() {
            return Err(why);
        }
        let asked = self.asked.get();
        let asked = asked.ok_or("there is no configuration file to reload")?;
        // It is there as long as the instance is.
        asked.send(reply).map_err(|_| "the instance is ending")
    }

    /// Refuses reloads and operators' changes from now on, also a reload that is under way and hasn't taken effect.
    pub fn hold(&self, why: &'static str) {
        *self.held.lock() = Some(why);
    }

    /// Takes that back.
    pub fn go_on(&self) {
        *self.held.lock() = None;
    }

    /// Why nothing is changed now.
    pub fn refusal(&self) -> Option<&'static str> {
        *self.held.lock()
    }

    /// The configuration in force, as it was read.
    pub fn current(&self) -> Option<Arc<Loaded>> {
        self.current.load_full()
    }

    /// The files as they were when they were read last.
    pub fn seen(&self) -> Seen {
        self.seen.lock().clone()
    }

    /// They are read as they are now.
    pub fn note_seen(&self, seen: Seen) {
        *self.seen.lock() = seen;
    }

    /// This is in force as long as nothing is reloaded.
    pub fn hold_to(&self, loaded: Arc<Loaded>) {
        self.current.store(Some(loaded));
    }

    /// Begins to reload `instance` from `source` when asked to. Must be called within a runtime.
    pub fn serve(instance: &Arc<Instance>, source: Source, notifier: &Arc<Notifier>) {
        let (sender, asked) = mpsc::unbounded_channel();
        if let Some(loaded) = instance.reloads.current() {
            instance.reloads.note_seen(Seen::default().after(&loaded));
        }
        let kept = Arc::new(Kept {
            reread: source.reread,
            notifier: Arc::clone(notifier),
            asked: tokio::sync::Mutex::new(asked),
        });
        let weak = Arc::downgrade(instance);
        supervise::keep(
            &instance.background,
            Task::Reload,
            "the configuration",
            move || serve(Weak::clone(&weak), Arc::clone(&kept)),
        );
        // Once, at the start.
        drop(instance.reloads.asked.set(sender));
        if source.file != Path::new("-") {
            let weak = Arc::downgrade(instance);
            supervise::keep(
                &instance.background,
                Task::Reload,
                "the configuration's files",
                move || super::watch::watch(Weak::clone(&weak)),
            );
        }
    }
}

/// What lasts from reload to reload.
struct Kept {
    reread: Reread,
    notifier: Arc<Notifier>,
    asked: tokio::sync::Mutex<mpsc::UnboundedReceiver<Option<Reply>>>,
}

async fn serve(instance: Weak<Instance>, kept: Arc<Kept>) {
    let mut asked = kept.asked.lock().await;
    while let Some(first) = asked.recv().await {
        let Some(instance) = instance.upgrade() else {
            return;
        };
        let mut replies = vec![first];
        while let Ok(more) = asked.try_recv() {
            replies.push(more);
        }
        kept.notifier.reloading();
        let work = Arc::clone(&kept);
        let keeper = Arc::clone(&instance);
        // Files may be on a disk, or a network, that takes its time, and passwords and keys are work.
        let done = tokio::task::spawn_blocking(move || {
            let seen = instance.reloads.current().map(|before| Seen::now(&before));
            let outcome = (work.reread)().and_then(|next| instance.apply(&next).map(|()| next));
            let status = report(&instance, outcome);
            if let (Some(seen), Some(now)) = (seen, instance.reloads.current()) {
                instance.reloads.note_seen(seen.after(&now));
            }
            status
        });
        let status = done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the reload ended unexpectedly");
            keeper.note_reload(&Err(vec!["the reload ended unexpectedly".to_owned()]))
        });
        keeper.store_sockets(&kept.notifier);
        kept.notifier.ready(&keeper.summary());
        for reply in replies.into_iter().flatten() {
            // Who has gone meanwhile needs no answer.
            drop(reply.send(status.clone()));
        }
    }
}

/// Tells how a reload ended.
fn report(instance: &Instance, outcome: Result<Loaded, Problems>) -> ReloadStatus {
    match outcome {
        Ok(next) => {
            let before = instance.reloads.current.swap(Some(Arc::new(next)));
            let now = instance.reloads.current();
            let changes = match (now, before) {
                (Some(now), Some(before)) => now.differences(&before),
                _ => Vec::new(),
            };
            let told = changes.join(", ");
            if told.is_empty() {
                tracing::info!("configuration reloaded: the same keys, files read again");
            } else {
                tracing::info!("configuration reloaded: {told}");
            }
            instance.note_reload(&Ok(changes))
        }
        Err(problems) => {
            for problem in &problems {
                tracing::error!("{problem}");
            }
            let mut told: Vec<String> = problems
                .iter()
                .take(SHOWN)
                .map(ToString::to_string)
                .collect();
            let count = problems.count();
            if count > told.len() {
                told.push(format!("and {} more", count - told.len()));
            }
            tracing::error!(problems = count, "reload refused, running on as before");
            instance.note_reload(&Err(told))
        }
    }
}

impl Instance {
    /// The state of things in one line, for the service manager.
    pub(super) fn summary(&self) -> String {
        let config = Arc::clone(&self.state.lock().config);
        let servers: usize = config.pools.iter().map(|pool| pool.servers.len()).sum();
        let serving = format!(
            "Serving {} listeners, {} pools, {servers} servers",
            config.listeners.len(),
            config.pools.len()
        );
        match self.last_reload.lock().as_ref() {
            Some(last) if last.result == ReloadResult::Failure => {
                format!(
                    "{serving}; the last reload was refused: {}",
                    last.problems.join("; ")
                )
            }
            _ => serving,
        }
    }

    /// Keeps how a reload ended: what changed, or what is wrong.
    fn note_reload(&self, outcome: &Result<Vec<String>, Vec<String>>) -> ReloadStatus {
        let now = SystemTime::now();
        let (result, changes, problems) = match outcome {
            Ok(changes) => (ReloadResult::Success, changes.clone(), Vec::new()),
            Err(problems) => (ReloadResult::Failure, Vec::new(), problems.clone()),
        };
        let status = ReloadStatus {
            result,
            at: timestamp(now),
            problems,
            changes,
        };
        *self.last_reload.lock() = Some(status.clone());
        self.metrics.reloaded(outcome.is_ok(), now);
        let data = json!({"result": status.result, "changes": status.changes, "problems": status.problems});
        self.metrics.events().publish(Topic::Reload, data);
        status
    }
}
