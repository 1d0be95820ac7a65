//! Retries don't make a sick pool sicker.

use std::time::Instant;

use super::{Script, Scripted, Then};
use crate::common::*;

/// What is free in ten seconds.
const FREE: usize = 10;

fn two(servers: [&Scripted; 2], pool: &str) -> Equipoise {
    let [a, b] = servers.map(|server| server.address().to_string());
    Setup::new()
        .server_at("a", &a, "")
        .server_at("b", &b, "")
        .pool(pool)
        .start()
}

fn sick() -> Scripted {
    Scripted::new(|_| Script::new("", Then::Reset))
}

/// Requests sent again, by the metrics.
fn retried(lb: &Equipoise) -> f64 {
    let metrics = lb.metrics();
    let all = metrics.sum("equipoise_retries_total", &[]);
    let refused = metrics.sum("equipoise_retries_total", &[("reason", "budget_exhausted")]);
    all - refused
}

/// From four clients at once; returns how many answers there were of each status.
fn send(lb: &Equipoise, method: &str, count: usize) -> Vec<u16> {
    let statuses = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..count / 4 {
                    let mut client = lb.client();
                    let response = client.request(method, "/", &[("Connection", "close")], b"");
                    statuses.lock().push(response.unwrap().status);
                }
            });
        }
    });
    statuses.into_inner()
}

/// In how many windows of ten seconds that was at most: the budget counts whole seconds of its own, of which the first and
/// the last may be a part of ours.
fn windows_since(begun: Instant) -> usize {
    (begun.elapsed().as_secs() as usize + 1) / 10 + 1
}

#[test]
fn servers_that_reset_everything_get_a_fifth_more_at_most() {
    let servers = [sick(), sick()];
    let lb = two([&servers[0], &servers[1]], "retries: {attempts: 2}");
    let begun = Instant::now();
    let statuses = send(&lb, "GET", 1000);
    let windows = windows_since(begun);
    assert!(statuses.iter().all(|status| *status == 502));
    let seen: usize = servers.iter().map(|server| server.requests().len()).sum();
    let most = 1200 + FREE * windows;
    assert!((1001..=most).contains(&seen), "{seen} of {most}");
    // Nothing else is used up first, unless the time was.
    assert!(windows > 1 || seen >= 1190, "{seen}");
    // The counts say what the servers saw.
    assert_eq!(1000.0 + retried(&lb), seen as f64);
    eventually(SOON, || {
        let lines = lb.access_log();
        let attempts: u64 = lines
            .iter()
            .map(|line| line["attempts"].as_u64().unwrap())
            .sum();
        if lines.len() == 1000 && attempts == seen as u64 {
            Ok(())
        } else {
            Err(format!(
                "{} lines, {attempts} attempts, {seen} seen",
                lines.len()
            ))
        }
    });
    let exhausted = lb
        .metrics()
        .value("equipoise_retries_total", &[("reason", "budget_exhausted")]);
    assert!(exhausted > 0.0);
    // Once a second, not once a request.
    let told = lb.stderr().matches("budget for retries is used up").count();
    assert!((1..=windows * 10 + 1).contains(&told), "{told}");
    lb.wait_idle();
}

#[test]
fn a_post_is_sent_once_however_large_the_budget() {
    let servers = [sick(), sick()];
    let lb = two(
        [&servers[0], &servers[1]],
        "retries: {attempts: 5, on: [reset_before_response, 502]}",
    );
    let statuses = send(&lb, "POST", 200);
    assert!(statuses.iter().all(|status| *status == 502));
    let seen: usize = servers.iter().map(|server| server.requests().len()).sum();
    assert_eq!(seen, 200);
    assert_eq!(retried(&lb), 0.0);
}

#[test]
fn one_sick_server_of_many_costs_nobody_a_request() {
    let origins: Vec<Origin> = (0..9).map(|n| Origin::start(&format!("good{n}"))).collect();
    let sick = sick();
    let lb = Setup::of(&origins)
        .server_at("sick", &sick.address().to_string(), "")
        .start();
    let statuses = send(&lb, "GET", 400);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(sick.requests().len(), 40);
    assert_eq!(retried(&lb), 40.0);
}

#[test]
fn a_server_that_refuses_costs_nothing_of_the_budget() {
    // Half of the requests have to go elsewhere, far more than a fifth; none of them was sent before.
    let (bad, good) = (Origin::stopped("bad"), Origin::start("good"));
    let lb = Setup::of([&bad, &good]).start();
    let statuses = send(&lb, "POST", 400);
    assert!(statuses.iter().all(|status| *status == 200));
    assert_eq!(good.served(), 400);
    assert_eq!(retried(&lb), 200.0);
}

#[test]
fn the_budget_is_as_configured() {
    for (percent, most) in [(0u32, 0u32), (50, 500)] {
        let servers = [sick(), sick()];
        let pool = format!("retries: {{attempts: 2, budget: {percent}%}}");
        let lb = two([&servers[0], &servers[1]], &pool);
        let begun = Instant::now();
        send(&lb, "GET", 1000);
        let free = 10 * (begun.elapsed().as_secs() as u32 / 10 + 1);
        let retried = retried(&lb);
        let (least, most) = (f64::from(most), f64::from(most + free));
        assert!((least..=most).contains(&retried), "{percent} %: {retried}");
    }
}
