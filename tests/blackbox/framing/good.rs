//! Good requests at random, and what can be done to them.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::strict;

/// A good request, written in one of many ways; what it comes to is for the strict reader to say.
pub fn request(random: &mut StdRng) -> Vec<u8> {
    let method = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X-1",
    ]
    .choose(random)
    .unwrap();
    let target = [
        "/",
        "/x",
        "/x?y=z",
        "/a/b/c",
        "/%20",
        "/x;y=z",
        "/x?y=%0d%0a",
    ]
    .choose(random)
    .unwrap();
    let empty_lines = if random.random_ratio(1, 10) {
        "\r\n"
    } else {
        ""
    };
    let mut fields = vec!["Host: a.test".to_owned()];
    for _ in 0..random.random_range(0..4) {
        let field = [
            "X: y",
            "Accept: */*",
            "X:",
            "X: \t y \t",
            "Cookie: a=b; c=d",
            "Keep-Alive: timeout=5",
            "Connection: keep-alive",
            "TE: trailers",
            "X-Long: 0123456789012345678901234567890123456789",
            "Connection: X-Long",
            "X: GET /smuggled HTTP/1.1",
            "api_key: z",
            "X: \u{e9}",
        ];
        fields.push((*field.choose(random).unwrap()).to_owned());
    }
    let mut body = vec![0; *[0, 1, 5, 60, 3000, 20_000].choose(random).unwrap()];
    for byte in &mut body {
        *byte = *b"\r\n\0abc:;05 /GETHP.1\xff".choose(random).unwrap();
    }
    let mut framed = Vec::new();
    let framing = random.random_range(0..3);
    match framing {
        0 => fields.push("Transfer-Encoding: chunked".to_owned()),
        1 => fields.push(format!("Content-Length: {}", body.len())),
        _ => body.clear(),
    }
    if framing == 0 {
        let mut rest = &body[..];
        while !rest.is_empty() {
            let size = random.random_range(1..=rest.len().min(5000));
            let extension = ["", "", "", ";x", ";x=y", ";x=\"y\""]
                .choose(random)
                .unwrap();
            let zeros = ["", "", "0", "000"].choose(random).unwrap();
            framed.extend_from_slice(format!("{zeros}{size:x}{extension}\r\n").as_bytes());
            framed.extend_from_slice(&rest[..size]);
            framed.extend_from_slice(b"\r\n");
            rest = &rest[size..];
        }
        let trailers = ["", "", "X: y\r\n", "Content-Length: 7\r\nHost: b.test\r\n"]
            .choose(random)
            .unwrap();
        framed.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    } else {
        framed = body;
    }
    let end = random.random_range(0..fields.len());
    fields.rotate_right(end);
    let head: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let head = format!("{empty_lines}{method} {target} HTTP/1.1\r\n{head}\r\n");
    [strict::bytes(&head), framed].concat()
}

/// Bytes that matter to readers of HTTP.
const SPICE: [&[u8]; 44] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\r\n",
    b" ",
    b"\t",
    b"\0",
    b":",
    b";",
    b",",
    b"0",
    b"1",
    b"f",
    b"-",
    b"+",
    b"_",
    b"x",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc4\x8a",
    b"\"",
    b"#",
    b"/",
    b"?",
    b"@",
    b"\\",
    b"http://b.test",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: x\r\n",
    b"Connection: close\r\n",
    b"Host: b.test\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"0\r\n\r\n",
    b" HTTP/1.0",
    b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"Content_Length: 3\r\n",
];

/// Where spice goes: rather near the end of a line, a colon or a digit.
fn place(wire: &[u8], random: &mut StdRng) -> usize {
    let near: Vec<usize> = (0..wire.len().min(3000))
        .filter(|at| b"\r\n: ;0123456789".contains(&wire[*at]))
        .collect();
    if random.random_ratio(1, 4) || near.is_empty() {
        random.random_range(0..wire.len())
    } else {
        (near.choose(random).unwrap() + random.random_range(0..2)).min(wire.len() - 1)
    }
}

/// The same with a few bytes that are not as they were.
pub fn mutated(mut wire: Vec<u8>, random: &mut StdRng) -> Vec<u8> {
    for _ in 0..random.random_range(1..4) {
        let at = place(&wire, random);
        match random.random_range(0..6) {
            0 | 1 => {
                let spice = SPICE.choose(random).unwrap();
                wire.splice(at..at, spice.iter().copied());
            }
            2 => wire[at] = SPICE.choose(random).unwrap()[0],
            3 => {
                wire.remove(at);
            }
            4 => wire[at] ^= 1 << random.random_range(0..8),
            _ => {
                let end = (at + random.random_range(1..60)).min(wire.len());
                let part = wire[at..end].to_vec();
                let to = place(&wire, random);
                wire.splice(to..to, part);
            }
        }
    }
    wire
}
