use http::header::{ACCEPT, CONTENT_LENGTH, EXPECT};
use proptest::prelude::*;

use super::super::hpack::write_literal;
use super::*;
use crate::headers::is_tchar;

const LIMITS: HeadLimits = HeadLimits {
    header: 1000,
    uri: 200,
    body: 100,
};

type Lines<'a> = Vec<(&'a [u8], &'a [u8])>;

fn block(lines: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        write_literal(name, value, &mut block);
    }
    block
}

fn read_of(lines: &[(&[u8], &[u8])], ends: bool) -> Result<RequestHeader, Box<Refusal>> {
    let read = read(&mut Decoder::new(), &block(lines), ends, &LIMITS);
    read.unwrap().request
}

/// A good request and these fields.
fn with<'a>(more: &[(&'a [u8], &'a [u8])]) -> Lines<'a> {
    let mut lines: Lines<'_> = vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"a.test"),
        (b":path", b"/"),
    ];
    lines.extend(more);
    lines
}

/// A good request with that pseudo-field instead.
fn set<'a>(name: &[u8], value: &'a [u8]) -> Lines<'a> {
    let mut lines = with(&[]);
    for line in lines.iter_mut().filter(|(n, _)| *n == name) {
        line.1 = value;
    }
    lines
}

fn without(name: &[u8]) -> Lines<'static> {
    let mut lines = with(&[]);
    lines.retain(|(n, _)| *n != name);
    lines
}

fn refusal(lines: &[(&[u8], &[u8])]) -> Option<(u16, &'static str)> {
    let refused = read_of(lines, false).err();
    refused.map(|refusal| (refusal.status, refusal.reason))
}

fn status(lines: &[(&[u8], &[u8])]) -> u16 {
    refusal(lines).map_or(200, |(status, _)| status)
}

fn is_unfit(lines: &[(&[u8], &[u8])], unfit: Unfit) -> bool {
    refusal(lines) == Some(unfit.refusal())
}

fn lines_of(fields: &Fields) -> Vec<String> {
    let line = |(name, value): (&http::HeaderName, crate::headers::ValueRef<'_>)| {
        format!("{name}: {}", value.as_bytes().escape_ascii())
    };
    fields.iter().map(line).collect()
}

#[test]
fn a_good_request_is_one_of_http_1_but_for_its_version() {
    let lines = with(&[(b"te", b"trailers"), (b"x", b"a\tb \xff"), (b"y", b"")]);
    let request = read_of(&lines, true).unwrap();
    assert_eq!(request.method, Method::GET);
    assert_eq!(request.version, Version::HTTP_2);
    assert_eq!(request.target(), b"/");
    assert_eq!(
        lines_of(&request.headers),
        ["host: a.test", "te: trailers", "x: a\\tb \\xff", "y: "]
    );
    assert_eq!(refusal(&set(b":path", b"/a%20b;c=d?e=f[]")), None);
    assert_eq!(refusal(&set(b":authority", b"[::1]:8080")), None);
}

#[test]
fn pseudo_fields_are_known_first_and_there_once() {
    for name in [&b":unknown"[..], b":status", b":protocol", b":", b":Method"] {
        let lines = [&[(name, &b"x"[..])], &with(&[])[..]].concat();
        assert!(is_unfit(&lines, Unfit::Pseudo));
    }
    assert!(is_unfit(&with(&[(b":path", b"/b")]), Unfit::PseudoTwice));
    let late = with(&[(b"x", b"y"), (b":path", b"/b")]);
    assert!(is_unfit(&late, Unfit::PseudoOrder));
    for name in [&b":method"[..], b":scheme", b":path"] {
        assert!(is_unfit(&without(name), Unfit::PseudoMissing));
    }
    assert!(is_unfit(
        &set(b":method", b"CONNECT"),
        Unfit::ConnectWithTarget
    ));
    assert!(is_unfit(&[(b":method", b"CONNECT")], Unfit::PseudoMissing));
    let connect: Lines<'_> = vec![(b":method", b"CONNECT"), (b":authority", b"a.test:80")];
    assert_eq!(status(&connect), 405);
}

