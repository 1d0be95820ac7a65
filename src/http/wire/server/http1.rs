//! A server that speaks HTTP/1.1.

use std::pin::pin;
use std::task::{Context, Poll, ready};

use crate::headers::names::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use bytes::{Bytes, BytesMut};
use http::Version;
use tokio::io::AsyncReadExt;

use super::super::fields;
use super::super::framing::{BodyReader, Framing};
use super::super::output::Output;
use super::super::response::{self, Progress};
use super::super::trailers;
use super::{Event, ServerError};
use crate::headers::{Fields, list_members};
use crate::http::wire::message::{RequestHeader, ResponseHeader};
use crate::spare::{Buffers, Inbox};
use crate::upstream::Stream;

/// Bytes of a response that are read at once. With [`FAST_READ`] a body of 64 KiB and its head take two reads.
const READ: usize = 28 * 1024;
/// The same when they come as fast as they are read. A client that takes nothing holds so much of its response.
const FAST_READ: usize = 40 * 1024;
/// The same while the client has yet to take much else.
const LITTLE: usize = 4 * 1024;

thread_local! {
    static BUFFERS: Buffers = const { Buffers::new(READ, 16) };
}

/// A request on its way to a server, and its response.
pub struct Http1 {
    stream: Stream,
    out: Output,
    inbox: Inbox,
    read: usize,
    /// The request's body goes in chunks.
    chunked: bool,
    request_over: bool,
    progress: Progress,
    state: State,
    /// The connection may carry another request behind this one.
    keeps: bool,
    come: u64,
}

#[derive(Debug)]
enum State {
    Head,
    Body(BodyReader),
    Done,
}

/// What a request's body is like for its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    /// There is none.
    None,
    /// Of the length that the header says.
    Sized,
    /// Its end will tell.
    Unknown,
}

impl Http1 {
    /// A request on a connection. Its header is queued.
    pub fn new(stream: Stream, request: &RequestHeader, body: RequestBody) -> Self {
        let mut out = Output::default();
        let chunked = body == RequestBody::Unknown;
        write_head(out.gathered(), request, chunked);
        Self {
            stream,
            out,
            inbox: Inbox::new(&BUFFERS),
            read: READ,
            chunked,
            request_over: body == RequestBody::None,
            progress: Progress::default(),
            state: State::Head,
            keeps: true,
            come: 0,
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.out.total()
    }

    pub(super) fn come(&self) -> u64 {
        self.come
    }

    pub(super) fn has_room(&self) -> bool {
        self.out.has_room()
    }

    pub(super) fn queue_data(&mut self, piece: Bytes) {
        if self.chunked {
            trailers::write_chunk_size(self.out.gathered(), piece.len());
            self.out.add(piece, b"\r\n");
        } else {
            self.out.add(piece, b"");
        }
    }

    pub(super) fn queue_end(&mut self, trailers: Option<&Fields>) {
        if self.chunked && !self.request_over {
            match trailers {
                Some(trailers) => trailers::write_last_chunk(self.out.gathered(), trailers),
                None => self.out.end(b"0\r\n\r\n", b"\r\n0\r\n\r\n"),
            }
        }
        self.request_over = true;
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServerError>> {
        let flushed = ready!(self.out.poll_flush(cx, &mut self.stream));
        Poll::Ready(flushed.map_err(|error| {
            self.keeps = false;
            ServerError::Broken(error)
        }))
    }

    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, ServerError>> {
        loop {
            match &mut self.state {
                State::Head => match response::take(&mut self.inbox, &mut self.progress) {
                    Ok(Some(head)) => return Poll::Ready(Ok(Event::Head(self.note_head(head)))),
                    Ok(None) => {}
                    Err(fault) => return Poll::Ready(Err(ServerError::Invalid(fault))),
                },
                State::Body(body) => match body.next(&mut self.inbox) {
                    Ok(Some(piece)) => {
                        body.look_ahead(&mut self.inbox);
                        return Poll::Ready(Ok(Event::Data(piece)));
                    }
                    Ok(None) if body.is_done() => {
                        let section = body.take_trailers();
                        self.state = State::Done;
                        return Poll::Ready(Ok(Event::End(trailers::parse(&section))));
                    }
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(ServerError::Invalid("malformed chunks"))),
                },
                State::Done => return Poll::Ready(Ok(Event::End(None))),
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => {
                    self.keeps = false;
                    return Poll::Ready(match &self.state {
                        State::Body(body) if body.ends_with_connection() => {
                            self.state = State::Done;
                            Ok(Event::End(None))
                        }
                        _ => Err(ServerError::Closed),
                    });
                }
                Ok(_) => {}
                Err(error) => {
                    self.keeps = false;
                    return Poll::Ready(Err(ServerError::Broken(error)));
                }
            }
        }
    }

    pub(super) fn read_little(&mut self) {
        self.inbox.rest();
        self.read = LITTLE;
    }

    pub(super) fn is_at_end(&self) -> bool {
        match &self.state {
            State::Head => false,
            State::Body(body) => body.is_done(),
            State::Done => true,
        }
    }

    pub(super) fn begin_body(&mut self, framing: Framing) {
        self.state = State::Body(BodyReader::of_response(framing));
        self.keeps &= framing != Framing::UntilClose;
    }

    /// The connection, if it may carry another request: the response is complete, nothing is behind it, and the server
    /// has the whole request.
    pub fn into_kept(self) -> Option<Stream> {
        let is_over = matches!(self.state, State::Done) && self.request_over && self.out.is_empty();
        (is_over && self.keeps && self.inbox.is_empty()).then_some(self.stream)
    }

    /// The connection and what came behind the response, when protocols have been switched.
    pub fn into_switched(self) -> (Stream, BytesMut) {
        (self.stream, self.inbox.into_bytes())
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        self.inbox.reserve(self.read);
        let room = self.inbox.capacity() - self.inbox.len();
        let read = pin!(self.stream.read_buf(&mut *self.inbox)).poll(cx);
        if read.is_pending() {
            // No buffer is held for what hasn't come yet.
            self.inbox.rest();
        }
        let count = ready!(read)?;
        if count == room {
            self.read = FAST_READ;
        }
        self.come += count as u64;
        Poll::Ready(Ok(count))
    }

    fn note_head(&mut self, mut response: ResponseHeader) -> ResponseHeader {
        let closes = response
            .headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|line| list_members(line.as_bytes()))
            .any(|option| option.eq_ignore_ascii_case(b"close"));
        if !response.status.is_informational() {
            self.keeps &= !closes && response.version == Version::HTTP_11;
        }
        if response.headers.contains_key(TRANSFER_ENCODING)
            && response.headers.remove(CONTENT_LENGTH)
        {
            // Of both the coding counts, but who sends both isn't to be trusted with another request (RFC 9112
            // section 6.3).
            self.keeps = false;
        }
        response
    }
}

fn write_head(out: &mut Vec<u8>, request: &RequestHeader, chunked: bool) {
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.target());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields::write(out, &request.headers);
    if let Some(options) = request.headers.get(CONNECTION) {
        fields::write_one(out, CONNECTION.name(), options, None);
    }
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
