//! Connections to servers.

use super::*;
use crate::http::wire::http2::frames::{PING, PREFACE, PUSH_PROMISE};
use crate::http::wire::http2::request_line::RequestLine;

/// What a server may send ahead on a stream.
const STREAM: u32 = 64 * 1024;

/// A server's end of a connection.
struct Origin {
    streams: Arc<Streams>,
    wakers: Vec<Waker>,
    inbox: BytesMut,
    decoder: Decoder,
}

impl Origin {
    /// Of a connection that has begun.
    fn new() -> Self {
        let mut origin = Self::fresh();
        origin.say(&frame(SETTINGS, 0, 0, b"")).unwrap();
        origin.hear();
        origin
    }

    /// Of one whose server has said nothing yet, and heard the preface.
    fn fresh() -> Self {
        let mut origin = Self {
            streams: Streams::with_server(Instant::now()),
            wakers: Vec::new(),
            inbox: BytesMut::new(),
            decoder: Decoder::new(),
        };
        let said = origin.hear_bytes();
        assert!(said.starts_with(PREFACE));
        let kinds: Vec<_> = frames_of(&said[PREFACE.len()..]);
        let kinds: Vec<_> = kinds.iter().map(|it| it.kind).collect();
        assert_eq!(kinds, [SETTINGS, WINDOW_UPDATE]);
        origin
    }

    fn try_ask(&self, method: &Method, ends: bool) -> Result<ServerStream, UnsentError> {
        let line = RequestLine {
            method,
            scheme: "http",
            authority: b"a.test",
            path: b"/",
        };
        self.streams.request(&line, &Fields::new(), ends)
    }

    fn ask(&self) -> ServerStream {
        self.try_ask(&Method::GET, true).unwrap()
    }

    fn say(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.inbox.extend_from_slice(bytes);
        let now = Instant::now();
        (self.streams).receive_from_server(&mut self.inbox, now, &mut self.wakers)
    }

    fn hear_bytes(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        self.streams.take_output(&mut output, &mut self.wakers);
        self.streams.note_written(output.len(), &mut self.wakers);
        output
    }

    fn hear(&mut self) -> Vec<Got> {
        frames_of(&self.hear_bytes())
    }
}

/// A header block each field of which goes into the table.
fn indexed(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        let at = block.len();
        write_literal(name.as_bytes(), value.as_bytes(), &mut block);
        block[at] = 0x40;
    }
    block
}

fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &indexed(fields))
}

fn ok(stream: u32, flags: u8) -> Vec<u8> {
    headers(stream, flags, &[(":status", "200")])
}

fn status(stream: &ServerStream) -> Result<u16, Loss> {
    match stream.poll_header(&waits()) {
        Poll::Ready(header) => header.map(|header| header.status.as_u16()),
        Poll::Pending => panic!("no header has come"),
    }
}

/// The body as far as it has come, and what is behind it: trailers, or none.
fn body(stream: &mut ServerStream) -> (Vec<u8>, Poll<Result<Option<String>, Loss>>) {
    let mut bytes = Vec::new();
    loop {
        match stream.poll_body(&waits()) {
            Poll::Ready(Ok(Chunk::Data(piece, _))) => bytes.extend(piece),
            Poll::Ready(Ok(Chunk::End(trailers))) => {
                let text = |fields: Fields| {
                    let lines = fields.iter();
                    let lines =
                        lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
                    lines.collect::<Vec<_>>().join(", ")
                };
                return (bytes, Poll::Ready(Ok(trailers.map(text))));
            }
            Poll::Ready(Err(loss)) => return (bytes, Poll::Ready(Err(loss))),
            Poll::Pending => return (bytes, Poll::Pending),
        }
    }
}

