//! Escaping: whatever bytes a client sends, they stay within their field and their line.

use std::io::Write as _;

use crate::ascii;

/// Appends `bytes` with everything but printable ASCII, and the quotation mark and backslash too,
/// written as `\xHH`, the way nginx's `log_format` does it: readers that split at quotation marks
/// need no notion of escaping.
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(position) = first_special(rest) {
        let (plain, special) = rest.split_at(position);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else {
            break;
        };
        out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte & 0xf)]);
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// Appends `bytes` as a JSON string with its quotation marks (RFC 8259 section 7). Control
/// characters, C1 ones and Unicode's line separators included, become `\uHHHH`; what is not UTF-8
/// becomes U+FFFD.
pub(super) fn json(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if first_special(bytes).is_none() {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|c| json_char(out, c));
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn json_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
            // All of them are in the basic plane: one UTF-16 unit. Memory can be written to.
            let _ = write!(out, "\\u{:04X}", u32::from(c));
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Where the first byte is that isn't printable ASCII, or is a quotation mark or a backslash.
fn first_special(bytes: &[u8]) -> Option<usize> {
    const DELETE: u8 = 0x7f;
    ascii::position(bytes, |word| {
        ascii::below(word, b' ')
            | ascii::above(word)
            | ascii::equal(word, b'"')
            | ascii::equal(word, b'\\')
            | ascii::equal(word, DELETE)
    })
}

fn hex(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(write: fn(&mut Vec<u8>, &[u8]), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, bytes);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn text_is_plain_ascii() {
        assert_eq!(escaped(text, b"/plain path"), "/plain path");
        assert_eq!(
            escaped(text, b"a\"b\\c\r\nd\x7f"),
            r"a\x22b\x5Cc\x0D\x0Ad\x7F"
        );
        assert_eq!(escaped(text, "ü".as_bytes()), r"\xC3\xBC");
        assert_eq!(escaped(text, b""), "");
    }

    #[test]
    fn json_keeps_unicode_and_replaces_what_is_none() {
        assert_eq!(escaped(json, "grün 🦀".as_bytes()), "\"grün 🦀\"");
        assert_eq!(escaped(json, b"a\"b\\c\nd"), r#""a\"b\\c\u000Ad""#);
        assert_eq!(
            escaped(json, "\u{85}\u{2028}\u{7f}".as_bytes()),
            r#""\u0085\u2028\u007F""#
        );
        assert_eq!(escaped(json, b"a\xff\xfeb"), "\"a\u{fffd}\u{fffd}b\"");
    }

    proptest! {
        #[test]
        fn text_can_be_read_back_and_never_leaves_its_field(bytes: Vec<u8>) {
            let written = escaped(text, &bytes);
            prop_assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"'));
            let mut read = Vec::new();
            let mut rest = written.as_str();
            while let Some((plain, escape)) = rest.split_once("\\x") {
                read.extend_from_slice(plain.as_bytes());
                read.push(u8::from_str_radix(&escape[..2], 16).expect("two hex digits"));
                rest = &escape[2..];
            }
            read.extend_from_slice(rest.as_bytes());
            prop_assert_eq!(read, bytes);
        }

        #[test]
        fn json_can_be_read_back_and_never_leaves_its_line(bytes: Vec<u8>) {
            let written = escaped(json, &bytes);
            prop_assert!(!written.chars().any(char::is_control));
            let read: String = serde_json::from_str(&written).expect("JSON");
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }
}
