//! `equipoise proxy`, SPEC section 1: the form without a file.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::equipoise::BINARY;
use crate::common::*;

/// A running `equipoise proxy`.
struct Proxy {
    child: Child,
    at: SocketAddr,
    dir: TempDir,
    _port: ReservedPort,
}

impl Proxy {
    /// Starts it on a port of the kernel's choice and waits until it accepts.
    #[track_caller]
    fn start(args: &[&str]) -> Self {
        let (port, dir) = (ReservedPort::new(), TempDir::new("proxy"));
        let at = port.address();
        let log = |name: &str| File::create(dir.path().join(name)).unwrap();
        let child = Command::new(BINARY)
            .args(["proxy", "--from", &at.to_string()])
            .args(args)
            .env("STATE_DIRECTORY", dir.path())
            .stdin(Stdio::null())
            .stdout(log("stdout.log"))
            .stderr(log("stderr.log"))
            .spawn()
            .unwrap();
        let this = Self {
            child,
            at,
            dir,
            _port: port,
        };
        eventually(SOON, || {
            Client::try_connect(at).map_err(|error| format!("{error}\n{}", this.said("stderr.log")))
        });
        this
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn requests_go_round_and_stay_if_they_shall() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let to = [a.address().to_string(), b.address().to_string()];
    let mut plain = Proxy::start(&["--to", &to[0], "--to", &format!("http://{}/", to[1])]);
    let seen: Vec<_> = (0..4)
        .map(|_| get(plain.at, "/", &[]).origin().to_owned())
        .collect();
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 2, "{seen:?}");
    assert_ne!(seen[0], seen[1]);
    assert_eq!(get(plain.at, "/", &[]).cookie("SERVERID"), None);

    let sticky = Proxy::start(&["--to", &to[0], "--to", &to[1], "--sticky"]);
    let first = get(sticky.at, "/", &[]);
    let cookie = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
    for _ in 0..4 {
        let again = get(sticky.at, "/", &[("Cookie", &cookie)]);
        assert_eq!(again.origin(), first.origin());
    }

    // It ends as `run` does, and has logged as `run` does.
    kill(
        Pid::from_raw(plain.child.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    let status = eventually(SOON, || plain.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(plain.said("stdout.log").matches("GET / ").count(), 5);
}

#[test]
fn https_servers_are_spoken_to_over_tls() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("a", &pki.leaf(&["localhost"]));
    let url = format!("https://localhost:{}", origin.address().port());
    let proxy = Proxy::start(&["--to", &url]);
    // Nobody vouches for its authority, and that is looked at.
    assert_eq!(get(proxy.at, "/", &[]).status, 502);
    let exit = Equipoise::command(&["proxy", "--from", "8080", "--to", &url, "--print"]);
    assert!(exit.stdout.contains("tls: {}"), "{exit:?}");
}

#[test]
fn what_is_printed_can_be_checked_and_run() {
    let origin = Origin::start("a");
    let to = origin.address().to_string();
    for args in [
        &["--from", ":8080", "--to", "8081"][..],
        &[
            "--from",
            "[::]:8080",
            "--from",
            "*:8080",
            "--to",
            "unix:/run/a",
        ],
        &[
            "--from", ":8080", "--to", "8081", "--to", "8082", "--sticky", "--admin",
        ],
        &["--https", "www.example.com", "--to", "https://app.internal"],
        &[
            "--https",
            "www.example.com",
            "--from",
            ":8443",
            "--to",
            "8081",
        ],
        &["--from", "127.0.0.1:0", "--to", &to],
    ] {
        let printed = Equipoise::command(&[&["proxy", "--print"], args].concat());
        assert_eq!(printed.code(), Some(0), "{printed:?}");
        assert_eq!(printed.stderr, "", "{args:?}");
        let dir = TempDir::new("printed");
        let file = dir.write("lb.yaml", &printed.stdout);
        let exit = Equipoise::command(&["check", "--elsewhere", file.to_str().unwrap()]);
        assert_eq!(exit.code(), Some(0), "{exit:?}");
    }
    let args = ["proxy", "--from", "127.0.0.1:0", "--to", &to, "--print"];
    let lb = Equipoise::start(&Equipoise::command(&args).stdout);
    assert_eq!(lb.get("/", &[]).origin(), "a");
}

#[test]
fn what_is_wrong_is_said_of_its_flag() {
    let (taken, _listener);
    taken = ReservedPort::new();
    _listener = taken.listen();
    let busy = taken.address().to_string();
    for (args, status, wanted) in [
        (&["--from", ":8080"][..], 2, "--to <ADDR>"),
        (&["--to", "8081"], 2, "--from <ADDR>"),
        (
            &["--from", ":8080", "--to", "app.internal"],
            2,
            "equipoise proxy: --to: `app.internal` has no port",
        ),
        (
            &["--from", "10.0.0.1", "--to", "8081"],
            2,
            "equipoise proxy: --from: `10.0.0.1` has no port",
        ),
        (&["--from", &busy, "--to", "8081"], 1, busy.as_str()),
    ] {
        let exit = Equipoise::command(&[&["proxy"], args].concat());
        assert_eq!(exit.code(), Some(status), "{exit:?}");
        assert!(exit.stderr.contains(wanted), "{exit:?}");
        assert_eq!(exit.stdout, "", "{exit:?}");
    }
}
