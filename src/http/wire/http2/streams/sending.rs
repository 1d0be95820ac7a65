//! What goes to the other side: frames, in the order in which they are written.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};

use super::stream::{Ending, Local, Loss, Stream};
use super::{BACKLOG, State};
use crate::headers::Fields;
use crate::http::wire::buffers;
use crate::http::wire::http2::flow::{INITIAL_WINDOW, SendWindow};
use crate::http::wire::http2::frames::{
    DATA, END_HEADERS, END_STREAM, FRAME_HEAD, HEADERS, Head, LARGEST_FRAME, write_block,
    write_frame,
};
use crate::http::wire::http2::hpack::Encoder;
use crate::http::wire::http2::meter::Deeds;
use crate::http::wire::http2::request_line::RequestLine;

/// Bytes that are gathered before they are written. With TLS that is two records.
const GATHERED: usize = 32 * 1024;

/// What goes to the other side.
#[derive(Debug)]
pub struct Sending {
    /// To be written next.
    out: Vec<u8>,
    /// Taken by whoever writes, and not written yet.
    taken: usize,
    /// Bytes of bodies that wait in their streams.
    waiting: usize,
    encoder: Encoder,
    /// What the other side takes over all streams.
    window: SendWindow,
    /// What it takes of each stream at its beginning.
    initial: u32,
    /// Streams that wait for the connection, those first that have waited longest.
    line: VecDeque<u32>,
    /// Streams that wait for room.
    pub waiters: usize,
}

/// What a header section begins with.
#[derive(Debug, Clone, Copy)]
pub enum First<'a> {
    /// A request's.
    Request(&'a RequestLine<'a>),
    /// A response's.
    Status(u16),
    /// Trailers have nothing before their fields.
    Field,
}

/// Fields whose values one client is not to guess by what another one's bytes come to (RFC 7541 section 7.1).
const SECRETS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE];

/// What becomes of a stream that has had its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing of it waits.
    Done,
    /// Its window is used up.
    Shut,
    /// Others have to be written first.
    Waits,
}

impl Sending {
    pub fn new() -> Self {
        Self {
            out: Vec::new(),
            taken: 0,
            waiting: 0,
            encoder: Encoder::new(),
            window: SendWindow::new(INITIAL_WINDOW),
            initial: INITIAL_WINDOW,
            line: VecDeque::new(),
            waiters: 0,
        }
    }

    /// The window of a stream that begins.
    pub fn stream_window(&self) -> SendWindow {
        SendWindow::new(self.initial)
    }

    /// The other side takes so much at the beginning of each stream. By how much that differs from before.
    pub fn set_initial(&mut self, initial: u32) -> i64 {
        let before = std::mem::replace(&mut self.initial, initial);
        i64::from(initial) - i64::from(before)
    }

    /// The table of header compression may be so large.
    pub fn allow_table(&mut self, size: u32) {
        self.encoder.allow(size);
    }

    /// The connection's window opens. False if that is more than windows are.
    pub fn open_window(&mut self, bytes: u32) -> bool {
        self.window.change(i64::from(bytes))
    }

    /// Bytes that are ready to be written, or being written.
    pub fn unwritten(&self) -> usize {
        self.out.len() + self.taken
    }

    /// Bytes that wait in all.
    pub fn backlog(&self) -> usize {
        self.unwritten() + self.waiting
    }

    /// Whether something can be written at once.
    pub fn can_write(&self) -> bool {
        !self.out.is_empty() || !self.line.is_empty() && self.window.left() > 0
    }

    /// Moves what is to be written to `output`, which is to be [given back](give_back) when it has been.
    pub fn take(&mut self, output: &mut Vec<u8>) {
        debug_assert!(output.is_empty(), "the last has been given back");
        *output = std::mem::take(&mut self.out);
        self.taken += output.len();
    }

    /// So much of it has been written.
    pub fn note_written(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_sub(bytes);
    }

    /// So much of what has waited in a stream won't go.
    pub fn note_dropped(&mut self, bytes: usize) {
        self.waiting = self.waiting.saturating_sub(bytes);
    }

    /// So much more waits in a stream.
    pub fn note_waiting(&mut self, bytes: usize) {
        self.waiting += bytes;
    }

