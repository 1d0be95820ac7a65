//! What a server says over HTTP/2, on its way to the `h2` crate, so that a malformed response or trailer is an error of its
//! stream alone (RFC 9113 section 8.1.1) and the connection's other requests go on.
//!
//! Header blocks are read here first ([`fields`]), as those of clients are. In place of one that is malformed `h2` gets a block
//! that it resets the stream for; why, is left with the connection's [`Witness`]. What belongs to a response and what to its
//! trailers depends on what came before, so the frames that go to the server are followed, too: they say which streams are
//! open.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::fields::{self, MALFORMED, Place};
use super::frames::{DATA, FRAME_HEAD, HEADERS, Head, PREFACE, RST_STREAM};
use super::frames::{cut, write_block};
use super::framing::{Block, FrameError, Framing, Side};
use super::hpack::Decoder;
use super::unfit::Unfit;
use crate::bodies::MANY;
use crate::http::wire::head::HeadLimits;
use crate::upstream::Witness;

/// What a response's header may be.
const LIMITS: HeadLimits = HeadLimits {
    header: 256 * 1024,
    uri: 0,
    body: 0,
};
/// A buffer larger than this isn't kept from one read to the next.
const KEPT: usize = 4096;
const BODY_FIRST: &str = "a body before its header";

/// A connection to a server that speaks HTTP/2.
pub struct Screened<S> {
    stream: S,
    framing: Framing,
    responses: Responses,
    sent: Sent,
    /// Screened, and not yet handed over from `given` on.
    ready: Vec<u8>,
    given: usize,
}

impl<S> Screened<S> {
    /// For a connection on which nothing was said yet. What is wrong with a response is left with `witness`.
    pub fn new(stream: S, witness: Arc<Witness>) -> Self {
        Self {
            stream,
            framing: Framing::behind(0),
            responses: Responses {
                decoder: Decoder::new(),
                anew: false,
                open: Vec::new(),
                last: 0,
                small: 0,
                written: Vec::new(),
                witness,
            },
            sent: Sent {
                passing: PREFACE,
                head: Vec::new(),
            },
            ready: Vec::new(),
            given: 0,
        }
    }

    /// Hands over what was screened before. False if there is nothing.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = self.ready.get(self.given..).unwrap_or_default();
        let (part, _) = cut(rest, buf.remaining());
        buf.put_slice(part);
        let given = !part.is_empty();
        self.given += part.len();
        if self.given == self.ready.len() {
            self.given = 0;
            self.ready.clear();
            if self.ready.capacity() > KEPT {
                self.ready = Vec::new();
            }
        }
        given
    }

    /// Looks at what has come. Returns how much of it passes as it is.
    fn screen(&mut self, fresh: &[u8]) -> Result<usize, BrokenError> {
        let passed = self.framing.pass(fresh, &mut self.responses)?;
        let rest = fresh.get(passed..).unwrap_or_default();
        self.framing
            .take(rest, &mut self.ready, &mut self.responses)?;
        Ok(passed)
    }
}

/// Why a connection can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BrokenError {
    Frames(FrameError),
    Compression,
}

impl BrokenError {
    fn words(self) -> &'static str {
        match self {
            Self::Frames(FrameError::Block) => "a header block that is endless",
            Self::Frames(FrameError::Protocol) => "a frame in another's place",
            Self::Compression => "a header block that can't be decompressed",
        }
    }
}

impl From<FrameError> for BrokenError {
    fn from(error: FrameError) -> Self {
        Self::Frames(error)
    }
}

/// What is known of a server's responses.
struct Responses {
    decoder: Decoder,
    /// Header blocks are written anew: `h2`'s tables of the header compression aren't the server's any more.
    anew: bool,
    /// Requests whose responses have yet to end, in order.
    open: Vec<Open>,
    /// The last request that was sent.
    last: u32,
    /// Small pieces of bodies that have come since they were last gathered.
    small: u32,
    /// Scratch for header blocks.
    written: Vec<u8>,
    witness: Arc<Witness>,
}

/// A request whose response has yet to end.
struct Open {
    stream: u32,
    /// The final header has come.
    begun: bool,
}

impl Responses {
    fn find(&self, stream: u32) -> Option<usize> {
        self.open
            .binary_search_by_key(&stream, |open| open.stream)
            .ok()
    }

    fn begun(&self, stream: u32) -> Option<bool> {
        let open = self.open.get(self.find(stream)?)?;
        Some(open.begun)
    }

    fn close(&mut self, stream: u32) {
        if let Some(place) = self.find(stream) {
            self.open.remove(place);
        }
    }

