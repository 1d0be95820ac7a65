//! `source_ip`: the client address decides.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Barrier;

use super::*;

const BY_ADDRESS: &str = "persistence: {type: source_ip}";
/// So that a test can be any client.
const TRUST: &str = "client_address: {trusted_proxies: [127.0.0.0/8]}";

/// Who answers that client.
#[track_caller]
fn from(lb: &Equipoise, client: &str) -> String {
    let response = lb.get("/", &[("X-Forwarded-For", client)]);
    assert_eq!(response.status, 200, "{response}");
    response.origin().to_owned()
}

#[test]
fn an_address_stays_with_its_server_whatever_its_port() {
    let origins = three();
    let lb = Setup::of(&origins).pool(BY_ADDRESS).start();
    let mut servers = BTreeSet::new();
    for n in 1..=6 {
        let address: IpAddr = format!("127.0.7.{n}").parse().unwrap();
        let get = || {
            let mut client = Client::connect_from(address, lb.web());
            client.get("/", &[]).unwrap().origin().to_owned()
        };
        let first = get();
        for _ in 0..3 {
            assert_eq!(get(), first);
        }
        servers.insert(first);
    }
    assert_eq!(servers.len(), 3, "new addresses are balanced");
    assert_eq!(entries(&lb), 6.0);
    assert_eq!((result(&lb, "miss"), result(&lb, "hit")), (6.0, 18.0));
}

#[test]
fn the_messages_are_untouched() {
    let origins = three_with(|_| Answer::ok().header("Set-Cookie", "app=1"));
    let lb = Setup::of(&origins).pool(BY_ADDRESS).start();
    let response = lb.get("/", &[]);
    assert_eq!(set_cookies(&response), ["app=1"]);
    assert_eq!(response.header("cache-control"), None);
    let origin = origins
        .iter()
        .find(|o| o.name() == response.origin())
        .unwrap();
    let lines = ["SERVERID=x; y=\"1 2\""];
    assert_eq!(cookies_at(&lb, origin, &lines), lines);
}

/// The address that section 6 finds, not the proxy's.
#[test]
fn it_is_the_clients_address_behind_a_trusted_proxy() {
    let origins = three();
    let lb = Setup::of(&origins).listener(TRUST).pool(BY_ADDRESS).start();
    let servers: BTreeSet<_> = (1..=3)
        .map(|n| from(&lb, &format!("203.0.113.{n}")))
        .collect();
    assert_eq!(servers.len(), 3);
    let one = from(&lb, "203.0.113.1");
    assert_eq!(
        from(&lb, "198.51.100.77, 203.0.113.1"),
        one,
        "what it claims itself doesn't count"
    );
    // An IPv4 address in IPv6's clothes is the same client.
    assert_eq!(from(&lb, "::ffff:203.0.113.1"), one);
    assert_eq!(entries(&lb), 3.0);
}

#[test]
fn a_prefix_makes_a_network_one_client() {
    let origins = three();
    let lb = Setup::of(&origins)
        .listener(TRUST)
        .pool("persistence: {type: source_ip, prefix: {v4: 20, v6: 48}}")
        .start();
    let one = from(&lb, "10.1.16.1");
    for same in ["10.1.16.2", "10.1.31.255", "10.1.20.0"] {
        assert_eq!(from(&lb, same), one, "{same}");
    }
    assert_eq!(entries(&lb), 1.0);
    from(&lb, "10.1.32.0");
    from(&lb, "10.1.15.255");
    assert_eq!(entries(&lb), 3.0);
    let six = from(&lb, "2001:db8:1::1");
    assert_eq!(from(&lb, "2001:db8:1:ffff::2"), six);
    assert_eq!(entries(&lb), 4.0);
    from(&lb, "2001:db8:2::1");
    assert_eq!(entries(&lb), 5.0);
}