#[test]
fn pseudo_fields_say_what_they_may() {
    for method in [&b""[..], b"G T", b"G\0T", b"\xffGET", &[b'M'; 33], b"get"] {
        assert!(is_unfit(&set(b":method", method), Unfit::Method));
    }
    for path in [
        &b"/a b"[..],
        b"/a\r\nx",
        b"/\0",
        b"/\x7f",
        b"/\xff",
        b"/\t",
        b"/a#b",
    ] {
        assert!(is_unfit(&set(b":path", path), Unfit::Target), "{path:?}");
    }
    for path in [&b""[..], b"a", b"http://b.test/", b"*"] {
        let refused = Some((400, "malformed :path"));
        assert_eq!(refusal(&set(b":path", path)), refused, "{path:?}");
    }
    let mut options = set(b":path", b"*");
    options[0].1 = b"OPTIONS";
    assert_eq!(refusal(&options), None);
    for scheme in [&b""[..], b"ftp", b"HTTP", b"http\xff"] {
        assert!(is_unfit(&set(b":scheme", scheme), Unfit::Scheme));
    }
    for authority in [&b""[..], b"a b", b"a/b", b"a\xff", b"a\0", b"u@a.test"] {
        let lines = set(b":authority", authority);
        assert!(is_unfit(&lines, Unfit::Authority), "{authority:?}");
    }
    assert!(is_unfit(&set(b":path", &[b'/'; 201]), Unfit::LongTarget));
}

#[test]
fn names_and_values_are_those_of_http_1() {
    let unfit = |lines: &[(&[u8], &[u8])], unfit| is_unfit(&with(lines), unfit);
    for byte in 0..=u8::MAX {
        let taken = is_tchar(byte) && !byte.is_ascii_uppercase();
        let name = [b'x', byte];
        assert_eq!(unfit(&[(&name, b"v")], Unfit::Name), !taken, "{byte}");
        let value = [b'x', byte, b'x'];
        let taken = !byte.is_ascii_control() || byte == b'\t';
        assert_eq!(unfit(&[(b"x", &value)], Unfit::Value), !taken, "{byte}");
        assert_eq!(taken, HeaderValue::from_bytes(&value).is_ok());
    }
    assert!(unfit(&[(b"", b"v")], Unfit::Name));
    assert!(unfit(&[(b"", b"")], Unfit::Name));
    for value in [&b" a"[..], b"a ", b"\ta", b"a\t", b" "] {
        assert!(unfit(&[(b"x", value)], Unfit::Space));
    }
    for name in [&b"content_length"[..], b"transfer.encoding"] {
        assert!(unfit(&[(name, b"5")], Unfit::LikeFraming));
    }
    for name in [
        &b"connection"[..],
        b"proxy-connection",
        b"keep-alive",
        b"transfer-encoding",
        b"upgrade",
    ] {
        assert!(unfit(&[(name, b"x")], Unfit::ConnectionField));
    }
    assert!(unfit(&[(b"te", b"gzip")], Unfit::ConnectionField));
}

#[test]
fn a_host_may_say_the_same_again_but_nothing_else() {
    for (authority, host) in [
        (&b"a.test"[..], &b"A.test"[..]),
        (b"a.test:443", b"a.test"),
        (b"A.test", b"a.test:443"),
    ] {
        let mut lines = set(b":authority", authority);
        lines.push((b"host", host));
        let request = read_of(&lines, false).unwrap();
        let hosts: Vec<_> = request.headers.get_all(HOST).iter().collect();
        assert_eq!(hosts.len(), 1);
        assert_eq!(hosts[0].as_bytes(), authority);
    }
    let host = |more: Lines<'static>| [without(b":authority"), more].concat();
    assert_eq!(status(&host(vec![(b"host", b"a.test")])), 200);
    assert_eq!(status(&host(vec![])), 400);
    for hosts in [
        &[(&b"host"[..], &b"b.test"[..])][..],
        &[(b"host", b"")],
        &[(b"host", b"a.test:80")],
        &[(b"host", b"a.test"), (b"host", b"a.test")],
        &[(b"host", b"u@a.test")],
    ] {
        assert_eq!(status(&with(hosts)), 400, "{hosts:?}");
    }
}

