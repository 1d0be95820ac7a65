//! What a server answers on a stream, but for the body (RFC 9113 section 8.1).

use std::collections::VecDeque;

use http::{Method, StatusCode};

use crate::http::wire::http2::hpack::{Broken, Decoder};
use crate::http::wire::http2::response;
use crate::http::wire::http2::response::{LIMITS, ResponseBlock};
use crate::http::wire::http2::unfit::Unfit;
use crate::http::wire::message::ResponseHeader;

/// Interim responses that wait to be taken, at most.
const MAX_WAITING: usize = 64;

/// The headers of the response to one request.
#[derive(Debug)]
pub struct Response {
    /// Interim ones that nobody has taken, and what they come to in bytes.
    interim: VecDeque<ResponseHeader>,
    size: usize,
    /// The final one, until it is taken.
    header: Option<ResponseHeader>,
    has_begun: bool,
    /// The request was HEAD.
    is_to_head: bool,
}

impl Response {
    /// To a request of that method.
    pub fn to(method: &Method) -> Self {
        Self {
            interim: VecDeque::new(),
            size: 0,
            header: None,
            has_begun: false,
            is_to_head: *method == Method::HEAD,
        }
    }

    /// Whether the final header has come: a body or trailers are next.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The next header that has come, interim ones first.
    pub fn take(&mut self) -> Option<ResponseHeader> {
        let interim = self.interim.pop_front();
        if interim.is_some() && self.interim.is_empty() {
            self.size = 0;
        }
        interim.or_else(|| self.header.take())
    }

    /// Whether the final header has been taken.
    pub fn is_taken(&self) -> bool {
        self.has_begun && self.header.is_none() && self.interim.is_empty()
    }

    /// Takes in a header block that isn't the trailers'. `ends`: nothing follows. Returns how long the body is, if it has to have a
    /// certain length; of an interim response there is none.
    ///
    /// # Errors
    ///
    /// [`Broken`]: the connection's header compression is lost. In words: the response is malformed.
    pub fn receive(
        &mut self,
        decoder: &mut Decoder,
        block: &[u8],
        ends: bool,
    ) -> Result<Result<Option<u64>, &'static str>, Broken> {
        let read = response::read(decoder, block)?;
        let added = read.map_err(|unfit| unfit.refusal().1);
        Ok(added.and_then(|block| self.add(block, ends)))
    }

    fn add(&mut self, block: ResponseBlock, ends: bool) -> Result<Option<u64>, &'static str> {
        let ResponseBlock {
            header,
            length,
            size,
        } = block;
        if header.status.is_informational() {
            if ends {
                return Err(Unfit::Interim.refusal().1);
            }
            self.size = self.size.saturating_add(size);
            if self.interim.len() >= MAX_WAITING || self.size > LIMITS.header {
                return Err("too many interim responses");
            }
            self.interim.push_back(header);
            return Ok(None);
        }
        let has_no_body = self.is_to_head
            || matches!(
                header.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let length = if has_no_body { Some(0) } else { length };
        if ends && length.is_some_and(|length| length > 0) {
            return Err(Unfit::LengthWithoutBody.refusal().1);
        }
        self.has_begun = true;
        self.header = Some(header);
        Ok(length)
    }
}
