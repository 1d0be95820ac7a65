//! Signals: what each means, that none ends the process by accident, and that none is lost while it starts.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::*;

#[test]
fn sigquit_drains_as_sigterm_does() {
    let origin = Origin::with("a", |_| Answer::held());
    let mut lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    lb.signal(Signal::SIGQUIT);
    eventually(SOON, || lb.stderr().contains("finishing what is in flight"));
    assert!(lb.is_running(), "a request is in flight");
    origin.release_all();
    assert_eq!(client.read_response(false).unwrap().status, 200);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
}

#[test]
fn signals_without_a_meaning_end_nothing() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    for (signal, told) in [
        (Signal::SIGALRM, "SIGALRM means nothing here"),
        (Signal::SIGXFSZ, ""),
        (Signal::SIGPIPE, ""),
    ] {
        lb.signal(signal);
        eventually(SOON, || lb.stderr().contains(told));
        assert_eq!(lb.get("/", &[]).status, 200, "{signal}");
    }
}

/// A process that is in the middle of reading its configuration.
struct Starting {
    child: Child,
    dir: TempDir,
    admin: ReservedPort,
    yaml: String,
}

impl Starting {
    fn new(origin: &Origin) -> Self {
        let (dir, admin) = (TempDir::new("starting"), ReservedPort::new());
        let setup = Setup::of([origin]).top(&format!("admin: {{bind: \"{}\"}}", admin.address()));
        let yaml = equipoise::complete(&setup.yaml(), dir.path());
        let pipe = dir.path().join("configuration");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let child = Command::new(equipoise::BINARY)
            .args(["run", "-c"])
            .arg(&pipe)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("stderr.log")).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            dir,
            admin,
            yaml,
        }
    }

    /// Waits until the configuration is being read, and has `meanwhile` done before it comes. Who reads it again, for a
    /// reload, finds a file.
    fn read(&self, meanwhile: impl FnOnce()) {
        let pipe = self.dir.path().join("configuration");
        let mut pipe = OpenOptions::new().write(true).open(pipe).unwrap();
        meanwhile();
        let file = self.dir.write("file", &self.yaml);
        std::fs::rename(file, self.dir.path().join("configuration")).unwrap();
        pipe.write_all(self.yaml.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_reload_that_is_asked_for_during_the_start_is_done_after_it() {
    let origin = Origin::start("a");
    let starting = Starting::new(&origin);
    starting.read(|| {
        for signal in [Signal::SIGHUP, Signal::SIGUSR1] {
            starting.signal(signal);
        }
    });
    eventually(SOON, || {
        let response = Client::try_connect(starting.admin.address())
            .and_then(|mut client| client.get("/metrics", &[]))
            .map_err(|error| error.to_string())?;
        let metrics = Metrics::parse(&response.text());
        let done = metrics.sum("equipoise_config_reloads_total", &[("result", "success")]);
        if done == 1.0 {
            Ok(())
        } else {
            Err(response.text())
        }
    });
}

#[test]
fn a_stop_that_is_asked_for_during_the_start_is_a_good_end() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let origin = Origin::start("a");
        let mut starting = Starting::new(&origin);
        starting.read(|| starting.signal(signal));
        let status = eventually(SOON, || starting.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}
