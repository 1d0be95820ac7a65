//! SPEC section 2, `server` and sockets: what the process is to its operating system.

use std::fs;

use crate::common::*;

mod panics;
mod preflight;
mod user;

fn status_line(lb: &Equipoise, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", lb.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace()
        .skip(1)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn root_becomes_the_configured_user_after_binding() {
    let origin = Origin::start("a");
    if !nix::unistd::geteuid().is_root() {
        // Who isn't root can't become anybody else, and is told so.
        let yaml = Setup::of([&origin]).top("server: {user: nobody}").yaml();
        let exit = Equipoise::run_to_exit(&yaml);
        assert_eq!(exit.code(), Some(2), "{}", exit.stderr);
        assert!(
            exit.stderr.contains("cannot become user"),
            "{}",
            exit.stderr
        );
        return;
    }
    let lb = Setup::of([&origin])
        .top("server: {user: nobody, group: daemon}")
        .start();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let daemon = nix::unistd::Group::from_name("daemon").unwrap().unwrap();
    // Real, effective, saved and file system ids: no way back to root.
    let four = |id: u32| {
        [
            id.to_string(),
            id.to_string(),
            id.to_string(),
            id.to_string(),
        ]
        .join(" ")
    };
    assert_eq!(status_line(&lb, "Uid:"), four(nobody.uid.as_raw()));
    assert_eq!(status_line(&lb, "Gid:"), four(daemon.gid.as_raw()));
    assert_eq!(lb.get("/", &[]).status, 200);
}

#[test]
fn an_unknown_user_is_a_clear_error() {
    let origin = Origin::start("a");
    for (key, name) in [("user", "no-such-user"), ("group", "no-such-group")] {
        let yaml = Setup::of([&origin])
            .top(&format!("server: {{{key}: {name}}}"))
            .yaml();
        let exit = Equipoise::run_to_exit(&yaml);
        assert_eq!(exit.code(), Some(2), "{}", exit.stderr);
        assert!(exit.stderr.contains(name), "{}", exit.stderr);
    }
}

#[test]
fn threads_is_the_number_of_workers() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).top("server: {threads: 3}").start();
    let main_thread = lb.pid().to_string();
    let workers = fs::read_dir(format!("/proc/{}/task", lb.pid()))
        .unwrap()
        .filter_map(Result::ok)
        .filter(|task| task.file_name().to_string_lossy() != main_thread)
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| name.trim() == "equipoise")
        .count();
    assert_eq!(workers, 3);
}

#[test]
fn client_connections_have_keepalive_probes() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("tcp_keepalive: {idle: 1000s, interval: 10s, probes: 3}")
        .start();
    let mut client = lb.client();
    client.get("/", &[]).unwrap();
    // proc_net_tcp.txt: timer 02 is keep-alive, and then how long until it fires, in ticks of 10 ms.
    let ours = format!(
        "0100007F:{:04X} 0100007F:{:04X}",
        lb.web().port(),
        client.local_addr().port()
    );
    let left = eventually(SOON, || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| line.contains(&ours))?;
        let timer = line.split_whitespace().nth(5)?;
        let ticks = timer.strip_prefix("02:")?;
        u64::from_str_radix(ticks, 16).ok()
    });
    assert!((90_000..=100_000).contains(&left), "{left} ticks");
}
