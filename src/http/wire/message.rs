//! The headers of messages, as everything between a client and a server knows them, whichever HTTP those speak.

use crate::headers::names;
use crate::headers::names::CONTENT_LENGTH;
use bytes::Bytes;
use http::{Method, StatusCode, Uri, Version, request, response};

use crate::headers::Fields;

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

    /// A request of HTTP/2 that has been settled: its host is a field.
    pub fn of_http2(parts: request::Parts) -> Self {
        let target = match parts.uri.path_and_query() {
            Some(target) => Bytes::copy_from_slice(target.as_str().as_bytes()),
            None => Bytes::from_static(b"/"),
        };
        Self::new(parts.method, target, parts.version, parts.headers.into())
    }

    /// What is asked for: a path with its query, or one of the other forms.
    pub fn target(&self) -> &[u8] {
        &self.target
    }

    /// Asks for something else.
    pub fn set_target(&mut self, target: Bytes) {
        self.target = target;
    }

    /// The request as HTTP/2 has it: Host becomes `:authority` (RFC 9113 section 8.3.1). `None`: it can't be said so.
    pub fn into_http2(mut self, scheme: &str) -> Option<http::Request<()>> {
        let host = self.headers.get(names::HOST)?.to_value();
        self.headers.remove(names::HOST);
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(host.as_bytes())
            .path_and_query(std::str::from_utf8(&self.target).ok()?)
            .build()
            .ok()?;
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = self.method;
        parts.uri = uri;
        parts.version = Version::HTTP_2;
        parts.headers = self.headers.into();
        Some(http::Request::from_parts(parts, ()))
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

    /// A response of HTTP/2.
    pub fn of_http2(parts: response::Parts) -> Self {
        Self::new(parts.status, parts.version, parts.headers.into())
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

    /// The response as HTTP/2 has it, which knows no reasons.
    pub fn into_http2(self) -> http::Response<()> {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = self.status;
        parts.headers = self.headers.into();
        http::Response::from_parts(parts, ())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn request(target: &'static str, host: Option<&'static str>) -> RequestHeader {
        let mut fields = Fields::new();
        if let Some(host) = host {
            fields.append(names::HOST, HeaderValue::from_static(host));
        }
        fields.append(
            HeaderName::from_static("x-a"),
            HeaderValue::from_static("1"),
        );
        fields.append(
            HeaderName::from_static("x-a"),
            HeaderValue::from_static("2"),
        );
        let target = Bytes::from_static(target.as_bytes());
        RequestHeader::new(Method::POST, target, Version::HTTP_11, fields)
    }

    #[test]
    fn a_request_is_the_same_in_http2() {
        let there = request("/a?b=c", Some("a.example:8080"));
        let there = there.into_http2("https").unwrap();
        assert_eq!(there.uri(), "https://a.example:8080/a?b=c");
        assert_eq!(there.headers().get_all("x-a").iter().count(), 2);
        let back = RequestHeader::of_http2(there.into_parts().0);
        assert_eq!(back.target(), b"/a?b=c");
        assert_eq!(back.headers.get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn what_http2_cant_say_is_not_said() {
        assert!(request("/", None).into_http2("http").is_none());
        assert!(request("/", Some("a b")).into_http2("http").is_none());
        assert!(request("/\u{7f}", Some("a")).into_http2("http").is_none());
    }
}
