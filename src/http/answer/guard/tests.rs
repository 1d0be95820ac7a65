use http::{Method, Version};
use proptest::prelude::*;

use super::*;
use crate::http::wire::response_framing::{MAX_FIELDS, MAX_SIZE};

fn map(fields: &[(&str, &str)]) -> Fields {
    let mut map = Fields::new();
    for (name, value) in fields {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    map
}

fn check(
    version: Version,
    status: StatusCode,
    headers: &Fields,
    wanted: Option<&Fields>,
) -> Result<(), &'static str> {
    let response = ResponseHeader::new(status, version, headers.clone());
    response_framing::of(&Method::GET, &response, wanted).map(drop)
}

fn checked(status: u16, fields: &[(&str, &str)]) -> Result<(), &'static str> {
    let status = StatusCode::from_u16(status).unwrap();
    check(Version::HTTP_11, status, &map(fields), None)
}

fn cleaned(status: u16, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut headers = map(fields);
    clean(StatusCode::from_u16(status).unwrap(), &mut headers);
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn ordinary_responses_pass() {
    for fields in [
        &[][..],
        &[("content-length", "0")],
        &[("content-length", "9223372036854775807")],
        &[("transfer-encoding", "Chunked")],
        &[("connection", "close"), ("x", "a\tb")],
    ] {
        assert_eq!(checked(200, fields), Ok(()), "{fields:?}");
    }
    for status in [100, 103, 204, 304, 404, 599] {
        assert_eq!(checked(status, &[]), Ok(()), "{status}");
    }
}

#[test]
fn a_length_is_one_number() {
    for lines in [
        &["1", "1"][..],
        &["1", "2"],
        &["1, 1"],
        &["+1"],
        &["-1"],
        &["0x1"],
        &["1 1"],
        &["1.0"],
        &[""],
        &["9223372036854775808"],
        &["99999999999999999999999"],
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("content-length", *line)).collect();
        assert!(checked(200, &fields).is_err(), "{lines:?}");
    }
}

#[test]
fn chunked_is_the_only_coding_and_stands_alone() {
    for lines in [
        &["gzip"][..],
        &["gzip, chunked"],
        &["chunked, gzip"],
        &["chunked, chunked"],
        &["chunked", "chunked"],
        &["identity"],
        &["xchunked"],
        &["chunked;q=1"],
        &["\"chunked\""],
        &[""],
    ] {
        let fields: Vec<_> = lines
            .iter()
            .map(|line| ("transfer-encoding", *line))
            .collect();
        assert!(checked(200, &fields).is_err(), "{lines:?}");
    }
    let both = [("transfer-encoding", "chunked"), ("content-length", "1")];
    assert!(checked(200, &both).is_err());
    for version in [Version::HTTP_10, Version::HTTP_2] {
        let coded = map(&[("transfer-encoding", "chunked")]);
        assert!(check(version, StatusCode::OK, &coded, None).is_err());
    }
}

#[test]
fn statuses_and_versions_are_those_that_exist() {
    for status in [600, 999] {
        assert!(checked(status, &[]).is_err(), "{status}");
    }
    for version in [Version::HTTP_09, Version::HTTP_3] {
        assert!(check(version, StatusCode::OK, &Fields::new(), None).is_err());
    }
}

#[test]
fn a_header_section_has_its_limits() {
    let many: Fields = (0..=MAX_FIELDS)
        .map(|n| {
            (
                HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap(),
                HeaderValue::from_static("1"),
            )
        })
        .collect();
    assert!(check(Version::HTTP_11, StatusCode::OK, &many, None).is_err());
    assert!(checked(200, &[("x", &"a".repeat(MAX_SIZE - 1))]).is_ok());
    assert!(checked(200, &[("x", &"a".repeat(MAX_SIZE))]).is_err());
}

#[test]
fn an_interim_response_has_no_body() {
    assert_eq!(checked(103, &[("content-length", "0")]), Ok(()));
    assert!(checked(103, &[("content-length", "5")]).is_err());
    assert!(checked(100, &[("transfer-encoding", "chunked")]).is_err());
}

