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
    command: Command,
    child: Child,
    pub dir: TempDir,
    port: ReservedPort,
    ready: Ready,
    within: Duration,
}

/// When a peer that has just been started counts as there.
#[derive(Clone, Copy)]
pub enum Ready {
    /// It answers `GET /` with anything.
    Answers,
    /// It accepts a connection. For proxies, whose servers must not see a request that isn't a test's.
    Accepts,
}

impl Peer {
    /// Starts it and waits until it answers `GET /` with anything.
    #[track_caller]
    pub fn start(dir: TempDir, port: ReservedPort, command: Command, within: Duration) -> Self {
        Self::start_when(Ready::Answers, dir, port, command, within)
    }

    /// Starts it and waits until it is there.
    #[track_caller]
    pub fn start_when(
        ready: Ready,
        dir: TempDir,
        port: ReservedPort,
        command: Command,
        within: Duration,
    ) -> Self {
        let mut peer = Self::spawn(ready, dir, port, command, within);
        peer.wait_ready();
        peer
    }

    /// Starts it; [`Self::wait_ready`] waits. For several that start at the same time.
    #[track_caller]
    pub fn spawn(
        ready: Ready,
        dir: TempDir,
        port: ReservedPort,
        mut command: Command,
        within: Duration,
    ) -> Self {
        let output = File::create(dir.path().join("output.log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        Self {
            child: run_in_background(&mut command),
            command,
            dir,
            port,
            ready,
            within,
        }
    }

    #[track_caller]
    pub fn wait_ready(&mut self) {
        eventually(self.within, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{:?} ended: {status}\n{}", self.command, self.output());
            }
            let mut client = Client::try_connect(self.address())?;
            match self.ready {
                Ready::Answers => client.get("/", &[("Connection", "close")]).map(drop),
                Ready::Accepts => Ok(()),
            }
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.nix_pid(), signal).unwrap();
    }

    /// SIGKILL: gone without a word; its port refuses and stays ours.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again as it was started before, on the same port, and waits until it is there.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.child = run_in_background(&mut self.command);
        self.wait_ready();
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
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
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(self.nix_pid(), Signal::SIGTERM);
            // It may have been paused.
            let _ = kill(self.nix_pid(), Signal::SIGCONT);
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

#[track_caller]
fn run_in_background(command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e} (run `make setup`)"))
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

/// A certificate that has signed itself, for a server on this machine, and its key.
#[track_caller]
pub fn self_signed(dir: &TempDir) -> (String, String) {
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &cert,
        ],
    );
    (cert, key)
}

/// Debian keeps servers where only root's PATH looks.
pub fn program(name: &str) -> String {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|dir| format!("{dir}/{name}"))
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| panic!("{name} is not installed (run `make setup`)"))
}
