//! HAProxy, in the foreground.

use std::process::Command;

use super::process::{Peer, Ready, program};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

pub struct Haproxy(Peer);

impl std::ops::Deref for Haproxy {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Haproxy {
    /// Starts it with the given sections. `@PORT@` in them is its address, `@DIR@` its directory.
    ///
    /// One thread, so that there is one state of the round robin.
    #[track_caller]
    pub fn start(sections: &str) -> Self {
        let dir = TempDir::new("haproxy");
        let port = ReservedPort::new();
        let sections = sections
            .replace("@PORT@", &port.address().to_string())
            .replace("@DIR@", &dir.path().display().to_string());
        let config = dir.write(
            "haproxy.cfg",
            &format!(
                "global\n    nbthread 1\n    maxconn 200\n\
                 defaults\n    mode http\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\
                 {sections}\n"
            ),
        );
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f").arg(config);
        Self(Peer::start_when(Ready::Accepts, dir, port, command, SOON))
    }
}
