//! What an HTTP/2 client says, on its way to the `h2` crate: nearly all of it passes as it came.
//!
//! Frame headers (RFC 9113 section 4.1) are looked at to [weigh](super::meter) what costs work. Header blocks are read
//! here before `h2` sees them ([`super::fields`]): a malformed or too large one is an error of its stream alone, and
//! nothing of it is kept. A block that is in order is handed on as it came, in one piece. From the first one on that
//! isn't, `h2`'s tables of the header compression no longer are the client's, so all are written anew, without tables.
//!
//! The answer to the PING that `h2` sends with a GOAWAY is kept back, too: with it `h2` takes no more requests. When that
//! is, the connection's driver decides.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::super::head::HeadLimits;
use super::fields;
use super::fields::{MALFORMED_TRAILERS, Place, Unfit};
use super::hpack::Decoder;
use super::meter::{Deeds, Fault, Meter};

/// Bytes of the client's preface before its first frame.
pub const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;
/// The largest frame that a client may send: the protocol's default, which is ours (section 6.5.2).
const LARGEST_FRAME: usize = 16_384;
/// A header block may be so many times as long as the header section that it may make.
const BLOCK_TO_SECTION: usize = 4;
/// CONTINUATION frames that any header block may have.
const CONTINUATIONS: usize = 32;
/// Requests whose bodies have yet to end, as far as they are remembered.
const BODIES: usize = 1024;
/// A buffer larger than this isn't kept from one frame to the next.
const KEPT: usize = 1024;
/// What `h2` has in the PING that goes with a GOAWAY.
const LAST_CALL: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A frame's header.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    fn read(bytes: [u8; FRAME_HEAD]) -> Self {
        let [high, middle, low, kind, flags, a, b, c, d] = bytes;
        Self {
            length: usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low),
            kind,
            flags,
            stream: u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff,
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        out.extend(length.iter().skip(1));
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

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
    meter: Meter,
    decoder: Decoder,
    /// Header blocks are written anew.
    anew: bool,
    at: At,
    /// The bytes of a frame's header that have come.
    head: Vec<u8>,
    /// The first frame has come.
    begun: bool,
    /// The payload of a frame that is kept back, as far as it has come.
    payload: Vec<u8>,
    block: Option<Block>,
    block_since: Option<Instant>,
    /// The client's last request.
    last: u32,
    /// Requests whose bodies have yet to end, and that trailers may end, in order. Those that were given up on our side
    /// stay, so there may be so many that the first are forgotten.
    bodies: VecDeque<u32>,
    /// The client has heard that the connection ends.
    heard: bool,
    /// Scratch for header blocks.
    written: Vec<u8>,
}

/// Where in the bytes the next one is.
#[derive(Debug, Clone, Copy)]
enum At {
    /// In a frame's header.
    Head,
    /// In the preface or a payload that passes; bytes still to come.
    Passing(usize),
    /// In a payload that is kept back; bytes still to come.
    Held(Head, usize),
}

/// A header block that goes on in CONTINUATION frames.
#[derive(Debug)]
struct Block {
    stream: u32,
    ends_stream: bool,
    self_dependent: bool,
    fragment: Vec<u8>,
    frames: usize,
}

impl Screen {
    /// For a connection whose preface is still to come. `max_streams` requests may be under way at once.
    pub fn new(max_streams: u32, now: Instant) -> Self {
        Self {
            meter: Meter::new(max_streams, now),
            decoder: Decoder::new(),
            anew: false,
            at: At::Passing(PREFACE),
            head: Vec::new(),
            begun: false,
            payload: Vec::new(),
            block: None,
            block_since: None,
            last: 0,
            bodies: VecDeque::new(),
            heard: false,
            written: Vec::new(),
        }
    }

    /// Since when a header block is under way, if one is.
    pub fn block_since(&self) -> Option<Instant> {
        self.block_since
    }

    /// Whether the client has heard that the connection ends.
    pub fn has_heard(&self) -> bool {
        self.heard
    }

