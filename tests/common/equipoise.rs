//! The program as a process.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::Regex;
use serde_json::Value;

use super::client::{Client, Response, get};
use super::metrics::Metrics;
use super::temp::TempDir;
use super::wait::{SOON, eventually};

/// The binary under test: the one of this build, or another that `EQUIPOISE_BINARY` names when the
/// tests are built (the release binary, say: `make test-release`).
pub const BINARY: &str = match option_env!("EQUIPOISE_BINARY") {
    Some(binary) => binary,
    None => env!("CARGO_BIN_EXE_equipoise"),
};

/// A running load balancer with a configuration of its own.
pub struct Equipoise {
    child: Child,
    dir: TempDir,
    admin: SocketAddr,
    exited: Option<ExitStatus>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Exit {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Exit {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl Equipoise {
    /// Runs the configuration and waits until it is ready.
    ///
    /// What the text leaves out is added: an admin listener on a port of the kernel's choice, a
    /// state directory, and an access log in JSON to [`Self::access_log`]. `@DIR@` in it is the
    /// test's directory. Listeners should bind port 0.
    #[track_caller]
    pub fn start(yaml: &str) -> Self {
        Self::start_in(TempDir::new("run"), yaml)
    }

    /// As [`Self::start`] in a directory that has files already, or the state of an earlier run.
    #[track_caller]
    pub fn start_in(dir: TempDir, yaml: &str) -> Self {
        Self::spawn(dir, yaml, None).ready()
    }

    /// As [`Self::start`], with that limit of open files.
    #[track_caller]
    pub fn start_with_descriptors(yaml: &str, limit: u32) -> Self {
        Self::spawn(TempDir::new("limited"), yaml, Some(limit)).ready()
    }

    /// As [`Self::start`], with more in its environment.
    #[track_caller]
    pub fn start_with(yaml: &str, environment: &[(&str, &str)]) -> Self {
        Self::spawn_with(TempDir::new("run"), yaml, None, environment).ready()
    }

    #[track_caller]
    fn ready(mut self) -> Self {
        self.admin = self.wait_for_admin();
        self.wait_until_ready(6 * SOON);
        self
    }

    /// As [`Self::start`], but waits for the admin listener only: the first checks still run.
    #[track_caller]
    pub fn start_early(yaml: &str) -> Self {
        Self::start_early_in(TempDir::new("early"), yaml)
    }

    /// As [`Self::start_in`], but waits for the admin listener only: it may speak TLS, or the instance not be ready.
    #[track_caller]
    pub fn start_early_in(dir: TempDir, yaml: &str) -> Self {
        let mut this = Self::spawn(dir, yaml, None);
        this.admin = this.wait_for_admin();
        this
    }

    /// Runs a configuration that is expected to end by itself, and waits for that.
    #[track_caller]
    pub fn run_to_exit(yaml: &str) -> Exit {
        let mut this = Self::spawn(TempDir::new("fail"), yaml, None);
        this.wait_exit(6 * SOON)
    }

    /// As [`Self::run_to_exit`], with that limit of open files.
    #[track_caller]
    pub fn run_to_exit_with_descriptors(yaml: &str, limit: u32) -> Exit {
        let mut this = Self::spawn(TempDir::new("few"), yaml, Some(limit));
        this.wait_exit(6 * SOON)
    }

    /// Runs any command line to its end.
    #[track_caller]
    pub fn command(args: &[&str]) -> Exit {
        let output = Command::new(BINARY)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("run the binary");
        Exit {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// As [`Self::start`] with other standard streams than files. Where the admin listener is can't be read there, so
    /// the configuration says it.
    #[track_caller]
    pub fn start_writing_to(yaml: &str, admin: SocketAddr, stdout: Stdio, stderr: Stdio) -> Self {
        let command = Command::new(BINARY);
        let mut this = Self::spawn_as(command, TempDir::new("log"), yaml, stdout, stderr);
        this.admin = admin;
        this.wait_until_ready(6 * SOON);
        this
    }

    /// As [`Self::start_writing_to`] with that for standard error, and more in its environment.
    #[track_caller]
    pub fn start_telling(
        yaml: &str,
        admin: SocketAddr,
        stderr: Stdio,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(BINARY);
        command
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied());
        let mut this = Self::spawn_as(command, TempDir::new("tell"), yaml, Stdio::null(), stderr);
        this.admin = admin;
        this.wait_until_ready(6 * SOON);
        this
    }

    /// As [`Self::start_writing_to`] by a shell that runs `script`, in which `"$@"` is the command line.
    #[track_caller]
    pub fn start_in_shell(yaml: &str, admin: SocketAddr, script: &str) -> Self {
        Self::start_in_slow_shell(yaml, admin, script, 6 * SOON)
    }

    /// The same where it may take so long until it is ready.
    #[track_caller]
    pub fn start_in_slow_shell(
        yaml: &str,
        admin: SocketAddr,
        script: &str,
        within: Duration,
    ) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", BINARY]);
        let dir = TempDir::new("shell");
        let mut this = Self::spawn_as(command, dir, yaml, Stdio::null(), Stdio::null());
        this.admin = admin;
        this.wait_until_ready(within);
        this
    }

    fn spawn(dir: TempDir, yaml: &str, descriptors: Option<u32>) -> Self {
        Self::spawn_with(dir, yaml, descriptors, &[])
    }

    fn spawn_with(
        dir: TempDir,
        yaml: &str,
        descriptors: Option<u32>,
        environment: &[(&str, &str)],
    ) -> Self {
        // What an earlier run in the same directory has said isn't this one's.
        for name in ["stderr.log", "stdout.log"] {
            File::create(dir.path().join(name)).unwrap();
        }
        let (stderr, stdout) = streams(dir.path());
        let mut command = command_in(dir.path(), descriptors);
        command.envs(environment.iter().copied());
        Self::spawn_as(command, dir, yaml, stdout.into(), stderr.into())
    }

    fn spawn_as(
        mut command: Command,
        dir: TempDir,
        yaml: &str,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Self {
        let yaml = complete(yaml, dir.path());
        let config = dir.write("equipoise.yaml", &yaml);
        let child = command
            .arg("run")
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("run the binary");
        Self {
            child,
            dir,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            exited: None,
        }
    }

    #[track_caller]
    fn wait_until_ready(&mut self, within: Duration) {
        eventually(within, || {
            self.fail_if_exited();
            match Client::try_connect(self.admin)
                .and_then(|mut c| c.get("/readyz", &[("Connection", "close")]))
            {
                Ok(response) if response.status == 200 => Ok(()),
                Ok(response) => Err(format!("/readyz: {response}")),
                Err(e) => Err(e.to_string()),
            }
        });
    }

    #[track_caller]
    fn wait_for_admin(&mut self) -> SocketAddr {
        let line = Regex::new(r"admin listening.*?address=\W?([0-9.:\[\]a-f]+)").unwrap();
        eventually(6 * SOON, || {
            self.fail_if_exited();
            let log = without_colour(&self.stderr());
            line.captures(&log)
                .map(|c| c[1].parse::<SocketAddr>().unwrap())
        })
    }

    #[track_caller]
    fn fail_if_exited(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            self.exited = Some(status);
            panic!("equipoise ended by itself: {status}\n{}", self.stderr());
        }
    }

    /// Changes what names resolve to, where the directory had a file `hosts` at the start.
    pub fn set_hosts(&self, text: &str) {
        std::fs::write(self.dir.path().join("hosts"), text).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The numbers of its open files.
    pub fn descriptors(&self) -> Vec<u32> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let number = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.ok()?.file_name().to_str()?.parse().ok()
        };
        let mut numbers: Vec<u32> = open.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// From now on it can open no more than `more` files.
    #[track_caller]
    pub fn leave_descriptors(&self, more: usize) {
        let open = self.descriptors();
        let limit = (0..).filter(|n| !open.contains(n)).nth(more).unwrap();
        self.limit_descriptors(limit);
    }

    /// Sets the limit of its open files, for now.
    #[track_caller]
    pub fn limit_descriptors(&self, limit: u32) {
        let status = Command::new("prlimit")
            .args(["--pid", &self.pid().to_string()])
            .arg(format!("--nofile={limit}:"))
            .status()
            .expect("run prlimit");
        assert!(status.success());
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Everything it has logged so far.
    pub fn stderr(&self) -> String {
        read(&self.dir.path().join("stderr.log"))
    }

    pub fn stdout(&self) -> String {
        read(&self.dir.path().join("stdout.log"))
    }

    /// Where a listener listens (its first address).
    #[track_caller]
    pub fn address(&self, listener: &str) -> SocketAddr {
        let status = self.status();
        status["listeners"]
            .as_array()
            .and_then(|all| all.iter().find(|l| l["name"] == listener))
            .and_then(|l| l["addresses"][0].as_str())
            .and_then(|a| a.parse().ok())
            .unwrap_or_else(|| panic!("no address of listener {listener} in {status:#}"))
    }

    /// Where the listener `web` listens; most tests have one listener of that name.
    #[track_caller]
    pub fn web(&self) -> SocketAddr {
        self.address("web")
    }

    /// A connection to the listener `web`.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.web())
    }

    /// GET from the listener `web`, on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Response {
        get(self.web(), target, headers)
    }

    #[track_caller]
    pub fn admin_get(&self, target: &str) -> Response {
        get(self.admin, target, &[])
    }

    /// `GET /api/v1/status`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let response = self.admin_get("/api/v1/status");
        assert_eq!(response.status, 200, "{response}");
        response.json()
    }

    /// One server in the status.
    #[track_caller]
    pub fn server(&self, pool: &str, server: &str) -> Value {
        let status = self.status();
        let found = status["pools"]
            .as_array()
            .and_then(|all| all.iter().find(|p| p["name"] == pool))
            .and_then(|p| p["servers"].as_array())
            .and_then(|all| all.iter().find(|s| s["name"] == server));
        found
            .unwrap_or_else(|| panic!("no server {pool}/{server} in {status:#}"))
            .clone()
    }

    /// Waits until a server is in that state.
    #[track_caller]
    pub fn wait_state(&self, pool: &str, server: &str, state: &str) {
        eventually(SOON * 2, || {
            let now = self.server(pool, server);
            if now["state"] == state {
                Ok(())
            } else {
                Err(format!("not {state}: {now}"))
            }
        });
    }

    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let response = self.admin_get("/metrics");
        assert_eq!(response.status, 200, "{response}");
        Metrics::parse(&response.text())
    }

