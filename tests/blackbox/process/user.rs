//! `server.user`: what root opened or read, and the user that the process becomes can't.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use nix::sys::signal::Signal;

use super::status_line;
use crate::common::*;

const NOBODY: u32 = 65534;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory that everybody may read, and only root write.
fn readable(what: &str) -> TempDir {
    let dir = TempDir::new(what);
    mode(dir.path(), 0o755);
    dir
}

fn reloads(lb: &Equipoise, result: &str) -> f64 {
    lb.metrics()
        .sum("equipoise_config_reloads_total", &[("result", result)])
}

#[test]
fn numbers_will_do_for_names() {
    if !is_root() {
        return;
    }
    let origin = Origin::start("a");
    for (wanted, uid, gid) in [
        ("user: 65534", "65534", "65534"),
        ("user: \"65534\", group: 1", "65534", "1"),
        ("user: 64999, group: 64998", "64999", "64998"),
    ] {
        let lb = Setup::of([&origin])
            .top(&format!("server: {{{wanted}}}"))
            .start();
        let ids = |name| status_line(&lb, name).split(' ').next().unwrap().to_owned();
        assert_eq!((ids("Uid:"), ids("Gid:")), (uid.to_owned(), gid.to_owned()));
        assert_eq!(lb.get("/", &[]).status, 200);
        if uid == "64999" {
            assert_eq!(
                status_line(&lb, "Groups:"),
                "64998",
                "none of root's is left"
            );
        }
    }
}

#[test]
fn an_access_log_that_is_made_is_the_users_and_can_be_rotated() {
    if !is_root() {
        return;
    }
    let origin = Origin::start("a");
    let dir = readable("user");
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    chown(&logs, Some(NOBODY), Some(NOBODY)).unwrap();
    let lb = Setup::of([&origin])
        .top("server: {user: nobody}\nlogging: {access_log: {path: @DIR@/logs/access.log, format: json, buffer: 0}}")
        .start_in(dir);
    let log = lb.dir().join("logs/access.log");
    assert_eq!(fs::metadata(&log).unwrap().uid(), NOBODY);
    assert!(
        !lb.stderr().contains("can't open the access log again"),
        "{}",
        lb.stderr()
    );
    lb.get("/before", &[]);
    let has = |path: &str| fs::read_to_string(&log).is_ok_and(|text| text.contains(path));
    eventually(SOON, || has("/before"));
    fs::rename(&log, logs.join("access.log.1")).unwrap();
    lb.signal(Signal::SIGUSR1);
    eventually(SOON, || log.exists());
    lb.get("/after", &[]);
    eventually(SOON, || has("/after"));
}

#[test]
fn a_log_that_cannot_be_opened_again_is_told_at_the_start() {
    if !is_root() {
        return;
    }
    let origin = Origin::start("a");
    let dir = readable("user");
    fs::write(dir.path().join("access.log"), "").unwrap();
    let lb = Setup::of([&origin])
        .top("server: {user: nobody}")
        .start_in(dir);
    let told = "user nobody can't open the access log again after it was rotated: the file isn't its to write";
    assert!(lb.stderr().contains(told), "{}", lb.stderr());
    assert_eq!(
        fs::metadata(lb.dir().join("access.log")).unwrap().uid(),
        0,
        "what was there stays whose it is"
    );
}

#[test]
fn a_key_that_only_root_can_read_is_kept_over_reloads() {
    if !is_root() {
        return;
    }
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let (pki, dir) = (Pki::new(), readable("user"));
    mode(pki.dir(), 0o755);
    let site = pki.leaf(&["a.test"]);
    mode(&site.cert, 0o644);
    mode(&site.key, 0o600);
    let secret = dir.write("secret", "a secret of more than sixteen bytes\n");
    mode(&secret, 0o600);
    let setup = |origin: &Origin, more: &str| {
        Setup::of([origin])
            .top("server: {user: nobody}")
            .listener(&format!(
                "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]{more}}}",
                site.cert.display(),
                site.key.display()
            ))
            .pool(&format!(
                "persistence: {{type: cookie_insert, secret_file: {}}}",
                secret.display()
            ))
    };
    let lb = setup(&a, "").start_in(dir);
    mode(&lb.dir().join("equipoise.yaml"), 0o644);
    let log = lb.stderr();
    let told = log
        .lines()
        .find(|line| line.contains("user nobody can't read these files"));
    let told = told.unwrap_or_else(|| panic!("{log}"));
    for file in [&site.key, &secret] {
        assert!(told.contains(&file.display().to_string()), "{told}");
    }
    assert!(!told.contains(&site.cert.display().to_string()), "{told}");

    lb.rewrite(&setup(&b, "").yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || reloads(&lb, "success") > 0.0);
    let mut client = Tls::new(&pki, "a.test").connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().origin(), "b");
    assert!(
        lb.stderr()
            .contains("keeping this listener's certificates and keys")
    );

    // What would need the key once more is refused, with its name.
    lb.rewrite(&setup(&a, ", strict_sni: true").yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || reloads(&lb, "failure") > 0.0);
    let problems = lb.status()["reload"]["problems"].to_string();
    assert!(
        problems.contains(&site.key.display().to_string()),
        "{problems}"
    );
    assert_eq!(client.get("/", &[]).unwrap().origin(), "b");
}

#[test]
fn a_configuration_that_cannot_be_read_again_is_told_at_the_start() {
    if !is_root() {
        return;
    }
    let (origin, dir) = (Origin::start("a"), readable("user"));
    mode(dir.path(), 0o700);
    let lb = Setup::of([&origin])
        .top("server: {user: nobody}")
        .start_in(dir);
    let log = lb.stderr();
    assert!(
        log.contains("as user nobody every reload will be refused: "),
        "{log}"
    );
}

#[test]
fn a_pid_file_that_cannot_be_removed_is_emptied() {
    if !is_root() {
        return;
    }
    let (origin, dir) = (Origin::start("a"), readable("user"));
    let mut lb = Setup::of([&origin])
        .top("server: {user: nobody, pid_file: @DIR@/pid}")
        .start_in(dir);
    let pid = lb.dir().join("pid");
    assert_eq!(
        fs::read_to_string(&pid).unwrap().trim(),
        lb.pid().to_string()
    );
    assert!(
        lb.stderr().contains("can't remove the pid file"),
        "{}",
        lb.stderr()
    );
    lb.signal(Signal::SIGTERM);
    lb.wait_exit(SOON);
    assert_eq!(fs::read_to_string(&pid).unwrap(), "");
}
