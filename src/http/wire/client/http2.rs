//! A client that speaks HTTP/2: one stream of its connection.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, SET_COOKIE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, StatusCode};
use pingora::protocols::http::date;

use super::{BodySize, ClientError, Part, ReceiveRate, Room};
use crate::headers::Fields;
use crate::http::wire::http2::ErrorCode;
use crate::http::wire::http2::streams::{BODIES_IN_WINDOW, Chunk, Ending, Handle, Loss};
use crate::http::wire::message::ResponseHeader;

/// A request that came by HTTP/2, and the way back to its client.
pub struct Http2 {
    stream: Handle,
    body: Body,
    status: Option<StatusCode>,
    /// Not yet handed over.
    piece: Bytes,
    /// What was handed over hasn't all been written.
    waits: bool,
    end: End,
    body_sent: u64,
    is_head: bool,
}

/// The request's body.
struct Body {
    /// There is no more of it.
    over: bool,
    read: u64,
    /// How fast it has to arrive; `None` = as it likes.
    rate: Option<ReceiveRate>,
    /// A piece of it is with its server, and more may have come.
    is_holding: bool,
}

/// How the response ends.
#[derive(Debug)]
enum End {
    /// That isn't known yet.
    Open,
    /// Behind the piece that is queued; `None`: that was handed over, too.
    Queued(Option<Ending>),
    Sent,
    /// It was reset instead.
    Reset,
}

impl Http2 {
    /// For a request that was found to be in order. Its body has to arrive at `least_rate` bytes a second; 0 = as it likes.
    pub fn new(stream: Handle, is_head: bool, has_body: bool, least_rate: u64) -> Self {
        Self {
            stream,
            body: Body {
                over: !has_body,
                read: 0,
                rate: ReceiveRate::new(least_rate),
                is_holding: false,
            },
            status: None,
            piece: Bytes::new(),
            waits: false,
            end: End::Open,
            body_sent: 0,
            is_head,
        }
    }

    pub(super) fn is_body_done(&self) -> bool {
        self.body.over
    }

    pub(super) fn body_read(&self) -> u64 {
        self.body.read
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
        let body = &mut self.body;
        if body.over {
            return Poll::Ready(Ok(Part::End(None)));
        }
        // A piece is handed on at once, and the next one is asked for when it has been taken: the client's window opens as fast as
        // the server reads.
        let Poll::Ready(next) = self.stream.poll_body(body.rate.is_some(), cx) else {
            body.is_holding = false;
            let Some(rate) = &mut body.rate else {
                return Poll::Pending;
            };
            if self.stream.held() >= BODIES_IN_WINDOW {
                rate.pause();
            } else if rate.poll_too_slow(cx).is_ready() {
                return Poll::Ready(Err(ClientError::TooSlow));
            }
            return Poll::Pending;
        };
        Poll::Ready(match next? {
            Chunk::Data(piece, is_last) => {
                body.over = is_last;
                body.read += piece.len() as u64;
                if let Some(rate) = &mut body.rate {
                    rate.note(piece.len());
                    body.is_holding = !is_last;
                }
                Ok(Part::Data(piece))
            }
            Chunk::End(trailers) => {
                body.over = true;
                Ok(Part::End(trailers))
            }
        })
    }

    pub(super) fn note_passed_on(&mut self) {
        if std::mem::take(&mut self.body.is_holding) {
            self.stream.let_go();
        }
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_gone(cx)
    }

    pub(super) fn has_room(&self) -> bool {
        self.piece.is_empty() && !self.waits
    }

    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Room> {
        let room = self.stream.poll_room(cx);
        room.map(|plenty| if plenty { Room::Plenty } else { Room::Little })
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let mut none = None;
        let end = match &mut self.end {
            End::Queued(end) => end,
            End::Open => &mut none,
            End::Sent | End::Reset => return Poll::Ready(Ok(())),
        };
        if self.piece.is_empty() && end.is_none() && !self.waits {
            return Poll::Ready(Ok(()));
        }
        let (piece, sent) = (&mut self.piece, &mut self.body_sent);
        let polled = self.stream.poll_send(piece, end, sent, cx);
        self.waits = polled.is_pending();
        if matches!(polled, Poll::Ready(Ok(()))) && matches!(self.end, End::Queued(_)) {
            self.end = End::Sent;
        }
        polled.map_err(ClientError::from)
    }

    pub(super) fn queue_interim(&mut self, mut response: ResponseHeader) {
        let status = response.status;
        without_hop_by_hop(&mut response.headers);
        if status != StatusCode::SWITCHING_PROTOCOLS
            && let Err(error) = self.stream.send_header(status, &response.headers, false)
        {
            // The final response meets the same trouble, if it lasts.
            tracing::debug!(?error, %status, "an interim response was not sent");
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
        let ends = self.is_head || matches!(size, BodySize::None | BodySize::Exactly(0));
        self.stream.send_header(status, &response.headers, ends)?;
        self.status = Some(status);
        if ends {
            self.end = End::Sent;
        }
        Ok(())
    }

    pub(super) fn queue_data(&mut self, piece: Bytes) {
        if matches!(self.end, End::Open) {
            self.piece = piece;
        }
    }

    pub(super) fn queue_end(&mut self, trailers: Option<Fields>) {
        if matches!(self.end, End::Open) && self.status.is_some() {
            let trailers = trailers.map(|mut trailers| {
                without_hop_by_hop(&mut trailers);
                trailers
            });
            self.end = End::Queued(Some(Ending { trailers }));
        }
    }

    pub(super) fn break_off(&mut self) {
        if !matches!(self.end, End::Sent | End::Reset) {
            self.end = End::Reset;
            self.piece = Bytes::new();
            self.stream.reset(ErrorCode::Internal);
        }
    }
}

impl From<Loss> for ClientError {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Malformed(_) => Self::Malformed,
            Loss::Gone | Loss::Reset(_) | Loss::Unprocessed | Loss::GoingAway => Self::Gone,
        }
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