#[test]
fn a_request_has_its_pseudo_fields_and_no_field_of_a_connection() {
    let mut origin = Origin::new();
    let mut fields = Fields::new();
    for (name, value) in [
        ("host", "a.test"),
        ("connection", "close"),
        ("cookie", "a=b"),
        ("te", "trailers"),
    ] {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        fields.append(name, value.parse().unwrap());
    }
    let method = Method::PUT;
    let line = RequestLine {
        method: &method,
        scheme: "https",
        authority: b"a.test",
        path: b"/x?y",
    };
    let stream = origin.streams.request(&line, &fields, false).unwrap();
    let (mut piece, mut end, mut sent) = (Bytes::from_static(b"body"), None, 0);
    assert!(
        stream
            .poll_send(&mut piece, &mut end, &mut sent, &waits())
            .is_ready()
    );
    end = Some(Ending { trailers: None });
    assert!(
        stream
            .poll_send(&mut piece, &mut end, &mut sent, &waits())
            .is_ready()
    );
    assert_eq!(sent, 4);
    let got = origin.hear();
    let kinds: Vec<_> = got
        .iter()
        .map(|it| (it.kind, it.flags, it.stream))
        .collect();
    let wanted = [
        (HEADERS, END_HEADERS, 1),
        (DATA, 0, 1),
        (DATA, END_STREAM, 1),
    ];
    assert_eq!(kinds, wanted);
    let mut said = Vec::new();
    origin
        .decoder
        .decode(&got[0].payload, |name, value| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            said.push((text(name), text(value)));
        })
        .unwrap();
    let said: Vec<_> = said.iter().map(|(n, v)| (&**n, &**v)).collect();
    let wanted = [
        (":method", "PUT"),
        (":scheme", "https"),
        (":authority", "a.test"),
        (":path", "/x?y"),
        ("cookie", "a=b"),
        ("te", "trailers"),
    ];
    assert_eq!(said, wanted);
}

#[test]
fn a_response_is_taken_header_by_header_and_piece_by_piece() {
    let mut origin = Origin::new();
    let mut stream = origin.ask();
    assert!(stream.poll_header(&waits()).is_pending());
    origin
        .say(
            &[
                headers(1, 0, &[(":status", "103"), ("link", "</x>")]),
                ok(1, 0),
                frame(DATA, 0, 1, b"one "),
                frame(DATA, 0, 1, b""),
                frame(DATA, 0, 1, b"two"),
            ]
            .concat(),
        )
        .unwrap();
    assert!(!stream.is_at_end());
    assert_eq!((status(&stream), status(&stream)), (Ok(103), Ok(200)));
    assert_eq!(body(&mut stream), (b"one two".to_vec(), Poll::Pending));
    origin
        .say(&headers(1, END_STREAM, &[("grpc-status", "0")]))
        .unwrap();
    assert!(!stream.is_at_end(), "trailers are behind it");
    let trailers = Some("grpc-status: 0".to_owned());
    assert_eq!(body(&mut stream), (Vec::new(), Poll::Ready(Ok(trailers))));
    drop(stream);
    assert!(resets(&origin.hear()).is_empty());
    let streams = &origin.streams;
    assert_eq!(
        (streams.condition().active, streams.condition().is_busy),
        (0, false)
    );
}

#[test]
fn the_end_of_a_body_is_known_with_its_last_piece() {
    let mut origin = Origin::new();
    let mut stream = origin.ask();
    origin.say(&ok(1, 0)).unwrap();
    origin.say(&frame(DATA, END_STREAM, 1, b"all")).unwrap();
    assert_eq!(status(&stream), Ok(200));
    assert!(!stream.is_at_end());
    let piece = stream.poll_body(&waits());
    assert!(matches!(piece, Poll::Ready(Ok(Chunk::Data(_, true)))));
    assert!(stream.is_at_end());
    let stream = origin.ask();
    origin.say(&ok(3, END_STREAM)).unwrap();
    assert!(!stream.is_at_end(), "its header is to be taken");
    assert_eq!(status(&stream), Ok(200));
    assert!(stream.is_at_end());
}

