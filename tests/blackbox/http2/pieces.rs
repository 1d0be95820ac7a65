//! Uploads in pieces that are hardly worth their frames.

use std::io::Read as _;

use super::{RawOrigin, memory};
use crate::common::h2::{DATA, END_STREAM, Frames, Outcome, PING, request};
use crate::common::*;

/// More pieces than the `h2` crate keeps on a connection.
const PIECES: usize = 50_000;
const PIECE: usize = 20;
const LENGTH: usize = PIECES * PIECE;

fn body() -> Vec<u8> {
    (0..PIECES)
        .flat_map(|n| format!("{n:0>PIECE$}").into_bytes())
        .collect()
}

/// Begins an upload and sends all but its end.
fn upload(client: &mut Frames, stream: u32, body: &[u8]) {
    let mut fields = request("POST", "/upload");
    let length = LENGTH.to_string();
    fields.push(("content-length", &length));
    client.headers(stream, &fields, false).unwrap();
    for piece in body.chunks(PIECE) {
        client.send(DATA, 0, stream, piece).unwrap();
    }
}

/// What the system has in its buffers is a part of it only.
#[test]
fn tiny_pieces_that_a_server_does_not_take_cost_no_other_request() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = Frames::connect(lb.web());
    let (body, streams) = (body(), [1, 3, 5, 7]);
    let mut servers = streams.map(|stream| {
        upload(&mut client, stream, &body);
        let mut server = raw.accept();
        server.until("\r\n\r\n");
        server
    });
    client.get(9).unwrap();
    let mut other = raw.accept();
    other.until("\r\n\r\n");
    other.send(OK);
    assert_eq!(client.outcome(9), Outcome::Status(200));
    for (server, stream) in servers.iter_mut().zip(streams) {
        client.send(DATA, END_STREAM, stream, b"").unwrap();
        let mut came = std::mem::take(&mut server.seen);
        let begun = came.len();
        came.resize(LENGTH, 0);
        server.stream.read_exact(&mut came[begun..]).unwrap();
        assert!(came == body, "it came otherwise than it was sent");
        server.send(OK);
        assert_eq!(client.outcome(stream), Outcome::Status(200));
    }
}

#[test]
fn tiny_pieces_wait_in_the_queue_as_what_they_bring() {
    let origin = Origin::start("a");
    let lb = Setup::new()
        .server(&origin, "max_connections: 1")
        .pool("queue: {size: 5, timeout: 60s}")
        .start();
    let mut client = Frames::connect(lb.web());
    let body = body();
    // What is needed once for any upload is none of what waiting costs.
    upload(&mut client, 1, &body);
    client.send(DATA, END_STREAM, 1, b"").unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    origin.script(|_| Answer::held());
    client.get(3).unwrap();
    origin.wait_held(1);
    let before = memory(&lb);
    for stream in [5, 7] {
        upload(&mut client, stream, &body);
    }
    client.send(PING, 0, 0, b"are they").unwrap();
    client.pong();
    let grown = memory(&lb).saturating_sub(before);
    assert!(grown < 10 << 20, "{grown} bytes for twice {LENGTH}");
    for stream in [5, 7] {
        client.send(DATA, END_STREAM, stream, b"").unwrap();
    }
    origin.script(|_| Answer::ok());
    origin.release_all();
    for stream in [3, 5, 7] {
        assert_eq!(client.outcome(stream), Outcome::Status(200));
    }
    let requests = origin.requests();
    let uploads: Vec<_> = requests.iter().filter(|it| it.method == "POST").collect();
    assert_eq!(uploads.len(), 3);
    assert!(uploads.iter().all(|it| it.body == body));
}

#[test]
fn tiny_pieces_that_nobody_wants_cost_no_other_request() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {max_body_size: 1000}")
        .start();
    let mut client = Frames::connect(lb.web());
    upload(&mut client, 1, &body());
    assert_eq!(client.outcome(1), Outcome::Status(413));
    client.get(3).unwrap();
    assert_eq!(client.outcome(3), Outcome::Status(200));
}
