//! A client that speaks HTTP/1.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::headers::names;
use crate::headers::names::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use parking_lot::Mutex;
use pingora::protocols::http::date;
use tokio::time::timeout;

use super::super::fields;
use super::super::framing::{BodyReader, Framing};
use super::super::output::Output;
use super::super::trailers;
use super::{BodySize, ClientError, Part, ReceiveRate};
use crate::config::model;
use crate::headers::{Fields, list_members};
use crate::http::wire::message::{RequestHeader, ResponseHeader};
use crate::listen::{ClientStream, LazyTimer};
use crate::relay::Wire;

/// Bytes of a request's body that are read at once.
const READ: usize = 16 * 1024;
/// The same when they come as fast as they are read.
const FAST_READ: usize = 64 * 1024;
/// Bytes that are read ahead of a client's next request.
const READ_AHEAD: usize = 4 * 1024;
/// Bytes of a body that are read over.
const SMALL_BODY: u64 = 64 * 1024;
/// How long the rest of a body is waited for whose request has been answered. HTTP/2 may reset its stream at once then
/// (RFC 9113 section 8.1), but clients lose the answer over it: curl before 8.0 reports a broken stream instead of the 413 that
/// explains it.
pub const LATE_BODY: Duration = Duration::from_secs(2);

/// What every response begins with.
const BEGINNING: &[u8] = b"HTTP/1.1 ";

/// Where a connection goes when its request has been served.
#[derive(Default)]
pub struct Handback(Mutex<Option<Kept>>);

struct Kept {
    stream: Box<ClientStream>,
    /// What is left of the body of the request that was answered.
    rest: Option<BodyReader>,
}

impl Handback {
    /// The connection, if it may carry another request. What is left of the last one's body is read over, if that comes
    /// soon and isn't much.
    pub async fn take(&self) -> Option<Box<ClientStream>> {
        let kept = self.0.lock().take()?;
        let mut stream = kept.stream;
        match kept.rest {
            Some(rest) => read_over(&mut stream, rest).await.then_some(stream),
            None => Some(stream),
        }
    }
}

/// A request that came by HTTP/1, and the way back to its client.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Http1 {
    /// `None` once it belongs to nobody's request any more.
    stream: Option<Box<ClientStream>>,
    handback: Arc<Handback>,
    is_version_10: bool,
    is_head: bool,
    expects: bool,
    /// A client that ends its side has gone.
    aborts: bool,
    /// The client has said that this is its last request.
    is_last: bool,
    /// It asks only, and doesn't send.
    is_question: bool,
    /// The connection may carry another request when this one is answered; once it is answered that is settled.
    keeps: bool,
    is_half_closed: bool,
    /// What every response begins with has been sent.
    has_begun_early: bool,
    body: BodyReader,
    body_over: bool,
    read: usize,
    rate: Option<ReceiveRate>,
    body_read: u64,
    out: Output,
    status: Option<StatusCode>,
    was_continued: bool,
    response: Response,
    body_sent: u64,
}

/// What is left of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Response {
    /// Its header hasn't been sent.
    Awaited,
    Length(u64),
    Chunked,
    UntilClose,
    Done,
    /// The client can't be sent the rest.
    Broken,
}

impl Http1 {
    /// For a request that is read from the connection up to its header's end. `last`: the connection ends with it.
    /// Afterwards the connection is in `handback`, or closed.
    pub fn new(
        stream: Box<ClientStream>,
        request: &RequestHeader,
        framing: Framing,
        http: &model::Http,
        last: bool,
        handback: Arc<Handback>,
    ) -> Self {
        let is_version_10 = request.version == Version::HTTP_10;
        let asks_for = |option: &[u8]| {
            let lines = request.headers.get_all(CONNECTION).iter();
            lines
                .flat_map(|line| list_members(line.as_bytes()))
                .any(|member| member.eq_ignore_ascii_case(option))
        };
        let is_last = if is_version_10 {
            !asks_for(b"keep-alive")
        } else {
            asks_for(b"close")
        };
        let body = BodyReader::of_request(framing);
        Self {
            stream: Some(stream),
            handback,
            is_version_10,
            is_head: request.method == Method::HEAD,
            is_question: matches!(request.method, Method::GET | Method::HEAD),
            expects: request.headers.contains_key(names::EXPECT),
            is_last,
            keeps: !is_last && !last,
            is_half_closed: false,
            has_begun_early: false,
            body_over: body.is_done(),
            body,
            read: READ,
            rate: ReceiveRate::new(http.min_receive_rate),
            aborts: http.abort_on_half_close,
            body_read: 0,
            out: Output::default(),
            status: None,
            was_continued: false,
            response: Response::Awaited,
            body_sent: 0,
        }
    }

