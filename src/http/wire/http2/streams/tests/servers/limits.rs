//! Windows, and how many requests there may be.

use super::*;

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