#[test]
fn a_malformed_response_is_its_streams_and_later_ones_refer_to_what_it_said() {
    let mut origin = Origin::new();
    let [one, two, three] = [origin.ask(), origin.ask(), origin.ask()];
    let wire = [
        headers(1, 0, &[(":status", "200"), ("Bad", "a\nb")]),
        // The field before the last, and both.
        frame(HEADERS, END_HEADERS, 3, &[0xbf]),
        frame(HEADERS, END_HEADERS, 5, &[0xbf, 0xbe]),
        frame(DATA, END_STREAM, 1, b"late"),
    ];
    origin.say(&wire.concat()).unwrap();
    let fault = "a field name with a character that names don't have";
    assert_eq!(status(&one), Err(Loss::Malformed(fault)));
    assert_eq!(status(&two), Ok(200));
    assert_eq!(status(&three), Err(Loss::Malformed(fault)));
    assert_eq!(resets(&origin.hear()), [(1, 1), (5, 1)]);
}

#[test]
fn malformed_trailers_come_behind_the_body() {
    for (fields, flags) in [
        (&[("grpc-message", "a\nb")], END_STREAM),
        (&[(":status", "200")], END_STREAM),
        (&[("grpc-status", "0")], 0),
    ] {
        let mut origin = Origin::new();
        let [mut one, two] = [origin.ask(), origin.ask()];
        let wire = [
            ok(1, 0),
            frame(DATA, 0, 1, b"body"),
            headers(1, flags, fields),
            ok(3, END_STREAM),
        ];
        origin.say(&wire.concat()).unwrap();
        assert_eq!((status(&one), status(&two)), (Ok(200), Ok(200)));
        let (bytes, end) = body(&mut one);
        assert_eq!(bytes, b"body");
        let is_malformed = matches!(end, Poll::Ready(Err(Loss::Malformed(_))));
        assert!(is_malformed, "{fields:?}: {end:?}");
    }
}

#[test]
fn a_body_is_as_long_as_its_header_says() {
    let sized = |status, flags| headers(1, flags, &[(":status", status), ("content-length", "4")]);
    let end_of = |method: &Method, wire: &[Vec<u8>]| {
        let mut origin = Origin::new();
        let mut stream = origin.try_ask(method, true).unwrap();
        origin.say(&wire.concat()).unwrap();
        match status(&stream) {
            Err(loss) => Err(loss),
            Ok(_) => match body(&mut stream).1 {
                Poll::Ready(end) => end.map(|_| ()),
                Poll::Pending => panic!("no end"),
            },
        }
    };
    let data = |flags, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    for (method, wire) in [
        (
            Method::GET,
            vec![sized("200", 0), data(0, b"bo"), data(1, b"dy")],
        ),
        (Method::HEAD, vec![sized("200", 1)]),
        (Method::HEAD, vec![sized("200", 0), data(1, b"")]),
        (Method::GET, vec![sized("304", 1)]),
        (Method::GET, vec![headers(1, 1, &[(":status", "204")])]),
    ] {
        assert_eq!(end_of(&method, &wire), Ok(()), "{method} {wire:?}");
    }
    for (method, wire) in [
        (Method::GET, vec![sized("200", 1)]),
        (Method::GET, vec![sized("200", 0), data(1, b"bod")]),
        (Method::GET, vec![sized("200", 0), data(1, b"body!")]),
        (
            Method::GET,
            vec![
                sized("200", 0),
                data(0, b"bod"),
                headers(1, 1, &[("x", "y")]),
            ],
        ),
        (Method::HEAD, vec![sized("200", 0), data(1, b"body")]),
        (Method::GET, vec![data(1, b"body")]),
    ] {
        let end = end_of(&method, &wire);
        assert!(matches!(end, Err(Loss::Malformed(_))), "{wire:?}: {end:?}");
    }
}

