//! dnsmasq, a name server that answers for `test`.

use std::process::Command;

use nix::sys::signal::Signal;

use super::process::{Peer, Ready, program};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

pub struct Dnsmasq(Peer);

impl std::ops::Deref for Dnsmasq {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Dnsmasq {
    /// Starts it with these addresses, as `/etc/hosts` has them, and with further lines of its configuration.
    #[track_caller]
    pub fn start(hosts: &str, lines: &str) -> Self {
        Self::start_at(ReservedPort::new(), hosts, lines)
    }

    /// As [`Self::start`], at the port at which name servers are asked. Only a machine of a test's own has that to spare.
    #[track_caller]
    pub fn start_at_53(hosts: &str, lines: &str) -> Self {
        Self::start_at(ReservedPort::at(53), hosts, lines)
    }

    #[track_caller]
    fn start_at(port: ReservedPort, hosts: &str, lines: &str) -> Self {
        let dir = TempDir::new("dnsmasq");
        let hosts = dir.write("hosts", hosts);
        let config = dir.write(
            "dnsmasq.conf",
            &format!(
                "keep-in-foreground\nport={}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n\
                 addn-hosts={}\npid-file=\nlog-facility=-\nlocal=/test/\nlocal-ttl=1\n{lines}\n",
                port.port(),
                hosts.display(),
            ),
        );
        let mut command = Command::new(program("dnsmasq"));
        command.arg(format!("--conf-file={}", config.display()));
        // As root it would switch to a user who may not read here.
        if nix::unistd::geteuid().is_root() {
            command.arg("--user=root");
        }
        Self(Peer::start_when(Ready::Accepts, dir, port, command, SOON))
    }

    /// Changes the addresses.
    pub fn set_hosts(&self, hosts: &str) {
        std::fs::write(self.dir.path().join("hosts"), hosts).unwrap();
        self.signal(Signal::SIGHUP);
    }

    /// From now on nobody answers.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// It answers again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.0.restart();
    }
}
