//! Connections of clients.

use super::*;

#[test]
fn blocks_in_pieces_padding_and_priority_are_one_request() {
    let block = block(("x", "y"), false);
    let padded = [&[3, 0, 0, 0, 0, 9][..], &block, &[0; 3]].concat();
    for wire in [
        frame(
            HEADERS,
            END_HEADERS | END_STREAM | PADDED | HAS_PRIORITY,
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
        let mut peer = Peer::new();
        peer.say(&wire).unwrap();
        let request = peer.arrivals.pop().unwrap();
        assert!(request.ends);
        let request = request.block.request.unwrap();
        assert_eq!(request.method, Method::GET);
        assert_eq!(request.headers.get("x").unwrap(), "y");
    }
}

#[test]
fn the_next_requests_refer_to_what_a_malformed_one_said() {
    let ends = END_HEADERS | END_STREAM;
    let wire = [
        frame(HEADERS, ends, 1, &block(("good", "1"), true)),
        // Indexed, malformed, and referred to later on.
        frame(HEADERS, ends, 3, &block(("Bad\0", "\n"), true)),
        frame(HEADERS, ends, 5, &[0x82, 0x86, 0x84, 0x41, 1, b'a', 0xbf]),
        frame(HEADERS, ends, 7, &[0x82, 0x86, 0x84, 0x41, 1, b'a', 0xc0]),
    ]
    .concat();
    let mut peer = Peer::new();
    peer.say(&wire).unwrap();
    let good = |at: usize| {
        let request = peer.arrivals[at].block.request.as_ref();
        request.map(|it| it.headers.get("good").is_some()).ok()
    };
    assert_eq!(good(0), Some(true));
    assert_eq!(good(1), None);
    // Each of them has added its authority.
    assert_eq!(good(2), None);
    assert_eq!(good(3), None);
    assert_eq!(peer.arrivals.len(), 4);
}

#[test]
fn malformed_trailers_are_the_streams() {
    let mut trailers = Vec::new();
    write_literal(b"x\0", b"y", &mut trailers);
    let mut peer = Peer::new();
    peer.say(&post(1)).unwrap();
    let handle = peer.take().pop().unwrap();
    let end = frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers);
    peer.say(&end).unwrap();
    assert_eq!(resets(&peer.hear()), [(1, 1)]);
    let body = handle.poll_body(false, &waits());
    assert!(matches!(body, Poll::Ready(Err(Loss::Malformed(_)))));
}

#[test]
fn what_cannot_be_one_requests_ends_the_connection() {
    let begun = frame(HEADERS, 0, 1, &[0x82]);
    let with = |more: Vec<u8>| fault(&[&begun[..], &more].concat());
    let compression = frame(HEADERS, END_HEADERS, 1, &[0xff; 9]);
    assert_eq!(fault(&compression), Some(Fault::Compression));
    let half = frame(HEADERS, END_HEADERS, 1, &[0x00, 5, b'x']);
    assert_eq!(fault(&half), Some(Fault::Compression));
    assert_eq!(with(frame(DATA, 0, 1, b"x")), Some(Fault::Protocol));
    assert_eq!(
        with(frame(HEADERS, END_HEADERS, 1, b"")),
        Some(Fault::Protocol)
    );
    assert_eq!(with(frame(CONTINUATION, 0, 3, b"")), Some(Fault::Protocol));
    let padding = frame(HEADERS, END_HEADERS | PADDED, 1, &[5, 0x82]);
    assert_eq!(fault(&padding), Some(Fault::Protocol));
    let priority = frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, &[0; 4]);
    assert_eq!(fault(&priority), Some(Fault::Protocol));
    assert_eq!(fault(&[get(1), get(1)].concat()), Some(Fault::Closed));
    assert_eq!(fault(&[get(5), get(3)].concat()), Some(Fault::Closed));
    assert_eq!(with(frame(CONTINUATION, 0, 1, &[0x82; 16_384])), None);
    let long = frame(CONTINUATION, 0, 1, &[0x82; 16_384]).repeat(4);
    assert_eq!(with(long), Some(Fault::Block));
    let many = frame(CONTINUATION, 0, 1, &[0x82]).repeat(40);
    assert_eq!(with(many), Some(Fault::Block));
    let large = frame(DATA, 0, 1, &vec![0; 16_385]);
    assert_eq!(fault(&large), Some(Fault::FrameSize));
}