#[test]
fn what_a_server_gives_up_is_told_apart() {
    let reset = |stream, code: u8| frame(RST_STREAM, 0, stream, &[0, 0, 0, code]);
    let mut origin = Origin::new();
    let [one, two, mut three] = [origin.ask(), origin.ask(), origin.ask()];
    let wire = [
        reset(1, 7),
        reset(3, 2),
        ok(5, 0),
        frame(DATA, END_STREAM, 5, b"all"),
        reset(5, 0),
    ];
    origin.say(&wire.concat()).unwrap();
    assert_eq!(status(&one), Err(Loss::Unprocessed));
    assert_eq!(status(&two), Err(Loss::Reset(2)));
    // It doesn't want the rest of the request, and has answered.
    assert_eq!(status(&three), Ok(200));
    assert_eq!(body(&mut three), (b"all".to_vec(), Poll::Ready(Ok(None))));
    drop([one, two, three]);
    assert!(resets(&origin.hear()).is_empty());
}

#[test]
fn a_server_that_goes_away_leaves_what_it_has_not_looked_at_to_others() {
    for (code, loss) in [(0, Loss::GoingAway), (2, Loss::Unprocessed)] {
        let mut origin = Origin::new();
        let [one, two] = [origin.ask(), origin.ask()];
        let all = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        origin.say(&frame(GOAWAY, 0, 0, &all)).unwrap();
        assert!(two.poll_header(&waits()).is_pending(), "a warning");
        assert_eq!(origin.streams.most_requests(), None);
        let refused = origin.try_ask(&Method::GET, true).unwrap_err();
        assert_eq!(refused, UnsentError::Ending);
        let first = [0, 0, 0, 1, 0, 0, 0, code];
        origin.say(&frame(GOAWAY, 0, 0, &first)).unwrap();
        assert_eq!(status(&two), Err(loss));
        origin.say(&ok(1, END_STREAM)).unwrap();
        assert_eq!(status(&one), Ok(200));
        assert!(!origin.streams.is_finished());
        drop([one, two]);
        assert!(origin.streams.is_finished());
    }
}

#[test]
fn no_more_requests_are_made_than_the_server_takes() {
    let allow = |streams: u8| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, streams]);
    let mut origin = Origin::new();
    assert_eq!(origin.streams.most_requests(), Some(128));
    origin.say(&allow(2)).unwrap();
    let [one, two] = [origin.ask(), origin.ask()];
    let refused = || origin.try_ask(&Method::GET, true).unwrap_err();
    assert_eq!(refused(), UnsentError::Full);
    drop(one);
    let three = origin.ask();
    origin.say(&allow(0)).unwrap();
    drop((two, three));
    let refused = origin.try_ask(&Method::GET, true).unwrap_err();
    assert_eq!(refused, UnsentError::Full);
}

#[test]
fn a_server_that_takes_nothing_gets_no_more_headers() {
    let origin = Origin::new();
    let mut asked = 0;
    while origin.try_ask(&Method::GET, true).is_ok() {
        asked += 1;
        assert!(asked < 1_000_000);
    }
    assert!(origin.streams.0.lock().sending.unwritten() < BACKLOG + 1000);
}

#[test]
fn a_request_that_nobody_waits_for_is_cancelled_and_what_still_comes_is_let_pass() {
    let mut origin = Origin::new();
    let [one, two] = [origin.ask(), origin.ask()];
    drop(one);
    assert_eq!(resets(&origin.hear()), [(1, 8)]);
    let late = [
        ok(1, 0),
        frame(DATA, 0, 1, &[0; 5000]),
        frame(RST_STREAM, 0, 1, &[0; 4]),
        ok(3, END_STREAM),
    ];
    origin.say(&late.concat()).unwrap();
    assert_eq!(status(&two), Ok(200));
    assert_eq!(origin.streams.condition().active, 1);
}

#[test]
fn many_cancelled_requests_let_pass_what_still_comes() {
    let mut origin = Origin::new();
    let long = origin.ask();
    origin.say(&ok(1, 0)).unwrap();
    for n in 1..3000_u32 {
        drop(origin.ask());
        origin.hear();
        if n == 2000 {
            origin.say(&frame(DATA, 0, 3, &[0; 100])).unwrap();
        }
    }
    drop(long);
    let late = [
        frame(DATA, 0, 1, &[7; 5000]),
        headers(1, END_STREAM, &[("x", "y")]),
    ];
    origin.say(&late.concat()).unwrap();
    assert_eq!(resets(&origin.hear()), [(1, 8)]);
}

