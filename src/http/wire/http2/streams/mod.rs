//! The streams of a connection of HTTP/2 (RFC 9113 section 5), and what they share: header compression, windows, and what is
//! to be written.
//!
//! Nothing here reads or writes a socket. Whoever drives the connection hands over the bytes that have come
//! ([`Streams::receive`]), lets the requests that came of them be served, and writes what there is to write
//! ([`Streams::take_output`]). Whoever serves a client's request has its stream ([`Handle`]), and so has whoever makes a request
//! to a server ([`ServerStream`]). Frames are made where they are written and read where they lie, so a small message costs
//! no more than its bytes.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use parking_lot::Mutex;

use super::flow::{ReceiveWindow, SendWindow};
use super::frames::{ErrorCode, write_go_away, write_reset, write_window_update};
use super::meter::Deeds;

mod buffer;
mod client;
mod handle;
mod receiving;
mod response;
mod sending;
mod server;
mod stream;

pub use client::{Arrival, BODIES_IN_WINDOW};
pub use handle::Handle;
use receiving::Receiving;
use sending::Sending;
pub use sending::give_back;
pub use server::{ConnectionEnd, ServerStream, UnsentError};
pub use stream::{Chunk, Ending, Loss};
use stream::{Remote, Stream};

/// Bytes that wait on one connection at most, over all its streams; beyond that no more is read from servers for a client.
const BACKLOG: usize = 1024 * 1024;
/// The answer to this PING says that a client has heard that its connection ends.
const LAST_CALL: [u8; 8] = *b"lastcall";
/// The largest number that a stream can have.
const LARGEST_STREAM: u32 = 0x7fff_ffff;
/// Streams of which we said that nothing is wanted any more, and that the other side has yet to end. The oldest are forgotten.
const GIVEN_UP: usize = 1024;
/// Bytes that the header sections of a connection's requests may cost together; beyond that requests are refused until
/// others have ended. Four header sections of the largest size always may.
const HEADERS_AT_ONCE: usize = 4 * 1024 * 1024;

/// What is known of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Condition {
    /// Requests that are being served.
    pub active: usize,
    /// Since when none is; if none is.
    pub idle_since: Option<Instant>,
    /// Whether streams are open, or something is yet to be written.
    pub is_busy: bool,
    /// Since when a header block is under way.
    pub block_since: Option<Instant>,
    /// Whether the client has heard that the connection ends.
    pub has_heard: bool,
    /// Whether all is said and done: either side has said that no streams are to come, and there are none.
    pub is_over: bool,
    /// When something is to be done about streams whose clients don't end them.
    pub due: Option<Instant>,
}

/// The streams of a connection.
#[derive(Debug)]
pub struct Streams(Mutex<State>);

/// The kind of program at a connection's other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Client,
    Server,
}

/// All that the streams share.
#[derive(Debug)]
struct State {
    peer: Peer,
    /// By their numbers.
    list: Vec<(u32, Box<Stream>)>,
    receiving: Receiving,
    sending: Sending,
    /// What the other side may send over all streams.
    window: ReceiveWindow,
    /// What it may send on each.
    stream_window: u32,
    /// Requests that are under way, and since when there are none.
    active: usize,
    idle_since: Instant,
    /// What the header sections of those cost.
    headers: usize,
    /// Bodies that wait for their servers to take more, and may fill the connection's window.
    held: u32,
    deeds: Deeds,
    /// Streams that have their answers, and when they are ended.
    late: VecDeque<(Instant, u32)>,
    /// Requests that may be under way at once.
    max_streams: usize,
    /// The last stream that is served, once either side has said so.
    last: Option<u32>,
    has_heard: bool,
    /// No more requests are to come: the client has ended its side, or one of both says that the connection ends.
    is_closing: bool,
    /// The connection is gone.
    is_gone: bool,
    /// How it ended, if it was one to a server.
    ended: Option<ConnectionEnd>,
    /// How often something has come.
    heard: u64,
    driver: Driver,
}

/// The task that drives the connection.
#[derive(Debug, Default)]
struct Driver {
    /// To be woken when there is something to write or to wait for.
    waker: Option<Waker>,
    /// There is something to wait for, or nothing any more.
    is_called: bool,
}

impl Driver {
    fn wait(&mut self, waker: &Waker) {
        if !(self.waker.as_ref()).is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }
}

impl Streams {
    /// Whether so much waits to be written that nothing more is to be read.
    pub fn is_crowded(&self) -> bool {
        self.0.lock().sending.unwritten() >= BACKLOG
    }

    /// Moves what may be written now to `output`, which is empty, and to be [given back](give_back) when it is written.
    pub fn take_output(&self, output: &mut Vec<u8>, wakers: &mut Vec<Waker>) {
        let state = &mut *self.0.lock();
        state.pump(wakers);
        state.sending.take(output);
    }

    /// So many bytes of that have been written.
    pub fn note_written(&self, bytes: usize, wakers: &mut Vec<Waker>) {
        let state = &mut *self.0.lock();
        state.sending.note_written(bytes);
        state.wake_for_room(wakers);
    }

    /// Whether there is something to write. If not, `driver` is woken when there is.
    pub fn has_output(&self, driver: &Waker) -> bool {
        let state = &mut *self.0.lock();
        if state.sending.can_write() {
            return true;
        }
        state.driver.wait(driver);
        false
    }

