//! What an HTTP/2 client says, on its way to the `h2` crate.
//!
//! Frames are [weighed](super::meter) by what work they cost. Header blocks are read here before `h2` sees them ([`fields`]):
//! a malformed or too large one is an error of its stream alone, and nothing of it is kept. A block that is in order is
//! handed on as it came, in one piece. From the first one on that isn't, `h2`'s tables of the header compression no longer
//! are the client's, so all are written anew, without tables.
//!
//! The answer to the PING that `h2` sends with a GOAWAY is kept back, too: with it `h2` takes no more requests. When that
//! is, the connection's driver decides.

use std::collections::VecDeque;
use std::time::Instant;

use h2::Reason;

use super::meter::{Deeds, Fault, Meter};
use crate::bodies;
use crate::http::wire::head::HeadLimits;
use crate::http::wire::http2::fields::{self, MALFORMED, Place, Unfit};
use crate::http::wire::http2::frames::{
    ACK, DATA, FRAME_HEAD, Head, PING, PREFACE, RST_STREAM, SETTINGS, write_block,
};
use crate::http::wire::http2::framing::{Block, FrameError, Framing, Side};
use crate::http::wire::http2::hpack::Decoder;

/// Requests whose bodies have yet to end, as far as they are remembered.
const BODIES: usize = 1024;
/// A buffer larger than this isn't kept from one block to the next.
const KEPT: usize = 1024;
/// What `h2` has in the PING that goes with a GOAWAY.
const LAST_CALL: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// What the screen has to know of the rest.
pub struct Around<'a> {
    pub now: Instant,
    pub limits: HeadLimits,
    pub deeds: &'a Deeds,
    /// Takes up what a request's header will cost, in bytes, if there is room for it.
    pub admit: &'a mut dyn FnMut(u32, usize) -> bool,
}

/// The frames of one connection.
#[derive(Debug)]
pub struct Screen {
    framing: Framing,
    requests: Requests,
}

/// What is known of a client's requests.
#[derive(Debug)]
struct Requests {
    meter: Meter,
    decoder: Decoder,
    /// Header blocks are written anew.
    anew: bool,
    /// The first frame has come.
    begun: bool,
    block_since: Option<Instant>,
    /// The client's last request.
    last: u32,
    /// Requests whose bodies have yet to end, and that trailers may end, in order. Those that were given up on our side
    /// stay, so there may be so many that the first are forgotten.
    bodies: VecDeque<u32>,
    /// The client has heard that the connection ends.
    heard: bool,
    /// Small pieces of bodies that have come since they were last gathered.
    small: u32,
    /// Scratch for header blocks.
    written: Vec<u8>,
}

impl Screen {
    /// For a connection whose preface is still to come. `max_streams` requests may be under way at once.
    pub fn new(max_streams: u32, now: Instant) -> Self {
        Self {
            framing: Framing::behind(PREFACE),
            requests: Requests {
                meter: Meter::new(max_streams, now),
                decoder: Decoder::new(),
                anew: false,
                begun: false,
                block_since: None,
                last: 0,
                bodies: VecDeque::new(),
                heard: false,
                small: 0,
                written: Vec::new(),
            },
        }
    }

    /// Since when a header block is under way, if one is.
    pub fn block_since(&self) -> Option<Instant> {
        self.requests.block_since
    }

    /// Whether the client has heard that the connection ends.
    pub fn has_heard(&self) -> bool {
        self.requests.heard
    }

    /// Whether many small pieces of bodies have come since this was last so.
    pub fn is_crowded(&mut self) -> bool {
        let small = &mut self.requests.small;
        let many = *small >= bodies::MANY;
        if many {
            *small = 0;
        }
        many
    }

    /// The frame that `h2` waits for before it takes no more requests, where one may stand.
    pub fn last_call(&self) -> Option<Vec<u8>> {
        if !self.framing.is_between() {
            return None;
        }
        let mut frame = Vec::with_capacity(FRAME_HEAD + LAST_CALL.len());
        let head = Head {
            length: LAST_CALL.len(),
            kind: PING,
            flags: ACK,
            stream: 0,
        };
        head.write(&mut frame);
        frame.extend(LAST_CALL);
        Some(frame)
    }

    /// The frames of a client that has ended its side: what it can't send the rest of any more, it gives up. `None`: its
    /// last frame or header block isn't whole.
    pub fn give_up(&mut self) -> Option<Vec<u8>> {
        let requests = &mut self.requests;
        if !self.framing.is_between() || requests.block_since.is_some() {
            return None;
        }
        let code = u32::from(Reason::CANCEL).to_be_bytes();
        let mut frames = Vec::with_capacity(requests.bodies.len() * (FRAME_HEAD + code.len()));
        for stream in requests.bodies.drain(..) {
            let head = Head {
                length: code.len(),
                kind: RST_STREAM,
                flags: 0,
                stream,
            };
            head.write(&mut frames);
            frames.extend(code);
        }
        Some(frames)
    }

