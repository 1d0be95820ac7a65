//! SPEC section 1: what would stop `run` is found by `check`, with its place, and nothing is touched by looking.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::common::equipoise::complete;
use crate::common::*;

/// `check` on a configuration that [`complete`] would run.
fn check(dir: &TempDir, yaml: &str, more: &[&str]) -> Exit {
    let file = dir.write("equipoise.yaml", &complete(yaml, dir.path()));
    let file = file.display().to_string();
    let mut args = vec!["check", "-c", &file];
    args.extend(more);
    Equipoise::command(&args)
}

fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_stops_run_is_found_by_check_with_its_place() {
    let origin = Origin::start("a");
    let insert = "persistence: {type: cookie_insert}";
    for (top, pool, key, words) in [
        (
            "server: {user: no-such-user}",
            "",
            "server.user",
            "no user \"no-such-user\"",
        ),
        (
            "server: {group: no-such-group}",
            "",
            "server.group",
            "no group \"no-such-group\"",
        ),
        (
            "server: {user: no-such-user, group: no-such-group}",
            "",
            "server.user",
            "no user \"no-such-user\"",
        ),
        (
            "server: {user: no-such-user, group: no-such-group}",
            "",
            "server.group",
            "no group \"no-such-group\"",
        ),
        (
            "server: {user: 64999}",
            "",
            "server.user",
            "server.group has to be given",
        ),
        (
            "server: {pid_file: @DIR@/none/pid}",
            "",
            "server.pid_file",
            "there is no directory",
        ),
        (
            "server: {pid_file: @DIR@}",
            "",
            "server.pid_file",
            "is a directory",
        ),
        (
            "server: {state_dir: @DIR@/file/state}",
            insert,
            "server.state_dir",
            "Not a directory",
        ),
        (
            "logging: {access_log: {path: @DIR@/none/access.log}}",
            "",
            "logging.access_log.path",
            "there is no directory",
        ),
        (
            "server: {upgrade_socket: @DIR@/none/upgrade.sock}",
            "",
            "server.upgrade_socket",
            "there is no directory",
        ),
        (
            "server: {upgrade_socket: @DIR@/file}",
            "",
            "server.upgrade_socket",
            "is no socket",
        ),
        (
            "admin: {bind: \"unix:@DIR@/none/admin.sock\"}",
            "",
            "admin.bind",
            "there is no directory",
        ),
        (
            "admin: {bind: \"unix:@DIR@/file\"}",
            "",
            "admin.bind",
            "is no socket",
        ),
    ] {
        let dir = TempDir::new("preflight");
        dir.write("file", "precious");
        let yaml = Setup::of([&origin]).top(top).pool(pool).yaml();
        let exit = check(&dir, &yaml, &[]);
        assert_eq!(exit.code(), Some(2), "{top}: {}", exit.stderr);
        let told = exit
            .stderr
            .lines()
            .find(|line| line.contains(key))
            .unwrap_or_else(|| panic!("{top}: {}", exit.stderr));
        assert!(
            told.contains(&format!(": {key}: ")) && told.contains(words),
            "{top}: {told}"
        );
        assert_eq!(listing(dir.path()), ["equipoise.yaml", "file"], "{top}");

        let file = dir.path().join("equipoise.yaml").display().to_string();
        let run = Equipoise::command(&["run", "-c", &file]);
        assert_eq!(run.code(), Some(2), "{top}: {}", run.stderr);
        assert!(
            run.stderr.contains(told),
            "{top}: {} has no {told}",
            run.stderr
        );
        let elsewhere = check(&dir, &yaml, &["--elsewhere"]);
        assert_eq!(elsewhere.code(), Some(0), "{top}: {}", elsewhere.stderr);
    }
}

