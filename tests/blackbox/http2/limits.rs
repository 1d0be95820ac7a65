//! What is too large, too slow or too much.

use std::time::{Duration, Instant};

use super::one;
use crate::common::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY, H2, HEADERS,
    NO_ERROR, Outcome, REFUSED_STREAM, block, request,
};
use crate::common::*;

#[test]
fn what_is_too_large_is_refused_as_in_http_1_and_the_connection_goes_on() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {max_header_size: 8KiB, max_uri_length: 1KiB, max_body_size: 1000}")
        .start();
    let client = H2::connect(lb.web());
    let long = format!("/{}", "x".repeat(2000));
    let uri = client.get(&long, &[]).unwrap();
    assert_eq!(uri.status, 414);
    assert!(uri.text().contains("max_uri_length"), "{uri}");
    assert!(uri.header("x-request-id").is_some());
    let value = "y".repeat(500);
    let fields: Vec<_> = (0..20).map(|_| ("x-long", value.as_str())).collect();
    assert_eq!(client.get("/", &fields).unwrap().status, 431);
    let value = "y".repeat(20_000);
    let answer = client.get("/", &[("x-long", value.as_str())]).unwrap();
    assert_eq!(answer.status, 431);
    assert!(answer.text().contains("max_header_size"), "{answer}");
    let declared = client.request("POST", "/", &[("content-length", "1001")], &[b'z'; 1001]);
    assert_eq!(declared.unwrap().status, 413);
    let streamed = client.request("POST", "/", &[], &[b'z'; 1001]);
    assert_eq!(streamed.unwrap().status, 413);
    assert_eq!(
        client
            .request("POST", "/", &[], &[b'z'; 1000])
            .unwrap()
            .status,
        200
    );
    let served = origin.requests();
    assert_eq!(served.len(), 1, "{served:?}");
    let line = lb.wait_logged(|l| l["status"] == 414);
    assert_eq!(
        (&line["termination"], &line["protocol"]),
        (&"limit".into(), &"HTTP/2.0".into())
    );
    assert_eq!(line["host"], "a.test");
    assert_eq!(
        lb.metrics()
            .sum("equipoise_connections_total", &[("listener", "web")]),
        1.0
    );
    lb.wait_idle_servers();
}

#[test]
fn the_header_limit_is_the_same_in_both_versions() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {max_header_size: 4KiB}")
        .start();
    let client = H2::connect(lb.web());
    let mut h1 = lb.client();
    let around = "GET / HTTP/1.1\r\nhost: a.test\r\nx: \r\n\r\n".len();
    for (size, status) in [(4096, 200), (4097, 431)] {
        let value = "v".repeat(size - around);
        let fields = [("x", value.as_str())];
        assert_eq!(client.get("/", &fields).unwrap().status, status, "{size}");
        h1.send(format!(
            "GET / HTTP/1.1\r\nhost: a.test\r\nx: {value}\r\n\r\n"
        ))
        .unwrap();
        assert_eq!(h1.read_response(false).unwrap().status, status, "{size}");
    }
}

#[test]
fn many_fields_are_fine_and_too_many_are_431() {
    let (origin, lb) = one();
    let client = H2::connect(lb.web());
    let names: Vec<_> = (0..201).map(|n| format!("x-{n}")).collect();
    let fields: Vec<_> = names.iter().map(|n| (n.as_str(), "v")).collect();
    assert_eq!(client.get("/", &fields[..150]).unwrap().status, 200);
    assert_eq!(origin.last_request().header("x-149"), Some("v"));
    assert_eq!(client.get("/", &fields).unwrap().status, 431);
    // A cookie's crumbs are one field for the server, and here each counts.
    let crumbs: Vec<_> = (0..201).map(|_| ("cookie", "a=b")).collect();
    assert_eq!(client.get("/", &crumbs[..200]).unwrap().status, 200);
    assert_eq!(origin.last_request().headers_of("cookie").len(), 1);
    assert_eq!(client.get("/", &crumbs).unwrap().status, 431);
}

