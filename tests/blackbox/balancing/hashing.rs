//! `source_hash` and `hash`: what leads where, and what moves when servers come and go.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use nix::sys::signal::Signal;

use super::*;
use crate::tcp::{Backend, before, connect};

fn hashed(origins: &[Origin], on: &str) -> Setup {
    Setup::of(origins).pool(&format!("algorithm: hash\nhash_on: {on}"))
}

/// Which server has each of the paths `/0` to `/N`.
fn owners(lb: &Equipoise, n: usize) -> Vec<String> {
    let mut client = Client::connect(lb.web());
    let mut owners = Vec::new();
    while owners.len() < n {
        let response = client
            .get(&format!("/{}?x={n}", owners.len()), &[])
            .unwrap();
        assert_eq!(response.status, 200, "{response}");
        owners.push(response.origin().to_owned());
        if response.has_token("connection", "close") {
            client = Client::connect(lb.web());
        }
    }
    owners
}

#[test]
fn a_path_leads_to_one_server_before_and_after_a_restart() {
    let origins = origins(5);
    let setup = hashed(&origins, "path");
    let lb = setup.start();
    let first = owners(&lb, 200);
    assert_eq!(owners(&lb, 200), first);
    assert_eq!(shares(&first).len(), 5);
    assert_eq!(lb.status()["pools"][0]["algorithm"], "hash");
    drop(lb);
    // Another node that has the servers in another order is of the same mind.
    let other = origins
        .iter()
        .rev()
        .fold(Setup::new(), |setup, origin| setup.server(origin, ""));
    let other = other.pool("algorithm: hash\nhash_on: path").start();
    assert_eq!(owners(&other, 200), first);
}

#[test]
fn only_the_keys_of_the_server_that_goes_move() {
    let origins = origins(5);
    let lb = hashed(&origins, "path").start();
    let first = owners(&lb, 300);
    let fewer = hashed(&origins[..4], "path");
    lb.rewrite(&fewer.yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || {
        lb.status()["pools"][0]["servers"].as_array().unwrap().len() == 4
    });
    let then = owners(&lb, 300);
    let moved = first
        .iter()
        .zip(&then)
        .filter(|(before, after)| before != after);
    assert!(moved.clone().all(|(before, _)| before == "e"));
    assert_eq!(
        moved.count(),
        first.iter().filter(|name| *name == "e").count()
    );
    // And when it comes back, everything is as it was.
    lb.rewrite(&hashed(&origins, "path").yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || {
        lb.status()["pools"][0]["servers"].as_array().unwrap().len() == 5
    });
    assert_eq!(owners(&lb, 300), first);
}

#[test]
fn a_server_that_is_down_is_stood_in_for() {
    let origins = origins(3);
    let lb = hashed(&origins, "path")
        .pool("health_check: {interval: 200ms, fast_interval: 50ms, rise: 1, fall: 1}")
        .start();
    for name in ["a", "b", "c"] {
        lb.wait_state("app", name, "up");
    }
    let first = owners(&lb, 100);
    origins[1].stop();
    lb.wait_state("app", "b", "down");
    for (before, after) in first.iter().zip(owners(&lb, 100)) {
        assert!(*before == after || before == "b");
        assert_ne!(after, "b");
    }
    origins[1].restart();
    lb.wait_state("app", "b", "up");
    assert_eq!(owners(&lb, 100), first);
}

#[test]
fn shares_follow_the_weights() {
    let origins = origins(3);
    let lb = weighted(&origins, &[6, 3, 1])
        .pool("algorithm: hash\nhash_on: path")
        .start();
    let owners = owners(&lb, 2000);
    let shares = shares(&owners);
    for (name, share) in [("a", 0.6), ("b", 0.3), ("c", 0.1)] {
        let found = shares[name] as f64 / 2000.0;
        // Three standard deviations of so few keys.
        let chance = 3.0 * (share * (1.0 - share) / 2000.0_f64).sqrt();
        assert!((found - share).abs() < chance, "{shares:?}");
    }
}

