//! A systemd of its own, as process 1 of namespaces that the test makes, with the unit that is delivered.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::client::{Client, get};
use super::equipoise::BINARY;
use super::temp::TempDir;
use super::wait::{SOON, eventually};

/// Makes the machine that systemd sees out of this one, and becomes systemd. `$1` is the test's directory, with the files
/// that are to be in `/etc/equipoise`, `/usr/local/bin` and among the units.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t proc proc /proc
umount -R /sys/fs/cgroup 2>/dev/null || umount -l -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for file in group hosts ld.so.cache nsswitch.conf passwd resolv.conf; do
  if [ -e "/etc/$file" ]; then cp -L "/etc/$file" "$1/etc/$file"; fi
done
echo 'equipoise:x:64990:64990::/nonexistent:/usr/sbin/nologin' >> "$1/etc/passwd"
echo 'equipoise:x:64990:' >> "$1/etc/group"
mount --bind "$1/etc" /etc
mount --bind "$1/bin" /usr/local/bin
for directory in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$directory"; done
export container=other SYSTEMD_UNIT_PATH="$1/units" SYSTEMD_GENERATOR_PATH="$1/none"
exec "$2" --system --unit=test.target --show-status=false --log-target=console
"#;

/// Targets that systemd wants to have, or that the unit names. None does anything here.
const TARGETS: [&str; 12] = [
    "basic",
    "sysinit",
    "shutdown",
    "umount",
    "final",
    "exit",
    "multi-user",
    "network-online",
    "nss-lookup",
    "sockets",
    "timers",
    "test",
];

const SERVICE: &str = "equipoise.service";
const SOCKET: &str = "equipoise.socket";

/// A systemd that runs, and ends with this.
pub struct Systemd {
    dir: TempDir,
    child: Child,
    /// Process 1, as this test sees it.
    init: u32,
    cgroup: PathBuf,
    admin: SocketAddr,
}

impl Systemd {
    /// Starts it, and the service with that configuration, in which the admin listener is at `admin`.
    ///
    /// # Errors
    ///
    /// Why there can't be a systemd here.
    pub fn start(yaml: &str, admin: SocketAddr) -> Result<Self, String> {
        let this = Self::with_units(yaml, admin, &[])?;
        let begun = this.control(&["start", SERVICE]);
        assert!(begun.status.success(), "{begun:?}\n{}", this.log());
        Ok(this)
    }

