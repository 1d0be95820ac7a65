//! `listeners.NAME.http` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::route_text::MediaType;
use super::super::text::{FieldValue, FilePath};
use super::super::units::{Size, Span};
use super::Named;

/// HTTP towards the clients.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Requests on one connection of HTTP/1, then `Connection: close`; 0 = no limit. HTTP/2 has `http2.max_requests`.
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    pub keepalive_requests: u32,
    /// How long a connection may wait for its next request.
    pub keepalive_timeout: Span,
    /// For the whole header of a request, not each read; 408 after it.
    pub header_timeout: Span,
    /// Between two reads of a request's body; 408 after it.
    pub body_timeout: Span,
    /// Between two writes to a client that doesn't read.
    pub send_timeout: Span,
    /// Bytes of request line and header together, 1KiB to 1MiB; 431 beyond.
    pub max_header_size: Size,
    /// Bytes of the request target; 414 beyond. Counts towards `max_header_size` too.
    pub max_uri_length: Size,
    /// Bytes of a request's body; 413 beyond; 0 = no limit.
    pub max_body_size: Size,
    /// Bytes a second that a request's body must come in at, over all of it; 408 below; 0 = no limit. The first 5s
    /// aren't judged, nor is time that the client waits for us.
    pub min_receive_rate: Size,
    /// Whether a client of HTTP/1 that ends its side of the connection has gone, as in nginx. By default it still gets its
    /// answers, unless it turns out to have gone altogether.
    pub abort_on_half_close: bool,
    /// HTTP/2: by ALPN on https, by prior knowledge on http.
    pub http2: Http2,
    /// Responses that servers send uncompressed are compressed.
    pub compression: Compression,
    /// Files that are sent instead of our own error pages, by status.
    pub error_pages: Named<FilePath>,
    /// The Server field of responses; null = as the servers send it, "" = none.
    pub server_header: Option<FieldValue>,
    /// Whether TRACE is passed on; 405 otherwise.
    pub trace: bool,
    /// Where routes look at paths: what servers get of repeated slashes. Routes compare them as one.
    pub slashes: Slashes,
    /// Where routes look at paths: what becomes of a path with a slash or backslash in percent-encoding.
    pub encoded_slashes: EncodedSlashes,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            keepalive_requests: 100,
            keepalive_timeout: Span::secs(60),
            header_timeout: Span::secs(10),
            body_timeout: Span::secs(60),
            send_timeout: Span::secs(60),
            max_header_size: Size::kib(64),
            max_uri_length: Size::kib(16),
            max_body_size: Size(0),
            min_receive_rate: Size(0),
            abort_on_half_close: false,
            http2: Http2::default(),
            compression: Compression::default(),
            error_pages: Named(Vec::new()),
            server_header: None,
            trace: false,
            slashes: Slashes::Merge,
            encoded_slashes: EncodedSlashes::Refuse,
        }
    }
}

/// HTTP/2 towards the clients.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Http2 {
    /// Whether it is spoken.
    pub enabled: bool,
    /// Requests at once on one connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_streams: u32,
    /// How long a connection without a request may last.
    pub idle_timeout: Span,
    /// Requests on one connection, after which it ends by GOAWAY when that costs its client nothing: when it has been
    /// quiet for 5s. 0 = no limit.
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    pub max_requests: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            enabled: true,
            max_streams: 128,
            idle_timeout: Span::secs(180),
            max_requests: 0,
        }
    }
}

/// Responses that servers send uncompressed are compressed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Compression {
    /// Whether they are.
    pub enabled: bool,
    /// Media types of such responses; text/* is every kind of text.
    pub types: Vec<MediaType>,
    /// Smaller ones, as far as their length is known, are left alone.
    pub min_size: Size,
    /// Which ones, the preferred first among those that the client likes best: zstd, br, gzip.
    pub algorithms: Vec<Coding>,
}

impl Default for Compression {
    fn default() -> Self {
        let types = [
            "text/html",
            "text/css",
            "text/plain",
            "text/xml",
            "text/javascript",
            "text/csv",
            "text/markdown",
            "application/javascript",
            "application/json",
            "application/ld+json",
            "application/manifest+json",
            "application/xml",
            "application/xhtml+xml",
            "application/rss+xml",
            "application/atom+xml",
            "application/wasm",
            "image/svg+xml",
            "image/x-icon",
            "font/ttf",
            "font/otf",
        ];
        Self {
            enabled: false,
            types: types.map(|name| MediaType(name.into())).into(),
            min_size: Size::kib(1),
            algorithms: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
        }
    }
}

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Coding {
    Zstd,
    Br,
    Gzip,
}

/// What servers get of repeated slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Slashes {
    /// One.
    Merge,
    /// All, as they came.
    Keep,
}

/// What becomes of a path with an encoded slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum EncodedSlashes {
    /// 400.
    Refuse,
    /// It is compared as a slash, and passed on as it came.
    Keep,
}
