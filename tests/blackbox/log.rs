//! The program's own log and the access log must never cost anything but lines, whatever becomes of where they go.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::unistd::pipe;
use regex::Regex;

use crate::common::*;

const FAST: &str = "health_check: {type: http, path: /health, interval: 100ms, fast_interval: 50ms, timeout: 1s, rise: 1, fall: 1}";

/// Checks go on, a reload is done, the access log is reopened, and the process drains and ends well.
#[track_caller]
fn goes_on(mut lb: Equipoise, setup: &Setup, origin: &Origin) {
    for _ in 0..3 {
        origin.set_health(503);
        lb.wait_state("app", origin.name(), "down");
        origin.set_health(200);
        lb.wait_state("app", origin.name(), "up");
    }
    // More words than any pipe holds: every one of these is told.
    for n in 0..3 {
        let before = lb.metrics().sum("equipoise_config_reloads_total", &[]);
        let wordy: String = (0..500)
            .map(|word| format!("unknown_key_{n}_{word}: 1\n"))
            .collect();
        lb.rewrite(&setup.clone().top(&wordy).yaml());
        lb.signal(Signal::SIGHUP);
        eventually(SOON, || {
            lb.metrics().sum("equipoise_config_reloads_total", &[]) > before
        });
    }
    let other = Origin::start("other");
    lb.rewrite(&setup.clone().server(&other, "").yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || lb.status().to_string().contains("\"other\""));
    lb.wait_state("app", "other", "up");
    lb.signal(Signal::SIGUSR1);
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(lb.metrics().sum("equipoise_panics_total", &[]), 0.0);
    assert_eq!(lb.metrics().sum("equipoise_task_restarts_total", &[]), 0.0);
    lb.signal(Signal::SIGTERM);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
}

fn setup(origin: &Origin) -> (Setup, ReservedPort) {
    let port = ReservedPort::new();
    let admin = format!("admin: {{bind: \"{}\"}}", port.address());
    (Setup::of([origin]).pool(FAST).top(&admin), port)
}

fn dev_full() -> Stdio {
    OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// A pipe without room.
fn full_pipe(blocking: bool) -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&writer, &[b'.'; 4096]).is_ok() {}
    if blocking {
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    }
    (reader, writer)
}

#[test]
fn a_full_disk_under_the_log_stops_nothing() {
    let origin = Origin::start("a");
    let (setup, port) = setup(&origin);
    let lb = Equipoise::start_writing_to(&setup.yaml(), port.address(), dev_full(), dev_full());
    goes_on(lb, &setup, &origin);
}

#[test]
fn a_log_whose_reader_left_stops_nothing() {
    let origin = Origin::start("a");
    let (setup, port) = setup(&origin);
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let lb =
        Equipoise::start_writing_to(&setup.yaml(), port.address(), Stdio::null(), writer.into());
    goes_on(lb, &setup, &origin);
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    for blocking in [true, false] {
        let origin = Origin::start("a");
        let (setup, port) = setup(&origin);
        let (_reader, writer) = full_pipe(blocking);
        let lb = Equipoise::start_writing_to(
            &setup.yaml(),
            port.address(),
            Stdio::null(),
            writer.into(),
        );
        goes_on(lb, &setup, &origin);
    }
}

#[test]
fn a_closed_standard_error_stops_nothing() {
    let origin = Origin::start("a");
    let (setup, port) = setup(&origin);
    let lb = Equipoise::start_in_shell(&setup.yaml(), port.address(), "exec \"$@\" 2>&- >&-");
    goes_on(lb, &setup, &origin);
}

