//! The header section of a request, looked at before anybody else does.
//!
//! What is ambiguous is refused here, on the bytes as they came, so that nothing behind can read it
//! otherwise than we do: bare CR or LF, white space where a request line or field name has none, folded
//! lines, two lengths, a length and a coding, two hosts (RFC 9112 sections 2.2, 3, 5, 6; RFC 9110
//! section 7.2), and names that CGI and its like take for those of framing. Of a chunked body, what has come with the
//! header is looked at too. Nothing is changed here.

use std::ops::Range;

use memchr::memchr;

use crate::config::model;
use crate::headers::authority::is_same;
use crate::headers::line::FieldLine;
use crate::headers::names;
use crate::headers::names::Name;
use crate::headers::{Fields, has_control, is_known_as, is_tchar, trim};
use crate::http::wire::authority::{
    absolute_authority, encoded, is_authority, is_https, is_target,
};
use crate::http::wire::framing::{BodyReader, Framing};

/// More fields than this are refused.
pub(super) const MAX_FIELDS: usize = 200;
/// More options of `Connection` than this are refused.
const MAX_OPTIONS: usize = 100;
/// Longer methods are refused.
const MAX_METHOD: usize = 32;
/// Empty lines before a request line that are overlooked (RFC 9112 section 2.2).
const MAX_LEADING_LINES: usize = 4;

/// What is known of a request from its header section.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Bytes before the request line, to be dropped.
    pub leading: usize,
    /// Bytes of the header section from the request line to the empty line.
    pub length: usize,
    /// How its body is delimited.
    pub framing: Framing,
    /// Whether it is HTTP/1.0.
    pub is_version_10: bool,
    /// Where method and target are in the bytes.
    pub line: RequestLine,
    /// The target with its odd characters encoded, if it has any.
    pub encoded: Option<Vec<u8>>,
    /// The fields, whose bytes are those that were looked at.
    pub fields: Fields,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer.
    pub status: u16,
    /// The reason in words, for the log and the error page.
    pub reason: &'static str,
    /// Where method and target are in the bytes, as far as they could be made out; for the log.
    pub line: Option<RequestLine>,
}

/// Where the parts of a request line are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// The method.
    pub method: Range<usize>,
    /// The target, as it came.
    pub target: Range<usize>,
}

/// The limits of SPEC that apply to a header section.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the whole section.
    pub header: usize,
    /// Bytes of the target.
    pub uri: usize,
    /// Bytes of the body, `0` = no limit.
    pub body: u64,
}

impl From<&model::Http> for HeadLimits {
    fn from(http: &model::Http) -> Self {
        Self {
            header: http.max_header_size,
            uri: http.max_uri_length,
            body: http.max_body_size,
        }
    }
}

/// Looks at what has been received. `None`: the header section is not complete yet. `scanned` bytes
/// were looked at in vain before.
///
/// # Errors
///
/// [`Refusal`] when the request must not be forwarded.
pub fn inspect(
    received: &[u8],
    scanned: usize,
    limits: &HeadLimits,
) -> Result<Option<Head>, Refusal> {
    let leading = leading_lines(received)?;
    let message = received.get(leading..).unwrap_or_default();
    // A section that comes byte by byte isn't read anew with each.
    let is_awaited = scanned > leading && end_of_head(message, scanned - leading).is_none();
    let read = if is_awaited {
        Err(Ill::Unfinished)
    } else {
        Section::read(message, leading)
    };
    let section = match read {
        Ok(section) => section,
        Err(ill) => {
            let length = if is_awaited {
                None
            } else {
                end_of_head(message, 0)
            };
            let head = length.and_then(|length| message.get(..length));
            if let Some((status, reason)) = too_long(head.unwrap_or(message), limits) {
                return Err(refuse(status, reason, line_so_far(received)));
            }
            return match (head, ill) {
                (None, _) => match no_beginning(message) {
                    Some(reason) => Err(refuse(400, reason, None)),
                    None => Ok(None),
                },
                (Some(_), Ill::Refused(refusal)) => Err(refusal),
                (Some(_), Ill::Unfinished) => Err(refuse(400, MALFORMED_LINE, None)),
            };
        }
    };
    let Section {
        line,
        version,
        fields,
        list,
        length,
    } = section;
    let with_line = |status, reason| refuse(status, reason, Some(line.clone()));
    if line.target.len() > limits.uri {
        let (status, reason) = URI_TOO_LONG;
        return Err(with_line(status, reason));
    }
    if length > limits.header {
        let (status, reason) = HEADER_TOO_LARGE;
        return Err(with_line(status, reason));
    }
    let target = received.get(line.target.clone()).unwrap_or_default();
    let method = received.get(line.method.clone()).unwrap_or_default();
    check_target(method, target, &fields).map_err(|(status, reason)| with_line(status, reason))?;
    check_host(version, &fields).map_err(|reason| with_line(400, reason))?;
    let framing = framing_of(version, &fields).map_err(|reason| with_line(400, reason))?;
    if method == b"TRACE" && framing != Framing::None {
        // RFC 9110 section 9.3.8.
        return Err(with_line(400, "a TRACE with a body"));
    }
    if fields.expectations > 0 && !(fields.expectations == 1 && is_expectation(fields.expectation))
    {
        return Err(with_line(417, UNKNOWN_EXPECTATION));
    }
    if let Framing::Length(length) = framing
        && limits.body > 0
        && length > limits.body
    {
        return Err(with_line(413, "the body is larger than max_body_size"));
    }
    if framing == Framing::Chunked {
        // As far as it has come already: then nothing of the request is forwarded.
        let body = message.get(length..).unwrap_or_default();
        BodyReader::of_request(framing)
            .follow(body)
            .map_err(|_| with_line(400, "malformed chunked body"))?;
    }
    Ok(Some(Head {
        leading,
        length,
        framing,
        is_version_10: version == Version::V10,
        encoded: encoded(target),
        line,
        fields: list,
    }))
}

