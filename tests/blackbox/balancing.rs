//! SPEC section 3: which server a request goes to, and the counts behind that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::*;

mod changes;
mod draws;
mod hashing;

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn origins(n: usize) -> Vec<Origin> {
    NAMES[..n].iter().map(|name| Origin::start(name)).collect()
}

fn weighted<'a>(origins: &'a [Origin], weights: &[u32]) -> Setup {
    let pairs: Vec<(&'a Origin, u32)> = origins.iter().zip(weights.iter().copied()).collect();
    pairs
        .into_iter()
        .fold(Setup::new(), |setup, (origin, weight)| {
            setup.server(origin, &format!("weight: {weight}"))
        })
}

/// Who answered each of `n` requests that follow one another on one connection.
fn sequence(lb: &Equipoise, n: usize) -> Vec<String> {
    let to = lb.web();
    let mut client = Client::connect(to);
    let mut names = Vec::new();
    while names.len() < n {
        let response = client.get("/", &[]).unwrap();
        assert_eq!(response.status, 200, "{response}");
        names.push(response.origin().to_owned());
        if response.has_token("connection", "close") {
            client = Client::connect(to);
        }
    }
    names
}

fn shares(names: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

/// Sends `n` requests that are held by whichever origin gets them.
fn hold(to: SocketAddr, n: usize) -> Vec<Client> {
    (0..n)
        .map(|_| {
            let mut client = Client::connect(to);
            client.send_request("GET", "/", &[], b"").unwrap();
            client
        })
        .collect()
}

fn wait_held_in_all(origins: &[Origin], n: usize) {
    eventually(SOON, || {
        let held: Vec<_> = origins.iter().map(Origin::held).collect();
        if held.iter().sum::<usize>() == n {
            Ok(())
        } else {
            Err(format!("{held:?}"))
        }
    });
}

fn finish(origins: &[Origin], clients: Vec<Client>) {
    origins.iter().for_each(Origin::release_all);
    for mut client in clients {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
}

#[test]
fn equal_weights_take_turns() {
    let origins = origins(3);
    let lb = weighted(&origins, &[1, 1, 1]).start();
    let names = sequence(&lb, 30);
    for turn in names.chunks(3) {
        assert_eq!(turn, ["a", "b", "c"], "{names:?}");
    }
}

#[test]
fn every_window_has_the_exact_shares_and_no_bursts() {
    let origins = origins(4);
    let lb = weighted(&origins, &[6, 3, 2, 1]).start();
    let names = sequence(&lb, 120);
    for start in 0..names.len() - 12 {
        let window = &names[start..start + 12];
        let expected = BTreeMap::from([("a", 6), ("b", 3), ("c", 2), ("d", 1)]);
        assert_eq!(shares(window), expected, "window at {start} of {names:?}");
    }
    let burst = names
        .windows(3)
        .filter(|w| w.iter().all(|n| n == "a"))
        .count();
    assert_eq!(burst, 0, "three times a in a row: {names:?}");
}

#[test]
fn only_the_ratio_of_weights_matters() {
    let origins = origins(4);
    let small = weighted(&origins, &[6, 3, 2, 1]).start();
    let large = weighted(&origins, &[60, 30, 20, 10]).start();
    assert_eq!(sequence(&small, 36), sequence(&large, 36));
}

#[test]
fn the_smooth_order_is_the_published_one() {
    // nginx's own example: weights 5, 1, 1 give a a b a c a a.
    let origins = origins(3);
    let lb = weighted(&origins, &[5, 1, 1]).start();
    let names = sequence(&lb, 14);
    assert_eq!(names.concat(), "aabacaaaabacaa");
}

#[test]
fn a_server_that_is_down_is_skipped_and_the_others_keep_their_proportions() {
    let origins = origins(4);
    origins[0].stop();
    let lb = weighted(&origins, &[6, 3, 2, 1])
        .pool("health_check: {type: tcp, interval: 1s}")
        .start();
    lb.wait_state("app", "a", "down");
    for server in ["b", "c", "d"] {
        lb.wait_state("app", server, "up");
    }
    // From any position on, each window of six has the exact shares.
    let names = sequence(&lb, 36);
    let expected = BTreeMap::from([("b", 3), ("c", 2), ("d", 1)]);
    for window in names.chunks(6).skip(1) {
        assert_eq!(shares(window), expected, "{names:?}");
    }
}

#[test]
fn all_threads_share_one_state() {
    let origins = origins(4);
    for origin in &origins {
        origin.quiet();
    }
    let lb = weighted(&origins, &[6, 3, 2, 1])
        .top("server: {threads: 4}")
        .start();
    let to = lb.web();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..15 {
                    let mut client = Client::connect(to);
                    for _ in 0..10 {
                        assert_eq!(client.get("/", &[]).unwrap().status, 200);
                    }
                }
            });
        }
    });
    // 1200 requests, 100 turns of 12: exact, whoever picked.
    let served: Vec<_> = origins.iter().map(Origin::served).collect();
    assert_eq!(served, [600, 300, 200, 100]);
    lb.wait_idle();
}