    /// How many of these bytes pass as they are; the rest is to be [taken](Self::take).
    ///
    /// # Errors
    ///
    /// [`Fault`] when the client is to be sent away.
    pub fn pass(&mut self, bytes: &[u8], around: &mut Around<'_>) -> Result<usize, Fault> {
        let requests = &mut self.requests;
        self.framing.pass(bytes, &mut Judge { requests, around })
    }

    /// Takes what doesn't pass as it is, and appends what passes instead.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the client is to be sent away.
    pub fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        around: &mut Around<'_>,
    ) -> Result<(), Fault> {
        let requests = &mut self.requests;
        let mut judge = Judge { requests, around };
        self.framing.take(bytes, out, &mut judge)
    }
}

/// Who looks at what has come now.
struct Judge<'r, 'a, 'b> {
    requests: &'r mut Requests,
    around: &'a mut Around<'b>,
}

impl Side for Judge<'_, '_, '_> {
    type Error = Fault;

    fn longest_block(&self) -> usize {
        fields::longest_block(&self.around.limits)
    }

    fn keeps(&self, head: Head) -> bool {
        match head.kind {
            PING => head.has(ACK) && head.stream == 0 && head.length == LAST_CALL.len(),
            // They have been weighed. `h2` counts them for as long as the connection lasts, and allows a hundred.
            DATA => head.is_empty_piece() && self.requests.has_body(head.stream),
            _ => false,
        }
    }

    fn begin(&mut self, head: Head) -> Result<(), Fault> {
        let requests = &mut *self.requests;
        if !std::mem::replace(&mut requests.begun, true) && head.kind != SETTINGS {
            return Err(Fault::NoSettings);
        }
        requests
            .meter
            .weigh(head, self.around.now, self.around.deeds)?;
        if head.ends_stream() {
            requests.end_body(head.stream);
        } else if head.is_small_piece() {
            requests.small = requests.small.saturating_add(1);
        }
        Ok(())
    }

    fn begin_block(&mut self) {
        let since = &mut self.requests.block_since;
        *since = since.or(Some(self.around.now));
    }

    fn kept(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        match head.kind {
            PING if payload == LAST_CALL => self.requests.heard = true,
            PING => {
                head.write(out);
                out.extend_from_slice(payload);
            }
            _ => {}
        }
        Ok(())
    }

    fn block(&mut self, block: Block<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let requests = &mut *self.requests;
        requests.block_since = None;
        let place = requests.place(block)?;
        let mut section = fields::read(
            &mut requests.decoder,
            block.fragment,
            place,
            &self.around.limits,
            requests.anew,
            &mut requests.written,
        )
        .map_err(|_| Fault::Compression)?;
        let mut unfit = section.unfit;
        if block.self_dependent {
            unfit = unfit.or(Some(Unfit::SelfDependent));
        }
        if unfit.is_none()
            && place != Place::RequestTrailers
            && !(self.around.admit)(block.stream, section.cost)
        {
            unfit = Some(Unfit::Busy);
        }
        requests.anew |= section.anew || unfit.is_some();
        let written = match unfit {
            None if requests.anew => section.written(),
            None => block.fragment,
            Some(_) if place == Place::RequestTrailers => MALFORMED,
            Some(unfit) => section.stand_in(unfit),
        };
        write_block(block.stream, block.ends_stream, written, out);
        if requests.written.capacity() > KEPT {
            requests.written = Vec::new();
        }
        Ok(())
    }
}

impl Requests {
    /// What a header block belongs to.
    fn place(&mut self, block: Block<'_>) -> Result<Place, Fault> {
        let ends = block.ends_stream;
        if block.stream > self.last {
            self.last = block.stream;
            if !ends {
                self.bodies.push_back(block.stream);
            }
            if self.bodies.len() > BODIES {
                self.bodies.pop_front();
            }
            return Ok(Place::Request { ends });
        }
        if !self.has_body(block.stream) {
            // Section 5.1: nothing comes after the end.
            return Err(Fault::Closed);
        }
        if ends {
            self.end_body(block.stream);
        }
        Ok(Place::RequestTrailers)
    }

    /// Whether more of a request's body may come.
    fn has_body(&self, stream: u32) -> bool {
        self.bodies.binary_search(&stream).is_ok()
    }

    fn end_body(&mut self, stream: u32) {
        if let Ok(place) = self.bodies.binary_search(&stream) {
            self.bodies.remove(place);
        }
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Block => Self::Block,
            FrameError::Protocol => Self::Protocol,
        }
    }
}

#[cfg(test)]
mod tests;
