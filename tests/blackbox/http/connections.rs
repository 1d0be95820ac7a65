//! Connections are kept, and ended in good order.

use std::time::{Duration, Instant};

use super::one;
use crate::common::*;

#[test]
fn connections_to_servers_are_kept() {
    let (origin, lb) = one();
    let mut client = lb.client();
    for _ in 0..20 {
        client.get("/", &[]).unwrap();
    }
    assert_eq!(origin.connections(), 1);
    lb.wait_idle_servers();
    let reused = lb.metrics().sum(
        "equipoise_upstream_connections_total",
        &[("reused", "true")],
    );
    assert!(reused >= 19.0, "{reused}");
}

#[test]
fn keepalive_requests_ends_a_connection_in_good_order() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {keepalive_requests: 3}")
        .start();
    let mut client = lb.client();
    for n in 1..=3 {
        let response = client.get("/", &[]).unwrap();
        assert_eq!(
            response.has_token("connection", "close"),
            n == 3,
            "request {n}: {response}"
        );
    }
    assert!(client.is_closed_by_peer());
}

#[test]
fn by_default_a_connection_serves_100_requests() {
    let (_origin, lb) = one();
    let mut client = lb.client();
    for n in 1..=100 {
        let response = client.get("/", &[]).unwrap();
        assert_eq!(
            response.has_token("connection", "close"),
            n == 100,
            "request {n}"
        );
    }
    assert!(client.is_closed_by_peer());
}

#[test]
fn an_idle_connection_is_closed_after_keepalive_timeout() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {keepalive_timeout: 1s}")
        .start();
    let mut client = lb.client();
    for _ in 0..2 {
        client.get("/", &[]).unwrap();
    }
    let start = Instant::now();
    assert!(client.is_closed_by_peer());
    let idle = start.elapsed();
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(8)).contains(&idle),
        "{idle:?}"
    );
}

#[test]
fn the_client_may_close() {
    let (_origin, lb) = one();
    let mut client = lb.client();
    let response = client.get("/", &[("Connection", "close")]).unwrap();
    assert!(response.has_token("connection", "close"));
    assert!(client.is_closed_by_peer());
}

#[test]
fn a_client_that_asks_for_the_end_and_sends_on_gets_its_response_all_the_same() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    let requests = [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    ];
    // Some send an empty line behind a body (RFC 9112 section 2.2); what is unread when a socket is closed resets it.
    for request in requests {
        for sent_together in [false, true] {
            let mut client = lb.client();
            client.send(request).unwrap();
            if sent_together {
                client.send("\r\n").unwrap();
            }
            origin.wait_held(1);
            if !sent_together {
                client.send("\r\n").unwrap();
            }
            origin.release(1);
            let bytes = client.read_to_end().expect(request);
            assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{request}");
        }
    }
}

#[test]
fn who_asks_for_the_end_and_is_refused_in_the_middle_of_a_body_hears_why() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {max_body_size: 1KiB}")
        .start();
    let body = vec![b'x'; 256 * 1024];
    let chunked = [
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()).into_bytes(),
        body.clone(),
    ];
    let sized = [
        format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes(),
        body,
    ];
    for rest in [chunked.concat(), sized.concat()] {
        let mut client = lb.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n")
            .unwrap();
        client.send(rest).unwrap();
        let response = client.read_response(false).unwrap();
        assert_eq!(response.status, 413);
        assert!(response.has_token("connection", "close"), "{response}");
        assert_eq!(client.read_to_end().unwrap(), b"");
    }
}

#[test]
fn no_more_idle_connections_are_kept_than_keepalive_says() {
    for (keep, kept) in [(0, 0.0), (2, 2.0), (128, 6.0)] {
        let origin = Origin::with("a", |_| Answer::held());
        let lb = Setup::of([&origin])
            .pool(&format!("keepalive: {{connections: {keep}}}"))
            .start();
        let reused = || {
            lb.metrics().sum(
                "equipoise_upstream_connections_total",
                &[("reused", "true")],
            )
        };
        // Six at once need six connections; what is kept of them serves the next six.
        for wave in 1..=2 {
            let mut clients: Vec<_> = (0..6).map(|_| lb.client()).collect();
            for client in &mut clients {
                client.send_request("GET", "/", &[], b"").unwrap();
            }
            origin.wait_held(6);
            origin.release(6);
            for client in &mut clients {
                assert_eq!(client.read_response(false).unwrap().status, 200);
            }
            lb.wait_idle_servers();
            let expected = if wave == 1 { 0.0 } else { kept };
            assert!(
                (reused() - expected).abs() < 0.5,
                "keep {keep}: {}",
                reused()
            );
        }
    }
}
