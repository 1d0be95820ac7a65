//! What a request over HTTP/2 begins with (RFC 9113 section 8.3.1).

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, Method};

use crate::headers::names;
use crate::http::wire::authority;
use crate::http::wire::message::RequestHeader;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Fields that a request over HTTP/2 doesn't have: its Host is the authority, and the others are a connection's (section 8.2.2).
const REPLACED: [HeaderName; 6] = [
    HOST,
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
];

/// The pseudo-fields of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// `:method`.
    pub method: &'a Method,
    /// `:scheme`.
    pub scheme: &'static str,
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:path`.
    pub path: &'a [u8],
}

impl<'a> RequestLine<'a> {
    /// Those of a request that goes to a server by `http` or `https`. `None`: HTTP/2 can't say it.
    pub fn of(request: &'a RequestHeader, scheme: &'static str) -> Option<Self> {
        let authority = request.headers.get(names::HOST)?.as_bytes();
        let path = request.target();
        let is_path = path.starts_with(b"/") || path == b"*";
        let is_host = !authority.is_empty() && authority.iter().all(u8::is_ascii_graphic);
        (is_host && is_path && authority::is_target(path)).then_some(Self {
            method: &request.method,
            scheme,
            authority,
            path,
        })
    }

    /// Whether a field goes without saying, or isn't said in HTTP/2.
    pub fn replaces(name: &HeaderName) -> bool {
        REPLACED.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderValue, Version};

    use super::*;
    use crate::headers::Fields;

    fn request(target: &'static str, host: Option<&'static str>) -> RequestHeader {
        let mut fields = Fields::new();
        if let Some(host) = host {
            fields.append(names::HOST, HeaderValue::from_static(host));
        }
        let target = Bytes::from_static(target.as_bytes());
        RequestHeader::new(Method::POST, target, Version::HTTP_11, fields)
    }

    #[test]
    fn the_host_is_the_authority() {
        let request = request("/a?b=c", Some("a.example:8080"));
        let line = RequestLine::of(&request, "https").unwrap();
        assert_eq!(line.authority, b"a.example:8080");
        assert_eq!((line.path, line.scheme), (&b"/a?b=c"[..], "https"));
        assert!(RequestLine::replaces(&HOST));
    }

    #[test]
    fn what_http2_cant_say_is_not_said() {
        for (target, host) in [
            ("/", None),
            ("/", Some("")),
            ("/", Some("a b")),
            ("/\u{7f}", Some("a")),
            ("/ HTTP/1.1", Some("a")),
            ("http://a/", Some("a")),
        ] {
            let request = request(target, host);
            assert!(RequestLine::of(&request, "http").is_none(), "{target}");
        }
    }
}
