//! What holds whatever comes, and in which order.

use super::*;

/// What is done on a connection whose client keeps the rules.
#[derive(Debug, Clone)]
enum Deed {
    /// A piece of a response is handed over, if nothing waits.
    Send(usize, usize),
    /// The response ends.
    End(usize),
    OpenStream(usize, u32),
    OpenConnection(u32),
    Settings(u32),
    Hear,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0usize..4, 0usize..40_000).prop_map(|(stream, size)| Deed::Send(stream, size)),
        1 => (0usize..4).prop_map(Deed::End),
        3 => (0usize..4, 1u32..60_000).prop_map(|(stream, more)| Deed::OpenStream(stream, more)),
        2 => (1u32..60_000).prop_map(Deed::OpenConnection),
        1 => (0u32..100_000).prop_map(Deed::Settings),
        3 => Just(Deed::Hear),
    ]
}

/// A response under way, and what its client has got of it.
struct Sent {
    handle: Handle,
    piece: Bytes,
    end: Option<Ending>,
    ended: bool,
    handed_over: Vec<u8>,
    got: Vec<u8>,
    got_end: bool,
    window: i64,
}

proptest! {
    /// However the bytes are cut up, the same comes of them.
    #[test]
    fn what_comes_of_bytes_does_not_depend_on_the_reads(
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
        let outcome = |pieces: Vec<&[u8]>| {
            let mut peer = Peer::new();
            let result = pieces.into_iter().try_for_each(|piece| peer.say(piece));
            let arrivals: Vec<_> = peer.arrivals.iter().map(|it| (it.handle.id(), it.ends, it.block.cost)).collect();
            let bodies: Vec<_> = peer.take().into_iter().map(|handle| {
                let mut body = Vec::new();
                while let Poll::Ready(Ok(Chunk::Data(piece, _))) = handle.poll_body(false, &waits()) {
                    body.extend(piece);
                }
                body
            }).collect();
            (result, arrivals, bodies, peer.hear())
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
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..400), begun in any::<bool>()) {
        let mut peer = if begun { Peer::new() } else { Peer::fresh() };
        let _ = peer.say(&data);
        peer.hear();
    }

}