#[test]
fn the_first_frame_is_settings() {
    let first = |kind| {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let mut peer = Peer::fresh();
        peer.say(&[&preface[..], &frame(kind, 0, 0, b"")].concat())
    };
    assert_eq!(first(SETTINGS), Ok(()));
    assert_eq!(first(PING), Err(Fault::NoSettings));
    assert_eq!(first(HEADERS), Err(Fault::NoSettings));
    let mut peer = Peer::fresh();
    assert_eq!(peer.say(b"PRI * HT"), Ok(()));
    assert!(!peer.streams.has_begun());
    assert_eq!(peer.say(b"TP/1.0\r\n\r\n"), Err(Fault::Preface));
}

#[test]
fn a_header_block_is_under_way_from_its_first_frame_to_the_end_of_its_last() {
    let mut peer = Peer::new();
    let mut note = |bytes: &[u8]| {
        peer.say(bytes).unwrap();
        peer.streams.condition().block_since.is_some()
    };
    assert!(!note(&post(1)));
    let whole = post(3);
    assert!(note(&whole[..12]));
    assert!(!note(&whole[12..]));
    assert!(note(&frame(HEADERS, 0, 5, &[0x82, 0x84])));
    assert!(note(&frame(CONTINUATION, 0, 5, &[0x86])));
    assert!(!note(&frame(CONTINUATION, END_HEADERS, 5, b"")));
}

#[test]
fn more_than_a_window_has_room_for_ends_what_it_is_of() {
    let piece = |stream| frame(DATA, 0, stream, &vec![0; 1 << 14]);
    let window = usize::try_from(STREAM_WINDOW).unwrap() >> 14;
    let mut peer = Peer::new();
    peer.say(&(0..6).flat_map(|n| post(2 * n + 1)).collect::<Vec<_>>())
        .unwrap();
    let bodies = peer.take();
    peer.say(&piece(1).repeat(window)).unwrap();
    assert!(resets(&peer.hear()).is_empty());
    peer.say(&piece(1)).unwrap();
    assert_eq!(resets(&peer.hear()), [(1, 3)], "FLOW_CONTROL_ERROR");
    // What it held counts no more.
    for stream in [3, 5, 7, 9] {
        peer.say(&piece(stream).repeat(window)).unwrap();
    }
    assert_eq!(peer.say(&piece(11)), Err(Fault::FlowControl));
    drop(bodies);
}

#[test]
fn a_small_response_is_two_frames_and_its_stream_is_over() {
    let mut peer = Peer::new();
    peer.say(&get(1)).unwrap();
    let handle = peer.take().pop().unwrap();
    let mut fields = Fields::new();
    fields.append(http::header::SERVER, "web".parse().unwrap());
    handle.send_header(StatusCode::OK, &fields, false).unwrap();
    let (mut piece, mut end, mut sent) = (
        Bytes::from_static(b"hello"),
        Some(Ending { trailers: None }),
        0,
    );
    let polled = handle.poll_send(&mut piece, &mut end, &mut sent, &waits());
    assert!(matches!(polled, Poll::Ready(Ok(()))));
    assert_eq!(sent, 5);
    drop(handle);
    let got = peer.hear();
    let kinds: Vec<_> = got.iter().map(|it| (it.kind, it.flags)).collect();
    assert_eq!(kinds, [(HEADERS, END_HEADERS), (DATA, END_STREAM)]);
    let head = peer.fields(&got[0].payload);
    assert_eq!(head[0], (":status".to_owned(), "200".to_owned()));
    assert_eq!(head[1], ("server".to_owned(), "web".to_owned()));
    assert!(peer.streams.0.lock().list.is_empty());
    assert!(!peer.streams.condition().is_busy);
}

