//! The request's `Cookie` field: finding one cookie in it, taking that one out, shortening its value.
//!
//! Read as RFC 6265bis section 4.2 writes it, and a little more kindly: pairs are separated by `;`,
//! each is read as `pair` says, there may be several lines. A `;` separates even inside quotes, as that
//! grammar has none inside values: a stray quote in some other cookie must not hide ours.

use std::ops::Range;

use crate::headers::names::COOKIE;
use http::HeaderValue;

use super::pair::value_of;
use crate::headers::{Edit, Fields, ValueRef};

/// The values of the cookies called `name`, in their order.
pub(super) fn values<'a>(
    request: &'a Fields,
    name: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    request
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| pairs(line.as_bytes()))
        .filter_map(move |(_, pair)| Some(value_of(pair, name)?.bytes))
}

/// Takes out the cookies called `name` with their separators. Every other byte stays; a line that
/// has nothing left goes.
pub(super) fn strip(request: &mut Fields, name: &[u8]) {
    request.edit_lines(&COOKIE, |line| without(line, name));
}

/// Takes the first `length(value)` bytes off the values of the cookies called `name`. Every other byte stays.
pub(super) fn shorten(request: &mut Fields, name: &[u8], length: impl Fn(&[u8]) -> usize) {
    request.edit_lines(&COOKIE, |line| {
        shortened(line, name, &length).map_or(Edit::Keep, Edit::Value)
    });
}

/// The pairs of a line, each with the offset at which it begins.
fn pairs(line: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let rest = line.get(start..)?;
        let length = find_separator(rest);
        next = length.map(|length| start + length + 1);
        Some((start, rest.get(..length.unwrap_or(rest.len()))?))
    })
}

/// Where the first `;` is. In blocks, since most bytes of a long line are other cookies' values.
fn find_separator(text: &[u8]) -> Option<usize> {
    const BLOCK: usize = 16;
    // Without a branch, so that the compiler compares a block at once.
    let without = |block: &&[u8]| {
        let found = |found, &byte: &u8| found | u8::from(byte == b';');
        block.iter().fold(0, found) == 0
    };
    let skipped = text.chunks_exact(BLOCK).take_while(without).count() * BLOCK;
    let found = text.get(skipped..)?.iter().position(|&byte| byte == b';')?;
    Some(skipped + found)
}

/// What becomes of `line` without the cookies called `name`.
fn without(line: ValueRef<'_>, name: &[u8]) -> Edit {
    let text = line.as_bytes();
    let is_ours = |pair: &[u8]| value_of(pair, name).is_some();
    let mut left = pairs(text);
    let Some((first, _)) = left.find(|(_, pair)| is_ours(pair)) else {
        return Edit::Keep;
    };
    // Nearly always ours is the first or the last one, and what stays is one part of the line.
    let Some((next, _)) = left.find(|(_, pair)| !is_ours(pair)) else {
        return part(text, 0..first.saturating_sub(1));
    };
    if first == 0 && !left.any(|(_, pair)| is_ours(pair)) {
        return part(text, next..text.len());
    }
    let mut kept = Vec::with_capacity(text.len() + 1);
    for (_, pair) in pairs(text).filter(|(_, pair)| !is_ours(pair)) {
        kept.extend_from_slice(pair);
        kept.push(b';');
    }
    kept.pop();
    if is_nothing(&kept) {
        return Edit::Remove;
    }
    // If the line began with our cookie, the space that followed it goes with it.
    let kept = if first == 0 {
        kept.trim_ascii_start()
    } else {
        &kept
    };
    // What is left of a valid value is one.
    HeaderValue::from_bytes(kept).map_or(Edit::Remove, |mut value| {
        value.set_sensitive(line.is_sensitive());
        Edit::Value(value)
    })
}

/// This part of a line is what stays: without the space at its beginning, if ours was there.
fn part(line: &[u8], range: Range<usize>) -> Edit {
    let text = line.get(range.clone()).unwrap_or_default();
    if is_nothing(text) {
        return Edit::Remove;
    }
    let space = if range.start > 0 {
        text.len() - text.trim_ascii_start().len()
    } else {
        0
    };
    Edit::Part(range.start + space..range.end)
}

/// Whether no cookie is in it.
fn is_nothing(text: &[u8]) -> bool {
    text.iter().all(|byte| b"; \t".contains(byte))
}