    /// Waits until every count of requests in flight, queued and connected is zero.
    #[track_caller]
    pub fn wait_idle(&self) {
        self.wait_zero(&[
            "equipoise_server_active",
            "equipoise_queue_length",
            "equipoise_connections_active",
        ]);
    }

    /// As [`Self::wait_idle`], while clients may still be connected.
    #[track_caller]
    pub fn wait_idle_servers(&self) {
        self.wait_zero(&["equipoise_server_active", "equipoise_queue_length"]);
    }

    #[track_caller]
    fn wait_zero(&self, names: &[&str]) {
        eventually(SOON, || {
            let metrics = self.metrics();
            let left: Vec<_> = metrics
                .samples()
                .iter()
                .filter(|s| names.contains(&s.name.as_str()) && s.value != 0.0)
                .cloned()
                .collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("not zero: {left:?}"))
            }
        });
    }

    /// The lines of the access log that [`Self::start`] set up, as they stand in the file.
    pub fn access_log(&self) -> Vec<Value> {
        let text = read(&self.dir.path().join("access.log"));
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: log line {l:?}")))
            .collect()
    }

    /// Waits for the line that `wanted` accepts.
    #[track_caller]
    pub fn wait_logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(SOON, || {
            let lines = self.access_log();
            lines
                .iter()
                .find(|l| wanted(l))
                .cloned()
                .ok_or_else(|| format!("not in {lines:?}"))
        })
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.nix_pid(), signal).unwrap();
    }

    /// Writes a new configuration in place; nothing is told to the process.
    pub fn rewrite(&self, yaml: &str) {
        self.dir
            .write("equipoise.yaml", &complete(yaml, self.dir.path()));
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait_exit(&mut self, within: Duration) -> Exit {
        let status = eventually(within, || self.child.try_wait().unwrap());
        self.exited = Some(status);
        Exit {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// Begins another process that is to take over, with the configuration that is there now.
    #[track_caller]
    fn begin_upgrade(&self) -> Child {
        let (stderr, stdout) = streams(self.dir());
        Command::new(BINARY)
            .args(["run", "--upgrade", "-c"])
            .arg(self.dir().join("equipoise.yaml"))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("run the binary")
    }

    /// Has another process take over, and waits until it serves. Gives the one from before, which finishes what it has.
    #[track_caller]
    pub fn upgrade(&mut self) -> Old {
        let mut next = self.begin_upgrade();
        let pid = next.id();
        eventually(12 * SOON, || {
            if let Some(status) = next.try_wait().unwrap() {
                panic!("the new process ended: {status}\n{}", self.stderr());
            }
            let response = Client::try_connect(self.admin)
                .and_then(|mut client| client.get("/api/v1/status", &[]))
                .map_err(|error| error.to_string())?;
            if response.status == 200 && response.json()["pid"] == pid {
                Ok(())
            } else {
                Err(format!("not yet: {response}"))
            }
        });
        Old(std::mem::replace(&mut self.child, next))
    }

    /// Waits for the end of a new process that can't take over.
    #[track_caller]
    pub fn fail_to_upgrade(&self) -> Exit {
        let mut next = self.begin_upgrade();
        let status = eventually(6 * SOON, || next.try_wait().unwrap());
        Exit {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// Goes on with that process, after the end of its own.
    pub fn adopt(&mut self, old: Old) {
        let mut ended = std::mem::replace(&mut self.child, old.take());
        let _ = ended.wait();
        self.exited = None;
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Stops it at once and hands back its directory, to start another in.
    #[track_caller]
    pub fn into_dir(mut self) -> TempDir {
        self.signal(Signal::SIGINT);
        self.wait_exit(SOON);
        std::mem::replace(&mut self.dir, TempDir::new("moved"))
    }

    /// Hands back the directory of one that has ended.
    pub fn take_dir(mut self) -> TempDir {
        assert!(self.exited.is_some(), "it runs");
        std::mem::replace(&mut self.dir, TempDir::new("moved"))
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }
}

/// A process that another one has taken over from.
pub struct Old(Child);

impl Old {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait_exit(&mut self, within: Duration) -> Exit {
        Exit {
            status: eventually(within, || self.0.try_wait().unwrap()),
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    fn take(mut self) -> Child {
        let placeholder = Command::new("true").spawn().expect("run true");
        std::mem::replace(&mut self.0, placeholder)
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the processes of a directory write, one after the other.
fn streams(dir: &Path) -> (File, File) {
    let append = |name| {
        let mut options = File::options();
        options
            .create(true)
            .append(true)
            .open(dir.join(name))
            .unwrap()
    };
    (append("stderr.log"), append("stdout.log"))
}

impl Drop for Equipoise {
    fn drop(&mut self) {
        if self.exited.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "--- equipoise {} said:\n{}---",
                self.child.id(),
                self.stderr()
            );
        }
    }
}

/// The binary, with that limit of open files; where the directory has a file `hosts` or `resolv.conf`, with that in place of
/// the machine's own in `/etc`.
fn command_in(dir: &Path, descriptors: Option<u32>) -> Command {
    let mut script = descriptors.map_or_else(String::new, |limit| format!("ulimit -n {limit}; "));
    let own = |name: &&str| dir.join(name).exists();
    let own: Vec<&str> = ["hosts", "resolv.conf"].into_iter().filter(own).collect();
    for name in &own {
        // A link may lead out of /etc.
        let _ = write!(
            script,
            "mount --bind \"$0/{name}\" \"$(readlink -f /etc/{name})\" && "
        );
    }
    script.push_str("exec \"$@\"");
    if own.is_empty() {
        let mut command = Command::new("sh");
        command.args([
            OsStr::new("-c"),
            script.as_ref(),
            dir.as_ref(),
            BINARY.as_ref(),
        ]);
        return command;
    }
    // A mount that nobody else sees, which only root may make, or who is root in a namespace of his own.
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", &script]);
    command.args([dir, Path::new(BINARY)]);
    command
}

/// Adds what a test's configuration leaves out.
pub fn complete(yaml: &str, dir: &Path) -> String {
    let dir = dir.display().to_string();
    let mut yaml = yaml.replace("@DIR@", &dir);
    let has = |yaml: &str, key: &str| yaml.lines().any(|l| l.starts_with(key));
    let state = format!("state_dir: {dir}/state");
    let upgrade = format!("upgrade_socket: {dir}/upgrade.sock");
    // So that a reload is the one that a test asks for.
    for (key, line) in [
        ("state_dir:", &*state),
        ("watch_config:", "watch_config: false"),
        ("upgrade_socket:", &*upgrade),
    ] {
        if yaml.contains(key) {
            continue;
        }
        if let Some(at) = yaml.find("server: {") {
            yaml.insert_str(at + "server: {".len(), &format!("{line}, "));
        } else if yaml.starts_with("server:\n") || yaml.contains("\nserver:\n") {
            yaml = yaml.replacen("server:\n", &format!("server:\n  {line}\n"), 1);
        } else {
            yaml = format!("server: {{{line}}}\n{yaml}");
        }
    }
    if !has(&yaml, "admin:") {
        yaml = format!("admin: {{bind: \"127.0.0.1:0\"}}\n{yaml}");
    }
    if !has(&yaml, "logging:") {
        yaml = format!("logging: {{access_log: {{path: {dir}/access.log, format: json}}}}\n{yaml}");
    }
    yaml
}

pub fn read(path: &PathBuf) -> String {
    std::fs::read(path)
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .unwrap_or_default()
}

fn without_colour(text: &str) -> String {
    Regex::new("\x1b\\[[0-9;]*m")
        .unwrap()
        .replace_all(text, "")
        .into_owned()
}
