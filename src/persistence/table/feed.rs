//! Changes of tables for whoever follows them: the file that a table is kept in, and the other process at an upgrade.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::shard::Record;
use crate::persistence::SessionKey;

/// Changes that wait at most. A follower that falls so far behind has to look at the whole table again.
const MOST: usize = 1 << 20;

/// What has become of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is bound so.
    Bound(SessionKey, Record),
    /// It was forgotten.
    Gone(SessionKey),
}

/// Which of the tables of a feed something is about.
pub(super) type Tag = usize;

/// Changes that wait for their follower. Several tables may share one.
#[derive(Default)]
pub(super) struct Feed {
    waiting: Mutex<Waiting>,
    work: Condvar,
}

#[derive(Default)]
struct Waiting {
    changes: Vec<(Tag, Change)>,
    missed: bool,
    is_over: bool,
}

/// What a follower gets at once.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) changes: Vec<(Tag, Change)>,
    /// There were too many: some are missing.
    pub(super) missed: bool,
    /// There won't be any more.
    pub(super) is_over: bool,
}

impl Feed {
    pub(super) fn note(&self, tag: Tag, change: Change) {
        let mut waiting = self.waiting.lock();
        if waiting.changes.len() >= MOST {
            waiting.missed = true;
            return;
        }
        waiting.changes.push((tag, change));
        if waiting.changes.len() == 1 {
            self.work.notify_one();
        }
    }

    /// Waits for changes, at most until `deadline`. There may be none then.
    pub(super) fn take(&self, deadline: Instant) -> Taken {
        let mut waiting = self.waiting.lock();
        while waiting.changes.is_empty() && !waiting.is_over {
            if self.work.wait_until(&mut waiting, deadline).timed_out() {
                break;
            }
        }
        Taken {
            changes: std::mem::take(&mut waiting.changes),
            missed: std::mem::take(&mut waiting.missed),
            is_over: waiting.is_over,
        }
    }

    /// There won't be any more.
    pub(super) fn end(&self) {
        self.waiting.lock().is_over = true;
        self.work.notify_all();
    }
}

/// A follower of a table, and the name that it has for the table.
pub(super) type Followed = (Arc<Feed>, Tag);