    /// The frame that `h2` waits for before it takes no more requests, where one may stand.
    pub fn last_call(&self) -> Option<Vec<u8>> {
        if !matches!(self.at, At::Head) || !self.head.is_empty() {
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

    /// How many of these bytes pass as they are; the rest is to be [taken](Self::take).
    ///
    /// # Errors
    ///
    /// [`Fault`] when the client is to be sent away.
    pub fn pass(&mut self, bytes: &[u8], around: &mut Around<'_>) -> Result<usize, Fault> {
        let mut rest = bytes;
        loop {
            if let At::Passing(left) = self.at {
                let count = left.min(rest.len());
                rest = rest.get(count..).unwrap_or_default();
                self.at = passing(left - count);
            }
            let At::Head = self.at else { break };
            let Some(head) = rest.first_chunk().filter(|_| self.head.is_empty()) else {
                break;
            };
            let head = Head::read(*head);
            if self.is_held(head) {
                break;
            }
            self.begin(head, around)?;
            rest = rest.get(FRAME_HEAD..).unwrap_or_default();
        }
        Ok(bytes.len() - rest.len())
    }

    /// Takes what doesn't pass as it is, and appends what passes instead.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the client is to be sent away.
    pub fn take(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        around: &mut Around<'_>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match self.at {
                At::Passing(left) => {
                    let (part, rest) = cut(bytes, left);
                    out.extend_from_slice(part);
                    bytes = rest;
                    self.at = passing(left - part.len());
                }
                At::Held(head, left) => {
                    let (part, rest) = cut(bytes, left);
                    self.payload.extend_from_slice(part);
                    bytes = rest;
                    self.at = At::Held(head, left - part.len());
                    if left == part.len() {
                        self.held(head, out, around)?;
                    }
                }
                At::Head => {
                    let (part, rest) = cut(bytes, FRAME_HEAD - self.head.len());
                    self.head.extend_from_slice(part);
                    bytes = rest;
                    let Some(head) = self.head.first_chunk() else {
                        continue;
                    };
                    let head = Head::read(*head);
                    self.head.clear();
                    self.begin(head, around)?;
                    match self.at {
                        At::Held(head, 0) => self.held(head, out, around)?,
                        At::Held(..) => {}
                        At::Head | At::Passing(_) => head.write(out),
                    }
                }
            }
        }
        Ok(())
    }

    /// A frame begins.
    fn begin(&mut self, head: Head, around: &mut Around<'_>) -> Result<(), Fault> {
        if !std::mem::replace(&mut self.begun, true) && head.kind != SETTINGS {
            return Err(Fault::NoSettings);
        }
        self.meter.weigh(head, around.now, around.deeds)?;
        if head.kind == RST_STREAM || head.kind == DATA && head.has(END_STREAM) {
            self.end_body(head.stream);
        }
        match &mut self.block {
            // Section 4.3: nothing comes between.
            Some(block) if head.kind != CONTINUATION || head.stream != block.stream => {
                return Err(Fault::Protocol);
            }
            Some(block) => {
                block.frames += 1;
                let most = longest_block(&around.limits);
                if block.frames > CONTINUATIONS + most / LARGEST_FRAME
                    || block.fragment.len() + head.length > most
                {
                    return Err(Fault::Block);
                }
            }
            None => {}
        }
        self.at = if self.is_held(head) {
            if head.kind != PING {
                self.block_since = self.block_since.or(Some(around.now));
            }
            At::Held(head, head.length)
        } else {
            passing(head.length)
        };
        Ok(())
    }

    fn end_body(&mut self, stream: u32) {
        if let Ok(place) = self.bodies.binary_search(&stream) {
            self.bodies.remove(place);
        }
    }

    /// Whether a frame is kept back until all of it is there. What is wrong with others is for `h2` to say.
    fn is_held(&self, head: Head) -> bool {
        match head.kind {
            HEADERS => head.stream % 2 == 1 && head.length <= LARGEST_FRAME,
            CONTINUATION => self.block.is_some() && head.length <= LARGEST_FRAME,
            PING => head.has(ACK) && head.stream == 0 && head.length == LAST_CALL.len(),
            _ => false,
        }
    }

    /// A frame that was kept back has come.
    fn held(
        &mut self,
        head: Head,
        out: &mut Vec<u8>,
        around: &mut Around<'_>,
    ) -> Result<(), Fault> {
        self.at = At::Head;
        let payload = std::mem::take(&mut self.payload);
        match head.kind {
            PING if payload == LAST_CALL => self.heard = true,
            PING => {
                head.write(out);
                out.extend_from_slice(&payload);
            }
            CONTINUATION => {
                if let Some(block) = &mut self.block {
                    block.fragment.extend_from_slice(&payload);
                }
                if head.has(END_HEADERS)
                    && let Some(block) = self.block.take()
                {
                    self.whole(&block, &block.fragment, out, around)?;
                }
            }
            _ => {
                let (fragment, self_dependent) = fragment(head, &payload)?;
                let mut block = Block {
                    stream: head.stream,
                    ends_stream: head.has(END_STREAM),
                    self_dependent,
                    fragment: Vec::new(),
                    frames: 0,
                };
                if head.has(END_HEADERS) {
                    self.whole(&block, fragment, out, around)?;
                } else {
                    block.fragment.extend_from_slice(fragment);
                    self.block = Some(block);
                }
            }
        }
        if payload.capacity() <= KEPT {
            self.payload = payload;
            self.payload.clear();
        }
        Ok(())
    }