#[test]
fn a_length_is_one_number_and_has_a_body() {
    let length = |length| with(&[(b"content-length", length)]);
    assert_eq!(status(&length(b"100")), 200);
    assert_eq!(status(&length(b"101")), 413);
    for bad in [
        &b"1, 1"[..],
        b"+1",
        b"",
        b"0x1",
        b"01",
        b"-1",
        b"99999999999999999999",
    ] {
        assert!(is_unfit(&length(bad), Unfit::Length));
    }
    let twice: Lines<'_> = vec![(b"content-length", b"1"); 2];
    assert!(is_unfit(&with(&twice), Unfit::Lengths));
    let refused = read_of(&length(b"1"), true).unwrap_err();
    assert_eq!(
        (refused.status, refused.reason),
        Unfit::LengthWithoutBody.refusal()
    );
}

#[test]
fn a_length_of_0_is_believed_when_the_request_has_ended() {
    let length = |lines: &Lines<'_>, ends| {
        let request = read_of(lines, ends).unwrap();
        let length = request.headers.get(CONTENT_LENGTH);
        length.map(|length| length.as_bytes().to_vec())
    };
    let mut lines = with(&[(b"content-length", b"0")]);
    lines[0].1 = b"POST";
    assert_eq!(length(&lines, true).unwrap(), b"0");
    assert_eq!(length(&lines, false), None);
    lines.pop();
    assert_eq!(length(&lines, true).unwrap(), b"0", "said by its frames");
    assert_eq!(length(&lines, false), None);
    assert_eq!(length(&with(&[]), true), None);
}

#[test]
fn unknown_expectations_are_refused() {
    let expect = |value| with(&[(b"expect", value)]);
    assert_eq!(status(&expect(b"200-ok")), 417);
    assert_eq!(status(&expect(b"100-Continue")), 200);
    let twice: Lines<'_> = vec![(b"expect", b"100-continue"); 2];
    assert_eq!(status(&with(&twice)), 417);
    let request = read_of(&expect(b"100-continue"), true).unwrap();
    assert!(!request.headers.contains_key(EXPECT), "nothing is to come");
}

#[test]
fn a_trace_has_no_body() {
    let lines = set(b":method", b"TRACE");
    assert_eq!(refusal(&lines), Some((400, "a TRACE with a body")));
    assert!(read_of(&lines, true).is_ok());
}

