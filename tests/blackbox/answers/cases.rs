//! The table: what a server sends, and what must come of it.

use super::Then;

/// What a client must see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// 502, with this word in the access log, and nothing of the server's.
    Refused(&'static str),
    /// This status and body, whole.
    Whole(u16, &'static str),
    /// Less than a whole message, and that it is less; with this word in the access log.
    Cut(&'static str),
}

/// What becomes of the server's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Used again.
    Kept,
    /// Never used again.
    Dropped,
    /// Either will do.
    Any,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub method: &'static str,
    pub bytes: Vec<u8>,
    pub then: Then,
    pub want: Want,
    pub connection: Connection,
    /// A field that the client must see with this value.
    pub field: Option<(&'static str, &'static str)>,
}

const INVALID: &str = "server_invalid";
const RESET: &str = "server_reset";

/// All of them.
pub fn all() -> Vec<Case> {
    let mut table = Table::default();
    status_lines(&mut table);
    field_lines(&mut table);
    lengths(&mut table);
    codings(&mut table);
    chunks(&mut table);
    bodies(&mut table);
    interim(&mut table);
    early_ends(&mut table);
    limits(&mut table);
    splitting(&mut table);
    table.0
}

impl Case {
    fn called(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }
}

#[derive(Default)]
struct Table(Vec<Case>);

impl Table {
    fn add(&mut self, name: impl Into<String>, bytes: impl AsRef<[u8]>, want: Want) -> &mut Case {
        self.0.push(Case {
            name: name.into(),
            method: "GET",
            bytes: bytes.as_ref().to_vec(),
            then: Then::Keep,
            connection: match want {
                Want::Whole(..) => Connection::Any,
                Want::Refused(_) | Want::Cut(_) => Connection::Dropped,
            },
            want,
            field: None,
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// A status line before an otherwise good response.
    fn status(&mut self, line: impl AsRef<[u8]>, want: Want) {
        let name = format!("status line {}", line.as_ref().escape_ascii());
        let bytes = [line.as_ref(), b"\r\nContent-Length: 2\r\n\r\nok"].concat();
        self.add(name, bytes, want);
    }

    /// Field lines of a response whose length is right.
    fn field(&mut self, lines: impl AsRef<[u8]>, want: Want) -> &mut Case {
        let name = format!("field {}", lines.as_ref().escape_ascii());
        let bytes = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            lines.as_ref(),
            b"\r\n\r\nok",
        ]
        .concat();
        self.add(name, bytes, want)
    }

    /// Field lines that say how long the body `hello` is.
    fn framed(&mut self, lines: &[u8], body: &[u8], want: Want) -> &mut Case {
        let name = format!("{} and {}", lines.escape_ascii(), body.escape_ascii());
        let bytes = [b"HTTP/1.1 200 OK\r\n", lines, b"\r\n\r\n", body].concat();
        self.add(name, bytes, want)
    }

    fn chunked(&mut self, body: impl AsRef<[u8]>, want: Want) -> &mut Case {
        self.framed(b"Transfer-Encoding: chunked", body.as_ref(), want)
    }
}

fn invalid() -> Want {
    Want::Refused(INVALID)
}

fn ok() -> Want {
    Want::Whole(200, "ok")
}

fn hello() -> Want {
    Want::Whole(200, "hello")
}

fn status_lines(table: &mut Table) {
    let bad: &[&[u8]] = &[
        b"hello",
        b"200 OK",
        b"SSH-2.0-OpenSSH_9.2",
        b"ICY 200 OK",
        b"GET / HTTP/1.1",
        b"{\"status\": 200}",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\0\0\0\x04\0\0\0\0\0",
        b"PRI * HTTP/2.0",
        b"HTTP/2.0 200 OK",
        b"HTTP/2 200 OK",
        b"HTTP/9.9 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1 200 OK",
        b"HTTP/1.10 200 OK",
        b"HTTP/11 200 OK",
        b"HTTP/1,1 200 OK",
        b"HTTPS/1.1 200 OK",
        b"http/1.1 200 OK",
        b"HTTP /1.1 200 OK",
        b"HTTP/1.1200 OK",
        b" HTTP/1.1 200 OK",
        b"\tHTTP/1.1 200 OK",
        b"\xef\xbb\xbfHTTP/1.1 200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 99 x",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 000 x",
        b"HTTP/1.1 600 x",
        b"HTTP/1.1 999 x",
        b"HTTP/1.1 1000 x",
        b"HTTP/1.1 2000",
        b"HTTP/1.1 abc OK",
        b"HTTP/1.1 20x OK",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1 +200 OK",
        b"HTTP/1.1 2e2 OK",
        b"HTTP/1.1 0xc8 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 200,OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 OK 200",
        b"HTTP/1.1 ",
        b"HTTP/1.1",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\x1bK",
        b"HTTP/1.1 200 O\x08K",
        b"HTTP/1.1 200 O\x7fK",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 OK\rSet-Cookie: a=b",
    ];
    for line in bad {
        table.status(line, invalid());
    }
    let good: &[&[u8]] = &[
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 Sehr gut\tso",
        b"HTTP/1.1 200 Gr\xc3\xbc\xc3\x9fe",
        b"HTTP/1.0 200 OK",
    ];
    for line in good {
        table.status(line, ok());
    }
    table.status(b"HTTP/1.1 599 x", Want::Whole(599, "ok"));
    table.status(b"HTTP/1.1 407 x", Want::Whole(407, "ok"));
}

fn field_lines(table: &mut Table) {
    let bad: &[&[u8]] = &[
        b": no name",
        b" : no name",
        b"no colon",
        b"X A: b",
        b"X\tA: b",
        b"X\0: b",
        b"X\x1b: b",
        b"X\x7f: b",
        b"X\x0b: b",
        b"X(a): b",
        b"X\"a\": b",
        b"X@a: b",
        b"X=a: b",
        b"X/a: b",
        b"X[a]: b",
        b"X{a}: b",
        b"X<a>: b",
        b"X,a: b",
        b"X;a: b",
        b"X\\a: b",
        b"X\xe4: b",
        b"\xc4\xb0X: b",
        b"X: a\rb",
        b"X: a\r",
        b"\rX: a",
        b"X: a\0b",
        b"X: \0",
        b"X: a\x01b",
        b"X: a\x1b[31mb",
        b"X: a\x0bb",
        b"X: a\x0cb",
        b"X: a\x7fb",
        b"X: a\rSet-Cookie: b=c",
        b"X: a\r\r\nY: b",
        b"Content-Length\x0b: 7",
        b"Transfer-Encoding\0: chunked",
        b"Transfer-Encoding:\x0bchunked",
    ];
    for line in bad {
        table.field(line, invalid());
    }
    // Put right, as RFC 9112 sections 2.2, 5.1 and 5.2 allow for responses.
    for (line, value) in [
        ("X-Seen: a", "a"),
        ("X-Seen:a", "a"),
        ("X-Seen:\t a \t", "a"),
        ("X-Seen : a", "a"),
        ("X-Seen\t: a", "a"),
        ("X-Seen: a\r\n b", "a b"),
        ("X-Seen: a\r\n\tb\r\n  c", "a b c"),
        ("X-Seen: a\r\n Set-Cookie: x=y", "a Set-Cookie: x=y"),
        ("X-Seen: a\nX-Other: b", "a"),
        ("X-Seen:", ""),
        ("X-Seen: a\tb", "a\tb"),
        ("!#$%&'*+-.^_`|~0aZ: 1\r\nX-Seen: a", "a"),
    ] {
        table.field(line, ok()).field = Some(("x-seen", value));
    }
    table.field(b"X-Seen: \xe4\xff", ok());
    table.add(
        "bare LF everywhere",
        b"HTTP/1.1 200 OK\nContent-Length: 2\nX-Seen: a\n\nok",
        ok(),
    );
    table.add(
        "empty lines before",
        b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ok(),
    );
    table.add(
        "a folded line first",
        b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 2\r\n\r\nok",
        invalid(),
    );
}

fn lengths(table: &mut Table) {
    let bad: &[&[u8]] = &[
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 6\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\ncontent-length: 5",
        b"Content-Length: 5\r\nContent-Length: ",
        b"Content-Length: 5\r\nContent-Length: x",
        b"Content-Length: 5, 5",
        b"Content-Length: 5,6",
        b"Content-Length: 5,",
        b"Content-Length: ,5",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: -0",
        b"Content-Length: 0x5",
        b"Content-Length: 5h",
        b"Content-Length: 5.0",
        b"Content-Length: 5e0",
        b"Content-Length: 5 5",
        b"Content-Length: 5;a",
        b"Content-Length: \"5\"",
        b"Content-Length: five",
        b"Content-Length: ",
        b"Content-Length: \xd9\xa5",
        b"Content-Length: 5\xa0",
        b"Content-Length: 5\r\n 5",
        b"Content-Length: 9223372036854775808",
        b"Content-Length: 18446744073709551616",
        b"Content-Length: 18446744073709551621",
        b"Content-Length: 99999999999999999999999999",
    ];
    for lines in bad {
        table.framed(lines, b"hello", invalid());
    }
    for lines in [
        &b"Content-Length: 5"[..],
        b"content-length:5",
        b"Content-Length: \t5\t ",
        b"Content-Length : 5",
        b"Content-Length: 05",
        b"Content_Length: 9\r\nContent-Length: 5",
        b"X-Content-Length: 9\r\nContent-Length: 5",
        b"Transfer_Encoding: chunked\r\nContent-Length: 5",
        b"TE: chunked\r\nContent-Length: 5",
    ] {
        table.framed(lines, b"hello", hello()).connection = Connection::Kept;
    }
    // What is left of both has one meaning, and the other is not passed on.
    for lines in [
        &b"Content-Length: 3\r\nTransfer-Encoding: chunked"[..],
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Transfer-Encoding : chunked\r\nContent-Length: 3",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3, 4",
    ] {
        table.framed(lines, b"5\r\nhello\r\n0\r\n\r\n", hello());
    }
}

fn codings(table: &mut Table) {
    let chunks = b"5\r\nhello\r\n0\r\n\r\n";
    let bad: &[&[u8]] = &[
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: x",
        b"Transfer-Encoding: ",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: identity, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked,",
        b"Transfer-Encoding: ,chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: x\r\ntransfer-encoding: chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunkedx",
        b"Transfer-Encoding: chunk",
        b"Transfer-Encoding: chunked;a=b",
        b"Transfer-Encoding: \"chunked\"",
        b"Transfer-Encoding: 'chunked'",
        b"Transfer-Encoding: chunked\xa0",
        b"Transfer-Encoding: \xc2\xa0chunked",
        b"Transfer-Encoding: chunKed, cow",
        b"Transfer-Encoding: chu\r\n nked",
        b"Transfer-Encoding: gzip\r\nContent-Length: 15",
    ];
    for lines in bad {
        table.framed(lines, chunks, invalid());
    }
    table.add(
        "chunked in HTTP/1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        invalid(),
    );
    for lines in [
        &b"Transfer-Encoding: chunked"[..],
        b"Transfer-Encoding: CHUNKED",
        b"transfer-encoding:chunked",
        b"Transfer-Encoding: \tchunked \t",
        b"Transfer-Encoding : chunked",
    ] {
        table.framed(lines, chunks, hello()).connection = Connection::Kept;
    }
}

fn chunks(table: &mut Table) {
    let cut = || Want::Cut(INVALID);
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n0\r\n\r\n",
        "5h\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello\r\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "3\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\nx\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\r\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "<html>hello</html>",
    ] {
        table.chunked(body, cut());
    }
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        "005\r\nhello\r\n00\r\n\r\n",
        "5;a=b\r\nhello\r\n0;c\r\n\r\n",
        "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5 ;a\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n",
        "5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\nX: c\r\n\r\n",
    ] {
        table.chunked(body, hello()).connection = Connection::Kept;
    }
    // Ended by the close.
    for body in [
        "",
        "5",
        "5\r\n",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello\r\n0\r\n\r",
        "5\r\nhello\r\n0\r\nX: a\r\n",
        "ffffffffffffff\r\nhello",
    ] {
        for then in [Then::Close, Then::Reset] {
            let case = table.chunked(body, Want::Cut(RESET));
            case.name = format!("{} {then:?}", case.name);
            case.then = then;
        }
    }
    let long = "x".repeat(100_000);
    table
        .chunked(format!("5;{long}\r\nhello\r\n0\r\n\r\n"), cut())
        .called("an endless chunk extension");
    table
        .chunked(format!("5\r\nhello\r\n0\r\nX: {long}\r\n\r\n"), cut())
        .called("endless trailers");
    let many = "X: 1\r\n".repeat(20_000);
    table
        .chunked(format!("5\r\nhello\r\n0\r\n{many}\r\n"), cut())
        .called("many trailers");
}

fn bodies(table: &mut Table) {
    let next = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nSet-Cookie: evil=1\r\n\r\npoison";
    for (name, method, first, want) in [
        (
            "a length",
            "GET",
            "200 OK\r\nContent-Length: 5\r\n\r\nhello",
            hello(),
        ),
        (
            "no body",
            "GET",
            "200 OK\r\nContent-Length: 0\r\n\r\n",
            Want::Whole(200, ""),
        ),
        (
            "chunks",
            "GET",
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            hello(),
        ),
        ("204", "GET", "204 No Content\r\n\r\n", Want::Whole(204, "")),
        (
            "304",
            "GET",
            "304 Not Modified\r\n\r\n",
            Want::Whole(304, ""),
        ),
        (
            "HEAD",
            "HEAD",
            "200 OK\r\nContent-Length: 5\r\n\r\n",
            Want::Whole(200, ""),
        ),
        (
            "HEAD with chunks",
            "HEAD",
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Want::Whole(200, ""),
        ),
    ] {
        for (what, more) in [
            ("another response", next),
            ("garbage", "garbage"),
            ("an empty line", "\r\n"),
            ("half a response", "HTTP/1.1 200 OK\r\nX-Poison: "),
        ] {
            let case = table.add(
                format!("{what} after {name}"),
                format!("HTTP/1.1 {first}{more}"),
                want.clone(),
            );
            case.method = method;
            case.connection = Connection::Dropped;
        }
    }
    for (method, head, body) in [
        ("GET", "204 No Content\r\nContent-Length: 5", "hello"),
        (
            "GET",
            "204 No Content\r\nContent-Length: 51",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison........",
        ),
        (
            "GET",
            "204 No Content\r\nTransfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        ("GET", "304 Not Modified\r\nContent-Length: 5", "hello"),
        (
            "GET",
            "304 Not Modified\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
        ),
        ("HEAD", "200 OK\r\nContent-Length: 5", "hello"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        ("HEAD", "404 Not Found", "hello"),
    ] {
        let status = head[..3].parse().unwrap();
        let case = table.add(
            format!("a body where none is: {method} {head} {body}"),
            format!("HTTP/1.1 {head}\r\n\r\n{body}"),
            Want::Whole(status, ""),
        );
        case.method = method;
        case.connection = Connection::Dropped;
    }
    for (method, head) in [
        ("GET", "204 No Content\r\nContent-Length: 0"),
        (
            "GET",
            "304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"",
        ),
        ("HEAD", "200 OK\r\nContent-Length: 500000"),
        ("HEAD", "200 OK"),
    ] {
        let status = head[..3].parse().unwrap();
        let case = table.add(
            format!("no body: {method} {head}"),
            format!("HTTP/1.1 {head}\r\n\r\n"),
            Want::Whole(status, ""),
        );
        case.method = method;
        case.connection = Connection::Kept;
    }
    for (name, head) in [
        ("until the close", "HTTP/1.1 200 OK\r\n\r\nhello"),
        (
            "until the close of HTTP/1.0",
            "HTTP/1.0 200 OK\r\n\r\nhello",
        ),
        (
            "until the close, against its Connection",
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
        ),
    ] {
        let case = table.add(name, head, hello());
        case.then = Then::Close;
        case.connection = Connection::Dropped;
    }
    let case = table.add(
        "until a reset",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        Want::Cut(RESET),
    );
    case.then = Then::Reset;
    for length in [6, 1_000_000_000] {
        for then in [Then::Close, Then::Reset] {
            let case = table.add(
                format!("5 bytes of {length}, {then:?}"),
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello"),
                Want::Cut(RESET),
            );
            case.then = then;
        }
    }
    let case = table.add(
        "closed as announced",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        hello(),
    );
    case.connection = Connection::Dropped;
}

fn interim(table: &mut Table) {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (name, first) in [
        ("100", "HTTP/1.1 100 Continue\r\n\r\n".to_owned()),
        ("102", "HTTP/1.1 102 Processing\r\n\r\n".to_owned()),
        (
            "103",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned(),
        ),
        ("an unknown one", "HTTP/1.1 199 x\r\n\r\n".to_owned()),
        (
            "one with an empty body",
            "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "one of the hop",
            "HTTP/1.1 103 x\r\nConnection: close, X-A\r\nX-A: 1\r\nKeep-Alive: 5\r\n\r\n"
                .to_owned(),
        ),
        ("a few", "HTTP/1.1 102 Processing\r\n\r\n".repeat(60)),
    ] {
        let case = table.add(format!("interim: {name}"), first + last, hello());
        case.connection = Connection::Kept;
    }
    for (name, bytes) in [
        ("a flood", "HTTP/1.1 100 Continue\r\n\r\n".repeat(65) + last),
        (
            "a great flood",
            "HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n".repeat(20_000) + last,
        ),
        (
            "a length",
            format!("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello{last}"),
        ),
        (
            "a length and no body",
            format!("HTTP/1.1 103 x\r\nContent-Length: 86\r\n\r\n{last}"),
        ),
        (
            "chunks",
            format!("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{last}"),
        ),
        (
            "a body",
            format!("HTTP/1.1 100 Continue\r\n\r\nhello{last}"),
        ),
        (
            "nonsense behind",
            "HTTP/1.1 100 Continue\r\n\r\nnonsense\r\n\r\n".to_owned(),
        ),
        (
            "bad framing behind",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_owned(),
        ),
        (
            "two lengths",
            format!("HTTP/1.1 100 x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n{last}"),
        ),
        (
            "101",
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n{last}"
            ),
        ),
        (
            "101 without a protocol",
            format!("HTTP/1.1 101 Switching Protocols\r\n\r\n{last}"),
        ),
        (
            "101 after 100",
            format!(
                "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n{last}"
            ),
        ),
    ] {
        table.add(format!("interim: {name}"), bytes, invalid());
    }
    let case = table.add(
        "interim and the end",
        "HTTP/1.1 100 Continue\r\n\r\n",
        Want::Refused(RESET),
    );
    case.then = Then::Close;
}

fn early_ends(table: &mut Table) {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Seen: a\r\n\r\n";
    for at in [
        0,
        1,
        4,
        8,
        9,
        12,
        13,
        16,
        17,
        20,
        32,
        36,
        47,
        whole.len() - 2,
        whole.len() - 1,
    ] {
        for then in [Then::Close, Then::Reset] {
            let case = table.add(
                format!("the end in the header, after {at} bytes, {then:?}"),
                &whole[..at],
                Want::Refused(RESET),
            );
            case.then = then;
        }
    }
}

fn limits(table: &mut Table) {
    let fields = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: 1\r\n")).collect() };
    let response =
        |fields: String| format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
    table.add("100 fields", response(fields(100)), ok());
    table.add("300 fields", response(fields(300)), invalid());
    table.add("100000 fields", response(fields(100_000)), invalid());
    table.add(
        "a field of 30 KiB",
        response(format!("X: {}\r\n", "a".repeat(30 << 10))),
        ok(),
    );
    table.add(
        "a field of 300 KiB",
        response(format!("X: {}\r\n", "a".repeat(300 << 10))),
        invalid(),
    );
    table.add(
        "a field without end",
        response(format!("X: {}", "a".repeat(3 << 20))),
        invalid(),
    );
    table.add(
        "a name without end",
        response("a".repeat(3 << 20)),
        invalid(),
    );
    table.add(
        "a reason without end",
        format!("HTTP/1.1 200 {}", "a".repeat(3 << 20)),
        invalid(),
    );
    table.add("empty lines without end", "\r\n".repeat(2 << 20), invalid());
}

fn splitting(table: &mut Table) {
    for value in [
        "/%0d%0aSet-Cookie:%20evil=1",
        "/%0D%0A%0D%0A<script>",
        "/%E5%98%8A%E5%98%8DSet-Cookie:evil=1",
        "/\\r\\nSet-Cookie: evil=1",
        "/&#13;&#10;Set-Cookie: evil=1",
    ] {
        let lines = format!("Location: {value}");
        table.field(lines, ok()).field = Some(("location", value));
    }
    table.field("Location: /\u{560a}\u{560d}Set-Cookie: evil=1", ok());
    for lines in [
        "Location: /\rSet-Cookie: evil=1",
        "Location: /\0\r\nX: 1",
        "Location: /\u{b}Set-Cookie: evil=1",
    ] {
        table.field(lines, invalid());
    }
}
