//! A request's header block, read and judged field by field (RFC 9113 sections 8.1.1, 8.2, 8.3).
//!
//! What comes out is the one message that everything behind here knows, an HTTP/1 request but for its version: `:authority`
//! is its Host field, `:path` its target, and the crumbs of Cookie are one field again (section 8.2.3). What its fields say together
//! and an HTTP/1 server could take for something else is refused by the same rules and limits as there ([`head`]). A
//! malformed request is an error of its stream alone, and nothing of it is kept.

use std::ops::Range;

use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::{HeaderValue, Method, Version};

use super::hpack::{Broken, Decoder};
use super::judge::{AROUND_FIELD, FieldJudge, has_control};
use super::section_text::SectionText;
use super::unfit::Unfit;
use crate::headers::authority::is_same;
use crate::headers::names::CONTENT_LENGTH;
use crate::headers::{Fields, is_token};
use crate::http::wire::authority;
use crate::http::wire::buffers;
use crate::http::wire::head::{self, HeadLimits, MAX_FIELDS};
use crate::http::wire::message::RequestHeader;

/// What a request line has besides method and target, with the empty line at the end.
const AROUND_TARGET: usize = " ".len() + " HTTP/1.1\r\n".len() + "\r\n".len();
/// What is kept of a field besides name and value, in bytes.
const KEPT_WITH_FIELD: usize = 104;
/// Longer methods are no methods, and not shown.
const LONGEST_METHOD: usize = 32;
/// A longer Accept of a request that is refused isn't looked at for the kind of its error page.
const LONGEST_ACCEPT: usize = 128;

/// What a header block said that begins a request.
#[derive(Debug)]
pub struct RequestBlock {
    /// What is kept for it while its request lasts, in bytes.
    pub cost: usize,
    /// The length that its body is said to have.
    pub length: Option<u64>,
    /// The request, if it is in order.
    pub request: Result<RequestHeader, Box<Refusal>>,
}

/// A request that isn't taken, as far as it could be made out.
#[derive(Debug)]
pub struct Refusal {
    /// The status to answer.
    pub status: u16,
    /// The reason in words.
    pub reason: &'static str,
    /// The method, if it is one.
    pub method: Option<Method>,
    /// The host that it asks.
    pub host: Option<Bytes>,
    /// What it asks for.
    pub target: Option<Bytes>,
    /// Its fields, or of one that is malformed what says which kind of answer it takes.
    pub headers: Fields,
}

/// What a header section of that size is at most as HTTP/2 counts (RFC 9113 section 6.5.2), in bytes.
pub fn largest_list(limits: &HeadLimits) -> usize {
    const OVERHEAD: usize = 32;
    limits
        .header
        .saturating_add(MAX_FIELDS * OVERHEAD)
        .saturating_add(1024)
}

/// How long a header block of such a section may be, compressed and cut into frames however its sender likes, in bytes.
pub fn longest_block(limits: &HeadLimits) -> usize {
    largest_list(limits).saturating_mul(4)
}

/// Reads a block that begins a request. `ends`: which has no body.
///
/// # Errors
///
/// [`Broken`]: the connection's header compression is lost.
pub fn read(
    decoder: &mut Decoder,
    block: &[u8],
    ends: bool,
    limits: &HeadLimits,
) -> Result<RequestBlock, Broken> {
    let mut reader = Reader::new(ends, limits);
    decoder.decode(block, |name, value| reader.field(name, value))?;
    Ok(reader.end())
}

/// Reads a block that ends a request's body.
///
/// # Errors
///
/// [`Broken`]: the connection's header compression is lost.
pub fn read_trailers(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &HeadLimits,
) -> Result<Result<Fields, Unfit>, Broken> {
    let mut judge = judge(limits, true);
    let (mut fields, mut unfit) = (Fields::new(), None);
    let mut text = SectionText::new();
    decoder.decode(block, |name, value| {
        if unfit.is_some() {
            return;
        }
        if name.first() == Some(&b':') {
            unfit = Some(Unfit::Pseudo);
            return;
        }
        judge.count += 1;
        match judge.judge(name, value) {
            Err(why) => unfit = Some(why),
            Ok(()) => text.add_field(&mut fields, name, value),
        }
    })?;
    fields.set_received(text.take());
    Ok(unfit.map_or(Ok(fields), Err))
}

fn judge(limits: &HeadLimits, is_trailers: bool) -> FieldJudge {
    FieldJudge {
        is_servers: false,
        is_trailers,
        largest: limits.header,
        most: MAX_FIELDS,
        count: 0,
        size: AROUND_TARGET,
        length: None,
    }
}

/// Pseudo-fields, as a set.
const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const AUTHORITY: u8 = 4;
const PATH: u8 = 8;

