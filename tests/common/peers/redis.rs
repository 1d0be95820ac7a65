//! Redis, with nothing kept on disk.

use std::process::Command;

use nix::sys::signal::Signal;

use super::process::{Peer, Ready, program, run, self_signed};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::{SOON, eventually};

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

    /// One with more lines in its configuration.
    #[track_caller]
    pub fn configured(more: &str) -> Self {
        Self::with(more, None)
    }

    /// A Sentinel that watches `master` under the name `mymaster`, alone.
    #[track_caller]
    pub fn sentinel(master: &Self) -> Self {
        let dir = TempDir::new("sentinel");
        let port = ReservedPort::new();
        let config = dir.write(
            "sentinel.conf",
            &format!(
                "bind 127.0.0.1\nport {}\ndir {}\nsentinel monitor mymaster 127.0.0.1 {} 1\n\
                 sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n",
                port.port(),
                dir.path().display(),
                master.address().port(),
            ),
        );
        let mut command = Command::new(program("redis-server"));
        command.arg(config).arg("--sentinel");
        Self {
            peer: Peer::start_when(Ready::Accepts, dir, port, command, SOON),
            password: None,
            tls: None,
        }
    }

    /// Three masters that are a cluster.
    #[track_caller]
    pub fn cluster() -> [Self; 3] {
        let bus: [_; 3] = std::array::from_fn(|_| ReservedPort::new());
        let nodes = bus.each_ref().map(|bus| {
            Self::configured(&format!(
                "cluster-enabled yes\ncluster-port {}\ncluster-node-timeout 2000",
                bus.port()
            ))
        });
        // The nodes listen there now.
        drop(bus);
        let addresses = nodes.each_ref().map(|node| node.address().to_string());
        let mut args = vec!["--cluster", "create"];
        args.extend(addresses.iter().map(String::as_str));
        args.push("--cluster-yes");
        run("redis-cli", &args);
        for node in &nodes {
            eventually(SOON, || {
                node.cli(0, &["CLUSTER", "INFO"])
                    .contains("cluster_state:ok")
            });
        }
        nodes
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

    /// How often it has run that command, in scripts too.
    #[track_caller]
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.cli(0, &["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let count = stats
            .lines()
            .find_map(|line| line.trim().strip_prefix(&prefix)?.split(',').next());
        count.map_or(0, |count| count.parse().unwrap())
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
