//! How a response's body is delimited, whichever HTTP it came by.

use http::{Method, StatusCode, Version};

use super::framing::Framing;
use super::message::ResponseHeader;
use crate::headers::Fields;
use crate::headers::names::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};

/// Fields of one response.
pub const MAX_FIELDS: usize = 256;

/// Bytes of one response's fields.
pub const MAX_SIZE: usize = 256 * 1024;

/// How a response's body is delimited, if the response can mean one thing only. `wanted`: the fields of the request that
/// ask to switch protocols.
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn of(
    method: &Method,
    response: &ResponseHeader,
    wanted: Option<&Fields>,
) -> Result<Framing, &'static str> {
    let (version, status, headers) = (response.version, response.status, &response.headers);
    if !matches!(
        version,
        Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2
    ) {
        return Err("unknown HTTP version");
    }
    if status.as_u16() > 599 {
        return Err("status beyond 599");
    }
    if headers.len() > MAX_FIELDS {
        return Err("too many fields");
    }
    let mut size = 0;
    for (name, value) in headers {
        size += name.as_str().len() + value.len();
        if size > MAX_SIZE {
            return Err("header section too large");
        }
    }
    let length = length(headers)?;
    let chunked = is_chunked(version, headers)?;
    if length.is_some() && chunked {
        return Err("both Content-Length and Transfer-Encoding");
    }
    if status.is_informational() && (chunked || length.is_some_and(|length| length > 0)) {
        return Err("interim response with a body");
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        switches_as_asked(version, headers, wanted)?;
    }
    Ok(match length {
        _ if status.is_informational() || response.ends_with_header(method) => Framing::None,
        _ if chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

/// The length that a response says it has (RFC 9112 section 6.3).
fn length(headers: &Fields) -> Result<Option<u64>, &'static str> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err("more than one Content-Length");
    }
    let digits = line.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("malformed Content-Length");
    }
    let length = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        // There are readers that count in signed numbers.
        .filter(|length| *length <= u64::MAX / 2);
    match length {
        Some(length) => Ok(Some(length)),
        None => Err("malformed Content-Length"),
    }
}

/// Whether a response comes in chunks. Nothing else is a transfer coding here (RFC 9112 section 6.1).
fn is_chunked(version: Version, headers: &Fields) -> Result<bool, &'static str> {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(line) = lines.next() else {
        return Ok(false);
    };
    if lines.next().is_some() || !line.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err("a transfer coding other than chunked");
    }
    if version != Version::HTTP_11 {
        return Err("Transfer-Encoding in another version than HTTP/1.1");
    }
    Ok(true)
}

/// Whether a 101 switches to a protocol that was asked for (RFC 9110 section 7.8).
fn switches_as_asked(
    version: Version,
    headers: &Fields,
    wanted: Option<&Fields>,
) -> Result<(), &'static str> {
    let Some(wanted) = wanted else {
        return Err("101 that nobody asked for");
    };
    if version != Version::HTTP_11 {
        return Err("101 in another version than HTTP/1.1");
    }
    let mut protocols = headers.members(UPGRADE).peekable();
    if protocols.peek().is_none() {
        return Err("101 without Upgrade");
    }
    if protocols.all(|protocol| {
        wanted
            .members(UPGRADE)
            .any(|wanted| wanted.eq_ignore_ascii_case(protocol))
    }) {
        Ok(())
    } else {
        Err("101 to a protocol that was not asked for")
    }
}
