//! Requests between several pools by weight.

use std::collections::BTreeMap;

use super::{named, routed, yaml};
use crate::common::*;

fn counted(seen: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in seen {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn shares_are_exact_and_spread() {
    let (stable, canary) = (Origin::start("stable"), Origin::start("canary"));
    let lb = routed(
        "- {split: [{pool: stable, weight: 95}, {pool: canary, weight: 5}]}\n",
        &[&stable, &canary],
    );
    let mut client = lb.client();
    let mut seen = Vec::new();
    for _ in 0..200 {
        let response = client.get("/", &[]).unwrap();
        seen.push(response.origin().to_owned());
        if response.has_token("connection", "close") {
            client = lb.client();
        }
    }
    for stretch in seen.chunks(20) {
        let counts = counted(stretch.to_vec());
        assert_eq!((counts["stable"], counts["canary"]), (19, 1));
    }
}

#[test]
fn shares_are_exact_over_all_connections_together() {
    let (a, b, c) = (Origin::start("a"), Origin::start("b"), Origin::start("c"));
    let lb = routed(
        "- {split: [{pool: a, weight: 3}, {pool: b, weight: 1}, {pool: c, weight: 0}]}\n",
        &[&a, &b, &c],
    );
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = lb.client();
                for _ in 0..50 {
                    client.get("/", &[]).unwrap();
                }
            });
        }
    });
    assert_eq!((a.served(), b.served(), c.served()), (300, 100, 0));
}

#[test]
fn a_session_stays_in_the_pool_that_it_began_in() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let listener = "routes:\n- {split: [{pool: a, weight: 1}, {pool: b, weight: 1}]}\n";
    let yaml = yaml(listener, &named(&[&a, &b])).replace(
        "    health_check: null\n",
        "    health_check: null\n    persistence: {type: cookie_insert}\n",
    );
    let lb = Equipoise::start(&yaml);
    let mut first = Vec::new();
    for _ in 0..6 {
        let response = lb.get("/", &[]);
        let cookie = format!("SERVERID={}", response.cookie("SERVERID").unwrap());
        for _ in 0..5 {
            let again = lb.get("/", &[("Cookie", &cookie)]);
            assert_eq!(again.origin(), response.origin());
        }
        first.push(response.origin().to_owned());
    }
    let counts = counted(first);
    assert_eq!((counts["a"], counts["b"]), (3, 3), "sessions have no turn");
}
