use proptest::prelude::*;

use super::*;
use crate::http::wire::http2::fields::STAND_IN;
use crate::http::wire::http2::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PRIORITY,
};
use crate::http::wire::http2::hpack::write_literal;

const LIMITS: HeadLimits = HeadLimits {
    header: 2000,
    uri: 500,
    body: 0,
};

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

/// A header block of a good request and one field more, indexed if so wanted.
fn block(more: (&str, &str), index: bool) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84];
    write_literal(b":authority", b"a.test", &mut block);
    let at = block.len();
    write_literal(more.0.as_bytes(), more.1.as_bytes(), &mut block);
    if index {
        block[at] = 0x40;
    }
    block
}

fn screen() -> Screen {
    let mut screen = Screen::new(128, Instant::now());
    screen.framing = Framing::behind(0);
    screen.requests.begun = true;
    screen
}

/// What comes out of these bytes, given piece by piece.
fn screened<'a>(
    screen: &mut Screen,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, Fault> {
    let (mut out, deeds) = (Vec::new(), Deeds::default());
    for piece in pieces {
        let mut around = Around {
            now: Instant::now(),
            limits: LIMITS,
            deeds: &deeds,
            admit: &mut |_, _| true,
        };
        let passed = screen.pass(piece, &mut around)?;
        out.extend_from_slice(&piece[..passed]);
        screen.take(&piece[passed..], &mut out, &mut around)?;
    }
    Ok(out)
}

fn once(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    screened(&mut screen(), [bytes])
}

/// Kind, flags and stream of a frame, and the fields of a header block.
type Read = (u8, u8, u32, Vec<(String, String)>);

/// The header blocks in these bytes as one reads them who has seen nothing else: kind, flags, stream and fields.
fn read_blocks(mut bytes: &[u8]) -> Vec<Read> {
    let (mut decoder, mut blocks) = (Decoder::new(), Vec::new());
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let head = Head::read(*head);
        let (payload, rest) = rest.split_at(head.length);
        bytes = rest;
        let mut fields = Vec::new();
        if head.kind == HEADERS {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            decoder
                .decode(payload, |n, v| fields.push((text(n), text(v))))
                .unwrap();
        }
        blocks.push((head.kind, head.flags, head.stream, fields));
    }
    blocks
}

#[test]
fn what_is_in_order_passes_as_it_came() {
    let wire = [
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(HEADERS, END_HEADERS, 1, &block(("x", "y"), true)),
        frame(DATA, 0, 1, b"body"),
        frame(DATA, END_STREAM, 1, b""),
        frame(PING, ACK, 0, b"whatever"),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            3,
            &[0x82, 0x86, 0x84, 0xbe],
        ),
        frame(0x42, 7, 9, b"unknown"),
    ]
    .concat();
    assert_eq!(once(&wire), Ok(wire));
}

#[test]
fn blocks_in_pieces_padding_and_priority_become_one_frame() {
    let block = block(("x", "y"), false);
    let padded = [&[3, 0, 0, 0, 0, 9][..], &block, &[0; 3]].concat();
    for wire in [
        frame(
            HEADERS,
            END_HEADERS | END_STREAM | PADDED | PRIORITY,
            1,
            &padded,
        ),
        [
            frame(HEADERS, END_STREAM, 1, &block[..4]),
            frame(CONTINUATION, 0, 1, b""),
            frame(CONTINUATION, 0, 1, &block[4..9]),
            frame(CONTINUATION, END_HEADERS, 1, &block[9..]),
        ]
        .concat(),
    ] {
        let out = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
        assert_eq!(once(&wire), Ok(out));
    }
}

#[test]
fn a_malformed_request_has_a_stand_in_and_the_next_ones_refer_to_what_it_said() {
    let wire = [
        frame(HEADERS, END_HEADERS, 1, &block(("good", "1"), true)),
        // Indexed, malformed, and referred to later on.
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            3,
            &block(("Bad\0", "\n"), true),
        ),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            5,
            &[0x82, 0x86, 0x84, 0xbf],
        ),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            7,
            &[0x82, 0x86, 0x84, 0xbe],
        ),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            9,
            &block(("more", "2"), true),
        ),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            11,
            &[0x82, 0x86, 0x84, 0xbe, 0xc0],
        ),
    ]
    .concat();
    let blocks = read_blocks(&once(&wire).unwrap());
    let last = |n: usize| {
        let (.., stream, fields) = &blocks[n];
        let (name, value) = fields.last().unwrap();
        (*stream, name.as_str(), value.as_str())
    };
    assert_eq!(last(0), (1, "good", "1"));
    assert_eq!((last(1).0, last(1).1), (3, STAND_IN));
    assert_eq!(last(2), (5, "good", "1"));
    assert_eq!((last(3).0, last(3).1), (7, STAND_IN), "by its index");
    assert_eq!(last(4), (9, "more", "2"));
    assert_eq!(last(5), (11, "good", "1"));
    assert_eq!(blocks[5].3[3], ("more".to_owned(), "2".to_owned()));
}

#[test]
fn malformed_trailers_are_the_stream_s() {
    let mut trailers = Vec::new();
    write_literal(b"x\0", b"y", &mut trailers);
    let wire = [
        frame(HEADERS, END_HEADERS, 1, &block(("x", "y"), false)),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers),
    ]
    .concat();
    let blocks = read_blocks(&once(&wire).unwrap());
    let expected = vec![("connection".to_owned(), String::new())];
    assert_eq!(blocks[1], (HEADERS, END_HEADERS | END_STREAM, 1, expected));
}

