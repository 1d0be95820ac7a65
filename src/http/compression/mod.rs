//! Compression of what servers send uncompressed, for clients that take it.
//!
//! [`negotiate`] decides which coding a client gets, [`response`] which responses it gets with it, and [`encoder`] does the
//! work, piece by piece: nothing is held but the encoder's window. It sits in Pingora's last filters, where header,
//! body, trailers and end come by whoever wrote them, so it sees whether a body follows a header, which the hooks of
//! the proxy can't tell. It is there only where it is configured.

use std::any::Any;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module};
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::headers::Response;
use crate::config::model::{Coding, Compression};

mod encoder;
mod negotiate;
mod response;

use encoder::Encoder;

/// Sets up that the response of this request is compressed, if the settings, the client and the response allow it.
pub fn prepare(session: &mut Session, settings: Option<&Arc<Compression>>) {
    let Some(settings) = settings else { return };
    let request = session.req_header();
    if request.version == Version::HTTP_10 {
        // It knows no chunks, so its response would end with its connection, and a cut would go unnoticed.
        return;
    }
    let wish = Wish {
        coding: negotiate::coding(&request.headers, &settings.codings),
        settings: Arc::clone(settings),
        head: request.method == Method::HEAD,
        if_none_match: request
            .headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .cloned()
            .collect(),
    };
    let mut modules = HttpModules::new();
    modules.add_module(Box::new(wish));
    session.downstream_modules_ctx = modules.build_ctx();
}

/// What a client wants.
#[derive(Clone)]
struct Wish {
    settings: Arc<Compression>,
    coding: Option<Coding>,
    head: bool,
    /// What the client has already.
    if_none_match: Vec<HeaderValue>,
}

impl HttpModuleBuilder for Wish {
    fn init(&self) -> Module {
        Box::new(Compressing {
            wish: self.clone(),
            encoder: None,
        })
    }
}

/// A response on its way out.
struct Compressing {
    wish: Wish,
    /// While there is a body that is compressed.
    encoder: Option<Encoder>,
}

impl Compressing {
    /// Settles what becomes of a response. `end`: it has no body.
    fn begin(&mut self, response: &mut ResponseHeader, end: bool) -> Result<()> {
        let settings = &self.wish.settings;
        self.encoder = None;
        if response.status == StatusCode::NOT_MODIFIED {
            if response::may_be_compressible(settings, &response.headers) {
                let mut fields = Response(response);
                response::vary(&mut fields);
                if self.wish.coding.is_some() {
                    response::become_coded_unmodified(&mut fields, &self.wish.if_none_match);
                }
            }
            return Ok(());
        }
        if !response::is_compressible(settings, response.status, &response.headers) {
            return Ok(());
        }
        response::vary(&mut Response(response));
        let Some(coding) = self.wish.coding else {
            return Ok(());
        };
        if self.wish.head {
            // As a GET would be answered (RFC 9110 section 9.3.2).
            response::become_coded(&mut Response(response), coding);
            response.set_version(Version::HTTP_11);
            return Ok(());
        }
        if end {
            return Ok(());
        }
        match Encoder::new(coding, response::length(&response.headers)) {
            Ok(encoder) => self.encoder = Some(encoder),
            Err(error) => {
                tracing::debug!(%error, ?coding, "a response goes uncompressed");
                return Ok(());
            }
        }
        response::become_coded(&mut Response(response), coding);
        response.set_version(Version::HTTP_11);
        // HTTP/2 takes it out again.
        response.insert_header(header::TRANSFER_ENCODING, "chunked")
    }

    /// The body's end, if it hasn't come yet.
    fn finish(&mut self) -> Result<Option<Bytes>> {
        let Some(mut encoder) = self.encoder.take() else {
            return Ok(None);
        };
        encoder.encode(&[], true).map(Some).map_err(broken)
    }
}

#[async_trait]
impl HttpModule for Compressing {
    async fn response_header_filter(
        &mut self,
        response: &mut ResponseHeader,
        end_of_stream: bool,
    ) -> Result<()> {
        self.begin(response, end_of_stream)
    }

    fn response_body_filter(
        &mut self,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
    ) -> Result<()> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        let piece = body.take().unwrap_or_default();
        let coded = encoder.encode(&piece, end_of_stream).map_err(broken)?;
        *body = (!coded.is_empty()).then_some(coded);
        if end_of_stream {
            self.encoder = None;
        }
        Ok(())
    }

    fn response_trailer_filter(
        &mut self,
        _trailers: &mut Option<Box<HeaderMap>>,
    ) -> Result<Option<Bytes>> {
        // They come in place of the body's end, and Pingora has room for one of the two.
        self.finish()
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        self.finish()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The response is cut, so that nobody takes it for complete.
#[allow(clippy::needless_pass_by_value, clippy::unnecessary_box_returns)] // Pingora's errors are boxed.
fn broken(error: io::Error) -> Box<Error> {
    tracing::error!(%error, "a response could not be compressed");
    Error::explain(ErrorType::InternalError, error.to_string())
}
