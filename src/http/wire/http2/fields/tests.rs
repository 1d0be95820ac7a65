use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    header: 1000,
    uri: 200,
    body: 0,
};
const REQUEST: Place = Place::Request { ends: false };

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        write_literal(name, value, &mut block);
    }
    block
}

fn unfit_at(place: Place, fields: &[(&[u8], &[u8])]) -> Option<Unfit> {
    let mut written = Vec::new();
    let section = read(
        &mut Decoder::new(),
        &block(fields),
        place,
        &LIMITS,
        false,
        &mut written,
    );
    section.unwrap().unfit
}

/// A good request and these fields.
fn with<'a>(more: &[(&'a [u8], &'a [u8])]) -> Fields<'a> {
    let mut fields: Fields<'_> = vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"a.test"),
        (b":path", b"/"),
    ];
    fields.extend(more);
    fields
}

fn unfit(more: &[(&[u8], &[u8])]) -> Option<Unfit> {
    unfit_at(REQUEST, &with(more))
}

/// A good request with that pseudo-field instead.
fn set(name: &[u8], value: &[u8]) -> Option<Unfit> {
    let mut fields = with(&[]);
    for field in fields.iter_mut().filter(|(n, _)| *n == name) {
        field.1 = value;
    }
    unfit_at(REQUEST, &fields)
}

fn without(name: &[u8]) -> Option<Unfit> {
    let mut fields = with(&[]);
    fields.retain(|(n, _)| *n != name);
    unfit_at(REQUEST, &fields)
}

#[test]
fn a_good_request_passes() {
    assert_eq!(unfit(&[]), None);
    assert_eq!(
        unfit(&[(b"te", b"trailers"), (b"x", b"a\tb \xff"), (b"y", b"")]),
        None
    );
    assert_eq!(set(b":path", b"/a%20b;c=d?e=f[]"), None);
    assert_eq!(set(b":authority", b"[::1]:8080"), None);
    assert_eq!(without(b":authority"), None, "for what it says with Host");
    let connect: Fields<'_> = vec![(b":method", b"CONNECT"), (b":authority", b"a.test:80")];
    assert_eq!(unfit_at(REQUEST, &connect), None);
}

#[test]
fn pseudo_fields_are_known_first_and_there_once() {
    for name in [&b":unknown"[..], b":status", b":protocol", b":", b":Method"] {
        assert_eq!(
            unfit_at(REQUEST, &[&[(name, &b"x"[..])], &with(&[])[..]].concat()),
            Some(Unfit::Pseudo)
        );
    }
    assert_eq!(unfit(&[(b":path", b"/b")]), Some(Unfit::PseudoTwice));
    assert_eq!(
        unfit(&[(b"x", b"y"), (b":path", b"/b")]),
        Some(Unfit::PseudoOrder)
    );
    for name in [&b":method"[..], b":scheme", b":path"] {
        assert_eq!(without(name), Some(Unfit::PseudoMissing));
    }
    let mut connect = with(&[]);
    connect[0].1 = b"CONNECT";
    assert_eq!(unfit_at(REQUEST, &connect), Some(Unfit::ConnectWithTarget));
    assert_eq!(
        unfit_at(REQUEST, &[(b":method", b"CONNECT")]),
        Some(Unfit::PseudoMissing)
    );
}

#[test]
fn pseudo_fields_say_what_they_may() {
    for method in [&b""[..], b"G T", b"G\0T", b"\xffGET", &[b'M'; 33]] {
        assert_eq!(set(b":method", method), Some(Unfit::Method));
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
        assert_eq!(set(b":path", path), Some(Unfit::Target), "{path:?}");
    }
    for path in [&b""[..], b"a", b"http://b.test/"] {
        assert_eq!(set(b":path", path), Some(Unfit::Path), "{path:?}");
    }
    for scheme in [&b""[..], b"ftp", b"HTTP", b"http\xff"] {
        assert_eq!(set(b":scheme", scheme), Some(Unfit::Scheme));
    }
    for authority in [&b""[..], b"a b", b"a/b", b"a\xff", b"a\0"] {
        assert_eq!(
            set(b":authority", authority),
            Some(Unfit::Authority),
            "{authority:?}"
        );
    }
    assert_eq!(set(b":path", &[b'/'; 201]), Some(Unfit::LongTarget));
}

