//! `Connection` options of a request (RFC 9110 section 7.6.1).
//!
//! A client may name fields there that concern this hop only, and a proxy drops them. Fields that the
//! servers rely on are not a client's to name: who could have `X-Forwarded-For` or `Authorization`
//! dropped on the way could pass for somebody else.

use http::{HeaderMap, HeaderValue, header};

/// The `Connection` field without the names that aren't the client's to name. `None`: it is fine as it is.
pub fn without_protected(request: &HeaderMap) -> Option<Vec<HeaderValue>> {
    let lines = request.get_all(header::CONNECTION);
    if lines
        .iter()
        .all(|line| options(line).all(|option| is_plain(option) || !is_protected(option)))
    {
        return None;
    }
    Some(
        lines
            .iter()
            .filter_map(|line| {
                let kept: Vec<&[u8]> = options(line).filter(|o| !is_protected(o)).collect();
                HeaderValue::from_bytes(&kept.join(&b", "[..])).ok()
            })
            .filter(|line| !line.is_empty())
            .collect(),
    )
}

/// Whether the request asks for a WebSocket (RFC 6455 section 4.2.1).
pub fn wants_websocket(request: &HeaderMap) -> bool {
    request
        .get_all(header::UPGRADE)
        .iter()
        .flat_map(options)
        .any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// The protocols besides WebSocket that the request asks to switch to, if a tunnel will do for them: they are asked for in
/// `Connection`, too, and there is no body before the switch. None of those that HTTP itself continues in: behind `h2c`
/// whole requests would pass unseen, and TLS isn't ours to begin in the middle (RFC 9110 section 7.8).
pub fn other_protocols(request: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = request.get_all(header::UPGRADE).iter();
    let (line, None) = (lines.next()?, lines.next()) else {
        return None;
    };
    let is_asked_for = request
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(options)
        .any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    let has_body = request.contains_key(header::TRANSFER_ENCODING)
        || request
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0");
    let is_http = |protocol: &[u8]| {
        let name = protocol.split(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default().trim_ascii();
        [
            &b"h2c"[..],
            b"h2",
            b"h3",
            b"http",
            b"https",
            b"tls",
            b"websocket",
        ]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    };
    (is_asked_for && !has_body && !options(line).any(is_http)).then_some(line)
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
    const PROTECTED: [&[u8]; 12] = [
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

    fn cleaned(lines: &[&str]) -> Option<Vec<String>> {
        let mut request = HeaderMap::new();
        for line in lines {
            request.append(header::CONNECTION, HeaderValue::from_str(line).unwrap());
        }
        without_protected(&request).map(|lines| {
            lines
                .iter()
                .map(|line| line.to_str().unwrap().to_owned())
                .collect()
        })
    }

    #[test]
    fn other_protocols_are_those_that_a_tunnel_will_do_for() {
        let asks = |fields: &[(&str, &str)]| {
            let mut request = HeaderMap::new();
            for (name, value) in fields {
                let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
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
    fn ordinary_options_are_left_alone() {
        assert_eq!(cleaned(&[]), None);
        assert_eq!(cleaned(&["keep-alive"]), None);
        assert_eq!(cleaned(&["Upgrade, X-Mine"]), None);
    }

    #[test]
    fn what_servers_rely_on_is_not_the_clients_to_name() {
        assert_eq!(
            cleaned(&["X-Forwarded-For, keep-alive, X-Mine"]),
            Some(vec!["keep-alive, X-Mine".to_owned()])
        );
        assert_eq!(
            cleaned(&["host", "COOKIE, close"]),
            Some(vec!["close".to_owned()])
        );
        assert_eq!(cleaned(&["authorization"]), Some(vec![]));
    }
}