#[test]
fn a_slow_body_is_408_and_the_connection_goes_on() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {body_timeout: 1s}")
        .start();
    let mut client = Frames::connect(lb.web());
    let mut fields = request("POST", "/");
    fields.push(("content-length", "10"));
    client.headers(1, &fields, false).unwrap();
    client.send(DATA, 0, 1, b"half").unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(408));
    assert_eq!(client.outcome(1), Outcome::Reset(NO_ERROR));
    lb.wait_idle_servers();
    assert_eq!(
        lb.wait_logged(|l| l["status"] == 408)["termination"],
        "client_timeout"
    );
    client.get(3).unwrap();
    assert_eq!(client.outcome(3), Outcome::Status(200));
}

#[test]
fn body_timeout_counts_between_two_reads() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {body_timeout: 1s}")
        .start();
    let mut client = Frames::connect(lb.web());
    client.headers(1, &request("POST", "/"), false).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        client.send(DATA, 0, 1, b"x").unwrap();
        std::thread::park_timeout(Duration::from_millis(200));
    }
    client.send(DATA, END_STREAM, 1, b"x").unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
}

#[test]
fn a_connection_without_a_request_ends_at_its_timeout() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {header_timeout: 1s, http2: {idle_timeout: 2s}}")
        .start();
    // Nothing at all, half a preface, and settings without a request: header_timeout.
    let silent = Frames::bare(lb.web());
    let mut half = Frames::bare(lb.web());
    half.write(b"PRI * HTTP/2.0\r\n").unwrap();
    let mut shy = Frames::connect(lb.web());
    for mut client in [silent, half] {
        let start = Instant::now();
        assert!(client.is_closed_by_peer());
        assert!(start.elapsed() < SOON);
    }
    assert_eq!(shy.go_away(), Some((0, NO_ERROR)));
    assert!(shy.is_closed_by_peer());
    // After one: idle_timeout, from the end of the last one, however that ended.
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    std::thread::park_timeout(Duration::from_secs(1));
    let mut refused = request("GET", "/");
    refused.push(("host", "b.test"));
    client.headers(3, &refused, true).unwrap();
    assert_eq!(client.outcome(3), Outcome::Status(400));
    let start = Instant::now();
    assert_eq!(client.go_away(), Some((3, NO_ERROR)));
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1800), "{took:?}");
    assert!(client.is_closed_by_peer());
    lb.wait_idle();
}

#[test]
fn a_request_under_way_is_not_idle() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin])
        .listener("http: {header_timeout: 300ms, http2: {idle_timeout: 1s}}")
        .start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    origin.wait_held(1);
    holds_for(Duration::from_millis(2500), || origin.held() == 1);
    origin.release_all();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    assert_eq!(client.go_away(), Some((1, NO_ERROR)), "idle now");
}

#[test]
fn a_header_block_has_a_total_deadline() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {header_timeout: 1s}")
        .start();
    // In CONTINUATIONs, and byte by byte in one frame.
    let whole = block(&request("GET", "/"));
    for trickle in [true, false] {
        let mut client = Frames::connect(lb.web());
        client.get(1).unwrap();
        assert_eq!(
            client.outcome(1),
            Outcome::Status(200),
            "not its first request"
        );
        if trickle {
            client.send(HEADERS, END_STREAM, 3, &whole[..20]).unwrap();
        } else {
            let frame = h2::frame(HEADERS, END_STREAM | END_HEADERS, 3, &whole);
            client.write(&frame[..20]).unwrap();
        }
        let start = Instant::now();
        assert_eq!(client.go_away(), Some((1, ENHANCE_YOUR_CALM)));
        let took = start.elapsed();
        assert!(took > Duration::from_millis(700) && took < SOON, "{took:?}");
        assert!(client.is_closed_by_peer());
    }
    let line = lb.wait_logged(|l| l["status"] == 408);
    assert_eq!(line["termination"], "client_timeout", "{line}");
    // One that comes in time in several pieces is fine.
    let mut client = Frames::connect(lb.web());
    client.send(HEADERS, END_STREAM, 1, &whole[..20]).unwrap();
    client.send(CONTINUATION, 0, 1, &whole[20..30]).unwrap();
    client
        .send(CONTINUATION, END_HEADERS, 1, &whole[30..])
        .unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    assert_eq!(origin.served(), 3);
}