#[test]
fn query_header_and_cookie_lead_by_their_values() {
    type Asks = fn(usize) -> (String, Vec<(&'static str, String)>);
    let cases: [(&str, Asks); 3] = [
        ("query:id", |n| (format!("/{n}?a=1&id={}", n % 7), vec![])),
        ("header:X-User", |n| {
            (format!("/{n}"), vec![("X-User", (n % 7).to_string())])
        }),
        ("cookie:user", |n| {
            let line = format!("other={n}; user={}", n % 7);
            (format!("/{n}"), vec![("Cookie", line)])
        }),
    ];
    for (on, asks) in cases {
        let origins = origins(3);
        let lb = hashed(&origins, on).start();
        let mut found: HashMap<usize, String> = HashMap::new();
        for n in 0..49 {
            let (target, headers) = asks(n);
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let server = lb.get(&target, &headers).origin().to_owned();
            let before = found.entry(n % 7).or_insert_with(|| server.clone());
            assert_eq!(*before, server, "{on}");
        }
        // Without a key requests take turns.
        let turns: Vec<_> = (0..6)
            .map(|_| lb.get("/", &[]).origin().to_owned())
            .collect();
        assert_eq!(
            shares(&turns),
            [("a", 2), ("b", 2), ("c", 2)].into(),
            "{on}"
        );
    }
}

#[test]
fn an_address_leads_to_one_server() {
    let origins = origins(4);
    let lb = Setup::of(&origins)
        .pool("algorithm: source_hash\nsource_prefix: {v4: 24}")
        .listener("client_address: {trusted_proxies: [127.0.0.0/8]}")
        .start();
    let from = |client: &str| {
        lb.get("/", &[("X-Forwarded-For", client)])
            .origin()
            .to_owned()
    };
    let mut seen = Vec::new();
    for network in 0..40 {
        let first = from(&format!("10.0.{network}.1"));
        assert_eq!(from(&format!("10.0.{network}.200")), first);
        assert_eq!(from(&format!("::ffff:10.0.{network}.3")), first);
        seen.push(first);
    }
    assert_eq!(shares(&seen).len(), 4);
    assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:2"));
}

#[test]
fn an_address_leads_connections_too() {
    let backends: Vec<_> = ["a", "b", "c"].into_iter().map(Backend::start).collect();
    let all: Vec<_> = backends.iter().collect();
    let lb = before(&all).pool("algorithm: source_hash").start();
    let _held: Vec<_> = (0..9).map(|_| connect(&lb)).collect();
    let picks = |server: &str| {
        lb.metrics()
            .sum("equipoise_server_picks_total", &[("server", server)])
    };
    let all = || ["a", "b", "c"].map(picks);
    eventually(SOON, || all().iter().sum::<f64>() == 9.0);
    assert_eq!(
        all().iter().filter(|picks| **picks == 9.0).count(),
        1,
        "{:?}",
        all()
    );
}

#[test]
fn clients_of_many_addresses_are_spread() {
    let origins = origins(3);
    let lb = Setup::of(&origins).pool("algorithm: source_hash").start();
    let mut found = Vec::new();
    for last in 1..60 {
        let from = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
        let ask = || {
            let mut client = Client::connect_from(from, lb.web());
            client.get("/", &[]).unwrap().origin().to_owned()
        };
        let server = ask();
        assert_eq!(ask(), server);
        found.push(server);
    }
    assert_eq!(shares(&found).len(), 3);
}

#[test]
fn a_hot_key_spills_over_at_its_bound() {
    let origins: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| Origin::with(name, |_| Answer::held()))
        .collect();
    let lb = hashed(&origins, "path").pool("bounded_load: 1.25").start();
    let clients = hold(lb.web(), 40);
    wait_held_in_all(&origins, 40);
    let mut held: Vec<_> = origins.iter().map(Origin::held).collect();
    held.sort_unstable();
    assert!(held[3] <= 13, "at most 1.25 times the share: {held:?}");
    finish(&origins, clients);
}

#[test]
fn a_full_server_is_stood_in_for_and_the_queue_hands_over() {
    let origins: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|name| Origin::with(name, |_| Answer::held()))
        .collect();
    let setup = origins.iter().fold(Setup::new(), |setup, origin| {
        setup.server(origin, "max_connections: 1")
    });
    let lb = setup
        .pool("algorithm: hash\nhash_on: path\nqueue: {size: 5, timeout: 60s}")
        .start();
    let clients = hold(lb.web(), 3);
    wait_held_in_all(&origins, 2);
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 1.0
    });
    finish(&origins, clients);
    lb.wait_idle();
}

#[test]
fn sessions_stay_where_they_are_whatever_is_hashed() {
    let origins = origins(3);
    let lb = hashed(&origins, "path")
        .pool("persistence: {type: cookie_insert}")
        .start();
    let first = lb.get("/start", &[]);
    let server = first.origin().to_owned();
    let cookie = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
    for n in 0..20 {
        let response = lb.get(&format!("/{n}"), &[("Cookie", &cookie)]);
        assert_eq!(response.origin(), server);
    }
}
