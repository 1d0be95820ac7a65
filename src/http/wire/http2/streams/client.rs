//! Streams of a client's connection: requests come, and responses go.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use parking_lot::Mutex;

use super::receiving::{Around, Receiving};
use super::sending::Sending;
use super::stream::{Local, Loss, Remote, Service, Stream};
use super::{Handle, LARGEST_STREAM, LAST_CALL, Peer, State, Streams};
use crate::http::wire::client::LATE_BODY;
use crate::http::wire::head::HeadLimits;
use crate::http::wire::http2::flow::INITIAL_WINDOW;
use crate::http::wire::http2::frames::{
    ErrorCode, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE, PING,
    write_frame, write_go_away, write_settings, write_window_update,
};
use crate::http::wire::http2::meter::Fault;
use crate::http::wire::http2::request::{RequestBlock, largest_list};

/// Bytes a client may send of one body ahead of its server: 40 MB/s over 20 ms of round trip, as measured.
pub const STREAM_WINDOW: u32 = 1024 * 1024;
/// The same over all bodies of a connection: with servers that take nothing, this is what it costs us at most.
pub const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// With so many bodies that wait for their servers, the rest of a connection's may wait for its window.
pub const BODIES_IN_WINDOW: u32 = CONNECTION_WINDOW / STREAM_WINDOW;
/// How long the response to a request that was refused waits for a client that takes nothing of it.
pub const REFUSAL: Duration = Duration::from_secs(10);
/// The answer to this one, that it is there.
const ARE_YOU_THERE: [u8; 8] = *b"youthere";
/// A request that has come.
#[derive(Debug)]
pub struct Arrival {
    /// Its stream.
    pub handle: Handle,
    /// Whether it has no body.
    pub ends: bool,
    /// What its header said.
    pub block: RequestBlock,
}

impl Streams {
    /// For a connection of a client's that begins now and may carry so many requests at once.
    pub fn with_client(max_streams: u32, limits: &HeadLimits, now: Instant) -> Arc<Self> {
        let mut sending = Sending::new();
        let list = u32::try_from(largest_list(limits)).unwrap_or(u32::MAX);
        let settings = [
            (MAX_CONCURRENT_STREAMS, max_streams),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (MAX_HEADER_LIST_SIZE, list),
        ];
        write_settings(&settings, sending.out());
        let more = CONNECTION_WINDOW - INITIAL_WINDOW;
        write_window_update(0, more, sending.out());
        Arc::new(Self(Mutex::new(State {
            max_streams: usize::try_from(max_streams).unwrap_or(usize::MAX),
            ..State::new(
                Peer::Client,
                Receiving::from_client(max_streams, now),
                sending,
                (CONNECTION_WINDOW, STREAM_WINDOW),
                now,
            )
        })))
    }

    /// Takes in what has come, but for the beginning of a frame that isn't whole. Requests are appended to `arrivals`, and whoever is
    /// to look at its stream to `wakers`.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the client is to be sent away; nothing more may be handed over then.
    pub fn receive(
        self: &Arc<Self>,
        bytes: &mut BytesMut,
        limits: &HeadLimits,
        now: Instant,
        arrivals: &mut Vec<Arrival>,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        let around = Around {
            streams: self,
            limits,
            now,
            arrivals,
            wakers,
        };
        self.0.lock().receive(bytes, around)
    }

    /// Whether the client's preface has come (section 3.4).
    pub fn has_begun(&self) -> bool {
        self.0.lock().receiving.has_begun()
    }

    /// Ends the streams whose clients have had their time to do it.
    pub fn end_late(&self, now: Instant, wakers: &mut Vec<Waker>) {
        let state = &mut *self.0.lock();
        while let Some((due, id)) = state.late.front().copied()
            && due <= now
        {
            state.late.pop_front();
            let Some(stream) = state.get(id).filter(|stream| !stream.is_served()) else {
                continue;
            };
            match (stream.service, &stream.local) {
                (Service::Refused { since, .. }, Local::Ending(_)) if now < since + REFUSAL => {
                    state.late.push_back((now + LATE_BODY, id));
                }
                (Service::Refused { code, .. }, _) => state.reset(id, code, Loss::Gone, wakers),
                _ => state.reset(id, ErrorCode::NoError, Loss::Gone, wakers),
            }
        }
    }

    /// Warns the client that the connection is to end; what it has sent by the time that it hears so is taken (section 6.8).
    pub fn warn(&self) {
        let state = &mut *self.0.lock();
        let out = state.sending.out();
        write_go_away(LARGEST_STREAM, ErrorCode::NoError, out);
        write_frame(PING, 0, 0, &LAST_CALL, out);
    }

    /// Takes no more requests, and tells the client which was the last.
    pub fn take_no_more(&self) {
        let state = &mut *self.0.lock();
        let last = state.receiving.last();
        state.last = Some(last);
        write_go_away(last, ErrorCode::NoError, state.sending.out());
    }

    /// Asks the client whether it is there: if it has gone altogether, its machine answers with a reset.
    pub fn ask(&self) {
        let state = &mut *self.0.lock();
        write_frame(PING, 0, 0, &ARE_YOU_THERE, state.sending.out());
    }

    /// The client has ended its side: what it can't send the rest of any more, it gives up, and it makes no more requests. False: its
    /// last frame or header block isn't whole.
    pub fn half_close(&self, wakers: &mut Vec<Waker>) -> bool {
        let state = &mut *self.0.lock();
        if !state.receiving.is_between() {
            return false;
        }
        state.is_closing = true;
        let open = |(_, stream): &&(u32, Box<Stream>)| matches!(stream.remote, Remote::Open);
        let open: Vec<u32> = state.list.iter().filter(open).map(|(id, _)| *id).collect();
        for id in open {
            state.lose(id, Loss::Gone, wakers);
        }
        true
    }

    /// Malformed requests are counted.
    pub fn note_malformed(&self) {
        self.0.lock().deeds.note_malformed();
    }
}
