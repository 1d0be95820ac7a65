//! Requests and responses, and what of them is malformed.

use super::*;

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