struct Reader<'l> {
    ends: bool,
    limits: &'l HeadLimits,
    judge: FieldJudge,
    unfit: Option<Unfit>,
    cost: usize,
    /// The pseudo-fields that have come.
    seen: u8,
    method: Option<Method>,
    https: bool,
    authority: Option<Range<usize>>,
    target: Option<Range<usize>>,
    fields: Fields,
    hosts: usize,
    host: Range<usize>,
    expectations: usize,
    is_known_expectation: bool,
    text: SectionText,
    /// The crumbs of Cookie, if there are any.
    cookie: Vec<u8>,
}

impl<'l> Reader<'l> {
    fn new(ends: bool, limits: &'l HeadLimits) -> Self {
        Self {
            ends,
            limits,
            judge: judge(limits, false),
            unfit: None,
            cost: 0,
            seen: 0,
            method: None,
            https: false,
            authority: None,
            target: None,
            fields: Fields::with_room(),
            hosts: 0,
            host: 0..0,
            expectations: 0,
            is_known_expectation: false,
            text: SectionText::new(),
            cookie: Vec::new(),
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        if let [b':', pseudo @ ..] = name {
            if let Err(unfit) = self.pseudo(pseudo, value) {
                self.unfit = self.unfit.or(Some(unfit));
            }
            return;
        }
        self.judge.count += 1;
        if self.unfit.is_some() {
            // What is refused costs no more than to be read.
            self.note_accept(name, value);
            return;
        }
        self.cost += name.len() + value.len() + KEPT_WITH_FIELD;
        match self.judge.judge(name, value) {
            Ok(()) => self.take(name, value),
            Err(unfit) => {
                self.unfit = Some(unfit);
                self.note_accept(name, value);
            }
        }
    }

    /// Takes in a field that is in order.
    fn take(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"host" => {
                self.hosts += 1;
                self.host = self.text.add(value);
                if self.hosts == 1 && self.authority.is_none() {
                    self.fields.add_value(HOST.into(), self.host.clone());
                }
            }
            b"cookie" => {
                if self.fields.contains_key(COOKIE) {
                    self.cookie.extend_from_slice(b"; ");
                } else {
                    self.cookie = buffers::take();
                    // Where it is, is known when all crumbs have come.
                    self.fields.add_value(COOKIE.into(), 0..0);
                }
                self.cookie.extend_from_slice(value);
            }
            b"expect" => {
                self.expectations += 1;
                self.is_known_expectation = head::is_expectation(value);
                // Of a request without a body nothing is to be continued.
                if !self.ends {
                    self.text.add_field(&mut self.fields, name, value);
                }
            }
            // Whether that is true its frames have yet to show, and the server is not to take it for whole before.
            b"content-length" if !self.ends && value == b"0" => {}
            _ => self.text.add_field(&mut self.fields, name, value),
        }
    }

    /// What kind of page the client takes, as far as it is short and in order: a refusal is a page, too.
    fn note_accept(&mut self, name: &[u8], value: &[u8]) {
        let in_order = |value: &[u8]| value.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if name == b"accept"
            && value.len() <= LONGEST_ACCEPT
            && in_order(value)
            && !self.fields.contains_key(http::header::ACCEPT)
        {
            self.text.add_field(&mut self.fields, name, value);
        }
    }

    /// A pseudo-field (section 8.3). What is in order of them is known even of a request that is refused, for the log.
    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unfit> {
        if self.judge.count > 0 {
            return Err(Unfit::PseudoOrder);
        }
        let this = match name {
            b"method" => METHOD,
            b"scheme" => SCHEME,
            b"authority" => AUTHORITY,
            b"path" => PATH,
            _ => return Err(Unfit::Pseudo),
        };
        if self.seen & this != 0 {
            return Err(Unfit::PseudoTwice);
        }
        self.seen |= this;
        if this != SCHEME {
            self.judge.size += value.len();
        }
        self.cost += value.len();
        if self.judge.size > self.limits.header {
            return Err(Unfit::Large);
        }
        match this {
            METHOD => {
                if !is_token(value) || value.len() > LONGEST_METHOD {
                    return Err(Unfit::Method);
                }
                self.method = Method::from_bytes(value).ok();
            }
            SCHEME => {
                self.https = value == b"https";
                if !self.https && value != b"http" {
                    return Err(Unfit::Scheme);
                }
            }
            AUTHORITY => {
                self.judge.size += "host".len() + AROUND_FIELD;
                if value.is_empty() || has_control(value) {
                    return Err(Unfit::Authority);
                }
                let place = self.text.add(value);
                // The authority counts (section 8.3.1), and is the first field.
                self.fields.add_value(HOST.into(), place.clone());
                self.authority = Some(place);
            }
            _ => {
                if !authority::is_target(value) {
                    return Err(Unfit::Target);
                }
                self.target = Some(self.text.add(value));
                if value.len() > self.limits.uri {
                    return Err(Unfit::LongTarget);
                }
            }
        }
        Ok(())
    }

