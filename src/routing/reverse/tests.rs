use super::*;
use crate::headers::Fields;

/// As from `path_prefix: /api`, `rewrite: {prefix: …, host: api.internal}`.
fn rewrite(prefix: &str) -> Rewrite {
    Rewrite {
        path: Some(PathRewrite::Prefix(prefix.into())),
        host: Some(HeaderValue::from_static("api.internal")),
    }
}

fn reverse(rewrite: &Rewrite) -> Reverse<'_> {
    Reverse {
        rewrite,
        original_prefix: b"/api",
        https: true,
        client_authority: "example.com:8443",
        server_authorities: ["api.internal", "10.0.0.1:8080"],
    }
}

fn place(reverse: &Reverse<'_>, value: &'static str) -> String {
    let mut response = Fields::new();
    response.append(LOCATION, HeaderValue::from_static(value));
    reverse.map(&mut response);
    response[LOCATION].to_str().unwrap().to_owned()
}

fn cookie(reverse: &Reverse<'_>, line: &'static str) -> String {
    let mut response = Fields::new();
    response.append(SET_COOKIE, HeaderValue::from_static(line));
    reverse.map(&mut response);
    response[SET_COOKIE].to_str().unwrap().to_owned()
}

#[test]
fn places_below_the_prefix_are_mapped_back() {
    let rewrite = rewrite("/v1");
    let reverse = reverse(&rewrite);
    for (value, wanted) in [
        ("/v1/x?a=/v1", "/api/x?a=/v1"),
        ("/v1", "/api"),
        ("/v1?x", "/api?x"),
        ("/v1;s=1", "/api;s=1"),
        ("/%76%31/x", "/api/x"),
        ("/v1x", "/v1x"),
        ("/other", "/other"),
        ("x/y", "x/y"),
        ("", ""),
        ("http://api.internal/v1/x", "https://example.com:8443/api/x"),
        ("HTTP://API.internal:80/v1", "https://example.com:8443/api"),
        (
            "http://10.0.0.1:8080/v1/#f",
            "https://example.com:8443/api/#f",
        ),
        ("https://api.internal", "https://example.com:8443"),
        ("//api.internal/v1/x", "//example.com:8443/api/x"),
        (
            "http://api.internal/other",
            "https://example.com:8443/other",
        ),
        // It was told this name, and chose the scheme.
        (
            "http://example.com:8443/v1/x",
            "http://example.com:8443/api/x",
        ),
        // Other places.
        ("http://api.internal:81/v1/x", "http://api.internal:81/v1/x"),
        ("https://10.0.0.1/v1/x", "https://10.0.0.1/v1/x"),
        ("http://user@api.internal/v1", "http://user@api.internal/v1"),
        (
            "http://elsewhere.example/v1/x",
            "http://elsewhere.example/v1/x",
        ),
        ("mailto:a@api.internal", "mailto:a@api.internal"),
    ] {
        assert_eq!(place(&reverse, value), wanted);
    }
}

#[test]
fn content_location_is_mapped_too() {
    let rewrite = rewrite("/v1");
    let mut response = Fields::new();
    response.append(CONTENT_LOCATION, HeaderValue::from_static("/v1/x"));
    reverse(&rewrite).map(&mut response);
    assert_eq!(response[CONTENT_LOCATION], "/api/x");
}

#[test]
fn the_root_on_either_side_is_mapped() {
    let rewrite = rewrite("");
    let of_root = reverse(&rewrite);
    assert_eq!(place(&of_root, "/x"), "/api/x");
    assert_eq!(place(&of_root, "/"), "/api/");
    let rewrite = self::rewrite("/app");
    let to_root = Reverse {
        original_prefix: b"",
        ..reverse(&rewrite)
    };
    assert_eq!(place(&to_root, "/app/x"), "/x");
    assert_eq!(place(&to_root, "/app"), "/");
    assert_eq!(place(&to_root, "/app?x"), "/?x");
}

