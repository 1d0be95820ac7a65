//! Bytes of clients of HTTP/2: however they are cut into pieces the same comes of them, and what is said to that is frames.

use std::time::Instant;

use bytes::BytesMut;
use equipoise::http::wire::head::HeadLimits;
use equipoise::http::wire::http2::streams::{Arrival, Streams};

const LIMITS: HeadLimits = HeadLimits {
    header: 4096,
    uri: 1024,
    body: 1_000_000,
};

/// What comes of some bytes: requests, with whether they are refused, and what is answered.
type Outcome = (bool, Vec<(u32, bool, Option<u16>)>, Vec<u8>);

fn outcome<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let now = Instant::now();
    let streams = Streams::with_client(100, &LIMITS, now);
    let (mut inbox, mut wakers) = (BytesMut::new(), Vec::new());
    let mut arrivals: Vec<Arrival> = Vec::new();
    let mut is_over = false;
    for piece in pieces {
        inbox.extend_from_slice(piece);
        let taken = streams.receive(&mut inbox, &LIMITS, now, &mut arrivals, &mut wakers);
        if taken.is_err() {
            is_over = true;
            break;
        }
        assert!(inbox.len() < 9 + (1 << 14), "no more than a frame is kept");
    }
    let requests = arrivals.iter().map(|arrival| {
        let refused = arrival.block.request.as_ref().err();
        (
            arrival.handle.id(),
            arrival.ends,
            refused.map(|it| it.status),
        )
    });
    let requests = requests.collect();
    let mut output = Vec::new();
    streams.take_output(&mut output, &mut wakers);
    (is_over, requests, output)
}

/// One input.
pub fn run(data: &[u8]) {
    let (is_over, requests, output) = outcome(std::iter::once(data));
    let ids: Vec<u32> = requests.iter().map(|(id, ..)| *id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b) && ids.iter().all(|id| id % 2 == 1));
    let mut rest = &output[..];
    while !rest.is_empty() {
        let length = usize::from(rest[1]) << 8 | usize::from(rest[2]);
        assert!(rest[0] == 0 && length < 1 << 14);
        rest = &rest[9 + length..];
    }
    let size = data.first().map_or(1, |byte| 1 + usize::from(*byte % 30));
    let pieces = outcome(data.chunks(size));
    assert_eq!(pieces, (is_over, requests, output));
}
