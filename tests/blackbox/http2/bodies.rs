//! Uploads and downloads that don't go as planned.

use std::time::Duration;

use bytes::Bytes;

use super::{RawOrigin, memory, one};
use crate::common::h2::{
    DATA, END_STREAM, Frames, H2, HEADERS, NO_ERROR, Outcome, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    push, request,
};
use crate::common::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a server sees of a request whose body ends in an empty frame, up to the next request on its connection.
fn body_before_the_next_request(fields: &[(&str, &str)], pieces: &[&[u8]]) -> String {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = Frames::connect(lb.web());
    let mut all = request("POST", "/first");
    all.extend_from_slice(fields);
    client.headers(1, &all, false).unwrap();
    for piece in pieces {
        client.send(DATA, 0, 1, piece).unwrap();
    }
    client.send(DATA, END_STREAM, 1, b"").unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    let whole: usize = pieces.iter().map(|piece| piece.len()).sum();
    let end = if fields.is_empty() {
        "0\r\n\r\n".to_owned()
    } else {
        assert_eq!(fields[0], ("content-length", whole.to_string().as_str()));
        String::from_utf8(pieces.concat()).unwrap()
    };
    let body = server.until(&end);
    server.send(OK);
    assert_eq!(client.outcome(1), Outcome::Status(200));
    // Were there a second end of the body, it would come before this.
    client.headers(3, &request("GET", "/second"), true).unwrap();
    // Or before the end of the connection: a server that answers in the very moment that the body ends may not be asked
    // again on it.
    let next = server.until_or_closed("/second").unwrap_or_else(|| {
        server = raw.accept();
        server.until("/second")
    });
    assert_eq!(next, "GET /second", "something is left of the first body");
    server.send(OK);
    body
}

#[test]
fn an_empty_last_frame_ends_a_body_once() {
    let chunked = body_before_the_next_request(&[], &[b"hello", b"world!"]);
    assert_eq!(chunked.matches("0\r\n\r\n").count(), 1, "{chunked:?}");
    assert!(
        chunked.contains("hello") && chunked.contains("world!"),
        "{chunked:?}"
    );
    assert_eq!(body_before_the_next_request(&[], &[]), "0\r\n\r\n");
    assert_eq!(
        body_before_the_next_request(&[("content-length", "5")], &[b"hello"]),
        "hello"
    );
}

#[test]
fn an_empty_frame_in_the_middle_ends_nothing() {
    let chunked = body_before_the_next_request(&[], &[b"hello", b"", b"world!"]);
    assert_eq!(chunked.matches("0\r\n\r\n").count(), 1, "{chunked:?}");
    assert!(chunked.contains("world!"), "{chunked:?}");
}

#[test]
fn empty_frames_in_the_middle_do_not_use_a_connection_up() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    for turn in 0..300 {
        let stream = 2 * turn + 1;
        client
            .headers(stream, &request("POST", "/"), false)
            .unwrap();
        for piece in [b"he".as_slice(), b"", b"llo"] {
            client.send(DATA, 0, stream, piece).unwrap();
        }
        client.send(DATA, END_STREAM, stream, b"").unwrap();
        assert_eq!(client.outcome(stream), Outcome::Status(200), "{turn}");
    }
    assert_eq!(origin.served(), 300);
    assert!(origin.requests().iter().all(|it| it.body == b"hello"));
}

#[test]
fn an_early_answer_ends_the_upload_and_nothing_else() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = Frames::connect(lb.web());
    let mut fields = request("POST", "/");
    fields.push(("content-length", "100000"));
    client.headers(1, &fields, false).unwrap();
    client.send(DATA, 0, 1, &[b'x'; 1000]).unwrap();
    let mut server = raw.accept();
    server.until("xxxx");
    server.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
    assert_eq!(client.outcome(1), Outcome::Status(413));
    let body = client.frame_of(1, DATA);
    assert_eq!(
        (&body.payload[..], body.flags & END_STREAM),
        (&b"no!"[..], END_STREAM)
    );
    let reset = client.frame_of(1, RST_STREAM);
    assert_eq!(
        reset.payload,
        NO_ERROR.to_be_bytes(),
        "stop sending, there is no error"
    );
    assert!(
        server.is_closed(),
        "half a request is never followed by another one"
    );
    lb.wait_idle_servers();
    let line = lb.wait_logged(|l| l["status"] == 413);
    assert_eq!(line["termination"], "complete", "{line}");
    client.get(3).unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    server.send(OK);
    assert_eq!(client.outcome(3), Outcome::Status(200));
}

