//! The frames of one direction of a connection on their way to the `h2` crate: nearly all of them pass as they came.
//!
//! Whoever screens them ([`Side`]) sees each frame's header, and gets the header blocks whole. A block is handed on in one
//! piece, as it came or written anew: a malformed one is an error of its stream (RFC 9113 section 8.1.1), where the `h2`
//! crate would end the connection over some.

use super::frames::{CONTINUATION, END_HEADERS, END_STREAM, FRAME_HEAD, HEADERS, Head};
use super::frames::{LARGEST_FRAME, cut, fragment};

/// CONTINUATION frames that any header block may have.
const CONTINUATIONS: usize = 32;
/// A buffer larger than this isn't kept from one frame to the next.
const KEPT: usize = 1024;

/// Why no more frames are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// A header block that is endless.
    Block,
    /// A frame in another's place, or shorter than it says.
    Protocol,
}

/// Who looks at the frames of a direction.
pub trait Side {
    /// Why no more are read.
    type Error: From<FrameError>;

    /// Bytes that a header block may have.
    fn longest_block(&self) -> usize;

    /// Whether a frame that is none of a header block is kept back until all of it is there.
    fn keeps(&self, head: Head) -> bool;

    /// A frame begins.
    fn begin(&mut self, head: Head) -> Result<(), Self::Error>;

    /// A header block begins or goes on.
    fn begin_block(&mut self);

    /// A frame that was kept back has come; appends what passes instead.
    fn kept(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// A header block has come; appends what passes instead.
    fn block(&mut self, block: Block<'_>, out: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// A whole header block.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    pub stream: u32,
    pub ends_stream: bool,
    /// Its stream depends on itself (RFC 7540 section 5.3.1).
    pub self_dependent: bool,
    pub fragment: &'a [u8],
}

/// How far the frames are.
#[derive(Debug)]
pub struct Framing {
    at: At,
    /// The bytes of a frame's header that have come.
    head: Vec<u8>,
    /// The payload of a frame that is kept back, as far as it has come.
    payload: Vec<u8>,
    open: Option<OpenBlock>,
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
struct OpenBlock {
    stream: u32,
    ends_stream: bool,
    self_dependent: bool,
    fragment: Vec<u8>,
    frames: usize,
}

impl Framing {
    /// So many bytes are to come before the first frame.
    pub fn behind(preface: usize) -> Self {
        Self {
            at: passing(preface),
            head: Vec::new(),
            payload: Vec::new(),
            open: None,
        }
    }

    /// How many of these bytes pass as they are; the rest is to be [taken](Self::take).
    ///
    /// # Errors
    ///
    /// The side's.
    pub fn pass<S: Side>(&mut self, bytes: &[u8], side: &mut S) -> Result<usize, S::Error> {
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
            if self.is_held(head, side) {
                break;
            }
            self.begin(head, side)?;
            rest = rest.get(FRAME_HEAD..).unwrap_or_default();
        }
        Ok(bytes.len() - rest.len())
    }

    /// Takes what doesn't pass as it is, and appends what passes instead.
    ///
    /// # Errors
    ///
    /// The side's.
    pub fn take<S: Side>(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        side: &mut S,
    ) -> Result<(), S::Error> {
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
                        self.held(head, out, side)?;
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
                    self.begin(head, side)?;
                    match self.at {
                        At::Held(head, 0) => self.held(head, out, side)?,
                        At::Held(..) => {}
                        At::Head | At::Passing(_) => head.write(out),
                    }
                }
            }
        }
        Ok(())
    }

    /// A frame begins.
    fn begin<S: Side>(&mut self, head: Head, side: &mut S) -> Result<(), S::Error> {
        side.begin(head)?;
        match &mut self.open {
            // Section 4.3: nothing comes between.
            Some(open) if head.kind != CONTINUATION || head.stream != open.stream => {
                return Err(FrameError::Protocol.into());
            }
            Some(open) => {
                open.frames += 1;
                let most = side.longest_block();
                if open.frames > CONTINUATIONS + most / LARGEST_FRAME
                    || open.fragment.len() + head.length > most
                {
                    return Err(FrameError::Block.into());
                }
            }
            None => {}
        }
        self.at = if self.is_held(head, side) {
            if matches!(head.kind, HEADERS | CONTINUATION) {
                side.begin_block();
            }
            At::Held(head, head.length)
        } else {
            passing(head.length)
        };
        Ok(())
    }

    /// Whether a frame is kept back until all of it is there. What is wrong with others is for `h2` to say.
    fn is_held<S: Side>(&self, head: Head, side: &S) -> bool {
        match head.kind {
            HEADERS => head.stream % 2 == 1 && head.length <= LARGEST_FRAME,
            CONTINUATION => self.open.is_some() && head.length <= LARGEST_FRAME,
            _ => side.keeps(head),
        }
    }

    /// A frame that was kept back has come.
    fn held<S: Side>(
        &mut self,
        head: Head,
        out: &mut Vec<u8>,
        side: &mut S,
    ) -> Result<(), S::Error> {
        self.at = At::Head;
        let payload = std::mem::take(&mut self.payload);
        match head.kind {
            HEADERS => {
                let (fragment, self_dependent) =
                    fragment(head, &payload).ok_or(FrameError::Protocol)?;
                let (stream, ends_stream) = (head.stream, head.has(END_STREAM));
                if head.has(END_HEADERS) {
                    let block = Block {
                        stream,
                        ends_stream,
                        self_dependent,
                        fragment,
                    };
                    side.block(block, out)?;
                } else {
                    self.open = Some(OpenBlock {
                        stream,
                        ends_stream,
                        self_dependent,
                        fragment: fragment.to_vec(),
                        frames: 0,
                    });
                }
            }
            CONTINUATION => {
                if let Some(open) = &mut self.open {
                    open.fragment.extend_from_slice(&payload);
                }
                if head.has(END_HEADERS)
                    && let Some(open) = self.open.take()
                {
                    let block = Block {
                        stream: open.stream,
                        ends_stream: open.ends_stream,
                        self_dependent: open.self_dependent,
                        fragment: &open.fragment,
                    };
                    side.block(block, out)?;
                }
            }
            _ => side.kept(head, &payload, out)?,
        }
        if payload.capacity() <= KEPT {
            self.payload = payload;
            self.payload.clear();
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
