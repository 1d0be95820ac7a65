//! A server's end of one request, whichever HTTP it speaks.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::framing::Framing;
use crate::headers::Fields;
use crate::http::wire::message::ResponseHeader;

mod connection;
mod http1;
mod http2;

pub use connection::begin;
pub use http1::{Http1, RequestBody};
pub use http2::Http2;

/// What went wrong on the server's side.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It closed the connection before its response was complete.
    #[error("the server closed the connection")]
    Closed,
    /// The connection broke.
    #[error("{0}")]
    Broken(#[source] io::Error),
    /// It ended the stream of HTTP/2, with this code (RFC 9113 section 7).
    #[error("the server reset the stream with the code {0}")]
    Reset(u32),
    /// It says that it hasn't looked at the request and won't (RFC 9113 section 8.7).
    #[error("the server did not process the request")]
    NotProcessed,
    /// The same, since it is ending the connection.
    #[error("the server is going away")]
    GoingAway,
    /// What it sent isn't HTTP/2 at all.
    #[error("the server doesn't speak HTTP/2")]
    NotHttp2,
    /// What it sent isn't valid HTTP.
    #[error("{0}")]
    Invalid(&'static str),
}

/// What comes from a server.
#[derive(Debug)]
pub enum Event {
    /// The head of an interim response, or of the final one.
    Head(ResponseHeader),
    /// Bytes of the body, never none.
    Data(Bytes),
    /// The response's end.
    End(Option<Fields>),
}

/// A server that is asked.
pub enum Server {
    /// By HTTP/1.
    Http1(Http1),
    /// By HTTP/2.
    Http2(Http2),
}

impl Server {
    /// Whether it speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether more of the request may be queued.
    pub fn has_room(&self) -> bool {
        match self {
            Self::Http1(server) => server.has_room(),
            Self::Http2(server) => server.has_room(),
        }
    }

    /// Queues a piece of the request's body. Only while there is room.
    pub fn queue_data(&mut self, piece: Bytes) {
        match self {
            Self::Http1(server) => server.queue_data(piece),
            Self::Http2(server) => server.queue_data(piece),
        }
    }

    /// Queues the request's end.
    pub fn queue_end(&mut self, trailers: Option<Fields>) {
        match self {
            Self::Http1(server) => server.queue_end(trailers.as_ref()),
            Self::Http2(server) => server.queue_end(trailers),
        }
    }

    /// Sends what was queued.
    ///
    /// # Errors
    ///
    /// The server takes no more. It may have answered all the same.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServerError>> {
        match self {
            Self::Http1(server) => server.poll_flush(cx),
            Self::Http2(server) => server.poll_flush(cx),
        }
    }

    /// Bytes that it took so far: who takes some isn't stuck.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Http1(server) => server.taken(),
            Self::Http2(server) => server.taken(),
        }
    }

    /// What came so far: bytes, or over HTTP/2 headers and bytes of the body. Who sends some isn't stuck.
    pub fn come(&self) -> u64 {
        match self {
            Self::Http1(server) => server.come(),
            Self::Http2(server) => server.come(),
        }
    }

    /// Whether nothing but the end of the response that has begun is to come.
    pub fn is_at_end(&self) -> bool {
        match self {
            Self::Http1(server) => server.is_at_end(),
            Self::Http2(server) => server.is_at_end(),
        }
    }

    /// What comes next from the server.
    ///
    /// # Errors
    ///
    /// Nothing more comes that could be passed on.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, ServerError>> {
        match self {
            Self::Http1(server) => server.poll_event(cx),
            Self::Http2(server) => server.poll_event(cx),
        }
    }

    /// It hasn't answered in time. A connection that others share gets no more requests, unless it is known to live.
    pub fn note_timeout(&self) {
        if let Self::Http2(server) = self {
            server.note_timeout();
        }
    }

    /// The next read takes little, and no memory is kept for it until then. HTTP/2 has its window.
    pub fn read_little(&mut self) {
        if let Self::Http1(server) = self {
            server.read_little();
        }
    }

    /// A final head has come, and its body is delimited like this. HTTP/2 knows by itself.
    pub fn begin_body(&mut self, framing: Framing) {
        if let Self::Http1(server) = self {
            server.begin_body(framing);
        }
    }
}
