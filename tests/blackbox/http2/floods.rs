//! Floods: the client that makes one loses its connection, and nobody else notices.

use std::io;
use std::time::Instant;

use super::memory;
use crate::common::h2::{
    CANCEL, CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, Frames, H2, HEADERS, Outcome, PING,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, block_of_bytes, frame, request,
};
use crate::common::*;

/// Sends what `next` makes, again and again, until the connection is ended; with which code.
fn flood(client: &mut Frames, most: u32, mut next: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    let mut sent = 0;
    while sent < most {
        // In bursts, as an attacker would.
        let burst: Vec<u8> = (sent..sent + 50).flat_map(&mut next).collect();
        if client.write(&burst).is_err() {
            break;
        }
        sent += 50;
    }
    client.go_away().map(|(_, code)| code)
}

/// Makes a flood while another client works; the flood must end in ENHANCE_YOUR_CALM.
fn survives(origin: &Origin, most: u32, open: bool, next: impl FnMut(u32) -> Vec<u8>) {
    let lb = Setup::of([origin]).start();
    let other = H2::connect(lb.web());
    assert_eq!(other.get("/", &[]).unwrap().status, 200);
    let before = memory(&lb);
    let mut client = Frames::connect(lb.web());
    client.polite = false;
    if open {
        client
            .headers(1, &request("POST", "/upload"), false)
            .unwrap();
    }
    let code = flood(&mut client, most, next);
    // Whoever sends on while the connection is closed may be reset before it has read why.
    assert!(matches!(code, Some(ENHANCE_YOUR_CALM) | None), "{code:?}");
    assert!(client.is_closed_by_peer());
    assert_eq!(
        other.get("/", &[]).unwrap().status,
        200,
        "somebody else suffers"
    );
    drop(client);
    lb.wait_idle_servers();
    eventually(SOON, || {
        lb.metrics()
            .sum("equipoise_connections_active", &[("listener", "web")])
            == 1.0
    });
    let more = memory(&lb).saturating_sub(before);
    assert!(more < 40 << 20, "{more} bytes more");
}

fn get_and_reset(n: u32) -> Vec<u8> {
    let stream = 2 * n + 3;
    let mut bytes = frame(
        HEADERS,
        h2::END_HEADERS | END_STREAM,
        stream,
        &block(&request("GET", "/slow")),
    );
    bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    bytes
}

fn slow() -> Origin {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/slow" | "/upload" => Answer::held(),
        _ => Answer::ok(),
    });
    origin.quiet();
    origin
}

#[test]
fn a_rapid_reset_ends_the_connection() {
    survives(&slow(), 100_000, false, get_and_reset);
}

#[test]
fn resets_of_requests_that_have_reached_their_server_count_too() {
    const BATCH: usize = 120;
    /// As many as may be given up at once, 16 of cost 4 for each of 128 streams, and so many a second.
    const AT_ONCE: f64 = 512.0;
    const PER_SECOND: f64 = 50.0;
    let origin = slow();
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    client.polite = false;
    let begun = Instant::now();
    let mut batches = 0;
    let mut send_batch = |batch: usize| -> io::Result<()> {
        let streams = (batch * BATCH..(batch + 1) * BATCH).map(|n| 2 * n as u32 + 1);
        for stream in streams.clone() {
            client.headers(stream, &request("GET", "/slow"), true)?;
        }
        eventually(SOON, || {
            origin.served() == (batch + 1) * BATCH || client_gone(&lb)
        });
        for stream in streams {
            client.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())?;
        }
        lb.wait_idle_servers();
        Ok(())
    };
    while batches < 60 && !client_gone(&lb) && send_batch(batches).is_ok() {
        batches += 1;
        // A machine that is slower than what is always allowed sees no end of it, and no harm either. What was given up last is
        // known by the next one, and so is the end.
        let allowed = AT_ONCE + PER_SECOND * begun.elapsed().as_secs_f64();
        let given_up = batches * BATCH;
        assert!(
            given_up as f64 <= allowed + 2.0 * BATCH as f64,
            "{given_up} of {allowed:.0}"
        );
    }
    assert!(batches >= 4, "a browser that leaves a page is no attack");
    drop(client);
    eventually(SOON, || client_gone(&lb));
    lb.wait_idle_servers();
}

