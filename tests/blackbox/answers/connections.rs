//! A server's connection serves one request at a time: what comes unasked goes to nobody.

use std::time::Duration;

use super::{Script, Scripted, Then, before};
use crate::http2::RawOrigin;

const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nSet-Cookie: evil=1\r\n\r\npoison";

#[test]
fn a_response_that_nobody_asked_for_ends_the_idle_connection() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = lb.client();
    for unasked in [POISON, "HTTP/1.1 408 Request Timeout\r\n\r\n", "x", "\r\n"] {
        client.send_request("GET", "/first", &[], b"").unwrap();
        let mut server = raw.accept();
        server.until("\r\n\r\n");
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
        assert_eq!(client.read_response(false).unwrap().text(), "first");
        server.send(unasked);
        assert!(server.is_closed(), "{unasked:?}");
    }
    client.send_request("GET", "/next", &[], b"").unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
    assert_eq!(client.read_response(false).unwrap().text(), "next");
}

/// The rest of a message comes when the client has what it takes for the whole of it.
#[test]
fn a_late_rest_goes_to_nobody() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    for (first, rest) in [
        ("200 OK\r\nContent-Length: 2\r\n\r\nok", POISON),
        ("204 No Content\r\nContent-Length: 73\r\n\r\n", POISON),
        ("304 Not Modified\r\nContent-Length: 73\r\n\r\n", POISON),
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            POISON,
        ),
        (
            "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n0\r\n\r\n",
            POISON,
        ),
    ] {
        let mut client = lb.client();
        client.send_request("GET", "/first", &[], b"").unwrap();
        let mut server = raw.accept();
        server.until("\r\n\r\n");
        server.send(format!("HTTP/1.1 {first}"));
        client.read_response(false).unwrap();
        lb.wait_idle_servers();
        server.send(rest);
        assert!(server.is_closed(), "{first:?}");
    }
}

#[test]
fn a_client_that_goes_away_takes_its_servers_connection_along() {
    let raw = RawOrigin::new();
    let lb = raw.behind("http: {abort_on_half_close: true}");
    let mut client = lb.client();
    client.send_request("GET", "/first", &[], b"").unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
    client.read_head().unwrap();
    drop(client);
    lb.wait_idle_servers();
    // The other half of the answer is not the next client's.
    let mut next = lb.client();
    next.send_request("GET", "/next", &[], b"").unwrap();
    let mut second = raw.accept();
    second.until("\r\n\r\n");
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
    assert_eq!(next.read_response(false).unwrap().text(), "next");
    assert!(server.is_closed());
}

#[test]
fn an_answer_before_the_end_of_the_request_ends_the_connection() {
    let raw = RawOrigin::new();
    let lb = raw.behind("http: {body_timeout: 1s}");
    let mut client = lb.client();
    client
        .send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nbegin")
        .unwrap();
    let mut server = raw.accept();
    server.until("begin");
    server.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge");
    assert_eq!(client.read_response(false).unwrap().status, 413);
    drop(client);
    assert!(server.is_closed());
}

#[test]
fn answers_that_come_byte_by_byte_are_whole() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = lb.client();
    let bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Seen: a\r\n\r\n\
                 3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n";
    client.send_request("GET", "/", &[], b"").unwrap();
    let mut server = raw.accept();
    for round in 0..2 {
        server.until("\r\n\r\n");
        for byte in bytes.as_bytes().chunks(1) {
            server.send(byte);
            std::thread::yield_now();
        }
        let response = client.read_response(false).unwrap();
        assert_eq!(
            (response.status, response.text()),
            (200, "abcde".to_owned())
        );
        assert_eq!(response.header("x-seen"), Some("a"));
        assert!(response.header("x-trailer").is_none());
        if round == 0 {
            client.send_request("GET", "/", &[], b"").unwrap();
        }
    }
}

/// Many clients at once, with a server that answers too much every other time: nobody gets another's.
#[test]
fn nobody_gets_anothers_answer() {
    let origin = Scripted::new(|request| {
        let target = request.split(' ').nth(1).unwrap();
        let mut script = Script::fine(target);
        match target.len() % 4 {
            0 => script.bytes.extend_from_slice(POISON.as_bytes()),
            1 => script.bytes.extend_from_slice(b"\r\n"),
            2 => script.then = Then::Close,
            _ => {}
        }
        script
    });
    let lb = before(&origin);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let lb = &lb;
            scope.spawn(move || {
                let mut client = lb.client();
                client.set_timeout(Duration::from_secs(20));
                for n in 0..90 {
                    let target = format!("/{thread}/{}", "x".repeat(n % 7));
                    let response = client.get(&target, &[]).unwrap();
                    assert_eq!(response.status, 200, "{response}");
                    assert_eq!(response.text(), target);
                }
            });
        }
    });
    lb.wait_idle();
}
