//! `Connection` options of a request (RFC 9110 section 7.6.1), and what `Upgrade` comes to.
//!
//! A client may name fields there that concern this hop only, and a proxy drops them. Fields that the
//! servers rely on are not a client's to name: who could have `X-Forwarded-For` or `Authorization`
//! dropped on the way could pass for somebody else.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::headers::HeadersMut;

/// Drops what concerns the client's hop alone: the fields that `Connection` names, as far as they are a client's to name,
/// and both that field and `Upgrade`, unless they ask for a WebSocket and may (`may_upgrade`). A server is never asked for
/// another protocol: to h2c, say, it would speak past us (RFC 9110 section 7.8).
pub fn settle(request: &mut impl HeadersMut, may_upgrade: bool) {
    let headers = request.headers();
    let upgrade = headers.contains_key(header::UPGRADE);
    if !upgrade && !headers.contains_key(header::CONNECTION) {
        return;
    }
    let asks = |option: &[u8]| option.eq_ignore_ascii_case(b"upgrade");
    let is_websocket =
        may_upgrade && wants_websocket(headers) && connection_options(headers).any(asks);
    let named: Vec<HeaderName> = connection_options(headers)
        .filter(|option| !is_plain(option) && !asks(option) && !is_protected(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect();
    for name in &named {
        request.remove(name);
    }
    if is_websocket {
        request.set(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.set(header::UPGRADE, HeaderValue::from_static("websocket"));
    } else {
        request.remove(&header::CONNECTION);
        request.remove(&header::UPGRADE);
    }
}

/// Whether the request asks for a WebSocket (RFC 6455 section 4.2.1).
pub fn wants_websocket(request: &HeaderMap) -> bool {
    request
        .get_all(header::UPGRADE)
        .iter()
        .flat_map(options)
        .any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

fn connection_options(request: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = request.get_all(header::CONNECTION).iter();
    lines.flat_map(options)
}

fn options(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
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
        // Of one hop, whether named or not: Pingora sees to them, and gRPC asks for `TE` once more.
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
        let mut request = HeaderMap::new();
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
    fn an_upgrade_is_to_websocket_or_none() {
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
            ("Upgrade", "websockets"),
            ("Upgrade", ""),
            ("keep-alive", "websocket"),
            ("upgrades", "websocket"),
        ] {
            let fields = [("connection", connection), ("upgrade", upgrade)];
            assert!(settled(&fields, true).is_empty(), "{fields:?}");
        }
        assert!(settled(&[("upgrade", "websocket")], true).is_empty());
        assert!(settled(&[("connection", "upgrade")], true).is_empty());
    }
}
