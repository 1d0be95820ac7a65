//! Errors in frames, by RFC 9113's sections: the connection or the stream ends with the code that is due, and the next
//! client is served.

use super::one;
use crate::common::h2::{
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR, Frames, GOAWAY, HEADERS, Outcome, PING, PRIORITY, PROTOCOL_ERROR,
    PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, block, frame, request,
};
use crate::common::*;

/// What is sent, and which codes may end the connection or stream 1 for it.
type Case = (&'static str, Vec<u8>, &'static [u32]);

fn get(stream: u32) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &block(&request("GET", "/")),
    )
}

fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&request("POST", "/")))
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

fn cases() -> Vec<Case> {
    let fields = block(&request("GET", "/"));
    let open = END_STREAM;
    let padded = [&[255][..], &fields].concat();
    vec![
        // 4.2
        (
            "a frame larger than allowed",
            frame(DATA, 0, 1, &[0; 16_385]),
            &[FRAME_SIZE_ERROR],
        ),
        // 4.3
        (
            "an undecodable header block",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20]),
            &[COMPRESSION_ERROR, PROTOCOL_ERROR],
        ),
        (
            "an index beyond the tables",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xfe]),
            &[COMPRESSION_ERROR, PROTOCOL_ERROR],
        ),
        (
            "a frame inside a header block",
            [
                frame(HEADERS, open, 1, &fields[..9]),
                frame(PRIORITY, 0, 1, &[0; 5]),
            ]
            .concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "another stream's CONTINUATION",
            [
                frame(HEADERS, open, 1, &fields[..9]),
                frame(CONTINUATION, END_HEADERS, 3, &fields[9..]),
            ]
            .concat(),
            &[PROTOCOL_ERROR],
        ),
        // 5.1
        (
            "DATA on an idle stream",
            frame(DATA, END_STREAM, 1, b"x"),
            &[PROTOCOL_ERROR],
        ),
        (
            "RST_STREAM on an idle stream",
            frame(RST_STREAM, 0, 1, &[0; 4]),
            &[PROTOCOL_ERROR],
        ),
        (
            "WINDOW_UPDATE on an idle stream",
            frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            &[PROTOCOL_ERROR],
        ),
        (
            "CONTINUATION out of nowhere",
            frame(CONTINUATION, END_HEADERS, 1, &fields),
            &[PROTOCOL_ERROR],
        ),
        (
            "DATA after END_STREAM",
            [get(1), frame(DATA, END_STREAM, 1, b"x")].concat(),
            &[STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        (
            "HEADERS after END_STREAM",
            [get(1), get(1)].concat(),
            &[STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        // 5.1.1
        ("an even stream", get(2), &[PROTOCOL_ERROR]),
        (
            "a stream smaller than the last",
            [get(5), get(3)].concat(),
            &[PROTOCOL_ERROR, STREAM_CLOSED],
        ),
        // 6.1
        (
            "DATA on stream 0",
            frame(DATA, 0, 0, b"x"),
            &[PROTOCOL_ERROR],
        ),
        (
            "more padding than DATA",
            [post(1), frame(DATA, 0x8, 1, &[9, 0, 0])].concat(),
            &[PROTOCOL_ERROR],
        ),
        // 6.2
        (
            "HEADERS on stream 0",
            frame(HEADERS, END_HEADERS | END_STREAM, 0, &fields),
            &[PROTOCOL_ERROR],
        ),
        (
            "more padding than HEADERS",
            frame(HEADERS, END_HEADERS | END_STREAM | 0x8, 1, &padded),
            &[PROTOCOL_ERROR],
        ),
        (
            "a stream that depends on itself",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | 0x20,
                1,
                &[&[0, 0, 0, 1, 9][..], &fields].concat(),
            ),
            &[PROTOCOL_ERROR],
        ),
        // 6.3
        (
            "PRIORITY on stream 0",
            frame(PRIORITY, 0, 0, &[0; 5]),
            &[PROTOCOL_ERROR],
        ),
        (
            "PRIORITY of another size",
            [post(1), frame(PRIORITY, 0, 1, &[0; 4])].concat(),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        // 6.4
        (
            "RST_STREAM on stream 0",
            frame(RST_STREAM, 0, 0, &[0; 4]),
            &[PROTOCOL_ERROR],
        ),
        (
            "RST_STREAM of another size",
            [post(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        // 6.5
        (
            "SETTINGS on a stream",
            frame(SETTINGS, 0, 1, &[]),
            &[PROTOCOL_ERROR],
        ),
        (
            "SETTINGS of half an entry",
            frame(SETTINGS, 0, 0, &[0; 5]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "an ACK with settings",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        ("ENABLE_PUSH 2", setting(2, 2), &[PROTOCOL_ERROR]),
        (
            "an impossible window",
            setting(4, 0x8000_0000),
            &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR],
        ),
        (
            "frames smaller than the least",
            setting(5, 16_383),
            &[PROTOCOL_ERROR],
        ),
        (
            "frames larger than the most",
            setting(5, 16_777_216),
            &[PROTOCOL_ERROR],
        ),
        // 6.6
        (
            "a push by a client",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0, 0, 0, 2][..], &fields].concat(),
            ),
            &[PROTOCOL_ERROR],
        ),
        // 6.7
        (
            "PING on a stream",
            frame(PING, 0, 1, &[0; 8]),
            &[PROTOCOL_ERROR],
        ),
        (
            "PING of another size",
            frame(PING, 0, 0, &[0; 7]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        // 6.8
        (
            "GOAWAY on a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            &[PROTOCOL_ERROR],
        ),
        // 6.9
        (
            "a window of nothing more",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            &[PROTOCOL_ERROR],
        ),
        (
            "a stream's window of nothing more",
            [post(1), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "WINDOW_UPDATE of another size",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
        ),
        (
            "a window beyond the most",
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes()).repeat(2),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "a stream's window beyond the most",
            [
                post(1),
                frame(WINDOW_UPDATE, 0, 1, &0x7fff_ffffu32.to_be_bytes()).repeat(2),
            ]
            .concat(),
            &[FLOW_CONTROL_ERROR],
        ),
        // 8.1
        (
            "trailers that end nothing",
            [
                post(1),
                frame(DATA, 0, 1, b"x"),
                frame(HEADERS, END_HEADERS, 1, &block(&[("x", "y")])),
            ]
            .concat(),
            &[PROTOCOL_ERROR],
        ),
    ]
}

#[test]
fn errors_in_frames_end_what_they_concern_with_the_code_that_is_due() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    for (what, bytes, codes) in cases() {
        let mut client = Frames::connect(lb.web());
        client.write(&bytes).unwrap();
        match client.outcome(1) {
            Outcome::GoAway(code) => {
                assert!(codes.contains(&code), "{what}: GOAWAY {code}");
                assert!(client.is_closed_by_peer(), "{what}");
            }
            Outcome::Reset(code) => assert!(codes.contains(&code), "{what}: RST_STREAM {code}"),
            other => panic!("{what}: {other:?}"),
        }
        drop(client);
        lb.wait_idle();
    }
    origin.release_all();
    assert_eq!(H2Status::of(&lb), 200);
}

#[test]
fn a_wrong_preface_ends_the_connection() {
    let (_origin, lb) = one();
    let mut client = Frames::bare(lb.web());
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    // Not SETTINGS (section 3.4).
    client.send(PING, 0, 0, &[0; 8]).unwrap();
    assert_eq!(client.outcome(0), Outcome::GoAway(PROTOCOL_ERROR));
    assert!(client.is_closed_by_peer());
    let mut client = lb.client();
    client.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 505);
    assert!(client.is_closed_by_peer());
}

#[test]
fn what_is_unknown_is_ignored() {
    let (_origin, lb) = one();
    let mut client = Frames::connect(lb.web());
    client.send(0x42, 0xff, 0, b"whatever").unwrap();
    client.write(&setting(0x4242, 7)).unwrap();
    client.send(PRIORITY, 0, 7, &[0, 0, 0, 5, 9]).unwrap();
    client.get(1).unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    // Padding, and a priority with a request (sections 5.3.2, 6.2).
    let fields = block(&request("GET", "/"));
    let padded = [&[3, 0, 0, 0, 0, 9][..], &fields, &[0; 3]].concat();
    client
        .send(HEADERS, END_HEADERS | END_STREAM | 0x8 | 0x20, 3, &padded)
        .unwrap();
    assert_eq!(client.outcome(3), Outcome::Status(200));
}

/// Whether the next client is served.
struct H2Status;

impl H2Status {
    fn of(lb: &Equipoise) -> u16 {
        h2::H2::connect(lb.web()).get("/", &[]).unwrap().status
    }
}
