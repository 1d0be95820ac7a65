//! The upgrade socket: who asks there, and whether that one gets what it asks for.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::frame::{Kind, Wire};
use super::message::{Hello, PROTOCOL, Reason};
use crate::config::model::UPGRADE_SOCKET;
use crate::server::instance::Instance;
use crate::supervise::{self, Task};
use crate::unix_socket::{self, SocketFile};

/// How long a process that has connected may take to say who it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The upgrade socket.
pub(super) struct Open {
    pub path: PathBuf,
    pub listener: UnixListener,
    pub file: Arc<SocketFile>,
    pub stop: CancellationToken,
}

/// Listens for upgrades. The usual path's directory is made if it isn't there.
///
/// # Errors
///
/// The system's.
pub fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Some(directory) = path.parent()
        && path == Path::new(UPGRADE_SOCKET)
        && !directory.exists()
    {
        DirBuilder::new().mode(0o755).create(directory)?;
    }
    unix_socket::listen(path, 0o600)
}

/// Why upgrades can't be asked for there, in words.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
        _ => error.to_string(),
    }
}

impl Instance {
    /// Attends to those who ask for an upgrade at this socket. Must be called within a runtime.
    pub(in crate::server) fn serve_upgrades(
        self: &Arc<Self>,
        path: &Path,
        listener: UnixListener,
        file: Arc<SocketFile>,
    ) {
        let stop = CancellationToken::new();
        let clone = match listener.try_clone() {
            Ok(clone) => clone,
            Err(error) => {
                tracing::error!("this instance can't be upgraded: {error}");
                return;
            }
        };
        file.leave(false);
        *self.handover.socket.lock() = Some(Open {
            path: path.to_owned(),
            listener: clone,
            file,
            stop: stop.clone(),
        });
        let weak = Arc::downgrade(self);
        supervise::keep(
            &self.background,
            Task::Upgrade,
            "the upgrade socket",
            move || {
                let listener = listener.try_clone();
                let (weak, stop) = (Weak::clone(&weak), stop.clone());
                async move {
                    tokio::select! {
                        served = attend_to_all(weak, listener?) => served,
                        () = stop.cancelled() => Ok(()),
                    }
                }
            },
        );
    }

    fn attend(self: &Arc<Self>, stream: UnixStream) {
        let wire = Arc::new(Wire::new(stream));
        let Ok(peer) = rustix::net::sockopt::socket_peercred(wire.stream()) else {
            return;
        };
        let (uid, pid) = (peer.uid.as_raw(), peer.pid.as_raw_nonzero().get());
        if uid != 0 && uid != nix::unistd::geteuid().as_raw() {
            tracing::warn!(uid, pid, "somebody else asks for an upgrade, and gets none");
            return;
        }
        let Ok(first) = wire.receive(Some(ANSWER_TIMEOUT)) else {
            return;
        };
        match first.kind {
            Kind::Failed => {
                let reason = first.parse::<Reason>().map(|said| said.reason);
                self.tell_failed_upgrade(pid, &reason.unwrap_or_default());
            }
            Kind::Hello => match first.parse::<Hello>() {
                Ok(hello) => self.hand_over(&wire, &hello),
                Err(error) => tracing::warn!(pid, "an upgrade can't be understood: {error}"),
            },
            _ => {}
        }
    }

    fn tell_failed_upgrade(&self, pid: impl std::fmt::Display, reason: &str) {
        tracing::error!("the upgrade failed, running on as before: process {pid}: {reason}");
        self.tell_instance("upgrade failed");
    }

    fn hand_over(self: &Arc<Self>, wire: &Arc<Wire>, hello: &Hello) {
        let refused = if hello.protocol != PROTOCOL {
            Some("it speaks another version of the upgrade's protocol: restart instead".to_owned())
        } else if self.drain.is_stopping() {
            Some("it is stopping".to_owned())
        } else {
            self.has_nothing_for(hello)
        };
        let is_busy = || self.handover.is_busy.swap(true, Ordering::AcqRel);
        let refused = match refused {
            None if is_busy() => Some("another upgrade is under way".to_owned()),
            refused => refused,
        };
        if let Some(reason) = refused {
            tracing::warn!(pid = hello.pid, "an upgrade is refused: {reason}");
            drop(wire.say(Kind::Refused, &Reason { reason }));
            return;
        }
        tracing::info!(
            pid = hello.pid,
            version = hello.version,
            "upgrading: a new process is about to take over"
        );
        if let Some(notifier) = self.handover.notifier.get() {
            notifier.upgrading();
        }
        let outcome = self.transfer(wire, hello);
        if let Err(why) = outcome {
            self.reloads.go_on();
            self.tell_failed_upgrade(hello.pid, &why);
            self.notify_ready();
        }
        self.handover.is_busy.store(false, Ordering::Release);
    }

    /// Two instances of one machine may be given the same socket by mistake.
    fn has_nothing_for(&self, hello: &Hello) -> Option<String> {
        let config = Arc::clone(&self.state.lock().written);
        let mut binds = config.listeners.iter().flat_map(|one| &one.bind);
        let shared = binds.any(|bind| hello.binds.contains(bind));
        (!shared).then(|| {
            "it listens nowhere where the new one is to: they are two instances, and need two paths at server.upgrade_socket"
                .to_owned()
        })
    }
}

async fn attend_to_all(instance: Weak<Instance>, listener: UnixListener) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let Some(instance) = instance.upgrade() else {
            return Ok(());
        };
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        // It takes as long as a drain; somebody else may ask meanwhile, and is told.
        drop(tokio::task::spawn_blocking(move || instance.attend(stream)));
    }
}
