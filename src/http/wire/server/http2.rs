//! A server that speaks HTTP/2, by the `h2` crate: one stream of a connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream, StreamId};
use http::Response;

use super::{Event, ServerError};
use crate::bodies::Body;
use crate::headers::Fields;
use crate::http::wire::message::ResponseHeader;
use crate::upstream::InFlight;

/// A request on its way to a server, and its response.
pub struct Http2 {
    response: ResponseFuture,
    send: SendStream<Bytes>,
    piece: Bytes,
    end: End,
    body: Option<Body>,
    has_response: bool,
    is_over: bool,
    /// Bytes of the piece that was handed on last: until the next one is wanted they count in the server's window.
    handed_on: usize,
    taken: u64,
    /// Counts on its connection.
    in_flight: InFlight,
}

/// How the request ends.
#[derive(Debug)]
enum End {
    Open,
    /// Behind the piece that is queued.
    Queued(Option<Fields>),
    Sent,
}

impl Http2 {
    /// A request that has been sent up to its header's end. `ended`: it has no body.
    pub fn new(
        (response, send): (ResponseFuture, SendStream<Bytes>),
        ended: bool,
        in_flight: InFlight,
    ) -> Self {
        Self {
            response,
            send,
            piece: Bytes::new(),
            end: if ended { End::Sent } else { End::Open },
            body: None,
            has_response: false,
            is_over: false,
            handed_on: 0,
            taken: 0,
            in_flight,
        }
    }

    pub(super) fn is_unsent(&self) -> bool {
        self.in_flight.is_unsent(self.send.stream_id().as_u32())
    }

    pub(super) fn is_kept_back(&self) -> bool {
        self.in_flight.is_kept_back(self.send.stream_id().as_u32())
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_at_end)
    }

    pub(super) fn has_room(&self) -> bool {
        self.piece.is_empty()
    }

    pub(super) fn queue_data(&mut self, piece: Bytes) {
        self.piece = piece;
    }

    pub(super) fn queue_end(&mut self, trailers: Option<Fields>) {
        if matches!(self.end, End::Open) {
            self.end = End::Queued(trailers);
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServerError>> {
        while !self.piece.is_empty() {
            if self.send.capacity() == 0 {
                self.send.reserve_capacity(self.piece.len());
                match ready!(self.send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        return Poll::Ready(Err(failed(
                            error,
                            self.send.stream_id(),
                            &self.in_flight,
                        )));
                    }
                    None => return Poll::Ready(Err(ServerError::Closed)),
                }
                if self.send.capacity() == 0 {
                    continue;
                }
            }
            let length = self.send.capacity().min(self.piece.len());
            let part = self.piece.split_to(length);
            let last = self.piece.is_empty() && matches!(self.end, End::Queued(None));
            let stream = self.send.stream_id();
            self.send
                .send_data(part, last)
                .map_err(|error| failed(error, stream, &self.in_flight))?;
            self.taken += length as u64;
            if last {
                self.end = End::Sent;
            }
        }
        if let End::Queued(trailers) = &mut self.end {
            match trailers.take() {
                Some(trailers) => self.send.send_trailers(trailers.into()),
                None => self.send.send_data(Bytes::new(), true),
            }
            .map_err(|error| failed(error, self.send.stream_id(), &self.in_flight))?;
            self.end = End::Sent;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, ServerError>> {
        if !self.has_response {
            return self.poll_head(cx);
        }
        let Some(body) = self.body.as_mut().filter(|_| !self.is_over) else {
            return Poll::Ready(Ok(Event::End(None)));
        };
        let handed_on = std::mem::take(&mut self.handed_on);
        if handed_on > 0 {
            body.release(handed_on);
        }
        loop {
            match ready!(body.poll_held(cx)) {
                Some(Ok(piece)) => {
                    if !piece.is_empty() {
                        self.handed_on = piece.len();
                        return Poll::Ready(Ok(Event::Data(piece)));
                    }
                }
                Some(Err(error)) => {
                    return Poll::Ready(Err(failed(error, self.send.stream_id(), &self.in_flight)));
                }
                None => break,
            }
        }
        let trailers = ready!(body.poll_trailers(cx))
            .map_err(|error| failed(error, self.send.stream_id(), &self.in_flight))?;
        self.is_over = true;
        Poll::Ready(Ok(Event::End(trailers.map(Fields::from))))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, ServerError>> {
        if let Poll::Ready(Some(Ok(interim))) = self.response.poll_informational(cx) {
            return Poll::Ready(Ok(Event::Head(head(interim))));
        }
        let response = match ready!(Pin::new(&mut self.response).poll(cx)) {
            Ok(response) => response,
            Err(error) => {
                if error.is_go_away() {
                    self.in_flight.retire();
                }
                return Poll::Ready(Err(failed(error, self.send.stream_id(), &self.in_flight)));
            }
        };
        let (parts, body) = response.into_parts();
        self.has_response = true;
        let body = self.in_flight.receive(body);
        self.body = Some(body);
        Poll::Ready(Ok(Event::Head(head(Response::from_parts(parts, ())))))
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        if !self.is_over || !matches!(self.end, End::Sent) {
            // Nobody waits for the rest, in either direction.
            self.send.send_reset(Reason::CANCEL);
        }
    }
}

fn head(response: Response<()>) -> ResponseHeader {
    ResponseHeader::of_http2(response.into_parts().0)
}

/// What an error of the `h2` crate means, on that stream.
fn failed(error: h2::Error, stream: StreamId, in_flight: &InFlight) -> ServerError {
    if not_processed(&error) {
        return ServerError::NotProcessed(error);
    }
    match in_flight.fault(stream.as_u32()) {
        Some(fault) => ServerError::Invalid(fault),
        None => ServerError::Http2(error),
    }
}

/// Whether the server says that it hasn't looked at the request and won't (RFC 9113 section 8.7): it refused the stream, or
/// went away and named an earlier one as the last. The `h2` crate ends exactly those later ones with the GOAWAY as their
/// error.
fn not_processed(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away()
            || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)))
}
