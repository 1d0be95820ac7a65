//! What a client can have us hold that opens its windows no further, and that it is given back.

use bytes::Bytes;

use super::memory;
use crate::common::h2::{
    DATA, END_STREAM, Frames, HEADERS, SETTINGS, WINDOW_UPDATE, frame, request,
};
use crate::common::h2_origin::{H2Origin, Reply};
use crate::common::*;

const CONNECTIONS: usize = 10;
const STREAMS: u32 = 100;
const BODY: usize = 1 << 20;

fn http1() -> (Origin, Equipoise) {
    let origin = Origin::with("a", |_| Answer::body(Body::Full(vec![b'x'; BODY])));
    let lb = Setup::of([&origin]).start();
    (origin, lb)
}

fn http2() -> (H2Origin, Equipoise) {
    let body = Bytes::from(vec![b'x'; BODY]);
    let origin = H2Origin::start(move |_| Reply {
        status: 200,
        body: vec![body.clone()],
        ..Reply::default()
    });
    let lb = Setup::new()
        .server_at("h2", &origin.address().to_string(), "")
        .pool("http2: true")
        .start();
    (origin, lb)
}

/// A client whose streams take so many bytes each, however many the connection does.
fn stingy(lb: &Equipoise, window: u32) -> Frames {
    let mut client = Frames::bare(lb.web());
    client.preface().unwrap();
    let mut setting = vec![0, 4];
    setting.extend(window.to_be_bytes());
    client.send(SETTINGS, 0, 0, &setting).unwrap();
    client
        .send(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())
        .unwrap();
    client
}

/// Asks on that many streams, and takes what comes: each header, and as much of each body as its window takes.
fn ask(client: &mut Frames, window: u32) {
    for stream in (1..2 * STREAMS).step_by(2) {
        client.headers(stream, &request("GET", "/"), true).unwrap();
    }
    let (mut heads, mut bytes) = (0, 0);
    while heads < STREAMS || bytes < u64::from(window) * u64::from(STREAMS) {
        let frame = client.next().unwrap();
        heads += u32::from(frame.kind == HEADERS);
        if frame.kind == DATA {
            bytes += frame.payload.len() as u64;
        }
    }
}

/// Pins what can be pinned; returns how much that is, once it grows no more.
fn pinned(lb: &Equipoise, window: u32, most: u64) {
    // What is allocated once isn't the clients'.
    assert_eq!(lb.get("/", &[]).status, 200);
    let before = memory(lb);
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = stingy(lb, window);
            ask(&mut client, window);
            client
        })
        .collect();
    let mut last = 0;
    eventually(SOON, || {
        let now = memory(lb);
        let is_still = now.abs_diff(std::mem::replace(&mut last, now)) < 1 << 18;
        is_still.then_some(()).ok_or("it grows")
    });
    // What passed through is given back soon, as is what the clients held when they are gone.
    let wait = |most: u64| {
        eventually(3 * SOON, || {
            let more = memory(lb).saturating_sub(before);
            if more < most {
                Ok(())
            } else {
                Err(format!("{more} bytes more"))
            }
        });
    };
    wait(most);
    drop(clients);
    lb.wait_idle_servers();
    wait(most / 4);
}

#[test]
fn responses_that_nobody_takes_stay_with_servers_of_http_1() {
    let (_origin, lb) = http1();
    pinned(&lb, 0, 96 << 20);
}

#[test]
fn responses_that_are_taken_in_part_are_held_no_longer_than_others() {
    let (_origin, lb) = http1();
    pinned(&lb, 200_000, 96 << 20);
}

#[test]
fn responses_that_nobody_takes_stay_with_servers_of_http_2() {
    let (_origin, lb) = http2();
    pinned(&lb, 0, 192 << 20);
}

#[test]
fn a_response_whose_window_opens_comes_however_much_others_hold() {
    let check = |lb: &Equipoise| {
        let mut client = stingy(lb, 0);
        ask(&mut client, 0);
        let stream = 2 * STREAMS - 1;
        let open = u32::try_from(BODY).unwrap().to_be_bytes();
        client
            .write(&frame(WINDOW_UPDATE, 0, stream, &open))
            .unwrap();
        let mut got = 0;
        loop {
            let frame = client.next().unwrap();
            if frame.kind != DATA {
                continue;
            }
            assert_eq!(frame.stream, stream);
            got += frame.payload.len();
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
        assert_eq!(got, BODY);
    };
    let (_origin, lb) = http1();
    check(&lb);
    let (_origin, lb) = http2();
    check(&lb);
}

/// Each waits for a client that takes nothing of it.
#[test]
fn tiny_pieces_of_responses_that_nobody_takes_cost_no_other_request() {
    const PIECES: usize = 20_000;
    let pieces = || (0..PIECES).map(|n| u8::try_from(n % 251).unwrap());
    let body: Vec<_> = pieces().map(|piece| Bytes::from(vec![piece])).collect();
    let origin = H2Origin::start(move |it| {
        if it.uri.ends_with("/tiny") {
            return Reply {
                status: 200,
                body: body.clone(),
                ..Reply::default()
            };
        }
        Reply::text("ok")
    });
    let lb = Setup::new()
        .server_at("h2", &origin.address().to_string(), "")
        .pool("http2: true\nhealth_check: null")
        .start();
    // What is needed once for any such response is none of what waiting costs.
    assert_eq!(lb.get("/tiny", &[]).body.len(), PIECES);
    let before = memory(&lb);
    let mut client = stingy(&lb, 0);
    let streams = [1, 3, 5, 7];
    for stream in streams {
        client
            .headers(stream, &request("GET", "/tiny"), true)
            .unwrap();
        client.frame_of(stream, HEADERS);
        for _ in 0..10 {
            assert_eq!(lb.get("/", &[]).status, 200);
        }
    }
    let grown = memory(&lb).saturating_sub(before);
    assert!(grown < 10 << 20, "{grown} bytes for {} of body", 4 * PIECES);
    let open = u32::try_from(PIECES).unwrap().to_be_bytes();
    for stream in streams {
        client.send(WINDOW_UPDATE, 0, stream, &open).unwrap();
        let mut got = Vec::new();
        loop {
            let frame = client.frame_of(stream, DATA);
            got.extend(frame.payload);
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
        assert!(got.iter().copied().eq(pieces()), "{} bytes", got.len());
    }
    assert_eq!(origin.connections(), 1);
}
