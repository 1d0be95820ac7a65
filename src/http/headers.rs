//! Pingora's header types as [`HeadersMut`], so that the decisions don't know them.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::headers::HeadersMut;

/// Whether a response ends with its header (RFC 9110 section 6.4.1).
pub fn ends_with_header(method: &Method, status: StatusCode, headers: &HeaderMap) -> bool {
    *method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() == b"0")
}

/// A request's header on its way to a server.
pub struct Request<'a>(pub &'a mut RequestHeader);

/// A response's header on its way to the client.
pub struct Response<'a>(pub &'a mut ResponseHeader);

// Inserting can fail only for names that aren't `HeaderName`s; these are.

impl HeadersMut for Request<'_> {
    fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        drop(self.0.insert_header(name, value));
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        drop(self.0.append_header(name, value));
    }

    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }
}

impl HeadersMut for Response<'_> {
    fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        drop(self.0.insert_header(name, value));
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        drop(self.0.append_header(name, value));
    }

    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }
}