#[test]
fn all_of_it_is_told_in_one_go() {
    let (origin, dir) = (Origin::start("a"), TempDir::new("preflight"));
    let yaml = Setup::of([&origin])
        .top("server: {user: no-such-user, pid_file: @DIR@/none/pid, state_dir: @DIR@}")
        .top("logging: {access_log: {path: @DIR@/none/access.log}}")
        .listener("bind: \"192.0.2.1:8080\"")
        .pool("persistence: {type: cookie_insert, secret_file: @DIR@/none/secret}")
        .yaml();
    let exit = check(&dir, &yaml, &[]);
    assert_eq!(exit.code(), Some(2), "{}", exit.stderr);
    for key in [
        "server.user",
        "server.pid_file",
        "logging.access_log.path",
        "listeners.web.bind: cannot listen on 192.0.2.1:8080: this machine has no such address",
        "pools.app.persistence.secret_file",
    ] {
        assert!(exit.stderr.contains(key), "no {key} in {}", exit.stderr);
    }
}

#[test]
fn an_address_of_another_process_is_a_problem_and_that_of_the_running_instance_is_none() {
    let (origin, dir) = (Origin::start("a"), TempDir::new("preflight"));
    let port = ReservedPort::new();
    let setup = Setup::of([&origin]).listener(&format!("bind: \"{}\"", port.address()));
    {
        let _taken = port.listen();
        let exit = check(&dir, &setup.yaml(), &[]);
        assert_eq!(exit.code(), Some(2), "{}", exit.stderr);
        let holder = format!("(pid {}) has it", std::process::id());
        let address = port.address().to_string();
        assert!(
            exit.stderr.contains("listeners.web.bind: ")
                && exit.stderr.contains(&address)
                && exit.stderr.contains(&holder),
            "{}",
            exit.stderr
        );
    }
    assert_eq!(check(&dir, &setup.yaml(), &[]).code(), Some(0));
    let lb = setup.start();
    let exit = check(&dir, &setup.yaml(), &[]);
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    assert_eq!(exit.stderr, "");
    assert_eq!(lb.get("/", &[]).status, 200, "and it serves on");
}

#[test]
fn an_expired_certificate_is_served_and_only_told() {
    let (origin, dir, pki) = (Origin::start("a"), TempDir::new("preflight"), Pki::new());
    let expired = pki.expired(&["a.test"]);
    let setup = Setup::of([&origin]).listener(&format!(
        "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
        expired.cert.display(),
        expired.key.display()
    ));
    let exit = check(&dir, &setup.yaml(), &[]);
    assert_eq!(exit.code(), Some(1), "{}", exit.stderr);
    assert!(exit.stderr.contains("expired"), "{}", exit.stderr);
    let exit = check(&dir, &setup.yaml(), &["--fatal-only"]);
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    assert!(exit.stderr.contains("expired"), "{}", exit.stderr);
    let lb = setup.start();
    let mut client = Tls::new(&pki, "a.test").unverified().connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    assert!(lb.stderr().contains("expired"), "{}", lb.stderr());
}

#[test]
fn an_access_log_that_cannot_be_opened_is_named() {
    let origin = Origin::start("a");
    let yaml = Setup::of([&origin])
        .top("logging: {access_log: {path: @DIR@/none/access.log}}")
        .yaml();
    let exit = Equipoise::run_to_exit(&yaml);
    assert_eq!(exit.code(), Some(2), "{}", exit.stderr);
    assert!(exit.stderr.contains("/none"), "{}", exit.stderr);
}

#[test]
fn an_admin_address_that_somebody_has_is_told_in_words() {
    let origin = Origin::start("a");
    let dir = TempDir::new("taken");
    let path = dir.path().join("admin.sock");
    let _there = UnixListener::bind(&path).unwrap();
    for (bind, words) in [
        (
            origin.address().to_string(),
            "the address is in use by another process",
        ),
        (
            format!("unix:{}", path.display()),
            "another process listens there",
        ),
    ] {
        let yaml = Setup::of([&origin])
            .top(&format!("admin: {{bind: \"{bind}\"}}"))
            .yaml();
        let exit = Equipoise::run_to_exit(&yaml);
        assert_eq!(exit.code(), Some(1), "{}", exit.stderr);
        let told = format!("equipoise: cannot listen on {bind} for the admin listener: {words}");
        assert!(exit.stderr.contains(&told), "{}", exit.stderr);
    }
}
