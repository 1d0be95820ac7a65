//! Header blocks as they come (RFC 9113 sections 6.2, 6.10).

use std::sync::Arc;

use super::super::stream::{Loss, Remote, Stream};
use super::super::{Arrival, HEADERS_AT_ONCE, Handle, State};
use super::Around;
use crate::http::wire::http2::frames::{
    END_HEADERS, END_STREAM, ErrorCode, Head, fragment, write_reset,
};
use crate::http::wire::http2::meter::Fault;
use crate::http::wire::http2::request::{self, largest_list};

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
        let Block { stream: id, .. } = block;
        if id > self.receiving.last {
            self.receiving.last = id;
            return self.take_request(block, around);
        }
        let is_open = |stream: &mut Stream| matches!(stream.remote, Remote::Open);
        let is_open = self.get(id).is_some_and(is_open);
        if !is_open && !self.receiving.is_given_up(id) {
            // Section 5.1: nothing comes after the end.
            return Err(Fault::Closed);
        }
        let decoder = &mut self.receiving.decoder;
        let trailers = request::read_trailers(decoder, block.fragment, around.limits)
            .map_err(|_| Fault::Compression)?;
        if !is_open {
            if block.ends {
                self.receiving.note_ended(id);
            }
            return Ok(());
        }
        let wakers = &mut *around.wakers;
        let Some(stream) = self.get(id) else {
            return Ok(());
        };
        let is_whole = stream.length.is_none_or(|length| length == 0);
        match trailers {
            Ok(trailers) if block.ends && is_whole && !block.self_dependent => {
                stream.remote = Remote::Ended(Some(trailers));
                wakers.extend(stream.waker.take());
                self.remove_if_over(id);
            }
            _ => self.reset(id, ErrorCode::Protocol, Loss::Malformed, wakers),
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
        let window = self.sending.stream_window();
        let stream = Stream::new(ends, read.length, window);
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

    /// Streams that count against the most there may be (section 5.1.2).
    fn open_streams(&self) -> usize {
        if self.list.len() < self.max_streams {
            return self.list.len();
        }
        let open = |(_, stream): &&(u32, Box<Stream>)| !stream.is_closed();
        self.list.iter().filter(open).count()
    }
}
