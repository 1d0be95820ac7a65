//! Signals: reload, reopen logs, upgrade, stop gently, stop now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::instance::Instance;
use super::notify::Notifier;
use super::reload::STOPPING;
use super::upgrade::Stage;
use crate::listen::Drain;

/// Returns when the instance is to end: idle after SIGTERM or an upgrade, at once after SIGINT or a second signal, or
/// when the shutdown timeout has passed.
pub async fn until_the_end(instance: &Arc<Instance>, mut signals: Signals, notifier: &Notifier) {
    let mut stage = instance.handover.watch();
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            // The sender lives as long as the instance.
            _ = stage.wait_for(|stage| *stage != Stage::Own) => Asked::Finish,
        };
        match asked {
            Asked::Finish => {
                if finish_for_another(instance, &mut signals, &mut stage).await {
                    return;
                }
            }
            Asked::Reload => {
                if let Err(why) = instance.reloads.ask(None) {
                    tracing::warn!("{why}");
                }
            }
            Asked::ReopenLogs => instance.access_log.reopen(),
            Asked::Upgrade => instance.begin_upgrade(),
            Asked::StopNow => {
                tracing::info!("stopping at once");
                instance.drain.begin();
                instance.reloads.hold(STOPPING);
                end_drained(instance).await;
                return;
            }
            Asked::Drain => break,
        }
    }
    notifier.stopping();
    instance.reloads.hold(STOPPING);
    end_drained(instance).await;
    let began = Instant::now();
    if notifier.has_store() {
        serve_newcomers(instance, &mut signals).await;
    }
    let (timeout, spread) = begin_drain(instance, "stopping");
    let timeout = timeout.saturating_sub(began.elapsed());
    let predecessor = instance.predecessor.lock().clone();
    if let Some(predecessor) = predecessor {
        // It has the same sockets, and may not keep who connects now waiting.
        drop(tokio::task::spawn_blocking(move || predecessor.release()).await);
    }
    instance.close_sockets();
    instance.handover.close();
    drain(instance, &mut signals, timeout, spread).await;
    instance.drain.begin();
}

/// At once: a stop may be cut short.
async fn end_drained(instance: &Arc<Instance>) {
    let instance = Arc::clone(instance);
    drop(tokio::task::spawn_blocking(move || instance.end_drained()).await);
}

/// The service manager keeps the sockets, so that whoever connects from now on waits for the next process, if there is one. They
/// would wait as long as this one drains, so they are served here until the connections of before have ended, or most of the
/// time is over.
async fn serve_newcomers(instance: &Arc<Instance>, signals: &mut Signals) {
    let timeout = instance.state.lock().config.server.shutdown_timeout;
    let connections = instance.connections.len();
    let spread = Drain::spread_of(connections, timeout);
    tracing::info!(connections, at_most = ?timeout, "stopping: those who are connected are told to go, others are served meanwhile");
    instance.drain.send_away_for_good(Instant::now(), spread);
    instance.serve_newcomers();
    instance.connections.close();
    tokio::select! {
        () = instance.connections.wait() => {}
        () = tokio::time::sleep(timeout * 3 / 4) => {}
        () = signals.hurry(instance) => {}
    }
    instance.leave_sockets_to_manager();
}

/// Nothing new is taken from now on. Returns for how long what is in flight may go on, and over how long clients are told.
fn begin_drain(instance: &Instance, why: &str) -> (Duration, Duration) {
    let timeout = instance.state.lock().config.server.shutdown_timeout;
    let connections = instance.connections.len() + instance.newcomers.len();
    let spread = Drain::spread_of(connections, timeout);
    tracing::info!(at_most = ?timeout, ?spread, "{why}: finishing what is in flight");
    // From now on it isn't ready.
    instance.drain.stop(Instant::now(), spread);
    (timeout, spread)
}

/// Returns when nothing is in flight, or time is up, or somebody is in a hurry.
async fn drain(instance: &Instance, signals: &mut Signals, timeout: Duration, spread: Duration) {
    instance.connections.close();
    instance.newcomers.close();
    let ended = || async {
        instance.connections.wait().await;
        instance.newcomers.wait().await;
    };
    let idle = async {
        tokio::select! {
            () = ended() => {}
            () = tokio::time::sleep(spread) => {
                instance.drain.begin();
                ended().await;
            }
        }
        predecessor_gone(instance).await;
    };
    tokio::select! {
        () = idle => tracing::info!("idle"),
        () = tokio::time::sleep(timeout) => {
            let left = instance.connections.len() + instance.newcomers.len();
            tracing::warn!(connections = left, "shutdown timeout reached, closing what is left");
        }
        () = signals.hurry(instance) => tracing::info!("told to hurry, closing what is left"),
    }
}

