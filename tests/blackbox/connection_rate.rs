//! New connections a second from one client (`listeners.*.connection_rate_per_client`).

use std::net::IpAddr;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::common::*;

const MANY: usize = 20;

fn rejected(lb: &Equipoise) -> f64 {
    lb.metrics().value(
        "equipoise_connections_rejected_total",
        &[("reason", "client_rate")],
    )
}

/// Whether a connection from there is served.
fn is_served(lb: &Equipoise, from: &str) -> bool {
    let from: IpAddr = from.parse().unwrap();
    let mut client = Client::connect_from(from, lb.web());
    client
        .get("/", &[])
        .is_ok_and(|response| response.status == 200)
}

#[test]
fn no_more_than_the_rate_are_served() {
    for protocol in ["http", "tcp"] {
        let origin = Origin::start("a");
        let lb = Setup::of([&origin])
            .listener(&format!(
                "protocol: {protocol}\nconnection_rate_per_client: 1"
            ))
            .start();
        let begun = Instant::now();
        let served = (0..MANY).filter(|_| is_served(&lb, "127.0.12.1")).count();
        // One at first and one each second, however slow this machine is at the moment.
        let most = 1 + begun.elapsed().as_secs() as usize;
        assert!((1..=most).contains(&served), "{served} of {most}");
        assert_eq!(rejected(&lb), (MANY - served) as f64, "{protocol}");
        assert_eq!(origin.served(), served);
        if served < MANY {
            let line = lb.wait_logged(|line| line["termination"] == "limit");
            let status = if protocol == "http" {
                503.into()
            } else {
                serde_json::Value::Null
            };
            assert!(line["status"] == status || protocol == "tcp", "{line}");
        }
        // Others have a bucket of their own, and the bucket fills up again.
        assert!(is_served(&lb, "127.0.12.2"));
        eventually(SOON, || is_served(&lb, "127.0.12.1"));
        lb.wait_idle();
    }
}

#[test]
fn established_connections_and_trusted_proxies_do_not_mind() {
    let origin = Origin::start("a");
    let setup = |rate: u32| {
        Setup::of([&origin]).listener(&format!(
            "bind: \"127.0.0.1:0\"\nconnection_rate_per_client: {rate}\nclient_address: {{trusted_proxies: [127.0.13.1]}}"
        ))
    };
    let lb = setup(1).start();
    let mut kept = lb.client();
    for _ in 0..MANY {
        assert_eq!(kept.get("/", &[]).unwrap().status, 200);
        assert!(is_served(&lb, "127.0.13.1"));
    }
    assert_eq!(rejected(&lb), 0.0);
    // A reload changes the rate.
    lb.rewrite(&setup(0).yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || lb.stderr().contains("configuration reloaded"));
    for _ in 0..MANY {
        assert!(is_served(&lb, "127.0.12.1"));
    }
}
