//! What the log tells of pools as a whole, and of the start.

use std::io::Read as _;
use std::net::TcpStream;

use crate::common::load::Load;
use crate::common::*;

const FAST: &str = "health_check: {type: http, path: /health, interval: 100ms, fast_interval: 50ms, timeout: 1s, rise: 1, fall: 1}";

fn count(lb: &Equipoise, words: &[&str]) -> usize {
    let log = lb.stderr();
    log.lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .count()
}

#[test]
fn an_outage_of_a_pool_is_one_line_and_so_is_its_end() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a, &b]).pool(FAST).start();
    eventually(SOON, || count(&lb, &["first checks done"]) == 1);
    let lost = ["ERROR", "the pool has no available server"];
    a.set_health(503);
    lb.wait_state("app", "a", "down");
    assert_eq!(count(&lb, &lost), 0, "there is another:\n{}", lb.stderr());
    b.set_health(500);
    eventually(SOON, || count(&lb, &lost) == 1);
    let reasons = [
        lost[1],
        "a: ",
        "status 503",
        "b: ",
        "status 500",
        "pool=\"app\"",
    ];
    assert_eq!(count(&lb, &reasons), 1, "{}", lb.stderr());
    a.set_health(200);
    eventually(SOON, || count(&lb, &["the pool has a server again"]) == 1);
    b.set_health(200);
    lb.wait_state("app", "b", "up");
    assert_eq!(count(&lb, &["the pool has a server again"]), 1);
    assert_eq!(count(&lb, &lost), 1);
}

#[test]
fn a_pool_without_a_server_from_the_start_is_told() {
    let down = Origin::stopped("a");
    let lb = Setup::of([&down]).pool(FAST).start();
    eventually(SOON, || {
        count(
            &lb,
            &["ERROR", "the pool has no available server", "refused"],
        ) == 1
    });
    down.restart();
    eventually(SOON, || count(&lb, &["the pool has a server again"]) == 1);
}

#[test]
fn healthy_servers_are_a_summary_at_the_start() {
    let origin = Origin::start("a");
    let setup = (0..200).fold(Setup::new(), |setup, n| {
        setup.server_at(&format!("s{n}"), &origin.address().to_string(), "")
    });
    let lb = setup
        .pool("health_check: {type: tcp, interval: 60s}")
        .start();
    eventually(SOON, || count(&lb, &["first checks done"]) == 1);
    let summary = ["first checks done", "available=200", "of=200", "unknown=0"];
    assert_eq!(count(&lb, &summary), 1, "{}", lb.stderr());
    assert!(count(&lb, &[""]) < 20, "{}", lb.stderr());
}

#[test]
fn the_start_says_what_is_started() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).top("server: {threads: 2}").start();
    let file = lb.dir().join("equipoise.yaml").display().to_string();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let start = ["equipoise starts", &version, &file, "threads=2"];
    assert_eq!(count(&lb, &start), 1, "{}", lb.stderr());
    let dashboard = format!("http://{}/", lb.admin());
    assert_eq!(count(&lb, &["admin listening", &dashboard]), 1);
    let listening = ["listening", &lb.web().to_string(), "listener=\"web\""];
    assert_eq!(count(&lb, &listening), 1, "{}", lb.stderr());
}

#[test]
fn a_reload_says_what_it_changed() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a]).start();
    lb.rewrite(&Setup::of([&a]).server(&b, "weight: 3").yaml());
    lb.signal(nix::sys::signal::Signal::SIGHUP);
    let told = ["configuration reloaded", "pools.app.servers[b] added"];
    eventually(SOON, || count(&lb, &told) == 1);
}

/// What is told once a second of a pool that thousands meet takes nothing from what there is to say of another.
#[test]
fn warnings_of_one_pool_hide_none_of_another() {
    let dead = ReservedPort::new();
    let yaml = format!(
        "listeners:\n  \
           noisy: {{bind: \"127.0.0.1:0\", protocol: tcp, pool: noisy}}\n  \
           quiet: {{bind: \"127.0.0.1:0\", protocol: tcp, pool: quiet}}\n\
         pools:\n  \
           noisy: {{health_check: null, servers: [{{name: n, address: \"{dead}\"}}]}}\n  \
           quiet: {{health_check: null, servers: [{{name: q, address: \"{dead}\"}}]}}\n",
        dead = dead.address()
    );
    let lb = Equipoise::start(&yaml);
    let (noisy, quiet) = (lb.address("noisy"), lb.address("quiet"));
    let refused = |listener| {
        // Whether it is reset at once or ends a little later is all the same here.
        if let Ok(mut client) = TcpStream::connect_timeout(&listener, SOON) {
            client.set_read_timeout(Some(SOON)).unwrap();
            let _ = client.read(&mut [0]);
        }
    };
    let mut load = Load::default();
    load.add("noisy", move || refused(noisy));
    let told = |pool: &str| count(&lb, &["WARN", &format!("pool=\"{pool}\"")]);
    for times in 1..4 {
        // Two seconds, of which one is whole, have passed since the last warning of the quiet one.
        let before = told("noisy");
        eventually(SOON, || told("noisy") >= before + 2);
        refused(quiet);
        eventually(SOON, || told("quiet") == times);
    }
    load.end();
}
