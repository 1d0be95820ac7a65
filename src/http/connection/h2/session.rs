//! One HTTP/2 request as a Pingora session.
//!
//! Pingora has a session for HTTP/2 of its own, but with it a body that stops coming is waited for without end, interim
//! responses are dropped, a client that takes nothing of a response is told apart from none, and the rest of an upload
//! that was answered early holds its server's place for as long as the client likes. So this is ours, on the same `h2`
//! crate, behind the door that Pingora has for protocols of one's own (`ServerSession::Custom`). For those it leaves the
//! rules about Host and `:authority` to the session's maker: see [`super::request`].

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, SET_COOKIE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Response, StatusCode, response};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::body_buffer::FixedBuffer;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::date;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};
use tokio::time::timeout;

use super::super::super::headers::ends_with_header;
use super::super::super::trouble;
use super::BODIES_IN_WINDOW;
use super::line::{Holding, Line, Presence};
use super::linger::linger;
use crate::listen::{Patience, ReceiveRate, Wait};

/// Bytes of a request's body that are kept for another try, as with HTTP/1.
const KEPT_FOR_RETRY: usize = 64 * 1024;
/// Bytes of a response that are asked room for at once.
const AT_ONCE: usize = 64 * 1024;

/// A request and the way back to its client.
pub struct Exchange {
    request: RequestHeader,
    /// `None` from the moment on that nobody wants any more of it.
    body: Option<RecvStream>,
    /// The whole body has been read.
    body_ended: bool,
    body_read: usize,
    /// How fast the body has to arrive; `None` = as it likes.
    rate: Option<ReceiveRate>,
    /// A piece of the body is with its server, and more may have come.
    holding: Option<Holding>,
    kept: Option<FixedBuffer>,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    /// Status and version of the response; its fields have gone.
    written: Option<ResponseHeader>,
    /// The whole response has been sent.
    ended: bool,
    /// It was reset instead.
    given_up: bool,
    body_sent: usize,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
    /// How long the server may be silent; `None` = somebody else sees to it.
    patience: Option<Arc<Patience>>,
    line: Arc<Line>,
    _presence: Presence,
}

impl Exchange {
    /// A session for a request that was found to be in order.
    pub fn new(
        request: RequestHeader,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        line: &Arc<Line>,
    ) -> Self {
        Self {
            body_ended: body.is_end_stream(),
            request,
            body: Some(body),
            body_read: 0,
            rate: None,
            holding: None,
            kept: None,
            respond,
            send: None,
            written: None,
            ended: false,
            given_up: false,
            body_sent: 0,
            read_timeout: None,
            write_timeout: None,
            drain_timeout: None,
            patience: None,
            _presence: line.enter(),
            line: Arc::clone(line),
        }
    }

    /// How long the client may be silent while its request is awaited, and how long it may leave its window shut.
    pub fn set_timeouts(&mut self, body: Duration, send: Duration) {
        self.read_timeout = Some(body);
        self.write_timeout = Some(send);
    }

    /// Whoever waits for the client while its request is answered waits no longer than this.
    pub fn set_patience(&mut self, patience: Option<Arc<Patience>>) {
        self.patience = patience;
    }

    /// The body has to arrive at so many bytes a second; 0 = as it likes.
    pub fn set_receive_rate(&mut self, least: u64) {
        self.rate = ReceiveRate::new(least);
    }

    /// The next piece of the body that isn't empty, at the pace that it has to keep; `None` at its end.
    async fn next_piece(&mut self) -> Result<Option<Bytes>> {
        let next = self.next_piece_at_any_pace().await;
        if let Some(rate) = &mut self.rate {
            let piece = next.as_ref().ok().and_then(Option::as_ref);
            rate.note(piece.map_or(0, Bytes::len));
            self.holding = (piece.is_some() && !self.body_ended).then(|| self.line.hold());
        }
        next
    }

    /// The next piece of the body that isn't empty; `None` at its end.
    async fn next_piece_at_any_pace(&mut self) -> Result<Option<Bytes>> {
        if self.body_ended {
            return Ok(None);
        }
        if self.ended {
            // Answered early. The client is told by the reset that this stream ends in, not by reading on.
            return Err(trouble::answered());
        }
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        let (rate, holding, line) = (&mut self.rate, &mut self.holding, &self.line);
        loop {
            let next = poll_fn(|cx| {
                let polled = body.poll_data(cx);
                let Some(rate) = rate.as_mut().filter(|_| polled.is_pending()) else {
                    return polled.map(Ok);
                };
                *holding = None;
                if line.held() >= BODIES_IN_WINDOW {
                    rate.pause();
                    return Poll::Pending;
                }
                rate.poll_too_slow(cx).map(Err)
            });
            let Ok(next) = next.await else {
                return Err(down(
                    ErrorType::ReadTimedout,
                    "the request's body comes too slowly",
                ));
            };
            let Some(piece) = next else {
                // Trailers may follow. HTTP/1 has no place for them that Pingora could write to.
                self.body_ended = true;
                return Ok(None);
            };
            let piece = piece.map_err(|error| of_body(&error))?;
            // Handed on at once to a bounded pipe: the client's window opens as fast as the server takes it.
            drop(body.flow_control().release_capacity(piece.len()));
            self.body_ended = body.is_end_stream();
            if piece.is_empty() && !self.body_ended {
                continue;
            }
            if piece.is_empty() {
                // An empty last frame ends the body and is none of it (cloudflare/pingora#935).
                return Ok(None);
            }
            self.body_read += piece.len();
            if let Some(kept) = &mut self.kept {
                kept.write_to_buffer(&piece);
            }
            return Ok(Some(piece));
        }
    }

