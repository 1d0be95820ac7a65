//! `random_two` and `peak_ewma`.

use nix::sys::signal::Signal;

use super::*;
use crate::tcp::{Backend, before, connect};

fn held_origins(n: usize) -> Vec<Origin> {
    let held = |name: &&str| Origin::with(name, |_| Answer::held());
    NAMES[..n].iter().map(held).collect()
}

#[test]
fn of_two_servers_the_one_with_less_to_do_is_taken() {
    let origins = held_origins(2);
    let lb = Setup::of(&origins).pool("algorithm: random_two").start();
    let clients = hold(lb.web(), 20);
    wait_held_in_all(&origins, 20);
    assert_eq!(origins[0].held(), 10);
    assert_eq!(lb.status()["pools"][0]["algorithm"], "random_two");
    finish(&origins, clients);
    lb.wait_idle_servers();
}

#[test]
fn counts_by_weight_decide_between_two() {
    let origins = held_origins(2);
    let lb = weighted(&origins, &[3, 1])
        .pool("algorithm: random_two")
        .start();
    let clients = hold(lb.web(), 40);
    wait_held_in_all(&origins, 40);
    assert!(
        (29..=31).contains(&origins[0].held()),
        "{}",
        origins[0].held()
    );
    finish(&origins, clients);
}

#[test]
fn a_slow_server_gets_fewer_requests() {
    // So slow that the other one never looks slower, however busy the machine is.
    let slow = Origin::with("slow", |_| Answer::after(Duration::from_millis(1500)));
    let fast = Origin::start("fast");
    let lb = Setup::of([&slow, &fast])
        .pool("algorithm: peak_ewma")
        .start();
    let names = sequence(&lb, 60);
    let shares = shares(&names);
    // What is known of it fades with time, so it is tried now and then.
    assert!(shares["fast"] >= 50, "{shares:?}");
}

#[test]
fn a_server_that_fails_at_once_draws_no_traffic() {
    let broken = Origin::with("broken", |_| Answer::status(503));
    let fine = Origin::with("fine", |_| Answer::after(Duration::from_millis(5)));
    let lb = Setup::of([&broken, &fine])
        .pool("algorithm: peak_ewma")
        .start();
    let failed = (0..100).filter(|_| lb.get("/", &[]).status == 503).count();
    assert!(failed <= 3, "{failed}");
}

#[test]
fn a_server_that_drops_requests_draws_no_traffic() {
    let broken = Origin::with("broken", |_| Answer::Close);
    let fine = Origin::with("fine", |_| Answer::after(Duration::from_millis(5)));
    let lb = Setup::of([&broken, &fine])
        .pool("algorithm: peak_ewma\nretries: {attempts: 0}")
        .start();
    let failed = (0..100).filter(|_| lb.get("/", &[]).status != 200).count();
    assert!(failed <= 3, "{failed}");
}

#[test]
fn connections_that_fail_count_as_slow() {
    let (fine, gone) = (Backend::start("fine"), Backend::start("gone"));
    let setup = before(&[&fine, &gone]).pool("algorithm: peak_ewma");
    let lb = setup.start();
    drop(gone);
    let picks = |server: &str| {
        lb.metrics()
            .sum("equipoise_server_picks_total", &[("server", server)])
    };
    for n in 1..=30 {
        let _client = connect(&lb);
        drop(fine.accept());
        eventually(SOON, || picks("fine") == f64::from(n));
    }
    assert!(picks("gone") <= 2.0, "{}", picks("gone"));
}

#[test]
fn an_algorithm_can_be_changed_while_requests_are_under_way() {
    let origins = held_origins(3);
    let setup = |algorithm: &str| Setup::of(&origins).pool(&format!("algorithm: {algorithm}"));
    let lb = setup("random_two").start();
    let clients = hold(lb.web(), 9);
    wait_held_in_all(&origins, 9);
    for algorithm in ["peak_ewma", "source_hash", "weighted_least_connections"] {
        lb.rewrite(&setup(algorithm).yaml());
        lb.signal(Signal::SIGHUP);
        eventually(SOON, || lb.status()["pools"][0]["algorithm"] == algorithm);
    }
    let more = hold(lb.web(), 6);
    wait_held_in_all(&origins, 15);
    let held: Vec<_> = origins.iter().map(Origin::held).collect();
    assert_eq!(held, [5, 5, 5]);
    finish(&origins, clients.into_iter().chain(more).collect());
    lb.wait_idle_servers();
}
