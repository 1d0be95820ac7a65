//! The head of a response of HTTP/1.
//!
//! What RFC 9112 lets a client put right is put right: folded lines are one line (section 5.2), a bare LF ends a line
//! (section 2.2), white space before a colon is dropped (section 5.1), of Transfer-Encoding and Content-Length only the
//! former counts (section 6.3). Everything else that two readers could take for two different things is refused.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, StatusCode, Version};
use memchr::memchr;

use crate::headers::names::Name;
use crate::headers::{Fields, has_control, trim};
use crate::http::message::ResponseHeader;

/// Bytes of one head.
const MAX_SIZE: usize = 256 * 1024;
/// Fields of one head.
const MAX_FIELDS: usize = 256;
/// Fields of a usual one.
const USUAL_FIELDS: usize = 16;
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
    let mut headers = Fields::of_received(head.clone(), USUAL_FIELDS);
    let mut lines = lines.peekable();
    let mut fields = 0;
    while let Some(line) = lines.next() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        fields += 1;
        if fields > MAX_FIELDS {
            return Err("too many fields");
        }
        let text = head.get(line.clone()).unwrap_or_default();
        if matches!(text.first(), Some(b' ' | b'\t')) {
            return Err("a folded line before the first field");
        }
        let colon = memchr(b':', text).ok_or("a line without a colon")?;
        let (name, rest) = text.split_at(colon);
        let name = trim(name);
        let name = Name::parse(name).ok_or("malformed field name")?;
        let value = trim(rest.get(1..).unwrap_or_default());
        let mut folded: Option<Vec<u8>> = None;
        while let Some(Ok(next)) = lines.peek()
            && let Some(more) = head.get(next.clone())
            && matches!(more.first(), Some(b' ' | b'\t'))
        {
            let whole = folded.get_or_insert_with(|| value.to_vec());
            whole.push(b' ');
            whole.extend_from_slice(trim(more));
            lines.next();
        }
        let value = match folded {
            Some(whole) => HeaderValue::from_bytes(trim(&whole)),
            None => HeaderValue::from_maybe_shared(head.slice_ref(value)),
        };
        let value = value.map_err(|_| "malformed field value")?;
        headers.add_received(name, value, line.start);
    }
    let (version, status, reason) = status;
    let mut response = ResponseHeader::new(status, version, headers);
    if let Some(reason) = reason {
        response.set_reason(&reason);
    }
    Ok(response)
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