#[test]
fn what_comes_behind_the_end_of_a_response_is_its_streams() {
    for late in [ok(1, 0), frame(DATA, 0, 1, b"body")] {
        let mut origin = Origin::new();
        let one = origin.try_ask(&Method::HEAD, true).unwrap();
        let two = origin.ask();
        let wire = [ok(1, END_STREAM), late.clone(), late];
        origin.say(&wire.concat()).unwrap();
        assert_eq!(status(&one), Ok(200));
        assert_eq!(resets(&origin.hear()), [(1, 5)], "once");
        origin.say(&ok(3, END_STREAM)).unwrap();
        assert_eq!(status(&two), Ok(200));
    }
}

#[test]
fn a_request_waits_for_its_windows_and_so_do_its_trailers() {
    let mut origin = Origin::new();
    origin
        .say(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10]))
        .unwrap();
    origin.hear();
    let stream = origin.try_ask(&Method::POST, false).unwrap();
    let (mut piece, mut sent) = (Bytes::from_static(&[7; 25]), 0);
    let mut trailers = Fields::new();
    trailers.append(http::header::ETAG, "x".parse().unwrap());
    let mut end = Some(Ending {
        trailers: Some(trailers),
    });
    let mut send = || {
        let polled = stream.poll_send(&mut piece, &mut end, &mut sent, &waits());
        (polled.is_ready(), sent)
    };
    assert_eq!(send(), (false, 10));
    origin
        .say(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]))
        .unwrap();
    origin
        .say(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 10]))
        .unwrap();
    origin.hear();
    assert_eq!(send(), (false, 10), "that made up for the settings");
    origin
        .say(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 15]))
        .unwrap();
    let got: Vec<_> = origin.hear();
    let kinds: Vec<_> = got.iter().map(|it| (it.kind, it.payload.len())).collect();
    assert_eq!(kinds[0], (DATA, 15));
    assert_eq!((kinds.len(), kinds[1].0, got[1].flags), (2, HEADERS, 5));
    assert_eq!(send(), (true, 25));
}

#[test]
fn a_server_that_has_answered_need_not_take_the_rest() {
    let mut origin = Origin::new();
    let mut stream = origin.try_ask(&Method::POST, false).unwrap();
    let (mut piece, mut sent) = (Bytes::from(vec![7; 100_000]), 0);
    let polled = stream.poll_send(&mut piece, &mut None, &mut sent, &waits());
    assert!(polled.is_pending());
    let wire = [
        ok(1, 0),
        frame(DATA, END_STREAM, 1, b"enough"),
        frame(RST_STREAM, 0, 1, &[0; 4]),
    ];
    origin.say(&wire.concat()).unwrap();
    let polled = stream.poll_send(&mut piece, &mut None, &mut sent, &waits());
    assert!(matches!(polled, Poll::Ready(Err(_))));
    assert_eq!(status(&stream), Ok(200));
    assert_eq!(
        body(&mut stream),
        (b"enough".to_vec(), Poll::Ready(Ok(None)))
    );
    drop(stream);
    assert!(resets(&origin.hear()).is_empty());
    assert_eq!(origin.streams.0.lock().sending.backlog(), 0);
}

#[test]
fn a_response_that_is_dropped_in_the_middle_of_a_frame_leaves_the_rest_to_nobody() {
    let mut origin = Origin::new();
    let [one, two] = [origin.ask(), origin.ask()];
    let data = frame(DATA, 0, 1, &[7; 1000]);
    origin.say(&[&ok(1, 0), &data[..500]].concat()).unwrap();
    drop(one);
    let rest = [&data[500..], &ok(3, END_STREAM)].concat();
    origin.say(&rest).unwrap();
    assert_eq!(status(&two), Ok(200));
}

