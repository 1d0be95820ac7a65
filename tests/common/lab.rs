//! Machines of their own, as network namespaces: a client's, the balancer's, and a server's behind it.
//!
//! ```text
//! client 10.1.0.2, .3  --- 10.1.0.1 balancer 10.2.0.1 ---  10.2.0.2 server
//!        fd00:1::2         fd00:1::1         fd00:2::1     fd00:2::2
//! ```

use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use super::wait::{SOON, eventually};

/// The interface of the balancer that the server is behind.
pub const SERVER_SIDE: &str = "servers";

/// Three machines that are connected.
pub struct Lab {
    pub client: Machine,
    pub balancer: Machine,
    pub server: Machine,
}

/// A network namespace; it goes when this is dropped and nobody is in it.
pub struct Machine(File);

/// Runs a test as somebody who may make machines: as `name`d test of this program in a namespace of its own, if it isn't
/// root's.
pub fn as_root(name: &str, test: impl FnOnce()) {
    if nix::unistd::geteuid().is_root() {
        return test();
    }
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .status()
        .expect("unshare (util-linux)");
    assert!(status.success(), "{status}");
}

impl Lab {
    pub fn new() -> Self {
        let lab = Self {
            client: Machine::new(),
            balancer: Machine::new(),
            server: Machine::new(),
        };
        for (far, name, peer) in [
            (&lab.client, "clients", "uplink"),
            (&lab.server, SERVER_SIDE, "uplink"),
        ] {
            lab.balancer.ip(&format!(
                "link add {name} type veth peer name {peer} netns {}",
                far.path()
            ));
        }
        lab.client.address("uplink", "10.1.0.2/24");
        lab.client.address("uplink", "10.1.0.3/24");
        lab.client.address("uplink", "fd00:1::2/64");
        lab.balancer.address("clients", "10.1.0.1/24");
        lab.balancer.address("clients", "fd00:1::1/64");
        lab.balancer.address(SERVER_SIDE, "10.2.0.1/24");
        lab.balancer.address(SERVER_SIDE, "fd00:2::1/64");
        lab.server.address("uplink", "10.2.0.2/24");
        lab.server.address("uplink", "fd00:2::2/64");
        for (machine, interface) in [
            (&lab.client, "uplink"),
            (&lab.balancer, "clients"),
            (&lab.balancer, SERVER_SIDE),
            (&lab.server, "uplink"),
        ] {
            machine.ip(&format!("link set {interface} up"));
        }
        // What servers say goes by way of the balancer.
        lab.server.ip("route add default via 10.2.0.1");
        lab.server.ip("-6 route add default via fd00:2::1");
        // A link that was just made takes a moment until something passes.
        for (from, to) in [
            (&lab.client, "10.1.0.1:9"),
            (&lab.client, "[fd00:1::1]:9"),
            (&lab.balancer, "10.2.0.2:9"),
            (&lab.balancer, "[fd00:2::2]:9"),
            (&lab.server, "10.2.0.1:9"),
        ] {
            let to: SocketAddr = to.parse().unwrap();
            from.run(|| {
                eventually(SOON, || {
                    let tried = TcpStream::connect_timeout(&to, Duration::from_millis(500));
                    tried.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
                });
            });
        }
        lab
    }

    /// Has the balancer take what servers say to clients for its own, by the commands of the documentation that have `word`
    /// in them.
    pub fn bring_answers_back(&self, word: &str) {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/transparent.md");
        let page = std::fs::read_to_string(page).unwrap();
        let mut blocks = page.split("```sh\n").skip(1);
        let commands = blocks
            .find_map(|block| block.split("```").next().filter(|text| text.contains(word)))
            .unwrap_or_else(|| panic!("no commands with {word}"));
        self.balancer.shell(&commands.replace("eth1", SERVER_SIDE));
    }
}

/// The commands for servers behind an interface of their own, and those for the connections of this process alone.
pub const BY_INTERFACE: &str = "ip rule add iif";
pub const BY_CONNECTION: &str = "nft add table";

impl Machine {
    pub fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace, which root may make");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let machine = Self(made.join().unwrap());
        machine.ip("link set lo up");
        machine
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Does something on it: threads and processes that this starts stay there.
    pub fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let done = scope.spawn(|| {
                setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            done.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn address(&self, interface: &str, address: &str) {
        let kind = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("address add {address} dev {interface}{kind}"));
    }

    /// Runs a script of the shell.
    pub fn shell(&self, script: &str) {
        // Where daemons and such tools are, which not everybody's path has.
        let script = format!("PATH=$PATH:/usr/sbin:/sbin\n{script}");
        let output = self.run(|| Command::new("sh").args(["-ec", &script]).output().unwrap());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {told}");
    }

    /// Runs `ip` with these arguments.
    pub fn ip(&self, arguments: &str) {
        let output = self.run(|| {
            Command::new("ip")
                .args(arguments.split(' '))
                .output()
                .expect("ip (iproute2)")
        });
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {told}");
    }
}