/// Clients lose the answer over a reset that comes with it.
#[test]
fn an_upload_that_ends_soon_after_its_answer_is_not_reset() {
    let raw = RawOrigin::new();
    let lb = raw.behind("http: {max_body_size: 2000}");
    let mut client = Frames::connect(lb.web());
    client.headers(1, &request("POST", "/"), false).unwrap();
    client.send(DATA, 0, 1, &[b'x'; 1000]).unwrap();
    let mut server = raw.accept();
    server.until("xxxx");
    server.send("HTTP/1.1 503 Not Now\r\nContent-Length: 3\r\n\r\nno!");
    assert_eq!(client.outcome(1), Outcome::Status(503));
    lb.wait_idle_servers();
    let mut fields = request("POST", "/");
    fields.push(("content-length", "3000"));
    client.headers(3, &fields, false).unwrap();
    assert_eq!(client.outcome(3), Outcome::Status(413));
    for stream in [1, 3] {
        client.send(DATA, 0, stream, &[b'x'; 2000]).unwrap();
        client
            .send(DATA, END_STREAM, stream, &[b'x'; 1000])
            .unwrap();
    }
    client.get(5).unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    server.send(OK);
    loop {
        let frame = client.next().unwrap();
        assert!(frame.kind != RST_STREAM, "{frame:?}");
        if (frame.kind, frame.stream) == (HEADERS, 5) {
            break;
        }
    }
}

#[test]
fn an_early_answer_without_a_body_ends_the_upload_too() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = Frames::connect(lb.web());
    client.headers(1, &request("POST", "/"), false).unwrap();
    client.send(DATA, 0, 1, b"x").unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    server.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.outcome(1), Outcome::Status(204));
    assert_eq!(client.outcome(1), Outcome::Reset(NO_ERROR));
    lb.wait_idle_servers();
    assert_eq!(
        lb.wait_logged(|l| l["status"] == 204)["termination"],
        "complete"
    );
}

#[test]
fn a_reset_by_the_client_reaches_the_server_and_no_other_request() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    let mut first = raw.accept();
    first.until("\r\n\r\n");
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthe beginning");
    assert_eq!(client.outcome(1), Outcome::Status(200));
    client.get(3).unwrap();
    let mut second = raw.accept();
    second.until("\r\n\r\n");
    client.send(RST_STREAM, 0, 1, &8u32.to_be_bytes()).unwrap();
    assert!(first.is_closed());
    eventually(SOON, || {
        lb.metrics().sum("equipoise_server_active", &[]) == 1.0
    });
    second.send(OK);
    assert_eq!(client.outcome(3), Outcome::Status(200));
    lb.wait_idle_servers();
    let line = lb.wait_logged(|l| l["termination"] == "client_aborted");
    assert_eq!(line["protocol"], "HTTP/2.0");
}

#[test]
fn a_request_given_up_before_its_answer_is_499() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    origin.wait_held(1);
    client.send(RST_STREAM, 0, 1, &8u32.to_be_bytes()).unwrap();
    let line = lb.wait_logged(|l| l["status"] == 499);
    assert_eq!(line["termination"], "client_aborted", "{line}");
    lb.wait_idle_servers();
    // Also while its body is still coming.
    client.headers(3, &request("POST", "/"), false).unwrap();
    client.send(DATA, 0, 3, b"part").unwrap();
    eventually(SOON, || {
        lb.metrics().sum("equipoise_server_active", &[]) == 1.0
    });
    client.send(RST_STREAM, 0, 3, &8u32.to_be_bytes()).unwrap();
    lb.wait_idle_servers();
}

#[test]
fn a_request_in_the_queue_is_given_up_with_its_client() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::new()
        .server(&origin, "max_connections: 1")
        .pool("queue: {size: 5, timeout: 30s}")
        .start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    origin.wait_held(1);
    client.headers(3, &request("POST", "/"), false).unwrap();
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 1.0
    });
    client.send(RST_STREAM, 0, 3, &8u32.to_be_bytes()).unwrap();
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 0.0
    });
    origin.release_all();
    assert_eq!(client.outcome(1), Outcome::Status(200));
}

