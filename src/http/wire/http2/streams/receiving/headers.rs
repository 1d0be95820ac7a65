//! Header blocks as they come (RFC 9113 sections 6.2, 6.10).

use std::sync::Arc;
use std::task::Waker;

use super::super::stream::{Loss, Remote, Stream};
use super::super::{Arrival, HEADERS_AT_ONCE, Handle, Peer, State};
use super::Around;
use super::data::OTHER_LENGTH;
use crate::http::wire::head::HeadLimits;
use crate::http::wire::http2::frames::{
    END_HEADERS, END_STREAM, ErrorCode, Head, fragment, write_reset,
};
use crate::http::wire::http2::hpack::{Broken, Decoder};
use crate::http::wire::http2::meter::Fault;
use crate::http::wire::http2::request::{self, largest_list};
use crate::http::wire::http2::response;
use crate::http::wire::http2::unfit::Unfit;

/// A header block that goes on in CONTINUATION frames.
#[derive(Debug)]
pub struct OpenBlock {
    pub stream: u32,
    ends: bool,
    self_dependent: bool,
    pub fragment: Vec<u8>,
    pub frames: usize,
}

/// A whole header block.
#[derive(Debug, Clone, Copy)]
struct Block<'a> {
    stream: u32,
    ends: bool,
    /// Its stream depends on itself (RFC 7540 section 5.3.1).
    self_dependent: bool,
    fragment: &'a [u8],
}

impl State {
    pub(super) fn take_headers(
        &mut self,
        head: Head,
        payload: &[u8],
        around: &mut Around<'_>,
    ) -> Result<(), Fault> {
        if head.stream.is_multiple_of(2) {
            return Err(Fault::Protocol);
        }
        let (fragment, self_dependent) = fragment(head, payload).ok_or(Fault::Protocol)?;
        let (stream, ends) = (head.stream, head.has(END_STREAM));
        if head.has(END_HEADERS) {
            let block = Block {
                stream,
                ends,
                self_dependent,
                fragment,
            };
            return self.take_block(block, around);
        }
        self.receiving.open = Some(OpenBlock {
            stream,
            ends,
            self_dependent,
            fragment: fragment.to_vec(),
            frames: 0,
        });
        Ok(())
    }

