//! Servers of HTTP/2 that break the rules: the same as with HTTP/1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, H2, HEADERS, PUSH_PROMISE,
    RST_STREAM, SETTINGS, block, block_of_bytes, frame,
};
use crate::common::*;

/// A server that answers each request with the frames that a test gives for its path.
struct FrameServer {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl FrameServer {
    /// `answer` is told the stream.
    fn start(answer: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, stopped) = (Arc::new(answer), Arc::new(AtomicBool::new(false)));
        let ends = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || drop(serve(stream, &*answer)));
            }
        });
        Self { address, stopped }
    }
}

impl Drop for FrameServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect_timeout(
            &self.address,
            Duration::from_secs(1),
        ));
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(u32) -> Vec<u8>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.read_exact(&mut [0; 24])?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize])?;
        let id = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        match head[3] {
            SETTINGS if head[4] & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            HEADERS => stream.write_all(&answer(id))?,
            _ => {}
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Refused,
    Whole(&'static str),
    /// 502, or a message that is visibly cut, as the header was seen before or not.
    Bad,
}

type Fields<'a> = &'a [(&'a str, &'a str)];

fn head(fields: Fields<'_>, flags: u8, id: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, id, &block(fields))
}

/// Header, body `hello`.
fn response(fields: Fields<'_>, id: u32) -> Vec<u8> {
    let mut all = vec![(":status", "200")];
    all.extend_from_slice(fields);
    [head(&all, 0, id), frame(DATA, END_STREAM, id, b"hello")].concat()
}

type Case = (
    &'static str,
    Want,
    Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
);

fn with(name: &'static str, want: Want, fields: Fields<'static>) -> Case {
    (name, want, Box::new(move |id| response(fields, id)))
}

fn frames(
    name: &'static str,
    want: Want,
    bytes: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> Case {
    (name, want, Box::new(bytes))
}

fn status(name: &'static str, want: Want, value: &'static str) -> Case {
    frames(name, want, move |id| {
        [
            head(&[(":status", value)], 0, id),
            frame(DATA, END_STREAM, id, b"hello"),
        ]
        .concat()
    })
}

fn cases() -> Vec<Case> {
    use Want::{Bad, Refused, Whole};
    let ok: Fields<'_> = &[(":status", "200")];
    vec![
        with("nothing special", Whole("hello"), &[]),
        with("a length", Whole("hello"), &[("content-length", "5")]),
        status("no status", Refused, ""),
        status("a status of letters", Refused, "abc"),
        status("99", Refused, "99"),
        status("000", Refused, "000"),
        status("600", Refused, "600"),
        status("999", Refused, "999"),
        status("1000", Refused, "1000"),
        status("a status with a space", Refused, "200 OK"),
        status("101", Refused, "101"),
        with("a second status", Refused, &[(":status", "200")]),
        with("a request's pseudo-field", Refused, &[(":path", "/")]),
        with("an unknown pseudo-field", Refused, &[(":x", "y")]),
        with(
            "a pseudo-field behind",
            Refused,
            &[("x", "y"), (":status", "200")],
        ),
        with("an upper-case name", Refused, &[("X-Upper", "y")]),
        with("a name with a space", Refused, &[("x y", "z")]),
        with("a name with a colon", Refused, &[("x:y", "z")]),
        with("a name with a line break", Refused, &[("x\r\ny", "z")]),
        with("an empty name", Refused, &[("", "z")]),
        with(
            "a line break in a value",
            Refused,
            &[("x", "a\r\nset-cookie: b=c")],
        ),
        with("LF in a value", Refused, &[("x", "a\nb")]),
        with("NUL in a value", Refused, &[("x", "a\0b")]),
        with("connection", Refused, &[("connection", "close")]),
        with("keep-alive", Refused, &[("keep-alive", "timeout=5")]),
        with(
            "proxy-connection",
            Refused,
            &[("proxy-connection", "close")],
        ),
        with(
            "transfer-encoding",
            Refused,
            &[("transfer-encoding", "chunked")],
        ),
        with("upgrade", Refused, &[("upgrade", "websocket")]),
        with(
            "two lengths",
            Refused,
            &[("content-length", "5"), ("content-length", "6")],
        ),
        with(
            "two equal lengths",
            Refused,
            &[("content-length", "5"), ("content-length", "5")],
        ),
        with("a list of lengths", Refused, &[("content-length", "5, 5")]),
        with("a signed length", Refused, &[("content-length", "+5")]),
        with("a negative length", Refused, &[("content-length", "-5")]),
        with(
            "an endless length",
            Refused,
            &[("content-length", "99999999999999999999")],
        ),
        with("less than the length", Bad, &[("content-length", "6")]),
        with("more than the length", Bad, &[("content-length", "4")]),
        frames("a length and no body", Refused, |id| {
            head(
                &[(":status", "200"), ("content-length", "5")],
                END_STREAM,
                id,
            )
        }),
        frames("a body before the header", Refused, |id| {
            frame(DATA, END_STREAM, id, b"hello")
        }),
        frames("a second header", Bad, move |id| {
            [
                head(ok, 0, id),
                head(ok, 0, id),
                frame(DATA, END_STREAM, id, b"hello"),
            ]
            .concat()
        }),
        frames("a body and a reset", Bad, move |id| {
            [
                head(ok, 0, id),
                frame(DATA, 0, id, b"hel"),
                frame(RST_STREAM, 0, id, &2u32.to_be_bytes()),
            ]
            .concat()
        }),
        frames("a body and a goodbye", Bad, move |id| {
            let payload = [0u32.to_be_bytes(), 2u32.to_be_bytes()].concat();
            [
                head(ok, 0, id),
                frame(DATA, 0, id, b"hel"),
                frame(GOAWAY, 0, 0, &payload),
            ]
            .concat()
        }),
        frames("a push", Refused, move |id| {
            let promised = [2u32.to_be_bytes().to_vec(), block(&[(":method", "GET")])].concat();
            frame(PUSH_PROMISE, END_HEADERS, id, &promised)
        }),
        frames("a frame of no stream", Refused, |_| {
            frame(DATA, END_STREAM, 0, b"hello")
        }),
        frames("a frame of a stream to come", Refused, |id| {
            frame(DATA, END_STREAM, id + 100, b"hello")
        }),
        frames("nonsense in the header block", Refused, |id| {
            frame(HEADERS, END_HEADERS, id, &[0xff; 64])
        }),
        frames("nonsense", Refused, |_| {
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()
        }),
        frames("a header block without end", Refused, |id| {
            let field = block(&[("x", &"a".repeat(8000))]);
            let mut all = frame(HEADERS, 0, id, &block(&[(":status", "200")]));
            for _ in 0..4000 {
                all.extend(frame(CONTINUATION, 0, id, &field));
            }
            all
        }),
        frames("a field of 300 KiB", Refused, |id| {
            let value = "a".repeat(300 << 10);
            let whole = block(&[(":status", "200"), ("x", &value)]);
            let parts: Vec<_> = whole.chunks(16_000).collect();
            let mut all = frame(HEADERS, 0, id, parts[0]);
            for (n, part) in parts.iter().enumerate().skip(1) {
                let end = if n + 1 == parts.len() { END_HEADERS } else { 0 };
                all.extend(frame(CONTINUATION, end, id, part));
            }
            all.extend(frame(DATA, END_STREAM, id, b"hello"));
            all
        }),
        frames("300 fields", Refused, |id| {
            let fields: Vec<_> = (0..300).map(|n| (format!("x-{n}"), "1")).collect();
            let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), *v)).collect();
            response(&fields, id)
        }),
        frames("interim responses", Whole("hello"), |id| {
            let hints = head(&[(":status", "103"), ("link", "</a>")], 0, id);
            [hints.repeat(5), response(&[], id)].concat()
        }),
        frames("an interim response that ends", Refused, |id| {
            head(&[(":status", "100")], END_STREAM, id)
        }),
        frames("trailers", Whole("hello"), move |id| {
            [
                head(ok, 0, id),
                frame(DATA, 0, id, b"hello"),
                head(
                    &[
                        ("x-trailer", "1"),
                        ("set-cookie", "evil=1"),
                        ("content-length", "9"),
                    ],
                    END_STREAM,
                    id,
                ),
            ]
            .concat()
        }),
        frames("trailers with a status", Bad, move |id| {
            [
                head(ok, 0, id),
                frame(DATA, 0, id, b"hello"),
                head(&[(":status", "200")], END_STREAM, id),
            ]
            .concat()
        }),
        frames("a byte that is no text", Whole("hello"), |id| {
            let fields = block_of_bytes(&[(b":status", b"200"), (b"x", b"\xe4\xff")]);
            [
                frame(HEADERS, END_HEADERS, id, &fields),
                frame(DATA, END_STREAM, id, b"hello"),
            ]
            .concat()
        }),
    ]
}