    /// A header block has come.
    fn whole(
        &mut self,
        block: &Block,
        fragment: &[u8],
        out: &mut Vec<u8>,
        around: &mut Around<'_>,
    ) -> Result<(), Fault> {
        self.block_since = None;
        let ends = block.ends_stream;
        let place = if block.stream > self.last {
            self.last = block.stream;
            if !ends {
                self.bodies.push_back(block.stream);
            }
            if self.bodies.len() > BODIES {
                self.bodies.pop_front();
            }
            Place::Request { ends }
        } else if self.bodies.binary_search(&block.stream).is_ok() {
            if ends {
                self.end_body(block.stream);
            }
            Place::Trailers
        } else {
            // Section 5.1: nothing comes after the end.
            return Err(Fault::Closed);
        };
        let mut section = fields::read(
            &mut self.decoder,
            fragment,
            place,
            &around.limits,
            self.anew,
            &mut self.written,
        )
        .map_err(|_| Fault::Compression)?;
        let mut unfit = section.unfit;
        if block.self_dependent {
            unfit = unfit.or(Some(Unfit::SelfDependent));
        }
        if unfit.is_none()
            && place != Place::Trailers
            && !(around.admit)(block.stream, section.cost)
        {
            unfit = Some(Unfit::Busy);
        }
        self.anew |= section.anew;
        let written = match unfit {
            None if self.anew => section.written(),
            None => fragment,
            Some(unfit) => {
                self.anew = true;
                match place {
                    Place::Request { .. } => section.stand_in(unfit),
                    Place::Trailers => MALFORMED_TRAILERS,
                }
            }
        };
        write_block(block, written, out);
        if self.written.capacity() > KEPT {
            self.written = Vec::new();
        }
        Ok(())
    }
}

/// What comes after so many more bytes that pass.
fn passing(left: usize) -> At {
    if left == 0 {
        At::Head
    } else {
        At::Passing(left)
    }
}

fn cut(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// The longest header block that is read.
fn longest_block(limits: &HeadLimits) -> usize {
    fields::largest_list(limits).saturating_mul(BLOCK_TO_SECTION)
}

/// What a HEADERS frame has besides padding and priority (section 6.2), and whether its stream depends on itself.
fn fragment(head: Head, payload: &[u8]) -> Result<(&[u8], bool), Fault> {
    let (mut fragment, mut padding, mut self_dependent) = (payload, 0, false);
    if head.has(PADDED) {
        let (length, rest) = fragment.split_first().ok_or(Fault::Protocol)?;
        (padding, fragment) = (usize::from(*length), rest);
    }
    if head.has(PRIORITY) {
        let (depends_on, _) = fragment.split_first_chunk().ok_or(Fault::Protocol)?;
        self_dependent = u32::from_be_bytes(*depends_on) & 0x7fff_ffff == head.stream;
        fragment = fragment.get(5..).ok_or(Fault::Protocol)?;
    }
    let length = fragment.len().checked_sub(padding).ok_or(Fault::Protocol)?;
    Ok((fragment.get(..length).unwrap_or_default(), self_dependent))
}

/// Writes a header block in as few frames as may be.
fn write_block(block: &Block, written: &[u8], out: &mut Vec<u8>) {
    let (mut part, mut rest) = cut(written, LARGEST_FRAME);
    let mut head = Head {
        length: part.len(),
        kind: HEADERS,
        flags: if block.ends_stream { END_STREAM } else { 0 },
        stream: block.stream,
    };
    loop {
        if rest.is_empty() {
            head.flags |= END_HEADERS;
        }
        head.write(out);
        out.extend_from_slice(part);
        if rest.is_empty() {
            return;
        }
        (part, rest) = cut(rest, LARGEST_FRAME);
        head = Head {
            length: part.len(),
            kind: CONTINUATION,
            flags: 0,
            ..head
        };
    }
}

#[cfg(test)]
mod tests;
