//! Mapping answers back: a cookie keeps its name and value, and a place of the server's becomes one of the client's.
//!
//! The first line is a Location, the others are cookies.

use equipoise::config::model::{PathRewrite, Rewrite};
use equipoise::headers::Fields;
use equipoise::routing::Reverse;
use http::HeaderValue;
use http::header::{LOCATION, SET_COOKIE};

/// One input.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut response = Fields::new();
    if let Some(Ok(value)) = lines.next().map(HeaderValue::from_bytes) {
        response.append(LOCATION, value);
    }
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            response.append(SET_COOKIE, value);
        }
    }
    for (prefix, original_prefix) in [("/v1", &b"/api"[..]), ("", b"/api"), ("/v1", b"")] {
        let rewrite = Rewrite {
            path: Some(PathRewrite::Prefix(prefix.to_owned())),
            host: None,
        };
        let reverse = Reverse {
            rewrite: &rewrite,
            original_prefix,
            https: true,
            client_authority: "a.test",
            server_authorities: ["inside.test", "10.0.0.1:8080"],
        };
        let mut mapped = response.clone();
        reverse.map(&mut mapped);
        assert_eq!(mapped.len(), response.len());
        let cookies = |map: &Fields| -> Vec<Vec<u8>> {
            let lines = map.get_all(SET_COOKIE).iter();
            let pairs = lines.map(|line| line.as_bytes().split(|byte| *byte == b';').next());
            pairs
                .map(|pair| pair.unwrap_or_default().to_vec())
                .collect()
        };
        assert_eq!(cookies(&mapped), cookies(&response));
        if let Some(place) = mapped.get(LOCATION) {
            let place = place.as_bytes().to_ascii_lowercase();
            let leaks = [&b"http://10.0.0.1:8080/"[..], b"http://inside.test/"];
            assert!(!leaks.iter().any(|leak| place.starts_with(leak)));
        }
    }
}
