//! The same requests through the real nginx (one worker) and through Equipoise: the same server has
//! to answer each of them. And nginx against the library's selector alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use equipoise::balance::{Params, Selector};
use equipoise::config::model::Algorithm::{self, WeightedLeastConnections, WeightedRoundRobin};
use parking_lot::{Condvar, Mutex};

use crate::common::peers::Nginx;
use crate::common::{Answer, Client, Origin, Request, SOON, Setup, eventually};

/// A server's weight and its limit (0 = none).
type Server = (u16, u32);

/// What the clients do.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A request comes and stays.
    Start,
    /// The n-th of those that are there ends, counted from the oldest.
    End(usize),
}

/// Requests that follow one another.
fn one_by_one(n: usize) -> Vec<Step> {
    (0..n).flat_map(|_| [Step::Start, Step::End(0)]).collect()
}

/// Requests that overlap: `n` steps, never more than `most` at once.
fn overlapping(n: usize, most: usize, seed: u64) -> Vec<Step> {
    let mut random = seed;
    let mut active = 0;
    let step = |_| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let dice = usize::try_from(random >> 33).unwrap();
        // Phases in which the load rises and falls.
        let start = if (dice >> 8).is_multiple_of(3) {
            dice % 5 < 1
        } else {
            dice % 5 < 4
        };
        if active == 0 || (start && active < most) {
            active += 1;
            Step::Start
        } else {
            active -= 1;
            Step::End(dice % (active + 1))
        }
    };
    (0..n).map(step).collect()
}

fn servers(weights: &[u16]) -> Vec<Server> {
    weights.iter().map(|&weight| (weight, 0)).collect()
}

/// What is at which origin, and which of it may end.
#[derive(Default)]
struct Desk {
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Default)]
struct Book {
    arrived: BTreeMap<usize, char>,
    dismissed: BTreeSet<usize>,
}

impl Desk {
    /// An origin that notes each request, and answers it when it is dismissed.
    fn origin(self: &Arc<Self>, letter: char) -> Origin {
        let desk = Arc::clone(self);
        Origin::with(&letter.to_string(), move |request: &Request| {
            let number = request.target.trim_start_matches("/pick/").parse().unwrap();
            let mut book = desk.book.lock();
            book.arrived.insert(number, letter);
            desk.changed.notify_all();
            desk.changed
                .wait_while_for(&mut book, |b| !b.dismissed.contains(&number), SOON * 6);
            Answer::ok()
        })
    }

    /// Where that request is, as soon as it is anywhere.
    #[track_caller]
    fn place(&self, number: usize) -> char {
        let mut book = self.book.lock();
        self.changed
            .wait_while_for(&mut book, |b| !b.arrived.contains_key(&number), SOON);
        *book
            .arrived
            .get(&number)
            .unwrap_or_else(|| panic!("request {number} reached no origin"))
    }

    fn dismiss(&self, number: usize) {
        self.book.lock().dismissed.insert(number);
        self.changed.notify_all();
    }
}

/// A proxy under comparison: origins behind, an address in front.
struct Bench {
    desk: Arc<Desk>,
    origins: Vec<Origin>,
}

impl Bench {
    fn new(servers: &[Server]) -> Self {
        let desk = Arc::new(Desk::default());
        let origins = ('a'..)
            .take(servers.len())
            .map(|letter| desk.origin(letter))
            .collect();
        Self { desk, origins }
    }

    /// Who got each request. After an end `settled` waits until the proxy counts so many.
    fn run(&self, front: SocketAddr, steps: &[Step], settled: impl Fn(usize)) -> String {
        let mut active: Vec<(usize, Client)> = Vec::new();
        let mut places = String::new();
        for step in steps {
            match *step {
                Step::Start => {
                    let number = places.len();
                    let mut client = Client::connect(front);
                    client
                        .send_request("GET", &format!("/pick/{number}"), &[], b"")
                        .unwrap();
                    places.push(self.desk.place(number));
                    active.push((number, client));
                }
                Step::End(n) => {
                    let (number, mut client) = active.remove(n);
                    self.desk.dismiss(number);
                    assert_eq!(client.read_response(false).unwrap().status, 200);
                    settled(active.len());
                }
            }
        }
        for (number, _) in &active {
            self.desk.dismiss(*number);
        }
        for (_, mut client) in active {
            assert_eq!(client.read_response(false).unwrap().status, 200);
        }
        places
    }
}