#[test]
fn what_a_full_pipe_holds_up_comes_once_there_is_room() {
    let origin = Origin::start("a");
    let (setup, port) = setup(&origin);
    let (reader, writer) = full_pipe(false);
    let mut lb =
        Equipoise::start_writing_to(&setup.yaml(), port.address(), Stdio::null(), writer.into());
    origin.set_health(503);
    lb.wait_state("app", "a", "down");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        text
    });
    lb.signal(Signal::SIGTERM);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    drop(lb);
    let text = reader.join().unwrap();
    let text = text.trim_start_matches('.');
    for expected in ["admin listening", "status 503", "stopped"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn lost_lines_are_counted_and_told_when_the_log_can_be_written_again() {
    let origin = Origin::start("a");
    let (setup, port) = setup(&origin);
    let (reader, writer) = full_pipe(true);
    let lb =
        Equipoise::start_writing_to(&setup.yaml(), port.address(), Stdio::null(), writer.into());
    let dropped = || lb.metrics().sum("equipoise_log_dropped_total", &[]);
    // Every problem is a line, as long as the key that it speaks of.
    let wordy: String = (0..500).map(|n| format!("unknown_{n:0900}: 1\n")).collect();
    lb.rewrite(&setup.clone().top(&wordy).yaml());
    eventually(SOON * 6, || {
        lb.signal(Signal::SIGHUP);
        dropped() > 0.0
    });
    let told = std::thread::spawn(move || {
        let mut reader = std::io::BufReader::new(File::from(reader));
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = std::io::BufRead::read_until(&mut reader, b'\n', &mut line).unwrap();
            let text = String::from_utf8_lossy(&line);
            if read == 0 || text.contains("this log keeps up again") {
                return text.into_owned();
            }
        }
    });
    eventually(SOON * 3, || told.is_finished());
    let told = told.join().unwrap();
    assert!(told.contains("dropped="), "{told}");
}

#[test]
fn a_broken_configuration_is_told_to_nobody_without_waiting() {
    let dir = TempDir::new("nobody");
    let config = dir.write("broken.yaml", &"unknown: 1\n".repeat(3000));
    let (_reader, writer) = full_pipe(true);
    let mut child = Command::new(equipoise::BINARY)
        .args(["run", "-c"])
        .arg(config)
        .stdin(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    let status = eventually(SOON, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(2));
}

#[test]
fn an_access_log_on_a_standard_output_that_is_full_or_unread_costs_lines_only() {
    for blocking in [None, Some(true), Some(false)] {
        let origin = Origin::start("a");
        let (setup, port) = setup(&origin);
        let setup = setup.top("logging: {access_log: {path: stdout, format: json}}");
        let (_reader, stdout) = match blocking.map(full_pipe) {
            Some((reader, writer)) => (Some(reader), writer.into()),
            None => (None, dev_full()),
        };
        let lb = Equipoise::start_writing_to(&setup.yaml(), port.address(), stdout, Stdio::null());
        for _ in 0..10 {
            assert_eq!(lb.get("/", &[]).status, 200);
        }
        goes_on(lb, &setup, &origin);
    }
}

#[test]
fn an_access_log_into_a_pipe_starts_without_a_reader_and_gets_one_later() {
    let origin = Origin::start("a");
    let dir = TempDir::new("pipe");
    let path = dir.path().join("access.pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let setup = Setup::of([&origin]).top(&format!(
        "logging: {{access_log: {{path: {}, format: json}}}}",
        path.display()
    ));
    let mut lb = setup.start();
    assert_eq!(lb.get("/early", &[]).status, 200);
    eventually(SOON, || lb.stderr().contains("nobody reads the named pipe"));
    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&path)
        .unwrap();
    assert_eq!(lb.get("/late", &[]).status, 200);
    let mut text = String::new();
    eventually(SOON, || {
        let mut bytes = [0; 4096];
        if let Ok(count) = reader.read(&mut bytes) {
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        text.contains("/early") && text.contains("/late")
    });
    lb.signal(Signal::SIGTERM);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
}

#[test]
fn lines_that_are_left_unwritten_at_the_end_are_counted() {
    let origin = Origin::start("a");
    let setup = Setup::of([&origin]).top("logging: {access_log: {path: /dev/full, format: json}}");
    let mut lb = setup.start();
    for _ in 0..3 {
        assert_eq!(lb.get("/", &[]).status, 200);
    }
    lb.signal(Signal::SIGTERM);
    let exit = lb.wait_exit(SOON);
    assert_eq!(exit.code(), Some(0));
    assert!(exit.stderr.contains("is lost lines=3"), "{}", exit.stderr);
}

