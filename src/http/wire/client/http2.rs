//! A client that speaks HTTP/2, by the `h2` crate: one stream of its connection.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, SET_COOKIE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, StatusCode};
use pingora::protocols::http::date;

use super::{BodySize, ClientError, Part, ReceiveRate, Room};
use crate::bodies::Body;
use crate::headers::Fields;
use crate::http::connection::h2::{BODIES_IN_WINDOW, Held, Holding, Line, Presence, linger};
use crate::http::wire::message::ResponseHeader;

/// A request that came by HTTP/2, and the way back to its client.
pub struct Http2 {
    /// `None` where there is none, and from the moment on that nobody wants any more of it.
    body: Option<Body>,
    body_over: bool,
    body_read: u64,
    /// How fast the body has to arrive; `None` = as it likes.
    rate: Option<ReceiveRate>,
    /// A piece of the body is with its server, and more may have come.
    holding: Option<Holding>,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    status: Option<StatusCode>,
    /// Not yet with `h2`, which takes no more than the client's window has room for.
    piece: Held,
    end: End,
    body_sent: u64,
    is_head: bool,
    line: Arc<Line>,
    _presence: Presence,
}

/// How the response ends.
#[derive(Debug)]
enum End {
    /// That isn't known yet.
    Open,
    /// Behind the piece that is queued.
    Queued(Option<Fields>),
    Sent,
    /// It was reset instead.
    Reset,
}

impl Http2 {
    /// For a request that was found to be in order. Its body has to arrive at `least_rate` bytes a second; 0 = as it likes.
    pub fn new(
        is_head: bool,
        body: Option<Body>,
        respond: SendResponse<Bytes>,
        least_rate: u64,
        line: &Arc<Line>,
        presence: Presence,
    ) -> Self {
        Self {
            is_head,
            body_over: body.is_none(),
            body,
            body_read: 0,
            rate: ReceiveRate::new(least_rate),
            holding: None,
            respond,
            send: None,
            status: None,
            piece: Held::none(line),
            end: End::Open,
            body_sent: 0,
            _presence: presence,
            line: Arc::clone(line),
        }
    }

    pub(super) fn is_body_done(&self) -> bool {
        self.body_over
    }

    pub(super) fn body_read(&self) -> u64 {
        self.body_read
    }

    pub(super) fn body_sent(&self) -> u64 {
        self.body_sent
    }

