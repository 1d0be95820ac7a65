//! What went wrong once: each test failed before the fault was mended.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::*;

/// A server of one request, played by hand: `play` gets the connection once the request's header is
/// there. Returns the port, which has to be kept.
fn by_hand(play: impl FnOnce(TcpStream) + Send + 'static) -> ReservedPort {
    let port = ReservedPort::new();
    let listener = port.listen();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut header, mut byte) = (Vec::new(), [0]);
        while !header.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            header.push(byte[0]);
        }
        play(stream);
    });
    port
}

fn behind(port: &ReservedPort) -> Setup {
    Setup::new().server_at("a", &port.address().to_string(), "")
}

const UPGRADE: &[(&str, &str)] = &[
    ("Host", "a"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
];
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A server that switches protocols and then says everything back.
fn echo() -> ReservedPort {
    by_hand(|mut stream| {
        stream.write_all(SWITCHING).unwrap();
        let mut from = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut from, &mut stream);
    })
}

#[track_caller]
fn echoes(client: &mut Client, what: &[u8]) {
    client.send(what).unwrap();
    assert_eq!(client.take(what.len()).unwrap(), what);
}

#[test]
fn a_body_that_is_sent_again_counts_once_against_max_body_size() {
    let (a, b) = (Origin::with("a", |_| Answer::Close), Origin::start("b"));
    let lb = Setup::of([&a, &b])
        .listener("http: {max_body_size: 15000}")
        .start();
    let mut client = lb.client();
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n")
        .unwrap();
    client.send([b'x'; 10_000]).unwrap();
    client.send("\r\n0\r\n\r\n").unwrap();
    let response = client.read_response(false).unwrap();
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(a.requests().len(), 1, "it was tried here first");
    assert_eq!(b.last_request().body.len(), 10_000);
}

#[test]
fn a_protocol_switch_that_nobody_asked_for_is_a_bad_gateway() {
    let origin = Origin::with("a", |_| {
        Answer::Raw([SWITCHING, b"something else"].concat())
    });
    let lb = Setup::of([&origin]).start();
    assert_eq!(lb.get("/", &[]).status, 502);
}

#[test]
fn http_1_0_gets_no_interim_responses() {
    let origin = Origin::with("a", |_| {
        Answer::Raw(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                .to_vec(),
        )
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 200);
    assert_eq!(origin.last_request().header("Expect"), None);
}

#[test]
fn http_1_0_is_not_promised_a_connection_that_ends_the_body() {
    let origin = Origin::with("a", |_| Answer::body(Body::Chunks(vec![b"ab".to_vec()])));
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .unwrap();
    let head = client.read_head().unwrap();
    assert!(head.has_token("connection", "close"), "{head}");
    assert_eq!(client.read_to_end().unwrap(), b"ab");
}

#[test]
fn a_response_that_broke_off_does_not_look_complete_to_http_1_0() {
    let origin = Origin::with("a", |_| {
        Answer::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec())
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    let end = client.read_to_end();
    assert_eq!(
        end.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::ConnectionReset)
    );
    lb.wait_idle();
}

#[test]
fn a_slow_response_of_known_length_reaches_the_client_as_it_comes() {
    let (go_on, wait) = mpsc::channel::<()>();
    let port = by_hand(move |mut stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            .unwrap();
        wait.recv().unwrap();
        stream.write_all(b"world").unwrap();
    });
    let lb = behind(&port).start();
    let mut client = lb.client();
    client.set_timeout(SOON);
    client.send_request("GET", "/", &[], b"").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.take(5).unwrap(), b"hello");
    go_on.send(()).unwrap();
    assert_eq!(client.take(5).unwrap(), b"world");
}

#[test]
fn an_upgrade_stays_one_where_no_connection_is_kept() {
    let origin = Origin::with("a", |_| Answer::Raw(SWITCHING.to_vec()));
    let lb = Setup::of([&origin])
        .pool("keepalive: {connections: 0}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/", UPGRADE, b"").unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    let sent = origin.last_request();
    let options = sent.header("Connection").unwrap_or_default();
    assert!(options.eq_ignore_ascii_case("upgrade"), "{options}");
}

#[test]
fn a_tunnel_is_no_slow_body() {
    let port = echo();
    let lb = behind(&port)
        .listener("http: {body_timeout: 200ms}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/", UPGRADE, b"").unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    echoes(&mut client, b"ping");
    holds_for(Duration::from_millis(600), || {
        lb.server("app", "a")["active"] == 1
    });
    echoes(&mut client, b"pong");
}

