//! The end of the process: told by GOAWAY, what is under way is served.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::h2::{Frames, GOAWAY, H2, NO_ERROR, Outcome};
use crate::common::*;

#[test]
fn an_idle_connection_keeps_nobody_waiting() {
    let origin = Origin::start("a");
    let mut lb = Setup::of([&origin]).start();
    let client = H2::connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    let mut raw = Frames::connect(lb.web());
    raw.get(1).unwrap();
    assert_eq!(raw.outcome(1), Outcome::Status(200));
    lb.signal(Signal::SIGTERM);
    assert!(matches!(raw.go_away(), Some((_, NO_ERROR))));
    assert!(raw.is_closed_by_peer());
    client.wait_end().unwrap();
    let start = Instant::now();
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_client_that_does_not_listen_keeps_nobody_waiting_long() {
    let origin = Origin::start("a");
    let mut lb = Setup::of([&origin]).start();
    let mut raw = Frames::connect(lb.web());
    raw.polite = false;
    raw.get(1).unwrap();
    assert_eq!(raw.outcome(1), Outcome::Status(200));
    lb.signal(Signal::SIGTERM);
    let start = Instant::now();
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    // shutdown_timeout is 30s.
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn requests_under_way_are_served_and_new_ones_are_not_taken() {
    let origin = Origin::with("a", |_| {
        Answer::body(Body::HeldChunks(vec![b"one".to_vec(), b"two".to_vec()]))
    });
    let mut lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    assert_eq!(client.frame_of(1, h2::DATA).payload, b"one");
    lb.signal(Signal::SIGTERM);
    let first = client.frame_of(0, GOAWAY);
    assert_eq!(
        first.payload[..4],
        0x7fff_ffffu32.to_be_bytes(),
        "a warning first"
    );
    let second = client.frame_of(0, GOAWAY);
    assert_eq!(
        second.payload[..8],
        [0, 0, 0, 1, 0, 0, 0, 0],
        "then the end"
    );
    client.get(3).unwrap();
    holds_for(Duration::from_millis(1500), || {
        lb.is_running() && origin.served() == 1
    });
    origin.release_all();
    assert_eq!(client.frame_of(1, h2::DATA).payload, b"two");
    assert!(client.is_closed_by_peer());
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    assert_eq!(origin.served(), 1);
    let line = &lb.access_log()[0];
    assert_eq!(line["termination"], "complete", "{line}");
}

#[test]
fn sigint_waits_for_nobody() {
    let origin = Origin::with("a", |_| Answer::held());
    let mut lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    origin.wait_held(1);
    let start = Instant::now();
    lb.signal(Signal::SIGINT);
    lb.wait_exit(SOON);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(client.is_closed_by_peer());
}

#[test]
fn a_reload_changes_what_the_next_request_meets() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a]).start();
    let client = H2::connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().origin(), "a");
    lb.rewrite(&Setup::of([&b]).yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || client.get("/", &[]).unwrap().origin() == "b");
    assert_eq!(
        lb.metrics()
            .sum("equipoise_connections_total", &[("listener", "web")]),
        1.0
    );
}