    /// Returns when the client has given up the request.
    async fn given_up(&mut self) -> Box<Error> {
        let reason = match &mut self.send {
            Some(send) => poll_fn(|cx| send.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
        match reason {
            Ok(reason) => down(
                ErrorType::ConnectionClosed,
                &format!("reset by the client: {reason}"),
            ),
            Err(error) => down(ErrorType::ConnectionClosed, &error.to_string()),
        }
    }

    fn send_header(&mut self, response: ResponseHeader, end: bool) -> Result<()> {
        if self.ended || self.written.is_some() {
            return Ok(());
        }
        let status = response.status;
        let mut parts: response::Parts = response.into();
        without_hop_by_hop(&mut parts.headers);
        if status.is_informational() {
            let interim = Response::from_parts(parts, ());
            if status != StatusCode::SWITCHING_PROTOCOLS
                && let Err(error) = self.respond.send_informational(interim)
            {
                // The final response meets the same trouble, if it lasts.
                tracing::debug!(%error, %status, "an interim response was not sent");
            }
            return Ok(());
        }
        let date = parts.headers.entry(DATE);
        date.or_insert_with(date::get_cached_date);
        let end = end || ends_with_header(&self.request.method, status, &parts.headers);
        let mut written = Response::new(());
        *written.status_mut() = status;
        let send = self
            .respond
            .send_response(Response::from_parts(parts, ()), end)
            .map_err(|error| down(ErrorType::WriteError, &error.to_string()))?;
        self.line.note_sent(0);
        self.written = Some(ResponseHeader::from(written.into_parts().0));
        self.send = Some(send);
        self.note_end(end);
        Ok(())
    }

    async fn send_body(&mut self, mut data: Bytes, end: bool) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let patience = self.write_timeout;
        let Some(send) = &mut self.send else {
            return Err(down(ErrorType::WriteError, "a body before its header"));
        };
        while !data.is_empty() {
            let wanted = data.len().min(AT_ONCE);
            let room = room(send, wanted);
            let room = match patience {
                Some(patience) => timeout(patience, room).await.map_err(|_| {
                    down(
                        ErrorType::WriteTimedout,
                        "the client opens no window for the response",
                    )
                })?,
                None => room.await,
            }?;
            let piece = data.split_to(room.min(data.len()));
            let length = piece.len();
            let last = end && data.is_empty();
            send.send_data(piece, last)
                .map_err(|error| down(ErrorType::WriteError, &error.to_string()))?;
            self.body_sent += length;
            self.line.note_sent(length);
            if last {
                self.note_end(true);
                return Ok(());
            }
        }
        if end {
            self.end()?;
        }
        Ok(())
    }

    /// Ends the response, if it has begun.
    fn end(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        if let Some(send) = &mut self.send {
            send.send_data(Bytes::new(), true)
                .map_err(|error| down(ErrorType::WriteError, &error.to_string()))?;
            self.note_end(true);
        }
        Ok(())
    }

    fn note_end(&mut self, end: bool) {
        if end {
            self.ended = true;
            self.line.note_finished();
        }
    }

    async fn answer(&mut self, task: HttpTask) -> Result<bool> {
        Ok(match task {
            HttpTask::Header(header, end) => {
                self.send_header(*header, end)?;
                end
            }
            HttpTask::Body(data, end) => {
                self.send_body(data.unwrap_or_default(), end).await?;
                end
            }
            HttpTask::UpgradedBody(..) => {
                return Err(Error::explain(
                    ErrorType::InternalError,
                    "HTTP/2 has no upgrade",
                ));
            }
            HttpTask::Trailer(Some(trailers)) => {
                self.send_trailers(*trailers)?;
                true
            }
            HttpTask::Trailer(None) | HttpTask::Done => {
                self.end()?;
                true
            }
            HttpTask::Failed(error) => return Err(error),
        })
    }

    fn send_trailers(&mut self, mut trailers: HeaderMap) -> Result<()> {
        without_hop_by_hop(&mut trailers);
        if self.ended {
            return Ok(());
        }
        let Some(send) = &mut self.send else {
            return Err(down(ErrorType::WriteError, "trailers before a header"));
        };
        send.send_trailers(trailers)
            .map_err(|error| down(ErrorType::WriteError, &error.to_string()))?;
        self.note_end(true);
        Ok(())
    }

    fn has_whole_body(&self) -> bool {
        self.body_ended || self.body.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn give_up(&mut self, reason: Reason) {
        if !self.ended {
            self.ended = true;
            self.given_up = true;
            self.respond.send_reset(reason);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // A response that is complete while the request is not is to be read first.
        if self.ended
            && !self.given_up
            && let Some(body) = self.body.take()
        {
            linger(body);
        }
        // One that broke off must not look complete.
        self.give_up(Reason::INTERNAL_ERROR);
    }
}

/// Waits for room to send in, at most `wanted` bytes.
async fn room(send: &mut SendStream<Bytes>, wanted: usize) -> Result<usize> {
    send.reserve_capacity(wanted);
    match poll_fn(|cx| send.poll_capacity(cx)).await {
        Some(Ok(room)) => Ok(room),
        Some(Err(error)) => Err(down(ErrorType::WriteError, &error.to_string())),
        None => Err(down(ErrorType::WriteError, "reset by the client")),
    }
}

/// An error that the client is the source of.
#[allow(clippy::unnecessary_box_returns)] // Pingora's errors are boxed.
fn down(kind: ErrorType, words: &str) -> Box<Error> {
    let mut error = Error::explain(kind, words.to_owned());
    error.as_down();
    error
}

#[allow(clippy::unnecessary_box_returns)]
fn of_body(error: &h2::Error) -> Box<Error> {
    // What `h2` itself resets a stream for is malformed: a body of another length than was declared, say.
    let kind = if error.is_library() && error.is_reset() {
        ErrorType::InvalidHTTPHeader
    } else {
        ErrorType::ConnectionClosed
    };
    down(kind, &error.to_string())
}

/// Removes what concerns the connection to the server (RFC 9113 section 8.2.2, RFC 9110 section 7.6.1).
fn without_hop_by_hop(headers: &mut HeaderMap) {
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

#[async_trait]
impl Session for Exchange {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        match self.read_timeout {
            Some(patience) => timeout(patience, self.next_piece())
                .await
                .unwrap_or_else(|_| {
                    Err(down(
                        ErrorType::ReadTimedout,
                        "the client sends no more of its request",
                    ))
                }),
            None => self.next_piece().await,
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        // A stream needs no draining for the next request: the connection stays in order without.
        Ok(())
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.send_header(*resp, end)
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, end: bool) -> Result<()> {
        self.send_header(resp.clone(), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.send_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.send_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut over = false;
        let mut tasks = tasks.into_iter().peekable();
        while let Some(mut task) = tasks.next() {
            if let HttpTask::Header(_, end) | HttpTask::Body(_, end) = &mut task
                && let Some(HttpTask::Done | HttpTask::Trailer(None) | HttpTask::Body(None, true)) =
                    tasks.peek()
            {
                // The end in this frame, instead of one more that is empty.
                *end = true;
            }
            over |= self.answer(task).await?;
        }
        Ok(over)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.request.method, self.request.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_ref()
    }

    async fn shutdown(&mut self, code: u32, _ctx: &str) {
        self.give_up(Reason::from(code));
    }

    async fn abandon(&mut self, _ctx: &str) {
        self.give_up(Reason::INTERNAL_ERROR);
    }

    fn is_body_done(&mut self) -> bool {
        self.has_whole_body()
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    fn is_body_empty(&mut self) -> bool {
        self.body_read == 0 && self.has_whole_body()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.is_body_done() {
            let patience = self.patience.clone();
            let mut wait = Wait::default();
            tokio::select! {
                biased;
                error = self.given_up() => Err(error),
                () = poll_fn(|cx| match &patience {
                    Some(patience) => patience.poll_end(&mut wait, cx),
                    None => Poll::Pending,
                }) => Err(down(ErrorType::ReadTimedout, "the server is silent")),
            }
        } else {
            self.read_body_bytes().await
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.body_sent
    }

    fn body_bytes_read(&self) -> usize {
        self.body_read
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        // For subrequests, of which there are none.
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {
        if self.kept.is_none() && !self.body_ended {
            self.kept = Some(FixedBuffer::new(KEPT_FOR_RETRY));
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.as_ref().is_some_and(FixedBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let kept = self.kept.as_ref()?;
        if kept.is_truncated() {
            None
        } else {
            kept.get_buffer()
        }
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        // None says that there are no such messages, and Pingora asks no further.
        None
    }

    fn restore_custom_message_writer(
        &mut self,
        _writer: Box<dyn CustomMessageWrite>,
    ) -> Result<()> {
        Ok(())
    }
}