#[test]
fn broken_responses_of_http_2_are_refused_or_cut() {
    let table = Arc::new(cases());
    let now = Arc::new(AtomicUsize::new(0));
    let (answers, case) = (Arc::clone(&table), Arc::clone(&now));
    let origin = FrameServer::start(move |id| answers[case.load(Ordering::SeqCst)].2(id));
    let lb = Setup::new()
        .server_at("raw", &origin.address.to_string(), "")
        .pool("http2: true\nretries: {attempts: 0}\ntimeouts: {receive: 5s}")
        .start();
    let mut wrong = Vec::new();
    for (n, (name, want, _)) in table.iter().enumerate() {
        now.store(n, Ordering::SeqCst);
        let mut client = lb.client();
        client.send_request("GET", "/", &[], b"").unwrap();
        // Interim responses pass.
        let one = loop {
            match client.read_response(false) {
                Ok(interim) if interim.status < 200 => {}
                last => break last.map_err(|error| error.to_string()),
            }
        };
        let two = H2::connect(lb.web())
            .get("/", &[])
            .map_err(|error| error.to_string());
        for seen in [one, two] {
            let right = match (want, &seen) {
                (Want::Refused | Want::Bad, Ok(response)) => response.status == 502,
                (Want::Bad, Err(_)) => true,
                (Want::Whole(body), Ok(response)) => {
                    response.status == 200
                        && response.text() == *body
                        && response.header("set-cookie").is_none()
                }
                (Want::Refused | Want::Whole(_), Err(_)) => false,
            };
            if !right {
                let seen = seen.map_or_else(|error| error, |response| response.to_string());
                let seen: String = seen.chars().take(200).collect();
                wrong.push(format!("{name}: not {want:?}: {seen}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    lb.wait_idle();
    assert!(!lb.stderr().contains("panicked"), "{}", lb.stderr());
}

/// What came on a new connection has a low number.
fn number(response: &Response) -> u32 {
    response.text().parse().unwrap()
}

fn numbered(id: u32) -> Vec<u8> {
    let text = id.to_string();
    [
        head(&[(":status", "200")], 0, id),
        frame(DATA, 0, id, b""),
        frame(DATA, END_STREAM, id, text.as_bytes()),
    ]
    .concat()
}

#[test]
fn empty_pieces_do_not_use_a_connection_up() {
    let server = FrameServer::start(numbered);
    let lb = Setup::new()
        .server_at("a", &server.address.to_string(), "")
        .pool("http2: true\nhealth_check: null")
        .start();
    let client = H2::connect(lb.web());
    for turn in 0..300 {
        let response = client.get("/", &[]).unwrap();
        assert_eq!(response.status, 200, "{turn}");
        assert_eq!(number(&response), 2 * turn + 1, "on another connection");
    }
}

#[test]
fn small_pieces_that_nobody_takes_end_nobody_elses_requests() {
    const UNREAD: u32 = 20;
    let server = FrameServer::start(|id| {
        if id > 2 * UNREAD {
            return numbered(id);
        }
        let mut response = head(&[(":status", "200")], 0, id);
        (0..3000).for_each(|_| response.extend(frame(DATA, 0, id, &[b'x'; 16])));
        response
    });
    let lb = Setup::new()
        .server_at("a", &server.address.to_string(), "")
        .pool("http2: true\nhealth_check: null")
        .start();
    let mut unwilling = Frames::connect(lb.web());
    // SETTINGS_INITIAL_WINDOW_SIZE
    unwilling.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).unwrap();
    for turn in 0..UNREAD {
        unwilling.get(2 * turn + 1).unwrap();
        unwilling.frame_of(2 * turn + 1, HEADERS);
    }
    let client = H2::connect(lb.web());
    for turn in UNREAD..UNREAD + 3 {
        let response = client.get("/", &[]).unwrap();
        assert_eq!(response.status, 200, "{turn}");
        assert_eq!(number(&response), 2 * turn + 1, "on another connection");
    }
}
