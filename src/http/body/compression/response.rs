//! Which responses are compressed, and what their header says then.

use crate::headers::names::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, TRAILER, VARY,
};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::config::model::{Coding, Compression};
use crate::headers::{Fields, ValueRef, list_members, trim};

/// Digests of the bytes as the server sent them (RFC 1864, RFC 3230, RFC 9530).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

/// Whether a response is compressed for clients that want that: it has a body of a kind that is worth it, isn't
/// encoded yet, is whole, and nobody forbids it.
pub fn is_compressible(settings: &Compression, status: StatusCode, response: &Fields) -> bool {
    let has_body = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        );
    let is_worth_it = match response.get(CONTENT_LENGTH) {
        Some(length) => number(length).is_some_and(|length| length >= settings.min_size.max(1)),
        None => true,
    };
    has_body
        && is_worth_it
        && !response.contains_key(CONTENT_ENCODING)
        && !response.contains_key(CONTENT_RANGE)
        && is_of(&settings.types, response)
        && !forbids(response)
        && tag(response).is_ok()
}

/// Whether what a 304 stands for is compressed for clients that want that, as far as it says: it needs to say little of
/// what the 200 would (RFC 9110 section 15.4.5).
pub fn may_be_compressible(settings: &Compression, response: &Fields) -> bool {
    let is_worth_it =
        length(response).is_none_or(|length| length == 0 || length >= settings.min_size.max(1));
    is_worth_it
        && !response.contains_key(CONTENT_ENCODING)
        && (!response.contains_key(CONTENT_TYPE) || is_of(&settings.types, response))
        && !forbids(response)
        && tag(response).is_ok()
}

/// Gives a 304 the tag of the compressed representation, unless it is the other one that the client has by what it says
/// (`If-None-Match`).
pub fn become_coded_unmodified(response: &mut Fields, if_none_match: &[HeaderValue]) {
    let Ok(Some(tag)) = tag(response) else {
        return;
    };
    let has = |wanted: &[u8]| {
        if_none_match
            .iter()
            .flat_map(|line| list_members(line.as_bytes()))
            .any(|known| known == wanted)
    };
    let weak = [b"W/", tag].concat();
    if !tag.starts_with(b"W/")
        && (!has(tag) || has(&weak))
        && let Ok(weak) = HeaderValue::try_from(weak)
    {
        response.insert(ETAG, weak);
    }
}

/// The body's length, if the server says it.
pub fn length(response: &Fields) -> Option<u64> {
    number(response.get(CONTENT_LENGTH)?)
}

/// Says to caches that it depends on what the client accepts, whether this one is compressed or not
/// (RFC 9110 section 12.5.5).
pub fn vary(response: &mut Fields) {
    let lines = response.get_all(VARY);
    let knows = |member: &[u8]| {
        member == b"*" || member.eq_ignore_ascii_case(ACCEPT_ENCODING.name().as_str().as_bytes())
    };
    if lines
        .iter()
        .any(|line| list_members(line.as_bytes()).any(knows))
    {
        return;
    }
    let mut list = Vec::new();
    for member in lines.iter().flat_map(|line| list_members(line.as_bytes())) {
        list.extend_from_slice(member);
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(b"Accept-Encoding");
    // Parts of valid values make a valid one.
    if let Ok(list) = HeaderValue::try_from(list) {
        response.insert(VARY, list);
    }
}

/// Makes the header that of the compressed body: another representation of the same thing (RFC 9110 section 8.8.3.3),
/// of a length that isn't known.
pub fn become_coded(response: &mut Fields, coding: Coding) {
    response.insert(CONTENT_ENCODING, HeaderValue::from_static(name(coding)));
    response.remove(&CONTENT_LENGTH);
    // Parts of it would be other bytes the next time, and so would be trailers that describe them.
    response.remove(&ACCEPT_RANGES);
    response.remove(&TRAILER);
    for digest in DIGESTS {
        response.remove(&digest);
    }
    let Ok(Some(tag)) = tag(response) else {
        return;
    };
    if !tag.starts_with(b"W/")
        && let Ok(weak) = HeaderValue::try_from([b"W/", tag].concat())
    {
        response.insert(ETAG, weak);
    }
}

/// The entity tag, if there is one (RFC 9110 section 8.8.3).
///
/// # Errors
///
/// What is there is none, or there are several: nobody knows what becomes of it if it is made a weak one.
fn tag(response: &Fields) -> Result<Option<&[u8]>, Malformed> {
    let mut lines = response.get_all(ETAG).iter();
    let (Some(line), more) = (lines.next(), lines.next()) else {
        return Ok(None);
    };
    let tag = trim(line.as_bytes());
    let inner = tag
        .strip_prefix(b"W/")
        .unwrap_or(tag)
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .ok_or(Malformed)?;
    let is_tag = inner
        .iter()
        .all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..));
    if more.is_some() || !is_tag {
        return Err(Malformed);
    }
    Ok(Some(tag))
}

