//! Trailer sections of HTTP/1 (RFC 9112 section 7.1.2).

use http::{HeaderName, HeaderValue};

use super::fields;
use crate::headers::Fields;
use crate::headers::trim;

/// The fields of a trailer section that was found to be well formed; what isn't one all the same is left out.
pub fn parse(section: &[u8]) -> Option<Fields> {
    if section.is_empty() {
        return None;
    }
    let mut trailers = Fields::new();
    for line in section.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = trim(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            trailers.append(name, value);
        }
    }
    Some(trailers).filter(|trailers| !trailers.is_empty())
}

/// Writes the last chunk, and the trailers behind it.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    fields::write(out, trailers);
    out.extend_from_slice(b"\r\n");
}

/// Writes the line in front of a chunk of that size.
pub fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 16];
    let (mut left, mut at) = (size, text.len());
    while at > 0 && (left > 0 || at == text.len()) {
        at -= 1;
        if let (Some(place), Some(digit)) = (text.get_mut(at), DIGITS.get(left & 15)) {
            *place = *digit;
        }
        left >>= 4;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_read_and_written() {
        let trailers = parse(b"X-A: 1\r\nx-b:2 \r\nX-A: 3\r\n").unwrap();
        assert_eq!(trailers.len(), 3);
        let mut out = Vec::new();
        write_last_chunk(&mut out, &trailers);
        assert_eq!(out, b"0\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n");
        assert!(parse(b"").is_none());
    }

    proptest! {
        #[test]
        fn sizes_are_written_in_hexadecimal(size: usize) {
            let mut out = Vec::new();
            write_chunk_size(&mut out, size);
            prop_assert_eq!(out, format!("{size:x}\r\n").into_bytes());
        }
    }
}
