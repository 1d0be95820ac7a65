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
        drop(match spelling(&name) {
            Some(spelt) => self.0.insert_header(spelt, value),
            None => self.0.insert_header(capitalised(&name), value),
        });
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        drop(match spelling(&name) {
            Some(spelt) => self.0.append_header(spelt, value),
            None => self.0.append_header(capitalised(&name), value),
        });
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
        drop(match spelling(&name) {
            Some(spelt) => self.0.insert_header(spelt, value),
            None => self.0.insert_header(capitalised(&name), value),
        });
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        drop(match spelling(&name) {
            Some(spelt) => self.0.append_header(spelt, value),
            None => self.0.append_header(capitalised(&name), value),
        });
    }

    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }
}

/// How the fields that we set are spelt on the wire: as everybody spells them, for servers and logs
/// that look closer than they should (names are case-insensitive, RFC 9110 section 5.1). These are the frequent ones,
/// and those that [`capitalised`] doesn't know.
fn spelling(name: &HeaderName) -> Option<&'static str> {
    Some(match name.as_str() {
        "cookie" => "Cookie",
        "set-cookie" => "Set-Cookie",
        "cache-control" => "Cache-Control",
        "connection" => "Connection",
        "upgrade" => "Upgrade",
        "forwarded" => "Forwarded",
        "via" => "Via",
        "vary" => "Vary",
        "server" => "Server",
        "etag" => "ETag",
        "www-authenticate" => "WWW-Authenticate",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-forwarded-proto" => "X-Forwarded-Proto",
        "x-forwarded-host" => "X-Forwarded-Host",
        "x-forwarded-port" => "X-Forwarded-Port",
        "x-real-ip" => "X-Real-IP",
        "x-client-cert-subject" => "X-Client-Cert-Subject",
        "x-client-cert-serial" => "X-Client-Cert-Serial",
        "x-client-cert-fingerprint" => "X-Client-Cert-Fingerprint",
        "x-client-cert-verify" => "X-Client-Cert-Verify",
        _ => return None,
    })
}

/// A name with its words capitalised: `X-Robots-Tag`.
fn capitalised(name: &HeaderName) -> String {
    let mut begins = true;
    let capital = |c: char| {
        let spelt = if begins { c.to_ascii_uppercase() } else { c };
        begins = c == '-';
        spelt
    };
    name.as_str().chars().map(capital).collect()
}
