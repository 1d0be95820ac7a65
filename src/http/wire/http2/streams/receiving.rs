//! What comes from the client: frames, judged as they come (RFC 9113 sections 4 to 6).

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::stream::{Loss, Remote, Stream};
use super::{Arrival, GIVEN_UP, HEADERS_AT_ONCE, Handle, LAST_CALL, State, Streams};
use crate::http::wire::head::HeadLimits;
use crate::http::wire::http2::flow::LARGEST_WINDOW;
use crate::http::wire::http2::frames::{
    ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, ErrorCode, GOAWAY,
    HEADER_TABLE_SIZE, HEADERS, Head, INITIAL_WINDOW_SIZE, LARGEST_FRAME, MAX_FRAME_SIZE, PADDED,
    PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTING, SETTINGS, WINDOW_UPDATE, cut,
    fragment, write_frame, write_window_update,
};
use crate::http::wire::http2::hpack::Decoder;
use crate::http::wire::http2::meter::{Fault, Meter};
use crate::http::wire::http2::request::{self, largest_list, longest_block};

/// CONTINUATION frames that any header block may have.
const CONTINUATIONS: usize = 32;
/// What a client begins with (section 3.4).
const PREFACE_BYTES: &[u8; PREFACE] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What may be announced to us as the largest frame (section 6.5.2).
const ANNOUNCED: RangeInclusive<u32> = (1 << 14)..=(1 << 24) - 1;

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
    meter: Meter,
    /// The client's last request.
    last: u32,
    /// Streams that we have given up and that the client has yet to end, in order.
    given_up: VecDeque<u32>,
}

/// A piece of a body that comes.
#[derive(Debug, Clone, Copy)]
struct DataFrame {
    stream: u32,
    /// Bytes of it that are still to come, and of padding behind them.
    left: usize,
    padding: usize,
    ends: bool,
}

/// A header block that goes on in CONTINUATION frames.
#[derive(Debug)]
struct OpenBlock {
    stream: u32,
    ends: bool,
    self_dependent: bool,
    fragment: Vec<u8>,
    frames: usize,
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
    pub fn new(max_streams: u32, now: Instant) -> Self {
        Self {
            preface: 0,
            begun: false,
            data: None,
            open: None,
            block_since: None,
            between: true,
            decoder: Decoder::new(),
            meter: Meter::new(max_streams, now),
            last: 0,
            given_up: VecDeque::new(),
        }
    }

    pub fn has_begun(&self) -> bool {
        self.preface == PREFACE
    }

    pub fn block_since(&self) -> Option<Instant> {
        self.block_since
    }

    /// Whether no frame and no header block is under way.
    pub fn is_between(&self) -> bool {
        self.between && self.data.is_none() && self.open.is_none()
    }

    /// The client's last request.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// Nothing more is wanted of a stream that its client has yet to end.
    pub fn note_given_up(&mut self, id: u32) {
        if let Err(at) = self.given_up.binary_search(&id) {
            self.given_up.insert(at, id);
        }
        if self.given_up.len() > GIVEN_UP {
            self.given_up.pop_front();
        }
    }

