//! What holds whatever comes.

use super::*;

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
