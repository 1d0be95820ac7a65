//! SPEC section 13: two nodes and one session table in the real Redis, which is also killed and paused under load.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::common::peers::Redis;
use crate::common::*;

const TRUST: &str = "client_address: {trusted_proxies: [127.0.0.0/8]}";

fn three() -> [Origin; 3] {
    ["a", "b", "c"].map(|name| {
        // `/set?LINE` sets a cookie.
        Origin::with(name, |request| match request.target.split_once("?set=") {
            Some((_, line)) => Answer::ok().header("Set-Cookie", line),
            None => Answer::ok(),
        })
    })
}

fn nodes_of(origins: &[Origin], persistence: &str, url: &str) -> Setup {
    Setup::of(origins)
        .listener(TRUST)
        .listener("http: {keepalive_requests: 0}")
        .pool(&format!(
            "persistence: {{{persistence}, table: {{store: \"{url}\"}}}}"
        ))
}

/// As [`by_address`], for tests that are not about time: the store has the longest that can be had.
fn patient(origins: &[Origin], persistence: &str, url: &str) -> Setup {
    Setup::of(origins)
        .listener(TRUST)
        .listener("http: {keepalive_requests: 0}")
        .pool(&format!(
            "persistence: {{{persistence}, table: {{store: \"{url}\", timeout: 1s}}}}"
        ))
}

fn by_address(origins: &[Origin], url: &str) -> Setup {
    nodes_of(origins, "type: source_ip", url)
}

/// The n-th client.
fn client(n: u32) -> String {
    std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string()
}

/// Who answers the n-th client.
#[track_caller]
fn from(lb: &Equipoise, n: u32) -> String {
    let response = lb.get("/", &[("X-Forwarded-For", &client(n))]);
    assert_eq!(response.status, 200, "{response}");
    response.origin().to_owned()
}

/// What is counted of the store under that word.
fn counted(lb: &Equipoise, word: &str) -> f64 {
    lb.metrics()
        .samples()
        .iter()
        .filter(|s| s.name.starts_with("equipoise_session_store"))
        .filter(|s| s.name.contains(word) || s.labels.iter().any(|(_, v)| v.contains(word)))
        .map(|s| s.value)
        .sum()
}

fn is_up(lb: &Equipoise) -> bool {
    lb.metrics()
        .value("equipoise_session_store_up", &[("pool", "app")])
        == 1.0
}

/// Binds new clients on one node until the other one follows it: the table is shared again.
#[track_caller]
fn wait_shared(one: &Equipoise, two: &Equipoise) {
    static NEXT: AtomicU32 = AtomicU32::new(0x80_0000);
    eventually(SOON, || {
        is_up(one)
            && is_up(two)
            && (0..6).all(|_| {
                let n = NEXT.fetch_add(1, Ordering::Relaxed);
                // The second node balances twice as many: were nothing shared, two round robins that turn at
                // different paces could agree on one client, not on six in a row.
                let (server, _) = (from(one, n), from(two, n ^ 0x40_0000));
                from(two, n) == server
            })
    });
}

#[test]
fn what_one_node_binds_the_other_follows() {
    let (origins, redis) = (three(), Redis::start());
    let setup = patient(&origins, "type: source_ip", &redis.url(0));
    let nodes = [setup.start(), setup.start()];
    for n in 0..12 {
        let server = from(&nodes[n as usize % 2], n);
        for node in &nodes {
            assert_eq!(from(node, n), server, "client {n}");
        }
    }
    assert_eq!(redis.keys(0).len(), 12);
    // A third node that comes later knows all.
    let late = setup.start();
    for n in 0..12 {
        assert_eq!(from(&late, n), from(&nodes[0], n));
    }
}

#[test]
fn what_one_node_learns_the_other_follows() {
    let (origins, redis) = (three(), Redis::start());
    let setup = patient(&origins, "type: learn, cookie: app", &redis.url(0));
    let nodes = [setup.start(), setup.start()];
    for n in 0..6 {
        let set = nodes[0].get(&format!("/?set=app=secret{n}"), &[]);
        let cookie = format!("app=secret{n}");
        // It is written in the background.
        eventually(SOON, || redis.keys(0).len() == n + 1);
        for _ in 0..3 {
            let response = nodes[1].get("/", &[("Cookie", &cookie)]);
            assert_eq!(response.origin(), set.origin());
        }
    }
    // No session id is given away.
    for key in redis.keys(0) {
        let value = redis.cli(0, &["--raw", "GET", &key]);
        assert!(
            !format!("{key} {value}").contains("secret"),
            "{key} {value}"
        );
    }
    // What ends on one node ends on the other.
    nodes[1].get("/?set=app=secret0;Max-Age=0", &[("Cookie", "app=secret0")]);
    eventually(SOON, || redis.keys(0).len() == 5);
}

