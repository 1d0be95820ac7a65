//! The host that a request is for.

use http::HeaderValue;

use crate::config::model::ServerAddress;
use crate::headers::Fields;
use crate::headers::names;
use crate::http::wire::authority::absolute_authority;

/// Host and port as the client wrote them: of the target, if it names one (RFC 9112 section 3.2.2), else of the Host
/// field.
pub fn authority<'a>(target: &'a [u8], headers: &'a Fields) -> Option<&'a str> {
    match absolute_authority(target) {
        Some(authority) => str::from_utf8(authority).ok(),
        None => headers.get(names::HOST)?.to_str().ok(),
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

/// The Host for a server whose client has named none, as HTTP/1.0 allows and HTTP/1.1 doesn't (RFC 9112 section 3.2): the
/// server's own address, as nginx has it.
pub fn of_server(address: &ServerAddress) -> HeaderValue {
    let text = match address {
        ServerAddress::Unix(_) => return HeaderValue::from_static("localhost"),
        other => other.to_string(),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("localhost"))
}

/// Whether a request is for the host that TLS was set up for.
pub fn agrees(sni: Option<&str>, target: &[u8], headers: &Fields) -> bool {
    match (sni, authority(target, headers)) {
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
        let agrees = |sni, target: &str, host: Option<&str>| {
            let mut headers = Fields::new();
            headers.extend(host.map(|host| (names::HOST.into(), host.parse().unwrap())));
            super::agrees(sni, target.as_bytes(), &headers)
        };
        let sni = Some("a.example");
        assert!(agrees(sni, "/", Some("A.example:443")));
        assert!(!agrees(sni, "/", Some("b.example")));
        assert!(!agrees(None, "/", Some("b.example")));
        assert!(!agrees(sni, "/", None));
        assert!(agrees(sni, "http://a.example/x", Some("b.example")));
        assert!(agrees(sni, "https://a.example:1?x", None));
        assert!(!agrees(sni, "/http://a.example/", Some("b.example")));
    }

    #[test]
    fn a_server_without_a_host_of_its_own_has_one_nevertheless() {
        let name = ServerAddress::Name("app.internal".into(), 8080);
        assert_eq!(of_server(&name), "app.internal:8080");
        assert_eq!(
            of_server(&ServerAddress::Unix("/run/a".into())),
            "localhost"
        );
    }
}