proptest! {
    // They move megabytes.
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// No more is sent than the client's windows allow, all of it comes in its order, and what may go does.
    #[test]
    fn windows_are_kept(deeds in prop::collection::vec(deed(), 1..120)) {
        let mut peer = Peer::new();
        (0..4).for_each(|n| peer.say(&get(2 * n + 1)).unwrap());
        let mut initial = i64::from(INITIAL_WINDOW);
        let mut connection = initial;
        let mut all: BTreeMap<u32, Sent> = peer.take().into_iter().map(|handle| {
            handle.send_header(StatusCode::OK, &Fields::new(), false).unwrap();
            (handle.id(), Sent {
                handle, piece: Bytes::new(), end: None, ended: false,
                handed_over: Vec::new(), got: Vec::new(), got_end: false, window: initial,
            })
        }).collect();
        let id = |n: usize| 2 * u32::try_from(n).unwrap() + 1;
        let push = |sent: &mut Sent| {
            let mut bytes = 0;
            let (Poll::Ready(_) | Poll::Pending) =
                sent.handle.poll_send(&mut sent.piece, &mut sent.end, &mut bytes, &waits());
        };
        let deeds = deeds.into_iter().flat_map(|deed| {
            // What was written before isn't held to new settings.
            let first = matches!(deed, Deed::Settings(_)).then_some(Deed::Hear);
            first.into_iter().chain([deed])
        });
        for deed in deeds.chain([Deed::Hear]) {
            match deed {
                Deed::Send(n, size) => {
                    let sent = all.get_mut(&id(n)).unwrap();
                    if !sent.ended && sent.piece.is_empty() {
                        let at = sent.handed_over.len();
                        let piece: Vec<_> = (at..at + size).map(|n| u8::try_from(n % 251).unwrap()).collect();
                        sent.handed_over.extend(&piece);
                        sent.piece = piece.into();
                        push(sent);
                    }
                }
                Deed::End(n) => {
                    let sent = all.get_mut(&id(n)).unwrap();
                    if !sent.ended {
                        (sent.ended, sent.end) = (true, Some(Ending { trailers: None }));
                        push(sent);
                    }
                }
                Deed::OpenStream(n, more) => {
                    peer.say(&frame(WINDOW_UPDATE, 0, id(n), &more.to_be_bytes())).unwrap();
                    all.get_mut(&id(n)).unwrap().window += i64::from(more);
                }
                Deed::OpenConnection(more) => {
                    peer.say(&frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes())).unwrap();
                    connection += i64::from(more);
                }
                Deed::Settings(size) => {
                    let [a, b, c, d] = size.to_be_bytes();
                    peer.say(&frame(SETTINGS, 0, 0, &[0, 4, a, b, c, d])).unwrap();
                    let change = i64::from(size) - initial;
                    initial = i64::from(size);
                    for sent in all.values_mut() {
                        sent.window += change;
                    }
                }
                Deed::Hear => loop {
                    let got = peer.hear_all();
                    for got in got.iter().filter(|got| got.kind == DATA) {
                        let sent = all.get_mut(&got.stream).unwrap();
                        let length = i64::try_from(got.payload.len()).unwrap();
                        (sent.window, connection) = (sent.window - length, connection - length);
                        // A window that settings have made smaller may be below nothing without anybody's fault.
                        prop_assert!(length == 0 || sent.window >= 0 && connection >= 0);
                        prop_assert!(!sent.got_end);
                        sent.got.extend(&got.payload);
                        sent.got_end = got.flags & END_STREAM != 0;
                    }
                    all.values_mut().for_each(push);
                    if got.is_empty() {
                        break;
                    }
                },
            }
        }
        for sent in all.values() {
            prop_assert!(sent.handed_over.starts_with(&sent.got));
            let whole = sent.got.len() == sent.handed_over.len();
            prop_assert!(whole || sent.window <= 0 || connection <= 0, "what may go goes");
            prop_assert_eq!(sent.got_end, sent.ended && whole);
        }
    }

    /// A client that sends as much as it may gets all of it to whoever takes it, over any number of bodies.
    #[test]
    fn bodies_come_as_they_are_taken(takes in prop::collection::vec(0usize..3, 200..400), size in 100usize..16_000) {
        let mut peer = Peer::new();
        (0..3).for_each(|n| peer.say(&post(2 * n + 1)).unwrap());
        let bodies: Vec<_> = peer.take();
        let (mut connection, mut windows) = (i64::from(CONNECTION_WINDOW), [i64::from(STREAM_WINDOW); 3]);
        let (mut sent, mut taken) = ([0; 3], [0; 3]);
        let piece = vec![7; size];
        let length = i64::try_from(size).unwrap();
        for take in takes {
            for n in 0..3 {
                while windows[n] >= length && connection >= length {
                    peer.say(&frame(DATA, 0, 2 * u32::try_from(n).unwrap() + 1, &piece)).unwrap();
                    (windows[n], connection) = (windows[n] - length, connection - length);
                    sent[n] += size;
                }
            }
            while let Poll::Ready(Ok(Chunk::Data(piece, _))) = bodies[take].poll_body(false, &waits()) {
                taken[take] += piece.len();
            }
            for got in peer.hear().iter().filter(|got| got.kind == WINDOW_UPDATE) {
                let more = i64::from(u32::from_be_bytes(got.payload[..].try_into().unwrap()));
                match got.stream {
                    0 => connection += more,
                    stream => windows[usize::try_from(stream / 2).unwrap()] += more,
                }
            }
            prop_assert_eq!(taken[take], sent[take]);
            prop_assert!(windows[take] >= i64::from(STREAM_WINDOW) / 2, "it may send on");
        }
    }
}