    /// A frame goes to the server.
    fn note_sent(&mut self, head: Head) {
        if head.kind == HEADERS && head.stream > self.last {
            self.last = head.stream;
            self.witness.note_sent(head.stream);
            self.open.push(Open {
                stream: head.stream,
                begun: false,
            });
        } else if head.kind == RST_STREAM {
            self.close(head.stream);
        }
    }

    fn is_body_first(&self, head: Head) -> bool {
        head.kind == DATA && self.begun(head.stream) == Some(false)
    }
}

impl Side for Responses {
    type Error = BrokenError;

    fn longest_block(&self) -> usize {
        fields::longest_block(&LIMITS)
    }

    fn keeps(&self, head: Head) -> bool {
        // What `h2` would end the connection for; longer frames it ends it for anyway. Empty ones it counts for as long as
        // the connection lasts, and allows a hundred.
        self.is_body_first(head) || head.is_empty_piece() && self.begun(head.stream) == Some(true)
    }

    fn begin(&mut self, head: Head) -> Result<(), BrokenError> {
        if head.ends_stream() && !self.is_body_first(head) {
            self.close(head.stream);
        }
        if head.is_small_piece() {
            self.small = self.small.saturating_add(1);
        }
        Ok(())
    }

    fn begin_block(&mut self) {}

    fn kept(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<(), BrokenError> {
        if !self.is_body_first(head) {
            return Ok(());
        }
        self.witness.note_fault(head.stream, BODY_FIRST);
        self.close(head.stream);
        write_block(head.stream, false, MALFORMED, out);
        // It counts in the connection's window.
        head.write(out);
        out.extend_from_slice(payload);
        Ok(())
    }

    fn block(&mut self, block: Block<'_>, out: &mut Vec<u8>) -> Result<(), BrokenError> {
        let (stream, ends) = (block.stream, block.ends_stream);
        let place = match self.begun(stream) {
            Some(false) => Place::Response { ends },
            Some(true) => Place::Trailers { ends },
            None => Place::Late,
        };
        let section = fields::read(
            &mut self.decoder,
            block.fragment,
            place,
            &LIMITS,
            self.anew,
            &mut self.written,
        )
        .map_err(|_| BrokenError::Compression)?;
        let self_dependent = block.self_dependent.then_some(Unfit::SelfDependent);
        let unfit = section.unfit.or(self_dependent);
        let is_final = section.status.is_some_and(|status| status >= 200);
        self.anew |= section.anew || unfit.is_some();
        let written = match unfit {
            None if self.anew => section.written(),
            None => block.fragment,
            Some(_) => MALFORMED,
        };
        write_block(stream, ends, written, out);
        if let Some(unfit) = unfit {
            let (_, words) = unfit.refusal();
            self.witness.note_fault(stream, words);
        }
        if unfit.is_some() || ends {
            self.close(stream);
        } else if is_final
            && let Some(place) = self.find(stream)
            && let Some(open) = self.open.get_mut(place)
        {
            open.begun = true;
        }
        if self.written.capacity() > KEPT {
            self.written = Vec::new();
        }
        Ok(())
    }
}

/// How far the frames that go to the server are.
struct Sent {
    /// Bytes of the preface or a payload that are still to go.
    passing: usize,
    /// The bytes of a frame's header that have gone.
    head: Vec<u8>,
}

impl Sent {
    /// These bytes have gone.
    fn follow(&mut self, mut bytes: &[u8], responses: &mut Responses) {
        while !bytes.is_empty() {
            let (passed, rest) = cut(bytes, self.passing);
            self.passing -= passed.len();
            let (part, rest) = cut(rest, FRAME_HEAD - self.head.len());
            bytes = rest;
            if self.passing > 0 {
                return;
            }
            self.head.extend_from_slice(part);
            if let Some(head) = self.head.first_chunk() {
                let head = Head::read(*head);
                self.head.clear();
                self.passing = head.length;
                responses.note_sent(head);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Screened<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.responses.small >= MANY {
            // Nothing more is read before they have been gathered, which is done at once.
            this.responses.small = 0;
            this.responses.witness.note_crowded();
            return Poll::Pending;
        }
        loop {
            if this.give(buf) {
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match this.screen(fresh) {
                Ok(passed) => {
                    buf.set_filled(before + passed);
                    if passed > 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(error) => {
                    buf.set_filled(before);
                    let words = error.words();
                    this.responses.witness.note_end(words);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, words)));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Screened<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.responses.witness.note_stuck(polled.is_pending());
        let written = ready!(polled)?;
        this.sent.follow(cut(buf, written).0, &mut this.responses);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.responses.witness.note_stuck(polled.is_pending());
        let written = ready!(polled)?;
        let mut left = written;
        for buf in bufs {
            let (part, _) = cut(buf, left);
            this.sent.follow(part, &mut this.responses);
            left -= part.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