#[test]
fn names_and_values_are_those_of_http_1() {
    for byte in 0..=u8::MAX {
        let taken = is_tchar(byte) && !byte.is_ascii_uppercase();
        let name = [b'x', byte];
        assert_eq!(
            unfit(&[(&name, b"v")]),
            (!taken).then_some(Unfit::Name),
            "{byte}"
        );
        let value = [b'x', byte, b'x'];
        let taken = !byte.is_ascii_control() || byte == b'\t';
        assert_eq!(
            unfit(&[(b"x", &value)]),
            (!taken).then_some(Unfit::Value),
            "{byte}"
        );
        assert_eq!(taken, HeaderValue::from_bytes(&value).is_ok());
    }
    assert_eq!(unfit(&[(b"", b"v")]), Some(Unfit::Name));
    assert_eq!(unfit(&[(b"", b"")]), Some(Unfit::Name));
    assert_eq!(unfit(&[(STAND_IN.as_bytes(), b"a")]), Some(Unfit::Name));
    for value in [&b" a"[..], b"a ", b"\ta", b"a\t", b" "] {
        assert_eq!(unfit(&[(b"x", value)]), Some(Unfit::Space));
    }
    for name in [&b"content_length"[..], b"transfer.encoding"] {
        assert_eq!(unfit(&[(name, b"5")]), Some(Unfit::LikeFraming));
    }
    for name in [
        &b"connection"[..],
        b"proxy-connection",
        b"keep-alive",
        b"transfer-encoding",
        b"upgrade",
    ] {
        assert_eq!(unfit(&[(name, b"x")]), Some(Unfit::ConnectionField));
    }
    assert_eq!(unfit(&[(b"te", b"gzip")]), Some(Unfit::ConnectionField));
}

#[test]
fn a_length_is_one_number_and_has_a_body() {
    assert_eq!(unfit(&[(b"content-length", b"100")]), None);
    for length in [
        &b"1, 1"[..],
        b"+1",
        b"",
        b"0x1",
        b"01",
        b"-1",
        b"99999999999999999999",
    ] {
        assert_eq!(unfit(&[(b"content-length", length)]), Some(Unfit::Length));
    }
    let twice: Fields<'_> = vec![(b"content-length", b"1"); 2];
    assert_eq!(unfit(&twice), Some(Unfit::Lengths));
    let ends = Place::Request { ends: true };
    let unfit = |length| unfit_at(ends, &with(&[(b"content-length", length)]));
    assert_eq!(unfit(b"0"), None);
    assert_eq!(unfit(b"1"), Some(Unfit::LengthWithoutBody));
}

#[test]
fn trailers_have_no_pseudo_fields() {
    assert_eq!(
        unfit_at(
            Place::RequestTrailers,
            &[(b"x", b"y"), (b"content-length", b"x")]
        ),
        None
    );
    assert_eq!(
        unfit_at(Place::RequestTrailers, &[(b":path", b"/")]),
        Some(Unfit::Pseudo)
    );
    assert_eq!(
        unfit_at(Place::RequestTrailers, &[(b"X", b"y")]),
        Some(Unfit::Name)
    );
}

#[test]
fn responses_have_a_status_and_nothing_else_that_is_pseudo() {
    let response = Place::Response { ends: false };
    let status = |status| unfit_at(response, &[(b":status", status), (b"x", b"y")]);
    for good in [&b"100"[..], b"103", b"200", b"599"] {
        assert_eq!(status(good), None);
    }
    for bad in [
        &b""[..],
        b"20",
        b"2000",
        b"099",
        b"600",
        b"101",
        b"2x0",
        b" 200",
        b"+20",
        b"\xff00",
    ] {
        assert_eq!(status(bad), Some(Unfit::Status), "{bad:?}");
    }
    for (fields, unfit) in [
        (&[(&b"x"[..], &b"y"[..])][..], Unfit::PseudoMissing),
        (&[], Unfit::PseudoMissing),
        (
            &[(b":status", b"200"), (b":status", b"200")],
            Unfit::PseudoTwice,
        ),
        (&[(b"x", b"y"), (b":status", b"200")], Unfit::PseudoOrder),
        (&[(b":status", b"200"), (b":path", b"/")], Unfit::Pseudo),
        (&[(b":status", b"200"), (b"X", b"y")], Unfit::Name),
        (
            &[(b":status", b"200"), (b"connection", b"close")],
            Unfit::ConnectionField,
        ),
        (&[(b":status", b"200"), (b"x", b"a\nb")], Unfit::Value),
        (&[(b":status", b"200"), (b"x", b"a\n")], Unfit::Value),
        (
            &[(b":status", b"200"), (b"content-length", b"x")],
            Unfit::Length,
        ),
    ] {
        assert_eq!(unfit_at(response, fields), Some(unfit));
    }
    assert_eq!(
        unfit_at(response, &[(b":status", b"200"), (b"content_length", b"1")]),
        None
    );
    let ends = Place::Response { ends: true };
    assert_eq!(unfit_at(ends, &[(b":status", b"204")]), None);
    assert_eq!(
        unfit_at(ends, &[(b":status", b"103")]),
        Some(Unfit::Interim)
    );
    let trailers = |ends, fields| unfit_at(Place::ResponseTrailers { ends }, fields);
    assert_eq!(trailers(true, &[(b"grpc-status", b"0")]), None);
    assert_eq!(
        trailers(false, &[(b"grpc-status", b"0")]),
        Some(Unfit::OpenEnd)
    );
    assert_eq!(trailers(true, &[(b":status", b"200")]), Some(Unfit::Pseudo));
}

