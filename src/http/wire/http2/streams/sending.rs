//! What goes to the client: frames, in the order in which they are written.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Buf;

use super::stream::{Ending, Local, Stream};
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

/// Bytes that are gathered before they are written. With TLS that is two records.
const GATHERED: usize = 32 * 1024;
/// What goes to the client.
#[derive(Debug)]
pub struct Sending {
    /// To be written next.
    out: Vec<u8>,
    /// Taken by whoever writes, and not written yet.
    taken: usize,
    /// Bytes of responses that wait in their streams.
    waiting: usize,
    encoder: Encoder,
    /// What the client takes over all streams.
    window: SendWindow,
    /// What it takes of each stream at its beginning.
    initial: u32,
    /// Streams that wait for the connection, those first that have waited longest.
    line: VecDeque<u32>,
    /// Streams that wait for room.
    pub waiters: usize,
}

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

    /// The client takes so much at the beginning of each stream. By how much that differs from before.
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

    /// Writes a header section: a response's with its status, or trailers.
    pub fn write_header(&mut self, id: u32, status: Option<u16>, fields: &Fields, ends: bool) {
        let begin = self.out().len();
        let mut head = Head {
            length: 0,
            kind: HEADERS,
            flags: END_HEADERS | if ends { END_STREAM } else { 0 },
            stream: id,
        };
        head.write(&mut self.out);
        self.encoder.begin(&mut self.out);
        if let Some(status) = status {
            self.encoder.status(status, &mut self.out);
        }
        for (name, value) in fields {
            let secret = *name == http::header::SET_COOKIE || value.is_sensitive();
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
                        Some(trailers) => self.write_header(id, None, &trailers, true),
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
    /// Writes of a stream what may be written before others, and puts it in line with the rest.
    pub(super) fn advance(&mut self, at: usize) {
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
