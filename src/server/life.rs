//! Signals: reload, reopen logs, stop gently, stop now.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Reread;
use super::instance::Instance;

/// Returns when the instance is to end: idle after SIGTERM, at once after SIGINT or a second signal, or
/// when the shutdown timeout has passed.
pub async fn until_the_end(instance: &Arc<Instance>, mut signals: Signals, reread: Option<Reread>) {
    loop {
        match signals.next().await {
            Asked::Reload => reload(instance, reread.as_ref()),
            Asked::ReopenLogs => instance.access_log.reopen(),
            Asked::StopNow => {
                tracing::info!("stopping at once");
                instance.drain.begin();
                return;
            }
            Asked::Drain => break,
        }
    }
    let patience = instance.state.lock().config.server.shutdown_timeout;
    tracing::info!(at_most = ?patience, "stopping: finishing what is in flight");
    instance.drain.begin();
    instance.connections.close();
    tokio::select! {
        () = instance.connections.wait() => tracing::info!("idle"),
        () = tokio::time::sleep(patience) => {
            let left = instance.connections.len();
            tracing::warn!(connections = left, "shutdown timeout reached, closing what is left");
        }
        () = signals.hurry(instance) => tracing::info!("told to hurry, closing what is left"),
    }
}

fn reload(instance: &Instance, reread: Option<&Reread>) {
    let Some(reread) = reread else {
        tracing::warn!("there is no configuration file to reload");
        return;
    };
    let outcome = match reread() {
        Ok(config) => instance.reload(config),
        Err(problems) => {
            for problem in &problems {
                tracing::error!("{problem}");
            }
            Err("the configuration has problems".to_owned())
        }
    };
    instance
        .metrics
        .reloaded(outcome.is_ok(), SystemTime::now());
    match outcome {
        Ok(()) => tracing::info!("configuration reloaded"),
        Err(reason) => tracing::error!(reason, "reload refused, running on as before"),
    }
}

enum Asked {
    Reload,
    ReopenLogs,
    Drain,
    StopNow,
}

/// The signals that mean something here. From when this is made none of them ends the process by
/// itself, and what comes meanwhile is kept.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
}

impl Signals {
    /// Begins to listen. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// Those of `sigaction(2)`.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Drain,
            _ = self.interrupt.recv() => Asked::StopNow,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user1.recv() => Asked::ReopenLogs,
        }
    }

    /// Returns at the next signal that means to stop. Logs can still be reopened.
    async fn hurry(&mut self, instance: &Instance) {
        loop {
            match self.next().await {
                Asked::Drain | Asked::StopNow => return,
                Asked::ReopenLogs => instance.access_log.reopen(),
                Asked::Reload => tracing::warn!("stopping: nothing is reloaded any more"),
            }
        }
    }
}
