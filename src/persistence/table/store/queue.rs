//! What the shared store is told in the background.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::command::{Question, Rule};
use super::link::State;
use super::{Failure, Store};
use crate::persistence::table::Binding;
use crate::persistence::{Moment, SessionKey};

/// Jobs that may wait.
pub(super) const LENGTH: usize = 4096;
/// Pieces of the table that are visited at once to tell the store of it.
pub(super) const WALKS: usize = 32;
/// Jobs that are under way at once.
const AT_ONCE: usize = 64;

/// Something to tell.
#[derive(Clone)]
pub(super) enum Job {
    /// Compare what both know; the later binding counts.
    Check {
        key: SessionKey,
        now: Moment,
        uses: bool,
    },
    /// Bind it, whatever it was.
    Put {
        key: SessionKey,
        binding: Binding,
        now: Moment,
    },
    /// Delete it.
    Forget { key: SessionKey },
}

impl Job {
    fn key(&self) -> SessionKey {
        match self {
            Self::Check { key, .. } | Self::Put { key, .. } | Self::Forget { key } => *key,
        }
    }
}

/// Does what is queued, some at once, for ever. Two jobs of one session are never under way together: the later one stands for both,
/// but a check never for a change.
pub(super) async fn work(store: Arc<Store>, queued: Arc<Mutex<Option<mpsc::Receiver<Job>>>>) {
    let mut queued = queued.lock().await;
    let Some(queued) = queued.as_mut() else {
        return;
    };
    let mut batch = Vec::with_capacity(AT_ONCE);
    while queued.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut latest: HashMap<SessionKey, Job> = HashMap::with_capacity(batch.len());
        for job in batch.drain(..) {
            if !matches!(job, Job::Check { .. }) || !latest.contains_key(&job.key()) {
                latest.insert(job.key(), job);
            }
        }
        // While it is away nothing is kept for it: it is told again of everything afterwards.
        let is_away = matches!(*store.state.borrow(), State::Down(_));
        if is_away {
            continue;
        }
        let mut under_way: JoinSet<_> = latest
            .into_values()
            .map(|job| {
                let store = Arc::clone(&store);
                async move { store.tell(job).await }
            })
            .collect();
        while under_way.join_next().await.is_some() {}
    }
}

impl Store {
    async fn tell(&self, job: Job) -> Result<(), Failure> {
        let patience = self.settings.timeout;
        match job {
            Job::Forget { key } => self.forget(key).await,
            Job::Put { key, binding, now } => {
                let question = self.question(now, Some(&binding), Rule::Never);
                self.ask(key, &question, patience).await.map(|_| ())
            }
            Job::Check { key, now, uses } => {
                let Some((binding, left)) = self.local.peek(key, now) else {
                    return Ok(());
                };
                let question = Question {
                    idle: left,
                    uses,
                    ..self.question(now, Some(&binding), Rule::NotOlder)
                };
                if let Some(said) = self.ask(key, &question, patience).await? {
                    self.local.merge(key, &said, now, false);
                }
                Ok(())
            }
        }
    }
}
