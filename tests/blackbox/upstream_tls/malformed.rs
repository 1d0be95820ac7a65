//! Malformed responses and trailers over HTTP/2: errors of their streams, and the connection's other requests go on (RFC 9113
//! section 8.1.1).

use std::sync::Arc;

use parking_lot::Mutex;

use crate::common::h2::{
    DATA, END_HEADERS, END_STREAM, H2, HEADERS, block, block_of_bytes, frame, whole,
};
use crate::common::*;

/// What the malformed answer consists of, on its stream.
type Answer = Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>;

/// A header block each field of which goes into the table.
fn indexed(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let index = |field: &(&[u8], &[u8])| {
        let mut block = block_of_bytes(&[*field]);
        block[0] = 0x40;
        block
    };
    fields.iter().flat_map(index).collect()
}

fn head(fields: &'static [(&[u8], &[u8])]) -> Answer {
    Box::new(move |stream| {
        let block = indexed(&[&[(&b":status"[..], &b"200"[..])], fields].concat());
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
    })
}

fn bare(fields: &'static [(&[u8], &[u8])], flags: u8) -> Answer {
    Box::new(move |stream| frame(HEADERS, END_HEADERS | flags, stream, &indexed(fields)))
}

fn trailers(fields: &'static [(&[u8], &[u8])], flags: u8) -> Answer {
    Box::new(move |stream| {
        let head = block(&[(":status", "200"), ("content-type", "application/grpc")]);
        [
            frame(HEADERS, END_HEADERS, stream, &head),
            frame(DATA, 0, stream, b"body"),
            frame(HEADERS, END_HEADERS | flags, stream, &indexed(fields)),
        ]
        .concat()
    })
}

/// Three requests at once, of which the last gets that answer; returns what becomes of it.
fn answered_beside_others(
    lb: &Equipoise,
    origin: &FrameOrigin,
    what: &str,
) -> Result<u16, ::h2::Error> {
    let before = origin.requests();
    let client = H2::connect(lb.web());
    let open = || client.open("GET", "/", &[], true).unwrap();
    let honest = [open(), open()];
    eventually(SOON, || {
        (origin.requests() == before + 2)
            .then_some(())
            .ok_or("they are on their way")
    });
    let (response, _) = open();
    let outcome = client.run(whole(response));
    for (response, _) in honest {
        let answer = client.run(whole(response)).expect(what);
        assert_eq!(
            (answer.status, answer.text()),
            (200, "good".into()),
            "{what}"
        );
    }
    outcome.map(|answer| answer.status)
}

/// A server that answers every third request so, and then the two before it.
fn server(answer: &Arc<Mutex<Answer>>) -> (FrameOrigin, Equipoise) {
    let (answer, held) = (Arc::clone(answer), Mutex::new(Vec::new()));
    let origin = FrameOrigin::start(move |connection, _, stream| {
        assert_eq!(connection, 0, "the connection goes on");
        let held = &mut *held.lock();
        if held.len() < 2 {
            held.push(stream);
            return Frames::Send(Vec::new());
        }
        let mut bytes = (answer.lock())(stream);
        for stream in held.drain(..) {
            let block = indexed(&[(b":status", b"200"), (b"x-honest", b"1")]);
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &block));
            bytes.extend(frame(DATA, 0, stream, b"good"));
            let block = indexed(&[(b"grpc-status", b"0")]);
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        }
        Frames::Send(bytes)
    });
    let lb = Setup::new()
        .server_at("s1", &origin.address().to_string(), "")
        .pool("http2: true")
        .start();
    (origin, lb)
}