#[test]
fn the_last_number_of_a_stream_is_the_last_request() {
    let origin = Origin::new();
    origin
        .streams
        .0
        .lock()
        .receiving
        .note_request(LARGEST_STREAM - 2);
    drop(origin.ask());
    let refused = origin.try_ask(&Method::GET, true).unwrap_err();
    assert_eq!(refused, UnsentError::Ending);
    assert_eq!(origin.streams.most_requests(), None);
}

#[test]
fn a_client_that_is_slow_costs_one_window() {
    let mut origin = Origin::new();
    let [mut slow, mut other] = [origin.ask(), origin.ask()];
    origin.say(&[ok(1, 0), ok(3, 0)].concat()).unwrap();
    let piece = [7; 16_384];
    (0..3).for_each(|_| origin.say(&frame(DATA, 0, 1, &piece)).unwrap());
    assert!(
        origin
            .hear()
            .iter()
            .all(|it| it.kind != WINDOW_UPDATE || it.stream == 0)
    );
    origin.say(&frame(DATA, 0, 1, &piece[1..])).unwrap();
    let Poll::Ready(Ok(Chunk::Data(..))) = slow.poll_body(&waits()) else {
        panic!("nothing has come");
    };
    assert!(origin.hear().iter().all(|it| it.stream != 1));
    assert!(body(&mut slow).1.is_pending());
    let opened: Vec<_> = origin.hear();
    assert!(
        opened
            .iter()
            .any(|it| it.kind == WINDOW_UPDATE && it.stream == 1)
    );
    // More than its window is its stream's end, and nobody else's.
    (0..5).for_each(|_| origin.say(&frame(DATA, 0, 3, &piece)).unwrap());
    let (bytes, end) = body(&mut other);
    assert_eq!(bytes.len(), 4 * piece.len());
    assert!(
        matches!(end, Poll::Ready(Err(Loss::Malformed(_)))),
        "{end:?}"
    );
    assert_eq!(resets(&origin.hear()), [(3, 3)]);
}

#[test]
fn what_was_taken_opens_the_connection_again_however_responses_end() {
    let mut origin = Origin::new();
    let mut window = i64::from(128 * STREAM);
    for n in 0..1500_u32 {
        let id = 2 * n + 1;
        let mut stream = origin.ask();
        let flags = if n.is_multiple_of(3) { 0 } else { END_STREAM };
        origin.say(&ok(id, 0)).unwrap();
        origin.say(&frame(DATA, flags, id, &[7; 16_384])).unwrap();
        window -= 16_384;
        match n % 4 {
            0 => {}
            1 => assert!(stream.poll_body(&waits()).is_ready()),
            _ => assert_eq!(body(&mut stream).0.len(), 16_384),
        }
        drop(stream);
        let got = origin.hear();
        let opened = got
            .iter()
            .filter(|it| it.kind == WINDOW_UPDATE && it.stream == 0);
        let opened = opened.map(|it| u32::from_be_bytes(it.payload[..].try_into().unwrap()));
        window += i64::from(opened.sum::<u32>());
        assert!(window >= i64::from(64 * STREAM), "after {n}");
    }
}

#[test]
fn interim_responses_that_nobody_takes_have_a_limit() {
    let mut origin = Origin::new();
    let stream = origin.ask();
    for _ in 0..100 {
        let interim = headers(1, 0, &[(":status", "103")]);
        origin.say(&interim).unwrap();
    }
    assert_eq!(resets(&origin.hear()), [(1, 1)]);
    let end = std::iter::from_fn(|| Some(status(&stream))).find_map(Result::err);
    assert_eq!(end, Some(Loss::Malformed("too many interim responses")));
}

