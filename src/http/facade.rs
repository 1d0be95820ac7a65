//! A request as Pingora sees it: that there is one.
//!
//! Pingora has a door for protocols of one's own (`ServerSession::Custom`), and calls the proxy with what comes through it.
//! The proxy serves a request by its own ends of the exchange ([`wire`](crate::http::wire)), so that there is nothing for
//! Pingora to read or write.
//!
//! The hook that chooses a server takes a session of Pingora's. The one of the request ended with the call that found out
//! where it goes ([`handover`](crate::http::handover)), so the hook gets one that stands for any request ([`StandIn`]).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Cursor;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};

use crate::http::Hook;

/// Stand-ins that a thread keeps for the next requests. One is enough where nobody waits in a pool's queue.
const MOST_KEPT: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<StandIn>> = const { RefCell::new(Vec::new()) };
}

/// A request for Pingora to serve.
pub fn session() -> ServerSession {
    ServerSession::new_custom(Box::new(Facade::new()))
}

/// A session of Pingora's that stands for any request.
pub struct StandIn(Box<pingora_proxy::Session>);

impl StandIn {
    /// One that nobody uses.
    pub fn take() -> Self {
        KEPT.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            // There is no other way to make one.
            let mut made = pingora_proxy::Session::new_h1(Box::new(Cursor::new(Vec::new())));
            *made.downstream_session = session();
            Self(Box::new(made))
        })
    }

    /// It, for Pingora.
    pub fn session(&mut self) -> &mut pingora_proxy::Session {
        &mut self.0
    }

    /// Keeps it for the next request.
    pub fn keep(self) {
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < MOST_KEPT {
                kept.push(self);
            }
        });
    }
}

/// A request that somebody else serves: what it asks for lies in its context.
struct Facade {
    /// Of no request in particular.
    request: RequestHeader,
}

impl Facade {
    /// For a request that was found to be in order.
    fn new() -> Self {
        let parts = http::Request::new(()).into_parts().0;
        Self {
            request: RequestHeader::from(parts),
        }
    }
}

fn not_here<T>() -> Result<T> {
    Error::e_explain(ErrorType::InternalError, "the exchange isn't Pingora's")
}

#[async_trait]
impl Session for Facade {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        not_here()
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write_response_header(&mut self, _: Box<ResponseHeader>, _: bool) -> Result<()> {
        not_here()
    }

    async fn write_response_header_ref(&mut self, _: &ResponseHeader, _: bool) -> Result<()> {
        not_here()
    }

    async fn write_body(&mut self, _: Bytes, _: bool) -> Result<()> {
        not_here()
    }

    async fn write_trailers(&mut self, _: HeaderMap) -> Result<()> {
        not_here()
    }

    async fn response_duplex_vec(&mut self, _: Vec<HttpTask>) -> Result<bool> {
        not_here()
    }

    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, _: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        "a request".to_owned()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        None
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {}

    fn is_body_done(&mut self) -> bool {
        true
    }

    fn finish<'life0, 'async_trait>(&'life0 mut self) -> Hook<'async_trait, Result<()>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(poll_fn(|_| Poll::Ready(Ok(()))))
    }

    fn is_body_empty(&mut self) -> bool {
        true
    }

    async fn read_body_or_idle(&mut self, _no_body_expected: bool) -> Result<Option<Bytes>> {
        not_here()
    }

    fn body_bytes_sent(&self) -> usize {
        0
    }

    fn body_bytes_read(&self) -> usize {
        0
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
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
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
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
