//! One request to a server and its answer, in the protocol of its pool, by the same code that requests of clients take.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version};
use tokio::time::Instant;

use super::Failed;
use crate::config::model::ServerAddress;
use crate::headers::Fields;
use crate::headers::names::{CONNECTION, HOST, USER_AGENT};
use crate::health::words;
use crate::health::words::TOO_MANY_INTERIM;
use crate::http::wire::http2::request_line::RequestLine;
use crate::http::wire::message::{RequestHeader, ResponseHeader};
use crate::http::wire::response_framing;
use crate::http::wire::server;
use crate::http::wire::server::{Event, Http1, Http2, RequestBody};
use crate::http::wire::{Framing, Server, ServerError};
use crate::pool;
use crate::upstream;
use crate::upstream::{Caller, Dialer, Link};

/// The limit of connecting: the check's own comes before.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// How many interim responses are skipped, the same number as for requests.
const INTERIM: usize = 64;

/// How many bytes the fields of all of them may have together.
const INTERIM_SIZE: usize = 64 << 10;

/// Who is asked, and how.
pub struct Exchange<'a> {
    /// How the server is connected to.
    pub link: &'a Arc<Link>,
    /// When the check ends: what has come by then is judged.
    pub deadline: Instant,
    server: &'a pool::Server,
    dialer: Arc<Dialer>,
}

impl<'a> Exchange<'a> {
    /// An exchange with that server, at that port if one is given.
    pub fn new(
        server: &'a Arc<pool::Server>,
        port: Option<u16>,
        link: &'a Arc<Link>,
        deadline: Instant,
    ) -> Self {
        Self::of(link.own_caller(port), server, port, link, deadline)
    }

    /// The same, by a caller other than the pool has it.
    pub fn of(
        caller: Caller,
        server: &'a Arc<pool::Server>,
        port: Option<u16>,
        link: &'a Arc<Link>,
        deadline: Instant,
    ) -> Self {
        Self {
            link,
            deadline,
            server,
            dialer: Arc::new(Dialer::new(server, port, link, caller)),
        }
    }

    /// A request for that host, or for the server by its own name.
    pub fn request(&self, method: Method, path: &str, host: Option<&HeaderValue>) -> RequestHeader {
        let host = host.cloned().unwrap_or_else(|| {
            let address = self.server.configured_address();
            match address {
                // The path of a socket is no host name.
                ServerAddress::Unix(_) => HeaderValue::from_static("localhost"),
                address => HeaderValue::try_from(address.to_string())
                    .unwrap_or_else(|_| HeaderValue::from_static("localhost")),
            }
        });
        let mut fields = Fields::new();
        fields.insert(HOST, host);
        fields.insert(
            USER_AGENT,
            HeaderValue::from_static("equipoise-health-check"),
        );
        let target = Bytes::copy_from_slice(path.as_bytes());
        RequestHeader::new(method, target, Version::HTTP_11, fields)
    }

    /// Sends a request on a connection of its own. Only HTTP/2 has a `body`.
    ///
    /// # Errors
    ///
    /// There is no connection, or it takes no request.
    pub async fn ask(
        &self,
        mut request: RequestHeader,
        body: Bytes,
        http2: bool,
    ) -> Result<Answer<'_>, Failed> {
        let method = request.method.clone();
        let mut peer = upstream::peer(self.server)
            .ok_or_else(|| Failed::Unwanted(words::no_address(self.server.configured_address())))?;
        let stream = upstream::connect(&mut peer, &self.dialer, FOR_EVER).await;
        let stream = stream.map_err(|error| words::of_dial(&error, self.address()))?;
        if !http2 {
            // A check may ask for a switch of protocols.
            if !request.headers.contains_key(CONNECTION) {
                let close = HeaderValue::from_static("close");
                request.headers.insert(CONNECTION, close);
            }
            let server = Server::Http1(Http1::new(stream, &request, RequestBody::None));
            return Ok(self.answer(server, method, false));
        }
        let broken = |error: &ServerError| words::of_answer(error, self.address(), true);
        let line = RequestLine::of(&request, self.link.scheme());
        let line = line.ok_or_else(|| {
            Failed::Unwanted("the check's host or path can't be sent by HTTP/2".to_owned())
        })?;
        let place = server::begin(stream, 0, FOR_EVER).enter();
        let place = place.ok_or_else(|| broken(&ServerError::Closed))?;
        let asked = Http2::ask(place, &line, &request.headers, body.is_empty());
        let mut server = Server::Http2(asked.map_err(|_| broken(&ServerError::Closed))?);
        if !body.is_empty() {
            server.queue_data(body);
            server.queue_end(None);
        }
        Ok(self.answer(server, method, true))
    }

    fn answer(&self, server: Server, method: Method, http2: bool) -> Answer<'_> {
        Answer {
            server,
            method,
            http2,
            address: self.address(),
        }
    }

    /// Where the server was reached, as text.
    fn address(&self) -> &str {
        let reached = self.dialer.reached();
        reached.map_or("the server", |address| address.as_str())
    }
}

/// What a server says to a request.
pub struct Answer<'a> {
    server: Server,
    method: Method,
    http2: bool,
    address: &'a str,
}

impl Answer<'_> {
    /// The final response's header, behind which its body comes.
    ///
    /// # Errors
    ///
    /// None comes.
    pub async fn head(&mut self) -> Result<ResponseHeader, Failed> {
        let mut interim_size = 0;
        for _ in 0..=INTERIM {
            let head = match self.next().await {
                Ok(Event::Head(head)) => head,
                // Nothing comes before a header.
                Ok(Event::Data(_) | Event::End(_)) => return Err(self.broken(&ServerError::Closed)),
                Err(error) => return Err(self.broken(&error)),
            };
            // 101 is final here: a check may look for a switch of protocols.
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                // One that clients would not get is told by their requests.
                let framing = response_framing::of(&self.method, &head, None);
                self.server
                    .begin_body(framing.unwrap_or(Framing::UntilClose));
                return Ok(head);
            }
            let fields = head.headers.iter();
            interim_size += fields
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum::<usize>();
            if interim_size > INTERIM_SIZE {
                break;
            }
        }
        Err(self.broken(&ServerError::Invalid(TOO_MANY_INTERIM)))
    }

    /// What comes next.
    ///
    /// # Errors
    ///
    /// The connection broke, or what came isn't HTTP.
    pub async fn next(&mut self) -> Result<Event, ServerError> {
        poll_fn(|cx| {
            // One that takes no more may have answered.
            let _ = self.server.poll_flush(cx).is_ready();
            self.server.poll_event(cx)
        })
        .await
    }

    /// The trailers, if there are any behind a body of no more than so many bytes.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn trailers(&mut self, most: usize) -> Result<Option<Fields>, ServerError> {
        let mut seen = 0;
        loop {
            match self.next().await? {
                Event::Data(piece) if seen + piece.len() <= most => seen += piece.len(),
                Event::End(trailers) => return Ok(trailers),
                Event::Data(_) | Event::Head(_) => return Ok(None),
            }
        }
    }

    /// What an error means.
    pub fn broken(&self, error: &ServerError) -> Failed {
        words::of_answer(error, self.address, self.http2)
    }
}