    fn is_given_up(&self, id: u32) -> bool {
        self.given_up.binary_search(&id).is_ok()
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

    /// Takes as much of the preface as has come. False if that is none.
    fn take_preface(&mut self, bytes: &mut &[u8]) -> Result<(), Fault> {
        let (_, awaited) = cut(PREFACE_BYTES, self.preface);
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

    fn weigh(&mut self, head: Head, now: Instant) -> Result<(), Fault> {
        let meter = &mut self.receiving.meter;
        meter.weigh(head, now, &mut self.deeds)
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
            GOAWAY => self.take_go_away(head, payload),
            WINDOW_UPDATE => self.take_window_update(head, payload, around.wakers),
            // Section 4.1.
            _ => Ok(()),
        }
    }

    /// A piece of a body begins. `None`: not all that has to be known of it has come.
    fn begin_data<'b>(
        &mut self,
        head: Head,
        payload: &'b [u8],
        around: &mut Around<'_>,
    ) -> Result<Option<&'b [u8]>, Fault> {
        let (mut rest, mut padding, mut left) = (payload, 0, head.length);
        if head.has(PADDED) {
            let Some((length, payload)) = payload.split_first() else {
                return Ok(None);
            };
            (padding, rest) = (usize::from(*length), payload);
            let beside = left.checked_sub(1 + padding);
            left = beside.ok_or(Fault::Protocol)?;
        }
        self.weigh(head, around.now)?;
        let (id, ends) = (head.stream, head.has(END_STREAM));
        if self.receiving.is_idle(id) {
            return Err(Fault::Protocol);
        }
        if !self.window.spend(head.length) {
            return Err(Fault::FlowControl);
        }
        // Padding needs no room.
        self.release(head.length - left);
        let is_open = |stream: &&mut Stream| matches!(stream.remote, Remote::Open);
        if let Some(stream) = self.get(id).filter(is_open) {
            let admitted = stream.admit(head.length, left, ends);
            let more = stream.window.release(head.length - left);
            if let Some(more) = more.filter(|_| !ends) {
                write_window_update(id, more, &mut self.sending.out);
            }
            if let Err((code, loss)) = admitted {
                self.reset(id, code, loss, around.wakers);
            }
        } else if !self.receiving.is_given_up(id) {
            // Section 5.1: nothing comes after the end.
            return Err(Fault::Closed);
        }
        self.receiving.data = Some(DataFrame {
            stream: id,
            left,
            padding,
            ends,
        });
        self.take_data(&mut rest, around);
        Ok(Some(rest))
    }

    /// Takes what has come of a piece of a body.
    fn take_data(&mut self, bytes: &mut &[u8], around: &mut Around<'_>) {
        let Some(mut data) = self.receiving.data.take() else {
            return;
        };
        let (part, rest) = cut(bytes, data.left);
        let (padding, rest) = cut(rest, data.padding);
        *bytes = rest;
        data.left -= part.len();
        if data.left == 0 {
            data.padding -= padding.len();
        }
        let is_whole = data.left == 0 && data.padding == 0;
        let (id, ends) = (data.stream, data.ends && is_whole);
        if !is_whole {
            self.receiving.data = Some(data);
        }
        let Some(stream) = (self.get(id)).filter(|stream| matches!(stream.remote, Remote::Open))
        else {
            self.release(part.len());
            if ends {
                self.receiving.note_ended(id);
            }
            return;
        };
        let mut unwanted = 0;
        if stream.is_served() {
            stream.body.push(part);
        } else {
            unwanted = part.len();
        }
        if ends {
            stream.remote = Remote::Ended(None);
        }
        if ends || !part.is_empty() {
            around.wakers.extend(stream.waker.take());
        }
        if unwanted > 0 {
            self.release_of(id, unwanted);
        }
        self.remove_if_over(id);
    }

    /// So many bytes of a stream's body need no room any more.
    pub(super) fn release_of(&mut self, id: u32, bytes: usize) {
        self.release(bytes);
        let Some(stream) = self.get(id) else { return };
        let more = stream.window.release(bytes);
        let is_open = matches!(stream.remote, Remote::Open);
        if let Some(more) = more.filter(|_| is_open) {
            write_window_update(id, more, &mut self.sending.out);
        }
    }

    fn take_headers(
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

    fn take_continuation(
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
                write_reset_refused(self, id);
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
            super::write_reset(id, code, &mut self.sending.out);
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

    fn take_priority(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        if head.stream == 0 {
            return Err(Fault::Protocol);
        }
        let Ok([a, b, c, d, _]) = <[u8; 5]>::try_from(payload) else {
            if self.receiving.is_idle(head.stream) {
                return Err(Fault::FrameSize);
            }
            self.reset(head.stream, ErrorCode::FrameSize, Loss::Malformed, wakers);
            return Ok(());
        };
        let depends_on = u32::from_be_bytes([a, b, c, d]) & LARGEST_WINDOW;
        if depends_on == head.stream {
            if self.receiving.is_idle(head.stream) {
                return Err(Fault::Protocol);
            }
            self.reset(head.stream, ErrorCode::Protocol, Loss::Malformed, wakers);
        }
        Ok(())
    }

    fn take_reset(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        if payload.len() != 4 {
            return Err(Fault::FrameSize);
        }
        if self.receiving.is_idle(head.stream) {
            return Err(Fault::Protocol);
        }
        self.receiving.note_ended(head.stream);
        let is_in_vain = |stream: &mut Stream| !stream.is_closed() && stream.is_served();
        if self.get(head.stream).is_some_and(is_in_vain) {
            self.deeds.note_cancelled();
        }
        self.lose(head.stream, Loss::Gone, wakers);
        Ok(())
    }

    fn take_settings(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::Protocol);
        }
        if head.has(ACK) {
            return if payload.is_empty() {
                Ok(())
            } else {
                Err(Fault::FrameSize)
            };
        }
        let (settings, rest) = payload.as_chunks::<SETTING>();
        if !rest.is_empty() {
            return Err(Fault::FrameSize);
        }
        // Of several in one frame the last one counts, and only that one is worth a look at all streams.
        let mut window = None;
        for [n, m, a, b, c, d] in settings {
            let value = u32::from_be_bytes([*a, *b, *c, *d]);
            match u16::from_be_bytes([*n, *m]) {
                HEADER_TABLE_SIZE => self.sending.allow_table(value),
                ENABLE_PUSH if value > 1 => return Err(Fault::Protocol),
                INITIAL_WINDOW_SIZE if value > LARGEST_WINDOW => return Err(Fault::FlowControl),
                INITIAL_WINDOW_SIZE => window = Some(value),
                MAX_FRAME_SIZE if !ANNOUNCED.contains(&value) => {
                    return Err(Fault::Protocol);
                }
                // What else there is doesn't concern what we send. Section 6.5.2: what is unknown is ignored.
                _ => {}
            }
        }
        if let Some(window) = window {
            self.set_initial_window(window, wakers)?;
        }
        write_frame(SETTINGS, ACK, 0, &[], &mut self.sending.out);
        Ok(())
    }

    /// Section 6.9.2.
    fn set_initial_window(&mut self, size: u32, wakers: &mut Vec<Waker>) -> Result<(), Fault> {
        let change = self.sending.set_initial(size);
        let mut ids = Vec::with_capacity(self.list.len());
        for (id, stream) in &mut self.list {
            if !stream.send_window.change(change) {
                return Err(Fault::FlowControl);
            }
            ids.push(*id);
        }
        if change > 0 {
            for id in ids {
                self.note_opened(id, wakers);
            }
        }
        Ok(())
    }

    fn take_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::Protocol);
        }
        if payload.len() != LAST_CALL.len() {
            return Err(Fault::FrameSize);
        }
        if !head.has(ACK) {
            write_frame(PING, ACK, 0, payload, &mut self.sending.out);
        } else if *payload == LAST_CALL {
            self.has_heard = true;
        }
        Ok(())
    }

    fn take_go_away(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::Protocol);
        }
        if payload.len() < 8 {
            return Err(Fault::FrameSize);
        }
        self.is_closing = true;
        Ok(())
    }

    fn take_window_update(
        &mut self,
        head: Head,
        payload: &[u8],
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        let bytes: [u8; 4] = payload.try_into().map_err(|_| Fault::FrameSize)?;
        let bytes = u32::from_be_bytes(bytes) & LARGEST_WINDOW;
        if head.stream == 0 {
            return match (bytes, self.sending.open_window(bytes)) {
                (0, _) => Err(Fault::Protocol),
                (_, false) => Err(Fault::FlowControl),
                _ => Ok(()),
            };
        }
        if self.receiving.is_idle(head.stream) {
            return Err(Fault::Protocol);
        }
        let Some(stream) = self.get(head.stream) else {
            // It was closed when this was on its way (section 5.1).
            return Ok(());
        };
        if bytes == 0 {
            self.reset(head.stream, ErrorCode::Protocol, Loss::Malformed, wakers);
        } else if stream.send_window.change(i64::from(bytes)) {
            self.note_opened(head.stream, wakers);
        } else {
            let code = ErrorCode::FlowControl;
            self.reset(head.stream, code, Loss::Malformed, wakers);
        }
        Ok(())
    }
}

/// More streams than there may be at once (section 5.1.2).
fn write_reset_refused(state: &mut State, id: u32) {
    super::write_reset(id, ErrorCode::RefusedStream, &mut state.sending.out);
}

impl Stream {
    /// A piece of the body comes: a frame of `length` bytes with `data` bytes of it.
    fn admit(&mut self, length: usize, data: usize, ends: bool) -> Result<(), (ErrorCode, Loss)> {
        if !self.window.spend(length) {
            return Err((ErrorCode::FlowControl, Loss::Malformed));
        }
        if let Some(left) = &mut self.length {
            let less = left.checked_sub(data as u64);
            let is_right = less.is_some_and(|less| !ends || less == 0);
            if !is_right {
                // Section 8.1.1.
                return Err((ErrorCode::Protocol, Loss::Malformed));
            }
            *left = less.unwrap_or_default();
        }
        Ok(())
    }
}
