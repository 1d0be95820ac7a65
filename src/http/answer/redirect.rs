//! From http to https: same host, same path, another scheme.

use std::io::Write as _;

use http::HeaderValue;

use crate::headers::Fields;
use crate::http::request::host::{authority, without_port};
use crate::http::wire::authority::absolute_authority;

/// Where a request is sent on to; `None` if it says no host that could be asked.
pub fn location(target: &[u8], headers: &Fields, port: u16) -> Option<HeaderValue> {
    let host = without_port(authority(target, headers)?);
    if host.is_empty() {
        return None;
    }
    let mut location = Vec::with_capacity(16 + host.len() + target.len());
    location.extend_from_slice(b"https://");
    location.extend_from_slice(host.as_bytes());
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    let path = match absolute_authority(target) {
        // What follows the authority, which is a part of the target.
        Some(authority) => {
            let start = target.windows(3).position(|window| window == b"://")?;
            target.get(start + 3 + authority.len()..)?
        }
        None => target,
    };
    if path.first() != Some(&b'/') {
        location.push(b'/');
    }
    // The asterisk is for the server as a whole, and no path.
    if path != b"*" {
        for byte in path {
            if byte.is_ascii() {
                location.push(*byte);
            } else {
                // Writing to memory doesn't fail.
                let _ = write!(location, "%{byte:02X}");
            }
        }
    }
    HeaderValue::from_bytes(&location).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(target: &str, host: Option<&str>, port: u16) -> Option<String> {
        let mut headers = Fields::new();
        headers.extend(host.map(|host| (http::header::HOST, host.parse().unwrap())));
        let location = location(target.as_bytes(), &headers, port)?;
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
