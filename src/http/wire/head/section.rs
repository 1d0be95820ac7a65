//! A header section line by line: where its lines are, and whether each is in order by itself.

use memchr::memchr;

use super::decisive::DecisiveFields;
use super::{
    MALFORMED_LINE, MALFORMED_NAME, MALFORMED_REQUEST_LINE, MAX_FIELDS, MAX_LEADING_LINES,
    MAX_METHOD, Refusal, RequestLine, Version, refuse,
};
use crate::headers::line::FieldLine;
use crate::headers::names::Name;
use crate::headers::{Fields, has_control};

/// Bytes of the empty lines that come first and are overlooked.
pub fn leading_lines(received: &[u8]) -> Result<usize, Refusal> {
    let mut at = 0;
    for _ in 0..MAX_LEADING_LINES {
        if received.get(at..at + 2) != Some(b"\r\n") {
            return Ok(at);
        }
        at += 2;
    }
    Err(refuse(400, "empty lines instead of a request", None))
}

/// The length of the header section with its empty line, if it is complete. A section whose lines end
/// in bare LF is found as well, so that it can be refused instead of waited for.
pub fn end_of_head(message: &[u8], scanned: usize) -> Option<usize> {
    let mut at = scanned.saturating_sub(3);
    loop {
        let rest = message.get(at..)?;
        let lf = at + memchr(b'\n', rest)?;
        match message.get(lf + 1..)? {
            [b'\r', b'\n', ..] => return Some(lf + 3),
            [b'\n', ..] => return Some(lf + 2),
            _ => at = lf + 1,
        }
    }
}

/// Without its end, if it has come.
pub fn first_line(message: &[u8]) -> &[u8] {
    let end = memchr(b'\n', message);
    message
        .get(..end.unwrap_or(message.len()))
        .unwrap_or_default()
}

/// The parts of a request line of which more may be to come; `None` if there is no method yet. For the log, and to know
/// whether the refusal may have a body.
pub fn line_so_far(received: &[u8]) -> Option<RequestLine> {
    let at = leading_lines(received).ok()?;
    let line = first_line(received.get(at..)?);
    let mut parts = line
        .strip_suffix(b"\r")
        .unwrap_or(line)
        .split(|byte| *byte == b' ');
    let (method, target) = (parts.next()?, parts.next()?);
    let begin = at + method.len() + 1;
    is_method(method).then(|| RequestLine {
        method: at..at + method.len(),
        target: begin..begin + target.len(),
    })
}

/// A header section that is in order line by line.
pub struct Section<'a> {
    pub line: RequestLine,
    pub version: Version,
    pub fields: DecisiveFields<'a>,
    pub list: Fields,
    /// Bytes of all of it.
    pub length: usize,
}

/// Why there is none.
pub enum Ill {
    /// Its end hasn't come, or won't.
    Unfinished,
    Refused(Refusal),
}

impl<'a> Section<'a> {
    /// Reads what `message` begins with, which `leading` bytes were received before.
    pub fn read(message: &'a [u8], leading: usize) -> Result<Self, Ill> {
        let (first, mut at) = line_at(message, 0)
            .map_err(|reason| Ill::Refused(refuse(400, reason, None)))?
            .ok_or(Ill::Unfinished)?;
        let (line, version) = request_line(first, leading).map_err(Ill::Refused)?;
        let refused = |(status, reason)| Ill::Refused(refuse(status, reason, Some(line.clone())));
        let mut fields = DecisiveFields::default();
        let mut list = Fields::with_room();
        loop {
            let rest = message.get(at..).unwrap_or_default();
            if rest.starts_with(b"\r\n") {
                break;
            }
            let Some(field) = FieldLine::parse(rest).filter(|_| list.len() < MAX_FIELDS) else {
                let fault = fault_of(message, at, list.len());
                return Err(fault.map_or(Ill::Unfinished, refused));
            };
            let name = rest.get(..field.name).and_then(Name::parse);
            let name = name.ok_or_else(|| refused((400, MALFORMED_NAME)))?;
            let value = rest.get(field.value.clone()).unwrap_or_default();
            fields
                .note(&name, value)
                .map_err(|reason| refused((400, reason)))?;
            let begin = leading + at;
            let value = begin + field.value.start..begin + field.value.end;
            list.add_received(name, value, begin);
            at += field.length;
        }
        Ok(Self {
            line,
            version,
            fields,
            list,
            length: at + 2,
        })
    }
}

/// The line that begins there, without its end, and where the next one begins. `None`: its end hasn't come.
fn line_at(message: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, &'static str> {
    let rest = message.get(at..).unwrap_or_default();
    let Some(lf) = memchr(b'\n', rest) else {
        return Ok(None);
    };
    let line = rest.get(..lf).and_then(|line| line.strip_suffix(b"\r"));
    match line {
        Some(line) if !has_control(line) => Ok(Some((line, at + lf + 1))),
        _ => Err(MALFORMED_LINE),
    }
}

/// What is wrong with the line that begins there, behind so many fields. `None`: it isn't all there.
fn fault_of(message: &[u8], at: usize, count: usize) -> Option<(u16, &'static str)> {
    Some(match line_at(message, at) {
        Ok(None) => return None,
        Err(reason) => (400, reason),
        Ok(Some(_)) if count >= MAX_FIELDS => (431, "too many header fields"),
        Ok(Some((line, _))) if !line.contains(&b':') => (400, "a header line without a colon"),
        Ok(Some(_)) => (400, MALFORMED_NAME),
    })
}

fn request_line(line: &[u8], at: usize) -> Result<(RequestLine, Version), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(refuse(400, MALFORMED_REQUEST_LINE, None));
    };
    let places = RequestLine {
        method: at..at + method.len(),
        target: at + method.len() + 1..at + method.len() + 1 + target.len(),
    };
    let well_formed = is_method(method) && !target.is_empty() && !target.contains(&b'\t');
    if !well_formed {
        return Err(refuse(400, MALFORMED_REQUEST_LINE, Some(places)));
    }
    let version = match version {
        b"HTTP/1.1" => Version::V11,
        b"HTTP/1.0" => Version::V10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(refuse(505, "HTTP version not supported", Some(places)));
        }
        _ => return Err(refuse(400, MALFORMED_REQUEST_LINE, Some(places))),
    };
    Ok((places, version))
}

/// A method: upper-case, digits, `-` and `_`, as nginx has it. Methods are case-sensitive (RFC 9110 section 9.1), but not
/// all servers know: to one `head` is HEAD and the response has no body, to us it isn't.
pub(in crate::http) fn is_method(method: &[u8]) -> bool {
    !method.is_empty()
        && method.len() <= MAX_METHOD
        && method
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(byte))
}