#[test]
fn the_answer_to_the_last_ping_is_kept_back() {
    let ping = frame(PING, ACK, 0, &LAST_CALL);
    let other = frame(PING, 0, 0, &LAST_CALL);
    let mut screen = screen();
    assert!(!screen.has_heard());
    let out = screened(&mut screen, [&[&other[..], &ping, &other].concat()[..]]).unwrap();
    assert_eq!(out, [&other[..], &other].concat());
    assert!(screen.has_heard());
    assert_eq!(screen.last_call(), Some(ping));
    screened(&mut screen, [&other[..3]]).unwrap();
    assert_eq!(screen.last_call(), None, "inside a frame");
}

#[test]
fn what_cannot_be_one_request_s_ends_the_connection() {
    let begun = frame(HEADERS, 0, 1, &[0x82]);
    let with = |more: Vec<u8>| once(&[&begun[..], &more].concat());
    let compression = frame(HEADERS, END_HEADERS, 1, &[0xff; 9]);
    assert_eq!(once(&compression), Err(Fault::Compression));
    let half = frame(HEADERS, END_HEADERS, 1, &[0x00, 5, b'x']);
    assert_eq!(once(&half), Err(Fault::Compression));
    assert_eq!(with(frame(DATA, 0, 1, b"x")), Err(Fault::Protocol));
    assert_eq!(
        with(frame(HEADERS, END_HEADERS, 1, b"")),
        Err(Fault::Protocol)
    );
    assert_eq!(with(frame(CONTINUATION, 0, 3, b"")), Err(Fault::Protocol));
    let padding = frame(HEADERS, END_HEADERS | PADDED, 1, &[5, 0x82]);
    assert_eq!(once(&padding), Err(Fault::Protocol));
    let priority = frame(HEADERS, END_HEADERS | PRIORITY, 1, &[0; 4]);
    assert_eq!(once(&priority), Err(Fault::Protocol));
    let get = |stream| {
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &[0x82, 0x86, 0x84],
        )
    };
    assert_eq!(once(&[get(1), get(1)].concat()), Err(Fault::Closed));
    assert_eq!(once(&[get(5), get(3)].concat()), Err(Fault::Closed));
    assert_eq!(with(frame(CONTINUATION, 0, 1, &[0x82; 16_384])), Ok(vec![]));
    let long = frame(CONTINUATION, 0, 1, &[0x82; 16_384]).repeat(4);
    assert_eq!(with(long), Err(Fault::Block));
    let many = frame(CONTINUATION, 0, 1, &[0x82]).repeat(40);
    assert_eq!(with(many), Err(Fault::Block));
}

#[test]
fn the_first_frame_is_settings() {
    let first = |kind| {
        let bytes = [vec![b'x'; PREFACE], frame(kind, 0, 0, b"")].concat();
        screened(&mut Screen::new(1, Instant::now()), [&bytes[..]]).map(drop)
    };
    assert_eq!(first(SETTINGS), Ok(()));
    assert_eq!(first(PING), Err(Fault::NoSettings));
    assert_eq!(first(HEADERS), Err(Fault::NoSettings));
}

#[test]
fn a_header_block_is_under_way_from_its_first_frame_to_the_end_of_its_last() {
    let mut screen = screen();
    let mut note = |bytes: &[u8]| {
        screened(&mut screen, [bytes]).unwrap();
        screen.block_since().is_some()
    };
    let whole = frame(HEADERS, END_HEADERS, 1, &block(("x", "y"), false));
    assert!(!note(&whole));
    let whole = frame(HEADERS, END_HEADERS, 3, &block(("x", "y"), false));
    assert!(note(&whole[..12]));
    assert!(!note(&whole[12..]));
    assert!(note(&frame(HEADERS, 0, 5, &[0x82, 0x84])));
    assert!(note(&frame(CONTINUATION, 0, 5, &[0x86])));
    assert!(!note(&frame(CONTINUATION, END_HEADERS, 5, b"")));
}

proptest! {
    /// However the bytes are cut up, the same comes out.
    #[test]
    fn what_comes_out_does_not_depend_on_the_reads(
        frames in prop::collection::vec((0u8..12, any::<u8>(), 0u32..8, prop::collection::vec(any::<u8>(), 0..40)), 1..40),
        good in prop::collection::vec(any::<bool>(), 40),
        cuts in prop::collection::vec(1usize..30, 1..20),
    ) {
        let frames = frames.iter().zip(good).enumerate();
        let wire: Vec<u8> = frames.flat_map(|(n, ((kind, flags, stream, payload), good))| {
            if good {
                let stream = 2 * u32::try_from(n).unwrap() + 9;
                frame(HEADERS, flags & END_STREAM | END_HEADERS, stream, &block(("x", "\u{e4}"), n % 2 == 0))
            } else {
                frame(*kind, *flags, *stream, payload)
            }
        }).collect();
        let (mut pieces, mut at, mut cuts) = (Vec::new(), 0, cuts.iter().cycle());
        while at < wire.len() {
            let next = (at + cuts.next().unwrap()).min(wire.len());
            pieces.push(&wire[at..next]);
            at = next;
        }
        prop_assert_eq!(screened(&mut screen(), pieces), once(&wire));
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = screened(&mut Screen::new(1, Instant::now()), [&data[..]]);
    }
}
