//! A field line of HTTP/1 that is as it should be (RFC 9112 section 5): the quick way past nearly all of them. What isn't is
//! for others to judge.

use std::ops::Range;

use super::is_tchar;
use crate::ascii;

/// Where the parts of a field line are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLine {
    /// Bytes of the name.
    pub name: usize,
    /// The value, without the white space around it.
    pub value: Range<usize>,
    /// Bytes of the whole line, with its end.
    pub length: usize,
}

impl FieldLine {
    /// Looks at what `text` begins with. `None`: it isn't such a line, or not all of one: a token, a colon, no control
    /// characters but tabs, CRLF. A line that follows it may still be its continuation.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let name = text.iter().position(|byte| !is_tchar(*byte))?;
        let Some([b':', rest @ ..]) = text.get(name..) else {
            return None;
        };
        let end = name + 1 + first_control(rest)?;
        let Some([b'\r', b'\n', ..]) = text.get(end..) else {
            return None;
        };
        let around = text.get(name + 1..end)?;
        let begin = around.iter().position(|byte| !is_space(*byte));
        let value = match begin {
            Some(begin) => {
                let after = around.iter().rev().position(|byte| !is_space(*byte))?;
                name + 1 + begin..end - after
            }
            None => end..end,
        };
        (name > 0).then_some(Self {
            name,
            value,
            length: end + 2,
        })
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where the first control character is that isn't a tab.
fn first_control(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + first_control_or_tab(text.get(at..)?)?;
        if text.get(found) != Some(&b'\t') {
            return Some(found);
        }
        at = found + 1;
    }
}

fn first_control_or_tab(text: &[u8]) -> Option<usize> {
    const DELETE: u8 = 0x7f;
    ascii::position(text, |word| {
        ascii::below(word, b' ') | ascii::equal(word, DELETE)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(line: &[u8]) -> Option<(&[u8], &[u8], usize)> {
        let FieldLine {
            name,
            value,
            length,
        } = FieldLine::parse(line)?;
        Some((&line[..name], &line[value], length))
    }

    #[test]
    fn a_line_is_taken_apart() {
        assert_eq!(parts(b"Host: a\r\nX"), Some((&b"Host"[..], &b"a"[..], 9)));
        assert_eq!(parts(b"a:\r\n"), Some((&b"a"[..], &b""[..], 4)));
        assert_eq!(parts(b"a: \t \r\n"), Some((&b"a"[..], &b""[..], 7)));
        assert_eq!(
            parts(b"a:\tb\tc\xe9 d  \r\n"),
            Some((&b"a"[..], &b"b\tc\xe9 d"[..], 13))
        );
    }

    #[test]
    fn what_is_odd_or_not_whole_is_left_to_others() {
        for odd in [
            &b"a: b"[..],
            b"a: b\r",
            b"a: b\n",
            b"a: b\rc\r\n",
            b"a : b\r\n",
            b" a: b\r\n",
            b": b\r\n",
            b"a\r\n",
            b"a: \x00\r\n",
            b"a: long enough \x7f for words\r\n",
            b"\r\n",
            b"",
        ] {
            assert_eq!(FieldLine::parse(odd), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_in_order(
            text in prop::collection::vec(prop::sample::select(&b"ab:\t \r\n\x7f\x01\xc3"[..]), 0..16),
        ) {
            if let Some(line) = FieldLine::parse(&text) {
                let (line, before_end) = (&line, &text[..line.length - 2]);
                prop_assert!(text[..line.length].ends_with(b"\r\n"));
                prop_assert!(!super::super::has_control(before_end));
                prop_assert!(super::super::is_token(&text[..line.name]));
                prop_assert_eq!(super::super::trim(&before_end[line.name + 1..]), &text[line.value.clone()]);
            }
        }
    }
}