#[test]
fn a_response_that_is_dropped_is_reset_and_what_still_comes_is_let_pass() {
    let mut peer = Peer::new();
    peer.say(&[post(1), frame(DATA, 0, 1, b"body")].concat())
        .unwrap();
    drop(peer.take());
    assert_eq!(resets(&peer.hear()), [(1, 2)]);
    let more = [
        frame(DATA, 0, 1, &[0; 1000]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b""),
    ];
    peer.say(&more.concat()).unwrap();
    assert!(peer.hear().is_empty());
    assert_eq!(peer.say(&frame(DATA, 0, 1, b"x")), Err(Fault::Closed));
}

#[test]
fn more_streams_than_may_be_are_refused() {
    let mut peer = Peer::new();
    for stream in 0..130 {
        peer.say(&get(2 * stream + 1)).unwrap();
    }
    assert_eq!(peer.arrivals.len(), 128);
    assert_eq!(resets(&peer.hear()), [(257, 7), (259, 7)]);
    // One that is over makes room.
    let handle = peer.take().swap_remove(0);
    handle
        .send_header(StatusCode::OK, &Fields::new(), true)
        .unwrap();
    peer.say(&get(261)).unwrap();
    assert_eq!(peer.arrivals.len(), 1);
}

#[test]
fn a_client_that_was_told_the_last_request_makes_no_more() {
    let mut peer = Peer::new();
    peer.say(&get(1)).unwrap();
    peer.streams.warn();
    let warned = peer.hear();
    assert_eq!(warned[0].payload[..4], LARGEST_STREAM.to_be_bytes());
    assert_eq!(warned[1].kind, PING);
    peer.say(&[get(3), frame(PING, 1, 0, &warned[1].payload)].concat())
        .unwrap();
    assert!(peer.streams.condition().has_heard);
    assert_eq!(peer.arrivals.len(), 2);
    peer.streams.take_no_more();
    let told = peer.hear();
    assert_eq!(
        (told[0].kind, &told[0].payload[..4]),
        (GOAWAY, &[0, 0, 0, 3][..])
    );
    peer.say(&get(5)).unwrap();
    assert_eq!(peer.arrivals.len(), 2);
    assert!(!peer.streams.condition().is_over);
    for handle in peer.take() {
        handle
            .send_header(StatusCode::OK, &Fields::new(), true)
            .unwrap();
    }
    peer.hear();
    assert!(peer.streams.condition().is_over);
}

#[test]
fn the_rest_of_a_request_that_is_answered_has_a_moment_to_come() {
    let mut peer = Peer::new();
    peer.say(&[post(1), post(3)].concat()).unwrap();
    for handle in peer.take() {
        handle
            .send_header(StatusCode::OK, &Fields::new(), true)
            .unwrap();
    }
    peer.hear();
    let due = peer.streams.condition().due.unwrap();
    peer.say(&frame(DATA, END_STREAM, 1, b"late")).unwrap();
    let mut wakers = Vec::new();
    peer.streams.end_late(Instant::now(), &mut wakers);
    assert!(peer.hear().is_empty());
    peer.streams
        .end_late(due + std::time::Duration::from_secs(1), &mut wakers);
    assert_eq!(resets(&peer.hear()), [(3, 0)], "the other one has ended");
    assert_eq!(peer.streams.condition().due, None);
}

#[test]
fn a_refusal_that_its_client_doesnt_take_ends_all_the_same() {
    let mut peer = Peer::new();
    peer.say(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]))
        .unwrap();
    peer.say(&[get(1), get(3)].concat()).unwrap();
    for handle in peer.take() {
        let body = Bytes::from_static(b"no");
        handle.refuse(StatusCode::BAD_REQUEST, &Fields::new(), body);
    }
    peer.hear();
    assert!(peer.streams.condition().is_busy);
    let mut wakers = Vec::new();
    let due = peer.streams.condition().due.unwrap();
    peer.streams.end_late(due, &mut wakers);
    assert!(resets(&peer.hear()).is_empty(), "it may still take it");
    peer.say(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2]))
        .unwrap();
    let got = peer.hear();
    assert_eq!((got[0].kind, got[0].flags), (DATA, END_STREAM));
    peer.streams.end_late(due + 2 * REFUSAL, &mut wakers);
    let protocol_error = ErrorCode::Protocol as u8;
    assert_eq!(resets(&peer.hear()), [(3, protocol_error)]);
    assert!(!peer.streams.condition().is_busy);
}

