//! Header fields as HTTP/1 writes them.
//!
//! Names are case-insensitive, and the header map has them in lower case. But there are clients and servers that look
//! closer than they should, so what is passed on keeps the spelling that it came with. It needs no room of its own: a
//! value that wasn't touched still lies in the bytes of the head that it came in, and in front of it is its name.

use bytes::Bytes;
use http::header::{CONNECTION, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::spelling;
use crate::headers::trim;

/// The bytes of a head whose fields are passed on.
#[derive(Debug, Clone, Default)]
pub struct Original(Bytes);

impl Original {
    /// The head as it came.
    pub fn new(head: Bytes) -> Self {
        Self(head)
    }

    /// The name as it was spelt in front of that value; `None` if the value isn't one of this head.
    fn spelling(&self, name: &HeaderName, value: &HeaderValue) -> Option<&[u8]> {
        let head = self.0.as_ptr().addr();
        let at = value.as_bytes().as_ptr().addr().checked_sub(head)?;
        let before = self.0.get(..at).filter(|_| at < self.0.len())?;
        let before = trim(before).strip_suffix(b":").map(trim)?;
        let begin = before.len().checked_sub(name.as_str().len())?;
        let spelt = before.get(begin..)?;
        spelt
            .eq_ignore_ascii_case(name.as_str().as_bytes())
            .then_some(spelt)
    }
}

/// Writes all fields but `Connection`, and `Transfer-Encoding`, which are those of the connection that is written to.
pub fn write(out: &mut Vec<u8>, headers: &HeaderMap, original: &Original) {
    for (name, value) in headers {
        if *name == CONNECTION || *name == TRANSFER_ENCODING {
            continue;
        }
        write_one(out, name, value, original);
    }
}

/// Writes one field.
pub fn write_one(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue, original: &Original) {
    match original.spelling(name, value) {
        Some(spelt) => out.extend_from_slice(spelt),
        None => write_name(out, name),
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes the date of now, unless there is one (RFC 9110 section 6.6.1).
pub fn write_date(out: &mut Vec<u8>, headers: &HeaderMap, now: &HeaderValue) {
    if !headers.contains_key(DATE) {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(now.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes a name as everybody spells it.
fn write_name(out: &mut Vec<u8>, name: &HeaderName) {
    if let Some(spelt) = spelling::spelling(name) {
        out.extend_from_slice(spelt.as_bytes());
        return;
    }
    let mut begins = true;
    for byte in name.as_str().bytes() {
        out.push(if begins {
            byte.to_ascii_uppercase()
        } else {
            byte
        });
        begins = byte == b'-';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_touched_keeps_its_spelling() {
        let head = Bytes::from_static(b"GET / HTTP/1.1\r\nx-ODD : a\r\nhOSt:b\r\nX-Two: c\r\n\r\n");
        let original = Original::new(head.clone());
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-odd", "a"), ("host", "b"), ("x-two", "c")] {
            let at = head
                .windows(1)
                .rposition(|byte| byte == value.as_bytes())
                .unwrap();
            let value = HeaderValue::from_maybe_shared(head.slice(at..=at)).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers.insert("x-two", HeaderValue::from_static("d"));
        headers.insert("x-real-ip", HeaderValue::from_static("e"));
        headers.insert("connection", HeaderValue::from_static("close"));
        let mut out = Vec::new();
        write(&mut out, &headers, &original);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "x-ODD: a\r\nhOSt: b\r\nX-Two: d\r\nX-Real-IP: e\r\n"
        );
    }

    #[test]
    fn a_value_from_elsewhere_has_no_spelling() {
        let original = Original::new(Bytes::from_static(b"X-A: b"));
        let name = HeaderName::from_static("x-a");
        for value in ["", "b"] {
            let value = HeaderValue::from_str(value).unwrap();
            assert_eq!(original.spelling(&name, &value), None);
        }
        assert_eq!(
            Original::default().spelling(&name, &HeaderValue::from_static("b")),
            None
        );
    }
}
