//! What is known of a request or connection when it has ended.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::template::Field;
use crate::observe::labels::{PersistenceResult, Termination};

/// One line of the access log, borrowed from whoever ends the request. Fields that don't apply are
/// `None`.
///
/// What comes from a client is bytes: it is whatever was sent, escaped when it is written.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// When the request's first byte came.
    pub time: SystemTime,
    /// The client, as found behind trusted proxies.
    pub client: IpAddr,
    /// The other end of the connection; the client itself unless a trusted proxy is in between.
    pub peer: IpAddr,
    /// The request's method. `None` if there was no request that could be read.
    pub method: Option<&'a [u8]>,
    /// The host that was asked for, without a port's default added.
    pub host: Option<&'a [u8]>,
    /// The path as the client sent it, before any rewriting.
    pub path: Option<&'a [u8]>,
    /// The query without its question mark.
    pub query: Option<&'a [u8]>,
    /// `HTTP/1.1` and so on; `TCP` for connections.
    pub protocol: Option<&'a str>,
    /// The status sent to the client.
    pub status: Option<u16>,
    /// Bytes of body received from the client.
    pub bytes_in: u64,
    /// Bytes of body sent to the client.
    pub bytes_out: u64,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// From the request sent to the server to the first byte of its response, of the last attempt.
    pub upstream_duration: Option<Duration>,
    /// The listener's name.
    pub listener: &'a str,
    /// The route's name or number.
    pub route: Option<&'a str>,
    /// The pool's name.
    pub pool: Option<&'a str>,
    /// The name of the server of the last attempt.
    pub server: Option<&'a str>,
    /// The address of the server of the last attempt.
    pub server_address: Option<&'a str>,
    /// How many times a server was tried; 0 if none was.
    pub attempts: u32,
    /// What session persistence made of it.
    pub persistence: Option<PersistenceResult>,
    /// As in `X-Request-Id`.
    pub request_id: Option<&'a str>,
    /// The trace id of the W3C trace context.
    pub trace_id: Option<&'a str>,
    /// The `Referer` header.
    pub referer: Option<&'a [u8]>,
    /// The `User-Agent` header.
    pub user_agent: Option<&'a [u8]>,
    /// The `X-Forwarded-For` header as the client sent it.
    pub x_forwarded_for: Option<&'a [u8]>,
    /// `TLSv1.3` and so on.
    pub tls_version: Option<&'a str>,
    /// The cipher suite's name.
    pub tls_cipher: Option<&'a str>,
    /// The name that the client's `ClientHello` asked for.
    pub sni: Option<&'a [u8]>,
    /// Why it ended.
    pub termination: Termination,
}

impl<'a> Record<'a> {
    /// A record with what is always known; the rest is absent, zero and [`Termination::Complete`].
    pub fn new(time: SystemTime, client: IpAddr, peer: IpAddr, listener: &'a str) -> Self {
        Self {
            time,
            client,
            peer,
            method: None,
            host: None,
            path: None,
            query: None,
            protocol: None,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            upstream_duration: None,
            listener,
            route: None,
            pool: None,
            server: None,
            server_address: None,
            attempts: 0,
            persistence: None,
            request_id: None,
            trace_id: None,
            referer: None,
            user_agent: None,
            x_forwarded_for: None,
            tls_version: None,
            tls_cipher: None,
            sni: None,
            termination: Termination::Complete,
        }
    }

    /// The value of one field.
    pub(super) fn value(&self, field: Field) -> Value<'a> {
        match field {
            Field::Time => Value::Time(self.time),
            Field::Client => Value::Address(self.client),
            Field::Peer => Value::Address(self.peer),
            Field::Method => Value::bytes(self.method),
            Field::Host => Value::bytes(self.host),
            Field::Path => Value::bytes(self.path),
            Field::Query => Value::bytes(self.query),
            Field::Protocol => Value::text(self.protocol),
            Field::Status => self
                .status
                .map_or(Value::Absent, |status| Value::Number(status.into())),
            Field::BytesIn => Value::Number(self.bytes_in),
            Field::BytesOut => Value::Number(self.bytes_out),
            Field::Duration => Value::Seconds(self.duration),
            Field::UpstreamDuration => self.upstream_duration.map_or(Value::Absent, Value::Seconds),
            Field::Listener => Value::text(Some(self.listener)),
            Field::Route => Value::text(self.route),
            Field::Pool => Value::text(self.pool),
            Field::Server => Value::text(self.server),
            Field::ServerAddress => Value::text(self.server_address),
            Field::Attempts => Value::Number(self.attempts.into()),
            Field::Persistence => Value::text(self.persistence.map(PersistenceResult::as_str)),
            Field::RequestId => Value::text(self.request_id),
            Field::TraceId => Value::text(self.trace_id),
            Field::Referer => Value::bytes(self.referer),
            Field::UserAgent => Value::bytes(self.user_agent),
            Field::XForwardedFor => Value::bytes(self.x_forwarded_for),
            Field::TlsVersion => Value::text(self.tls_version),
            Field::TlsCipher => Value::text(self.tls_cipher),
            Field::Sni => Value::bytes(self.sni),
            Field::Termination => Value::text(Some(self.termination.as_str())),
        }
    }
}

/// A field's value, before it is written one way or another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Absent,
    Text(&'a [u8]),
    Number(u64),
    Seconds(Duration),
    Time(SystemTime),
    Address(IpAddr),
}

impl<'a> Value<'a> {
    fn bytes(value: Option<&'a [u8]>) -> Self {
        value.map_or(Self::Absent, Self::Text)
    }

    fn text(value: Option<&'a str>) -> Self {
        Self::bytes(value.map(str::as_bytes))
    }
}