/// No entity tag.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

fn name(coding: Coding) -> &'static str {
    match coding {
        Coding::Zstd => "zstd",
        Coding::Br => "br",
        Coding::Gzip => "gzip",
    }
}

fn number(value: ValueRef<'_>) -> Option<u64> {
    let digits = value.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// Whether the response is of one of these media types. None at all is of none.
fn is_of(types: &[String], response: &Fields) -> bool {
    let Some(value) = response.get(CONTENT_TYPE) else {
        return false;
    };
    let media = trim(
        value
            .as_bytes()
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default(),
    );
    types.iter().any(|wanted| match wanted.strip_suffix('*') {
        Some(kind) => media
            .get(..kind.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes())),
        None => media.eq_ignore_ascii_case(wanted.as_bytes()),
    })
}

/// Whether the server forbids it (RFC 9111 section 5.2.2.6).
fn forbids(response: &Fields) -> bool {
    response
        .get_all(CACHE_CONTROL)
        .iter()
        .flat_map(|line| list_members(line.as_bytes()))
        .any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Compression {
        Compression {
            types: vec!["text/*".into(), "application/json".into()],
            min_size: 100,
            codings: vec![Coding::Gzip],
        }
    }

    fn header(fields: &[(&str, &str)]) -> Fields {
        let mut map = Fields::new();
        for (name, value) in fields {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    fn compressible(status: u16, fields: &[(&str, &str)]) -> bool {
        let status = StatusCode::from_u16(status).unwrap();
        is_compressible(&settings(), status, &header(fields))
    }

    #[test]
    fn kind_and_size_decide() {
        for (fields, expected) in [
            (&[("content-type", "text/html")][..], true),
            (&[("content-type", " Text/HTML ;charset=utf-8")], true),
            (&[("content-type", "application/json")], true),
            (&[("content-type", "application/jsonx")], false),
            (&[("content-type", "application/grpc")], false),
            (&[("content-type", "textual/html")], false),
            (&[("content-type", "text")], false),
            (&[("content-type", "image/png")], false),
            (&[], false),
        ] {
            assert_eq!(compressible(200, fields), expected, "{fields:?}");
        }
        let of = |length| {
            compressible(
                200,
                &[("content-type", "text/css"), ("content-length", length)],
            )
        };
        assert!(of("100") && of("101") && !of("99") && !of("0") && !of("x") && !of("+100"));
    }

    #[test]
    fn what_is_encoded_partial_or_forbidden_is_left_alone() {
        let text = ("content-type", "text/html");
        for field in [
            ("content-encoding", "gzip"),
            ("content-encoding", "identity"),
            ("content-range", "bytes 0-9/100"),
            ("cache-control", "public, No-Transform"),
        ] {
            assert!(!compressible(200, &[text, field]), "{field:?}");
        }
        assert!(compressible(
            200,
            &[text, ("cache-control", "private=\"no-transform\"")]
        ));
        for status in [100, 101, 103, 204, 205, 206, 304] {
            assert!(!compressible(status, &[text]), "{status}");
        }
        for status in [200, 201, 404, 500] {
            assert!(compressible(status, &[text]), "{status}");
        }
    }

    #[test]
    fn vary_is_added_once() {
        for (before, after) in [
            (&[][..], "Accept-Encoding"),
            (&[("vary", "Origin")], "Origin, Accept-Encoding"),
            (
                &[("vary", "Origin, Cookie"), ("vary", "Accept")],
                "Origin, Cookie, Accept, Accept-Encoding",
            ),
            (&[("vary", "accept-encoding")], "accept-encoding"),
            (&[("vary", "*")], "*"),
        ] {
            let mut response = header(before);
            vary(&mut response);
            let lines: Vec<_> = response.get_all(VARY).iter().collect();
            assert_eq!(lines, [after], "{before:?}");
        }
    }

    #[test]
    fn the_header_is_that_of_the_coded_body() {
        let mut response = header(&[
            ("content-length", "1000"),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("digest", "x"),
            ("trailer", "x"),
            ("etag", "\"abc\""),
            ("last-modified", "x"),
        ]);
        become_coded(&mut response, Coding::Br);
        let expected = header(&[
            ("etag", "W/\"abc\""),
            ("last-modified", "x"),
            ("content-encoding", "br"),
        ]);
        assert_eq!(response, expected);
    }

    #[test]
    fn a_tag_becomes_weak() {
        for (before, after) in [
            ("W/\"a\"", "W/\"a\""),
            ("\"a\"", "W/\"a\""),
            ("\"\"", "W/\"\""),
        ] {
            let mut response = header(&[("etag", before)]);
            become_coded(&mut response, Coding::Gzip);
            assert_eq!(response[ETAG], after);
        }
    }

    #[test]
    fn what_has_a_broken_tag_is_left_alone() {
        let text = ("content-type", "text/html");
        for tag in [
            "abc", "\"abc", "abc\"", "\"", "W/abc", "w/\"a\"", "\"a b\"", "\"a\"b\"", "",
        ] {
            assert!(!compressible(200, &[text, ("etag", tag)]), "{tag}");
            assert!(
                !may_be_compressible(&settings(), &header(&[("etag", tag)])),
                "{tag}"
            );
        }
        assert!(!compressible(
            200,
            &[text, ("etag", "\"a\""), ("etag", "\"b\"")]
        ));
        assert!(compressible(200, &[text, ("etag", "\"a\"")]));
    }

    #[test]
    fn a_304_may_be_of_something_compressible() {
        for (fields, expected) in [
            (&[][..], true),
            (&[("content-type", "text/html")], true),
            (&[("content-type", "image/png")], false),
            (&[("content-encoding", "br")], false),
            (&[("cache-control", "no-transform")], false),
            (&[("content-length", "99")], false),
            (&[("content-length", "0")], true),
        ] {
            assert_eq!(
                may_be_compressible(&settings(), &header(fields)),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_304_has_the_tag_of_what_the_client_has() {
        for (asked, tag, wanted) in [
            (&["W/\"a\""][..], "\"a\"", "W/\"a\""),
            (&["\"b\", W/\"a\""], "\"a\"", "W/\"a\""),
            (&["\"b\"", "W/\"a\""], "\"a\"", "W/\"a\""),
            (&["\"a\""], "\"a\"", "\"a\""),
            (&["\"a\", W/\"a\""], "\"a\"", "W/\"a\""),
            (&["*"], "\"a\"", "W/\"a\""),
            (&[], "\"a\"", "W/\"a\""),
            (&["W/\"a\""], "W/\"a\"", "W/\"a\""),
        ] {
            let asked: Vec<_> = asked.iter().map(|line| line.parse().unwrap()).collect();
            let mut response = header(&[("etag", tag)]);
            become_coded_unmodified(&mut response, &asked);
            assert_eq!(response[ETAG], wanted, "{asked:?}");
        }
    }
}