#[test]
fn crumbs_are_one_cookie_again_in_their_order() {
    let crumbs = with(&[(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2; c=3")]);
    let request = read_of(&crumbs, true).unwrap();
    assert_eq!(
        lines_of(&request.headers),
        ["host: a.test", "cookie: a=1; b=2; c=3", "x: y"]
    );
}

#[test]
fn odd_characters_of_a_target_are_encoded() {
    for (target, written) in [
        (&b"/a?b=<c>"[..], &b"/a?b=%3Cc%3E"[..]),
        (b"/`<>\"{|}^\\", b"/%60%3C%3E%22{|}^\\"),
        ("/\u{e4}".as_bytes(), "/\u{e4}".as_bytes()),
    ] {
        let request = read_of(&set(b":path", target), true).unwrap();
        assert_eq!(request.target(), written);
    }
}

#[test]
fn sizes_are_those_of_http_1() {
    let around = "GET / HTTP/1.1\r\nhost: a.test\r\nx: \r\n\r\n".len();
    let value = vec![b'v'; 1001 - around];
    assert_eq!(refusal(&with(&[(b"x", &value[1..])])), None);
    assert!(is_unfit(&with(&[(b"x", &value)]), Unfit::Large));
    // An empty field costs what it costs in HTTP/1.
    let many: Lines<'_> = vec![(b"x", b""); 180];
    assert_eq!(refusal(&with(&many)), None);
    let many: Lines<'_> = vec![(b"x", b""); 195];
    assert!(is_unfit(&with(&many), Unfit::Large));
    let limits = HeadLimits {
        header: 10_000,
        ..LIMITS
    };
    let crumbs = |count| {
        let crumbs: Lines<'_> = vec![(b"cookie", b"a=b"); count];
        let read = read(&mut Decoder::new(), &block(&with(&crumbs)), true, &limits);
        read.unwrap().request.err().map(|refusal| refusal.status)
    };
    assert_eq!(crumbs(MAX_FIELDS), None);
    assert_eq!(crumbs(MAX_FIELDS + 1), Some(431), "crumbs count");
}

#[test]
fn what_could_be_made_out_is_known_of_a_request_that_is_refused() {
    let mut lines = with(&[
        (b"X", b"y"),
        (b"z", b"not kept"),
        (b"accept", b"text/html"),
        (b"accept", b"not this"),
    ]);
    lines[0].1 = b"POST";
    let refused = read_of(&lines, true).unwrap_err();
    assert_eq!((refused.status, refused.reason), Unfit::Name.refusal());
    assert_eq!(refused.method, Some(Method::POST));
    assert_eq!(refused.host.as_deref(), Some(&b"a.test"[..]));
    assert_eq!(refused.target.as_deref(), Some(&b"/"[..]));
    assert_eq!(refused.headers.get(ACCEPT).unwrap(), "text/html");
    assert_eq!(refused.headers.len(), 2, "with the host");
    let refused = read_of(&set(b":method", b"G T"), true).unwrap_err();
    assert_eq!(refused.method, None);
    assert_eq!(refused.target.as_deref(), Some(&b"/"[..]));
}

#[test]
fn trailers_have_no_pseudo_fields() {
    let trailers = |lines: &[(&[u8], &[u8])]| {
        let read = read_trailers(&mut Decoder::new(), &block(lines), &LIMITS);
        read.unwrap().map(|fields| lines_of(&fields))
    };
    let lines: Lines<'_> = vec![(b"x", b"y"), (b"content-length", b"x")];
    assert_eq!(trailers(&lines).unwrap(), ["x: y", "content-length: x"]);
    assert_eq!(trailers(&[(b":path", b"/")]), Err(Unfit::Pseudo));
    assert_eq!(trailers(&[(b"X", b"y")]), Err(Unfit::Name));
}

proptest! {
    /// Whatever passes has one host, one cookie at most, and a target and fields that HTTP/1 can write.
    #[test]
    fn what_passes_is_one_message(
        path in prop::collection::vec(any::<u8>(), 0..8), method in "[A-Z ]{0,4}", ends in any::<bool>(),
        fields in prop::collection::vec(
            (prop::sample::select(vec!["host", "cookie", "content-length", "x", "te"]), prop::collection::vec(any::<u8>(), 0..6)), 0..6),
    ) {
        let path = [b"/", &path[..]].concat();
        let mut lines = with(&[]);
        lines[0].1 = method.as_bytes();
        lines[3].1 = &path;
        lines.extend(fields.iter().map(|(name, value)| (name.as_bytes(), &value[..])));
        if let Ok(request) = read_of(&lines, ends) {
            prop_assert_eq!(request.headers.get_all(HOST).iter().count(), 1);
            prop_assert!(request.headers.get_all(COOKIE).iter().count() <= 1);
            prop_assert!(authority::is_target(request.target()));
            prop_assert!(!has_control(request.target()));
            for (_, value) in &request.headers {
                prop_assert!(HeaderValue::from_bytes(value.as_bytes()).is_ok());
            }
        }
    }
}