#[test]
fn what_cannot_be_a_responses_ends_the_connection() {
    let faults = |wire: &[u8]| {
        let mut origin = Origin::new();
        let _stream = origin.ask();
        origin.say(wire).unwrap_err()
    };
    let lost = frame(HEADERS, END_HEADERS, 1, &[0x80]);
    assert_eq!(faults(&lost), Fault::Compression);
    let between = [frame(HEADERS, 0, 1, &[0x88]), frame(DATA, 0, 1, b"")].concat();
    assert_eq!(faults(&between), Fault::Protocol);
    let pushed = frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x88]);
    assert_eq!(faults(&pushed), Fault::Protocol);
    assert_eq!(faults(&ok(2, 0)), Fault::Protocol, "a pushed one");
    assert_eq!(faults(&ok(3, 0)), Fault::Protocol, "nobody has asked");
    let pushes = frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1]);
    assert_eq!(faults(&pushes), Fault::Protocol);
    for other in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &frame(PING, 0, 0, &[0; 8]),
    ] {
        assert_eq!(Origin::fresh().say(other), Err(Fault::NoSettings));
    }
}

#[test]
fn a_connection_that_breaks_ends_what_is_not_complete() {
    let mut origin = Origin::new();
    let [mut one, mut two] = [origin.ask(), origin.ask()];
    let wire = [ok(1, 0), frame(DATA, END_STREAM, 1, b"all"), ok(3, 0)];
    origin.say(&wire.concat()).unwrap();
    let mut wakers = Vec::new();
    origin.streams.end_as(ConnectionEnd::Closed, &mut wakers);
    assert_eq!(status(&one), Ok(200));
    assert_eq!(body(&mut one), (b"all".to_vec(), Poll::Ready(Ok(None))));
    assert_eq!(status(&two), Ok(200));
    assert_eq!(body(&mut two).1, Poll::Ready(Err(Loss::Gone)));
    assert!(matches!(two.connection_end(), Some(ConnectionEnd::Closed)));
    assert_eq!(origin.streams.most_requests(), None);
    drop([one, two]);
    assert!(origin.streams.0.lock().list.is_empty());
}

proptest! {
    /// However the bytes are cut up, the same comes of them.
    #[test]
    fn what_comes_does_not_depend_on_the_reads(
        frames in prop::collection::vec((0u8..10, any::<u8>(), 0u32..8, prop::collection::vec(any::<u8>(), 0..40)), 1..40),
        good in prop::collection::vec(any::<bool>(), 40),
        cuts in prop::collection::vec(1usize..30, 1..20),
    ) {
        let frames = frames.iter().zip(good).enumerate();
        let wire: Vec<u8> = frames.flat_map(|(n, ((kind, flags, stream, payload), good))| {
            if good {
                let stream = 2 * u32::try_from(n).unwrap() + 9;
                headers(stream, flags & END_STREAM, &[(":status", "200"), ("x", "y ")])
            } else {
                frame(*kind, *flags, *stream, payload)
            }
        }).collect();
        let outcome = |pieces: Vec<&[u8]>| {
            let mut origin = Origin::new();
            let mut asked: Vec<_> = (0..50).map(|_| origin.ask()).collect();
            let result = pieces.into_iter().try_for_each(|piece| origin.say(piece));
            let responses: Vec<_> = asked.iter_mut().map(|stream| {
                let header = stream.poll_header(&waits());
                let header = header.map_ok(|it| (it.status, it.headers.get("x").map(|x| x.as_bytes().to_vec())));
                (header, body(stream).0)
            }).collect();
            (result, responses, origin.hear_bytes())
        };
        let (mut pieces, mut at, mut cuts) = (Vec::new(), 0, cuts.iter().cycle());
        while at < wire.len() {
            let next = (at + cuts.next().unwrap()).min(wire.len());
            pieces.push(&wire[at..next]);
            at = next;
        }
        prop_assert_eq!(outcome(pieces), outcome(vec![&wire]));
    }

    #[test]
    fn arbitrary_bytes_of_servers_never_panic(data in prop::collection::vec(any::<u8>(), 0..400), begun in any::<bool>()) {
        let mut origin = if begun { Origin::new() } else { Origin::fresh() };
        let _asked = [origin.ask(), origin.ask()];
        let _ = origin.say(&data);
        origin.hear();
    }
}
