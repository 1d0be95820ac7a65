//! A server that speaks HTTP/2: one stream of a connection.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{Event, ServerError};
use crate::headers::Fields;
use crate::http::wire::http2::meter::Fault;
use crate::http::wire::http2::request_line::RequestLine;
use crate::http::wire::http2::streams::{
    Chunk, ConnectionEnd, Ending, Loss, ServerStream, Streams, UnsentError,
};
use crate::upstream::InFlight;

/// A request on its way to a server, and its response.
pub struct Http2 {
    stream: ServerStream,
    /// Not yet handed over.
    piece: Bytes,
    /// What was handed over hasn't all been written.
    waits: bool,
    end: End,
    taken: u64,
    come: u64,
    response: Response,
    /// Counts on its connection, which it leaves after its stream.
    _in_flight: InFlight,
}

/// How the request ends.
#[derive(Debug)]
enum End {
    /// That isn't known yet.
    Open,
    /// Behind the piece that is queued; `None`: that was handed over, too.
    Queued(Option<Ending>),
    Sent,
}

/// How far the response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Response {
    /// No final header has been taken.
    Awaited,
    Body,
    /// The last piece of the body has been taken, and nothing is behind it.
    Last,
    Over,
}

impl Http2 {
    /// Sends a request up to its header's end. `ends`: it has no body.
    ///
    /// # Errors
    ///
    /// Nothing of it was sent.
    pub fn ask(
        in_flight: InFlight,
        line: &RequestLine<'_>,
        fields: &Fields,
        ends: bool,
    ) -> Result<Self, UnsentError> {
        let streams = in_flight.carrier::<Arc<Streams>>();
        let streams = streams.ok_or(UnsentError::Ending)?;
        let stream = streams.request(line, fields, ends)?;
        Ok(Self {
            stream,
            piece: Bytes::new(),
            waits: false,
            end: if ends { End::Sent } else { End::Open },
            taken: 0,
            come: 0,
            response: Response::Awaited,
            _in_flight: in_flight,
        })
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn come(&self) -> u64 {
        self.come
    }

    pub(super) fn note_timeout(&self) {
        self.stream.note_timeout();
    }

    pub(super) fn is_at_end(&self) -> bool {
        match self.response {
            Response::Awaited => false,
            Response::Body => self.stream.is_at_end(),
            Response::Last | Response::Over => true,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.piece.is_empty() && !self.waits
    }

    pub(super) fn queue_data(&mut self, piece: Bytes) {
        self.piece = piece;
    }

    pub(super) fn queue_end(&mut self, trailers: Option<Fields>) {
        if matches!(self.end, End::Open) {
            self.end = End::Queued(Some(Ending { trailers }));
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServerError>> {
        let mut none = None;
        let end = match &mut self.end {
            End::Queued(end) => end,
            End::Open => &mut none,
            End::Sent => return Poll::Ready(Ok(())),
        };
        if self.piece.is_empty() && end.is_none() && !self.waits {
            return Poll::Ready(Ok(()));
        }
        let (piece, taken) = (&mut self.piece, &mut self.taken);
        let polled = self.stream.poll_send(piece, end, taken, cx);
        self.waits = polled.is_pending();
        if matches!(polled, Poll::Ready(Ok(()))) && matches!(self.end, End::Queued(_)) {
            self.end = End::Sent;
        }
        polled.map_err(|loss| self.lost(loss))
    }

    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, ServerError>> {
        match self.response {
            Response::Awaited => {
                let header = ready!(self.stream.poll_header(cx));
                let header = header.map_err(|loss| self.lost(loss))?;
                self.come += 1;
                if !header.status.is_informational() {
                    self.response = Response::Body;
                }
                return Poll::Ready(Ok(Event::Head(header)));
            }
            Response::Body => {}
            Response::Last | Response::Over => {
                self.response = Response::Over;
                return Poll::Ready(Ok(Event::End(None)));
            }
        }
        let chunk = ready!(self.stream.poll_body(cx));
        Poll::Ready(match chunk.map_err(|loss| self.lost(loss))? {
            Chunk::Data(piece, is_last) => {
                self.come += piece.len() as u64;
                if is_last {
                    self.response = Response::Last;
                }
                Ok(Event::Data(piece))
            }
            Chunk::End(trailers) => {
                self.response = Response::Over;
                Ok(Event::End(trailers))
            }
        })
    }

    /// What has become of the stream.
    fn lost(&self, loss: Loss) -> ServerError {
        match loss {
            Loss::Malformed(fault) => ServerError::Invalid(fault),
            Loss::Reset(code) => ServerError::Reset(code),
            Loss::Unprocessed => ServerError::NotProcessed,
            Loss::GoingAway => ServerError::GoingAway,
            Loss::Gone => match self.stream.connection_end() {
                None | Some(ConnectionEnd::Closed) => ServerError::Closed,
                Some(ConnectionEnd::Broken(error)) => ServerError::Broken(again(&error)),
                Some(ConnectionEnd::Faulty(Fault::NoSettings)) => ServerError::NotHttp2,
                Some(ConnectionEnd::Faulty(fault)) => ServerError::Invalid(fault.words()),
            },
        }
    }
}

/// An error once more, for another request on the same connection.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
