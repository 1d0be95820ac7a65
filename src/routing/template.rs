//! Text with variables of the request, filled in: where clients are sent on to, and header fields.

use std::io::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Method};

use crate::config::model::HeaderEdits;
use crate::config::model::Piece;
use crate::config::model::Template;
use crate::config::model::Variable;
use crate::headers::{Fields, ValueRef};

/// Nothing longer is made of a template, in bytes.
const LONGEST: usize = 16 * 1024;

/// What the variables stand for, all of it as the client sent it.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Whether the client came over TLS.
    pub https: bool,
    /// The host that was asked, without its port.
    pub host: &'a str,
    /// The port that the client came to.
    pub port: u16,
    /// The path as it is passed on, but before it is rewritten.
    pub path: &'a [u8],
    /// The query, without its question mark.
    pub query: Option<&'a [u8]>,
    /// The method.
    pub method: &'a Method,
    /// The client's address.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The request's id.
    pub request_id: &'a str,
    /// The listener's name.
    pub listener: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// Such as `TLSv1.3`.
    pub tls_version: Option<&'a str>,
    /// OpenSSL's name of the cipher.
    pub tls_cipher: Option<&'a str>,
    /// The name that the client asked for in its handshake.
    pub sni: Option<&'a str>,
    /// The request's header fields.
    pub headers: &'a Fields,
}

/// `template` as the value of a header field; `None` if it would be too long or can't be one.
fn expand(template: &Template, values: &Values<'_>) -> Option<HeaderValue> {
    if let Some(constant) = &template.constant {
        return Some(constant.clone());
    }
    HeaderValue::from_maybe_shared(Bytes::from(filled(template, values)?)).ok()
}

/// `template` as a place to send the client on to (RFC 9110 section 10.2.2). What no URL holds is percent-encoded, and
/// no path of a client's becomes another host: `//example.com` where `${path}` begins is `/example.com`. The asterisk of
/// `OPTIONS *` is no path, and stands for the root. `None`: it would be too long, or names a host that the request doesn't
/// say; in `https:///example.com` browsers take the path's beginning for it.
pub fn location(template: &Template, values: &Values<'_>) -> Option<HeaderValue> {
    let names_host = |piece: &Piece| matches!(piece, Piece::Variable(variable) | Piece::Encoded(variable) if *variable == Variable::Host);
    if values.host.is_empty() && template.pieces.iter().any(names_host) {
        return None;
    }
    let path = match values.path {
        b"*" => b"/",
        path => path,
    };
    let text = filled(template, &Values { path, ..*values })?;
    let meant =
        matches!(template.pieces.first(), Some(Piece::Text(text)) if text.starts_with("//"));
    let mut text = text.as_slice();
    while !meant && text.starts_with(b"//") {
        text = text.get(1..).unwrap_or_default();
    }
    let mut url = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(byte) {
            url.push(*byte);
        } else {
            // Writing to memory doesn't fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    HeaderValue::from_maybe_shared(Bytes::from(url)).ok()
}

/// Changes the fields of `message`: some are removed, then some set, then some added.
///
/// A field that would be set to nothing is removed instead, and nothing isn't added, so that `${header:X}` of a field
/// that the request doesn't have leaves no empty one behind. So it is with what can't be a field's value.
///
/// `values` is of the request as it came: for a request that is a copy of it, what one field is set to doesn't depend
/// on what became of another.
pub fn apply(edits: &HeaderEdits, message: &mut Fields, values: &Values<'_>) {
    for name in &edits.remove {
        message.remove(name);
    }
    let value = |template| expand(template, values).filter(|value| !value.is_empty());
    for (name, template) in &edits.set {
        match value(template) {
            Some(value) => message.insert(name.clone(), value),
            None => drop(message.remove(name)),
        }
    }
    for (name, template) in &edits.add {
        if let Some(value) = value(template) {
            message.append(name.clone(), value);
        }
    }
}

fn filled(template: &Template, values: &Values<'_>) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(128);
    let mut pieces = template.pieces.iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Text(piece) => text.extend_from_slice(piece.as_bytes()),
            Piece::Variable(Variable::Query) if values.query.is_none_or(<[u8]>::is_empty) => {
                // A question mark that nothing follows would make another URL.
                let ends = match pieces.peek() {
                    None => true,
                    Some(Piece::Text(next)) => next.starts_with('#'),
                    Some(_) => false,
                };
                if ends && matches!(text.last(), Some(b'?' | b'&')) {
                    text.pop();
                }
            }
            Piece::Variable(variable) => push(variable, values, &mut text),
            Piece::Encoded(variable) => {
                let mut value = Vec::with_capacity(64);
                push(variable, values, &mut value);
                encode(&value, &mut text);
            }
        }
        if text.len() > LONGEST {
            return None;
        }
    }
    Some(text)
}

