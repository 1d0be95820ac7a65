use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use proptest::prelude::*;

use super::client::{CONNECTION_WINDOW, REFUSAL, STREAM_WINDOW};
use super::*;
use crate::headers::Fields;
use crate::http::wire::head::HeadLimits;
use crate::http::wire::http2::flow::INITIAL_WINDOW;
use crate::http::wire::http2::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HAS_PRIORITY, HEADERS, Head, PADDED, PING,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, write_frame,
};
use crate::http::wire::http2::hpack::{Decoder, write_literal};
use crate::http::wire::http2::meter::Fault;

mod clients;
mod properties;
mod servers;

const LIMITS: HeadLimits = HeadLimits {
    header: 2000,
    uri: 500,
    body: 0,
};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(kind, flags, stream, payload, &mut bytes);
    bytes
}

/// A header block of a good request and one field more, indexed if so wanted.
fn block(more: (&str, &str), index: bool) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84];
    write_literal(b":authority", b"a.test", &mut block);
    let at = block.len();
    write_literal(more.0.as_bytes(), more.1.as_bytes(), &mut block);
    if index {
        block[at] = 0x40;
    }
    block
}

fn get(stream: u32) -> Vec<u8> {
    let block = block(("x", "y"), false);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

fn post(stream: u32) -> Vec<u8> {
    let block = block(("x", "y"), false);
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// The client's end of a connection.
struct Peer {
    streams: Arc<Streams>,
    arrivals: Vec<Arrival>,
    wakers: Vec<Waker>,
    inbox: BytesMut,
    decoder: Decoder,
}

/// A frame as the client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Peer {
    /// Of a connection that has begun.
    fn new() -> Self {
        let mut peer = Self::fresh();
        peer.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        peer.say(&frame(SETTINGS, 0, 0, b"")).unwrap();
        peer.hear();
        peer
    }

    fn fresh() -> Self {
        Self {
            streams: Streams::with_client(128, &LIMITS, Instant::now()),
            arrivals: Vec::new(),
            wakers: Vec::new(),
            inbox: BytesMut::new(),
            decoder: Decoder::new(),
        }
    }

    fn say(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.inbox.extend_from_slice(bytes);
        self.streams.receive(
            &mut self.inbox,
            &LIMITS,
            Instant::now(),
            &mut self.arrivals,
            &mut self.wakers,
        )
    }

    /// What is there to read.
    fn hear(&mut self) -> Vec<Got> {
        let mut output = Vec::new();
        self.streams.take_output(&mut output, &mut self.wakers);
        self.streams.note_written(output.len(), &mut self.wakers);
        frames_of(&output)
    }

    /// All that there is to read.
    fn hear_all(&mut self) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            let got = self.hear();
            if got.is_empty() {
                return all;
            }
            all.extend(got);
        }
    }

    /// The streams of requests that have come.
    fn take(&mut self) -> Vec<Handle> {
        let arrivals = self.arrivals.drain(..);
        arrivals.map(|arrival| arrival.handle).collect()
    }

    fn fields(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let (mut fields, text) = (Vec::new(), |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).into_owned()
        });
        self.decoder
            .decode(block, |n, v| fields.push((text(n), text(v))))
            .unwrap();
        fields
    }
}

fn frames_of(mut bytes: &[u8]) -> Vec<Got> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let head = Head::read(*head);
        let (payload, rest) = rest.split_at(head.length);
        bytes = rest;
        frames.push(Got {
            kind: head.kind,
            flags: head.flags,
            stream: head.stream,
            payload: payload.to_vec(),
        });
    }
    assert!(bytes.is_empty());
    frames
}

fn resets(frames: &[Got]) -> Vec<(u32, u8)> {
    let resets = frames.iter().filter(|frame| frame.kind == RST_STREAM);
    resets.map(|it| (it.stream, it.payload[3])).collect()
}

/// What the connection ends for when that is all that is said on it.
fn fault(bytes: &[u8]) -> Option<Fault> {
    Peer::new().say(bytes).err()
}

fn waits() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