#[test]
fn the_verdict_of_checks_goes_when_a_reload_takes_them_away() {
    let origin = Origin::start("a");
    origin.set_health(500);
    let setup = Setup::of([&origin]);
    let lb = setup
        .clone()
        .pool("health_check: {type: http, path: /health, fall: 1}")
        .start();
    lb.wait_state("app", "a", "down");
    lb.rewrite(&setup.yaml());
    lb.signal(Signal::SIGHUP);
    lb.wait_state("app", "a", "up");
    assert_eq!(lb.get("/", &[]).status, 200);
}

#[test]
fn signals_during_the_first_checks_are_kept_and_followed() {
    // A server that accepts and never answers keeps the first check waiting.
    let silent = ReservedPort::new();
    let _listener = silent.listen();
    let yaml = behind(&silent)
        .pool("health_check: {type: http, path: /health}")
        .yaml();
    let mut lb = Equipoise::start_early(&yaml);
    lb.signal(Signal::SIGUSR1);
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || {
        assert!(lb.is_running(), "ended by a signal");
        lb.stderr().contains("configuration reloaded")
    });
    lb.signal(Signal::SIGTERM);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
}

#[test]
fn who_goes_away_leaves_the_queue() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::new()
        .server(&origin, "max_connections: 1")
        .pool("queue: {size: 1, timeout: 60s}")
        .start();
    let queued = || lb.metrics().value("equipoise_queue_length", &[]);
    let mut served = lb.client();
    served.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    let mut impatient = lb.client();
    impatient.send_request("GET", "/gone", &[], b"").unwrap();
    eventually(SOON, || queued() == 1.0);
    drop(impatient);
    eventually(SOON, || queued() == 0.0);
    assert_eq!(
        lb.wait_logged(|line| line["path"] == "/gone")["termination"],
        "client_aborted"
    );
    origin.release_all();
    assert_eq!(served.read_response(false).unwrap().status, 200);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_server_that_switches_protocols_at_once_keeps_its_tunnel() {
    // It answers before it reads, which makes the race certain to be run.
    let port = ReservedPort::new();
    let listener = port.listen();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(SWITCHING).unwrap();
            std::thread::spawn(move || {
                let mut from = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut from, &mut stream);
            });
        }
    });
    let lb = behind(&port).start();
    for _ in 0..100 {
        let mut client = lb.client();
        client.send_request("GET", "/", UPGRADE, b"").unwrap();
        assert_eq!(client.read_head().unwrap().status, 101);
        client.send(b"the end").unwrap();
        let mut said = Vec::new();
        // It says the request's header back as well.
        while !said.ends_with(b"the end") {
            said.extend(client.read_some().unwrap());
        }
    }
    lb.wait_idle();
}

#[test]
fn a_refused_protocol_switch_is_an_ordinary_response() {
    let (dead, origin) = (Origin::stopped("dead"), Origin::start("a"));
    let lb = Setup::of([&dead, &origin]).start();
    let mut client = lb.client();
    for _ in 0..4 {
        client.send_request("GET", "/", UPGRADE, b"").unwrap();
        let response = client.read_response(false).unwrap();
        assert_eq!(response.status, 200, "{response}");
        assert_eq!(response.origin(), "a");
    }
    drop(client);
    lb.wait_idle();
}

#[test]
fn an_answer_before_the_requests_end_frees_the_servers_place() {
    // A server that says no without reading the body, to a client that waits and never sends it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let answer = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno";
            let _ = stream.write_all(answer);
            let _ = stream.read_to_end(&mut head);
        }
    });
    let lb = Setup::new()
        .server_at("a", &address.to_string(), "")
        .pool("health_check: null")
        .listener("http: {body_timeout: 600s}")
        .start();
    let mut client = lb.client();
    client
        .send("POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 417);
    lb.wait_idle_servers();
    let line = lb.wait_logged(|line| line["path"] == "/early");
    assert_eq!(line["status"], 417, "{line}");
    assert_eq!(line["termination"], "complete", "{line}");
}

#[test]
fn a_client_that_stalls_its_upload_is_not_the_servers_fault() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .pool("timeouts: {receive: 1s}")
        .listener("http: {body_timeout: 600s}")
        .start();
    let mut client = lb.client();
    client
        .send("POST /stalled HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 408);
    let line = lb.wait_logged(|line| line["path"] == "/stalled");
    assert_eq!(line["termination"], "client_timeout", "{line}");
}