#[test]
fn by_default_an_address_is_whole_and_a_64_is_one_client() {
    let origins = three();
    let lb = Setup::of(&origins).listener(TRUST).pool(BY_ADDRESS).start();
    let six = from(&lb, "2001:db8::1");
    assert_eq!(from(&lb, "2001:db8::ffff:1:2:3"), six);
    assert_eq!(entries(&lb), 1.0);
    from(&lb, "2001:db8:0:1::1");
    from(&lb, "10.0.0.0");
    from(&lb, "10.0.0.1");
    assert_eq!(entries(&lb), 4.0);
}

/// No bits at all: everybody is one client.
#[test]
fn a_prefix_of_zero_is_everybody() {
    let origins = three();
    let lb = Setup::of(&origins)
        .listener(TRUST)
        .pool("persistence: {type: source_ip, prefix: {v4: 0, v6: 0}}")
        .start();
    let one = from(&lb, "10.0.0.1");
    assert_eq!(from(&lb, "203.0.113.200"), one);
    assert_eq!(entries(&lb), 1.0);
}

#[test]
fn an_impossible_prefix_is_refused() {
    for prefix in ["{v4: 33}", "{v6: 129}", "{v4: -1}", "{v5: 3}"] {
        let said = refused(&format!("{{type: source_ip, prefix: {prefix}}}"));
        assert!(said.contains("prefix"), "{said}");
    }
}

/// Browsers open several connections at once: the first requests of a client race, and one wins for all.
#[test]
fn first_requests_that_race_go_to_one_server() {
    const THREADS: usize = 16;
    let origins = three();
    let lb = Setup::of(&origins).listener(TRUST).pool(BY_ADDRESS).start();
    let to = lb.web();
    for round in 0..10 {
        let client = format!("203.0.113.{round}");
        let barrier = Barrier::new(THREADS);
        let servers: BTreeSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        let mut connection = Client::connect(to);
                        barrier.wait();
                        let headers = [("X-Forwarded-For", client.as_str())];
                        let response = connection.get("/", &headers).unwrap();
                        response.origin().to_owned()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(servers.len(), 1, "round {round}: {servers:?}");
    }
    assert_eq!(entries(&lb), 10.0);
    // Whoever lost the race has given back the place that it had first.
    lb.wait_idle();
}

/// Its server fails under a crowd: all of it moves to the same other one.
#[test]
fn a_client_whose_server_dies_moves_as_one() {
    const THREADS: usize = 12;
    let origins = three();
    let lb = Setup::of(&origins).listener(TRUST).pool(BY_ADDRESS).start();
    let server = from(&lb, "203.0.113.9");
    origins.iter().find(|o| o.name() == server).unwrap().stop();
    let to = lb.web();
    let barrier = Barrier::new(THREADS);
    let servers: BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Client::connect(to);
                    barrier.wait();
                    let headers = [("X-Forwarded-For", "203.0.113.9")];
                    let response = connection.get("/", &headers).unwrap();
                    response.origin().to_owned()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert!(!servers.contains(&server));
    assert_eq!(from(&lb, "203.0.113.9"), *servers.first().unwrap());
}

#[test]
fn an_idle_client_is_forgotten_and_an_active_one_is_not() {
    let origins = three();
    let lb = Setup::of(&origins)
        .listener(TRUST)
        .pool("persistence: {type: source_ip, timeout: 2s}")
        .start();
    let active = from(&lb, "10.0.0.1");
    from(&lb, "10.0.0.2");
    eventually(SOON, || {
        assert_eq!(from(&lb, "10.0.0.1"), active);
        entries(&lb) == 1.0
    });
    eventually(SOON, || entries(&lb) == 0.0);
}

#[test]
fn a_session_ends_at_its_maximal_lifetime_however_active() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: source_ip, timeout: 60s, max_lifetime: 2s}")
        .start();
    assert_eq!(ask(&lb, "/", &[]).1, "miss");
    assert_eq!(ask(&lb, "/", &[]).1, "hit");
    eventually(SOON, || ask(&lb, "/", &[]).1 != "hit");
}
