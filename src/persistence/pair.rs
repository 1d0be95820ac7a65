//! `NAME=VALUE`, as `Cookie` and `Set-Cookie` both write it.
//!
//! Read as browsers do (RFC 6265bis section 5.6): spaces and tabs around the name and the value don't count,
//! names are compared whole and with their case. A value may be enclosed in quotes; the quotes are no part
//! of it here, and whoever changes the value leaves them where they are.

use http::HeaderValue;

use crate::headers::{ValueRef, trim, unquote};

/// The value of a pair, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// Offset of its first byte in the pair.
    pub at: usize,
    /// Its bytes, without quotes around them.
    pub bytes: &'a [u8],
}

/// The value of `pair` if its name is `name`.
pub(super) fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<Value<'a>> {
    let rest = trim_start(pair).strip_prefix(name)?;
    let rest = trim_start(rest).strip_prefix(b"=")?;
    let rest = trim_start(rest);
    let written = trim(rest);
    let bytes = unquote(written);
    let quote = usize::from(bytes.len() < written.len());
    Some(Value {
        at: pair.len() - rest.len() + quote,
        bytes,
    })
}

/// `line` with the `length` bytes at `at` replaced by `parts`; every other byte stays. `None` if there are no
/// such bytes, or `parts` has some that a field's value can't have.
pub(super) fn splice(
    line: ValueRef<'_>,
    at: usize,
    length: usize,
    parts: &[&[u8]],
) -> Option<HeaderValue> {
    let (before, rest) = line.as_bytes().split_at_checked(at)?;
    let after = rest.get(length..)?;
    let mut text = before.to_vec();
    for part in parts {
        text.extend_from_slice(part);
    }
    text.extend_from_slice(after);
    let mut spliced = HeaderValue::try_from(text).ok()?;
    spliced.set_sensitive(line.is_sensitive());
    Some(spliced)
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(pair: &str) -> Option<(usize, &str)> {
        let value = value_of(pair.as_bytes(), b"ID")?;
        Some((value.at, std::str::from_utf8(value.bytes).unwrap()))
    }

    #[test]
    fn a_value_is_found_where_it_is() {
        assert_eq!(found("ID=a"), Some((3, "a")));
        assert_eq!(found("\t ID = a b \t"), Some((7, "a b")));
        assert_eq!(found("ID=\"a\" "), Some((4, "a")));
        assert_eq!(found("ID=\"\""), Some((4, "")));
        assert_eq!(found("ID=\""), Some((3, "\"")));
        assert_eq!(found("ID=\"a"), Some((3, "\"a")));
        assert_eq!(found("ID="), Some((3, "")));
        assert_eq!(found("ID=  "), Some((5, "")));
        assert_eq!(found("ID=a=b"), Some((3, "a=b")));
    }

    #[test]
    fn names_match_whole_and_with_case() {
        for other in ["", "ID", "id=a", "XID=a", "IDX=a", "x=ID=a", "=ID", "I D=a"] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn only_what_is_named_is_replaced() {
        let mut line = HeaderValue::from_static("ID=\"a\"; Path=/");
        line.set_sensitive(true);
        let spliced = splice((&line).into(), 4, 1, &[b"x", b"yz"]).unwrap();
        assert_eq!(spliced, "ID=\"xyz\"; Path=/");
        assert!(spliced.is_sensitive());
        assert_eq!(splice((&line).into(), 4, 1, &[b"\n"]), None);
        assert_eq!(splice((&line).into(), 15, 1, &[]), None);
        assert_eq!(splice((&line).into(), 14, 1, &[]), None);
    }

    proptest! {
        #[test]
        fn the_place_is_that_of_the_value(pair in "[ \t]{0,2}(ID|id|X)[ \t]{0,2}=?[ \t\"a=;]{0,8}") {
            if let Some(value) = value_of(pair.as_bytes(), b"ID") {
                let end = value.at + value.bytes.len();
                prop_assert_eq!(&pair.as_bytes()[value.at..end], value.bytes);
            }
        }
    }
}
