//! The header section of a request, looked at before anybody else does.
//!
//! What is ambiguous is refused here, on the bytes as they came, so that nothing behind can read it
//! otherwise than we do: bare CR or LF, white space where a request line or field name has none, folded
//! lines, two lengths, a length and a coding, two hosts (RFC 9112 sections 2.2, 3, 5, 6; RFC 9110
//! section 7.2), and names that CGI and its like take for those of framing. Of a chunked body, what has come with the
//! header is looked at too. Nothing is changed here.

use std::ops::Range;

use crate::config::model;
use crate::headers::{Fields, is_tchar};
use crate::http::wire::authority::encoded;
use crate::http::wire::framing::{BodyReader, Framing};

mod decisive;
mod section;
#[cfg(test)]
mod tests;

use decisive::{check_host, check_target, framing_of};
pub(in crate::http) use decisive::{content_length, is_expectation, is_like_framing};
pub(in crate::http) use section::is_method;
pub use section::line_so_far;
use section::{Ill, Section, end_of_head, first_line, leading_lines};

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
