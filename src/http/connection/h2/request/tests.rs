use http::Request;
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    header: 1000,
    uri: 200,
    body: 100,
};

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn settled(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<request::Parts, u16> {
    let mut request = parts(method, uri, fields);
    match settle(&mut request, false, &LIMITS) {
        Ok(()) => Ok(request),
        Err((status, _)) => Err(status),
    }
}

fn status(method: &str, uri: &str, fields: &[(&str, &str)]) -> u16 {
    settled(method, uri, fields).err().unwrap_or(200)
}

#[test]
fn the_authority_becomes_the_host_and_the_path_the_target() {
    let request = settled("GET", "http://Example.com:81/a?b", &[]).unwrap();
    assert_eq!(request.uri, "/a?b");
    assert_eq!(request.headers[HOST], "Example.com:81");
    assert_eq!(request.headers.len(), 1);
}

#[test]
fn a_host_may_say_the_same_again_but_nothing_else() {
    for (authority, host) in [
        ("a.test", "A.test"),
        ("a.test:80", "a.test"),
        ("A.test", "a.test:80"),
    ] {
        let same = settled("GET", &format!("http://{authority}/"), &[("host", host)]);
        assert_eq!(same.unwrap().headers[HOST], authority);
    }
    assert_eq!(
        status("GET", "https://a.test:80/", &[("host", "a.test")]),
        400
    );
    assert_eq!(status("GET", "/", &[("host", "a.test")]), 200);
    for hosts in [
        &[("host", "b.test")][..],
        &[("host", "")],
        &[("host", "a.test"), ("host", "a.test")],
        &[("host", "u@a.test")],
    ] {
        assert_eq!(status("GET", "http://a.test/", hosts), 400, "{hosts:?}");
    }
    assert_eq!(status("GET", "/", &[]), 400);
    assert_eq!(status("GET", "http://user@a.test/", &[]), 400);
}

#[test]
fn methods_and_targets_are_held_to_the_rules_of_http_1() {
    assert_eq!(status("CONNECT", "a.test:80", &[]), 405);
    assert_eq!(status("OPTIONS", "*", &[("host", "a.test")]), 200);
    assert_eq!(status("GET", "*", &[("host", "a.test")]), 400);
    assert_eq!(status(&"M".repeat(33), "http://a.test/", &[]), 400);
    assert_eq!(status("GET", "http://a.test/\u{e4}?\u{e4}|{}", &[]), 200);
    let quoted = settled("GET", "http://a.test/\"a\"", &[]).unwrap();
    assert_eq!(quoted.uri, "/%22a%22");
    assert_eq!(status("GET", "http://a.test/a%20b;c=d?e=f[]", &[]), 200);
}

#[test]
fn a_length_above_the_limit_is_refused() {
    let with = |length| status("POST", "http://a.test/", &[("content-length", length)]);
    assert_eq!(with("100"), 200);
    assert_eq!(with("101"), 413);
}

#[test]
fn a_length_of_0_is_believed_when_the_request_has_ended() {
    let length = |bodiless| {
        let mut request = parts("POST", "http://a.test/", &[("content-length", "0")]);
        settle(&mut request, bodiless, &LIMITS).unwrap();
        request.headers.get(CONTENT_LENGTH).cloned()
    };
    assert_eq!(length(true).unwrap(), "0");
    assert_eq!(length(false), None);
}

#[test]
fn unknown_expectations_are_refused() {
    for (name, value, refused) in [("expect", "200-ok", 417), ("expect", "100-Continue", 200)] {
        assert_eq!(
            status("GET", "http://a.test/", &[(name, value)]),
            refused,
            "{name}"
        );
    }
    let twice = [("expect", "100-continue"), ("expect", "100-continue")];
    assert_eq!(status("GET", "http://a.test/", &twice), 417);
    assert_eq!(status("get", "http://a.test/", &[]), 400);
    let mut request = parts("GET", "http://a.test/", &[("expect", "100-continue")]);
    settle(&mut request, true, &LIMITS).unwrap();
    assert!(
        !request.headers.contains_key(EXPECT),
        "nothing is to be continued"
    );
}

#[test]
fn crumbs_are_one_cookie_again_in_their_order() {
    let crumbs = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3")];
    let request = settled("GET", "http://a.test/", &crumbs).unwrap();
    let cookies: Vec<_> = request.headers.get_all(COOKIE).iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

proptest! {
    /// Whatever passes has one host, one length at most, one cookie at most and a target that begins with a slash.
    #[test]
    fn what_passes_is_one_message(
        path in "/[ -~]{0,12}", fields in prop::collection::vec(
            (prop::sample::select(vec!["host", "cookie", "content-length", "x"]), "[ -~]{0,6}"), 0..6),
    ) {
        let Ok(uri) = format!("http://a.test{path}").parse::<Uri>() else { return Ok(()) };
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        if let Ok(request) = settled("POST", &uri.to_string(), &fields) {
            prop_assert_eq!(request.headers.get_all(HOST).iter().count(), 1);
            prop_assert!(request.headers.get_all(COOKIE).iter().count() <= 1);
            let target = request.uri.to_string();
            prop_assert!(target.starts_with('/') && !target.contains([' ', '#']), "{}", target);
        }
    }
}