#[test]
fn a_switch_of_protocols_is_to_one_that_was_asked_for() {
    let asked = map(&[("upgrade", "h2c, WebSocket")]);
    let switch = |version, fields: &[(&str, &str)], asked| {
        check(
            version,
            StatusCode::SWITCHING_PROTOCOLS,
            &map(fields),
            asked,
        )
    };
    let websocket = [("upgrade", "websocket"), ("connection", "upgrade")];
    let now = Version::HTTP_11;
    assert_eq!(switch(now, &websocket, Some(&asked)), Ok(()));
    assert!(switch(now, &websocket, None).is_err());
    assert!(switch(Version::HTTP_10, &websocket, Some(&asked)).is_err());
    for fields in [
        &[][..],
        &[("upgrade", "")],
        &[("upgrade", "tls/1.0")],
        &[("upgrade", "websocket, tls/1.0")],
        &[("upgrade", "websocket"), ("content-length", "3")],
        &[("upgrade", "websocket"), ("transfer-encoding", "chunked")],
    ] {
        assert!(switch(now, fields, Some(&asked)).is_err(), "{fields:?}");
    }
}

#[test]
fn what_is_for_one_hop_is_taken_out() {
    let fields = [
        ("connection", "keep-alive, X-Mine, close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("x-mine", "1"),
        ("x-other", "2"),
    ];
    assert_eq!(
        cleaned(200, &fields),
        [("x-other".to_owned(), "2".to_owned())]
    );
}

#[test]
fn a_connection_can_not_name_what_makes_the_response() {
    let fields = [
        (
            "connection",
            "Set-Cookie, content-length, Cache-Control, location",
        ),
        ("set-cookie", "a=b"),
        ("content-length", "1"),
        ("cache-control", "private"),
        ("location", "/"),
    ];
    assert_eq!(cleaned(302, &fields).len(), 4);
}

#[test]
fn a_switch_keeps_what_it_needs_and_nothing_else() {
    let fields = [
        ("connection", "upgrade, keep-alive, x-mine"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("x-mine", "1"),
        ("content-length", "0"),
        ("sec-websocket-accept", "x"),
    ];
    let mut left = cleaned(101, &fields);
    left.sort();
    let names: Vec<_> = left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["connection", "sec-websocket-accept", "upgrade"]);
    assert_eq!(left[0].1, "Upgrade");
}

#[test]
fn what_has_no_body_says_no_length() {
    let fields = [("content-length", "5")];
    assert!(cleaned(204, &fields).is_empty());
    assert_eq!(
        cleaned(304, &fields).len(),
        1,
        "there it says what a 200 would have"
    );
    assert!(cleaned(304, &[("transfer-encoding", "chunked")]).is_empty());
}

#[test]
fn trailers_say_nothing_about_the_message() {
    let mut trailers = map(&[
        ("content-length", "5"),
        ("set-cookie", "a=b"),
        ("grpc-status", "0"),
        ("connection", "close"),
    ]);
    clean_trailers(&mut trailers);
    assert_eq!(trailers.len(), 1);
    assert!(trailers.contains_key("grpc-status"));
}

proptest! {
    /// Whatever passes has one way to find its end, and once cleaned nothing of the hop is left of it.
    #[test]
    fn what_passes_is_framed_one_way(
        status in 100u16..1000,
        fields in proptest::collection::vec((
            prop_oneof![
                Just("content-length"), Just("transfer-encoding"), Just("connection"), Just("upgrade"),
                Just("keep-alive"), Just("te"), Just("x-a"),
            ],
            prop_oneof![
                Just("0"), Just("5"), Just("5, 5"), Just("CHUNKED"), Just("gzip"), Just("close"),
                Just("x-a"), Just("transfer-encoding"), Just("websocket"), Just(""),
            ],
        ), 0..6),
    ) {
        let mut headers = map(&fields);
        let asked = map(&[("upgrade", "websocket")]);
        let code = StatusCode::from_u16(status).unwrap();
        if check(Version::HTTP_11, code, &headers, Some(&asked)).is_ok() {
            let before = headers.clone();
            clean(code, &mut headers);
            prop_assert!(status < 600);
            let framing = headers.get_all(CONTENT_LENGTH).iter().count()
                + headers.get_all(TRANSFER_ENCODING).iter().count();
            prop_assert!(framing <= 1);
            if status >= 200 && status != 204 && status != 304 {
                // What it was read by is what it is written by; chunks are the client's connection's to make.
                prop_assert_eq!(headers.get(CONTENT_LENGTH), before.get(CONTENT_LENGTH));
            }
            prop_assert!(!headers.contains_key(TRANSFER_ENCODING));
            prop_assert!(!headers.contains_key(KEEP_ALIVE) && !headers.contains_key(TE));
            prop_assert_eq!(headers.contains_key(CONNECTION), status == 101);
        }
    }
}
