//! What is too large, too slow or too much.

use std::time::{Duration, Instant};

use super::{answer_and_close, one};
use crate::common::*;

#[test]
fn a_header_has_a_total_deadline() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {header_timeout: 1s}")
        .start();
    let mut client = lb.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    // A byte now and then must not extend it.
    client.set_timeout(Duration::from_millis(100));
    let start = Instant::now();
    let response = loop {
        let _ = client.send("X-Slow: 1\r\n");
        match client.read_head() {
            Ok(response) => break Some(response),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break None,
        }
        assert!(start.elapsed() < SOON, "never cut off");
    };
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "cut off after {:?}",
        start.elapsed()
    );
    assert_eq!(response.expect("an answer").status, 408);
    assert_eq!(origin.served(), 0);
}

#[test]
fn a_slow_body_is_408() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {body_timeout: 1s}")
        .start();
    let mut client = lb.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 408);
    assert!(client.is_closed_by_peer());
    lb.wait_idle();
}

#[test]
fn what_is_too_large_is_refused() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {max_header_size: 8KiB, max_uri_length: 1KiB, max_body_size: 1000}")
        .start();
    let to = lb.web();
    let long = "x".repeat(2000);
    let uri = answer_and_close(
        to,
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
    );
    assert_eq!(uri.status, 414);
    let header: String = (0..20)
        .map(|n| format!("X-{n}: {}\r\n", "y".repeat(500)))
        .collect();
    let header = answer_and_close(
        to,
        format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n").as_bytes(),
    );
    assert_eq!(header.status, 431);
    let body = answer_and_close(
        to,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
    );
    assert_eq!(body.status, 413);
    assert_eq!(origin.served(), 0);
    // The same size in chunks is found out on the way.
    let mut chunked =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n".to_vec();
    chunked.extend_from_slice(&[b'z'; 1001]);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let mut client = lb.client();
    client.send(&chunked).unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 413);
    // Where it ends is known.
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    // What just fits passes.
    let mut client = lb.client();
    assert_eq!(
        client
            .request("POST", "/", &[], &[b'z'; 1000])
            .unwrap()
            .status,
        200
    );
    assert_eq!(
        origin
            .requests()
            .iter()
            .filter(|r| r.body.len() == 1000)
            .count(),
        1
    );
}

#[test]
fn many_header_fields_are_not_a_malformed_request() {
    // Up to max_header_size; 431 beyond, whatever the parser's own limits are.
    let (origin, lb) = one();
    let fields: String = (0..100).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let mut client = lb.client();
    client
        .send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 200);
    assert_eq!(origin.last_request().header("x-99"), Some("99"));
    let fields: String = (0..3000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    assert_eq!(
        answer_and_close(
            lb.web(),
            format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()
        )
        .status,
        431
    );
}

#[test]
fn max_connections_per_client_is_503() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("max_connections_per_client: 2")
        .start();
    let to = lb.web();
    let mut kept: Vec<_> = (0..2).map(|_| Client::connect(to)).collect();
    for client in &mut kept {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    let mut third = Client::connect(to);
    let refused = third.get("/", &[]).unwrap();
    assert_eq!(refused.status, 503, "{refused}");
    assert!(third.is_closed_by_peer());
    // The established ones never suffer, and another client is another.
    assert_eq!(kept[0].get("/", &[]).unwrap().status, 200);
    let mut other = Client::connect_from("127.0.0.9".parse().unwrap(), to);
    assert_eq!(other.get("/", &[]).unwrap().status, 200);
    kept.pop();
    eventually(SOON, || {
        Client::connect(to)
            .get("/", &[])
            .is_ok_and(|r| r.status == 200)
    });
    assert!(
        lb.metrics().sum(
            "equipoise_connections_rejected_total",
            &[("listener", "web")]
        ) >= 1.0
    );
}

#[test]
fn max_connections_of_a_listener_spares_the_established() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener("max_connections: 2").start();
    let to = lb.web();
    let mut kept: Vec<_> = (0..2).map(|_| Client::connect(to)).collect();
    for client in &mut kept {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    // The third waits in the backlog or is closed; it isn't served while the two are there.
    let mut third = Client::connect(to);
    third.set_timeout(Duration::from_millis(500));
    assert!(third.get("/", &[]).is_err());
    for client in &mut kept {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    drop(kept);
    drop(third);
    eventually(SOON, || {
        Client::try_connect(to)
            .and_then(|mut c| c.get("/", &[]))
            .is_ok_and(|r| r.status == 200)
    });
}

#[test]
fn a_full_server_makes_requests_wait_in_the_queue() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::new()
        .server(&origin, "max_connections: 1")
        .pool("queue: {size: 3, timeout: 20s}")
        .start();
    let to = lb.web();
    let send = || {
        let mut client = Client::connect(to);
        client.send_request("GET", "/", &[], b"").unwrap();
        client
    };
    let mut clients = vec![send()];
    origin.wait_held(1);
    clients.extend((0..3).map(|_| send()));
    eventually(SOON, || {
        lb.metrics()
            .sum("equipoise_queue_length", &[("pool", "app")])
            == 3.0
    });
    assert_eq!(get(to, "/", &[]).status, 503, "the queue is full");
    origin.release_all();
    for mut client in clients {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
    assert_eq!(origin.most_in_flight(), 1);
    lb.wait_idle();
}

#[test]
fn waiting_in_the_queue_has_an_end() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::new()
        .server(&origin, "max_connections: 1")
        .pool("queue: {size: 3, timeout: 500ms}")
        .start();
    let mut first = lb.client();
    first.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    let start = Instant::now();
    assert_eq!(lb.get("/", &[]).status, 503);
    assert!(
        start.elapsed() >= Duration::from_millis(400),
        "waited {:?}",
        start.elapsed()
    );
    origin.release_all();
    assert_eq!(first.read_response(false).unwrap().status, 200);
    // One that left the queue takes nobody's place.
    let mut gone = lb.client();
    gone.send_request("GET", "/", &[], b"").unwrap();
    drop(gone);
    lb.wait_idle_servers();
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let origin = Origin::with("a", |_| Answer::body(Body::Full(vec![b'x'; 64 << 20])));
    let lb = Setup::of([&origin])
        .listener("http: {send_timeout: 1s}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/big", &[], b"").unwrap();
    // Buffers of the kernel fill up, and then nothing moves; the server must not be kept busy by it.
    let line = lb.wait_logged(|line| line["path"] == "/big");
    assert_eq!(line["termination"], "client_timeout", "{line}");
    lb.wait_idle_servers();
    drop(client);
}
