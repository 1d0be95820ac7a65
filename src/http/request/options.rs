//! `Connection` options of a request (RFC 9110 section 7.6.1), and what `Upgrade` comes to.
//!
//! A client may name fields there that concern this hop only, and a proxy drops them. Fields that the
//! servers rely on are not a client's to name: who could have `X-Forwarded-For` or `Authorization`
//! dropped on the way could pass for somebody else.

use http::{HeaderName, HeaderValue};

use crate::headers::names;
use crate::headers::{Fields, ValueRef, is_token};

/// Drops what concerns the client's hop alone: the fields that `Connection` names, as far as they are a client's to name,
/// and both that field and `Upgrade`, unless they ask for a WebSocket, or another protocol that a tunnel will do for, and
/// may (`may_upgrade`). To h2c, say, a server would speak past us (RFC 9110 section 7.8).
pub fn settle(request: &mut Fields, may_upgrade: bool) {
    let headers = &*request;
    let upgrade = headers.contains_key(names::UPGRADE);
    if !upgrade && !headers.contains_key(names::CONNECTION) {
        return;
    }
    let asks = |option: &[u8]| option.eq_ignore_ascii_case(b"upgrade");
    let asks_to = may_upgrade && connection_options(headers).any(asks);
    let is_websocket = asks_to && wants_websocket(headers);
    let other = other_protocols(headers).filter(|_| asks_to);
    let other = other.map(ValueRef::to_value);
    let named: Vec<HeaderName> = connection_options(headers)
        .filter(|option| !is_plain(option) && !asks(option) && !is_protected(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect();
    for name in &named {
        request.remove(name);
    }
    if is_websocket {
        request.insert(names::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.insert(names::UPGRADE, HeaderValue::from_static("websocket"));
    } else if let Some(protocols) = other {
        request.insert(names::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.insert(names::UPGRADE, protocols);
    } else {
        request.remove(&names::CONNECTION);
        request.remove(&names::UPGRADE);
    }
}

/// Whether the request asks for a WebSocket (RFC 6455 section 4.2.1).
pub fn wants_websocket(request: &Fields) -> bool {
    request
        .get_all(names::UPGRADE)
        .iter()
        .flat_map(options)
        .any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// The protocols besides WebSocket that the request asks to switch to, if a tunnel will do for them: they are asked for in
/// `Connection`, too, and there is no body before the switch. None of those that HTTP itself continues in: behind `h2c`
/// whole requests would pass unseen, and TLS isn't ours to begin in the middle (RFC 9110 section 7.8).
pub fn other_protocols(request: &Fields) -> Option<ValueRef<'_>> {
    let mut lines = request.get_all(names::UPGRADE).iter();
    let (line, None) = (lines.next()?, lines.next()) else {
        return None;
    };
    let is_asked_for = request
        .get_all(names::CONNECTION)
        .iter()
        .flat_map(options)
        .any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    let has_body = request.contains_key(names::TRANSFER_ENCODING)
        || request
            .get(names::CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0");
    let is_another = |protocol: &[u8]| {
        const HTTP: [&[u8]; 7] = [
            b"h2c",
            b"h2",
            b"h3",
            b"http",
            b"https",
            b"tls",
            b"websocket",
        ];
        let mut parts = protocol.splitn(2, |byte| *byte == b'/');
        let name = parts.next().unwrap_or_default();
        // A name that isn't one may be taken for one of these.
        is_token(name)
            && parts.next().is_none_or(is_token)
            && !HTTP.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let mut protocols = options(line).peekable();
    let is_tunnel = protocols.peek().is_some() && protocols.all(is_another);
    (is_asked_for && !has_body && is_tunnel).then_some(line)
}

fn connection_options(request: &Fields) -> impl Iterator<Item = &[u8]> {
    let lines = request.get_all(names::CONNECTION).iter();
    lines.flat_map(options)
}

fn options(line: ValueRef<'_>) -> impl Iterator<Item = &[u8]> + use<'_> {
    line.as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty())
}

/// What nearly every request has.
fn is_plain(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
}

fn is_protected(option: &[u8]) -> bool {
    const PROTECTED: [&[u8]; 19] = [
        b"host",
        b"cookie",
        b"authorization",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-request-id",
        b"expect",
        // Of one hop, whether named or not: they go when the request departs, and gRPC asks for `TE` once more.
        b"te",
        b"trailer",
        b"keep-alive",
        b"transfer-encoding",
        b"proxy-authorization",
        b"proxy-connection",
        b"traceparent",
        b"tracestate",
    ];
    const PREFIX: &[u8] = b"x-forwarded-";
    PROTECTED
        .iter()
        .any(|name| option.eq_ignore_ascii_case(name))
        || option
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(fields: &[(&'static str, &'static str)], may_upgrade: bool) -> Vec<String> {
        let mut request = Fields::new();
        for (name, value) in fields {
            let value = HeaderValue::from_static(value);
            request.append(HeaderName::from_static(name), value);
        }
        settle(&mut request, may_upgrade);
        let mut lines: Vec<_> = request
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn other_protocols_are_those_that_a_tunnel_will_do_for() {
        let asks = |fields: &[(&str, &str)]| {
            let mut request = Fields::new();
            for (name, value) in fields {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                request.append(name, HeaderValue::from_str(value).unwrap());
            }
            other_protocols(&request).is_some()
        };
        let connection = ("connection", "keep-alive, Upgrade");
        assert!(asks(&[connection, ("upgrade", "irc/6.9, x")]));
        assert!(asks(&[
            connection,
            ("upgrade", "SPDY/3.1"),
            ("content-length", "0")
        ]));
        assert!(!asks(&[connection]));
        assert!(!asks(&[("upgrade", "irc")]));
        for protocol in [
            "h2c",
            "x, H2C",
            "HTTP/2.0",
            "TLS/1.0",
            "websocket",
            "irc,websocket",
        ] {
            assert!(!asks(&[connection, ("upgrade", protocol)]), "{protocol}");
        }
        assert!(!asks(&[connection, ("upgrade", "irc"), ("upgrade", "h2c")]));
        assert!(!asks(&[
            connection,
            ("upgrade", "irc"),
            ("content-length", "1")
        ]));
        assert!(!asks(&[
            connection,
            ("upgrade", "irc"),
            ("transfer-encoding", "chunked")
        ]));
    }

    #[test]
    fn named_fields_are_dropped_with_what_names_them() {
        let none: [&str; 0] = [];
        assert_eq!(settled(&[("x", "y")], true), ["x: y"]);
        assert_eq!(settled(&[("connection", "keep-alive")], true), none);
        assert_eq!(
            settled(
                &[
                    ("connection", "X-Mine, close"),
                    ("connection", "z"),
                    ("x-mine", "1"),
                    ("x-mine", "2"),
                    ("z", "3"),
                    ("a", "b")
                ],
                true
            ),
            ["a: b"]
        );
    }

    #[test]
    fn what_servers_rely_on_is_not_the_clients_to_name() {
        for name in [
            "x-forwarded-for",
            "x-forwarded-anything",
            "host",
            "cookie",
            "authorization",
            "content-length",
            "transfer-encoding",
            "te",
        ] {
            let fields = [("connection", name), (name, "v")];
            assert_eq!(settled(&fields, true), [format!("{name}: v")]);
        }
        assert_eq!(
            settled(
                &[("connection", "COOKIE, X"), ("cookie", "v"), ("x", "y")],
                true
            ),
            ["cookie: v"]
        );
    }

    #[test]
    fn an_upgrade_is_to_websocket_or_what_a_tunnel_will_do_for() {
        let websocket = ["connection: Upgrade", "upgrade: websocket"];
        for (connection, upgrade) in [
            ("Upgrade", "websocket"),
            ("keep-alive, upgrade", "WebSocket"),
            ("UPGRADE", "h2c, websocket"),
        ] {
            let fields = [("connection", connection), ("upgrade", upgrade)];
            assert_eq!(settled(&fields, true), websocket);
            assert!(settled(&fields, false).is_empty());
        }
        for (connection, upgrade) in [
            ("Upgrade", "h2c"),
            ("Upgrade", "TLS/1.0"),
            ("Upgrade", ""),
            ("Upgrade", "h2c;q=1"),
            ("Upgrade", "h2c x"),
            ("Upgrade", "\"h2c\""),
            ("Upgrade", "irc, h2c"),
            ("Upgrade", "irc/"),
            ("keep-alive", "websocket"),
            ("upgrades", "websocket"),
        ] {
            let fields = [("connection", connection), ("upgrade", upgrade)];
            assert!(settled(&fields, true).is_empty(), "{fields:?}");
        }
        let other = [("connection", "Upgrade"), ("upgrade", "irc/6.9")];
        assert_eq!(
            settled(&other, true),
            ["connection: Upgrade", "upgrade: irc/6.9"]
        );
        assert!(settled(&other, false).is_empty());
        assert!(settled(&[("upgrade", "websocket")], true).is_empty());
        assert!(settled(&[("connection", "upgrade")], true).is_empty());
    }
}
