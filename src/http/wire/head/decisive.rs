//! What decides where a request goes and where its body ends: two readers must never differ over it.

use super::{LIKE_FRAMING, MALFORMED_REQUEST_LINE, MAX_OPTIONS, NO_TARGET, Version};
use crate::headers::authority::is_same;
use crate::headers::names;
use crate::headers::names::Name;
use crate::headers::{is_known_as, is_tchar, trim};
use crate::http::wire::authority::{absolute_authority, is_authority, is_https, is_target};
use crate::http::wire::framing::Framing;

/// The one expectation there is (RFC 9110 section 10.1.1).
pub(in crate::http) fn is_expectation(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"100-continue")
}

/// A length that everybody reads alike: digits, no zero before others, and no more than fits into 63 bits.
pub(in crate::http) fn content_length(digits: &[u8]) -> Option<u64> {
    let plain = match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => digits.len() <= 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let length = digits.iter().filter(|_| plain).fold(0_u64, |sum, digit| {
        sum * 10 + u64::from(digit.wrapping_sub(b'0'))
    });
    (plain && i64::try_from(length).is_ok()).then_some(length)
}

/// Whether servers that know fields as CGI does can take that name for one that decides where a body ends, which it isn't.
pub(in crate::http) fn is_like_framing(name: &[u8]) -> bool {
    const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
    FRAMING
        .iter()
        .any(|known| is_known_as(name, known) && !name.eq_ignore_ascii_case(known))
}

/// What of the fields decides about framing and authority, and what else is looked at before all.
#[derive(Default)]
pub struct DecisiveFields<'a> {
    hosts: usize,
    host: &'a [u8],
    lengths: usize,
    length: &'a [u8],
    codings: usize,
    coding: &'a [u8],
    pub expectations: usize,
    pub expectation: &'a [u8],
    options: usize,
}

impl<'a> DecisiveFields<'a> {
    /// Takes a field in.
    ///
    /// # Errors
    ///
    /// It is malformed, or not what it looks like.
    pub fn note(&mut self, name: &Name, value: &'a [u8]) -> Result<(), &'static str> {
        let Name { name, is_plain, .. } = name;
        let (count, place) = if *name == names::HOST {
            (&mut self.hosts, &mut self.host)
        } else if *name == names::CONTENT_LENGTH {
            (&mut self.lengths, &mut self.length)
        } else if *name == names::TRANSFER_ENCODING {
            (&mut self.codings, &mut self.coding)
        } else if *name == names::EXPECT {
            (&mut self.expectations, &mut self.expectation)
        } else if *name == names::CONNECTION {
            return self.note_options(value);
        } else if !is_plain && is_like_framing(name.as_str().as_bytes()) {
            return Err(LIKE_FRAMING);
        } else {
            return Ok(());
        };
        *count += 1;
        *place = value;
        Ok(())
    }

    /// Options of a connection are names (RFC 9110 section 7.6.1), and few.
    fn note_options(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for option in value.split(|byte| *byte == b',').map(trim) {
            self.options += usize::from(!option.is_empty());
            if !option.iter().all(|byte| is_tchar(*byte)) {
                return Err("malformed Connection field");
            }
        }
        if self.options > MAX_OPTIONS {
            return Err("too many names in the Connection field");
        }
        Ok(())
    }
}

/// The forms of a target (RFC 9112 section 3.2).
pub fn check_target(
    method: &[u8],
    target: &[u8],
    fields: &DecisiveFields<'_>,
) -> Result<(), (u16, &'static str)> {
    if method == b"CONNECT" {
        return Err((405, "CONNECT is not served here"));
    }
    if !is_target(target) {
        return Err((400, NO_TARGET));
    }
    match target {
        [b'/', ..] => Ok(()),
        b"*" if method == b"OPTIONS" => Ok(()),
        _ => {
            let authority = absolute_authority(target).ok_or((400, MALFORMED_REQUEST_LINE))?;
            let https = is_https(target);
            // Two authorities that differ are an attempt.
            if !fields.host.is_empty() && !is_same(Some(https), fields.host, authority) {
                return Err((400, "the target's host and the Host field differ"));
            }
            Ok(())
        }
    }
}

pub fn check_host(version: Version, fields: &DecisiveFields<'_>) -> Result<(), &'static str> {
    match fields.hosts {
        0 if version == Version::V11 => Err("no Host field"),
        0 => Ok(()),
        // It says no more than none (RFC 9110 section 7.2).
        1 if fields.host.is_empty() && version == Version::V11 => Err("an empty Host field"),
        1 if fields.host.is_empty() || is_authority(fields.host) => Ok(()),
        1 => Err("malformed Host field"),
        _ => Err("more than one Host field"),
    }
}

pub fn framing_of(version: Version, fields: &DecisiveFields<'_>) -> Result<Framing, &'static str> {
    match (fields.codings, fields.lengths) {
        (0, 0) => Ok(Framing::None),
        (0, 1) => content_length(fields.length)
            .map(Framing::Length)
            .ok_or("malformed Content-Length"),
        (0, _) => Err("more than one Content-Length"),
        (_, 1..) => Err("both Content-Length and Transfer-Encoding"),
        (1, 0) if version == Version::V10 => Err("Transfer-Encoding in HTTP/1.0"),
        (1, 0) if fields.coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (1, 0) => Err("a Transfer-Encoding other than chunked"),
        (_, 0) => Err("more than one Transfer-Encoding"),
    }
}