#[test]
fn a_whole_path_is_mapped_alone() {
    let rewrite = rewrite("/");
    let reverse = Reverse {
        original_prefix: b"/start",
        ..reverse(&rewrite)
    };
    assert_eq!(place(&reverse, "/"), "/start");
    assert_eq!(place(&reverse, "/x"), "/x");
}

#[test]
fn a_host_alone_is_mapped_without_the_path() {
    let rewrite = Rewrite {
        path: None,
        host: Some(HeaderValue::from_static("api.internal")),
    };
    let reverse = Reverse {
        https: false,
        client_authority: "[::1]:81",
        ..reverse(&rewrite)
    };
    assert_eq!(
        place(&reverse, "https://api.internal/v1"),
        "http://[::1]:81/v1"
    );
    assert_eq!(place(&reverse, "/v1"), "/v1");
}

#[test]
fn a_client_that_named_no_host_gets_a_path() {
    let rewrite = rewrite("/v1");
    let reverse = Reverse {
        client_authority: "",
        ..reverse(&rewrite)
    };
    assert_eq!(place(&reverse, "http://api.internal/v1/x"), "/api/x");
    assert_eq!(
        cookie(&reverse, "a=b; Domain=api.internal"),
        "a=b; Domain=api.internal"
    );
}

#[test]
fn nothing_is_mapped_where_nothing_was_rewritten() {
    let rewrite = Rewrite::default();
    assert_eq!(
        place(&reverse(&rewrite), "http://10.0.0.1:8080/v1"),
        "http://10.0.0.1:8080/v1"
    );
}

#[test]
fn cookies_keep_to_the_clients_path_and_host() {
    let rewrite = rewrite("/v1");
    let reverse = reverse(&rewrite);
    for (line, wanted) in [
        ("a=b; Path=/v1", "a=b; Path=/api"),
        ("a=b; path = /v1/x ;HttpOnly", "a=b; path =/api/x;HttpOnly"),
        ("a=b; Path=/", "a=b; Path=/"),
        ("a=b; Path=/v1x", "a=b; Path=/v1x"),
        (
            "a=b; Domain=.API.internal; Secure",
            "a=b; Domain=example.com; Secure",
        ),
        ("a=b; Domain=10.0.0.1", "a=b; Domain=example.com"),
        ("a=b; Domain=internal", "a=b; Domain=internal"),
        ("path=/v1; domain=", "path=/v1; domain="),
        ("a=b", "a=b"),
        ("", ""),
    ] {
        assert_eq!(cookie(&reverse, line), wanted);
    }
}

#[test]
fn a_cookie_of_the_whole_site_is_one_of_the_whole_prefix() {
    let of_root = rewrite("");
    assert_eq!(cookie(&reverse(&of_root), "a=b; Path=/"), "a=b; Path=/api");
    assert_eq!(
        cookie(&reverse(&of_root), "a=b; Path=/x"),
        "a=b; Path=/api/x"
    );
    let rewrite = rewrite("/app");
    let to_root = Reverse {
        original_prefix: b"",
        ..reverse(&rewrite)
    };
    assert_eq!(cookie(&to_root, "a=b; Path=/app"), "a=b; Path=/");
    assert_eq!(cookie(&to_root, "a=b; Path=/app/x"), "a=b; Path=/x");
}

#[test]
fn other_lines_stay_in_their_places() {
    let rewrite = rewrite("/v1");
    let mut response = Fields::new();
    for line in ["a=1; Path=/x", "b=2; Path=/v1", "c=3"] {
        response.append(SET_COOKIE, HeaderValue::from_static(line));
    }
    reverse(&rewrite).map(&mut response);
    let lines: Vec<_> = response.get_all(SET_COOKIE).iter().collect();
    assert_eq!(lines, ["a=1; Path=/x", "b=2; Path=/api", "c=3"]);
}