    /// What is to be written next. Frames that have no part in flow control may be appended at any time.
    pub fn out(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = buffers::take();
        }
        &mut self.out
    }

    /// Writes a header section.
    pub fn write_header(&mut self, id: u32, first: First<'_>, fields: &Fields, ends: bool) {
        let begin = self.out().len();
        let mut head = Head {
            length: 0,
            kind: HEADERS,
            flags: END_HEADERS | if ends { END_STREAM } else { 0 },
            stream: id,
        };
        head.write(&mut self.out);
        self.encoder.begin(&mut self.out);
        let is_request = matches!(first, First::Request(_));
        match first {
            First::Request(line) => self.encoder.request_line(line, &mut self.out),
            First::Status(status) => self.encoder.status(status, &mut self.out),
            First::Field => {}
        }
        for (name, value) in fields {
            if is_request && RequestLine::replaces(name) {
                continue;
            }
            let secret = SECRETS.contains(name) || value.is_sensitive();
            let value = value.as_bytes();
            self.encoder.field(name, value, secret, &mut self.out);
        }
        let block = begin + FRAME_HEAD;
        head.length = self.out.len() - block;
        if head.length > LARGEST_FRAME {
            let long = self.out.split_off(block);
            self.out.truncate(begin);
            write_block(id, ends, &long, &mut self.out);
            return;
        }
        if let Some(place) = self.out.get_mut(begin..block) {
            place.copy_from_slice(&head.bytes());
        }
    }

    /// Writes of a stream what may be written now: all, or if `once` a frame.
    fn write(&mut self, id: u32, stream: &mut Stream, deeds: &mut Deeds, once: bool) -> Turn {
        loop {
            if stream.piece.is_empty() {
                if let Local::Ending(ending) = &mut stream.local {
                    match ending.trailers.take() {
                        Some(trailers) => self.write_header(id, First::Field, &trailers, true),
                        None => write_frame(DATA, END_STREAM, id, &[], self.out()),
                    }
                    stream.local = Local::Ended;
                }
                return Turn::Done;
            }
            let length = stream.piece.len().min(LARGEST_FRAME);
            let length = length.min(stream.send_window.left());
            if length == 0 {
                return Turn::Shut;
            }
            let length = length.min(self.window.left());
            if length == 0 || self.out.len() >= GATHERED {
                return Turn::Waits;
            }
            let is_last = length == stream.piece.len()
                && matches!(stream.local, Local::Ending(Ending { trailers: None }));
            let flags = if is_last { END_STREAM } else { 0 };
            let part = stream.piece.get(..length).unwrap_or_default();
            write_frame(DATA, flags, id, part, self.out());
            stream.piece.advance(length);
            stream.send_window.spend(length);
            self.window.spend(length);
            self.waiting = self.waiting.saturating_sub(length);
            stream.sent += length as u64;
            deeds.note_sent(length);
            if is_last {
                stream.local = Local::Ended;
                return Turn::Done;
            }
            if once && !stream.piece.is_empty() {
                return Turn::Waits;
            }
        }
    }
}

/// Takes back what has been written.
pub fn give_back(output: &mut Vec<u8>) {
    buffers::give_back(std::mem::take(output));
}

impl State {
    /// Writes of a stream what is handed over, or keeps it until it can be written. See
    /// [`Handle::poll_send`](super::Handle::poll_send).
    pub(super) fn poll_send(
        &mut self,
        id: u32,
        piece: &mut Bytes,
        end: &mut Option<Ending>,
        sent: &mut u64,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Loss>> {
        let at = self.find(id);
        let Some((at, stream)) = at.zip(self.get(id)) else {
            return Poll::Ready(Err(Loss::Gone));
        };
        if matches!(stream.local, Local::Lost) {
            return Poll::Ready(Err(Loss::Gone));
        }
        let (mut more, was_waiting) = (0, !stream.piece.is_empty());
        if !was_waiting {
            more = piece.len();
            stream.piece = std::mem::take(piece);
        }
        if piece.is_empty()
            && let Some(ending) = end.take()
        {
            stream.local = Local::Ending(ending);
        }
        self.sending.note_waiting(more);
        if !was_waiting {
            self.advance(at);
        }
        let Some(stream) = self.get(id) else {
            return Poll::Ready(Err(Loss::Gone));
        };
        *sent = stream.sent;
        if stream.piece.is_empty() && piece.is_empty() {
            return Poll::Ready(Ok(()));
        }
        stream.wait(cx);
        Poll::Pending
    }

    /// Writes of a stream what may be written before others, and puts it in line with the rest.
    fn advance(&mut self, at: usize) {
        let Some((id, stream)) = self.list.get_mut(at) else {
            return;
        };
        let id = *id;
        // What is empty needs no window and nobody's turn.
        let turn = if self.sending.line.is_empty() || stream.piece.is_empty() {
            self.sending.write(id, stream, &mut self.deeds, false)
        } else {
            Turn::Waits
        };
        if turn == Turn::Waits && !stream.is_in_line {
            stream.is_in_line = true;
            self.sending.line.push_back(id);
        }
    }

    /// Writes one frame of each stream in line, round by round, until the output holds as much as is written at once.
    pub(super) fn pump(&mut self, wakers: &mut Vec<Waker>) {
        while let Some(id) = self.sending.line.front().copied() {
            if self.sending.out.len() >= GATHERED || self.sending.window.left() == 0 {
                return;
            }
            self.sending.line.pop_front();
            let Some(at) = self.find(id) else { continue };
            let Some((_, stream)) = self.list.get_mut(at) else {
                continue;
            };
            match self.sending.write(id, stream, &mut self.deeds, true) {
                Turn::Waits => self.sending.line.push_back(id),
                Turn::Shut => stream.is_in_line = false,
                Turn::Done => {
                    stream.is_in_line = false;
                    wakers.extend(stream.waker.take());
                    self.remove_if_over(id);
                }
            }
        }
    }

    /// A stream's window has opened.
    pub(super) fn note_opened(&mut self, id: u32, wakers: &mut Vec<Waker>) {
        let Some(at) = self.find(id) else { return };
        let Some((_, stream)) = self.list.get_mut(at) else {
            return;
        };
        if stream.send_window.left() == 0 {
            return;
        }
        if !stream.piece.is_empty() && !stream.is_in_line {
            stream.is_in_line = true;
            self.sending.line.push_back(id);
        }
        if stream.waits_for_room {
            wakers.extend(stream.waker.take());
        }
    }

    /// Wakes the tasks that wait until the connection holds less, if it does.
    pub(super) fn wake_for_room(&mut self, wakers: &mut Vec<Waker>) {
        if self.sending.waiters == 0 || self.sending.backlog() >= BACKLOG {
            return;
        }
        self.sending.waiters = 0;
        for (_, stream) in &mut self.list {
            if std::mem::take(&mut stream.waits_for_room) {
                wakers.extend(stream.waker.take());
            }
        }
    }
}
