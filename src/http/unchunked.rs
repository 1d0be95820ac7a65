//! Responses of HTTP/2 servers for clients of HTTP/1.0.
//!
//! HTTP/2 needs no length, and Pingora makes chunks of such a response, after our filters. HTTP/1.0 knows none: there a
//! response ends with its connection.

use std::any::Any;

use async_trait::async_trait;
use http::header;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::modules::http::{HttpModule, HttpModuleBuilder, HttpModuleCtx, HttpModules, Module};

/// What a session needs whose client speaks HTTP/1.0.
pub fn modules() -> HttpModuleCtx {
    let mut modules = HttpModules::new();
    modules.add_module(Box::new(Builder));
    modules.build_ctx()
}

struct Builder;

impl HttpModuleBuilder for Builder {
    fn init(&self) -> Module {
        Box::new(Unchunked)
    }
}

struct Unchunked;

#[async_trait]
impl HttpModule for Unchunked {
    async fn response_header_filter(
        &mut self,
        response: &mut ResponseHeader,
        _end_of_stream: bool,
    ) -> Result<()> {
        response.remove_header(&header::TRANSFER_ENCODING);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