/// Why no request can begin like this, whatever comes: nobody is to wait for its end.
fn no_beginning(message: &[u8]) -> Option<&'static str> {
    match message {
        // A handshake's record (RFC 8446 section 5.1).
        [22, 3, ..] => Some("the client speaks TLS, and this port speaks plain HTTP"),
        // A record of which the rest is to come, or the end of an empty line.
        [22 | b'\r'] | [] => None,
        [first, ..] => (!is_tchar(*first)).then_some(NO_METHOD),
    }
}

/// `HTTP/1.0` or `HTTP/1.1`; all else was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V10,
    V11,
}

/// The answer to an `Expect` that is none of ours, with status 417.
pub(in crate::http) const UNKNOWN_EXPECTATION: &str = "an expectation other than 100-continue";
/// The answer to a field that CGI takes for one of framing.
pub(super) const LIKE_FRAMING: &str =
    "a field whose name can be taken for Content-Length or Transfer-Encoding";

/// Why a target is refused by its characters.
pub(in crate::http) const NO_TARGET: &str = "the target has a control character, a #, or bytes that are no UTF-8; they must be percent-encoded";

const NO_METHOD: &str = "what came first is no method";
const MALFORMED_LINE: &str = "malformed line: a bare CR or LF, or a control character";
const MALFORMED_REQUEST_LINE: &str = "malformed request line";
const MALFORMED_NAME: &str =
    "malformed header name (or a folded line, or a space before the colon)";

fn refuse(status: u16, reason: &'static str, line: Option<RequestLine>) -> Refusal {
    Refusal {
        status,
        reason,
        line,
    }
}

fn leading_lines(received: &[u8]) -> Result<usize, Refusal> {
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
fn end_of_head(message: &[u8], scanned: usize) -> Option<usize> {
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

/// What a request line has besides the target: the longest method, two spaces, the version, CR.
const AROUND_TARGET: usize = MAX_METHOD + 2 + 9;

const URI_TOO_LONG: (u16, &str) = (414, "the URI is longer than max_uri_length");
const HEADER_TOO_LARGE: (u16, &str) = (431, "the header is larger than max_header_size");

/// Whether what has come is too long already, whatever it is.
fn too_long(message: &[u8], limits: &HeadLimits) -> Option<(u16, &'static str)> {
    let first = first_line(message);
    if first.len() > limits.uri.saturating_add(AROUND_TARGET) {
        return Some(URI_TOO_LONG);
    }
    if message.len() > limits.header {
        return Some(HEADER_TOO_LARGE);
    }
    let target = first.split(|byte| *byte == b' ').nth(1);
    target
        .is_some_and(|target| target.len() > limits.uri)
        .then_some(URI_TOO_LONG)
}

/// Without its end, if it has come.
fn first_line(message: &[u8]) -> &[u8] {
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
struct Section<'a> {
    line: RequestLine,
    version: Version,
    fields: DecisiveFields<'a>,
    list: Fields,
    /// Bytes of all of it.
    length: usize,
}

/// Why there is none.
enum Ill {
    /// Its end hasn't come, or won't.
    Unfinished,
    Refused(Refusal),
}

impl<'a> Section<'a> {
    /// Reads what `message` begins with, which `leading` bytes were received before.
    fn read(message: &'a [u8], leading: usize) -> Result<Self, Ill> {
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
pub(super) fn is_like_framing(name: &[u8]) -> bool {
    const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
    FRAMING
        .iter()
        .any(|known| is_known_as(name, known) && !name.eq_ignore_ascii_case(known))
}

/// What of the fields decides about framing and authority, and what else is looked at before all.
#[derive(Default)]
struct DecisiveFields<'a> {
    hosts: usize,
    host: &'a [u8],
    lengths: usize,
    length: &'a [u8],
    codings: usize,
    coding: &'a [u8],
    expectations: usize,
    expectation: &'a [u8],
    options: usize,
}

impl<'a> DecisiveFields<'a> {
    fn note(&mut self, name: &Name, value: &'a [u8]) -> Result<(), &'static str> {
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
fn check_target(
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

fn check_host(version: Version, fields: &DecisiveFields<'_>) -> Result<(), &'static str> {
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

fn framing_of(version: Version, fields: &DecisiveFields<'_>) -> Result<Framing, &'static str> {
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

#[cfg(test)]
mod tests;