    /// The same, but the service isn't started: systemd listens at these addresses, and starts it when somebody connects.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn listen(yaml: &str, admin: SocketAddr, sockets: &[SocketAddr]) -> Result<Self, String> {
        let streams = sockets
            .iter()
            .map(|address| format!("ListenStream={address}\n"));
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\n[Socket]\n{}",
            streams.collect::<String>()
        );
        let this = Self::with_units(yaml, admin, &[(SOCKET, &unit)])?;
        this.must(&["start", SOCKET]);
        Ok(this)
    }

    fn with_units(yaml: &str, admin: SocketAddr, units: &[(&str, &str)]) -> Result<Self, String> {
        let program = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .ok_or("systemd isn't installed")?;
        if !nix::unistd::geteuid().is_root() {
            return Err("namespaces for systemd are root's to make".to_owned());
        }
        let cgroups = cgroups().ok_or("no cgroup2 file system is mounted")?;
        let dir = TempDir::new("systemd");
        // Others look for their files in it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        furnish(dir.path(), yaml);
        for (name, text) in units {
            fs::write(dir.path().join("units").join(name), text).unwrap();
        }
        let name = dir.path().file_name().unwrap();
        let cgroup = cgroups.join(name);
        fs::create_dir(&cgroup).map_err(|error| format!("no cgroup can be made: {error}"))?;
        let log = fs::File::create(dir.path().join("boot.log")).unwrap();
        let child = Command::new("sh")
            .args([
                "-c",
                "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"",
                "sh",
            ])
            .arg(&cgroup)
            .args(["unshare", "--pid", "--fork", "--kill-child", "--mount"])
            .args(["--cgroup", "--ipc", "--uts", "sh", "-c", BOOT, "sh"])
            .arg(dir.path())
            .arg(program)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("unshare can't be run: {error}"))?;
        let mut this = Self {
            dir,
            child,
            init: 0,
            cgroup,
            admin,
        };
        this.boot()?;
        Ok(this)
    }

    fn boot(&mut self) -> Result<(), String> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let booted = eventually(6 * SOON, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = fs::read_to_string(self.dir.path().join("boot.log"));
                return Ok(Err(format!("{status}: {}", log.unwrap_or_default())));
            }
            let first = fs::read_to_string(&children).map_err(|error| error.to_string())?;
            let first = first.split_whitespace().next().ok_or("no child")?;
            self.init = first.parse().map_err(|_| "no number".to_owned())?;
            let state = self.control(&["is-system-running"]);
            match String::from_utf8_lossy(&state.stdout).trim() {
                "running" | "degraded" => Ok(Ok(())),
                other => Err(format!("systemd is {other:?}")),
            }
        });
        booted.map_err(|why| format!("systemd doesn't start here: {why}"))
    }

    /// `systemctl`, with these arguments.
    pub fn control(&self, args: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["--target", &self.init.to_string()])
            .args([
                "--mount",
                "--pid",
                "--cgroup",
                "--ipc",
                "--uts",
                "systemctl",
            ])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("run nsenter")
    }

    /// `systemctl`, which has to succeed.
    #[track_caller]
    pub fn must(&self, args: &[&str]) {
        let output = self.control(args);
        assert!(output.status.success(), "{output:?}\n{}", self.log());
    }

    /// A property of the service.
    pub fn property(&self, name: &str) -> String {
        let output = self.control(&["show", "--value", "--property", name, SERVICE]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What the service has said.
    pub fn log(&self) -> String {
        let path = format!("/proc/{}/root/run/equipoise.log", self.init);
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Where the admin listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The status of the instance that serves.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        get(self.admin, "/api/v1/status", &[]).json()
    }

    /// Waits until another process than `before` serves, and systemd knows that.
    #[track_caller]
    pub fn wait_successor(&self, before: &str) -> String {
        eventually(6 * SOON, || {
            let pid = self.property("MainPID");
            let status = Client::try_connect(self.admin)
                .and_then(|mut client| client.get("/api/v1/status", &[]))
                .map_err(|error| error.to_string())?;
            let serving = status.json()["pid"].to_string();
            let active = self.property("ActiveState");
            if pid != before && pid == serving && active == "active" {
                Ok(pid)
            } else {
                Err(format!("{pid} {serving} {active}\n{}", self.log()))
            }
        })
    }

    /// Puts another configuration in place.
    pub fn rewrite(&self, yaml: &str) {
        let path = self.dir.path().join("etc/equipoise/equipoise.yaml");
        fs::write(path, yaml).unwrap();
    }

    /// Puts another program in place of the one that runs.
    pub fn replace_program(&self, program: &[u8]) {
        replace(&self.dir.path().join("bin/equipoise"), program);
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the service said:\n{}---", self.log());
        }
        // With process 1 all of its namespace end, and with unshare process 1.
        let _ = self.child.kill();
        let _ = self.child.wait();
        eventually(SOON, || {
            for inner in [
                "system.slice/equipoise.service",
                "system.slice/equipoise.socket",
                "system.slice",
                "init.scope",
                "",
            ] {
                let _ = fs::remove_dir(self.cgroup.join(inner));
            }
            // What else systemd has made there.
            remove_empty(&self.cgroup);
            !self.cgroup.exists()
        });
    }
}

fn remove_empty(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&inner.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// Puts a program at a path, by rename: the one that runs from there goes on.
pub fn replace(path: &Path, program: &[u8]) {
    let next = path.with_extension("next");
    fs::write(&next, program).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(next, path).unwrap();
}

/// The program with another version number in it, of the same length.
pub fn other_version() -> (Vec<u8>, String) {
    let version = env!("CARGO_PKG_VERSION");
    let other: String = version
        .chars()
        .rev()
        .map(|c| if c == '0' { '9' } else { c })
        .collect();
    let mut program = fs::read(BINARY).unwrap();
    let places: Vec<_> = memchr::memmem::find_iter(&program, version).collect();
    for place in places {
        program[place..place + other.len()].copy_from_slice(other.as_bytes());
    }
    (program, other)
}

/// Where groups of control can be made.
fn cgroups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let path = fields.into_iter().find_map(|fields| match fields[..] {
        [_, path, "cgroup2", ..] => Some(PathBuf::from(path)),
        _ => None,
    })?;
    Some(path)
}

fn furnish(dir: &Path, yaml: &str) {
    for inner in ["bin", "etc/equipoise", "units/equipoise.service.d"] {
        fs::create_dir_all(dir.join(inner)).unwrap();
    }
    fs::write(dir.join("etc/equipoise/equipoise.yaml"), yaml).unwrap();
    fs::copy(BINARY, dir.join("bin/equipoise")).unwrap();
    let units = dir.join("units");
    for target in TARGETS {
        let unit = "[Unit]\nDefaultDependencies=no\n";
        fs::write(units.join(format!("{target}.target")), unit).unwrap();
    }
    let delivered = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/equipoise.service");
    fs::copy(delivered, units.join(SERVICE)).unwrap();
    let output = "[Service]\nStandardOutput=append:/run/equipoise.log\nStandardError=append:/run/equipoise.log\n";
    fs::write(units.join("equipoise.service.d/output.conf"), output).unwrap();
}
