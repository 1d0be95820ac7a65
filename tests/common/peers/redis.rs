//! Redis, with nothing kept on disk.

use std::process::Command;

use nix::sys::signal::Signal;

use super::process::{Peer, Ready, program, run, self_signed};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

pub struct Redis {
    peer: Peer,
    password: Option<String>,
    /// Where its certificate is, and its second port.
    tls: Option<(TempDir, ReservedPort)>,
}

impl std::ops::Deref for Redis {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl Redis {
    #[track_caller]
    pub fn start() -> Self {
        Self::with("", None)
    }

    /// One that answers only those who know the password.
    #[track_caller]
    pub fn with_password(password: &str) -> Self {
        let mut redis = Self::with(&format!("requirepass {password}"), None);
        redis.password = Some(password.to_owned());
        redis
    }

    /// One that speaks TLS on a second port, with a certificate that it has signed itself.
    #[track_caller]
    pub fn with_tls() -> Self {
        let dir = TempDir::new("redis-tls");
        let (cert, key) = self_signed(&dir);
        let port = ReservedPort::new();
        let config = format!(
            "tls-port {}\ntls-cert-file {cert}\ntls-key-file {key}\ntls-auth-clients no",
            port.port()
        );
        Self::with(&config, Some((dir, port)))
    }

    #[track_caller]
    fn with(more: &str, tls: Option<(TempDir, ReservedPort)>) -> Self {
        let dir = TempDir::new("redis");
        let port = ReservedPort::new();
        let here = dir.path().display().to_string();
        let config = dir.write(
            "redis.conf",
            &format!(
                "bind 127.0.0.1\nport {}\nunixsocket {here}/redis.sock\nunixsocketperm 700\ndir {here}\n\
                 save \"\"\nappendonly no\ndaemonize no\n{more}\n",
                port.port()
            ),
        );
        let mut command = Command::new(program("redis-server"));
        command.arg(config);
        Self {
            peer: Peer::start_when(Ready::Accepts, dir, port, command, SOON),
            password: None,
            tls,
        }
    }

    /// As `persistence.table.store` takes it, with a database number.
    pub fn url(&self, database: u8) -> String {
        let secret = self
            .password
            .as_ref()
            .map_or(String::new(), |p| format!(":{p}@"));
        format!("redis://{secret}{}/{database}", self.address())
    }

    #[track_caller]
    pub fn tls_url(&self, database: u8) -> String {
        let (_, port) = self.tls.as_ref().expect("a server with TLS");
        format!("rediss://{}/{database}", port.address())
    }

    /// The same server by its Unix socket.
    pub fn unix_url(&self) -> String {
        format!("unix://{}/redis.sock", self.dir.path().display())
    }

    /// What `redis-cli` prints.
    #[track_caller]
    pub fn cli(&self, database: u8, command: &[&str]) -> String {
        let (port, database) = (self.address().port().to_string(), database.to_string());
        let mut args = vec!["-p", &port, "-n", &database, "--no-auth-warning"];
        if let Some(password) = &self.password {
            args.extend(["-a", password]);
        }
        args.extend(command);
        run("redis-cli", &args).trim_end().to_owned()
    }

    /// The keys of a database.
    #[track_caller]
    pub fn keys(&self, database: u8) -> Vec<String> {
        let keys = self.cli(database, &["KEYS", "*"]);
        keys.lines()
            .filter(|l| !l.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// How many commands it has processed.
    #[track_caller]
    pub fn commands(&self) -> u64 {
        let stats = self.cli(0, &["INFO", "stats"]);
        stats
            .lines()
            .find_map(|l| l.trim().strip_prefix("total_commands_processed:"))
            .and_then(|n| n.parse().ok())
            .unwrap_or_else(|| panic!("no count in {stats}"))
    }

    /// Stops answering, keeps its connections: what a slow or swapped-out server looks like.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGKILL; what it knew is lost.
    pub fn kill(&mut self) {
        self.peer.kill();
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.peer.restart();
    }
}
