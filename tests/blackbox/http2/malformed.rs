//! Malformed requests: answered 400 or reset, never forwarded, and no other request suffers.

use super::{RawOrigin, one};
use crate::common::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PROTOCOL_ERROR,
    block_of_bytes, request,
};
use crate::common::*;

/// A good request, changed.
fn changed(
    change: impl FnOnce(&mut Vec<(&'static str, &'static str)>),
) -> Vec<(&'static str, &'static str)> {
    let mut fields = request("GET", "/");
    change(&mut fields);
    fields
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    changed(|fields| fields.retain(|(n, _)| *n != name))
}

fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    changed(|fields| fields.push((name, value)))
}

fn set(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    changed(|fields| {
        for field in fields.iter_mut().filter(|(n, _)| *n == name) {
            field.1 = value;
        }
    })
}

#[test]
fn malformed_requests_are_400_or_a_protocol_error_and_go_nowhere() {
    let (origin, lb) = one();
    let cases = [
        ("no :path", without(":path")),
        ("no :scheme", without(":scheme")),
        ("no :method", without(":method")),
        ("no :authority and no Host", without(":authority")),
        ("an empty :path", set(":path", "")),
        ("an empty :authority", set(":authority", "")),
        ("a relative :path", set(":path", "a")),
        ("an absolute :path", set(":path", "http://b.test/")),
        ("* for GET", set(":path", "*")),
        ("a quotation mark in a name", with("a\"b", "x")),
        ("a space in :path", set(":path", "/a b")),
        ("CR LF in :path", set(":path", "/a\r\nX: y")),
        ("NUL in :path", set(":path", "/a\0")),
        ("DEL in :path", set(":path", "/a\x7f")),
        ("a tab in :path", set(":path", "/a\tb")),
        ("a raw byte in :path", set(":path", "/\u{c3}\u{a4}")),
        ("a byte that is no UTF-8 in :path", set(":path", "/\u{e4}")),
        ("a space in :method", set(":method", "GET /x")),
        ("an empty :method", set(":method", "")),
        ("a space in :authority", set(":authority", "a test")),
        ("user information", set(":authority", "me@a.test")),
        ("a path in :authority", set(":authority", "a.test/b")),
        ("another scheme", set(":scheme", "ftp")),
        ("another Host", with("host", "b.test")),
        ("an empty Host", with("host", "")),
        (
            "two Hosts",
            changed(|f| f.extend([("host", "a.test"), ("host", "a.test")])),
        ),
        ("a second :path", with(":path", "/b")),
        ("a second :authority", with(":authority", "a.test")),
        ("an unknown pseudo-field", with(":unknown", "x")),
        (":status in a request", with(":status", "200")),
        (
            "a pseudo-field after a field",
            changed(|f| f.insert(0, ("x", "y"))),
        ),
        ("an upper-case name", with("X-Upper", "x")),
        ("a name with a space", with("x y", "x")),
        ("an empty name", with("", "x")),
        ("a name with a colon", with("x:y", "x")),
        ("connection", with("connection", "close")),
        ("keep-alive", with("keep-alive", "timeout=5")),
        ("proxy-connection", with("proxy-connection", "close")),
        ("transfer-encoding", with("transfer-encoding", "chunked")),
        ("upgrade", with("upgrade", "websocket")),
        ("te other than trailers", with("te", "gzip")),
        ("CR LF in a value", with("x", "a\r\nY: b")),
        ("LF in a value", with("x", "a\nb")),
        ("NUL in a value", with("x", "a\0b")),
        ("a value that begins with a space", with("x", " a")),
        ("a value that ends in a tab", with("x", "a\t")),
        ("a length of no number", with("content-length", "five")),
        ("a signed length", with("content-length", "+0")),
        ("a negative length", with("content-length", "-1")),
        (
            "an endless length",
            with("content-length", "99999999999999999999999"),
        ),
        ("a length and no body", with("content-length", "5")),
        (
            "two equal lengths",
            changed(|f| f.extend([("content-length", "0"), ("content-length", "0")])),
        ),
        (
            "two lengths",
            changed(|f| f.extend([("content-length", "0"), ("content-length", "5")])),
        ),
    ];
    let count = cases.len();
    for (what, fields) in cases {
        // A connection each: a client may make only so many mistakes.
        let mut client = Frames::connect(lb.web());
        let fields: Vec<_> = fields
            .iter()
            .map(|(n, v)| (n.as_bytes(), latin1(v)))
            .collect();
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, &v[..])).collect();
        client
            .send(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &block_of_bytes(&fields),
            )
            .unwrap();
        let outcome = client.outcome(1);
        assert!(
            matches!(
                outcome,
                Outcome::Status(400)
                    | Outcome::Reset(PROTOCOL_ERROR)
                    | Outcome::GoAway(PROTOCOL_ERROR)
            ),
            "{what}: {outcome:?}"
        );
        if matches!(outcome, Outcome::GoAway(_)) {
            // A pseudo-field that can't be parsed at all breaks the header compression, and so the connection.
            client = Frames::connect(lb.web());
        }
        client.get(3).unwrap();
        assert_eq!(client.outcome(3), Outcome::Status(200), "after {what}");
    }
    assert!(
        origin
            .requests()
            .iter()
            .all(|r| r.target == "/" && r.headers_of("host") == ["a.test"]),
        "{:?}",
        origin.requests()
    );
    assert_eq!(origin.served(), count, "one good request a case");
    lb.wait_idle_servers();
}

