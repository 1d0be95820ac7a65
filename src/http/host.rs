//! The host that a request is for.

use http::request::Parts;
use http::{HeaderMap, Uri, header};

/// Host and port as the client wrote them: of the target, if it names one (RFC 9112 section 3.2.2, RFC 9113 section
/// 8.3.1), else of the Host field.
pub fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

/// The host alone, an IPv6 address with its brackets, without the dot that a full name may end in.
pub fn without_port(authority: &str) -> &str {
    let host = match authority.rfind(']') {
        Some(end) => authority.get(..=end).unwrap_or(authority),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether a request is for the host that TLS was set up for.
pub fn agrees(sni: Option<&str>, request: &Parts) -> bool {
    match (sni, authority(&request.uri, &request.headers)) {
        (Some(sni), Some(authority)) => without_port(authority).eq_ignore_ascii_case(sni),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_dots_are_no_part_of_a_host() {
        for (authority, host) in [
            ("example.com", "example.com"),
            ("example.com:8443", "example.com"),
            ("example.com.:8443", "example.com"),
            ("[::1]:8443", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(authority), host);
        }
    }

    #[test]
    fn case_does_not_matter_and_the_targets_host_counts_first() {
        let request = |uri: &str, host: Option<&str>| {
            let mut request = http::Request::builder().uri(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            request.body(()).unwrap().into_parts().0
        };
        assert!(agrees(
            Some("a.example"),
            &request("/", Some("A.example:443"))
        ));
        assert!(!agrees(Some("a.example"), &request("/", Some("b.example"))));
        assert!(!agrees(None, &request("/", Some("b.example"))));
        assert!(!agrees(Some("a.example"), &request("/", None)));
        assert!(agrees(
            Some("a.example"),
            &request("http://a.example/x", Some("b.example"))
        ));
    }
}