    fn end(mut self) -> RequestBlock {
        if self.fields.contains_key(COOKIE) {
            let place = self.text.add(&self.cookie);
            buffers::give_back(std::mem::take(&mut self.cookie));
            self.fields.set_value(&COOKIE, place);
        }
        let refused = match self.unfit.or_else(|| self.missing()) {
            Some(unfit) => Err(unfit.refusal()),
            None => self.settle(),
        };
        let text = self.text.take();
        let part = |range: &Range<usize>| text.slice(range.clone());
        let mut fields = self.fields;
        fields.set_received(text.clone());
        let request = match (refused, self.method, self.target.as_ref().map(part)) {
            (Ok(()), Some(method), Some(target)) => {
                let target = authority::encoded(&target).map_or(target, Bytes::from);
                Ok(RequestHeader::new(method, target, Version::HTTP_2, fields))
            }
            (refused, method, target) => {
                let (status, reason) = refused.err().unwrap_or((400, "malformed"));
                let host = self.authority.as_ref();
                let host = host.or((self.hosts > 0).then_some(&self.host));
                Err(Box::new(Refusal {
                    status,
                    reason,
                    method: method.filter(|method| *method != Method::CONNECT),
                    host: host.map(part),
                    target,
                    headers: fields,
                }))
            }
        };
        RequestBlock {
            cost: self.cost,
            length: self.judge.length,
            request,
        }
    }

    /// What a request of its form has to have, and this one hasn't.
    fn missing(&self) -> Option<Unfit> {
        let seen = |fields| self.seen & fields == fields;
        let missing = if self.method == Some(Method::CONNECT) {
            if self.seen & (SCHEME | PATH) != 0 {
                return Some(Unfit::ConnectWithTarget);
            }
            !seen(AUTHORITY)
        } else {
            !seen(METHOD | SCHEME | PATH)
        };
        if missing {
            return Some(Unfit::PseudoMissing);
        }
        let length = self.judge.length.filter(|length| self.ends && *length > 0);
        length.map(|_| Unfit::LengthWithoutBody)
    }

    /// Looks at what the fields say together.
    fn settle(&mut self) -> Result<(), (u16, &'static str)> {
        let method = self.method.as_ref().ok_or((400, "malformed method"))?;
        if *method == Method::CONNECT {
            return Err((405, "CONNECT is not served here"));
        }
        if !head::is_method(method.as_str().as_bytes()) {
            return Err((400, "malformed method"));
        }
        let text = |range: &Range<usize>| self.text.get(range);
        match self.target.as_ref().and_then(text).unwrap_or_default() {
            [b'/', ..] => {}
            b"*" if *method == Method::OPTIONS => {}
            _ => return Err((400, "malformed :path")),
        }
        if *method == Method::TRACE && !self.ends {
            // RFC 9110 section 9.3.8.
            return Err((400, "a TRACE with a body"));
        }
        self.check_host()?;
        let (length, most) = (self.judge.length, self.limits.body);
        if most > 0 && length.is_some_and(|length| length > most) {
            return Err((413, "the body is larger than max_body_size"));
        }
        if self.expectations > 1 || self.expectations == 1 && !self.is_known_expectation {
            return Err((417, head::UNKNOWN_EXPECTATION));
        }
        let takes_content = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
        if self.ends && takes_content && length.is_none() {
            // HTTP/2 says so by its frames. In HTTP/1 there are servers that answer 411 to a POST that doesn't say how
            // long it is (RFC 9110 section 8.6).
            let none = HeaderValue::from_static("0");
            self.fields.insert(CONTENT_LENGTH, none);
        }
        Ok(())
    }

    /// One authority, told once or twice but never in two ways (section 8.3.1).
    fn check_host(&self) -> Result<(), (u16, &'static str)> {
        let text = |range: &Range<usize>| self.text.get(range).unwrap_or_default();
        if self.hosts > 1 {
            return Err((400, "more than one Host field"));
        }
        let host = text(&self.host);
        if self.hosts == 1 && !authority::is_authority(host) {
            return Err((400, "malformed Host field"));
        }
        let Some(authority) = self.authority.as_ref().map(text) else {
            let has_host = self.hosts == 1;
            return has_host
                .then_some(())
                .ok_or((400, "neither :authority nor Host"));
        };
        if !authority::is_authority(authority) {
            return Err((400, "malformed :authority"));
        }
        if self.hosts == 1 && !is_same(Some(self.https), host, authority) {
            return Err((400, ":authority and the Host field differ"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