#[test]
fn rotation_on_a_full_disk_splits_no_line() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    assert_eq!(lb.get("/first", &[]).status, 200);
    lb.wait_logged(|line| line["path"] == "/first");
    // No byte more than half a line: what a disk does that is nearly full.
    let log = lb.dir().join("access.log");
    let room = std::fs::metadata(&log).unwrap().len() + 40;
    limit_file_size(&lb, &room.to_string());
    assert_eq!(lb.get("/second", &[]).status, 200);
    eventually(SOON, || std::fs::metadata(&log).unwrap().len() == room);
    let rotated = lb.dir().join("access.log.1");
    std::fs::rename(&log, &rotated).unwrap();
    limit_file_size(&lb, "unlimited");
    lb.signal(Signal::SIGUSR1);
    lb.wait_logged(|line| line["path"] == "/second");
    let old = std::fs::read_to_string(&rotated).unwrap();
    assert!(old.ends_with("}\n") && old.lines().count() == 1, "{old}");
}

/// Sets the largest size of files that the process may write: beyond it a write fails.
fn limit_file_size(lb: &Equipoise, bytes: &str) {
    let set = Command::new("prlimit")
        .arg(format!("--fsize={bytes}:unlimited"))
        .args(["--pid", &lb.pid().to_string()])
        .status()
        .unwrap();
    assert!(set.success());
}

/// What a process whose standard error is a terminal says until it is told to end.
fn on_a_terminal(level: &str, environment: &[(&str, &str)]) -> String {
    let origin = Origin::start("a");
    let (setup, port) = setup(&origin);
    let level = format!("logging: {{level: {level}, access_log: {{path: off}}}}");
    let terminal = openpty(None, None).unwrap();
    let reader = std::thread::spawn(move || {
        let (mut said, mut screen) = (Vec::new(), File::from(terminal.master));
        // It ends with an error when nobody has the other side open any more.
        let _ = screen.read_to_end(&mut said);
        String::from_utf8(said).unwrap()
    });
    let mut lb = Equipoise::start_telling(
        &setup.top(&level).yaml(),
        port.address(),
        terminal.slave.into(),
        environment,
    );
    lb.signal(Signal::SIGTERM);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    reader.join().unwrap()
}

#[test]
fn on_a_terminal_lines_are_short_and_in_colour() {
    let said = on_a_terminal("info", &[]);
    let line =
        Regex::new(r"(?m)^\x1b\[2m\d\d:\d\d:\d\dZ\x1b\[0m \x1b\[32m INFO\x1b\[0m .*listening")
            .unwrap();
    assert!(line.is_match(&said), "{said:?}");
    assert!(!said.contains("equipoise::"), "{said:?}");
    assert!(
        said.lines().all(|line| line.starts_with('\x1b')),
        "{said:?}"
    );
}

#[test]
fn no_color_is_heeded_unless_it_is_empty() {
    let said = on_a_terminal("info", &[("NO_COLOR", "1")]);
    assert!(!said.contains('\x1b'), "{said:?}");
    let line = Regex::new(r"(?m)^\d\d:\d\d:\d\dZ  INFO .*listening").unwrap();
    assert!(line.is_match(&said), "{said:?}");
    let said = on_a_terminal("info", &[("NO_COLOR", "")]);
    assert!(said.contains("\x1b[32m"), "{said:?}");
}

#[test]
fn at_finer_levels_a_terminal_shows_the_modules_too() {
    let said = on_a_terminal("debug", &[("NO_COLOR", "1")]);
    let line = Regex::new(r"(?m)^\d\d:\d\d:\d\dZ  INFO equipoise::server.* listening").unwrap();
    assert!(line.is_match(&said), "{said:?}");
}

#[test]
fn in_a_file_lines_have_the_date_and_no_colour() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let said = lb.stderr();
    let line = Regex::new(r"(?m)^\d{4}-\d\d-\d\dT[0-9:.]+Z  INFO equipoise::server").unwrap();
    assert!(line.is_match(&said), "{said:?}");
    assert!(!said.contains('\x1b'), "{said:?}");
}
