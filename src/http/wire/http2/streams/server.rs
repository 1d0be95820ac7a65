//! Streams of a connection to a server: requests go, and responses come.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::receiving::{Around, Receiving};
use super::response::Response;
use super::sending::{First, Sending};
use super::stream::{Chunk, Ending, Loss, Remote, Service, Stream};
use super::{BACKLOG, LARGEST_STREAM, Peer, State, Streams};
use crate::headers::Fields;
use crate::http::wire::http2::flow::INITIAL_WINDOW;
use crate::http::wire::http2::frames::{
    ENABLE_PUSH, ErrorCode, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE, PREFACE, write_settings,
    write_window_update,
};
use crate::http::wire::http2::meter::Fault;
use crate::http::wire::http2::request::largest_list;
use crate::http::wire::http2::request_line::RequestLine;
use crate::http::wire::http2::response::LIMITS;
use crate::http::wire::message::ResponseHeader;

/// Requests at once on one connection, if the server doesn't say less: the usual number of servers.
const STREAMS: usize = 128;
/// Bytes that a server may send ahead on one stream, while a client reads slowly: this is what such a client costs us.
/// A stream gets no faster than this a round trip, as with HAProxy.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for a connection: enough that slow clients never hold up the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 128;

/// Why a request can't be made on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsentError {
    /// The connection has ended, or either side says that it does.
    #[error("the connection takes no more requests")]
    Ending,
    /// It carries as many as it may.
    #[error("the connection takes no more requests at once")]
    Full,
}

/// How a connection to a server has ended.
#[derive(Debug, Clone)]
pub enum ConnectionEnd {
    /// The server has closed it.
    Closed,
    /// It broke.
    Broken(Arc<io::Error>),
    /// What the server says isn't HTTP/2, or breaks its rules.
    Faulty(Fault),
}

impl Streams {
    /// For a connection to a server that begins now.
    pub fn with_server(now: Instant) -> Arc<Self> {
        let mut sending = Sending::new();
        let list = u32::try_from(largest_list(&LIMITS)).unwrap_or(u32::MAX);
        let settings = [
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (MAX_HEADER_LIST_SIZE, list),
        ];
        sending.out().extend_from_slice(PREFACE);
        write_settings(&settings, sending.out());
        let more = CONNECTION_WINDOW - INITIAL_WINDOW;
        write_window_update(0, more, sending.out());
        Arc::new(Self(Mutex::new(State {
            max_streams: STREAMS,
            ..State::new(
                Peer::Server,
                Receiving::from_server(),
                sending,
                (CONNECTION_WINDOW, STREAM_WINDOW),
                now,
            )
        })))
    }

    /// Takes in what has come from a server, but for the beginning of a frame that isn't whole. Whoever is to look at its stream is
    /// appended to `wakers`.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the connection can't go on; nothing more may be handed over then.
    pub fn receive_from_server(
        self: &Arc<Self>,
        bytes: &mut BytesMut,
        now: Instant,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Fault> {
        let around = Around {
            streams: self,
            limits: &LIMITS,
            now,
            arrivals: &mut Vec::new(),
            wakers,
        };
        self.0.lock().receive(bytes, around)
    }

    /// How many requests the connection may carry at once; `None`: it takes no more.
    pub fn most_requests(&self) -> Option<usize> {
        let state = &*self.0.lock();
        let most = if state.is_stuck() {
            0
        } else {
            state.max_streams.min(STREAMS)
        };
        let takes_more = !state.is_closing && !state.is_gone;
        takes_more.then_some(most)
    }

    /// Makes a request. It has no body if it `ends` with its header.
    ///
    /// # Errors
    ///
    /// Nothing of it was sent.
    pub fn request(
        self: &Arc<Self>,
        line: &RequestLine<'_>,
        fields: &Fields,
        ends: bool,
    ) -> Result<ServerStream, UnsentError> {
        let (id, heard) = self.with(|state| {
            let id = state.begin_request(line, fields, ends)?;
            Ok((id, state.heard))
        })?;
        Ok(ServerStream {
            streams: Arc::clone(self),
            id,
            heard,
            taken: 0,
        })
    }

    /// No more requests are made; the connection ends with the last one that is under way.
    pub fn close(&self) {
        self.with(|state| {
            state.is_closing = true;
            state.driver.is_called = true;
        });
    }

    /// Whether no request is under way, nor is one to come.
    pub fn is_finished(&self) -> bool {
        let state = &*self.0.lock();
        state.is_closing && state.list.is_empty()
    }

    /// The connection has ended, and all requests with it whose responses aren't complete.
    pub fn end_as(&self, end: ConnectionEnd, wakers: &mut Vec<Waker>) {
        self.0.lock().ended.get_or_insert(end);
        self.end(wakers);
    }
}

impl State {
    fn begin_request(
        &mut self,
        line: &RequestLine<'_>,
        fields: &Fields,
        ends: bool,
    ) -> Result<u32, UnsentError> {
        if self.is_gone || self.is_closing {
            return Err(UnsentError::Ending);
        }
        if self.open_streams() >= self.max_streams || self.is_stuck() {
            return Err(UnsentError::Full);
        }
        let id = match self.receiving.last() {
            0 => 1,
            last => last.saturating_add(2),
        };
        if id > LARGEST_STREAM {
            self.is_closing = true;
            return Err(UnsentError::Ending);
        }
        self.receiving.note_request(id);
        let response = Response::to(line.method);
        let stream = Stream::to_server(ends, response, self.windows());
        self.list.push((id, Box::new(stream)));
        self.active += 1;
        let first = First::Request(line);
        self.sending.write_header(id, first, fields, ends);
        Ok(id)
    }

