//! The head of a response of HTTP/1.
//!
//! What RFC 9112 lets a client put right is put right: folded lines are one line (section 5.2), a bare LF ends a line
//! (section 2.2), white space before a colon is dropped (section 5.1), of Transfer-Encoding and Content-Length only the
//! former counts (section 6.3). Everything else that two readers could take for two different things is refused.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, StatusCode, Version};
use memchr::memchr;

use crate::headers::line::FieldLine;
use crate::headers::names::Name;
use crate::headers::{Fields, has_control, trim};
use crate::http::wire::message::ResponseHeader;

/// Bytes of one head.
const MAX_SIZE: usize = 256 * 1024;
/// Fields of one head.
const MAX_FIELDS: usize = 256;
/// What every one begins with.
const BEGIN: &[u8] = b"HTTP/1.";
/// Empty lines before a head that are overlooked.
const MAX_LEADING: usize = 8;

/// Why what came is no response.
pub type Invalid = &'static str;

/// What was looked at in vain of a head that isn't complete yet.
#[derive(Debug, Default)]
pub struct Progress {
    scanned: usize,
}

/// Takes a head out of what has come; `None`: more has to come first.
///
/// # Errors
///
/// It is no response, in words.
pub fn take(
    inbox: &mut BytesMut,
    progress: &mut Progress,
) -> Result<Option<ResponseHeader>, Invalid> {
    if progress.scanned == 0 {
        skip_empty_lines(inbox)?;
        let seen = inbox
            .get(..BEGIN.len().min(inbox.len()))
            .unwrap_or_default();
        if !BEGIN.starts_with(seen) {
            return Err("not HTTP/1");
        }
    }
    let Some(length) = end_of_head(inbox, progress.scanned) else {
        progress.scanned = inbox.len();
        return if inbox.len() > MAX_SIZE {
            Err("header section too large")
        } else {
            Ok(None)
        };
    };
    progress.scanned = 0;
    if length > MAX_SIZE {
        return Err("header section too large");
    }
    let bytes = inbox.split_to(length).freeze();
    parse(&bytes).map(Some)
}

fn skip_empty_lines(inbox: &mut BytesMut) -> Result<(), Invalid> {
    for _ in 0..MAX_LEADING {
        match inbox.get(..) {
            Some([b'\r', b'\n', ..]) => inbox.advance(2),
            Some([b'\n', ..]) => inbox.advance(1),
            _ => return Ok(()),
        }
    }
    Err("empty lines instead of a response")
}

/// The length of the head with its empty line, if it is complete.
fn end_of_head(bytes: &[u8], scanned: usize) -> Option<usize> {
    let mut at = scanned.saturating_sub(2);
    loop {
        let lf = at + memchr(b'\n', bytes.get(at..)?)?;
        match bytes.get(lf + 1..)? {
            [b'\n', ..] => return Some(lf + 2),
            [b'\r', b'\n', ..] => return Some(lf + 3),
            _ => at = lf + 1,
        }
    }
}

fn parse(head: &Bytes) -> Result<ResponseHeader, Invalid> {
    let mut lines = Lines { head, at: 0 };
    let first = lines.next().ok_or("no status line")??;
    let status = status_line(head.get(first).unwrap_or_default())?;
    let mut headers = Fields::with_room();
    loop {
        let begin = lines.at;
        let rest = head.get(begin..).unwrap_or_default();
        if matches!(rest, b"" | b"\n" | b"\r\n") {
            break;
        }
        if headers.len() >= MAX_FIELDS {
            return Err("too many fields");
        }
        match FieldLine::parse(rest).filter(|line| !is_folded(rest, line.length)) {
            Some(line) => {
                let name = rest.get(..line.name).and_then(Name::parse);
                let value = begin + line.value.start..begin + line.value.end;
                headers.add_received(name.ok_or(MALFORMED_NAME)?, value, begin);
                lines.at += line.length;
            }
            None => odd_field(&mut lines, &mut headers)?,
        }
    }
    headers.set_received(head.clone());
    let (version, status, reason) = status;
    let mut response = ResponseHeader::new(status, version, headers);
    if let Some(reason) = reason {
        response.set_reason(&reason);
    }
    Ok(response)
}

const MALFORMED_NAME: Invalid = "malformed field name";

/// Whether the line that begins there goes on the one before it.
fn is_folded(head: &[u8], at: usize) -> bool {
    matches!(head.get(at), Some(b' ' | b'\t'))
}

/// Adds a field whose line has to be put right first.
fn odd_field(lines: &mut Lines<'_>, headers: &mut Fields) -> Result<(), Invalid> {
    let head = lines.head;
    let line = lines.next().ok_or("a line without an end")??;
    let (begin, text) = (line.start, head.get(line).unwrap_or_default());
    if is_folded(text, 0) {
        return Err("a folded line before the first field");
    }
    let colon = memchr(b':', text).ok_or("a line without a colon")?;
    let (name, rest) = text.split_at(colon);
    let name = Name::parse(trim(name)).ok_or(MALFORMED_NAME)?;
    let value = trim(rest.get(1..).unwrap_or_default());
    let mut folded: Option<Vec<u8>> = None;
    while is_folded(head, lines.at) {
        let more = lines.next().ok_or("a line without an end")??;
        let whole = folded.get_or_insert_with(|| value.to_vec());
        whole.push(b' ');
        whole.extend_from_slice(trim(head.get(more).unwrap_or_default()));
    }
    let own = HeaderValue::from_bytes(folded.as_deref().map_or(value, trim));
    headers.append_spelt(name, own.map_err(|_| "malformed field value")?, begin);
    Ok(())
}

/// Version, status, and the reason where it isn't the usual one.
fn status_line(line: &[u8]) -> Result<(Version, StatusCode, Option<String>), Invalid> {
    let (version, rest) = match line {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'1',
            b' ',
            rest @ ..,
        ] => (Version::HTTP_11, rest),
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0',
            b' ',
            rest @ ..,
        ] => (Version::HTTP_10, rest),
        _ => return Err("malformed status line"),
    };
    let (digits, reason) = match rest {
        [a, b, c] => ([*a, *b, *c], &[][..]),
        [a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err("malformed status line"),
    };
    let status = StatusCode::from_bytes(&digits).map_err(|_| "malformed status")?;
    let canonical = status.canonical_reason().unwrap_or_default();
    // One that isn't text is nobody's loss.
    let other = std::str::from_utf8(reason)
        .ok()
        .filter(|reason| *reason != canonical);
    Ok((version, status, other.map(str::to_owned)))
}

/// Splits a head at its line ends.
struct Lines<'a> {
    head: &'a [u8],
    at: usize,
}

impl Iterator for Lines<'_> {
    /// Where a line is, without its end.
    type Item = Result<std::ops::Range<usize>, Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.head.get(self.at..)?;
        let length = memchr(b'\n', rest)?;
        let line = rest.get(..length)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let begin = self.at;
        self.at += length + 1;
        if has_control(line) {
            return Some(Err("a control character in the header"));
        }
        Some(Ok(begin..begin + line.len()))
    }
}