#[test]
fn least_connections_follows_the_weights_with_long_requests() {
    let origins = origins(3);
    origins.iter().for_each(|o| o.script(|_| Answer::held()));
    let lb = weighted(&origins, &[4, 2, 1])
        .pool("algorithm: weighted_least_connections\nslow_start: 0s")
        .start();
    let clients = hold(lb.web(), 70);
    wait_held_in_all(&origins, 70);
    let held: Vec<_> = origins.iter().map(Origin::held).collect();
    assert_eq!(held, [40, 20, 10]);
    for (name, active) in [("a", 40), ("b", 20), ("c", 10)] {
        assert_eq!(lb.server("app", name)["active"], active);
        let metric = lb
            .metrics()
            .value("equipoise_server_active", &[("server", name)]);
        assert!((metric - f64::from(active)).abs() < f64::EPSILON);
    }
    finish(&origins, clients);
    lb.wait_idle();
}

#[test]
fn least_connections_settles_ties_by_round_robin_among_the_tied() {
    let origins = origins(3);
    let lb = weighted(&origins, &[5, 1, 1])
        .pool("algorithm: weighted_least_connections\nslow_start: 0s")
        .start();
    // One request at a time: always all tied at 0, so pure smooth round robin.
    let to = lb.web();
    let mut names = String::new();
    for _ in 0..14 {
        names.push_str(get(to, "/", &[]).origin());
        lb.wait_idle();
    }
    assert_eq!(names, "aabacaaaabacaa");
}

#[test]
fn two_clients_are_never_both_given_the_last_idle_server() {
    let origins = origins(2);
    origins.iter().for_each(|o| o.script(|_| Answer::held()));
    let lb = weighted(&origins, &[1, 1])
        .top("server: {threads: 4}")
        .pool("algorithm: weighted_least_connections\nslow_start: 0s")
        .start();
    for round in 0..20 {
        let clients = hold(lb.web(), 2);
        wait_held_in_all(&origins, 2);
        let held: Vec<_> = origins.iter().map(Origin::held).collect();
        assert_eq!(held, [1, 1], "round {round}");
        origins.iter().for_each(|o| o.release(1));
        for mut client in clients {
            client.read_response(false).unwrap();
        }
        lb.wait_idle();
    }
}

#[test]
fn a_server_that_joins_loaded_ones_takes_everything_until_it_has_caught_up() {
    let origins = origins(3);
    origins.iter().for_each(|o| o.script(|_| Answer::held()));
    origins[2].stop();
    let lb = weighted(&origins, &[10, 10, 10])
        .pool("algorithm: weighted_least_connections\nslow_start: 0s")
        .pool("health_check: {type: tcp, interval: 1s, fast_interval: 100ms, rise: 1}")
        .start();
    lb.wait_state("app", "a", "up");
    lb.wait_state("app", "b", "up");
    lb.wait_state("app", "c", "down");
    let to = lb.web();
    let mut clients = hold(to, 100);
    wait_held_in_all(&origins, 100);
    let held: Vec<_> = origins.iter().map(Origin::held).collect();
    assert_eq!(held, [50, 50, 0]);

    origins[2].restart();
    lb.wait_state("app", "c", "up");
    for n in 1..=50 {
        clients.extend(hold(to, 1));
        origins[2].wait_held(n);
    }
    clients.extend(hold(to, 3));
    wait_held_in_all(&origins, 153);
    let held: Vec<_> = origins.iter().map(Origin::held).collect();
    assert_eq!(held, [51, 51, 51]);
    finish(&origins, clients);
    lb.wait_idle();
}