    pub(super) fn take_timer(&mut self) -> LazyTimer {
        let stream = self.stream.as_deref_mut();
        stream.map_or_else(LazyTimer::default, |stream| std::mem::take(stream.timer()))
    }

    pub(super) fn put_timer(&mut self, timer: LazyTimer) {
        if let Some(stream) = &mut self.stream {
            *stream.timer() = timer;
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

    pub(super) fn taken(&self) -> u64 {
        self.out.total()
    }

    pub(super) fn status(&self) -> Option<StatusCode> {
        self.status
    }

    pub(super) fn is_answered(&self) -> bool {
        self.response == Response::Done && self.out.is_empty()
    }

    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, ClientError>> {
        if self.body_over {
            return Poll::Ready(Ok(Part::End(None)));
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(ClientError::Gone));
        };
        loop {
            match self.body.next(stream.inbox()) {
                Ok(Some(piece)) => {
                    self.body_read += piece.len() as u64;
                    self.body_over = self.body.is_done();
                    return Poll::Ready(Ok(Part::Data(piece)));
                }
                Ok(None) if self.body.is_done() => {
                    self.body_over = true;
                    let section = self.body.take_trailers();
                    return Poll::Ready(Ok(Part::End(trailers::parse(&section))));
                }
                Ok(None) => {}
                Err(_) => {
                    self.keeps = false;
                    return Poll::Ready(Err(ClientError::Malformed));
                }
            }
            let Poll::Ready(filled) = stream.poll_fill(cx, self.read) else {
                if let Some(rate) = &mut self.rate
                    && rate.poll_too_slow(cx).is_ready()
                {
                    self.keeps = false;
                    return Poll::Ready(Err(ClientError::TooSlow));
                }
                return Poll::Pending;
            };
            let Ok(count @ 1..) = filled else {
                self.keeps = false;
                return Poll::Ready(Err(ClientError::Gone));
            };
            if count == self.read {
                self.read = FAST_READ;
            }
            if let Some(rate) = &mut self.rate {
                rate.note(count);
            }
        }
    }

    /// What the client sends meanwhile is its next request's; only the end is news.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(());
        };
        // Of one that has sent more the end can't be seen; and if it has ended its side since, it waits for its answers.
        while stream.pending().is_empty() && !self.is_half_closed {
            match ready!(stream.poll_fill(cx, READ_AHEAD)) {
                Ok(1..) => {}
                Ok(0) if !self.aborts => {
                    self.is_half_closed = true;
                    self.begin_early();
                    break;
                }
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        if self.has_begun_early && self.status.is_none() && !self.out.is_empty() {
            return match self.poll_flush(cx) {
                Poll::Ready(Err(_)) => Poll::Ready(()),
                _ => Poll::Pending,
            };
        }
        Poll::Pending
    }

    /// Sends what every response begins with to a client that has ended its side: if it has gone altogether, its machine
    /// answers with a reset; if it waits for its response, that begins so.
    fn begin_early(&mut self) {
        if self.status.is_none() && self.out.is_empty() && !self.was_continued {
            self.has_begun_early = true;
            self.out.gathered().extend_from_slice(BEGINNING);
        }
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.is_half_closed
    }

    pub(super) fn has_failed(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_none_or(|stream| Wire::has_failed(&**stream))
    }

    pub(super) fn has_room(&self) -> bool {
        self.out.has_room()
    }

    /// Sends what was queued.
    ///
    /// # Errors
    ///
    /// The client doesn't take it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(ClientError::Gone));
        };
        let flushed = ready!(self.out.poll_flush(cx, &mut **stream));
        Poll::Ready(flushed.map_err(|error| {
            tracing::debug!(%error, "a client takes nothing more");
            self.keeps = false;
            self.response = Response::Broken;
            ClientError::Gone
        }))
    }

    pub(super) fn queue_interim(&mut self, response: &ResponseHeader) {
        let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
        if self.is_version_10 && !switches {
            return;
        }
        self.was_continued |= response.status == StatusCode::CONTINUE;
        self.write_status_line(response);
        let out = self.out.gathered();
        fields::write(out, &response.headers);
        if switches {
            self.status = Some(response.status);
            self.keeps = false;
            if let Some(value) = response.headers.get(CONNECTION) {
                fields::write_one(out, CONNECTION.name(), value, None);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    pub(super) fn queue_head(&mut self, response: &ResponseHeader, size: BodySize, last: bool) {
        self.status = Some(response.status);
        let chunked = size == BodySize::Unknown && !self.is_version_10;
        self.response = match size {
            BodySize::None | BodySize::Exactly(0) => Response::Done,
            _ if self.is_head => Response::Done,
            BodySize::Exactly(length) => Response::Length(length),
            BodySize::Unknown if chunked => Response::Chunked,
            BodySize::Unknown => Response::UntilClose,
        };
        if last || self.response == Response::UntilClose || !self.can_finish_body() {
            self.keeps = false;
        }
        let keeps = self.keeps;
        self.write_status_line(response);
        let out = self.out.gathered();
        fields::write_date(out, &response.headers, &date::get_cached_date());
        fields::write(out, &response.headers);
        if chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let BodySize::Exactly(length) = size
            && !response.headers.contains_key(CONTENT_LENGTH)
        {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        let names_upgrade = response.headers.contains_key(UPGRADE);
        let options: &[u8] = match (keeps, names_upgrade) {
            (true, false) => b"Connection: keep-alive\r\n",
            (true, true) => b"Connection: upgrade, keep-alive\r\n",
            (false, false) => b"Connection: close\r\n",
            (false, true) => b"Connection: upgrade, close\r\n",
        };
        out.extend_from_slice(options);
        out.extend_from_slice(b"\r\n");
    }

    pub(super) fn queue_data(&mut self, piece: Bytes) {
        match &mut self.response {
            Response::Length(left) => {
                // More than was announced would be taken for the next response.
                let most = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(piece.len());
                *left -= most as u64;
                if *left == 0 {
                    self.response = Response::Done;
                }
                self.body_sent += most as u64;
                self.out.add(piece.slice(..most), b"");
            }
            Response::Chunked => {
                self.body_sent += piece.len() as u64;
                trailers::write_chunk_size(self.out.gathered(), piece.len());
                self.out.add(piece, b"\r\n");
            }
            Response::UntilClose => {
                self.body_sent += piece.len() as u64;
                self.out.add(piece, b"");
            }
            Response::Awaited | Response::Done | Response::Broken => {}
        }
    }

    pub(super) fn queue_end(&mut self, trailers: Option<&Fields>) {
        match self.response {
            Response::Chunked => {
                match trailers {
                    Some(trailers) => trailers::write_last_chunk(self.out.gathered(), trailers),
                    None => self.out.end(b"0\r\n\r\n", b"\r\n0\r\n\r\n"),
                }
                self.response = Response::Done;
            }
            Response::UntilClose => self.response = Response::Done,
            Response::Length(_) => self.break_off(),
            Response::Awaited | Response::Done | Response::Broken => {}
        }
    }

    pub(super) fn break_off(&mut self) {
        if self.response == Response::UntilClose
            && let Some(stream) = &mut self.stream
        {
            stream.end_in_reset();
        }
        if self.response != Response::Done {
            self.response = Response::Broken;
        }
        self.keeps = false;
    }

    /// The connection, when protocols have been switched.
    pub fn take_stream(&mut self) -> Option<Box<ClientStream>> {
        self.stream.take()
    }

    /// So many bytes passed through the connection since then.
    pub fn note_tunnelled(&mut self, from_client: u64, to_client: u64) {
        self.body_read += from_client;
        self.body_sent += to_client;
    }

    fn write_status_line(&mut self, response: &ResponseHeader) {
        let begun = std::mem::take(&mut self.has_begun_early);
        let out = self.out.gathered();
        if !begun {
            out.extend_from_slice(BEGINNING);
        }
        out.extend_from_slice(response.status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(response.reason().as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// The response to a request whose body isn't wanted is on its way; false if what is left of the body is too much to
    /// be read over, or may not even come.
    fn can_finish_body(&self) -> bool {
        // Who waits for `100 Continue` and is refused may leave out the body, and nobody can tell (RFC 9110 section 10.1.1).
        self.body_over
            || ((!self.expects || self.was_continued || self.body_read > 0)
                && self.body.left().is_none_or(|left| left <= SMALL_BODY))
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        if self.response == Response::UntilClose && self.status.is_some() {
            // Nobody has finished it.
            stream.end_in_reset();
        }
        if self.is_last && self.body_over && self.is_answered() {
            // Behind a body an empty line may follow (RFC 9112 section 2.2), and without a length all of a body of HTTP/1.0.
            stream.end_at_once(!self.is_question);
        }
        if !self.keeps || !self.is_answered() {
            return;
        }
        let rest = (!self.body_over).then(|| {
            let nothing = BodyReader::of_request(Framing::None);
            std::mem::replace(&mut self.body, nothing)
        });
        *self.handback.0.lock() = Some(Kept { stream, rest });
    }
}

/// Reads a body to its end. Returns whether the connection can carry another request.
async fn read_over(stream: &mut ClientStream, mut body: BodyReader) -> bool {
    let mut most = SMALL_BODY;
    let rest = async {
        loop {
            match body.next(stream.inbox()) {
                Ok(Some(piece)) if piece.len() as u64 <= most => most -= piece.len() as u64,
                Ok(None) if body.is_done() => return true,
                Ok(None) => {
                    if !matches!(stream.fill().await, Ok(1..)) {
                        return false;
                    }
                }
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    };
    timeout(LATE_BODY, rest).await.unwrap_or(false)
}