#[test]
fn a_malformed_response_is_a_bad_gateway_for_its_request_alone() {
    let cases: Vec<(&str, Answer)> = vec![
        ("a line break in a value", head(&[(b"x", b"a\nb")])),
        ("CR in a value", head(&[(b"x", b"a\rb")])),
        ("NUL in a value", head(&[(b"x", b"a\0b")])),
        ("an escape in a value", head(&[(b"x", b"a\x1bb")])),
        ("an upper-case name", head(&[(b"X-Upper", b"x")])),
        ("a space in a name", head(&[(b"a b", b"x")])),
        ("a colon in a name", head(&[(b"a:b", b"x")])),
        ("a control character in a name", head(&[(b"a\0b", b"x")])),
        ("a name that is no ASCII", head(&[(b"a\xe4", b"x")])),
        ("no name", head(&[(b"", b"x")])),
        ("no name and no value", head(&[(b"", b"")])),
        ("connection", head(&[(b"connection", b"close")])),
        (
            "transfer-encoding",
            head(&[(b"transfer-encoding", b"chunked")]),
        ),
        ("an unknown pseudo-field", head(&[(b":unknown", b"x")])),
        ("a request's pseudo-field", head(&[(b":path", b"/")])),
        ("a second :status", head(&[(b":status", b"200")])),
        (
            "a length of no number",
            head(&[(b"content-length", b"five")]),
        ),
        (
            "two lengths",
            head(&[(b"content-length", b"0"), (b"content-length", b"0")]),
        ),
        ("no :status", bare(&[(b"x", b"y")], END_STREAM)),
        ("nothing", bare(&[], END_STREAM)),
        (
            "a late :status",
            bare(&[(b"x", b"y"), (b":status", b"200")], END_STREAM),
        ),
        ("a short :status", bare(&[(b":status", b"20")], END_STREAM)),
        ("a long :status", bare(&[(b":status", b"2000")], END_STREAM)),
        (":status 000", bare(&[(b":status", b"000")], END_STREAM)),
        (
            ":status with letters",
            bare(&[(b":status", b"2xx")], END_STREAM),
        ),
        (
            ":status that is no text",
            bare(&[(b":status", b"\xff\xff\xff")], END_STREAM),
        ),
        (":status 101", bare(&[(b":status", b"101")], 0)),
        (
            "an interim response at the end",
            bare(&[(b":status", b"103")], END_STREAM),
        ),
        ("a length and no body", head(&[(b"content-length", b"5")])),
        (
            "a body first",
            Box::new(|stream| frame(DATA, END_STREAM, stream, b"body")),
        ),
    ];
    let answer = Arc::new(Mutex::new(head(&[])));
    let (origin, lb) = server(&answer);
    for (what, malformed) in cases {
        *answer.lock() = malformed;
        let outcome = answered_beside_others(&lb, &origin, what);
        assert_eq!(outcome.unwrap(), 502, "{what}");
    }
    lb.wait_idle_servers();
    assert!(
        lb.stderr()
            .contains("a field value with a control character"),
        "{}",
        lb.stderr()
    );
}

#[test]
fn malformed_trailers_break_off_their_response_alone() {
    let cases: Vec<(&str, Answer)> = vec![
        (
            "a line break in grpc-message",
            trailers(
                &[(b"grpc-status", b"13"), (b"grpc-message", b"a\nb")],
                END_STREAM,
            ),
        ),
        (
            "an upper-case name",
            trailers(&[(b"Grpc-Status", b"0")], END_STREAM),
        ),
        ("no name", trailers(&[(b"", b"0")], END_STREAM)),
        (
            "a pseudo-field",
            trailers(&[(b":status", b"200")], END_STREAM),
        ),
        (
            "connection",
            trailers(&[(b"connection", b"close")], END_STREAM),
        ),
        ("no end", trailers(&[(b"grpc-status", b"0")], 0)),
    ];
    let answer = Arc::new(Mutex::new(head(&[])));
    let (origin, lb) = server(&answer);
    for (what, malformed) in cases {
        *answer.lock() = malformed;
        let outcome = answered_beside_others(&lb, &origin, what);
        let error = outcome.expect_err(what);
        assert!(error.is_reset(), "{what}: {error}");
    }
    lb.wait_idle_servers();
}

#[test]
fn white_space_around_a_value_is_put_right() {
    let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(head(&[(b"x", b" y\t")])));
    let (origin, lb) = server(&answer);
    let outcome = answered_beside_others(&lb, &origin, "white space");
    assert_eq!(outcome.unwrap(), 200);
    lb.wait_idle_servers();
}