fn by_nginx(algorithm: Algorithm, servers: &[Server], steps: &[Step]) -> String {
    let bench = Bench::new(servers);
    let mut list = String::new();
    for (origin, (weight, limit)) in bench.origins.iter().zip(servers) {
        let address = origin.address();
        writeln!(
            list,
            "    server {address} weight={weight} max_conns={limit} max_fails=0;"
        )
        .unwrap();
    }
    let method = match algorithm {
        WeightedRoundRobin => "",
        WeightedLeastConnections => "    least_conn;\n",
        other => unreachable!("{other:?} is not nginx's"),
    };
    // `/` is asked until nginx is there, so it has to stay away from the upstream.
    let nginx = Nginx::start(&format!(
        "  upstream app {{\n{method}{list}  }}
  server {{
    listen @PORT@;
    location / {{ return 204; }}
    location /pick/ {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_next_upstream off;
    }}
  }}"
    ));
    // The one worker counts down before it looks at anything else.
    bench.run(nginx.address(), steps, |_| {})
}

fn by_equipoise(algorithm: Algorithm, servers: &[Server], steps: &[Step]) -> String {
    let bench = Bench::new(servers);
    let setup =
        bench
            .origins
            .iter()
            .zip(servers)
            .fold(Setup::new(), |setup, (origin, (weight, limit))| {
                setup.server(
                    origin,
                    &format!("weight: {weight}, max_connections: {limit}"),
                )
            });
    let name = algorithm.name();
    let lb = setup
        .pool(&format!("algorithm: {name}\nslow_start: 0s"))
        .start();
    bench.run(lb.web(), steps, |active| {
        eventually(SOON, || {
            let counted = lb.metrics().sum("equipoise_server_active", &[]);
            if format!("{counted}") == active.to_string() {
                Ok(())
            } else {
                Err(format!("{counted}, not {active}"))
            }
        });
    })
}

fn by_selector(algorithm: Algorithm, servers: &[Server], steps: &[Step]) -> String {
    let mut selector = Selector::new(algorithm, 1);
    let slots: Vec<_> = servers
        .iter()
        .zip(0..)
        .map(|(&(weight, limit), position)| {
            let slot = selector.insert(Params {
                weight: weight.into(),
                limit,
                position,
                identity: 0,
            });
            selector.set_eligible(slot, true);
            slot
        })
        .collect();
    let mut active = Vec::new();
    let mut places = String::new();
    for step in steps {
        match *step {
            Step::Start => {
                let slot = selector.pick(None, &[]).unwrap();
                let (letter, _) = ('a'..)
                    .zip(&slots)
                    .find(|(_, other)| **other == slot)
                    .unwrap();
                places.push(letter);
                active.push(slot);
            }
            Step::End(n) => selector.release(active.remove(n)),
        }
    }
    places
}

#[track_caller]
fn compare(algorithm: Algorithm, servers: &[Server], steps: &[Step]) {
    let nginx = by_nginx(algorithm, servers, steps);
    assert_eq!(
        by_selector(algorithm, servers, steps),
        nginx,
        "the selector, {servers:?}"
    );
    assert_eq!(
        by_equipoise(algorithm, servers, steps),
        nginx,
        "the proxy, {servers:?}"
    );
}

#[test]
fn round_robin_one_by_one() {
    for weights in [
        &[1, 1, 1][..],
        &[5, 1, 1],
        &[4, 2, 1],
        &[6, 3, 2, 1],
        &[60, 30, 20, 10],
        &[7, 7, 3, 100, 1, 13],
    ] {
        compare(WeightedRoundRobin, &servers(weights), &one_by_one(60));
    }
}

#[test]
fn round_robin_with_overlapping_requests_and_limits() {
    compare(
        WeightedRoundRobin,
        &[(5, 2), (3, 0), (1, 1), (1, 3)],
        &overlapping(150, 12, 1),
    );
}

#[test]
fn least_connections_one_by_one() {
    for weights in [&[1, 1, 1][..], &[5, 1, 1], &[4, 2, 1]] {
        compare(WeightedLeastConnections, &servers(weights), &one_by_one(40));
    }
}

#[test]
fn least_connections_with_requests_that_stay() {
    compare(
        WeightedLeastConnections,
        &servers(&[4, 2, 1]),
        &[Step::Start; 70],
    );
}

#[test]
fn least_connections_with_overlapping_requests() {
    for (seed, weights) in (7..).zip([&[1, 1, 1][..], &[4, 2, 1], &[6, 3, 2, 1], &[3, 5, 3, 10, 2]])
    {
        compare(
            WeightedLeastConnections,
            &servers(weights),
            &overlapping(120, 20, seed),
        );
    }
}

#[test]
fn least_connections_with_overlapping_requests_and_limits() {
    compare(
        WeightedLeastConnections,
        &[(4, 3), (2, 0), (2, 2), (1, 1)],
        &overlapping(150, 14, 42),
    );
}