#[test]
fn white_space_around_a_value_of_a_response_goes() {
    let fields: Fields<'_> = vec![
        (b":status", b"200"),
        (b"x", b"y"),
        (b"grpc-message", b" not here\t"),
        (b"z", b" "),
    ];
    let (block, mut written) = (block(&fields), Vec::new());
    let place = Place::Response { ends: false };
    let mut decoder = Decoder::new();
    let section = read(&mut decoder, &block, place, &LIMITS, false, &mut written).unwrap();
    assert_eq!((section.unfit, section.anew), (None, true));
    assert_eq!(section.status, Some(200));
    let mut said = Vec::new();
    let write = |name: &[u8], value: &[u8]| said.push((name.to_vec(), value.to_vec()));
    Decoder::new().decode(section.written(), write).unwrap();
    let said: Vec<_> = said.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    let trimmed: Fields<'_> = vec![
        (b":status", b"200"),
        (b"x", b"y"),
        (b"grpc-message", b"not here"),
        (b"z", b""),
    ];
    assert_eq!(said, trimmed);
}

#[test]
fn sizes_are_those_of_http_1() {
    let around = "GET / HTTP/1.1\r\nhost: a.test\r\nx: \r\n\r\n".len();
    let value = vec![b'v'; 1001 - around];
    assert_eq!(unfit(&[(b"x", &value[1..])]), None);
    assert_eq!(unfit(&[(b"x", &value)]), Some(Unfit::Large));
    // An empty field costs what it costs in HTTP/1.
    let many: Fields<'_> = vec![(b"x", b""); 180];
    assert_eq!(unfit(&many), None);
    let many: Fields<'_> = vec![(b"x", b""); 195];
    assert_eq!(unfit(&many), Some(Unfit::Large));
    let large = HeadLimits {
        header: 10_000,
        ..LIMITS
    };
    let unfit = |count| {
        let crumbs: Fields<'_> = vec![(b"cookie", b"a=b"); count];
        let (block, mut written) = (block(&with(&crumbs)), Vec::new());
        let section = read(
            &mut Decoder::new(),
            &block,
            REQUEST,
            &large,
            false,
            &mut written,
        );
        section.unwrap().unfit
    };
    assert_eq!(unfit(MAX_FIELDS), None);
    assert_eq!(unfit(MAX_FIELDS + 1), Some(Unfit::Many), "crumbs count");
}

#[test]
fn a_stand_in_says_what_could_be_made_out() {
    let mut fields = with(&[(b"X", b"y")]);
    fields[0].1 = b"POST";
    fields[2].1 = b"a b";
    fields.swap(1, 3);
    let (block, mut written) = (block(&fields), Vec::new());
    let mut section = read(
        &mut Decoder::new(),
        &block,
        REQUEST,
        &LIMITS,
        true,
        &mut written,
    )
    .unwrap();
    assert_eq!(section.unfit, Some(Unfit::Authority), "the first thing");
    let stand_in = section.stand_in(Unfit::Authority).to_vec();
    let mut said = Vec::new();
    Decoder::new()
        .decode(&stand_in, |name, value| {
            said.push((name.to_vec(), value.to_vec()));
        })
        .unwrap();
    let field = |name: &[u8]| {
        let mut fields = said.iter().filter(|(n, _)| n == name);
        let value = fields.next().map(|(_, v)| v.clone());
        assert!(fields.next().is_none());
        value
    };
    assert_eq!(field(b":method").unwrap(), b"POST");
    assert_eq!(field(b":path").unwrap(), b"/");
    assert_eq!(field(b":scheme").unwrap(), b"http");
    assert_eq!(field(b":authority"), None);
    assert_eq!(field(b"X"), None);
    let value = HeaderValue::from_bytes(&field(STAND_IN.as_bytes()).unwrap()).unwrap();
    let legible = Legible {
        method: true,
        target: true,
        host: false,
    };
    assert_eq!(stands_for(&value), (Unfit::Authority, legible));
}

