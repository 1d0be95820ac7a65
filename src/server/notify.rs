//! What a service manager is told of the process: sd_notify(3), a datagram to the socket that `NOTIFY_SOCKET` names.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixDatagram;

use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr,
};

/// Letters of a status that are told: `systemctl status` has one line for it.
const SHOWN: usize = 500;

/// Tells the service manager, if there is one that listens.
#[derive(Debug, Default)]
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddrUnix)>,
    /// The names of the descriptors that it keeps; `None` = it keeps none.
    store: Option<Mutex<BTreeSet<String>>>,
}

impl Notifier {
    /// For the socket that the environment names, a path or, after an `@`, an abstract name. `None` = there is none.
    pub fn new(socket: Option<String>) -> Self {
        let Some(name) = socket.filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
            None => SocketAddrUnix::new(&*name),
        };
        let connected = address.map_err(io::Error::from).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            // Nobody waits for a service manager that doesn't listen.
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        match connected {
            Ok(connected) => Self {
                manager: Some(connected),
                store: None,
            },
            Err(error) => {
                tracing::warn!(%error, socket = name, "NOTIFY_SOCKET can't be used");
                Self::default()
            }
        }
    }

    /// With the descriptors that the manager keeps, which are called so, if `FDSTORE` says that it keeps some.
    #[must_use]
    pub fn with_store(mut self, room: Option<&str>, kept: Vec<String>) -> Self {
        let has_room = room.and_then(|room| room.parse().ok()) > Some(0_u32);
        if has_room && self.manager.is_some() {
            self.store = Some(Mutex::new(kept.into_iter().collect()));
        }
        self
    }

    /// Whether the manager keeps descriptors.
    pub fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Has the manager keep these descriptors under their names, and no others.
    pub fn store(&self, wanted: &[(String, BorrowedFd<'_>)]) {
        let Some(store) = &self.store else { return };
        let mut store = store.lock();
        let is_wanted = |kept: &String| wanted.iter().any(|(name, _)| name == kept);
        for gone in store.iter().filter(|kept| !is_wanted(kept)) {
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={gone}"));
        }
        store.retain(is_wanted);
        for (name, descriptor) in wanted {
            if !store.contains(name) {
                self.send(&format!("FDSTORE=1\nFDNAME={name}"), Some(*descriptor));
                store.insert(name.clone());
            }
        }
    }

    /// The process serves, after its start or a reload.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A reload begins; [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        self.begin("Reloading the configuration");
    }

    fn begin(&self, what: &str) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
            now.tv_sec()
                .saturating_mul(1_000_000)
                .saturating_add(now.tv_nsec() / 1000)
        });
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS={what}"));
    }

    /// Another process is about to take over; [`ready`](Self::ready) ends it, whoever says that.
    pub fn upgrading(&self) {
        self.begin("Upgrading");
    }

    /// The process of that id is the one to watch from now on.
    pub fn main_is(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"));
    }

    /// The process ends, as soon as it is idle.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Finishing what is in flight");
    }

    fn tell(&self, message: &str) {
        self.send(message, None);
    }

    fn send(&self, message: &str, descriptor: Option<BorrowedFd<'_>>) {
        let Some((socket, address)) = &self.manager else {
            return;
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.as_slice();
        if !descriptors.is_empty() {
            // There is room for one.
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let message = [IoSlice::new(message.as_bytes())];
        if let Err(error) =
            sendmsg_addr(socket, address, &message, &mut control, SendFlags::NOSIGNAL)
        {
            tracing::debug!(%error, "the service manager can't be told");
        }
    }
}

fn one_line(status: &str) -> String {
    crate::config::on_one_line(status, SHOWN)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("a datagram");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    #[test]
    fn a_socket_with_a_path_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let notifier = Notifier::new(Some(path.display().to_string()));
        notifier.ready("two\nlines");
        assert_eq!(heard(&manager), "READY=1\nSTATUS=two\\nlines");
        notifier.reloading();
        let said = heard(&manager);
        let now = said
            .lines()
            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(said.starts_with("RELOADING=1\n"), "{said}");
        assert!(now.expect("a time").parse::<u64>().expect("a number") > 0);
        notifier.stopping();
        assert!(heard(&manager).starts_with("STOPPING=1\n"));
    }

    #[test]
    fn an_abstract_socket_is_told() {
        let name = format!("equipoise-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let manager = UnixDatagram::bind_addr(&address).expect("bound");
        Notifier::new(Some(format!("@{name}"))).ready("x");
        assert_eq!(heard(&manager), "READY=1\nSTATUS=x");
    }

    #[test]
    fn what_is_kept_is_told_once_and_what_is_not_any_more_is_taken_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let told = Notifier::new(Some(path.display().to_string()));
        let notifier = told.with_store(Some("8"), vec!["old".to_owned()]);
        let wanted = [("new".to_owned(), manager.as_fd())];
        notifier.store(&wanted);
        assert_eq!(heard(&manager), "FDSTOREREMOVE=1\nFDNAME=old");
        assert_eq!(heard(&manager), "FDSTORE=1\nFDNAME=new");
        notifier.store(&wanted);
        notifier.main_is(7);
        assert_eq!(heard(&manager), "MAINPID=7");
        for room in [None, Some("0"), Some("x")] {
            assert!(!Notifier::default().with_store(room, Vec::new()).has_store());
        }
    }

    #[test]
    fn nobody_there_is_no_trouble() {
        Notifier::default().ready("x");
        Notifier::new(Some(String::new())).ready("x");
        Notifier::new(Some("/no/such/socket".to_owned())).ready("x");
    }
}