/// Finishes what is in flight while another process serves. Returns whether this one is to end; otherwise it serves again.
async fn finish_for_another(
    instance: &Arc<Instance>,
    signals: &mut Signals,
    stage: &mut watch::Receiver<Stage>,
) -> bool {
    let (timeout, spread) = begin_drain(instance, "another process serves");
    let done = tokio::select! {
        () = drain(instance, signals, timeout, spread.max(PROBATION)) => true,
        _ = stage.wait_for(|stage| *stage == Stage::Own) => false,
    };
    if done {
        instance.drain.begin();
        let instance = Arc::clone(instance);
        // The other one waits to hear what was counted.
        drop(tokio::task::spawn_blocking(move || instance.handover.finish()).await);
    }
    done
}

async fn predecessor_gone(instance: &Instance) {
    let predecessor = instance.predecessor.lock().clone();
    if let Some(predecessor) = predecessor {
        predecessor.gone().await;
    }
}

/// For how long after an upgrade this process may have to serve again: until then nobody is told for good.
const PROBATION: Duration = Duration::from_secs(8);

/// Keeps the signals that mean something here for when there is somebody to hear them, instead of letting them end the
/// process: a reload or a stop may be asked for while files are still being read. SIGINT isn't kept, so that a start
/// which hangs can be given up. To be called before there is a second thread, because threads inherit it.
pub fn hold_signals_back() {
    // An error is no more than a start that a signal can end.
    let _ = kept_back().thread_block();
}

fn kept_back() -> SigSet {
    use nix::sys::signal::Signal;
    [
        Signal::SIGTERM,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGXFSZ,
    ]
    .into_iter()
    .collect()
}

enum Asked {
    Reload,
    ReopenLogs,
    Upgrade,
    /// Another process serves.
    Finish,
    Drain,
    StopNow,
}

/// The signals that mean something here. From when this is made none of them ends the process by
/// itself, and what comes meanwhile is kept.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user1: Signal,
    user2: Signal,
    alarm: Signal,
    /// A file has grown as large as the process may make one: whoever writes learns of it by an error.
    _file_size: Signal,
}

impl Signals {
    /// Begins to listen. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// Those of `sigaction(2)`.
    pub fn new() -> std::io::Result<Self> {
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            alarm: signal(SignalKind::alarm())?,
            _file_size: signal(SignalKind::from_raw(
                nix::sys::signal::Signal::SIGXFSZ as i32,
            ))?,
        };
        // What came during the start is heard now, by this thread; the others go on leaving it to this one.
        kept_back().thread_unblock()?;
        Ok(signals)
    }

    async fn next(&mut self) -> Asked {
        loop {
            let meaningless = tokio::select! {
                _ = self.terminate.recv() => return Asked::Drain,
                _ = self.quit.recv() => return Asked::Drain,
                _ = self.interrupt.recv() => return Asked::StopNow,
                _ = self.hang_up.recv() => return Asked::Reload,
                _ = self.user1.recv() => return Asked::ReopenLogs,
                _ = self.user2.recv() => return Asked::Upgrade,
                _ = self.alarm.recv() => "SIGALRM",
            };
            tracing::warn!(
                "{meaningless} means nothing here and is ignored (SIGHUP reloads, SIGUSR1 reopens the access log, SIGUSR2 upgrades, \
                 SIGTERM and SIGQUIT stop gently)"
            );
        }
    }

    /// Returns at the next signal that means to stop. Logs can still be reopened.
    async fn hurry(&mut self, instance: &Instance) {
        loop {
            match self.next().await {
                Asked::Drain | Asked::StopNow | Asked::Finish => return,
                Asked::ReopenLogs => instance.access_log.reopen(),
                Asked::Reload => {
                    tracing::warn!("nothing is reloaded any more: {}", ending(instance));
                }
                Asked::Upgrade => tracing::warn!("no upgrade: {}", ending(instance)),
            }
        }
    }
}

/// Why this process is asked in vain.
fn ending(instance: &Instance) -> String {
    match instance.handover.stage() {
        Stage::Own => "it is stopping".to_owned(),
        Stage::Taken(pid) => format!("process {pid} serves by now"),
    }
}
