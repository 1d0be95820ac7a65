//! How streams and the connection end.

use super::*;

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
fn a_connection_on_which_nothing_comes_gets_no_more_requests() {
    let mut origin = Origin::new();
    let [one, two] = [origin.ask(), origin.ask()];
    origin.say(&ok(3, END_STREAM)).unwrap();
    one.note_timeout();
    let three = origin.ask();
    drop((one, two));
    assert!(!origin.streams.is_finished());
    three.note_timeout();
    assert_eq!(origin.streams.most_requests(), None);
    origin.say(&ok(5, END_STREAM)).unwrap();
    assert_eq!(status(&three), Ok(200), "who waits may be answered yet");
    drop(three);
    assert!(origin.streams.is_finished());
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
