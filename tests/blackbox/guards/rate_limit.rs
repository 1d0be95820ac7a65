//! Requests in a time: how many, whose, and what becomes of the others.

use std::time::{Duration, Instant};

use super::reload;
use crate::common::h2::H2;
use crate::common::*;

/// Long enough for the rate to count more than the burst.
const WHILE: Duration = Duration::from_secs(4);

/// A listener that limits everything below `/`, but `/free`.
fn limits(limit: &str) -> String {
    format!(
        "http: {{keepalive_requests: 0}}
client_address: {{trusted_proxies: [127.0.0.2]}}
routes:
  - match: {{path: /free}}
  - name: limited
    match: {{path_prefix: /}}
    rate_limit: {limit}"
    )
}

fn start(origin: &Origin, limit: &str) -> Equipoise {
    Setup::of([origin]).listener(&limits(limit)).start()
}

/// What the trusted proxy says of a client.
fn through_proxy(lb: &Equipoise) -> Client {
    Client::connect_from("127.0.0.2".parse().unwrap(), lb.web())
}

/// What became of a request, and when it was sent and answered: it was decided in between.
struct Asked {
    sent: Instant,
    answered: Instant,
    accepted: bool,
}

/// As fast as it goes, until the time is up and the last one is refused.
fn hammer(mut ask: impl FnMut() -> u16) -> Vec<Asked> {
    let begun = Instant::now();
    let mut all = Vec::new();
    loop {
        let sent = Instant::now();
        let accepted = match ask() {
            200 => true,
            429 => false,
            other => panic!("{other}"),
        };
        all.push(Asked {
            sent,
            answered: Instant::now(),
            accepted,
        });
        if begun.elapsed() > WHILE && !accepted {
            return all;
        }
        assert!(begun.elapsed() < 10 * WHILE, "too slow to be limited");
    }
}

fn accepted(all: &[Asked]) -> usize {
    all.iter().filter(|it| it.accepted).count()
}

/// A rate and a burst, to the request, however fast the machine is: no more than both allow in the time from the first question
/// to the last answer, and no fewer than the rate allows between two refusals, which leave nothing over.
#[track_caller]
fn assert_accurate(rate: f64, burst: f64, all: &[Asked]) {
    let refused = || all.iter().filter(|it| !it.accepted);
    let first = refused().min_by_key(|it| it.answered).unwrap();
    let last = refused().max_by_key(|it| it.sent).unwrap();
    let begun = all.iter().map(|it| it.sent).min().unwrap();
    let ended = all.iter().map(|it| it.answered).max().unwrap();
    let most = burst + rate * (ended - begun).as_secs_f64() + 1.0;
    let count = accepted(all) as f64;
    assert!(count <= most, "{count} accepted, of {most:.1} at most");
    let between = all
        .iter()
        .filter(|it| it.accepted && it.answered >= first.sent && it.sent <= last.answered);
    let span = last.sent.saturating_duration_since(first.answered);
    // In a pause that is longer than the burst takes to come back, what is beyond it is lost.
    let mut sorted: Vec<_> = all.iter().collect();
    sorted.sort_by_key(|it| it.sent);
    let lost: f64 = sorted
        .windows(2)
        .map(|pair| rate * (pair[1].answered - pair[0].sent).as_secs_f64() - burst)
        .filter(|beyond| *beyond > 0.0)
        .sum();
    let least = rate * span.as_secs_f64() - lost - 1.0;
    let count = between.count() as f64;
    assert!(count >= least, "{count} accepted, of {least:.1} at least");
    let before = all
        .iter()
        .filter(|it| it.accepted && it.sent <= first.answered);
    assert!(before.count() as f64 >= burst, "less than the burst");
}

#[test]
fn a_client_gets_its_rate_over_http1() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 10/s, burst: 20, key: client}");
    let mut client = lb.client();
    let seen = hammer(|| client.get("/", &[]).unwrap().status);
    assert_accurate(10.0, 20.0, &seen);
    assert_eq!(origin.served(), accepted(&seen), "the others went nowhere");
}

#[test]
fn a_client_gets_its_rate_over_http2() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 10/s, burst: 20, key: client}");
    let client = H2::connect(lb.web());
    let seen = hammer(|| client.get("/", &[]).unwrap().status);
    assert_accurate(10.0, 20.0, &seen);
}

#[test]
fn a_key_in_a_field_gets_its_rate_whoever_sends_it() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 600/m, burst: 20, key: 'header:X-Api-Key'}");
    let mut clients = [lb.client(), lb.client()];
    let h2 = H2::connect(lb.web());
    let mut turn = 0;
    let seen = hammer(|| {
        turn += 1;
        let key = [("x-api-key", "one")];
        match turn % 3 {
            2 => h2.get("/", &key).unwrap().status,
            n => clients[n].get("/", &key).unwrap().status,
        }
    });
    assert_accurate(10.0, 20.0, &seen);
    assert_eq!(h2.get("/", &[("x-api-key", "two")]).unwrap().status, 200);
}

