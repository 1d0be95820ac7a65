//! From http to https: same host, same path, another scheme.

use http::HeaderValue;
use http::request::Parts;

use super::host::{authority, without_port};

/// Where a request is sent on to; `None` if it says no host that could be asked.
pub fn location(request: &Parts, target: &[u8], port: u16) -> Option<HeaderValue> {
    let host = without_port(authority(&request.uri, &request.headers)?);
    if host.is_empty() {
        return None;
    }
    let mut location = Vec::with_capacity(16 + host.len() + target.len());
    location.extend_from_slice(b"https://");
    location.extend_from_slice(host.as_bytes());
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    match target {
        [b'/', ..] => location.extend_from_slice(target),
        // An absolute target (RFC 9112 section 3.2.2), or the asterisk, which is for the server as a whole.
        _ => match request.uri.path_and_query() {
            Some(path) if path.as_str().starts_with('/') => {
                location.extend_from_slice(path.as_str().as_bytes());
            }
            _ => location.push(b'/'),
        },
    }
    HeaderValue::from_bytes(&location).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(uri: &str, host: Option<&str>, port: u16) -> Option<String> {
        let mut request = http::Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let location = location(&parts, uri.as_bytes(), port)?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn host_path_and_query_stay() {
        for (uri, host, port, wanted) in [
            (
                "/a/b?c=d&e",
                "example.com",
                443,
                "https://example.com/a/b?c=d&e",
            ),
            ("/", "example.com:80", 443, "https://example.com/"),
            ("/", "example.com:8080", 8443, "https://example.com:8443/"),
            ("/", "[::1]:8080", 8443, "https://[::1]:8443/"),
            (
                "http://a.example/x?y",
                "b.example",
                443,
                "https://a.example/x?y",
            ),
            (
                "//evil.example/",
                "example.com",
                443,
                "https://example.com//evil.example/",
            ),
            ("*", "example.com", 443, "https://example.com/"),
        ] {
            assert_eq!(to(uri, Some(host), port).as_deref(), Some(wanted), "{uri}");
        }
        assert_eq!(to("/", None, 443), None);
        assert_eq!(to("/", Some(""), 443), None);
    }
}
