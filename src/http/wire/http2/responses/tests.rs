use proptest::prelude::*;

use super::super::frames::{END_HEADERS, END_STREAM, FRAME_HEAD};
use super::super::hpack::write_literal;
use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = Head {
        length: payload.len(),
        kind,
        flags,
        stream,
    };
    head.write(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block, each field of which goes into the table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        let at = block.len();
        write_literal(name.as_bytes(), value.as_bytes(), &mut block);
        block[at] = 0x40;
    }
    block
}

fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(fields))
}

/// A connection on which these requests were sent.
fn asked(streams: &[u32]) -> Screened<()> {
    let mut screened = Screened::new((), Arc::default());
    let mut wire = vec![b'x'; PREFACE];
    for stream in streams {
        wire.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            *stream,
            b"whatever",
        ));
    }
    // However the writes are cut up.
    for piece in wire.chunks(7) {
        screened.sent.follow(piece, &mut screened.responses);
    }
    screened
}

fn screened(connection: &mut Screened<()>, bytes: &[u8]) -> Result<Vec<u8>, BrokenError> {
    let passed = connection.screen(bytes)?;
    let mut out = bytes[..passed].to_vec();
    out.append(&mut connection.ready);
    Ok(out)
}

/// Kind, flags, stream and fields of a frame.
type Read = (u8, u8, u32, Vec<(String, String)>);

fn read(mut bytes: &[u8]) -> Vec<Read> {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    while let Some(head) = bytes.first_chunk() {
        let head = Head::read(*head);
        let (payload, rest) = bytes[FRAME_HEAD..].split_at(head.length);
        bytes = rest;
        let mut fields = Vec::new();
        if head.kind == HEADERS {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            decoder
                .decode(payload, |n, v| fields.push((text(n), text(v))))
                .unwrap();
        }
        frames.push((head.kind, head.flags, head.stream, fields));
    }
    frames
}

fn stands_in((kind, _, stream, fields): &Read) -> Option<u32> {
    let stands_in = *kind == HEADERS && fields == &[("connection".to_owned(), String::new())];
    stands_in.then_some(*stream)
}

#[test]
fn what_is_in_order_passes_as_it_came() {
    let wire = [
        headers(1, 0, &[(":status", "103"), ("link", "</x>")]),
        headers(1, 0, &[(":status", "200"), ("x", "y")]),
        frame(DATA, 0, 1, b"body"),
        headers(3, END_STREAM, &[(":status", "204")]),
        headers(1, END_STREAM, &[("grpc-status", "0")]),
        headers(5, 0, &[(":status", "200")]),
        frame(DATA, END_STREAM, 5, b""),
        frame(RST_STREAM, 0, 7, &[0; 4]),
    ]
    .concat();
    let mut connection = asked(&[1, 3, 5, 7]);
    assert_eq!(screened(&mut connection, &wire), Ok(wire));
    assert!(connection.responses.open.is_empty());
}

#[test]
fn a_malformed_response_is_its_streams_and_later_ones_refer_to_what_it_said() {
    let mut connection = asked(&[1, 3, 5]);
    let wire = [
        headers(1, 0, &[(":status", "200"), ("Bad", "a\nb")]),
        // The field before the last, and the last.
        frame(HEADERS, END_HEADERS, 3, &[0xbf]),
        frame(HEADERS, END_HEADERS, 5, &[0xbf, 0xbe]),
    ]
    .concat();
    let read = read(&screened(&mut connection, &wire).unwrap());
    assert_eq!(stands_in(&read[0]), Some(1));
    assert_eq!(read[1].3, [(":status".to_owned(), "200".to_owned())]);
    assert_eq!(stands_in(&read[2]), Some(5));
    let witness = &connection.responses.witness;
    assert_eq!(
        witness.fault(1),
        Some("a field name with a character that names don't have")
    );
    assert_eq!(witness.fault(1), None, "it is told once");
    assert_eq!(witness.fault(3), None);
}

