//! The header section of a request, looked at before anybody else does.
//!
//! What is ambiguous is refused here, on the bytes as they came, so that nothing behind can read it
//! otherwise than we do: bare CR or LF, white space where a request line or field name has none, folded
//! lines, two lengths, a length and a coding, two hosts (RFC 9112 sections 2.2, 3, 5, 6; RFC 9110
//! section 7.2). Nothing is changed; a request that passes is forwarded as it is.

use std::ops::Range;

use crate::config::model;
use crate::listen::framing::Framing;

/// More fields than this are refused; Pingora's own limit is 256.
pub(super) const MAX_FIELDS: usize = 200;
/// Empty lines before a request line that are overlooked (RFC 9112 section 2.2).
const MAX_LEADING_LINES: usize = 4;

/// What is known of a request from its header section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Bytes before the request line, to be dropped.
    pub leading: usize,
    /// Bytes of the header section from the request line to the empty line.
    pub length: usize,
    /// How its body is delimited.
    pub framing: Framing,
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
    let Some(length) = end_of_head(message, scanned.saturating_sub(leading)) else {
        return match too_long(message, limits) {
            Some(refusal) => Err(refusal),
            None => Ok(None),
        };
    };
    let head = message.get(..length).unwrap_or_default();
    if let Some(refusal) = too_long(head, limits) {
        return Err(refusal);
    }
    let mut lines = Lines { rest: head, at: 0 };
    let first = lines.next().unwrap_or(Err(MALFORMED_LINE));
    let (line, version) = match first {
        Ok((line, at)) => request_line(line, at + leading)?,
        Err(reason) => return Err(refuse(400, reason, None)),
    };
    let with_line = |status, reason| refuse(status, reason, Some(line.clone()));
    let fields =
        Fields::collect(&mut lines).map_err(|(status, reason)| with_line(status, reason))?;
    let target = received.get(line.target.clone()).unwrap_or_default();
    let method = received.get(line.method.clone()).unwrap_or_default();
    check_target(method, target, &fields).map_err(|(status, reason)| with_line(status, reason))?;
    check_host(version, &fields).map_err(|reason| with_line(400, reason))?;
    let framing = framing(version, &fields).map_err(|reason| with_line(400, reason))?;
    if let Framing::Length(length) = framing
        && limits.body > 0
        && length > limits.body
    {
        return Err(with_line(413, "the body is larger than max_body_size"));
    }
    Ok(Some(Head {
        leading,
        length,
        framing,
    }))
}

/// `HTTP/1.0` or `HTTP/1.1`; all else was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V10,
    V11,
}

const MALFORMED_LINE: &str = "malformed line: a bare CR or LF, or a control character";
const MALFORMED_REQUEST_LINE: &str = "malformed request line";

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
        let lf = at + rest.iter().position(|byte| *byte == b'\n')?;
        match message.get(lf + 1..)? {
            [b'\r', b'\n', ..] => return Some(lf + 3),
            [b'\n', ..] => return Some(lf + 2),
            _ => at = lf + 1,
        }
    }
}

/// What a request line has besides the target: the longest method, two spaces, the version, CR.
const AROUND_TARGET: usize = 32 + 2 + 9;

fn too_long(message: &[u8], limits: &HeadLimits) -> Option<Refusal> {
    let line_end = message.iter().position(|byte| *byte == b'\n');
    let first = message.get(..line_end.unwrap_or(message.len()))?;
    if first.len() > limits.uri.saturating_add(AROUND_TARGET) {
        return Some(refuse(414, "the URI is longer than max_uri_length", None));
    }
    if message.len() > limits.header {
        return Some(refuse(
            431,
            "the header is larger than max_header_size",
            None,
        ));
    }
    if let Some(target) = first.split(|byte| *byte == b' ').nth(1)
        && target.len() > limits.uri
    {
        return Some(refuse(414, "the URI is longer than max_uri_length", None));
    }
    None
}

/// Splits a header section at CRLF and nothing else.
struct Lines<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    /// A line without its end, and where it begins.
    type Item = Result<(&'a [u8], usize), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(lf) = self.rest.iter().position(|byte| *byte == b'\n') else {
            return Some(Err(MALFORMED_LINE));
        };
        let (line, at) = (self.rest.get(..lf)?, self.at);
        self.rest = self.rest.get(lf + 1..)?;
        self.at += lf + 1;
        let Some(line) = line.strip_suffix(b"\r") else {
            return Some(Err(MALFORMED_LINE));
        };
        if line
            .iter()
            .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
        {
            return Some(Err(MALFORMED_LINE));
        }
        Some(Ok((line, at)))
    }
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
    let well_formed = !method.is_empty()
        && method.len() <= 32
        && method.iter().all(|byte| is_tchar(*byte))
        && !target.is_empty()
        && !target.contains(&b'\t');
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

