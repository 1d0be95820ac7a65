//! The check of type http.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use regex::bytes::Regex;

use super::Failed;
use super::exchange::{Answer, Exchange};
use crate::config::model::HttpCheck;
use crate::headers::names::CONTENT_LENGTH;
use crate::http::wire::message::RequestHeader;
use crate::http::wire::server::Event;

/// A body is searched up to here; a health page is small.
const BODY_LIMIT: usize = 1 << 20;

/// Sends the request and compares the answer. Returns what was seen, in words.
///
/// # Errors
///
/// What was seen instead.
pub async fn check(exchange: &Exchange<'_>, check: &HttpCheck) -> Result<String, Failed> {
    let request = request(exchange, check);
    let http2 = exchange.link.http2();
    let mut answer = exchange.ask(request, Bytes::new(), http2).await?;
    let status = answer.head().await?.status.as_u16();
    let ranges = &check.expect_status;
    if !ranges.iter().any(|range| range.contains(&status)) {
        let wanted = list(ranges);
        return Err(Failed::Unwanted(format!(
            "status {status}, wanted {wanted}"
        )));
    }
    let Some(wanted) = &check.expect_body else {
        return Ok(format!("status {status} as wanted"));
    };
    let mut body = Body::new(wanted);
    let end = body.read(&mut answer, exchange).await;
    if body.is_match(true) {
        return Ok(format!("status {status} and body as wanted"));
    }
    let what = match end {
        End::Whole => "the body",
        End::TooLong => "the first 1 MiB of the body",
        End::Broken => "what came of the body before the connection broke",
        End::TimedOut => "what came of the body in time",
    };
    Err(Failed::Unwanted(format!(
        "status {status}, but {what} does not match {wanted}"
    )))
}

fn request(exchange: &Exchange<'_>, check: &HttpCheck) -> RequestHeader {
    let host = check.host.as_deref();
    let host = host.and_then(|host| HeaderValue::from_str(host).ok());
    let mut request = exchange.request(check.method.clone(), &check.path, host.as_ref());
    let sends_length = |(name, _): &(HeaderName, HeaderValue)| {
        *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING
    };
    let expects_body = matches!(check.method, Method::POST | Method::PUT);
    if expects_body && !check.headers.iter().any(sends_length) {
        // Some servers insist on being told that there is no body (RFC 9110 section 8.6).
        let none = HeaderValue::from_static("0");
        request.headers.insert(CONTENT_LENGTH, none);
    }
    for (name, value) in &check.headers {
        request.headers.insert(name.clone(), value.clone());
    }
    request
}

/// How a body ended.
enum End {
    Whole,
    TooLong,
    Broken,
    TimedOut,
}

/// What has come of a body, compared with what is wanted as it comes.
struct Body<'a> {
    wanted: &'a Regex,
    /// Whether bytes that come later could undo a match.
    looks_ahead: bool,
    bytes: Vec<u8>,
    looks: usize,
}

/// How far behind a match its expression may look: a character of UTF-8.
const AHEAD: usize = 4;

/// How often a body is looked at while it comes in small pieces.
const LOOKS: usize = 1024;

impl<'a> Body<'a> {
    fn new(wanted: &'a Regex) -> Self {
        // Whatever in a regular expression looks ahead is written with one of these characters. If one of them means something
        // else, the match is only decided later.
        let ahead = ["$", r"\b", r"\B", r"\z", r"\<", r"\>"];
        Self {
            wanted,
            looks_ahead: ahead.iter().any(|sign| wanted.as_str().contains(sign)),
            bytes: Vec::new(),
            looks: 0,
        }
    }

    /// Reads until it matches, or there is no more.
    async fn read(&mut self, answer: &mut Answer<'_>, exchange: &Exchange<'_>) -> End {
        loop {
            match tokio::time::timeout_at(exchange.deadline, answer.next()).await {
                Ok(Ok(Event::Data(piece))) => self.take(&piece),
                Ok(Ok(Event::End(_) | Event::Head(_))) => return End::Whole,
                Ok(Err(_)) => return End::Broken,
                Err(_) => return End::TimedOut,
            }
            if self.is_decided() {
                return End::Whole;
            }
            if self.bytes.len() >= BODY_LIMIT {
                return End::TooLong;
            }
        }
    }

    fn take(&mut self, chunk: &[u8]) {
        let room = BODY_LIMIT.saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(chunk.get(..room).unwrap_or(chunk));
    }

    /// Whether the body matches, whatever comes later. A long body is not searched again after every single byte.
    fn is_decided(&mut self) -> bool {
        self.looks += 1;
        self.looks <= LOOKS && self.is_match(false)
    }

    /// Whether the body matches. With `whole` nothing more will come.
    fn is_match(&self, whole: bool) -> bool {
        if whole || !self.looks_ahead {
            return self.wanted.is_match(&self.bytes);
        }
        let found = self.wanted.find(&self.bytes);
        found.is_some_and(|found| found.end() + AHEAD <= self.bytes.len())
    }
}

fn list(ranges: &[std::ops::RangeInclusive<u16>]) -> String {
    let mut text = String::new();
    for range in ranges {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&range.start().to_string());
        if range.start() != range.end() {
            text.push('-');
            text.push_str(&range.end().to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn status_ranges_read_as_they_are_configured() {
        assert_eq!(list(&[200..=399]), "200-399");
        assert_eq!(list(&[200..=299, 301..=301]), "200-299, 301");
    }

    fn decided(wanted: &str, bytes: &[u8]) -> bool {
        let wanted = Regex::new(wanted).unwrap();
        let mut body = Body::new(&wanted);
        body.take(bytes);
        body.is_decided()
    }

    #[test]
    fn a_match_is_decided_where_nothing_can_undo_it() {
        assert!(decided("UP", b"status: UP"));
        assert!(!decided("UP$", b"status: UP"));
        assert!(!decided(r"UP\b", b"status: UP"));
        assert!(decided(r"UP\b", b"status: UP, and more"));
        assert!(!decided("UP", b"status: U"));
    }

    proptest! {
        /// A decision before the end is the one that the whole body would lead to.
        #[test]
        fn early_is_no_other_than_late(
            which in 0usize..8, body in "[ab\n é]{0,12}", at in 0usize..16,
        ) {
            let wanted = ["a", "a$", "(?m)a$", r"a\b", r"a\Bb", r"^a\z", r"a\>", "(?:a$|ab)b"][which];
            let part = &body.as_bytes()[..at.min(body.len())];
            if decided(wanted, part) {
                prop_assert!(Regex::new(wanted).unwrap().is_match(body.as_bytes()));
            }
        }
    }
}
