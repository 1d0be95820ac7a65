//! How a process stands to one that takes over from it, or has.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::launcher::Launcher;
use super::socket::Open;
use super::spawn::Program;
use crate::persistence::table::FollowerEnd;
use crate::server::notify::Notifier;

/// How long the end of the conversation is waited for.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// This process.
    Own,
    /// Another one, of that id.
    Taken(u32),
}

/// How this process is, or was, handed over.
pub struct Handover {
    pub(super) socket: Mutex<Option<Open>>,
    /// Somebody is being attended to.
    pub(super) is_busy: AtomicBool,
    pub(super) stage: watch::Sender<Stage>,
    /// What ends the conversation with the other process.
    pub(super) farewell: Mutex<Option<FollowerEnd>>,
    pub(super) is_over: AtomicBool,
    pub(super) ended: (Mutex<bool>, Condvar),
    program: OnceLock<Program>,
    /// What begins the new process.
    pub(super) launcher: Mutex<Option<Launcher>>,
    pub(super) notifier: OnceLock<Arc<Notifier>>,
}

impl Default for Handover {
    fn default() -> Self {
        Self {
            socket: Mutex::default(),
            is_busy: AtomicBool::new(false),
            stage: watch::Sender::new(Stage::Own),
            farewell: Mutex::default(),
            is_over: AtomicBool::new(false),
            ended: (Mutex::new(false), Condvar::new()),
            program: OnceLock::new(),
            launcher: Mutex::default(),
            notifier: OnceLock::new(),
        }
    }
}

impl Handover {
    /// What another process is begun with, and who is told of it.
    pub fn prepare(&self, program: Option<Program>, notifier: &Arc<Notifier>) {
        if let Some(program) = program {
            // Once, at the start.
            drop(self.program.set(program));
        }
        drop(self.notifier.set(Arc::clone(notifier)));
    }

    pub(super) fn program(&self) -> Option<&Program> {
        self.program.get()
    }

    /// Where upgrades are asked for.
    pub fn path(&self) -> Option<PathBuf> {
        let socket = self.socket.lock();
        socket.as_ref().map(|open| open.path.clone())
    }

    /// Who serves.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Who serves, for whoever waits for that to change.
    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Listens no more for upgrades.
    pub fn close(&self) {
        if let Some(open) = self.socket.lock().take() {
            open.stop.cancel();
        }
    }

    /// This process is done: tells the other one, and returns when that is said, or takes too long.
    pub fn finish(&self) {
        self.is_over.store(true, Ordering::Release);
        let Some(end) = self.farewell.lock().take() else {
            return;
        };
        end.end();
        let (ended, told) = &self.ended;
        let mut ended = ended.lock();
        let deadline = Instant::now() + FAREWELL_TIMEOUT;
        while !*ended && !told.wait_until(&mut ended, deadline).timed_out() {}
    }
}