#[test]
fn a_response_that_breaks_off_does_not_look_complete() {
    let origin = Origin::with("a", |_| Answer::ResetMidBody(b"half".to_vec()));
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    origin.release_all();
    assert!(matches!(client.outcome(1), Outcome::Reset(_)));
    origin.script(|_| Answer::ok());
    client.get(3).unwrap();
    assert_eq!(client.outcome(3), Outcome::Status(200));
}

#[test]
fn a_client_that_opens_no_window_loses_its_stream_and_not_its_connection() {
    let origin = Origin::with("a", |_| Answer::body(Body::Full(vec![b'x'; 100_000])));
    let lb = Setup::of([&origin])
        .listener("http: {send_timeout: 1s}")
        .start();
    let mut client = Frames::connect(lb.web());
    // SETTINGS_INITIAL_WINDOW_SIZE 0.
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).unwrap();
    client.get(1).unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    assert!(matches!(client.outcome(1), Outcome::Reset(_)));
    lb.wait_idle_servers();
    let line = lb.wait_logged(|l| l["status"] == 200);
    assert_eq!(line["termination"], "client_timeout", "{line}");
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).unwrap();
    client.get(3).unwrap();
    assert_eq!(client.outcome(3), Outcome::Status(200));
}

#[test]
fn a_client_that_reads_nothing_loses_its_connection() {
    let origin = Origin::with("a", |_| Answer::body(Body::Full(vec![b'x'; 50_000_000])));
    origin.quiet();
    let lb = Setup::of([&origin])
        .listener("http: {send_timeout: 1s}")
        .start();
    let mut client = Frames::connect(lb.web());
    // Windows of 2 GiB, and then nobody reads.
    client
        .send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])
        .unwrap();
    client
        .send(WINDOW_UPDATE, 0, 0, &0x7000_0000u32.to_be_bytes())
        .unwrap();
    client.get(1).unwrap();
    eventually(SOON, || origin.served() == 1);
    lb.wait_idle_servers();
    lb.wait_idle();
    drop(client);
}

#[test]
fn a_slow_server_holds_its_client_back() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let before = memory(&lb);
    let client = H2::connect(lb.web());
    let (response, mut send) = client.open("POST", "/", &[], false).unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    // Nobody reads on. What the client gets rid of is what windows and buffers hold.
    let sent = client.run(async {
        let mut sent = 0;
        loop {
            send.reserve_capacity(16_384);
            let room = std::future::poll_fn(|cx| send.poll_capacity(cx));
            let Ok(room) = tokio::time::timeout(Duration::from_secs(1), room).await else {
                return sent;
            };
            let room = room.unwrap().unwrap();
            send.send_data(Bytes::from(vec![b'x'; room]), false)
                .unwrap();
            sent += room;
            assert!(sent < 100_000_000, "nothing holds it back");
        }
    });
    // The client's own buffer, our window, and the kernel's buffers on both connections.
    assert!(sent < 32_000_000, "{sent} bytes");
    let more = memory(&lb).saturating_sub(before);
    assert!(more < 32_000_000, "{more} bytes more");
    // And when it reads, all arrives.
    let reader = std::thread::spawn(move || {
        let mut total = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = std::io::Read::read(&mut server.stream, &mut buffer).unwrap();
            total += read;
            if read == 0 || buffer[..read].ends_with(b"0\r\n\r\n") {
                server.send(OK);
                return (total, server);
            }
        }
    });
    client
        .run(push(&mut send, Bytes::from(vec![b'y'; 5_000_000]), true))
        .unwrap();
    let (total, _server) = reader.join().unwrap();
    assert!(total > sent + 5_000_000);
    assert_eq!(client.run(h2::whole(response)).unwrap().status, 200);
}

#[test]
fn windows_are_announced_that_are_fit_for_uploads() {
    let (_origin, lb) = one();
    let mut client = Frames::bare(lb.web());
    client.preface().unwrap();
    client.send(SETTINGS, 0, 0, &[]).unwrap();
    let settings = client.next().unwrap().payload;
    let setting = |id: u16| {
        settings
            .chunks(6)
            .find(|s| s[..2] == id.to_be_bytes())
            .map(|s| u32::from_be_bytes([s[2], s[3], s[4], s[5]]))
    };
    assert_eq!(setting(3), Some(128), "max_streams");
    assert!(setting(4).unwrap() >= 1 << 20, "a stream's window");
    let more = client.frame_of(0, WINDOW_UPDATE).payload;
    assert!(
        u32::from_be_bytes(more.try_into().unwrap()) >= 1 << 20,
        "the connection's window"
    );
}
