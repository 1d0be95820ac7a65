//! The corner cases of WebSocket's framing (RFC 6455), along the list of the Autobahn test suite: its sections 1 to 7 and 9.
//! A server of tungstenite's has to answer each through the load balancer byte by byte as it does directly.
//!
//! The suite itself, as published, is Python 2 code: it installs and doesn't start.

use std::net::SocketAddr;

use super::library::server;
use crate::common::*;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The highest bit of the first byte; of the second it says that the payload is masked.
const FIN: u8 = 0x80;

/// A client's frame, masked. `first` is its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    let length = payload.len();
    match length {
        0..126 => bytes.push(FIN + length as u8),
        126..65536 => {
            bytes.push(FIN + 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(FIN + 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// A name, and what a client sends.
type Case = (String, Vec<u8>);

/// 1: messages of all sizes.
fn sizes() -> Vec<Case> {
    let lengths = [
        0, 1, 125, 126, 127, 128, 1000, 65_535, 65_536, 65_537, 100_000,
    ];
    lengths
        .iter()
        .flat_map(|&length| {
            [TEXT, BINARY].map(|kind| {
                let payload = vec![if kind == TEXT { b'*' } else { 0xfe }; length];
                (
                    format!("1: {length} of {kind}"),
                    frame(FIN | kind, &payload),
                )
            })
        })
        .collect()
}

/// 2: pings and pongs.
fn pings() -> Vec<Case> {
    let long = [0xfe; 126];
    let mut cases: Vec<Case> = [0, 1, 5, 124, 125, 126]
        .iter()
        .flat_map(|&length| {
            [PING, PONG].map(|kind| {
                (
                    format!("2: {kind} of {length}"),
                    frame(FIN | kind, &long[..length]),
                )
            })
        })
        .collect();
    let ten: Vec<u8> = (0..10)
        .flat_map(|n| frame(FIN | PING, &[b'0' + n]))
        .collect();
    cases.push(("2: ten pings".to_owned(), ten));
    cases
}

/// 3 and 4: bits and codes that mean nothing.
fn reserved() -> Vec<Case> {
    let bits = (1..8).flat_map(|bits| {
        [TEXT, BINARY, CLOSE, PING, PONG].map(|kind| {
            let before = frame(FIN | TEXT, b"before");
            let bad = frame(FIN | bits << 4 | kind, b"xx");
            (format!("3: bits {bits} on {kind}"), [before, bad].concat())
        })
    });
    let codes = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].iter().flat_map(|code| {
        [0, 1].map(|length| {
            (
                format!("4: code {code} of {length}"),
                frame(FIN | code, &vec![b'x'; length]),
            )
        })
    });
    bits.chain(codes).collect()
}

/// 5: messages in pieces, in and out of order.
fn fragments() -> Vec<Case> {
    let pieces: [(&str, &[(u8, &str)]); 14] = [
        ("a ping in two", &[(PING, "a"), (FIN, "b")]),
        ("a pong in two", &[(PONG, "a"), (FIN, "b")]),
        ("a text in two", &[(TEXT, "a"), (FIN, "b")]),
        (
            "a text in three",
            &[(TEXT, "a"), (CONTINUATION, "b"), (FIN, "c")],
        ),
        ("empty pieces", &[(TEXT, ""), (CONTINUATION, ""), (FIN, "")]),
        (
            "one piece that isn't empty",
            &[(TEXT, ""), (CONTINUATION, "b"), (FIN, "")],
        ),
        (
            "a ping between",
            &[(TEXT, "a"), (FIN | PING, "p"), (FIN, "b")],
        ),
        (
            "pings between",
            &[
                (TEXT, "a"),
                (FIN | PING, "p"),
                (CONTINUATION, "b"),
                (FIN | PING, "q"),
                (FIN, "c"),
            ],
        ),
        (
            "a continuation of nothing",
            &[(FIN, "a"), (FIN | TEXT, "b")],
        ),
        (
            "one of nothing, and unfinished",
            &[(CONTINUATION, "a"), (FIN | TEXT, "b")],
        ),
        ("a text within a text", &[(TEXT, "a"), (FIN | TEXT, "b")]),
        (
            "a binary within a text",
            &[(TEXT, "a"), (FIN | BINARY, "b")],
        ),
        (
            "two messages in pieces",
            &[(TEXT, "a"), (FIN, "b"), (BINARY, "c"), (FIN, "d")],
        ),
        (
            "one that is never finished",
            &[(TEXT, "a"), (CONTINUATION, "b")],
        ),
    ];
    pieces
        .iter()
        .map(|(name, pieces)| {
            let bytes = pieces
                .iter()
                .flat_map(|(first, text)| frame(*first, text.as_bytes()));
            (format!("5: {name}"), bytes.collect())
        })
        .collect()
}

/// 6: texts that are UTF-8 and that are not.
fn texts() -> Vec<Case> {
    let texts: [&[u8]; 22] = [
        "Hello-µ@ßöäüàá-UTF-8!!".as_bytes(),
        "κόσμε".as_bytes(),
        b"\xf4\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\x80",
        b"\xbf",
        b"\xc0",
        b"\xfe",
        b"\xff",
        b"\xce",
        b"\xef\xbb\xbf",
        b"\xef\xbf\xbe",
        b"\x00",
    ];
    texts
        .iter()
        .flat_map(|text| {
            let whole = frame(FIN | TEXT, text);
            let bytes = text.iter().flat_map(|byte| frame(CONTINUATION, &[*byte]));
            let pieces: Vec<u8> = frame(TEXT, b"")
                .into_iter()
                .chain(bytes)
                .chain(frame(FIN, b""))
                .collect();
            let name = text.escape_ascii();
            [
                (format!("6: {name}"), whole),
                (format!("6: {name} in bytes"), pieces),
            ]
        })
        .collect()
}

/// 7: ends.
fn ends() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
        1014, 1015, 1016, 1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65_535,
    ]
    .iter()
    .flat_map(|&code| {
        [&b""[..], b"reason"].map(|reason| {
            (
                format!("7: {code} {}", reason.escape_ascii()),
                close(code, reason),
            )
        })
    })
    .collect();
    let text = frame(FIN | TEXT, b"late");
    let orderly = close(1000, b"");
    let ping = frame(FIN | PING, b"late");
    for (name, bytes) in [
        ("no code", frame(FIN | CLOSE, b"")),
        ("half a code", frame(FIN | CLOSE, b"\x03")),
        ("the longest reason", close(1000, &[b'*'; 123])),
        ("too long a reason", close(1000, &[b'*'; 124])),
        (
            "a reason that is no text",
            close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"),
        ),
        ("a text after it", [&orderly[..], &text].concat()),
        ("a ping after it", [&orderly[..], &ping].concat()),
        ("another after it", [&orderly[..], &orderly].concat()),
        (
            "in the middle of a message",
            [frame(TEXT, b"half"), orderly.clone()].concat(),
        ),
        (
            "after a large message",
            [frame(FIN | BINARY, &[7; 262_144]), orderly].concat(),
        ),
    ] {
        cases.push((format!("7: {name}"), bytes));
    }
    cases
}

/// Frames that are none: not masked, or broken off.
fn broken() -> Vec<Case> {
    let whole = frame(FIN | TEXT, b"a text that is broken off somewhere");
    let mut cases = vec![
        ("not masked".to_owned(), b"\x81\x05Hello".to_vec()),
        (
            "a length of 2^63".to_owned(),
            b"\x82\xff\x80\0\0\0\0\0\0\0aaaa".to_vec(),
        ),
        (
            "a length not the shortest".to_owned(),
            b"\x82\xfe\x00\x05aaaaHello".to_vec(),
        ),
        (
            "no frame at all".to_owned(),
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        ),
        ("zeros".to_owned(), vec![0; 100]),
    ];
    for end in [0, 1, 2, 3, 5, 6, 20] {
        cases.push((format!("broken off after {end}"), whole[..end].to_vec()));
    }
    cases
}

/// 9: large messages, whole and in pieces.
fn large() -> Vec<Case> {
    let message = vec![b'*'; 1 << 20];
    let mut cases = vec![("9: a MiB".to_owned(), frame(FIN | TEXT, &message))];
    for size in [4096, 65_536] {
        let mut bytes = frame(BINARY, b"");
        message
            .chunks(size)
            .for_each(|piece| bytes.extend(frame(CONTINUATION, piece)));
        bytes.extend(frame(FIN, b""));
        cases.push((format!("9: a MiB in pieces of {size}"), bytes));
    }
    cases
}

/// All that a server says to what a client sends, after the handshake. The client ends with a goodbye and its FIN.
fn answer(to: SocketAddr, sent: &[u8], piece: usize) -> Vec<u8> {
    let mut client = Client::connect(to);
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    client.send_request("GET", "/chat", &headers, b"").unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(
        head.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let goodbye = close(1000, b"");
    // The server may have hung up on what it saw.
    let sent_all = sent.chunks(piece).try_for_each(|part| client.send(part));
    drop(sent_all.and_then(|()| client.send(&goodbye)));
    client.finish();
    let mut said = Vec::new();
    while let Ok(more) = client.read_some() {
        said.extend(more);
    }
    said
}

#[test]
fn every_frame_passes_as_it_is() {
    let server = server();
    let lb = Setup::new()
        .server_at("a", &server.address().to_string(), "")
        .start();
    let (direct, through) = (server.address(), lb.web());
    let cases: Vec<Case> = [
        sizes(),
        pings(),
        reserved(),
        fragments(),
        texts(),
        ends(),
        broken(),
        large(),
    ]
    .concat();
    assert!(cases.len() > 200, "{}", cases.len());
    let mut answered = 0;
    for (name, sent) in &cases {
        let wanted = answer(direct, sent, usize::MAX);
        answered += usize::from(!wanted.is_empty());
        for piece in [usize::MAX, 997, 1] {
            if piece == 1 && sent.len() > 2000 {
                continue;
            }
            let got = answer(through, sent, piece);
            assert!(
                got == wanted,
                "{name} in pieces of {piece}: {:?}, directly {:?}",
                got.get(..200).unwrap_or(&got).escape_ascii().to_string(),
                wanted
                    .get(..200)
                    .unwrap_or(&wanted)
                    .escape_ascii()
                    .to_string(),
            );
        }
    }
    assert!(answered > 150, "the server answered {answered} only");
    lb.wait_idle();
}
