//! Servers of HTTP/2 that change their mind about how many requests they take.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::h2::Reason;

use crate::common::h2_origin::{H2Origin, Reply, Taken};
use crate::common::peers::{Nginx, Ready, run};
use crate::common::*;
use crate::http2::RawOrigin;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const END_STREAM_AND_HEADERS: u8 = 5;

struct Server {
    stream: TcpStream,
    /// SETTINGS of ours that were acknowledged.
    acknowledged: usize,
}

impl Server {
    fn accept(raw: &RawOrigin) -> Self {
        let mut stream = raw.accept().stream;
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        Self {
            stream,
            acknowledged: 0,
        }
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).unwrap();
    }

    fn allow(&mut self, streams: u32) {
        let mut payload = vec![0, 3];
        payload.extend(streams.to_be_bytes());
        self.send(SETTINGS, 0, 0, &payload);
    }

    /// Reads up to a frame of that kind with these flags set. Returns its stream.
    fn until(&mut self, kind: u8, flags: u8) -> u32 {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            self.stream
                .read_exact(&mut vec![0; usize::try_from(length).unwrap()])
                .unwrap();
            self.acknowledged += usize::from(head[3] == SETTINGS && head[4] & ACK == ACK);
            if head[3] == kind && head[4] & flags == flags {
                return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            }
        }
    }

    /// `:status: 200` by the static table (RFC 7541 appendix A).
    fn answer(&mut self, stream: u32) {
        self.send(HEADERS, END_STREAM_AND_HEADERS, stream, &[0x88]);
    }
}

fn before(raw: &RawOrigin) -> Equipoise {
    Setup::new()
        .server_at("raw", &raw.address().to_string(), "")
        .pool("http2: true\nhealth_check: null")
        .start()
}

#[test]
fn a_connection_that_takes_no_more_requests_is_no_black_hole() {
    for limit in [0, 1] {
        let raw = RawOrigin::new();
        let lb = before(&raw);
        let mut client = lb.client();
        client.send_request("GET", "/first", &[], b"").unwrap();
        let mut first = Server::accept(&raw);
        first.allow(100);
        let stream = first.until(HEADERS, 0);
        first.answer(stream);
        assert_eq!(client.read_response(false).unwrap().status, 200);
        first.allow(limit);
        while first.acknowledged < 2 {
            first.until(SETTINGS, ACK);
        }
        let mut others: Vec<_> = (0..2).map(|_| lb.client()).collect();
        if limit == 1 {
            client.send_request("POST", "/second", &[], b"x").unwrap();
            first.until(HEADERS, 0);
        }
        let mut second = None;
        for other in &mut others {
            other.send_request("POST", "/other", &[], b"x").unwrap();
            let second = second.get_or_insert_with(|| {
                let mut second = Server::accept(&raw);
                second.allow(100);
                second
            });
            let stream = second.until(HEADERS, 0);
            second.answer(stream);
            assert_eq!(other.read_response(false).unwrap().status, 200);
        }
    }
}

/// What came behind the last stream that a GOAWAY names wasn't looked at; the last stream itself may have been.
#[test]
fn a_request_that_a_server_did_not_look_at_is_sent_again_and_no_other() {
    let raw = RawOrigin::new();
    let lb = before(&raw);
    let mut seen = lb.client();
    seen.send_request("POST", "/seen", &[], b"x").unwrap();
    let mut first = Server::accept(&raw);
    first.allow(100);
    let stream = first.until(HEADERS, 0);
    let mut unseen = lb.client();
    unseen.send_request("POST", "/unseen", &[], b"x").unwrap();
    first.until(HEADERS, 0);
    let mut payload = stream.to_be_bytes().to_vec();
    payload.extend(0_u32.to_be_bytes());
    first.send(GOAWAY, 0, 0, &payload);
    let mut second = Server::accept(&raw);
    second.allow(100);
    let again = second.until(HEADERS, 0);
    second.answer(again);
    assert_eq!(unseen.read_response(false).unwrap().status, 200);
    drop(first);
    assert_eq!(seen.read_response(false).unwrap().status, 502);
    let line = lb.wait_logged(|line| line["path"] == "/seen");
    assert_eq!(line["attempts"], 1, "{line}");
}

/// Each round begins with a connection whose server takes no request from the first on, which may cross with the request.
#[test]
fn a_request_that_is_kept_back_on_its_way_goes_to_another_connection() {
    let raw = RawOrigin::new();
    let lb = before(&raw);
    let (round, allowed) = (Arc::new(AtomicUsize::new(1)), AtomicUsize::new(0));
    let current = Arc::clone(&round);
    std::thread::spawn(move || {
        loop {
            let mut server = Server::accept(&raw);
            let round = current.load(Ordering::Acquire);
            let is_first = allowed.swap(round, Ordering::AcqRel) != round;
            server.allow(if is_first { 0 } else { 100 });
            std::thread::spawn(move || {
                let stream = server.until(HEADERS, 0);
                server.answer(stream);
                // None of them is there in the next round.
            });
        }
    });
    for now in 1..=8 {
        round.store(now, Ordering::Release);
        let response = lb.client().request("POST", "/", &[], b"").unwrap();
        assert_eq!(response.status, 200, "round {now}: {response}");
    }
}

