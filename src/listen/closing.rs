//! The end of accepting on one socket, while the process goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Whether a socket is accepted on, cheap to ask and possible to wait for.
#[derive(Debug, Default)]
pub struct Closing {
    token: CancellationToken,
    handed_over: AtomicBool,
}

impl Closing {
    /// The socket is to be closed. Whoever has connected by now is still accepted.
    pub fn close(&self) {
        self.token.cancel();
    }

    /// Somebody else accepts on it from now on, also those who have connected by now.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Whether one of them has happened.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns when one of them has happened.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Whether somebody else accepts on it.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }
}