#[test]
fn malformed_trailers_are_the_streams() {
    for (fields, flags) in [
        (&[("grpc-message", "a\nb")], END_STREAM),
        (&[(":status", "200")], END_STREAM),
        (&[("grpc-status", "0")], 0),
    ] {
        let mut connection = asked(&[1, 3]);
        let wire = [
            headers(1, 0, &[(":status", "200")]),
            headers(1, flags, fields),
            headers(3, END_STREAM, &[(":status", "200")]),
        ]
        .concat();
        let read = read(&screened(&mut connection, &wire).unwrap());
        assert_eq!(stands_in(&read[1]), Some(1), "{fields:?}");
        assert_eq!(stands_in(&read[2]), None);
    }
}

#[test]
fn a_body_before_its_header_is_its_streams() {
    let mut connection = asked(&[1]);
    let wire = frame(DATA, END_STREAM, 1, b"body");
    let out = screened(&mut connection, &wire).unwrap();
    let frames = read(&out);
    assert_eq!(stands_in(&frames[0]), Some(1));
    assert!(out.ends_with(&wire));
    assert_eq!(connection.responses.witness.fault(1), Some(BODY_FIRST));
    assert!(connection.responses.open.is_empty());
}

#[test]
fn what_comes_for_nobody_costs_nothing() {
    let mut connection = asked(&[1]);
    let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
    connection.sent.follow(&reset, &mut connection.responses);
    let wire = [
        headers(1, 0, &[(":status", "200")]),
        headers(1, END_STREAM, &[("grpc-status", "0")]),
    ]
    .concat();
    assert_eq!(screened(&mut connection, &wire), Ok(wire));
    assert!(!connection.responses.anew);
    assert_eq!(connection.responses.witness.fault(1), None);
}

#[test]
fn trailers_of_a_request_open_nothing() {
    let mut connection = asked(&[1]);
    screened(
        &mut connection,
        &headers(1, END_STREAM, &[(":status", "200")]),
    )
    .unwrap();
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"whatever");
    connection.sent.follow(&trailers, &mut connection.responses);
    assert!(connection.responses.open.is_empty());
}

#[test]
fn a_connection_ends_where_nothing_can_be_read_any_more() {
    let lost = frame(HEADERS, END_HEADERS, 1, &[0x80]);
    assert_eq!(
        screened(&mut asked(&[1]), &lost),
        Err(BrokenError::Compression)
    );
    let between = [frame(HEADERS, 0, 1, &[0x88]), frame(DATA, 0, 1, b"")].concat();
    assert_eq!(
        screened(&mut asked(&[1]), &between),
        Err(BrokenError::Frames(FrameError::Protocol))
    );
}

proptest! {
    /// However the bytes are cut up, the same comes out.
    #[test]
    fn what_comes_out_does_not_depend_on_the_reads(
        frames in prop::collection::vec(
            (0u8..10, any::<u8>(), 0u32..8, prop::collection::vec(any::<u8>(), 0..40)), 1..40),
        good in prop::collection::vec(any::<bool>(), 40),
        cuts in prop::collection::vec(1usize..30, 1..20),
    ) {
        let streams: Vec<u32> = (1..200).step_by(2).collect();
        let frames = frames.iter().zip(good).enumerate();
        let wire: Vec<u8> = frames.flat_map(|(n, ((kind, flags, stream, payload), good))| {
            if good {
                let stream = 2 * u32::try_from(n).unwrap() + 9;
                headers(stream, flags & END_STREAM, &[(":status", "200"), ("x", "y ")])
            } else {
                frame(*kind, *flags, *stream, payload)
            }
        }).collect();
        let whole = screened(&mut asked(&streams), &wire);
        let (mut connection, mut at, mut cuts) = (asked(&streams), 0, cuts.iter().cycle());
        let mut out = Ok(Vec::new());
        while at < wire.len() && out.is_ok() {
            let next = (at + cuts.next().unwrap()).min(wire.len());
            let more = screened(&mut connection, &wire[at..next]);
            out = out.and_then(|out: Vec<u8>| more.map(|more| [out, more].concat()));
            at = next;
        }
        prop_assert_eq!(out, whole);
    }
}