/// `line` with the values of the cookies called `name` shortened; `None` if nothing changes.
fn shortened(
    line: ValueRef<'_>,
    name: &[u8],
    length: impl Fn(&[u8]) -> usize,
) -> Option<HeaderValue> {
    let text = line.as_bytes();
    let mut kept = Vec::new();
    let mut done = 0;
    for (start, pair) in pairs(text) {
        let Some(value) = value_of(pair, name) else {
            continue;
        };
        let length = length(value.bytes).min(value.bytes.len());
        if length > 0 {
            let at = start + value.at;
            kept.extend_from_slice(text.get(done..at).unwrap_or_default());
            done = at + length;
        }
    }
    if done == 0 {
        return None;
    }
    kept.extend_from_slice(text.get(done..).unwrap_or_default());
    // Parts of a valid value make one; were it not so, no cookie beats what was to be taken off.
    let mut kept = HeaderValue::try_from(kept).unwrap_or_else(|_| HeaderValue::from_static(""));
    kept.set_sensitive(line.is_sensitive());
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(lines: &[&str]) -> Fields {
        let mut map = Fields::new();
        for line in lines {
            map.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        map
    }

    fn found(lines: &[&str]) -> Vec<String> {
        values(&request(lines), b"SERVERID")
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    fn stripped(lines: &[&str]) -> Vec<String> {
        let mut map = request(lines);
        strip(&mut map, b"SERVERID");
        let lines = map.get_all(COOKIE).iter();
        lines
            .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn names_match_whole_and_with_case() {
        assert_eq!(found(&["SERVERID=a"]), ["a"]);
        for other in [
            "XSERVERID=a",
            "SERVERIDX=a",
            "serverid=a",
            "x=SERVERID=a",
            "SERVERID",
            "=SERVERID",
        ] {
            assert!(found(&[other]).is_empty(), "{other}");
        }
    }

    #[test]
    fn values_come_in_order_over_all_lines() {
        assert_eq!(
            found(&["a=1; SERVERID=x; SERVERID=y", "SERVERID=z"]),
            ["x", "y", "z"]
        );
    }

    #[test]
    fn spaces_and_quotes_around_a_value_do_not_count() {
        assert_eq!(found(&["a=1;\t SERVERID = \"x\" ;b"]), ["x"]);
        assert_eq!(found(&["SERVERID=\"x"]), ["\"x"]);
        assert_eq!(found(&["SERVERID="]), [""]);
        assert_eq!(found(&["SERVERID=a=b"]), ["a=b"]);
    }

    #[test]
    fn a_stray_quote_elsewhere_hides_nothing() {
        assert_eq!(found(&["a=\"; SERVERID=x; b=\""]), ["x"]);
        assert_eq!(stripped(&["a=\"; SERVERID=x; b=\""]), ["a=\"; b=\""]);
    }

    #[test]
    fn the_cookie_goes_with_its_separator() {
        let cases = [
            ("a=1; SERVERID=x; b=2", "a=1; b=2"),
            ("SERVERID=x; a=1", "a=1"),
            ("SERVERID=x;a=1", "a=1"),
            ("a=1; SERVERID=x", "a=1"),
            ("a=1;SERVERID=x;b=2", "a=1;b=2"),
            ("a=1; SERVERID=x;", "a=1;"),
            (
                "a=1; SERVERID=\"x\"; SERVERID=y;  b=\" 2\"",
                "a=1;  b=\" 2\"",
            ),
            (";a;; SERVERID=x; b", ";a;; b"),
            (
                "XSERVERID=1; SERVERID=x; SERVERIDX=2",
                "XSERVERID=1; SERVERIDX=2",
            ),
        ];
        for (line, rest) in cases {
            assert_eq!(stripped(&[line]), [rest], "{line}");
        }
    }

    #[test]
    fn a_line_with_nothing_left_goes() {
        assert!(stripped(&["SERVERID=x"]).is_empty());
        assert!(stripped(&["SERVERID=x; ; SERVERID=y;"]).is_empty());
        assert_eq!(
            stripped(&["a=1", "SERVERID=x", " b ; SERVERID=y", "c"]),
            ["a=1", " b ", "c"]
        );
    }

    #[test]
    fn what_has_no_such_cookie_is_not_touched() {
        for line in ["", ";", " a=1 ;; b", "serverid=x"] {
            assert_eq!(stripped(&[line]), [line]);
        }
    }

    #[test]
    fn a_sensitive_line_stays_sensitive() {
        let mut line = HeaderValue::from_static("a=1; SERVERID=x");
        line.set_sensitive(true);
        let mut map = Fields::new();
        map.insert(COOKIE, line);
        strip(&mut map, b"SERVERID");
        assert!(map.get(COOKIE).unwrap().is_sensitive());
    }

    /// What is left when values lose all up to and with their first `~`.
    fn shortened(lines: &[&str]) -> Vec<String> {
        let mut map = request(lines);
        shorten(&mut map, b"ID", |value| {
            value
                .iter()
                .position(|&byte| byte == b'~')
                .map_or(0, |at| at + 1)
        });
        let lines = map.get_all(COOKIE).iter();
        lines
            .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn a_value_is_shortened_in_its_place() {
        let cases = [
            ("ID=t~v", "ID=v"),
            ("ID=\"t~v\"; b", "ID=\"v\"; b"),
            (
                " a=t~v;\tID = t~v~w ;ID=;ID=x; XID=t~v; ID=u~",
                " a=t~v;\tID = v~w ;ID=;ID=x; XID=t~v; ID=",
            ),
            ("id=t~v", "id=t~v"),
            ("", ""),
        ];
        for (line, rest) in cases {
            assert_eq!(shortened(&[line]), [rest], "{line}");
        }
        assert_eq!(
            shortened(&["a=1", "ID=t~v", "b=t~2", "ID=t~w"]),
            ["a=1", "ID=v", "b=t~2", "ID=w"]
        );
    }

    /// A pair and whether it is ours, by construction.
    fn pair() -> impl Strategy<Value = (String, bool)> {
        prop_oneof![
            ("[ \t]{0,2}", "[ ]{0,1}", "[a-z\"=,\u{e9}]{0,6}")
                .prop_map(|(before, around, value)| (format!("{before}ID{around}={value}"), true)),
            "[ ]{0,2}[a-zA-C\"=,]{0,6}".prop_map(|text| (text, false)),
            "[ ]{0,2}(XID|IDX|id)=[a-z]{0,3}".prop_map(|text| (text, false)),
        ]
    }

    proptest! {
        #[test]
        fn pairs_are_what_splitting_gives(line in "[ab;]{0,70}") {
            let split: Vec<_> = line.split(';').map(str::as_bytes).collect();
            prop_assert_eq!(pairs(line.as_bytes()).map(|(_, pair)| pair).collect::<Vec<_>>(), split);
            for (start, pair) in pairs(line.as_bytes()) {
                prop_assert_eq!(&line.as_bytes()[start..start + pair.len()], pair);
            }
        }

        #[test]
        fn stripping_leaves_exactly_the_others(
            line in proptest::collection::vec(pair(), 1..8),
        ) {
            let text = |pairs: &[(String, bool)]| {
                let pairs: Vec<_> = pairs.iter().map(|(text, _)| text.as_str()).collect();
                pairs.join(";")
            };
            let others: Vec<_> = line.iter().filter(|(_, ours)| !ours).cloned().collect();
            let mut expected = text(&others);
            if line[0].1 {
                expected = expected.trim_start().to_owned();
            }
            if others.len() < line.len() && others.iter().all(|(text, _)| text.trim().is_empty()) {
                expected.clear();
            }
            let mut map = request(&[&text(&line)]);
            strip(&mut map, b"ID");
            let rest = map.get(COOKIE).map_or(&b""[..], ValueRef::as_bytes);
            prop_assert_eq!(String::from_utf8_lossy(rest), expected);
        }

        #[test]
        fn hostile_lines_are_read_and_cleaned(
            lines in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![
                    Just(b'I'), Just(b'D'), Just(b'='), Just(b';'), Just(b' '), Just(b'"'), 0x20..0x7f_u8, 0x80..=0xff_u8,
                ], 0..60), 0..4),
        ) {
            let mut map = Fields::new();
            for line in lines {
                map.append(COOKIE, HeaderValue::from_bytes(&line).unwrap());
            }
            let before = map.clone();
            let had = values(&map, b"ID").count();
            strip(&mut map, b"ID");
            prop_assert_eq!(values(&map, b"ID").count(), 0);
            if had == 0 {
                prop_assert_eq!(map, before);
            }
        }
    }
}