#[test]
fn a_request_that_a_connection_refuses_goes_to_another_one() {
    let refuses = |it: &Taken| Reply {
        reset: (it.connection == 0).then_some(Reason::REFUSED_STREAM),
        ..Reply::text("ok")
    };
    let origin = H2Origin::start(refuses);
    let lb = Setup::new()
        .server_at("h2", &origin.address().to_string(), "")
        .pool("http2: true\nhealth_check: null")
        .start();
    let mut client = lb.client();
    for request in 1..=3 {
        let response = client.request("POST", "/", &[], b"body").unwrap();
        assert_eq!(response.status, 200, "{response}");
        assert_eq!(response.body, b"ok");
        // Only the first one had to find it out.
        assert_eq!(origin.taken().len(), 1 + request);
    }
    assert_eq!(origin.connections(), 2);
}

/// It has had its chance on a connection of its own.
#[test]
fn a_server_that_refuses_everything_gets_few_connections() {
    let origin = H2Origin::start(|_| Reply {
        reset: Some(Reason::REFUSED_STREAM),
        ..Reply::default()
    });
    let lb = Setup::new()
        .server_at("h2", &origin.address().to_string(), "")
        .pool("http2: true\nhealth_check: null")
        .start();
    for _ in 0..5 {
        assert_eq!(lb.get("/", &[]).status, 502);
    }
    assert!(origin.connections() <= 2, "{}", origin.connections());
}

/// A hundred at once, of which each connection takes fifty: the others are told so, again and again.
#[test]
fn a_server_that_ends_connections_after_a_few_requests_costs_none() {
    let nginx = Nginx::start_when(
        Ready::Accepts,
        "server { listen @PORT@ http2; keepalive_requests 50; location / { return 200 ok; } }",
    );
    let lb = Setup::new()
        .server_at("nginx", &nginx.address().to_string(), "")
        .pool("http2: true\nhealth_check: null\noutlier_detection: {consecutive_failures: 3}")
        .start();
    let dir = TempDir::new("body");
    let body = dir.write("body", "x");
    let (url, body) = (format!("http://{}/", lb.web()), body.to_str().unwrap());
    for method in [&["-d", body][..], &[]] {
        let load = ["-n2000", "-c5", "-m20", &url];
        let said = run("h2load", &[&load[..], method].concat());
        assert!(
            said.contains(" 2000 succeeded, 0 failed, 0 errored"),
            "{said}"
        );
    }
    assert_eq!(lb.server("app", "nginx")["errors"], 0);
    let spent = [("reason", "budget_exhausted")];
    assert_eq!(lb.metrics().sum("equipoise_retries_total", &spent), 0.0);
}

#[test]
fn a_response_may_take_longer_than_its_server_may_be_silent() {
    let raw = RawOrigin::new();
    let lb = Setup::new()
        .server_at("raw", &raw.address().to_string(), "")
        .pool("http2: true\nhealth_check: null\ntimeouts: {receive: 1s}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    let mut server = Server::accept(&raw);
    server.allow(100);
    let stream = server.until(HEADERS, 0);
    server.send(HEADERS, END_HEADERS, stream, &[0x88]);
    for _ in 0..8 {
        std::thread::park_timeout(Duration::from_millis(300));
        server.send(DATA, 0, stream, b"piece ");
    }
    server.send(DATA, END_STREAM, stream, b"last");
    let response = client.read_response(false).unwrap();
    assert_eq!(response.text(), "piece ".repeat(8) + "last");
}

/// As one does whose machine has lost its power, or that a firewall has forgotten: the system finds it out minutes later.
#[test]
fn a_connection_that_has_fallen_silent_costs_one_request() {
    let raw = RawOrigin::new();
    let lb = Setup::new()
        .server_at("raw", &raw.address().to_string(), "")
        .pool("http2: true\nhealth_check: null\ntimeouts: {receive: 500ms}\nretries: {attempts: 0}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    let mut first = Server::accept(&raw);
    first.allow(100);
    let stream = first.until(HEADERS, 0);
    first.answer(stream);
    assert_eq!(client.read_response(false).unwrap().status, 200);
    let silent = lb.client().request("GET", "/", &[], b"").unwrap();
    assert_eq!(silent.status, 504);
    client.send_request("GET", "/", &[], b"").unwrap();
    let mut second = Server::accept(&raw);
    second.allow(100);
    let stream = second.until(HEADERS, 0);
    second.answer(stream);
    assert_eq!(client.read_response(false).unwrap().status, 200);
}
