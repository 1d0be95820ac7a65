//! Compression of what servers send uncompressed, for clients that take it.
//!
//! [`negotiate`] decides which coding a client gets, [`response`] which responses it gets with it, and [`encoder`] does the
//! work, piece by piece: nothing is held but the encoder's window. It is the last thing that happens to a response,
//! whoever made it, where it is known whether a body follows a header. It is there only where it is configured.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version};

use crate::config::model::{Coding, Compression};
use crate::headers::ValueRef;
use crate::headers::names;
use crate::http::wire::client::BodySize;
use crate::http::wire::message::{RequestHeader, ResponseHeader};

mod encoder;
mod negotiate;
mod response;

use encoder::Encoder;

/// Compresses the response to one request, if the settings, the client and the response allow it.
pub struct Compressor {
    settings: Arc<Compression>,
    /// What the client wants.
    coding: Option<Coding>,
    is_head: bool,
    /// What the client has already.
    if_none_match: Vec<HeaderValue>,
    /// While there is a body that is compressed.
    encoder: Option<Encoder>,
}

impl Compressor {
    /// For the response to that request; `None` if it is never compressed.
    pub fn new(request: &RequestHeader, settings: Option<&Arc<Compression>>) -> Option<Self> {
        let settings = settings?;
        // HTTP/1.0 knows no chunks, so its response would end with its connection, and a cut would go unnoticed.
        (request.version != Version::HTTP_10).then(|| Self {
            coding: negotiate::coding(&request.headers, &settings.codings),
            settings: Arc::clone(settings),
            is_head: request.method == Method::HEAD,
            if_none_match: request
                .headers
                .get_all(names::IF_NONE_MATCH)
                .iter()
                .map(ValueRef::to_value)
                .collect(),
            encoder: None,
        })
    }

    /// Settles what becomes of a response, and returns how long its body is then.
    pub fn begin(&mut self, response: &mut ResponseHeader, size: BodySize) -> BodySize {
        self.encoder = None;
        if response.status == StatusCode::NOT_MODIFIED {
            if response::may_be_compressible(&self.settings, &response.headers) {
                let fields = &mut response.headers;
                response::vary(fields);
                if self.coding.is_some() {
                    response::become_coded_unmodified(fields, &self.if_none_match);
                }
            }
            return size;
        }
        if !response::is_compressible(&self.settings, response.status, &response.headers) {
            return size;
        }
        response::vary(&mut response.headers);
        let Some(coding) = self.coding else {
            return size;
        };
        if self.is_head {
            // As a GET would be answered (RFC 9110 section 9.3.2).
            response::become_coded(&mut response.headers, coding);
            return BodySize::Unknown;
        }
        if matches!(size, BodySize::None | BodySize::Exactly(0)) {
            return size;
        }
        match Encoder::new(coding, response::length(&response.headers)) {
            Ok(encoder) => self.encoder = Some(encoder),
            Err(error) => {
                tracing::debug!(%error, ?coding, "a response goes uncompressed");
                return size;
            }
        }
        response::become_coded(&mut response.headers, coding);
        BodySize::Unknown
    }

    /// Whether the response's body is being compressed.
    pub fn is_coding(&self) -> bool {
        self.encoder.is_some()
    }

    /// A piece of the body as it is sent. `None`: it couldn't be compressed, and the response is to be cut, so that nobody
    /// takes it for complete.
    pub fn encode(&mut self, piece: Bytes) -> Option<Bytes> {
        let Some(encoder) = &mut self.encoder else {
            return Some(piece);
        };
        told(encoder.encode(&piece, false))
    }

    /// The body's end. `None`: as with [`Self::encode`].
    pub fn finish(&mut self) -> Option<Bytes> {
        match self.encoder.take() {
            Some(mut encoder) => told(encoder.encode(&[], true)),
            None => Some(Bytes::new()),
        }
    }
}

fn told(coded: std::io::Result<Bytes>) -> Option<Bytes> {
    coded
        .inspect_err(|error| tracing::error!(%error, "a response could not be compressed"))
        .ok()
}
