//! What comes from the other side: frames, judged as they come (RFC 9113 sections 4 to 6).

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::stream::Loss;
use super::{Arrival, GIVEN_UP, Peer, State, Streams};
use crate::http::wire::head::HeadLimits;
use crate::http::wire::http2::frames::{
    CONTINUATION, DATA, ErrorCode, GOAWAY, HEADERS, Head, LARGEST_FRAME, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, cut,
};
use crate::http::wire::http2::hpack::Decoder;
use crate::http::wire::http2::meter::{Fault, Meter};
use crate::http::wire::http2::request::longest_block;

mod control;
mod data;
mod headers;

use data::DataFrame;
use headers::OpenBlock;

/// CONTINUATION frames that any header block may have.
const CONTINUATIONS: usize = 32;

/// How far the frames are.
#[derive(Debug)]
pub struct Receiving {
    /// Bytes of the preface that have come.
    preface: usize,
    /// The first frame has come.
    begun: bool,
    /// A piece of a body whose bytes are still to come.
    data: Option<DataFrame>,
    open: Option<OpenBlock>,
    block_since: Option<Instant>,
    /// Nothing of a frame has come that isn't whole.
    between: bool,
    decoder: Decoder,
    /// What clients do in vain is weighed.
    meter: Option<Meter>,
    /// The last request: the client's, or ours.
    last: u32,
    /// Streams that we have given up and that the other side has yet to end, in order.
    given_up: VecDeque<u32>,
    /// Streams up to this one that have ended may be such, too: there were too many.
    forgotten: u32,
}

/// What comes along with what has come.
pub struct Around<'a> {
    /// Of the same connection, and locked.
    pub streams: &'a Arc<Streams>,
    pub limits: &'a HeadLimits,
    pub now: Instant,
    pub arrivals: &'a mut Vec<Arrival>,
    pub wakers: &'a mut Vec<Waker>,
}

impl Receiving {
    /// From a client that may have so many requests at once.
    pub fn from_client(max_streams: u32, now: Instant) -> Self {
        Self::new(0, Some(Meter::new(max_streams, now)))
    }

    /// From a server, whose preface is its first frame.
    pub fn from_server() -> Self {
        Self::new(PREFACE.len(), None)
    }

    fn new(preface: usize, meter: Option<Meter>) -> Self {
        Self {
            preface,
            begun: false,
            data: None,
            open: None,
            block_since: None,
            between: true,
            decoder: Decoder::new(),
            meter,
            last: 0,
            given_up: VecDeque::new(),
            forgotten: 0,
        }
    }

    pub fn has_begun(&self) -> bool {
        self.preface == PREFACE.len()
    }

    pub fn block_since(&self) -> Option<Instant> {
        self.block_since
    }

    /// Whether no frame and no header block is under way.
    pub fn is_between(&self) -> bool {
        self.between && self.data.is_none() && self.open.is_none()
    }

    /// The last request.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// A request is made on that stream.
    pub fn note_request(&mut self, id: u32) {
        self.last = id;
    }

    /// Nothing more is wanted of a stream that the other side has yet to end.
    pub fn note_given_up(&mut self, id: u32) {
        if id <= self.forgotten {
            return;
        }
        if let Err(at) = self.given_up.binary_search(&id) {
            self.given_up.insert(at, id);
        }
        if self.given_up.len() > GIVEN_UP
            && let Some(oldest) = self.given_up.pop_front()
        {
            self.forgotten = oldest;
        }
    }

    fn is_given_up(&self, id: u32) -> bool {
        id <= self.forgotten || self.given_up.binary_search(&id).is_ok()
    }

    fn note_ended(&mut self, id: u32) {
        if let Ok(at) = self.given_up.binary_search(&id) {
            self.given_up.remove(at);
        }
    }

    /// Whether no stream of that number can have been before.
    fn is_idle(&self, id: u32) -> bool {
        id > self.last || id.is_multiple_of(2)
    }

    /// Takes as much of the preface as has come. Fails when the bytes are none.
    fn take_preface(&mut self, bytes: &mut &[u8]) -> Result<(), Fault> {
        let (_, awaited) = cut(PREFACE, self.preface);
        let (come, rest) = cut(bytes, awaited.len());
        if !awaited.starts_with(come) {
            return Err(Fault::Preface);
        }
        self.preface += come.len();
        *bytes = rest;
        Ok(())
    }