/// What of the fields decides about framing and authority.
#[derive(Default)]
struct Fields<'a> {
    hosts: usize,
    host: &'a [u8],
    lengths: usize,
    length: &'a [u8],
    codings: usize,
    coding: &'a [u8],
}

impl<'a> Fields<'a> {
    fn collect(lines: &mut Lines<'a>) -> Result<Self, (u16, &'static str)> {
        let mut fields = Self::default();
        for (count, line) in lines.enumerate() {
            let (line, _) = line.map_err(|reason| (400, reason))?;
            if line.is_empty() {
                return Ok(fields);
            }
            if count >= MAX_FIELDS {
                return Err((431, "too many header fields"));
            }
            let colon = line
                .iter()
                .position(|byte| *byte == b':')
                .ok_or((400, "a header line without a colon"))?;
            let (name, value) = line.split_at(colon);
            if name.is_empty() || !name.iter().all(|byte| is_tchar(*byte)) {
                return Err((
                    400,
                    "malformed header name (or a folded line, or a space before the colon)",
                ));
            }
            fields.note(name, trim(value.get(1..).unwrap_or_default()));
        }
        Ok(fields)
    }

    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        let (count, place) = if name.eq_ignore_ascii_case(b"host") {
            (&mut self.hosts, &mut self.host)
        } else if name.eq_ignore_ascii_case(b"content-length") {
            (&mut self.lengths, &mut self.length)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            (&mut self.codings, &mut self.coding)
        } else {
            return;
        };
        *count += 1;
        *place = value;
    }
}

/// The forms of a target (RFC 9112 section 3.2).
fn check_target(
    method: &[u8],
    target: &[u8],
    fields: &Fields<'_>,
) -> Result<(), (u16, &'static str)> {
    if method == b"CONNECT" {
        return Err((405, "CONNECT is not served here"));
    }
    if !is_target(target) {
        return Err((
            400,
            "the target has characters that must be percent-encoded",
        ));
    }
    match target {
        [b'/', ..] => Ok(()),
        b"*" if method == b"OPTIONS" => Ok(()),
        _ => {
            let authority = absolute_authority(target).ok_or((400, MALFORMED_REQUEST_LINE))?;
            // A proxy would have to rewrite Host; two authorities that differ are an attempt.
            if fields.hosts == 1 && !fields.host.eq_ignore_ascii_case(authority) {
                return Err((400, "the target's host and the Host field differ"));
            }
            Ok(())
        }
    }
}

/// Whether a target has only characters that one may have (RFC 3986), or at least those that everybody
/// behind reads alike: what else there is, like `"`, `<` or a raw byte, is encoded by some and refused
/// by others. A fragment is never sent (RFC 9110 section 4.2.5).
pub(super) fn is_target(target: &[u8]) -> bool {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%[]".contains(byte);
    target.iter().all(plain) || (!target.contains(&b'#') && http::Uri::try_from(target).is_ok())
}

/// The authority of a target in absolute form (RFC 9112 section 3.2.2); `None` for the other forms.
pub(super) fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    let at = target.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = target.split_at(at);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    is_authority(authority).then_some(authority)
}

fn check_host(version: Version, fields: &Fields<'_>) -> Result<(), &'static str> {
    match fields.hosts {
        0 if version == Version::V11 => Err("no Host field"),
        0 => Ok(()),
        1 if fields.host.is_empty() || is_authority(fields.host) => Ok(()),
        1 => Err("malformed Host field"),
        _ => Err("more than one Host field"),
    }
}

/// Host and port, without user information (RFC 9110 section 4.2.4 deprecates it).
pub(super) fn is_authority(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'.' | b'-'
                        | b'_'
                        | b'~'
                        | b':'
                        | b'['
                        | b']'
                        | b'%'
                        | b'!'
                        | b'$'
                        | b'&'
                        | b'\''
                        | b'('
                        | b')'
                        | b'*'
                        | b'+'
                        | b','
                        | b';'
                        | b'='
                )
        })
}

fn framing(version: Version, fields: &Fields<'_>) -> Result<Framing, &'static str> {
    match (fields.codings, fields.lengths) {
        (0, 0) => Ok(Framing::None),
        (0, 1) => {
            let digits = fields.length;
            if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
                return Err("malformed Content-Length");
            }
            let length = digits
                .iter()
                .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            Ok(Framing::Length(length))
        }
        (0, _) => Err("more than one Content-Length"),
        (_, 1..) => Err("both Content-Length and Transfer-Encoding"),
        (1, 0) if version == Version::V10 => Err("Transfer-Encoding in HTTP/1.0"),
        (1, 0) if fields.coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (1, 0) => Err("a Transfer-Encoding other than chunked"),
        (_, 0) => Err("more than one Transfer-Encoding"),
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests;
