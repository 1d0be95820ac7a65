//! Draining: the process is to end, and every connection learns of it at its next convenient moment.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Whether draining has begun, cheap to ask and possible to wait for.
#[derive(Debug)]
pub struct Drain {
    begun: AtomicBool,
    tell: watch::Sender<bool>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            begun: AtomicBool::new(false),
            tell: watch::Sender::new(false),
        }
    }
}

impl Drain {
    /// Begins. There is no way back.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.tell.send_replace(true);
    }

    /// Whether draining has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Returns when draining begins; at once if it has.
    pub async fn begun(&self) {
        let mut told = self.tell.subscribe();
        // The sender is in `self`, so it can't be gone.
        drop(told.wait_for(|begun| *begun).await);
    }

    /// The same, in the form that Pingora's sessions take.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.tell.subscribe()
    }
}