fn client_gone(lb: &Equipoise) -> bool {
    let labels = [("listener", "web")];
    lb.metrics().sum("equipoise_connections_active", &labels) == 0.0
}

#[test]
fn leaving_a_page_full_of_requests_is_no_attack() {
    let origin = slow();
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    // Four times in a row.
    for stream in (1..4 * 120).step_by(120) {
        let streams = (stream..stream + 120).map(|n| 2 * n + 1);
        for stream in streams.clone() {
            client
                .headers(stream, &request("GET", "/slow"), true)
                .unwrap();
        }
        origin.wait_held(120);
        for stream in streams {
            client
                .send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
                .unwrap();
        }
        lb.wait_idle_servers();
    }
    client.get(2001).unwrap();
    assert_eq!(client.outcome(2001), Outcome::Status(200));
}

#[test]
fn hundreds_of_requests_that_are_cancelled_at_once_end_nobody_else_s() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/kept" => Answer::held(),
        _ => Answer::ok(),
    });
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    client.headers(1, &request("GET", "/kept"), true).unwrap();
    origin.wait_held(1);
    // As a search that is made with every key: each in a read of its own, and then all in one.
    let cancelled: Vec<_> = (0..400).map(get_and_reset).collect();
    for request in &cancelled[..100] {
        client.write(request).unwrap();
    }
    client.write(&cancelled[100..].concat()).unwrap();
    client.get(2001).unwrap();
    assert_eq!(client.outcome(2001), Outcome::Status(200));
    origin.release_all();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    lb.wait_idle_servers();
}

#[test]
fn a_continuation_flood_ends_the_connection() {
    let fields = block(&request("GET", "/"));
    let more = block(&[("x", "y")]);
    survives(&slow(), 100_000, false, move |n| match n {
        0 => frame(HEADERS, END_STREAM, 3, &fields),
        _ => frame(CONTINUATION, 0, 3, &more),
    });
    survives(&slow(), 100_000, false, move |n| match n {
        0 => frame(HEADERS, END_STREAM, 3, &block(&request("GET", "/"))),
        _ => frame(CONTINUATION, 0, 3, &[]),
    });
}

#[test]
fn a_settings_flood_ends_the_connection() {
    survives(&slow(), 1_000_000, false, |_| {
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])
    });
}

#[test]
fn a_ping_flood_ends_the_connection() {
    survives(&slow(), 1_000_000, false, |_| frame(PING, 0, 0, &[0; 8]));
}

#[test]
fn a_priority_flood_ends_the_connection() {
    survives(&slow(), 1_000_000, false, |n| {
        frame(PRIORITY, 0, 2 * n + 3, &[0, 0, 0, 1, 9])
    });
}

#[test]
fn a_window_update_flood_ends_the_connection() {
    survives(&slow(), 1_000_000, true, |_| {
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])
    });
}

#[test]
fn a_flood_of_empty_data_ends_the_connection() {
    survives(&slow(), 1_000_000, true, |_| frame(DATA, 0, 1, &[]));
}

#[test]
fn a_flood_of_unknown_frames_ends_the_connection() {
    survives(&slow(), 1_000_000, false, |_| frame(0x77, 0, 0, &[]));
}

#[test]
fn a_client_that_acknowledges_every_frame_is_no_attack() {
    // Python's h2, for one, answers each DATA frame with two WINDOW_UPDATEs.
    let origin = Origin::with("a", |_| Answer::body(Body::Full(vec![b'x'; 30_000_000])));
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    let (mut got, mut frames) = (0, 0);
    let end: io::Result<()> = loop {
        let frame = match client.next() {
            Ok(frame) => frame,
            Err(e) => break Err(e),
        };
        if frame.kind != DATA {
            continue;
        }
        got += frame.payload.len();
        frames += 1;
        if frame.flags & END_STREAM != 0 {
            break Ok(());
        }
        let more = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
        for stream in [0, 1] {
            client.send(WINDOW_UPDATE, 0, stream, &more).unwrap();
        }
    };
    end.unwrap();
    assert_eq!(got, 30_000_000, "in {frames} frames");
    assert!(frames > 1500, "{frames}");
}