/// As within one node: two first requests, one session.
#[test]
fn first_requests_that_race_on_two_nodes_go_to_one_server() {
    const THREADS: usize = 12;
    let (origins, redis) = (three(), Redis::start());
    let setup = patient(&origins, "type: source_ip", &redis.url(0)).pool("queue: {size: 100}");
    let nodes = [setup.start(), setup.start()];
    let to = [nodes[0].web(), nodes[1].web()];
    for round in 0..8 {
        let barrier = Barrier::new(THREADS);
        let barrier = &barrier;
        let servers: BTreeSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn(move || {
                        let mut connection = Client::connect(to[thread % 2]);
                        let address = client(round);
                        barrier.wait();
                        let response = connection
                            .get("/", &[("X-Forwarded-For", &address)])
                            .unwrap();
                        response.origin().to_owned()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(servers.len(), 1, "round {round}: {servers:?}");
    }
}

#[test]
fn a_known_session_costs_no_round_trip() {
    let (origins, redis) = (three(), Redis::start());
    let lb = by_address(&origins, &redis.url(0)).start();
    let server = from(&lb, 1);
    let before = redis.calls("get");
    let mut connection = lb.client();
    for _ in 0..500 {
        let response = connection
            .get("/", &[("X-Forwarded-For", &client(1))])
            .unwrap();
        assert_eq!(response.origin(), server);
    }
    let asked = redis.calls("get") - before;
    assert!(asked < 50, "{asked} questions for 500 requests");
}

#[test]
fn its_time_to_live_is_the_idle_timeout() {
    let (origins, redis) = (three(), Redis::start());
    let lb = nodes_of(&origins, "type: source_ip, timeout: 100s", &redis.url(0)).start();
    from(&lb, 1);
    let keys = redis.keys(0);
    assert_eq!(keys.len(), 1);
    let left: u32 = redis.cli(0, &["TTL", &keys[0]]).parse().unwrap();
    assert!((90..=110).contains(&left), "{left}");

    let lb = nodes_of(&origins, "type: source_ip, timeout: 2s", &redis.url(1)).start();
    from(&lb, 1);
    // Used, it is kept there beyond its first time to live; left alone, it goes.
    let start = std::time::Instant::now();
    eventually(SOON, || {
        from(&lb, 1);
        assert_eq!(redis.keys(1).len(), 1, "after {:?}", start.elapsed());
        start.elapsed().as_secs() >= 4
    });
    eventually(SOON, || redis.keys(1).is_empty());
}

#[test]
fn a_password_a_database_and_a_socket_are_understood() {
    let origins = three();
    let redis = Redis::with_password("geheimnis");
    for (setup, database) in [
        (by_address(&origins, &redis.url(3)), 3),
        (
            by_address(
                &origins,
                &format!("redis://default:geheimnis@{}/5", redis.address()),
            ),
            5,
        ),
    ] {
        let lb = setup.start();
        from(&lb, 1);
        eventually(SOON, || redis.keys(database).len() == 1);
        assert_eq!(redis.keys(0).len(), 0);
        // Nobody is told the password.
        let told = format!(
            "{}{}{}",
            lb.stderr(),
            lb.stdout(),
            lb.admin_get("/api/v1/config")
        );
        assert!(!told.contains("geheimnis"), "{told}");
    }
    let redis = Redis::start();
    for (url, database) in [
        (redis.unix_url(), 0),
        (format!("{}?db=4", redis.unix_url()), 4),
    ] {
        let lb = by_address(&origins, &url).start();
        from(&lb, 1);
        eventually(SOON, || redis.keys(database).len() == 1);
    }
}

/// Who it is is checked, unless the URL says not to.
#[test]
fn it_speaks_tls() {
    let (origins, redis) = (three(), Redis::with_tls());
    let lb = by_address(&origins, &redis.tls_url(2)).start();
    from(&lb, 1);
    eventually(SOON, || {
        lb.stderr()
            .lines()
            .any(|l| l.contains("store") && l.to_lowercase().contains("certificate"))
    });
    assert_eq!(
        redis.keys(2).len(),
        0,
        "told to somebody with a certificate of his own making"
    );
    let lb = by_address(&origins, &format!("{}#insecure", redis.tls_url(2))).start();
    eventually(SOON, || is_up(&lb));
    from(&lb, 1);
    eventually(SOON, || redis.keys(2).len() == 1);
}

/// Wrong password, or nobody there at all: traffic goes on with what the node knows itself, and it is logged.
#[test]
fn a_store_that_cant_be_used_stops_nobody() {
    let origins = three();
    let redis = Redis::with_password("right");
    let nobody = ReservedPort::new();
    for url in [
        format!("redis://:wrong@{}", redis.address()),
        format!("redis://{}", nobody.address()),
        "redis://no-such-host.invalid:6379".to_owned(),
        "unix:///nowhere/redis.sock".to_owned(),
    ] {
        let lb = by_address(&origins, &url).start();
        for n in 0..6 {
            let server = from(&lb, n);
            for _ in 0..3 {
                assert_eq!(from(&lb, n), server, "{url}");
            }
        }
        eventually(SOON, || {
            let log = lb.stderr();
            let told = log.lines().filter(|l| l.contains("store")).count();
            if told > 0 { Ok(()) } else { Err(log) }
        });
        assert!(!lb.stderr().contains("wrong"), "{}", lb.stderr());
    }
}

/// Clients of both nodes, over and over, while `disturb` does its worst; every request has to succeed, and a session
/// that a node has seen stays where it was on that node.
#[track_caller]
fn under_load(nodes: &[Equipoise; 2], disturb: impl FnOnce(&AtomicU32)) {
    let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    let to = [nodes[0].web(), nodes[1].web()];
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6_u32)
            .map(|worker| {
                let (stop, rounds) = (&stop, &rounds);
                scope.spawn(move || {
                    let node = worker as usize % 2;
                    let mut connection = Client::connect(to[node]);
                    let regular = client(worker);
                    let mut server = None;
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        // A new client, then the regular one.
                        n += 1;
                        let new = client(0x1_0000 * (worker + 1) + n);
                        for address in [&new, &regular] {
                            let response = connection
                                .get("/", &[("X-Forwarded-For", address)])
                                .unwrap();
                            assert_eq!(response.status, 200, "{response}");
                            if *address == regular {
                                let origin = response.origin().to_owned();
                                assert_eq!(*server.get_or_insert(origin.clone()), origin);
                            }
                        }
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| disturb(&rounds)));
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Waits until that many more rounds were made.
#[track_caller]
fn go_on(rounds: &AtomicU32, more: u32) {
    let until = rounds.load(Ordering::Relaxed) + more;
    eventually(SOON * 3, || rounds.load(Ordering::Relaxed) >= until);
}

#[test]
fn it_is_killed_under_load_and_comes_back() {
    let (origins, mut redis) = (three(), Redis::start());
    origins.iter().for_each(Origin::quiet);
    let setup = by_address(&origins, &redis.url(0));
    let nodes = [setup.start(), setup.start()];
    wait_shared(&nodes[0], &nodes[1]);
    under_load(&nodes, |rounds| {
        for _ in 0..2 {
            go_on(rounds, 100);
            redis.kill();
            go_on(rounds, 300);
            redis.restart();
            go_on(rounds, 100);
        }
    });
    wait_shared(&nodes[0], &nodes[1]);
    assert!(
        redis.keys(0).len() > 4,
        "what is known locally is told the new one when it is used"
    );
    assert!(
        nodes
            .iter()
            .any(|n| counted(n, "error") + counted(n, "skipped") > 0.0)
    );
}

#[test]
fn it_is_paused_under_load_and_goes_on() {
    let (origins, redis) = (three(), Redis::start());
    origins.iter().for_each(Origin::quiet);
    let setup = by_address(&origins, &redis.url(0));
    let nodes = [setup.start(), setup.start()];
    wait_shared(&nodes[0], &nodes[1]);
    under_load(&nodes, |rounds| {
        for _ in 0..2 {
            go_on(rounds, 100);
            redis.pause();
            go_on(rounds, 300);
            redis.resume();
            go_on(rounds, 100);
        }
    });
    for node in &nodes {
        assert!(counted(node, "timeout") > 0.0, "{}", node.metrics().text);
    }
    wait_shared(&nodes[0], &nodes[1]);
}

/// What one node bound while nobody could be told is told afterwards.
#[test]
fn an_outages_sessions_are_shared_when_it_is_over() {
    let (origins, mut redis) = (three(), Redis::start());
    let setup = by_address(&origins, &redis.url(0));
    let nodes = [setup.start(), setup.start()];
    // No other client than these, so that the keys can be counted.
    eventually(SOON, || is_up(&nodes[0]) && is_up(&nodes[1]));
    redis.kill();
    eventually(SOON, || !is_up(&nodes[0]) && !is_up(&nodes[1]));
    let bound: Vec<_> = (0..9).map(|n| from(&nodes[0], n)).collect();
    redis.restart();
    // Each of them comes by again, and is known to all then.
    eventually(SOON, || {
        for (n, server) in (0..).zip(&bound) {
            assert_eq!(from(&nodes[0], n), *server, "an outage moves nobody");
        }
        redis.keys(0).len() >= 9
    });
    eventually(SOON, || is_up(&nodes[1]));
    for (n, server) in (0..).zip(&bound) {
        assert_eq!(from(&nodes[1], n), *server);
    }
}

/// It is told once when it goes and once when it is back, not with every request.
#[test]
fn an_outage_is_logged_once() {
    let (origins, mut redis) = (three(), Redis::start());
    let lb = by_address(&origins, &redis.url(0)).start();
    from(&lb, 0);
    let lines = || lb.stderr().lines().filter(|l| l.contains("store")).count();
    let before = lines();
    redis.kill();
    for n in 0..200 {
        from(&lb, n);
    }
    eventually(SOON, || lines() > before);
    let told = lines() - before;
    assert!(told <= 3, "{told} lines:\n{}", lb.stderr());
}
