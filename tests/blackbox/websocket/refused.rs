//! Switches of protocol that don't come about: responses like any other.

use super::ASK;
use crate::common::*;

#[test]
fn a_refused_switch_leaves_the_connection_usable() {
    for status in [200, 400, 403, 404, 426, 503] {
        let origin = Origin::with("a", move |request| match request.header("upgrade") {
            Some(_) => Answer::status(status),
            None => Answer::ok(),
        });
        let lb = Setup::of([&origin]).start();
        let mut client = lb.client();
        for _ in 0..3 {
            client.send(ASK).unwrap();
            let response = client.read_response(false).unwrap();
            assert_eq!(response.status, status, "{response}");
            assert_eq!(response.text(), "a");
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
        }
        assert_eq!(lb.status()["listeners"][0]["name"], "web");
        drop(client);
        lb.wait_idle();
    }
}

#[test]
fn what_comes_after_a_refused_switch_is_the_next_request() {
    let origin = Origin::with("a", |request| match request.header("upgrade") {
        Some(_) => Answer::status(403),
        None => Answer::ok(),
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    let next = "GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.send([ASK, next].concat()).unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 403);
    assert_eq!(client.read_response(false).unwrap().status, 200);
    assert_eq!(origin.last_request().target, "/next");
}

#[test]
fn a_protocol_of_any_name_may_be_asked_for_and_offered() {
    let origin = Origin::with("a", |_| {
        Answer::status(426)
            .header("Upgrade", "tls/1.0, irc/6.9")
            .header("Connection", "Upgrade")
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    let headers = [("Connection", "upgrade"), ("Upgrade", "irc/6.9, x/1")];
    let response = client.request("GET", "/", &headers, b"").unwrap();
    assert_eq!(response.status, 426);
    assert_eq!(response.header("upgrade"), Some("tls/1.0, irc/6.9"));
    assert_eq!(
        origin.last_request().header("upgrade"),
        Some("irc/6.9, x/1")
    );
}

#[test]
fn http_1_0_switches_nothing() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 200);
}

#[test]
fn http_is_never_switched_to_http() {
    // Behind it requests would pass that nobody has looked at.
    let origin = Origin::with("a", |request| match request.header("upgrade") {
        Some(_) => Answer::Raw(super::SWITCHING.to_vec()),
        None => Answer::ok(),
    });
    let lb = Setup::of([&origin]).start();
    for protocol in ["h2c", "irc, h2c", "HTTP/2.0", "TLS/1.0"] {
        let mut client = lb.client();
        let headers = [
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", protocol),
            ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
        ];
        let response = client.request("GET", "/", &headers, b"").unwrap();
        assert_eq!(response.status, 200, "{protocol}: {response}");
        let seen = origin.last_request();
        assert_eq!(seen.header("upgrade"), None);
        assert_eq!(seen.header("http2-settings"), None);
    }
}