/// A header block of a good request, an entry in the dynamic table, and so many references of a byte each to it.
fn bomb(name: &[u8], value: &[u8], references: usize) -> Vec<u8> {
    let mut bomb = block(&request("GET", "/slow"));
    let mut entry = block_of_bytes(&[(name, value)]);
    entry[0] = 0x40;
    bomb.extend(entry);
    bomb.extend(std::iter::repeat_n(0xbe, references));
    bomb
}

/// Sends the bomb on as many streams as there may be, on ten connections. Returns what more memory is resident then.
fn exploded(bomb: &[u8]) -> u64 {
    let origin = slow();
    let lb = Setup::of([&origin]).start();
    assert_eq!(lb.get("/", &[]).status, 200);
    let before = memory(&lb);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Frames::connect(lb.web());
        for stream in (1..256).step_by(2) {
            let frame = frame(HEADERS, h2::END_HEADERS | END_STREAM, stream, bomb);
            client.write(&frame).unwrap();
        }
        // What comes last is looked at last.
        client.send(PING, 0, 0, b"all seen").unwrap();
        client.pong();
        clients.push(client);
    }
    let more = memory(&lb).saturating_sub(before);
    assert_eq!(lb.get("/", &[]).status, 200, "somebody else suffers");
    more
}

#[test]
fn references_to_an_empty_field_cost_nothing() {
    // CVE-2026-49975's kind.
    let more = exploded(&bomb(b"x", b"", 4000));
    assert!(more < 16 << 20, "{more} bytes more");
}

/// CVE-2025-8671's kind: what the client says of its own stream is wrong, so that we have to reset it.
#[test]
fn requests_that_are_reset_for_what_their_client_says_end_it() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    let mut fields = request("POST", "/");
    fields.push(("content-length", "1"));
    let header = block(&fields);
    let ended = flood(&mut client, 4000, |n| {
        let stream = 2 * n + 1;
        let header = frame(HEADERS, h2::END_HEADERS, stream, &header);
        [header, frame(DATA, 0, stream, b"ab")].concat()
    });
    assert_eq!(ended, Some(ENHANCE_YOUR_CALM));
    lb.wait_idle_servers();
}

#[test]
fn crumbs_of_a_cookie_cost_nothing() {
    let more = exploded(&bomb(b"cookie", b"", 1900));
    assert!(more < 16 << 20, "{more} bytes more");
}

#[test]
fn large_fields_that_are_referred_to_cost_no_more_than_a_connection_may() {
    // CVE-2016-1544's kind: within the limits of each request.
    let more = exploded(&bomb(b"cookie", &[b'v'; 4000], 14));
    assert!(more < 250 << 20, "{more} bytes more");
    let more = exploded(&bomb(b"x", &[b'v'; 4000], 12_000));
    assert!(more < 16 << 20, "{more} bytes more");
}

#[test]
fn a_client_that_is_sent_away_has_its_line_in_the_log() {
    let origin = slow();
    let lb = Setup::of([&origin]).start();
    let unreadable = frame(HEADERS, h2::END_HEADERS | END_STREAM, 1, &[0xff; 5]);
    let noise = frame(PING, 0, 0, b"what now").repeat(3000);
    let mut endless = frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/")));
    endless.extend(frame(h2::CONTINUATION, 0, 1, b"").repeat(100));
    for (bytes, status, termination) in [
        (unreadable, 400, "bad_request"),
        (noise, 400, "bad_request"),
        (endless, 431, "limit"),
    ] {
        let lines = || {
            let log = lb.access_log();
            let same = |line: &&serde_json::Value| {
                line["status"] == status
                    && line["termination"] == termination
                    && line["protocol"] == "HTTP/2.0"
            };
            log.iter().filter(same).count()
        };
        let before = lines();
        let mut client = Frames::connect(lb.web());
        client.polite = false;
        // It may be closed before all of it is written.
        drop(client.write(&bytes));
        eventually(SOON, || lines() == before + 1);
    }
}
