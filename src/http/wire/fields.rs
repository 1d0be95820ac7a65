//! Header fields as HTTP/1 writes them.
//!
//! Names are case-insensitive. But there are clients and servers that look closer than they should, so what is passed on
//! keeps the spelling that it came with.

use crate::headers::names::{CONNECTION, DATE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};

use crate::headers::{Fields, ValueRef, spelling};

/// Writes all fields but `Connection`, and `Transfer-Encoding`, which are those of the connection that is written to.
pub fn write(out: &mut Vec<u8>, fields: &Fields) {
    for (name, value, spelt) in fields.spelt() {
        if *name != CONNECTION && *name != TRANSFER_ENCODING {
            write_one(out, name, value, spelt);
        }
    }
}

/// Writes one field, with its name as it is `spelt`, or else as everybody spells it.
pub fn write_one(out: &mut Vec<u8>, name: &HeaderName, value: ValueRef<'_>, spelt: Option<&[u8]>) {
    match spelt {
        Some(spelt) => out.extend_from_slice(spelt),
        None => write_name(out, name),
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes the date of now, unless there is one (RFC 9110 section 6.6.1).
pub fn write_date(out: &mut Vec<u8>, headers: &Fields, now: &HeaderValue) {
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
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_was_not_touched_keeps_its_spelling() {
        let head = Bytes::from_static(b"x-ODD : a\r\nhOSt:b\r\nX-Two: c\r\n\r\n");
        let mut fields = Fields::new();
        for (name, value, spelt) in [
            ("x-odd", 8..9, 0),
            ("host", 16..17, 11),
            ("x-two", 26..27, 19),
        ] {
            fields.add_received(HeaderName::from_static(name).into(), value, spelt);
        }
        fields.set_received(head);
        for (name, value) in [("x-two", "d"), ("x-real-ip", "e"), ("connection", "close")] {
            let value = HeaderValue::from_static(value);
            fields.insert(HeaderName::from_static(name), value);
        }
        let mut out = Vec::new();
        write(&mut out, &fields);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "x-ODD: a\r\nhOSt: b\r\nX-Two: d\r\nX-Real-IP: e\r\n"
        );
    }
}
