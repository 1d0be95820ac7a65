//! What a service manager is told of the process: sd_notify(3), a datagram to the socket that `NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::time::{ClockId, clock_gettime};

/// Letters of a status that are told: `systemctl status` has one line for it.
const SHOWN: usize = 500;

/// Tells the service manager, if there is one that listens.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// For the socket that the environment names, a path or, after an `@`, an abstract name. `None` = there is none.
    pub fn new(socket: Option<String>) -> Self {
        let Some(name) = socket.filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&name),
        };
        let connected = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            // Nobody waits for a service manager that doesn't listen.
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        match connected {
            Ok(connected) => Self(Some(connected)),
            Err(error) => {
                tracing::warn!(%error, socket = name, "NOTIFY_SOCKET can't be used");
                Self(None)
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
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
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
    fn nobody_there_is_no_trouble() {
        Notifier::default().ready("x");
        Notifier::new(Some(String::new())).ready("x");
        Notifier::new(Some("/no/such/socket".to_owned())).ready("x");
    }
}