#[test]
fn every_reason_has_its_letter_and_its_words() {
    for (unfit, status, reason) in Unfit::ALL {
        let value = HeaderValue::from_bytes(&[unfit as u8]).unwrap();
        assert_eq!(stands_for(&value), (unfit, Legible::default()));
        assert_eq!(unfit.refusal(), (status, reason));
    }
    let letters: std::collections::BTreeSet<_> =
        Unfit::ALL.iter().map(|(u, ..)| *u as u8).collect();
    assert_eq!(letters.len(), Unfit::ALL.len());
}

#[test]
fn a_target_that_the_http_crate_does_not_take_is_encoded() {
    for (target, written) in [
        (&b"/a?b=<c>"[..], &b"/a?b=%3Cc%3E"[..]),
        (b"/`<>\"{|}^\\", b"/%60%3C%3E%22{|}^\\"),
        ("/\u{e4}".as_bytes(), "/\u{e4}".as_bytes()),
    ] {
        let mut fields = with(&[(b"x", b"y")]);
        fields[3].1 = target;
        let (block, mut scratch) = (block(&fields), Vec::new());
        let section = read(
            &mut Decoder::new(),
            &block,
            REQUEST,
            &LIMITS,
            false,
            &mut scratch,
        )
        .unwrap();
        assert_eq!(section.unfit, None, "{target:?}");
        if !section.anew {
            assert!(PathAndQuery::try_from(target).is_ok());
            continue;
        }
        let mut said = Vec::new();
        let write = |name: &[u8], value: &[u8]| said.push((name.to_vec(), value.to_vec()));
        Decoder::new().decode(section.written(), write).unwrap();
        assert!(
            said.contains(&(b":path".to_vec(), written.to_vec())),
            "{said:?}"
        );
        assert!(said.contains(&(b"x".to_vec(), b"y".to_vec())));
        assert_eq!(said.len(), 5);
    }
}

proptest! {
    /// What is written anew says the same, and what passes is what the `http` crate takes.
    #[test]
    fn what_is_written_anew_says_the_same(
        fields in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..5), prop::collection::vec(any::<u8>(), 0..8)), 0..6),
        path in prop::collection::vec(any::<u8>(), 0..6), method in "[A-Z ]{0,4}",
    ) {
        let path = [b"/", &path[..]].concat();
        let mut all = with(&[]);
        all[0].1 = method.as_bytes();
        all[3].1 = &path;
        all.extend(fields.iter().map(|(n, v)| (&n[..], &v[..])));
        let (block, mut written) = (block(&all), Vec::new());
        let mut section = read(&mut Decoder::new(), &block, REQUEST, &LIMITS, true, &mut written).unwrap();
        if section.unfit.is_some() {
            section.stand_in(Unfit::Name);
        }
        let refused = section.unfit.is_some() || authority::encoded(&path).is_some();
        let mut said = Vec::new();
        Decoder::new().decode(section.written(), |n, v| said.push((n.to_vec(), v.to_vec()))).unwrap();
        for (name, value) in &said {
            match &name[..] {
                b":method" => { http::Method::from_bytes(value).unwrap(); }
                b":path" => { PathAndQuery::try_from(&value[..]).unwrap(); }
                b":scheme" => prop_assert!(value == b"http" || value == b"https"),
                b":authority" => { Authority::try_from(&value[..]).unwrap(); }
                _ => {
                    http::HeaderName::from_lowercase(name).unwrap();
                    HeaderValue::from_bytes(value).unwrap();
                }
            }
        }
        if !refused {
            let mut all: Vec<_> = all.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            all.sort();
            said.sort();
            prop_assert_eq!(said, all);
        }
    }
}