#[test]
fn a_smaller_weight_with_least_connections_relieves_an_overloaded_server() {
    let origins = origins(12);
    for (n, origin) in origins.iter().enumerate() {
        let delay = Duration::from_millis(if n == 0 { 150 } else { 5 });
        origin.quiet();
        origin.script(move |_| Answer::after(delay));
    }
    let run = |setup: Setup| {
        let before = origins[0].served();
        let lb = setup.start();
        let to = lb.web();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let mut client = Client::connect(to);
                    while next.fetch_add(1, Ordering::Relaxed) < 480 {
                        let response = client.get("/", &[]).unwrap();
                        assert_eq!(response.status, 200);
                        if response.has_token("connection", "close") {
                            client = Client::connect(to);
                        }
                    }
                });
            }
        });
        lb.wait_idle();
        origins[0].served() - before
    };
    let equal = run(weighted(&origins, &[10; 12]));
    assert_eq!(equal, 40, "round robin gives the slow one its full twelfth");
    let mut weights = [10; 12];
    weights[0] = 2;
    let relieved =
        run(weighted(&origins, &weights)
            .pool("algorithm: weighted_least_connections\nslow_start: 0s"));
    assert!(
        relieved <= equal / 2,
        "{relieved} of 480 went to the overloaded server"
    );
}

#[test]
fn the_count_is_held_until_the_last_byte_of_the_body() {
    let origin = Origin::with("a", |_| {
        Answer::body(Body::HeldChunks(vec![b"first".to_vec(), b"last".to_vec()]))
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.read_chunk().unwrap(), b"first");
    assert_eq!(lb.server("app", "a")["active"], 1);
    origin.release(1);
    assert_eq!(client.read_chunk().unwrap(), b"last");
    assert_eq!(client.read_chunk().unwrap(), b"");
    lb.wait_idle_servers();
}

/// Every way for a request to end gives its count back, once.
#[test]
fn counts_are_zero_after_every_kind_of_end() {
    let origins = origins(2);
    for origin in &origins {
        origin.script(|request| match request.target.as_str() {
            "/hold" => Answer::held(),
            "/close" => Answer::Close,
            "/reset" => Answer::Reset,
            "/mid" => Answer::ResetMidBody(b"some".to_vec()),
            "/never" => Answer::Never,
            "/nonsense" => Answer::Raw(b"what?\r\n\r\n".to_vec()),
            "/until-close" => Answer::body(Body::UntilClose(b"all of it".to_vec())),
            "/chunks" => Answer::body(Body::HeldChunks(vec![vec![b'x'; 1000]; 2])),
            _ => Answer::ok(),
        });
    }
    let lb = Setup::of(&origins)
        .pool("algorithm: weighted_least_connections\ntimeouts: {connect: 1s, receive: 500ms}")
        .start();
    let to = lb.web();
    assert_eq!(get(to, "/", &[]).status, 200);
    assert_eq!(get(to, "/close", &[]).status, 502);
    assert_eq!(get(to, "/reset", &[]).status, 502);
    assert_eq!(get(to, "/never", &[]).status, 504);
    assert_eq!(get(to, "/nonsense", &[]).status, 502);
    assert_eq!(get(to, "/until-close", &[]).body, b"all of it");

    // The client goes away: before the response, in the middle of it, in its own body.
    for target in ["/hold", "/chunks"] {
        for politely in [true, false] {
            let mut client = Client::connect(to);
            client.send_request("GET", target, &[], b"").unwrap();
            eventually(SOON, || origins.iter().any(|o| o.held() > 0));
            if politely {
                drop(client);
            } else {
                client.reset();
            }
            lb.wait_idle_servers();
        }
    }
    let mut client = Client::connect(to);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        .unwrap();
    client.reset();
    // The server goes away in the middle of the body.
    let mut client = Client::connect(to);
    client.send_request("GET", "/mid", &[], b"").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    origins.iter().for_each(Origin::release_all);
    assert!(
        client.take(1000).is_err(),
        "the body is cut short, and the client is told so"
    );
    lb.wait_idle();
}