    /// Whether the server takes so little that it is to be sent no more headers. What it says is read all the same: it may be
    /// waiting for that.
    fn is_stuck(&self) -> bool {
        self.sending.unwritten() >= BACKLOG / 2
    }

    /// Closes the stream of a request whose task has ended, with a reset unless both messages are complete. `taken`: bytes that
    /// still count in the server's windows.
    fn leave_server(&mut self, id: u32, taken: usize, wakers: &mut Vec<Waker>) {
        self.note_left(Instant::now());
        if self.is_gone {
            return self.remove(id);
        }
        let Some(stream) = self.get(id) else { return };
        stream.service = Service::Over;
        stream.waker = None;
        let unread = std::mem::take(&mut stream.body).len();
        let is_closed = stream.is_closed();
        self.release(unread + taken);
        if is_closed {
            self.remove(id);
        } else {
            self.reset(id, ErrorCode::Cancel, Loss::Gone, wakers);
        }
        self.driver.is_called |= self.list.is_empty() && self.is_closing;
    }
}

/// A request's stream. When this is dropped, it ends: with a reset, unless both messages are complete.
#[derive(Debug)]
pub struct ServerStream {
    streams: Arc<Streams>,
    id: u32,
    /// How often something had come on the connection when the request was made.
    heard: u64,
    /// Bytes of the piece of the body that was taken last. Until the next one is wanted they count in the server's windows.
    taken: usize,
}

impl ServerStream {
    /// The next header of the response, the interim ones and then the final one.
    ///
    /// # Errors
    ///
    /// None comes.
    pub fn poll_header(&self, cx: &Context<'_>) -> Poll<Result<ResponseHeader, Loss>> {
        let state = &mut *self.streams.0.lock();
        let Some(stream) = state.get(self.id) else {
            return Poll::Ready(Err(Loss::Gone));
        };
        let header = stream.response.as_mut().and_then(|it| it.take());
        if let Some(header) = header {
            return Poll::Ready(Ok(header));
        }
        match stream.remote {
            Remote::Lost(loss) => Poll::Ready(Err(loss)),
            Remote::Ended(_) => Poll::Ready(Err(Loss::Gone)),
            Remote::Open => {
                stream.wait(cx);
                Poll::Pending
            }
        }
    }

    /// The next piece of the response's body. The server may send as many bytes again as the last one had.
    ///
    /// # Errors
    ///
    /// Nothing more comes.
    pub fn poll_body(&mut self, cx: &Context<'_>) -> Poll<Result<Chunk, Loss>> {
        let before = std::mem::take(&mut self.taken);
        let polled = self.streams.with(|state| {
            if before > 0 {
                state.release_of(self.id, before);
            }
            let stream = state.get(self.id);
            stream.map_or(Poll::Ready(Err(Loss::Gone)), |it| it.poll_chunk(cx))
        });
        if let Poll::Ready(Ok(Chunk::Data(piece, _))) = &polled {
            self.taken = piece.len();
        }
        polled
    }

    /// Whether nothing but the end of the response that has begun is to be taken.
    pub fn is_at_end(&self) -> bool {
        let state = &mut *self.streams.0.lock();
        state.get(self.id).is_some_and(|stream| {
            let is_taken = stream.response.as_ref().is_some_and(|it| it.is_taken());
            is_taken && stream.body.is_empty() && matches!(stream.remote, Remote::Ended(None))
        })
    }

    /// Ready when all of the request that was handed over is written: `piece`, which is taken when nothing of an earlier one
    /// waits, and behind it the `end`, with its trailers. `sent`: how many bytes of the body that makes.
    ///
    /// # Errors
    ///
    /// The server takes nothing more. It may have answered all the same.
    pub fn poll_send(
        &self,
        piece: &mut Bytes,
        end: &mut Option<Ending>,
        sent: &mut u64,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Loss>> {
        (self.streams).with(|state| state.poll_send(self.id, piece, end, sent, cx))
    }

    /// The server hasn't answered in time. If nothing at all has come on the connection meanwhile, there may be nobody any more at
    /// its other end, which the system finds out minutes later: it gets no more requests.
    pub fn note_timeout(&self) {
        self.streams.with(|state| {
            if state.heard == self.heard {
                state.is_closing = true;
                state.driver.is_called = true;
            }
        });
    }

    /// How the connection has ended, if it has.
    pub fn connection_end(&self) -> Option<ConnectionEnd> {
        self.streams.0.lock().ended.clone()
    }
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        (self.streams).with(|state| state.leave_server(self.id, self.taken, &mut wakers));
        super::wake(&mut wakers);
    }
}