#[test]
fn a_refused_request_that_its_client_doesnt_end_is_reset_with_what_was_wrong() {
    let mut peer = Peer::new();
    peer.say(&[post(1), post(3)].concat()).unwrap();
    let statuses = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE];
    for (handle, status) in peer.take().into_iter().zip(statuses) {
        handle.refuse(status, &Fields::new(), Bytes::from_static(b"no"));
    }
    peer.hear();
    let due = peer.streams.condition().due.unwrap();
    let late = due + std::time::Duration::from_secs(1);
    peer.streams.end_late(late, &mut Vec::new());
    // Only the first was malformed (section 8.1.1); the other one has its whole answer (section 8.1).
    let protocol_error = ErrorCode::Protocol as u8;
    assert_eq!(resets(&peer.hear()), [(1, protocol_error), (3, 0)]);
}

#[test]
fn resets_that_a_client_provokes_are_counted() {
    let mut peer = Peer::new();
    let short = |stream| {
        let mut block = vec![0x83, 0x86, 0x84, 0x41, 1, b'a'];
        write_literal(b"content-length", b"1", &mut block);
        let head = frame(HEADERS, END_HEADERS, stream, &block);
        [head, frame(DATA, 0, stream, b"ab")].concat()
    };
    let provoked = (0..2000).find_map(|n| peer.say(&short(2 * n + 1)).err());
    assert_eq!(provoked, Some(Fault::Resets));
    assert!(peer.arrivals.len() < 600);
}

/// Wakes nobody, and says whether it was asked to.
struct Flag(std::sync::atomic::AtomicBool);

impl std::task::Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn whoever_drives_is_woken_by_what_there_is_to_wait_for() {
    let woken = |prepare: fn(&mut Peer)| {
        let mut peer = Peer::new();
        peer.say(&post(1)).unwrap();
        let handle = peer.take().pop().unwrap();
        handle
            .send_header(StatusCode::OK, &Fields::new(), true)
            .unwrap();
        prepare(&mut peer);
        peer.hear();
        let flag = Arc::new(Flag(false.into()));
        assert!(!peer.streams.has_output(&Arc::clone(&flag).into()));
        drop(handle);
        flag.0.load(std::sync::atomic::Ordering::Relaxed)
    };
    assert!(
        woken(|_| {}),
        "the rest of the request has a moment to come"
    );
    assert!(!woken(|peer| {
        peer.say(&frame(DATA, END_STREAM, 1, b"")).unwrap();
    }));
    assert!(
        woken(|peer| {
            peer.say(&frame(DATA, END_STREAM, 1, b"")).unwrap();
            peer.say(&frame(GOAWAY, 0, 0, &[0; 8])).unwrap();
        }),
        "nothing more is to come"
    );
}

#[test]
fn a_long_header_goes_in_several_frames() {
    let mut peer = Peer::new();
    peer.say(&get(1)).unwrap();
    let handle = peer.take().pop().unwrap();
    let mut fields = Fields::new();
    let long = "v".repeat(40_000);
    fields.append(http::header::SERVER, long.parse().unwrap());
    handle.send_header(StatusCode::OK, &fields, true).unwrap();
    let got = peer.hear();
    let kinds: Vec<_> = got.iter().map(|it| (it.kind, it.flags)).collect();
    assert_eq!(
        kinds,
        [
            (HEADERS, END_STREAM),
            (CONTINUATION, 0),
            (CONTINUATION, END_HEADERS)
        ]
    );
    let block: Vec<u8> = got.into_iter().flat_map(|it| it.payload).collect();
    assert_eq!(peer.fields(&block)[1].1, long);
}

#[test]
fn headers_that_cost_too_much_together_are_refused() {
    let mut peer = Peer::new();
    peer.streams.0.lock().headers = HEADERS_AT_ONCE;
    peer.say(&get(1)).unwrap();
    assert_eq!(resets(&peer.hear()), [(1, 7)]);
    peer.streams.0.lock().headers = 0;
    peer.say(&get(3)).unwrap();
    let cost = peer.streams.0.lock().headers;
    assert!(cost > 100);
    drop(peer.take());
    assert_eq!(peer.streams.0.lock().headers, 0);
}