    pub(super) fn take_continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        around: &mut Around<'_>,
    ) -> Result<(), Fault> {
        let mut open = self.receiving.open.take().ok_or(Fault::Protocol)?;
        open.fragment.extend_from_slice(payload);
        open.frames += 1;
        if !head.has(END_HEADERS) {
            self.receiving.open = Some(open);
            return Ok(());
        }
        let block = Block {
            stream: open.stream,
            ends: open.ends,
            self_dependent: open.self_dependent,
            fragment: &open.fragment,
        };
        self.take_block(block, around)
    }

    /// A header block has come.
    fn take_block(&mut self, block: Block<'_>, around: &mut Around<'_>) -> Result<(), Fault> {
        self.receiving.block_since = None;
        let id = block.stream;
        if id > self.receiving.last {
            if self.peer == Peer::Server {
                // It answers a request that was never made.
                return Err(Fault::Protocol);
            }
            self.receiving.last = id;
            return self.take_request(block, around);
        }
        let stream = self.find(id).and_then(|at| self.list.get_mut(at));
        let stream = stream.map(|(_, stream)| &mut **stream);
        let is_open = |stream: &&mut Stream| matches!(stream.remote, Remote::Open);
        let Some(stream) = stream.filter(is_open) else {
            return self.skip(block, around.wakers);
        };
        let decoder = &mut self.receiving.decoder;
        let taken = stream.take_block(decoder, block, around.limits);
        match taken.map_err(|Broken| Fault::Compression)? {
            Ok(()) => {
                around.wakers.extend(stream.waker.take());
                self.remove_if_over(id);
            }
            Err(words) => {
                let loss = Loss::Malformed(words);
                self.reset(id, ErrorCode::Protocol, loss, around.wakers);
            }
        }
        Ok(())
    }

    /// Skips a block on a stream that nothing is to come on any more.
    fn skip(&mut self, block: Block<'_>, wakers: &mut Vec<Waker>) -> Result<(), Fault> {
        if !self.receiving.is_given_up(block.stream) {
            self.note_late(block.stream, wakers)?;
        }
        let skipped = self.receiving.decoder.decode(block.fragment, |_, _| {});
        skipped.map_err(|Broken| Fault::Compression)?;
        if block.ends {
            self.receiving.note_ended(block.stream);
        }
        Ok(())
    }

    fn take_request(&mut self, block: Block<'_>, around: &mut Around<'_>) -> Result<(), Fault> {
        let Block {
            stream: id, ends, ..
        } = block;
        let is_last = self.last.is_some();
        let is_full = !is_last && self.open_streams() >= self.max_streams;
        let decoder = &mut self.receiving.decoder;
        if is_last || is_full {
            let skipped = decoder.decode(block.fragment, |_, _| {});
            skipped.map_err(|_| Fault::Compression)?;
            if is_full {
                // Section 5.1.2.
                write_reset(id, ErrorCode::RefusedStream, self.sending.out());
            }
            if !ends {
                self.receiving.note_given_up(id);
            }
            return Ok(());
        }
        let read = request::read(decoder, block.fragment, ends, around.limits)
            .map_err(|_| Fault::Compression)?;
        let most = HEADERS_AT_ONCE.max(largest_list(around.limits).saturating_mul(4));
        let is_busy = read.request.is_ok() && self.headers.saturating_add(read.cost) > most;
        if block.self_dependent || is_busy {
            let code = if is_busy {
                ErrorCode::RefusedStream
            } else {
                ErrorCode::Protocol
            };
            write_reset(id, code, self.sending.out());
            if !ends {
                self.receiving.note_given_up(id);
            }
            return Ok(());
        }
        let stream = Stream::of_client(ends, read.length, self.windows());
        self.list.push((id, Box::new(stream)));
        self.active += 1;
        self.headers += read.cost;
        around.arrivals.push(Arrival {
            handle: Handle::new(Arc::clone(around.streams), id, read.cost),
            ends,
            block: read,
        });
        Ok(())
    }
}

impl Stream {
    /// Takes in a block that doesn't begin a stream: a response's header, or trailers.
    ///
    /// # Errors
    ///
    /// [`Broken`]: the connection's header compression is lost. In words: the message is malformed.
    fn take_block(
        &mut self,
        decoder: &mut Decoder,
        block: Block<'_>,
        limits: &HeadLimits,
    ) -> Result<Result<(), &'static str>, Broken> {
        let words = |unfit: Unfit| unfit.refusal().1;
        if let Some(response) = self.response.as_mut().filter(|it| !it.has_begun()) {
            let received = response.receive(decoder, block.fragment, block.ends)?;
            return Ok(match received {
                Err(words) => Err(words),
                Ok(_) if block.self_dependent => Err(words(Unfit::SelfDependent)),
                Ok(length) => {
                    self.length = length;
                    if block.ends {
                        self.remote = Remote::Ended(None);
                    }
                    Ok(())
                }
            });
        }
        let trailers = if self.response.is_some() {
            response::read_trailers(decoder, block.fragment)?
        } else {
            request::read_trailers(decoder, block.fragment, limits)?
        };
        let is_whole = self.length.is_none_or(|length| length == 0);
        Ok(match trailers {
            Err(unfit) => Err(words(unfit)),
            Ok(_) if block.self_dependent => Err(words(Unfit::SelfDependent)),
            Ok(_) if !block.ends => Err(words(Unfit::OpenEnd)),
            Ok(_) if !is_whole => Err(OTHER_LENGTH),
            Ok(trailers) => {
                self.remote = Remote::Ended(Some(trailers));
                Ok(())
            }
        })
    }
}