/// Adds `value` as a parameter of a URL has it (RFC 3986 section 2.3).
fn encode(value: &[u8], text: &mut Vec<u8>) {
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(*byte);
        } else {
            // Writing to memory doesn't fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

fn push(variable: &Variable, values: &Values<'_>, text: &mut Vec<u8>) {
    let shown: &dyn std::fmt::Display = match variable {
        Variable::Port => &values.port,
        Variable::Client => &values.client,
        Variable::Peer => &values.peer,
        Variable::Uri => {
            text.extend_from_slice(values.path);
            if let Some(query) = values.query {
                text.push(b'?');
                text.extend_from_slice(query);
            }
            return;
        }
        Variable::Path => return text.extend_from_slice(values.path),
        Variable::Query => return text.extend_from_slice(values.query.unwrap_or_default()),
        Variable::Header(name) => {
            let value = values.headers.get(name).map(ValueRef::as_bytes);
            return text.extend_from_slice(value.unwrap_or_default());
        }
        Variable::Scheme if values.https => &"https",
        Variable::Scheme => &"http",
        Variable::Host => &values.host,
        Variable::Method => values.method,
        Variable::RequestId => &values.request_id,
        Variable::Listener => &values.listener,
        Variable::Route => &values.route,
        Variable::TlsVersion => &values.tls_version.unwrap_or_default(),
        Variable::TlsCipher => &values.tls_cipher.unwrap_or_default(),
        Variable::Sni => &values.sni.unwrap_or_default(),
    };
    // Writing to memory doesn't fail.
    let _ = write!(text, "{shown}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        serde_json::from_value(text.into()).unwrap()
    }

    /// A request for `path`.
    fn of<T>(
        https: bool,
        path: &[u8],
        query: Option<&[u8]>,
        then: impl FnOnce(&Values<'_>) -> T,
    ) -> T {
        let mut headers = Fields::new();
        headers.append(
            http::HeaderName::from_static("x-a"),
            HeaderValue::from_static("first"),
        );
        headers.append(
            http::HeaderName::from_static("x-a"),
            HeaderValue::from_static("second"),
        );
        then(&Values {
            https,
            host: "shop.example",
            port: 8443,
            path,
            query,
            method: &Method::POST,
            client: IpAddr::from([192, 0, 2, 1]),
            peer: "2001:db8::1".parse().unwrap(),
            request_id: "id-1",
            listener: "web",
            route: "shop",
            tls_version: Some("TLSv1.3"),
            tls_cipher: Some("TLS_AES_128_GCM_SHA256"),
            sni: None,
            headers: &headers,
        })
    }

    fn expanded(text: &str) -> String {
        let value = of(true, b"/a%20b", Some(b"x=1"), |values| {
            expand(&template(text), values)
        });
        value.unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn every_variable_has_its_value() {
        for (text, wanted) in [
            ("as it is", "as it is"),
            ("${scheme}://${host}:${port}", "https://shop.example:8443"),
            ("${path}|${query}|${uri}", "/a%20b|x=1|/a%20b?x=1"),
            ("${method} ${client} ${peer}", "POST 192.0.2.1 2001:db8::1"),
            ("${request_id},${listener},${route}", "id-1,web,shop"),
            (
                "${tls_version}/${tls_cipher}",
                "TLSv1.3/TLS_AES_128_GCM_SHA256",
            ),
            ("<${sni}>", "<>"),
            ("${header:X-A}${header:x-b}", "first"),
        ] {
            assert_eq!(expanded(text), wanted);
        }
        let plain = of(false, b"/a", None, |values| {
            expand(&template("${scheme} ${uri}"), values)
        });
        assert_eq!(plain.unwrap(), "http /a");
    }

    #[test]
    fn what_is_a_parameter_is_encoded() {
        assert_eq!(
            expanded("/login?rd=${scheme|url}%3A%2F%2F${host|url}${uri|url}&x"),
            "/login?rd=https%3A%2F%2Fshop.example%2Fa%2520b%3Fx%3D1&x"
        );
        assert_eq!(expanded("${header:x-a|url}${sni|url}"), "first");
        let sent = of(true, "/é+&=#".as_bytes(), Some(b"a=1&b=%2F"), |values| {
            location(&template("https://a.example/?rd=${uri|url}"), values)
        });
        assert_eq!(
            sent.unwrap(),
            "https://a.example/?rd=%2F%C3%A9%2B%26%3D%23%3Fa%3D1%26b%3D%252F"
        );
    }

    #[test]
    fn no_question_mark_is_left_of_an_empty_query() {
        for query in [None, Some(&b""[..])] {
            for (text, wanted) in [
                ("https://a.example${path}?${query}", "https://a.example/a"),
                ("/b?c=d&${query}", "/b?c=d"),
                ("/b?${query}#f", "/b#f"),
                ("/b?${query}&c", "/b?&c"),
                ("/b?q=${query}", "/b?q="),
            ] {
                let sent = of(true, b"/a", query, |values| {
                    location(&template(text), values)
                });
                assert_eq!(sent.unwrap(), wanted, "{text}");
            }
        }
        assert_eq!(expanded("/b?${query}"), "/b?x=1");
    }

    #[test]
    fn what_grows_too_long_is_nothing() {
        let long = vec![b'x'; LONGEST];
        let value = |text| {
            of(true, b"/", Some(&long), |values| {
                expand(&template(text), values)
            })
        };
        assert_eq!(value("${query}").unwrap().len(), LONGEST);
        assert!(value("${query}x").is_none());
    }

    #[test]
    fn what_cannot_be_a_value_is_nothing() {
        let value = of(true, b"/a\nSet-Cookie: x", None, |values| {
            expand(&template("${path}"), values)
        });
        assert!(value.is_none());
    }

    fn sent_to(text: &str, path: &[u8]) -> String {
        let value = of(true, path, Some(b"x=1"), |values| {
            location(&template(text), values)
        });
        value.unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_location_is_a_url() {
        assert_eq!(
            sent_to("/x${path}", "/é %41\"".as_bytes()),
            "/x/%C3%A9%20%41%22"
        );
    }

    #[test]
    fn a_path_of_a_client_is_never_a_host() {
        assert_eq!(sent_to("${path}", b"//evil.example/x"), "/evil.example/x");
        assert_eq!(sent_to("${uri}", b"///evil.example"), "/evil.example?x=1");
        assert_eq!(sent_to("/${path}", b"/evil.example"), "/evil.example");
        assert_eq!(sent_to("${path}", b"/\\evil.example"), "/%5Cevil.example");
        assert_eq!(sent_to("//cdn.example${path}", b"/x"), "//cdn.example/x");
    }

    #[test]
    fn without_a_host_or_a_path_nobody_is_sent_to_a_made_up_place() {
        let sent_to = |text: &str, host, path| {
            of(true, path, None, |values| {
                location(&template(text), &Values { host, ..*values })
            })
        };
        assert_eq!(
            sent_to("https://${host}${path}", "", b"/evil.example/"),
            None
        );
        assert_eq!(
            sent_to("https://a.example${path}", "", b"/").unwrap(),
            "https://a.example/"
        );
        for text in ["https://${host}${path}", "https://${host}${uri}"] {
            assert_eq!(
                sent_to(text, "a.example", b"*").unwrap(),
                "https://a.example/"
            );
        }
    }

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let field = |name: &'static str, text| (name.parse().unwrap(), template(text));
        let edits = HeaderEdits {
            remove: vec!["x-gone".parse().unwrap(), "x-new".parse().unwrap()],
            set: vec![
                field("x-new", "${route}"),
                field("x-old", "one"),
                field("x-empty", "${sni}"),
            ],
            add: vec![field("x-old", "two"), field("x-nothing", "${header:x-b}")],
        };
        let mut message = Fields::new();
        for (name, value) in [
            ("x-gone", "1"),
            ("x-new", "of the client"),
            ("x-old", "0"),
            ("x-old", "00"),
            ("x-empty", "of the client"),
            ("x-other", "stays"),
        ] {
            message.append(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        of(true, b"/", None, |values| {
            apply(&edits, &mut message, values);
        });
        let lines: Vec<_> = message
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        let mut lines = lines.iter().map(String::as_str).collect::<Vec<_>>();
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["x-new: shop", "x-old: one", "x-old: two", "x-other: stays"]
        );
    }
}
