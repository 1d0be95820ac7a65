//! A peer's process and directory.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::client::Client;
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::{SOON, eventually};

/// A server process in a directory of its own, ended when dropped.
pub struct Peer {
    child: Child,
    pub dir: TempDir,
    port: ReservedPort,
}

impl Peer {
    /// Starts it and waits until it answers `GET /` with anything.
    #[track_caller]
    pub fn start(dir: TempDir, port: ReservedPort, mut command: Command, within: Duration) -> Self {
        let output = File::create(dir.path().join("output.log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e} (run `make setup`)"));
        let mut peer = Self { child, dir, port };
        eventually(within, || {
            if let Some(status) = peer.child.try_wait().unwrap() {
                panic!("{command:?} ended: {status}\n{}", peer.output());
            }
            Client::try_connect(peer.address())
                .and_then(|mut c| c.get("/", &[("Connection", "close")]))
        });
        peer
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn output(&self) -> String {
        self.read("output.log")
    }

    /// A file of its directory, empty if there is none.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Waits until a line of a file satisfies `wanted`.
    #[track_caller]
    pub fn wait_line(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(SOON, || {
            let text = self.read(name);
            text.lines()
                .find(|l| wanted(l))
                .map(str::to_owned)
                .ok_or(text)
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Politely first, so that a parent ends its workers.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a client to its end and returns what it printed; it has to succeed.
#[track_caller]
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e} (run `make setup`)"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{text}{errors}",
        output.status
    );
    text
}

/// Debian keeps servers where only root's PATH looks.
pub fn program(name: &str) -> String {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|dir| format!("{dir}/{name}"))
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| panic!("{name} is not installed (run `make setup`)"))
}