    /// `driver` is woken when there is something more to write, or nothing to wait for any more.
    pub fn wait(&self, driver: &Waker) {
        self.0.lock().driver.wait(driver);
    }

    /// What is known of the connection.
    pub fn condition(&self) -> Condition {
        let state = &*self.0.lock();
        let is_busy = !state.list.is_empty() || state.sending.unwritten() > 0;
        Condition {
            active: state.active,
            idle_since: (state.active == 0).then_some(state.idle_since),
            is_busy,
            block_since: state.receiving.block_since(),
            has_heard: state.has_heard,
            is_over: !is_busy && (state.last.is_some() || state.is_closing),
            due: state.late.front().map(|(due, _)| *due),
        }
    }

    /// Tells the other side why the connection ends now.
    pub fn go_away(&self, code: ErrorCode) {
        let state = &mut *self.0.lock();
        let last = match state.peer {
            // It never grows (section 6.8).
            Peer::Client => state.last.unwrap_or(state.receiving.last()),
            // Servers begin no streams.
            Peer::Server => 0,
        };
        write_go_away(last, code, state.sending.out());
    }

    /// The connection is gone, and so are all streams.
    pub fn end(&self, wakers: &mut Vec<Waker>) {
        let state = &mut *self.0.lock();
        state.is_gone = true;
        for (_, stream) in &mut state.list {
            stream.end(Loss::Gone);
            wakers.extend(stream.waker.take());
        }
        state.list.retain(|(_, stream)| stream.is_served());
    }

    /// Does something with what the streams share, and then wakes whoever has to write what that made.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock();
        let result = act(&mut state);
        let calls = std::mem::take(&mut state.driver.is_called);
        let driver = if calls || state.sending.can_write() {
            state.driver.waker.take()
        } else {
            None
        };
        drop(state);
        driver.into_iter().for_each(Waker::wake);
        result
    }
}

impl State {
    /// Of a connection that begins, with what the other side may send over all streams and on each.
    fn new(
        peer: Peer,
        receiving: Receiving,
        sending: Sending,
        (window, stream_window): (u32, u32),
        now: Instant,
    ) -> Self {
        Self {
            peer,
            list: Vec::new(),
            receiving,
            sending,
            window: ReceiveWindow::new(window),
            stream_window,
            active: 0,
            idle_since: now,
            headers: 0,
            held: 0,
            deeds: Deeds::default(),
            late: VecDeque::new(),
            max_streams: usize::MAX,
            last: None,
            has_heard: false,
            is_closing: false,
            is_gone: false,
            ended: None,
            heard: 0,
            driver: Driver::default(),
        }
    }

    /// The windows of a stream that begins.
    fn windows(&self) -> (u32, SendWindow) {
        (self.stream_window, self.sending.stream_window())
    }

    /// Streams that count against the most there may be (section 5.1.2).
    fn open_streams(&self) -> usize {
        if self.list.len() < self.max_streams {
            return self.list.len();
        }
        let open = |(_, stream): &&(u32, Box<Stream>)| !stream.is_closed();
        self.list.iter().filter(open).count()
    }

    /// One request less is under way.
    fn note_left(&mut self, now: Instant) {
        self.active = self.active.saturating_sub(1);
        if self.active == 0 {
            self.idle_since = now;
        }
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.list.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    fn get(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.find(id)?;
        self.list.get_mut(at).map(|(_, stream)| &mut **stream)
    }

    fn remove(&mut self, id: u32) {
        if let Some(at) = self.find(id) {
            self.list.remove(at);
        }
    }

    /// Ends a stream on our side, and tells the other one why.
    fn reset(&mut self, id: u32, code: ErrorCode, loss: Loss, wakers: &mut Vec<Waker>) {
        if self.is_gone {
            return;
        }
        write_reset(id, code, self.sending.out());
        let stream = self.get(id);
        let is_in_vain = matches!(loss, Loss::Malformed(_))
            && (stream.as_ref()).is_some_and(|stream| stream.is_served() && !stream.is_closed());
        let is_open = stream.is_none_or(|stream| matches!(stream.remote, Remote::Open));
        if is_open {
            self.receiving.note_given_up(id);
        }
        if is_in_vain {
            self.deeds.note_provoked();
        }
        self.lose(id, loss, wakers);
    }

    /// Nothing more goes or comes on a stream.
    fn lose(&mut self, id: u32, loss: Loss, wakers: &mut Vec<Waker>) {
        let Some(stream) = self.get(id) else { return };
        let (unread, unsent) = stream.end(loss);
        wakers.extend(stream.waker.take());
        let is_served = stream.is_served();
        self.sending.note_dropped(unsent);
        self.release(unread);
        if !is_served {
            self.remove(id);
        }
        self.wake_for_room(wakers);
    }

    /// So many bytes of bodies need no room any more.
    fn release(&mut self, bytes: usize) {
        if let Some(more) = self.window.release(bytes) {
            write_window_update(0, more, self.sending.out());
        }
    }

    /// A stream isn't needed any more if both sides have said all, and nobody has it.
    fn remove_if_over(&mut self, id: u32) {
        if self.get(id).is_some_and(|stream| stream.is_over()) {
            self.remove(id);
        }
    }
}

/// Wakes all of them. Nothing may be locked meanwhile.
pub fn wake(wakers: &mut Vec<Waker>) {
    wakers.drain(..).for_each(Waker::wake);
}

#[cfg(test)]
mod tests;
