//! What the new process is offered, and what the old one keeps of it to go on with if the new one dies.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use super::handover::Stage;
use super::message::Offered;
use crate::admin;
use crate::config::model::AdminBind;
use crate::server::instance::Instance;
use crate::server::listening::Bound;
use crate::unix_socket::SocketFile;

/// What was offered, and is given up or kept.
pub(super) struct Offers {
    listeners: Vec<(Arc<str>, Arc<Bound>)>,
    admin: Option<(AdminBind, admin::Listener)>,
    pub descriptors: Vec<(Offered, OwnedFd)>,
}

/// What is kept to go on with if the new process dies.
pub(super) struct Kept {
    listeners: Vec<(Arc<str>, Arc<Bound>)>,
    admin: Option<(AdminBind, admin::Listener)>,
    upgrade: Option<(PathBuf, UnixListener, Arc<SocketFile>)>,
}

impl Instance {
    /// Everything that another process can go on with.
    pub(super) fn offers(&self) -> io::Result<Offers> {
        let mut descriptors = Vec::new();
        let mut listeners = Vec::new();
        for listening in self.listeners.load().iter() {
            for bound in listening.bound() {
                let what = Offered::Listener {
                    name: listening.name.to_string(),
                    address: bound.configured(),
                };
                descriptors.push((what, bound.as_fd().try_clone_to_owned()?));
                listeners.push((Arc::clone(&listening.name), bound));
            }
        }
        let admin = self.admin.listener()?;
        if let Some((bind, listener)) = &admin {
            let address = bind.to_string();
            descriptors.push((
                Offered::Admin { address },
                listener.as_fd().try_clone_to_owned()?,
            ));
        }
        if let Some(open) = self.handover.socket.lock().as_ref() {
            let path = open.path.display().to_string();
            descriptors.push((
                Offered::Upgrade { path },
                open.listener.as_fd().try_clone_to_owned()?,
            ));
        }
        if let Some((path, file)) = self.pid_file.lock().open() {
            let path = path.display().to_string();
            descriptors.push((
                Offered::PidFile { path },
                file.as_fd().try_clone_to_owned()?,
            ));
        }
        Ok(Offers {
            listeners,
            admin,
            descriptors,
        })
    }

    /// Accepts no more, and closes what the other process doesn't go on with.
    pub(super) fn give_up(&self, offers: Offers, kept: &[usize]) -> Kept {
        let Offers {
            listeners,
            admin,
            descriptors,
        } = offers;
        let is_kept = |is_it: &dyn Fn(&Offered) -> bool| {
            let place = descriptors.iter().position(|(what, _)| is_it(what));
            place.is_some_and(|place| kept.contains(&place))
        };
        let goes_on: Vec<_> = listeners
            .into_iter()
            .enumerate()
            .filter_map(|(index, one)| kept.contains(&index).then_some(one))
            .collect();
        for listening in self.listeners.load().iter() {
            listening.hand_over(|bound| goes_on.iter().any(|(_, kept)| Arc::ptr_eq(kept, bound)));
        }
        self.admin
            .hand_over(is_kept(&|what| matches!(what, Offered::Admin { .. })));
        let upgrade = self.handover.socket.lock().take().map(|open| {
            open.stop.cancel();
            open.file
                .leave(is_kept(&|what| matches!(what, Offered::Upgrade { .. })));
            (open.path, open.listener, open.file)
        });
        self.pid_file
            .lock()
            .leave(is_kept(&|what| matches!(what, Offered::PidFile { .. })));
        self.certificates.look_after(&[]);
        Kept {
            listeners: goes_on,
            admin,
            upgrade,
        }
    }

    /// Goes on serving, since the process that took over is no more.
    pub(super) fn take_back(self: &Arc<Self>, pid: u32, kept: Kept) {
        tracing::error!(pid, "the new process has ended: serving again");
        let config = Arc::clone(&self.state.lock().written);
        self.drain.resume();
        self.connections.reopen();
        for (name, bound) in &kept.listeners {
            self.accept_again(name, bound);
        }
        if let Some((bind, listener)) = kept.admin {
            self.serve_admin(&bind, listener);
        }
        if let Some((path, listener, file)) = kept.upgrade {
            self.serve_upgrades(&path, listener, file);
        }
        self.own_pid_file();
        crate::server::acme::apply(&self.certificates, &config);
        self.keep_sessions(false);
        self.reloads.go_on();
        self.handover.stage.send_replace(Stage::Own);
        if let Some(notifier) = self.handover.notifier.get() {
            notifier.main_is(std::process::id());
            self.store_sockets(notifier);
        }
        self.notify_ready();
        self.tell_instance("running");
    }

    /// The pid file has this process's id from now on.
    pub(super) fn own_pid_file(&self) {
        let mut file = self.pid_file.lock();
        file.leave(false);
        if let Err(error) = file.write_again() {
            tracing::error!("the pid file can't be written: {error}");
        }
    }

    pub(super) fn notify_ready(&self) {
        if let Some(notifier) = self.handover.notifier.get() {
            notifier.ready(&self.summary());
        }
    }
}
