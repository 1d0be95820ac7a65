//! The client's end of one request, whichever HTTP it speaks.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::headers::Fields;
use crate::http::wire::message::ResponseHeader;
use crate::listen::LazyTimer;

mod http1;
mod http2;
mod receive_rate;

pub use http1::{Handback, Http1, LATE_BODY};
pub use http2::Http2;
pub use receive_rate::ReceiveRate;

/// How often is looked whether a client that has ended its side is still there.
pub const LOOK: Duration = Duration::from_millis(500);

/// What went wrong on the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It has left, or its connection broke.
    #[error("the client has gone")]
    Gone,
    /// Its request's body breaks the rules of its framing.
    #[error("the request's body is malformed")]
    Malformed,
    /// Its request's body comes too slowly.
    #[error("the request's body comes too slowly")]
    TooSlow,
}

/// What comes of a request's body.
#[derive(Debug)]
pub enum Part {
    /// Bytes of it, never none.
    Data(Bytes),
    /// Its end.
    End(Option<Fields>),
}

/// How long a response's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodySize {
    /// There is none, whatever the header says.
    None,
    /// So many bytes.
    Exactly(u64),
    /// Its end will tell.
    Unknown,
}

/// How much may be read ahead of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// As much as comes.
    Plenty,
    /// Little: the client's other responses have taken the rest, but this one's window is open.
    Little,
}

/// The client of a request.
pub enum Client {
    /// By HTTP/1.
    Http1(Http1),
    /// By HTTP/2.
    Http2(Http2),
}

impl Client {
    /// The timer of the connection, if there is one for the request alone.
    pub fn take_timer(&mut self) -> LazyTimer {
        match self {
            Self::Http1(client) => client.take_timer(),
            Self::Http2(_) => LazyTimer::default(),
        }
    }

    /// Gives it back for what the connection waits for next.
    pub fn put_timer(&mut self, timer: LazyTimer) {
        if let Self::Http1(client) = self {
            client.put_timer(timer);
        }
    }

    /// Whether the whole body has been taken, or there is none.
    pub fn is_body_done(&self) -> bool {
        match self {
            Self::Http1(client) => client.is_body_done(),
            Self::Http2(client) => client.is_body_done(),
        }
    }

    /// Whether a body came, or is to come.
    pub fn has_body(&self) -> bool {
        self.body_read() > 0 || !self.is_body_done()
    }

    /// Bytes of the body that were taken.
    pub fn body_read(&self) -> u64 {
        match self {
            Self::Http1(client) => client.body_read(),
            Self::Http2(client) => client.body_read(),
        }
    }

    /// Bytes of the response's body that were sent.
    pub fn body_sent(&self) -> u64 {
        match self {
            Self::Http1(client) => client.body_sent(),
            Self::Http2(client) => client.body_sent(),
        }
    }

    /// Bytes that the client took so far: who takes some isn't stuck.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Http1(client) => client.taken(),
            Self::Http2(client) => client.body_sent(),
        }
    }

    /// The status that the client was sent; a switch of protocols is one, other interim responses aren't.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Http1(client) => client.status(),
            Self::Http2(client) => client.status(),
        }
    }

    /// Whether the client was sent the whole of its response.
    pub fn is_answered(&self) -> bool {
        match self {
            Self::Http1(client) => client.is_answered(),
            Self::Http2(client) => client.is_answered(),
        }
    }

    /// The next part of the request's body.
    ///
    /// # Errors
    ///
    /// It doesn't come.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, ClientError>> {
        match self {
            Self::Http1(client) => client.poll_body(cx),
            Self::Http2(client) => client.poll_body(cx),
        }
    }

    /// What was taken of the body is with the server.
    pub fn note_passed_on(&mut self) {
        if let Self::Http2(client) = self {
            client.note_passed_on();
        }
    }

    /// Ready when the client has gone. Only once its whole request has been taken, or if [it is told](Self::tells_when_gone).
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(client) => client.poll_gone(cx),
            Self::Http2(client) => client.poll_gone(cx),
        }
    }

    /// Whether it is told apart from the request's body that the client has gone.
    pub fn tells_when_gone(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether the client has ended its side and still waits for its answer: it isn't read from any more, and whether it
    /// is there has to be asked ([`Self::has_failed`]).
    pub fn is_half_closed(&self) -> bool {
        match self {
            Self::Http1(client) => client.is_half_closed(),
            Self::Http2(_) => false,
        }
    }

    /// Whether the connection has broken meanwhile.
    pub fn has_failed(&self) -> bool {
        match self {
            Self::Http1(client) => client.has_failed(),
            Self::Http2(_) => false,
        }
    }

    /// Whether more may be queued.
    pub fn has_room(&self) -> bool {
        match self {
            Self::Http1(client) => client.has_room(),
            Self::Http2(client) => client.has_room(),
        }
    }

    /// Ready when more of the response may be read from its server: its connection holds no more than it may, or what comes
    /// will go at once.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Room> {
        match self {
            Self::Http1(_) => Poll::Ready(Room::Plenty),
            Self::Http2(client) => client.poll_room(cx),
        }
    }

    /// Sends what was queued.
    ///
    /// # Errors
    ///
    /// The client doesn't take it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        match self {
            Self::Http1(client) => client.poll_flush(cx),
            Self::Http2(client) => client.poll_flush(cx),
        }
    }

    /// Queues an interim response. A client of HTTP/1.0 gets none.
    pub fn queue_interim(&mut self, response: ResponseHeader) {
        match self {
            Self::Http1(client) => client.queue_interim(&response),
            Self::Http2(client) => client.queue_interim(response),
        }
    }

    /// Queues the final response's header. `last`: the connection is to end with it.
    ///
    /// # Errors
    ///
    /// The client has gone.
    pub fn queue_head(
        &mut self,
        response: ResponseHeader,
        size: BodySize,
        last: bool,
    ) -> Result<(), ClientError> {
        match self {
            Self::Http1(client) => {
                client.queue_head(&response, size, last);
                Ok(())
            }
            Self::Http2(client) => client.queue_head(response, size),
        }
    }

    /// Queues a piece of the response's body. Only while there is room.
    pub fn queue_data(&mut self, piece: Bytes) {
        match self {
            Self::Http1(client) => client.queue_data(piece),
            Self::Http2(client) => client.queue_data(piece),
        }
    }

    /// Queues the response's end. That needs no room, unless there are trailers.
    pub fn queue_end(&mut self, trailers: Option<Fields>) {
        match self {
            Self::Http1(client) => client.queue_end(trailers.as_ref()),
            Self::Http2(client) => client.queue_end(trailers),
        }
    }

    /// Gives the response up, in a way that nobody takes for its end.
    pub fn break_off(&mut self) {
        match self {
            Self::Http1(client) => client.break_off(),
            Self::Http2(client) => client.break_off(),
        }
    }
}
