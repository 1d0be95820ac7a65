//! wrk and h2load at full speed while servers die and return.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::peers::{Nginx, run};
use crate::common::*;

const CHECK: &str = "health_check: {type: tcp, interval: 300ms, fast_interval: 50ms, timeout: 1s, rise: 1, fall: 2}";

/// Stops and restarts one origin after the other until `done`; how often.
fn torment(lb: &Equipoise, origins: &[Origin], done: &AtomicBool) -> usize {
    let mut times = 0;
    for origin in origins.iter().cycle() {
        if done.load(Ordering::SeqCst) {
            break;
        }
        let before = origin.served();
        eventually(SOON, || {
            origin.served() > before + 10 || done.load(Ordering::SeqCst)
        });
        origin.stop();
        lb.wait_state("app", origin.name(), "down");
        origin.restart();
        lb.wait_state("app", origin.name(), "up");
        times += 1;
    }
    times
}

fn under_torment(load: impl FnOnce(&str) -> String + Send) -> String {
    let origins = ["a", "b", "c", "d"].map(Origin::start);
    origins.iter().for_each(Origin::quiet);
    // h2load never ends if a connection is being made anew at the moment at which its time is over.
    let lb = Setup::of(&origins)
        .pool(CHECK)
        .listener("http: {keepalive_requests: 0}")
        .start();
    for origin in &origins {
        lb.wait_state("app", origin.name(), "up");
    }
    let url = format!("http://{}/", lb.web());
    let done = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let said = load(&url);
            done.store(true, Ordering::SeqCst);
            said
        });
        let times = torment(&lb, &origins, &done);
        assert!(times >= 2, "only {times} servers died while it ran");
        load.join().unwrap()
    });
    lb.wait_idle();
    let metrics = lb.metrics();
    assert!(
        metrics.sum("equipoise_http_requests_total", &[("code", "5xx")]) == 0.0,
        "{}",
        metrics.text
    );
    said
}

#[test]
fn wrk_sees_no_failed_request_while_servers_die_and_return() {
    let said = under_torment(|url| run("wrk", &["-t2", "-c24", "-d6s", url]));
    assert!(!said.contains("Non-2xx"), "{said}");
    assert!(!said.contains("Socket errors"), "{said}");
}

#[test]
fn h2load_sees_no_failed_request_while_servers_die_and_return() {
    let said = under_torment(|url| run("h2load", &["--h1", "-c16", "-t2", "-D6", url]));
    let line = said
        .lines()
        .find(|l| l.starts_with("requests:"))
        .unwrap()
        .to_owned();
    assert!(line.contains(" 0 failed, 0 errored, 0 timeout"), "{said}");
}

#[test]
fn real_nginx_servers_share_a_load_exactly() {
    let nginxes: Vec<_> = (0..3)
        .map(|n| (Nginx::origin(&format!("n{n}")), [3, 2, 1][n]))
        .collect();
    let lb = nginxes
        .iter()
        .enumerate()
        .fold(Setup::new(), |setup, (n, (nginx, weight))| {
            setup.server_at(
                &format!("n{n}"),
                &nginx.address().to_string(),
                &format!("weight: {weight}"),
            )
        })
        .start();
    let url = format!("http://{}/", lb.web());
    let said = run("h2load", &["--h1", "-n6000", "-c10", &url]);
    assert!(
        said.contains(" 6000 succeeded, 0 failed, 0 errored"),
        "{said}"
    );
    lb.wait_idle();
    let metrics = lb.metrics();
    for (server, share) in [("n0", 3000.0), ("n1", 2000.0), ("n2", 1000.0)] {
        let got = metrics.sum(
            "equipoise_http_requests_total",
            &[("server", server), ("code", "2xx")],
        );
        assert!(got == share, "{server}: {got}");
    }
}