/// A byte a character.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u8).collect()
}

#[test]
fn a_fragment_is_never_forwarded() {
    let (origin, lb) = one();
    let mut client = Frames::connect(lb.web());
    client.headers(1, &set(":path", "/a#b"), true).unwrap();
    match client.outcome(1) {
        Outcome::Status(200) => assert_eq!(origin.last_request().target, "/a"),
        Outcome::Status(400) | Outcome::Reset(PROTOCOL_ERROR) => assert_eq!(origin.served(), 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn connect_and_trace_are_405_as_in_http_1() {
    let (origin, lb) = one();
    let mut client = Frames::connect(lb.web());
    client
        .headers(
            1,
            &[(":method", "CONNECT"), (":authority", "a.test:80")],
            false,
        )
        .unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(405));
    assert_eq!(origin.served(), 0);
    // On a connection of its own: the second 405 of one would be an index that this client doesn't know.
    let mut client = Frames::connect(lb.web());
    client.headers(3, &set(":method", "TRACE"), true).unwrap();
    let h1 = lb.client().request("TRACE", "/", &[], b"").unwrap();
    assert_eq!(h1.status, 405);
    assert_eq!(client.outcome(3), Outcome::Status(405));
    assert_eq!(origin.served(), 0);
    client
        .headers(
            5,
            &changed(|f| {
                f[0].1 = "OPTIONS";
                f[3].1 = "*";
            }),
            true,
        )
        .unwrap();
    assert_eq!(client.outcome(5), Outcome::Status(200));
    assert_eq!(origin.last_request().target, "*");
}

#[test]
fn a_body_that_is_not_as_long_as_declared_is_never_complete() {
    for (declared, body) in [("5", &b"hell"[..]), ("5", b"hello!")] {
        let raw = RawOrigin::new();
        let lb = raw.behind("");
        let mut client = Frames::connect(lb.web());
        let mut fields = request("POST", "/");
        fields.push(("content-length", declared));
        client.headers(1, &fields, false).unwrap();
        let mut server = raw.accept();
        server.until("\r\n\r\n");
        client.send(DATA, END_STREAM, 1, body).unwrap();
        let outcome = client.outcome(1);
        assert!(
            matches!(
                outcome,
                Outcome::Status(400) | Outcome::Reset(PROTOCOL_ERROR)
            ),
            "{outcome:?}"
        );
        assert!(
            server.is_closed(),
            "the server is not left with half a request"
        );
        lb.wait_idle_servers();
        let line = lb.wait_logged(|l| l["method"] == "POST");
        assert_eq!(line["termination"], "bad_request", "{line}");
    }
}

#[test]
fn too_many_malformed_requests_end_the_connection() {
    let (origin, lb) = one();
    let mut client = Frames::connect(lb.web());
    let bad = with("host", "b.test");
    let mut answered = 0;
    let end = (0..100).map(|n| 2 * n + 1).find_map(|stream| {
        client.headers(stream, &bad, true).ok()?;
        match client.outcome(stream) {
            Outcome::Status(400) => {
                answered += 1;
                None
            }
            other => Some(other),
        }
    });
    assert_eq!(end, Some(Outcome::GoAway(h2::ENHANCE_YOUR_CALM)));
    assert!((10..=40).contains(&answered), "{answered}");
    assert_eq!(origin.served(), 0);
    let fields: Vec<_> = bad
        .iter()
        .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
        .collect();
    // The same in pieces.
    let whole = block_of_bytes(&fields);
    let mut client = Frames::connect(lb.web());
    client.send(HEADERS, END_STREAM, 1, &whole[..10]).unwrap();
    client
        .send(CONTINUATION, END_HEADERS, 1, &whole[10..])
        .unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(400));
}
