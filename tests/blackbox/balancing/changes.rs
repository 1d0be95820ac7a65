//! What a change of weights, servers or availability does to the turns that follow.

use nix::sys::signal::Signal;

use super::{finish, hold, origins, sequence, shares, wait_held_in_all, weighted};
use crate::common::*;

/// Applies a configuration and waits until it is in force.
#[track_caller]
fn reload(lb: &Equipoise, setup: &Setup) {
    let done = || {
        lb.metrics()
            .sum("equipoise_config_reloads_total", &[("result", "success")])
    };
    let before = done();
    lb.rewrite(&setup.yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || done() > before);
}

#[track_caller]
fn assert_exact(lb: &Equipoise, expected: &[(&str, usize)]) {
    let window = expected.iter().map(|(_, share)| share).sum();
    for round in 0..5 {
        let names = sequence(lb, window);
        let expected = expected.iter().copied().collect();
        assert_eq!(shares(&names), expected, "window {round} after the change");
    }
}

#[test]
fn credit_of_the_old_weights_buys_nothing() {
    let origins = origins(2);
    let lb = weighted(&origins, &[1000, 1]).start();
    sequence(&lb, 480);
    reload(&lb, &weighted(&origins, &[1, 1]));
    assert_exact(&lb, &[("a", 1), ("b", 1)]);
    reload(&lb, &weighted(&origins, &[65535, 1]));
    sequence(&lb, 300);
    reload(&lb, &weighted(&origins, &[2, 1]));
    assert_exact(&lb, &[("a", 2), ("b", 1)]);
}

/// Not window by window: a client may have its answer a moment before the count of its server goes down.
#[test]
fn credit_of_the_old_weights_buys_nothing_among_the_tied_either() {
    let origins = origins(2);
    let pool = "algorithm: weighted_least_connections";
    let lb = weighted(&origins, &[1000, 1]).pool(pool).start();
    sequence(&lb, 480);
    reload(&lb, &weighted(&origins, &[1, 1]).pool(pool));
    let names = sequence(&lb, 40);
    for (name, share) in shares(&names) {
        assert!((10..=30).contains(&share), "{share} of 40 for {name}");
    }
}

#[test]
fn a_server_whose_weight_was_zero_comes_back_without_credit() {
    let origins = origins(2);
    let lb = weighted(&origins, &[1000, 1]).start();
    sequence(&lb, 501);
    reload(&lb, &weighted(&origins, &[0, 1]));
    assert_exact(&lb, &[("b", 3)]);
    reload(&lb, &weighted(&origins, &[1, 1]));
    assert_exact(&lb, &[("a", 1), ("b", 1)]);
}

#[test]
fn those_who_are_left_when_the_heaviest_goes_down_share_at_once() {
    let origins = origins(3);
    let check = "health_check: {type: http, path: /health, interval: 200ms, fast_interval: 50ms, rise: 1, fall: 1}";
    let lb = weighted(&origins, &[1000, 1, 1]).pool(check).start();
    for name in ["a", "b", "c"] {
        lb.wait_state("app", name, "up");
    }
    sequence(&lb, 480);
    origins[0].set_health(500);
    lb.wait_state("app", "a", "down");
    assert_exact(&lb, &[("b", 1), ("c", 1)]);
    origins[0].set_health(200);
    lb.wait_state("app", "a", "up");
    let names = sequence(&lb, 100);
    assert!(shares(&names)["a"] >= 98, "{:?}", shares(&names));
}

/// Twenty requests at once, of which a server in slow start may have its small share.
#[track_caller]
fn assert_starts_slowly(lb: &Equipoise, origins: &[Origin], slow: usize) {
    origins.iter().for_each(|o| o.script(|_| Answer::held()));
    let clients = hold(lb.web(), 20);
    wait_held_in_all(origins, 20);
    let held: Vec<_> = origins.iter().map(Origin::held).collect();
    assert!((1..=5).contains(&held[slow]), "{held:?}");
    finish(origins, clients);
    lb.wait_idle();
}

const SLOWLY: &str = "algorithm: weighted_least_connections\nslow_start: 600s
health_check: {type: tcp, interval: 200ms, fast_interval: 50ms, rise: 1, fall: 1}";

#[test]
fn a_server_that_was_down_at_the_start_starts_slowly() {
    let origins = origins(2);
    origins[1].stop();
    let lb = weighted(&origins, &[1, 1]).pool(SLOWLY).start();
    lb.wait_state("app", "a", "up");
    lb.wait_state("app", "b", "down");
    assert_eq!(lb.server("app", "a")["effective_weight"], 1.0);
    origins[1].restart();
    lb.wait_state("app", "b", "up");
    assert_starts_slowly(&lb, &origins, 1);
}

#[test]
fn a_server_that_was_added_before_it_listened_starts_slowly() {
    let origins = origins(2);
    origins[1].stop();
    let lb = weighted(&origins[..1], &[1]).pool(SLOWLY).start();
    lb.wait_state("app", "a", "up");
    reload(&lb, &weighted(&origins, &[1, 1]).pool(SLOWLY));
    lb.wait_state("app", "b", "down");
    origins[1].restart();
    lb.wait_state("app", "b", "up");
    assert_starts_slowly(&lb, &origins, 1);
}

#[test]
fn servers_that_the_start_finds_up_have_their_full_weight() {
    let origins = origins(2);
    let lb = weighted(&origins, &[1, 1]).pool(SLOWLY).start();
    for name in ["a", "b"] {
        lb.wait_state("app", name, "up");
        assert_eq!(lb.server("app", name)["effective_weight"], 1.0);
    }
}
