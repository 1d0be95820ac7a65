//! The headers of messages, as everything between a client and a server knows them, whichever HTTP those speak.

use bytes::Bytes;
use http::{Method, StatusCode, Version};

use crate::headers::Fields;
use crate::headers::names::CONTENT_LENGTH;

/// The header of a request.
#[derive(Debug, Clone)]
pub struct RequestHeader {
    /// The method.
    pub method: Method,
    /// The version that it came in, or goes in.
    pub version: Version,
    /// Its fields.
    pub headers: Fields,
    target: Bytes,
}

impl RequestHeader {
    /// A request for that target (RFC 9112 section 3.2), which has been checked.
    pub fn new(method: Method, target: Bytes, version: Version, headers: Fields) -> Self {
        Self {
            method,
            version,
            headers,
            target,
        }
    }

    /// What is asked for: a path with its query, or one of the other forms.
    pub fn target(&self) -> &[u8] {
        &self.target
    }

    /// Asks for something else.
    pub fn set_target(&mut self, target: Bytes) {
        self.target = target;
    }
}

/// The header of a response.
#[derive(Debug, Clone)]
pub struct ResponseHeader {
    /// The status.
    pub status: StatusCode,
    /// The version that it came in.
    pub version: Version,
    /// Its fields.
    pub headers: Fields,
    reason: Option<Box<str>>,
}

impl ResponseHeader {
    /// A response of that status.
    pub fn new(status: StatusCode, version: Version, headers: Fields) -> Self {
        Self {
            status,
            version,
            headers,
            reason: None,
        }
    }

    /// Whether the response to a request of that method ends with its header (RFC 9110 section 6.4.1).
    pub fn ends_with_header(&self, method: &Method) -> bool {
        let length = self.headers.get(CONTENT_LENGTH);
        *method == Method::HEAD
            || matches!(
                self.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            )
            || length.is_some_and(|length| length.as_bytes() == b"0")
    }

    /// The words behind the status: those that came with it, or else those that it has (RFC 9112 section 4).
    pub fn reason(&self) -> &str {
        let usual = || self.status.canonical_reason().unwrap_or_default();
        self.reason.as_deref().unwrap_or_else(usual)
    }

    /// Sets the words behind the status.
    pub fn set_reason(&mut self, reason: &str) {
        self.reason = Some(reason.into());
    }
}
