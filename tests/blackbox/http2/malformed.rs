//! Malformed requests: answered 400 or reset, never forwarded, and no other request suffers (RFC 9113 section 8.1.1).

use super::{RawOrigin, one};
use crate::common::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, PROTOCOL_ERROR,
    RST_STREAM, block_of_bytes, request,
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

type Case = (&'static str, Vec<(&'static str, &'static str)>);

fn cases() -> Vec<Case> {
    vec![
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
        (":protocol without CONNECT", with(":protocol", "websocket")),
        ("a pseudo-field of another case", with(":Path", "/")),
        (
            "a byte that is no UTF-8 in :method",
            set(":method", "G\u{e4}T"),
        ),
        (
            "a byte that is no UTF-8 in :scheme",
            set(":scheme", "h\u{e4}"),
        ),
        (
            "a byte that is no UTF-8 in :authority",
            set(":authority", "\u{e4}.test"),
        ),
        ("a byte that is no ASCII in a name", with("x\u{e4}", "x")),
        ("an escape in a value", with("x", "a\x1b[31mb")),
        ("a line break in a name", with("x\r\ny", "x")),
        ("an empty name and value", with("", "")),
    ]
}

/// A header block in which nothing or everything is indexed (RFC 7541 sections 6.2.1, 6.2.2).
fn encoded(fields: &[(&str, &str)], indexed: bool) -> Vec<u8> {
    let fields = fields.iter().map(|(n, v)| (latin1(n), latin1(v)));
    fields
        .flat_map(|(name, value)| {
            let mut field = block_of_bytes(&[(&name, &value)]);
            field[0] = if indexed { 0x40 } else { 0 };
            field
        })
        .collect()
}

#[test]
fn malformed_requests_are_refused_and_go_nowhere() {
    let (origin, lb) = one();
    for (what, fields) in cases() {
        let mut client = Frames::connect(lb.web());
        let block = encoded(&fields, false);
        client
            .send(HEADERS, END_HEADERS | END_STREAM, 1, &block)
            .unwrap();
        let outcome = client.outcome(1);
        assert_eq!(outcome, Outcome::Status(400), "{what}");
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
    assert_eq!(origin.served(), cases().len(), "one good request a case");
    lb.wait_idle_servers();
    // A line in the log each.
    eventually(SOON, || {
        let log = lb.access_log();
        let refused = log.iter().filter(|line| line["status"] == 400).count();
        if refused == cases().len() {
            Ok(())
        } else {
            Err(format!("{refused} lines"))
        }
    });
}

#[test]
fn the_other_requests_of_the_connection_do_not_suffer() {
    for indexed in [false, true] {
        let origin = Origin::with("a", |request| match request.target.as_str() {
            "/held" => Answer::held(),
            _ => Answer::ok(),
        });
        let lb = Setup::of([&origin]).start();
        let mut client = Frames::connect(lb.web());
        for stream in [1, 3, 5] {
            client
                .headers(stream, &request("GET", "/held"), true)
                .unwrap();
        }
        client
            .headers(7, &request("POST", "/upload"), false)
            .unwrap();
        origin.wait_held(3);
        let mut stream = 9;
        for (what, fields) in cases() {
            let block = encoded(&fields, indexed);
            client
                .send(HEADERS, END_HEADERS | END_STREAM, stream, &block)
                .unwrap();
            assert_eq!(client.outcome(stream), Outcome::Status(400), "{what}");
            client.get(stream + 2).unwrap();
            assert_eq!(client.outcome(stream + 2), Outcome::Status(200), "{what}");
            stream += 4;
        }
        client.send(DATA, END_STREAM, 7, b"all of it").unwrap();
        assert_eq!(client.outcome(7), Outcome::Status(200));
        assert_eq!(origin.last_request().body, b"all of it");
        origin.release_all();
        let mut ended = 0;
        while ended < 3 {
            let frame = client.next().unwrap();
            assert_ne!(frame.kind, GOAWAY);
            assert_ne!(frame.kind, RST_STREAM);
            ended += usize::from(frame.kind == HEADERS);
        }
        lb.wait_idle_servers();
    }
}

#[test]
fn what_a_malformed_request_put_into_the_table_is_there_for_later_ones() {
    let (origin, lb) = one();
    let mut client = Frames::connect(lb.web());
    let mut send = |stream, block: &[u8]| {
        client
            .send(HEADERS, END_HEADERS | END_STREAM, stream, block)
            .unwrap();
        client.outcome(stream)
    };
    // :method GET, :scheme http, :path /.
    let target = [0x82, 0x86, 0x84];
    let fields = |fields: &[(&str, &str)]| [&target[..], &encoded(fields, true)].concat();
    let good = fields(&[(":authority", "a.test"), ("x-first", "1"), ("X-Bad", "2")]);
    assert_eq!(send(1, &good), Outcome::Status(400));
    // X-Bad is 62, x-first 63 and :authority 64 now.
    assert_eq!(
        send(3, &[&target[..], &[0xc0, 0xbf]].concat()),
        Outcome::Status(200)
    );
    assert_eq!(origin.last_request().header("x-first"), Some("1"));
    assert_eq!(
        send(5, &[&target[..], &[0xc0, 0xbe]].concat()),
        Outcome::Status(400)
    );
    let more = [
        &target[..],
        &[0xc0],
        &encoded(&[("x-second", "2")], true)[..],
    ]
    .concat();
    assert_eq!(send(7, &more), Outcome::Status(200));
    // x-second with another value: its name is 62, and everything else is one further on.
    let last = [&target[..], &[0xc1, 0x7e, 1, b'3', 0xc1]].concat();
    assert_eq!(send(9, &last), Outcome::Status(200));
    assert_eq!(origin.last_request().header("x-second"), Some("3"));
    assert_eq!(origin.last_request().header("x-first"), Some("1"));
}

#[test]
fn malformed_trailers_end_their_request_alone() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = Frames::connect(lb.web());
    let mut stream = 1;
    for trailer in [
        ("grpc-message", "a\nb"),
        (":path", "/"),
        ("X-Upper", "x"),
        ("connection", "close"),
    ] {
        client
            .headers(stream, &request("POST", "/"), false)
            .unwrap();
        let mut server = raw.accept();
        server.until("\r\n\r\n");
        client.send(DATA, 0, stream, b"x").unwrap();
        client.headers(stream, &[trailer], true).unwrap();
        let outcome = client.outcome(stream);
        assert_eq!(outcome, Outcome::Reset(PROTOCOL_ERROR), "{trailer:?}");
        assert!(server.is_closed(), "a server is left with half a request");
        stream += 2;
    }
    client.get(stream).unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.outcome(stream), Outcome::Status(200));
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
    // RFC 9110 section 9.3.8.
    client.headers(5, &set(":method", "TRACE"), false).unwrap();
    let h1 = lb.client().request("TRACE", "/", &[], b"body").unwrap();
    assert_eq!(h1.status, 400);
    assert_eq!(client.outcome(5), Outcome::Status(400));
    assert_eq!(origin.served(), 0);
    client
        .headers(
            7,
            &changed(|f| {
                f[0].1 = "OPTIONS";
                f[3].1 = "*";
            }),
            true,
        )
        .unwrap();
    assert_eq!(client.outcome(7), Outcome::Status(200));
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
    // HEAD: a window isn't used up.
    let mut bad = with("host", "b.test");
    bad[0].1 = "HEAD";
    let mut answered = 0;
    let end = (0..20_000).map(|n| 2 * n + 1).find_map(|stream| {
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
    assert!(answered >= 1000, "{answered}");
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