    pub(super) fn status(&self) -> Option<StatusCode> {
        self.status
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self.end, End::Sent)
    }

    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, ClientError>> {
        let Some(body) = self.body.as_mut().filter(|_| !self.body_over) else {
            return Poll::Ready(Ok(Part::End(None)));
        };
        loop {
            let Poll::Ready(next) = body.poll_data(cx) else {
                self.holding = None;
                let Some(rate) = &mut self.rate else {
                    return Poll::Pending;
                };
                if self.line.held() >= BODIES_IN_WINDOW {
                    rate.pause();
                } else if rate.poll_too_slow(cx).is_ready() {
                    return Poll::Ready(Err(ClientError::TooSlow));
                }
                return Poll::Pending;
            };
            let Some(piece) = next else {
                let trailers = ready!(body.poll_trailers(cx));
                self.body_over = true;
                return Poll::Ready(match trailers {
                    Ok(trailers) => Ok(Part::End(trailers.map(Fields::from))),
                    Err(error) => Err(of_body(&error)),
                });
            };
            // Handed on at once, and the next one is asked for when it has been taken: the client's window opens as fast
            // as the server reads.
            let (piece, is_last) = match piece {
                Ok(piece) => piece,
                Err(error) => return Poll::Ready(Err(of_body(&error))),
            };
            self.body_over = is_last;
            if let Some(rate) = &mut self.rate {
                rate.note(piece.len());
            }
            if piece.is_empty() {
                // An empty last frame ends the body and is none of it.
                if self.body_over {
                    return Poll::Ready(Ok(Part::End(None)));
                }
                continue;
            }
            self.body_read += piece.len() as u64;
            if self.rate.is_some() && !self.body_over {
                self.holding = Some(self.line.hold());
            }
            return Poll::Ready(Ok(Part::Data(piece)));
        }
    }

    pub(super) fn note_passed_on(&mut self) {
        self.holding = None;
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(drop)
    }

    pub(super) fn has_room(&self) -> bool {
        self.piece.is_empty()
    }

    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Room> {
        if self.line.backlog().poll_room(cx).is_ready() {
            return Poll::Ready(Room::Plenty);
        }
        let Some(send) = &mut self.send else {
            return Poll::Ready(Room::Little);
        };
        while send.capacity() == 0 {
            // A byte is enough to know that the window is open, and takes nothing from the others.
            send.reserve_capacity(1);
            if !matches!(ready!(send.poll_capacity(cx)), Some(Ok(_))) {
                break;
            }
        }
        Poll::Ready(Room::Little)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let Some(send) = &mut self.send else {
            return Poll::Ready(Ok(()));
        };
        let gone = |error: &h2::Error| {
            tracing::debug!(%error, "a client's stream has ended");
            ClientError::Gone
        };
        while !self.piece.is_empty() {
            if send.capacity() == 0 {
                send.reserve_capacity(self.piece.len());
                match ready!(send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(gone(&error))),
                    None => return Poll::Ready(Err(ClientError::Gone)),
                }
                // The window may have gone elsewhere meanwhile.
                if send.capacity() == 0 {
                    continue;
                }
            }
            let length = send.capacity().min(self.piece.len());
            ready!(self.line.backlog().poll_admit(length, cx));
            let part = self.piece.split_to(length);
            let last = self.piece.is_empty() && matches!(self.end, End::Queued(None));
            if let Err(error) = send.send_data(part, last) {
                return Poll::Ready(Err(gone(&error)));
            }
            self.body_sent += length as u64;
            self.line.note_sent(length);
            if last {
                self.note_end();
                return Poll::Ready(Ok(()));
            }
        }
        if let End::Queued(trailers) = &mut self.end {
            let sent = match trailers.take() {
                Some(mut trailers) => {
                    without_hop_by_hop(&mut trailers);
                    send.send_trailers(trailers.into())
                }
                None => send.send_data(Bytes::new(), true),
            };
            if let Err(error) = sent {
                return Poll::Ready(Err(gone(&error)));
            }
            self.note_end();
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn queue_interim(&mut self, mut response: ResponseHeader) {
        let status = response.status;
        without_hop_by_hop(&mut response.headers);
        if status != StatusCode::SWITCHING_PROTOCOLS
            && let Err(error) = self.respond.send_informational(response.into_http2())
        {
            // The final response meets the same trouble, if it lasts.
            tracing::debug!(%error, %status, "an interim response was not sent");
        }
    }

    pub(super) fn queue_head(
        &mut self,
        mut response: ResponseHeader,
        size: BodySize,
    ) -> Result<(), ClientError> {
        let status = response.status;
        without_hop_by_hop(&mut response.headers);
        if !response.headers.contains_key(DATE) {
            response.headers.insert(DATE, date::get_cached_date());
        }
        if let BodySize::Exactly(length) = size
            && !response.headers.contains_key(CONTENT_LENGTH)
        {
            response.headers.insert(CONTENT_LENGTH, length.into());
        }
        let end = self.is_head || matches!(size, BodySize::None | BodySize::Exactly(0));
        let send = self
            .respond
            .send_response(response.into_http2(), end)
            .map_err(|error| {
                tracing::debug!(%error, "a client's stream has ended");
                ClientError::Gone
            })?;
        self.status = Some(status);
        self.line.note_sent(0);
        self.send = Some(send);
        if end {
            self.note_end();
        }
        Ok(())
    }

    pub(super) fn queue_data(&mut self, piece: Bytes) {
        if matches!(self.end, End::Open) {
            self.piece.set(piece);
        }
    }

    pub(super) fn queue_end(&mut self, trailers: Option<Fields>) {
        if matches!(self.end, End::Open) && self.send.is_some() {
            self.end = End::Queued(trailers);
        }
    }

    pub(super) fn break_off(&mut self) {
        self.give_up(Reason::INTERNAL_ERROR);
    }

    fn note_end(&mut self) {
        self.end = End::Sent;
        self.line.deeds().note_finished();
    }

    /// Resets the stream, unless its response is complete. What was done for a client that has given it up was in vain.
    fn give_up(&mut self, reason: Reason) {
        if matches!(self.end, End::Sent | End::Reset) {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        if self.poll_gone(&mut cx).is_ready() {
            self.line.deeds().note_cancelled();
        }
        self.end = End::Reset;
        self.piece.set(Bytes::new());
        match &mut self.send {
            Some(send) => send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        match self.end {
            // What the client still sends of its request.
            End::Sent => {
                if let Some(body) = self.body.take() {
                    linger(body);
                }
            }
            End::Reset => {}
            End::Open | End::Queued(_) => self.give_up(Reason::INTERNAL_ERROR),
        }
    }
}

/// What an error of the body means: the client has reset it, or its connection has ended.
fn of_body(error: &h2::Error) -> ClientError {
    // What `h2` itself resets a stream for is malformed: a body of another length than was declared, say.
    if error.is_library() && error.is_reset() {
        ClientError::Malformed
    } else {
        ClientError::Gone
    }
}

/// Removes what concerns the connection to the server (RFC 9113 section 8.2.2, RFC 9110 section 7.6.1).
fn without_hop_by_hop(headers: &mut Fields) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            // What a response can't do without isn't its connection's to name.
            .filter(|name| *name != CONTENT_LENGTH && *name != SET_COOKIE)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION] {
        headers.remove(name);
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
