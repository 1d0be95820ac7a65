//! A real server and its own client: redis.

use super::*;
use crate::common::peers::{Redis, run};

#[test]
fn redis_works_through_it() {
    let redis = Redis::start();
    let lb = before(&[])
        .server_at("redis", &redis.address().to_string(), "")
        .pool("health_check: {type: tcp, interval: 200ms}")
        .start();
    lb.wait_state("app", "redis", "up");
    let port = lb.web().port().to_string();
    let cli = |words: &[&str]| run("redis-cli", &[&["-p", &port], words].concat());
    assert_eq!(cli(&["set", "greeting", "hello"]).trim(), "OK");
    assert_eq!(cli(&["get", "greeting"]).trim(), "hello");
    // Requests in a row without waiting, on many connections, with values of every size.
    let load = run(
        "redis-benchmark",
        &[
            "-p", &port, "-q", "-t", "set,get", "-n", "3000", "-c", "20", "-P", "16", "-d", "3000",
        ],
    );
    assert!(load.contains("GET:"), "{load}");
    lb.wait_idle();
    // Two clients and twice twenty.
    let lines = eventually(SOON, || {
        Some(lb.access_log()).filter(|lines| lines.len() >= 42)
    });
    assert!(lines.iter().all(|line| line["server"] == "redis"));
}
