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