#[test]
fn max_streams_is_announced_and_held() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin])
        .listener("http: {http2: {max_streams: 3}}")
        .start();
    let mut client = Frames::connect(lb.web());
    for stream in [1, 3, 5, 7] {
        client.get(stream).unwrap();
    }
    assert_eq!(client.outcome(7), Outcome::Reset(REFUSED_STREAM));
    origin.wait_held(3);
    origin.release_all();
    lb.wait_idle_servers();
    client.get(9).unwrap();
    assert_eq!(client.outcome(9), Outcome::Status(200));
}

#[test]
fn a_connection_carries_requests_without_limit() {
    let (_origin, lb) = one();
    let client = H2::connect(lb.web());
    for _ in 0..250 {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    assert_eq!(
        lb.metrics()
            .sum("equipoise_connections_total", &[("listener", "web")]),
        1.0
    );
}

#[test]
fn max_requests_ends_a_connection_in_a_quiet_moment() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {http2: {max_requests: 3}}")
        .start();
    let mut client = Frames::connect(lb.web());
    for stream in [1, 3, 5, 7, 9] {
        client.get(stream).unwrap();
        assert_eq!(client.outcome(stream), Outcome::Status(200));
    }
    // First that there will be an end, and when the client has heard of it, where it is.
    let warning = client.frame_of(0, GOAWAY).payload;
    assert_eq!(warning[..8], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let end = client.frame_of(0, GOAWAY).payload;
    assert_eq!(end[..8], [0, 0, 0, 9, 0, 0, 0, 0]);
    assert!(client.is_closed_by_peer());
    lb.wait_idle();
    // The well-behaved client sees an orderly end.
    let client = H2::connect(lb.web());
    for _ in 0..3 {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    client.wait_end().unwrap();
}

#[test]
fn a_client_that_does_not_hear_the_warning_is_refused_after_a_while() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/" => Answer::ok(),
        _ => Answer::held(),
    });
    let lb = Setup::of([&origin])
        .listener("http: {http2: {max_requests: 1}}")
        .start();
    let mut client = Frames::connect(lb.web());
    client.polite = false;
    // It is never quiet, but calm: told after twice its share.
    client.get(1).unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    client.headers(3, &request("GET", "/held"), true).unwrap();
    client.frame_of(0, GOAWAY);
    let start = Instant::now();
    let refused = (5..).step_by(2).find_map(|stream| {
        assert!(start.elapsed() < SOON * 2, "taken for ever");
        std::thread::park_timeout(Duration::from_millis(50));
        client.get(stream).unwrap();
        match client.outcome(stream) {
            Outcome::Status(200) => None,
            other => Some(other),
        }
    });
    assert_eq!(refused, Some(Outcome::Reset(REFUSED_STREAM)));
    assert!(start.elapsed() > Duration::from_secs(3));
    origin.release_all();
    assert_eq!(client.outcome(3), Outcome::Status(200));
    assert!(client.is_closed_by_peer());
}

#[test]
fn max_connections_per_client_is_503() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("max_connections_per_client: 1")
        .start();
    let first = H2::connect(lb.web());
    assert_eq!(first.get("/", &[]).unwrap().status, 200);
    let second = H2::connect(lb.web());
    let refused = second.get("/", &[]).unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    second.wait_end().unwrap();
    assert_eq!(first.get("/", &[]).unwrap().status, 200);
    assert_eq!(origin.served(), 2);
}
