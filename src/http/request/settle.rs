//! A request as the servers may see it, before anything is decided about it.
//!
//! What is ambiguous has been refused by then ([`crate::http::wire::head`]). What is left are fields and forms that mean something to
//! us alone, or mean one thing to us and another to some servers.

use http::{HeaderValue, Method, Version};

use crate::headers::names;
use crate::headers::names::KnownName;
use crate::headers::{Fields, ValueRef, is_ambiguous, is_known_as};
use crate::http::request::options;
use crate::http::wire::authority;
use crate::http::wire::message::RequestHeader;

const PROXY: KnownName = KnownName::new("proxy");

/// Makes it the request that is matched, forwarded and logged. Nothing but the target's form can fail, and doesn't: it has
/// been parsed before.
pub fn settle(request: &mut RequestHeader) {
    let origin_form = authority::origin_form(request.method.as_str().as_bytes(), request.target())
        .map(|(path, authority)| (path, HeaderValue::from_bytes(authority)));
    if let Some((path, Ok(host))) = origin_form {
        request.set_target(path.into());
        // The target's host counts, whatever Host says (RFC 9112 section 3.2.2).
        request.headers.insert(names::HOST, host);
    }
    if request
        .headers
        .get(names::HOST)
        .is_some_and(ValueRef::is_empty)
    {
        // Of HTTP/1.0, which needs none: it says nothing.
        request.headers.remove(names::HOST);
    }
    let (version, bodiless) = (request.version, is_bodiless(&request.headers));
    let may_upgrade = version == Version::HTTP_11
        && bodiless
        // A WebSocket begins with a GET (RFC 6455 section 4.1); others with whatever (kubectl sends a POST).
        && (request.method == Method::GET || !options::wants_websocket(&request.headers));
    let fields = &mut request.headers;
    options::settle(fields, may_upgrade);
    if bodiless && version < Version::HTTP_2 && fields.contains_key(names::EXPECT) {
        // Nothing is to be continued (RFC 9110 section 10.1.1), and servers differ in what they make of it.
        fields.remove(&names::EXPECT);
    }
    drop_impostors(fields);
}

/// Whether a request of HTTP/1 has no body: it says so (RFC 9112 section 6.3).
fn is_bodiless(request: &Fields) -> bool {
    let length = request.get(names::CONTENT_LENGTH);
    !request.contains_key(names::TRANSFER_ENCODING) && length.is_none_or(|length| length == "0")
}

/// Drops fields that are nothing to HTTP but something to CGI and what descends from it: `Proxy`, which becomes
/// `HTTP_PROXY`, the proxy that programs use (CVE-2016-5385), and other spellings of a field that we write. Those of
/// `X-Forwarded-*` and `X-Client-Cert-*` go where these are written.
fn drop_impostors(request: &mut Fields) {
    request.remove(&PROXY);
    if request.has_odd_names() {
        request.remove_where(|name| {
            is_ambiguous(name) && is_known_as(name.as_str().as_bytes(), b"x-request-id")
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::headers::names::Name;

    fn settled(method: &str, target: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let lines = fields.iter().map(|(name, value)| {
            let name = Name::parse(name.as_bytes()).unwrap().name;
            (name, value.parse().unwrap())
        });
        let mut request = RequestHeader::new(
            method.parse().unwrap(),
            Bytes::copy_from_slice(target.as_bytes()),
            Version::HTTP_11,
            lines.collect(),
        );
        settle(&mut request);
        request
    }

    #[test]
    fn the_targets_host_is_the_host() {
        let request = settled("GET", "http://a.test/b?c", &[]);
        assert_eq!(request.target(), b"/b?c");
        assert_eq!(request.headers[names::HOST], "a.test");
        let request = settled("GET", "http://a.test", &[("Host", "a.test")]);
        assert_eq!(request.target(), b"/");
        assert_eq!(request.headers.get_all(names::HOST).iter().count(), 1);
        let request = settled("OPTIONS", "http://a.test", &[]);
        assert_eq!(request.target(), b"*");
        assert_eq!(settled("GET", "/http://a.test/", &[]).headers.len(), 0);
    }

    #[test]
    fn a_websocket_has_no_body() {
        let asks = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        let upgrades = |method, more: &[(&'static str, &str)]| {
            let fields = [&asks[..], more].concat();
            settled(method, "/", &fields)
                .headers
                .contains_key(names::UPGRADE)
        };
        assert!(upgrades("GET", &[]));
        assert!(upgrades("GET", &[("Content-Length", "0")]));
        assert!(!upgrades("POST", &[]));
        assert!(!upgrades("GET", &[("Content-Length", "1")]));
        assert!(!upgrades("GET", &[("Transfer-Encoding", "chunked")]));
    }

    #[test]
    fn without_a_body_there_is_nothing_to_expect() {
        let expects = |fields: &[(&'static str, &str)]| {
            let fields = [&[("Expect", "100-continue")], fields].concat();
            settled("POST", "/", &fields)
                .headers
                .contains_key(names::EXPECT)
        };
        assert!(expects(&[("Content-Length", "1")]));
        assert!(expects(&[("Transfer-Encoding", "chunked")]));
        assert!(!expects(&[("Content-Length", "0")]));
        assert!(!expects(&[]));
    }

    #[test]
    fn names_that_cgi_knows_otherwise_are_dropped() {
        let fields = [
            ("Proxy", "p"),
            ("X_Request_Id", "r"),
            ("x.request-id", "r"),
            ("X-Request-Id", "ours"),
            ("api_key", "k"),
        ];
        let request = settled("GET", "/", &fields);
        assert_eq!(request.headers.len(), 2);
        assert_eq!(request.headers["x-request-id"], "ours");
        assert_eq!(request.headers["api_key"], "k");
    }
}