#[test]
fn a_route_gets_its_rate_from_all_together() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 10/s, burst: 20, key: route}");
    let counts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=4)
            .map(|n| {
                let lb = &lb;
                scope.spawn(move || {
                    let from = format!("127.0.0.{}", n + 10).parse().unwrap();
                    let mut client = Client::connect_from(from, lb.web());
                    hammer(|| client.get("/", &[]).unwrap().status)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let all: Vec<_> = counts.into_iter().flatten().collect();
    assert_accurate(10.0, 20.0, &all);
}

#[test]
fn who_is_too_fast_is_told_when_to_come_again_and_keeps_its_connection() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 2/h, burst: 1}");
    let mut client = lb.client();
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    let bodies: [(&str, &[u8]); 4] = [
        ("GET", b""),
        ("POST", b"a body"),
        ("HEAD", b""),
        ("PUT", &[b'x'; 20_000]),
    ];
    for (method, body) in bodies {
        let refused = client.request(method, "/", &[], body).unwrap();
        assert_eq!(refused.status, 429, "{method}");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1790..=1800).contains(&wait), "{wait}");
        assert!(!refused.has_token("connection", "close"), "{method}");
        assert_eq!(client.get("/free", &[]).unwrap().status, 200, "{method}");
    }
    assert_eq!(origin.served(), 5);
    let line = lb.wait_logged(|line| line["status"] == 429);
    assert_eq!(
        (&line["termination"], &line["route"]),
        (&"rate_limited".into(), &"limited".into())
    );
}

#[test]
fn over_http2_the_same_is_said_and_the_connection_goes_on() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 2/h, burst: 1}");
    let client = H2::connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    for body in [&b""[..], b"a body", &[b'x'; 20_000]] {
        let refused = client.request("POST", "/", &[], body).unwrap();
        assert_eq!(refused.status, 429);
        assert!(refused.header("retry-after").is_some());
        assert_eq!(client.get("/free", &[]).unwrap().status, 200);
    }
}

#[test]
fn a_burst_goes_through_at_once_and_no_more() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 1/h, burst: 20}");
    let mut client = lb.client();
    let statuses: Vec<u16> = (0..30)
        .map(|_| client.get("/", &[]).unwrap().status)
        .collect();
    assert_eq!(statuses[..20], [200; 20]);
    assert_eq!(statuses[20..], [429; 10]);
}

#[test]
fn each_client_has_its_own_places_by_whatever_connection() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 1/h, burst: 2}");
    for from in ["127.0.0.1", "127.0.0.3", "127.0.0.4"] {
        let from = from.parse().unwrap();
        let ask = || {
            Client::connect_from(from, lb.web())
                .get("/", &[])
                .unwrap()
                .status
        };
        assert_eq!([ask(), ask(), ask(), ask()], [200, 200, 429, 429], "{from}");
    }
}

#[test]
fn behind_a_trusted_proxy_the_client_counts_and_of_ipv6_its_network() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 1/h, burst: 1}");
    let mut proxy = through_proxy(&lb);
    for (client, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("::ffff:192.0.2.2", 429),
        ("2001:db8:0:1::1", 200),
        ("2001:db8:0:1::2", 429),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", 429),
        ("2001:db8:0:2::1", 200),
    ] {
        let asked = proxy.get("/", &[("X-Forwarded-For", client)]).unwrap();
        assert_eq!(asked.status, status, "{client}");
    }
}

#[test]
fn a_stranger_cant_pass_for_somebody_else() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 1/h, burst: 1}");
    let mut client = lb.client();
    let statuses: Vec<u16> = (0..5)
        .map(|n| {
            let claim = format!("192.0.2.{n}");
            let fields = [("X-Forwarded-For", &*claim), ("X-Real-IP", &*claim)];
            client.get("/", &fields).unwrap().status
        })
        .collect();
    assert_eq!(statuses, [200, 429, 429, 429, 429]);
}

#[test]
fn without_the_field_or_with_an_odd_one_it_is_the_client_that_counts() {
    let origin = Origin::start("a");
    let lb = start(&origin, "{rate: 1/h, burst: 1, key: 'header:X-Api-Key'}");
    let mut client = lb.client();
    for (fields, status) in [
        (&[("X-Api-Key", "a")][..], 200),
        (&[("x-api-key", "a")], 429),
        (&[("X-Api-Key", "b")], 200),
        (&[], 200),
        (&[("X-Api-Key", "")], 429),
        (&[("X-Api-Key", "c"), ("X-Api-Key", "d")], 429),
        (&[("X-Api-Key", "c")], 200),
    ] {
        assert_eq!(
            client.get("/", fields).unwrap().status,
            status,
            "{fields:?}"
        );
    }
}

#[test]
fn routes_have_limits_of_their_own() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener(
            "routes:
  - match: {path_prefix: /a}
    rate_limit: {rate: 1/h, burst: 1}
  - match: {path_prefix: /b}
    rate_limit: {rate: 1/h, burst: 1}
  - match: {path_prefix: /answered}
    rate_limit: {rate: 1/h, burst: 1}
    respond: {status: 200, body: here}",
        )
        .start();
    let mut client = lb.client();
    for path in ["/a", "/b", "/answered"] {
        assert_eq!(client.get(path, &[]).unwrap().status, 200);
        assert_eq!(client.get(path, &[]).unwrap().status, 429);
    }
    assert_eq!(client.get("/c", &[]).unwrap().status, 200);
}

#[test]
fn a_reload_gives_nobody_new_places_unless_the_limit_changes() {
    let origin = Origin::start("a");
    let setup = |limit: &str| Setup::of([&origin]).listener(&limits(limit));
    let lb = setup("{rate: 1/h, burst: 1}").start();
    let status = || lb.get("/", &[]).status;
    assert_eq!([status(), status()], [200, 429]);
    reload(
        &lb,
        &setup("{rate: 1/h, burst: 1}")
            .pool("timeouts: {receive: 7s}")
            .yaml(),
    );
    assert_eq!([status(), status()], [429, 429]);
    reload(&lb, &setup("{rate: 1/h, burst: 2}").yaml());
    assert_eq!([status(), status(), status()], [200, 200, 429]);
}