    /// A frame begins whose header has come.
    fn begin(&mut self, head: Head, limits: &HeadLimits, now: Instant) -> Result<(), Fault> {
        if !self.begun && head.kind != SETTINGS {
            return Err(Fault::NoSettings);
        }
        if head.length > LARGEST_FRAME {
            return Err(Fault::FrameSize);
        }
        match &self.open {
            // Section 4.3: nothing comes between.
            Some(open) if head.kind != CONTINUATION || head.stream != open.stream => {
                return Err(Fault::Protocol);
            }
            Some(open) => {
                let most = longest_block(limits);
                if open.frames >= CONTINUATIONS + most / LARGEST_FRAME
                    || open.fragment.len() + head.length > most
                {
                    return Err(Fault::Block);
                }
            }
            None if head.kind == CONTINUATION => return Err(Fault::Protocol),
            None => {}
        }
        if matches!(head.kind, HEADERS | CONTINUATION) {
            self.block_since.get_or_insert(now);
        }
        Ok(())
    }
}

impl State {
    /// See [`Streams::receive`](super::Streams::receive).
    pub(super) fn receive(
        &mut self,
        bytes: &mut BytesMut,
        mut around: Around<'_>,
    ) -> Result<(), Fault> {
        self.heard = self.heard.wrapping_add(1);
        let mut rest: &[u8] = bytes;
        let result = self.take(&mut rest, &mut around);
        self.receiving.between = rest.is_empty();
        let taken = bytes.len() - rest.len();
        bytes.advance(taken);
        result
    }

    fn take(&mut self, bytes: &mut &[u8], around: &mut Around<'_>) -> Result<(), Fault> {
        if !self.receiving.has_begun() {
            self.receiving.take_preface(bytes)?;
        }
        loop {
            if self.receiving.data.is_some() {
                self.take_data(bytes, around);
                if self.receiving.data.is_some() {
                    return Ok(());
                }
            }
            let Some((head, payload)) = bytes.split_first_chunk() else {
                return Ok(());
            };
            let head = Head::read(*head);
            self.receiving.begin(head, around.limits, around.now)?;
            if head.kind == DATA {
                let Some(rest) = self.begin_data(head, payload, around)? else {
                    return Ok(());
                };
                *bytes = rest;
                continue;
            }
            let Some((payload, rest)) = payload.split_at_checked(head.length) else {
                return Ok(());
            };
            *bytes = rest;
            self.weigh(head, around.now)?;
            self.receiving.begun = true;
            self.take_frame(head, payload, around)?;
        }
    }

    /// Something comes on a stream that the other side has ended (section 5.1). With a client that is the connection's end. A
    /// server's connection has others' requests on it, and there are servers that send a body behind the end of a response to HEAD.
    fn note_late(&mut self, id: u32, wakers: &mut Vec<Waker>) -> Result<(), Fault> {
        if self.peer == Peer::Client {
            return Err(Fault::Closed);
        }
        let loss = Loss::Malformed(Fault::Closed.words());
        self.reset(id, ErrorCode::StreamClosed, loss, wakers);
        self.receiving.note_given_up(id);
        Ok(())
    }

    fn weigh(&mut self, head: Head, now: Instant) -> Result<(), Fault> {
        let meter = self.receiving.meter.as_mut();
        meter.map_or(Ok(()), |meter| meter.weigh(head, now, &mut self.deeds))
    }

    fn take_frame(
        &mut self,
        head: Head,
        payload: &[u8],
        around: &mut Around<'_>,
    ) -> Result<(), Fault> {
        match head.kind {
            HEADERS => self.take_headers(head, payload, around),
            CONTINUATION => self.take_continuation(head, payload, around),
            PRIORITY => self.take_priority(head, payload, around.wakers),
            RST_STREAM => self.take_reset(head, payload, around.wakers),
            SETTINGS => self.take_settings(head, payload, around.wakers),
            PUSH_PROMISE => Err(Fault::Protocol),
            PING => self.take_ping(head, payload),
            GOAWAY => self.take_go_away(head, payload, around.wakers),
            WINDOW_UPDATE => self.take_window_update(head, payload, around.wakers),
            // Section 4.1.
            _ => Ok(()),
        }
    }
}
