//! What a header block has to be (RFC 9113 sections 8.1.1, 8.2, 8.3), a client's or a server's, judged field by field as it
//! is read.
//!
//! A malformed message is an error of its stream, and a request that is too large is answered. The `h2` crate ends the
//! connection over some of them, with everybody's requests on it, and learns of others only when it has kept all they
//! say. So it is given a [stand-in](Section::stand_in) for such a request, which says why it is refused, and for a response
//! one that it [resets](MALFORMED) the stream for.

use std::borrow::Cow;

use http::uri::{Authority, PathAndQuery};

use super::hpack::{Broken, Decoder, write_literal};
pub use super::unfit::{Legible, STAND_IN, Unfit, stands_for};
use crate::headers::{is_tchar, is_token};
use crate::http::wire::authority;
use crate::http::wire::head;
use crate::http::wire::head::{HeadLimits, MAX_FIELDS};

/// What a field costs in a header section of HTTP/1 besides name and value.
const AROUND_FIELD: usize = ": \r\n".len();
/// What a request line has besides method and target, with the empty line at the end.
const AROUND_TARGET: usize = " ".len() + " HTTP/1.1\r\n".len() + "\r\n".len();
/// What is kept of a field besides name and value, in bytes.
const KEPT_WITH_FIELD: usize = 104;
/// The `http` crate has no longer names.
const LONGEST_NAME: usize = u16::MAX as usize;
/// Longer methods are no methods, and not shown.
const LONGEST_METHOD: usize = 32;

/// Fields that a response may have, as one of HTTP/1.
const MAX_RESPONSE_FIELDS: usize = 256;

/// A header block that the `h2` crate resets the stream for.
pub const MALFORMED: &[u8] = b"\x00\x0aconnection\x00";

/// What a header block may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It begins a request; `ends`: which has no body.
    Request { ends: bool },
    /// It ends one.
    RequestTrailers,
    /// It begins a response, or is an interim one; `ends`: nothing follows.
    Response { ends: bool },
    /// It comes after a response has begun, and has to end it.
    ResponseTrailers { ends: bool },
    /// It comes on a stream that nobody waits for any more, and may be either.
    Late,
}

impl Place {
    fn is_servers(self) -> bool {
        matches!(
            self,
            Self::Response { .. } | Self::ResponseTrailers { .. } | Self::Late
        )
    }

    fn is_trailers(self) -> bool {
        matches!(self, Self::RequestTrailers | Self::ResponseTrailers { .. })
    }
}

/// A header section as far as it is known.
#[derive(Debug)]
pub struct Section<'a> {
    /// Why it isn't taken; `None`: it is in order.
    pub unfit: Option<Unfit>,
    /// What is kept for it while its request lasts, in bytes.
    pub cost: usize,
    /// A response's status, if it is in order.
    pub status: Option<u16>,
    legible: Legible,
    accept: Accept,
    /// All of it is written anew, because that was wanted or the `h2` crate doesn't take it as it came.
    pub anew: bool,
    /// Pseudo-fields that are in order, and if written anew all fields.
    written: &'a mut Vec<u8>,
    pseudo_end: usize,
}

impl Section<'_> {
    /// A header block that says the same and refers to no table, if it is written anew.
    pub fn written(&self) -> &[u8] {
        self.written
    }

    /// A header block for the `h2` crate in a refused request's place: what could be made out of it, and `unfit`.
    pub fn stand_in(&mut self, unfit: Unfit) -> &[u8] {
        self.written.truncate(self.pseudo_end);
        let Legible { method, target, .. } = self.legible;
        if !method {
            write_literal(b":method", b"GET", self.written);
        }
        if !target {
            write_literal(b":path", b"/", self.written);
        }
        write_literal(b":scheme", b"http", self.written);
        let letters = self.legible.letters();
        let value: Vec<u8> = std::iter::once(unfit as u8).chain(letters).collect();
        write_literal(STAND_IN.as_bytes(), &value, self.written);
        if let Some(accept) = self.accept.value() {
            write_literal(b"accept", accept, self.written);
        }
        self.written
    }
}

/// What kind of page the client takes, as far as it is short and in order: a refusal is a page, too.
#[derive(Debug)]
struct Accept {
    bytes: [u8; 128],
    length: usize,
}

impl Accept {
    fn new() -> Self {
        Self {
            bytes: [0; 128],
            length: 0,
        }
    }

    /// Takes the first one.
    fn note(&mut self, value: &[u8]) {
        let in_order = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if self.length == 0
            && in_order
            && let Some(place) = self.bytes.get_mut(..value.len())
        {
            place.copy_from_slice(value);
            self.length = value.len();
        }
    }

    fn value(&self) -> Option<&[u8]> {
        self.bytes
            .get(..self.length)
            .filter(|value| !value.is_empty())
    }
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

/// Reads a whole block. `anew`: its fields are wanted as [`Section::written`]. `written` is the caller's to keep.
///
/// # Errors
///
/// [`Broken`]: the connection's header compression is lost.
pub fn read<'a>(
    decoder: &mut Decoder,
    block: &[u8],
    place: Place,
    limits: &HeadLimits,
    anew: bool,
    written: &'a mut Vec<u8>,
) -> Result<Section<'a>, Broken> {
    written.clear();
    let mut reader = Reader {
        place,
        limits,
        anew,
        unfit: None,
        seen: 0,
        connect: false,
        status: None,
        legible: Legible::default(),
        accept: Accept::new(),
        fields: 0,
        length: None,
        size: AROUND_TARGET,
        cost: 0,
        written,
        pseudo_end: 0,
    };
    decoder.decode(block, |name, value| reader.field(name, value))?;
    Ok(reader.end())
}

/// Pseudo-fields, as a set.
const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const AUTHORITY: u8 = 4;
const PATH: u8 = 8;
const STATUS: u8 = 16;

struct Reader<'a, 'l> {
    place: Place,
    limits: &'l HeadLimits,
    anew: bool,
    unfit: Option<Unfit>,
    /// The pseudo-fields that have come.
    seen: u8,
    connect: bool,
    status: Option<u16>,
    legible: Legible,
    accept: Accept,
    /// Fields, a cookie's crumbs each for itself.
    fields: usize,
    length: Option<u64>,
    /// As HTTP/1 would write it.
    size: usize,
    cost: usize,
    written: &'a mut Vec<u8>,
    pseudo_end: usize,
}

impl<'a> Reader<'a, '_> {
    fn field(&mut self, name: &[u8], mut value: &[u8]) {
        if let [b':', pseudo @ ..] = name {
            self.pseudo(pseudo, value);
            return;
        }
        if self.place.is_servers() && value.trim_ascii().len() < value.len() && !has_control(value)
        {
            // Servers of gRPC end messages in a space, and are understood all the same.
            value = value.trim_ascii();
            self.anew = true;
        }
        self.fields += 1;
        if name == b"accept" {
            self.accept.note(value);
        }
        if self.unfit.is_some() {
            // What is refused costs no more than to be read.
            return;
        }
        let size = name.len() + value.len();
        self.size += size + AROUND_FIELD;
        self.cost += size + KEPT_WITH_FIELD;
        let unfit = if self.size > self.limits.header || name.len() > LONGEST_NAME {
            Some(Unfit::Large)
        } else if self.fields > self.most_fields() {
            Some(Unfit::Many)
        } else {
            self.judge(name, value).err()
        };
        self.unfit = unfit;
        // Of a response it may turn out late that it is to be written anew.
        if unfit.is_none() && (self.anew || self.place.is_servers()) {
            write_literal(name, value, self.written);
        }
    }

    fn most_fields(&self) -> usize {
        if self.place.is_servers() {
            MAX_RESPONSE_FIELDS
        } else {
            MAX_FIELDS
        }
    }

    fn judge(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unfit> {
        let lower = |byte: &u8| is_tchar(*byte) && !byte.is_ascii_uppercase();
        if name.is_empty() || !name.iter().all(lower) || name == STAND_IN.as_bytes() {
            return Err(Unfit::Name);
        }
        if !self.place.is_servers() && head::is_like_framing(name) {
            return Err(Unfit::LikeFraming);
        }
        if has_control(value) {
            return Err(Unfit::Value);
        }
        let space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if space(value.first()) || space(value.last()) {
            return Err(Unfit::Space);
        }
        match name {
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding"
            | b"upgrade" => Err(Unfit::ConnectionField),
            b"te" if value != b"trailers" => Err(Unfit::ConnectionField),
            b"content-length" if !self.place.is_trailers() => {
                if self.length.is_some() {
                    return Err(Unfit::Lengths);
                }
                self.length = Some(head::content_length(value).ok_or(Unfit::Length)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A pseudo-field (section 8.3). What is in order of them is known even of a request that is refused, for the log.
    fn pseudo(&mut self, name: &[u8], value: &[u8]) {
        if let Err(unfit) = self.judge_pseudo(name, value) {
            self.unfit = self.unfit.or(Some(unfit));
        }
    }

    fn judge_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unfit> {
        if self.place.is_trailers() {
            return Err(Unfit::Pseudo);
        }
        if self.fields > 0 {
            return Err(Unfit::PseudoOrder);
        }
        let this = match (name, self.place.is_servers()) {
            (b"method", false) => METHOD,
            (b"scheme", false) => SCHEME,
            (b"authority", false) => AUTHORITY,
            (b"path", false) => PATH,
            (b"status", true) => STATUS,
            _ => return Err(Unfit::Pseudo),
        };
        if self.seen & this != 0 {
            return Err(Unfit::PseudoTwice);
        }
        self.seen |= this;
        if name != b"scheme" {
            self.size += value.len();
        }
        self.cost += value.len();
        if self.size > self.limits.header {
            return Err(Unfit::Large);
        }
        let long = name == b"path" && value.len() > self.limits.uri;
        let mut value_written = Cow::Borrowed(value);
        match name {
            b"status" => {
                let status = status(value).ok_or(Unfit::Status)?;
                self.status = Some(status);
                if status < 200 && self.place == (Place::Response { ends: true }) {
                    return Err(Unfit::Interim);
                }
            }
            b"method" => {
                if !is_token(value) || value.len() > LONGEST_METHOD {
                    return Err(Unfit::Method);
                }
                self.connect = value == b"CONNECT";
                self.legible.method = !self.connect;
            }
            b"scheme" => {
                if value != b"http" && value != b"https" {
                    return Err(Unfit::Scheme);
                }
            }
            b"authority" => {
                self.size += "host".len() + AROUND_FIELD;
                if !is_plain_authority(value) && Authority::try_from(value).is_err() {
                    return Err(Unfit::Authority);
                }
                self.legible.host = true;
            }
            _ => {
                if !authority::is_target(value) {
                    return Err(Unfit::Target);
                }
                if !is_plain_path(value) && PathAndQuery::try_from(value).is_err() {
                    let encoded = authority::encoded(value)
                        .filter(|encoded| PathAndQuery::try_from(&encoded[..]).is_ok())
                        .ok_or(Unfit::Path)?;
                    // It means the same, but these aren't the client's bytes.
                    self.anew = true;
                    value_written = Cow::Owned(encoded);
                }
                self.legible.target = true;
            }
        }
        // A stand-in has its own scheme, and method if this isn't one that requests of this form have.
        let stands_in = name != b"scheme" && !(name == b"method" && self.connect);
        let at = self.written.len();
        write_pseudo(name, &value_written, self.written);
        if stands_in && at == self.pseudo_end {
            self.pseudo_end = self.written.len();
        } else if stands_in {
            // What a stand-in has comes first; pseudo-fields may be in any order.
            let length = self.written.len() - at;
            if let Some(tail) = self.written.get_mut(self.pseudo_end..) {
                tail.rotate_right(length);
            }
            self.pseudo_end += length;
        }
        if long {
            return Err(Unfit::LongTarget);
        }
        Ok(())
    }

    fn end(self) -> Section<'a> {
        let seen = |fields| self.seen & fields == fields;
        let missing = match self.place {
            Place::RequestTrailers | Place::ResponseTrailers { ends: true } | Place::Late => None,
            Place::ResponseTrailers { ends: false } => Some(Unfit::OpenEnd),
            Place::Response { .. } => (!seen(STATUS)).then_some(Unfit::PseudoMissing),
            Place::Request { .. } if !self.connect => {
                (!seen(METHOD | SCHEME | PATH)).then_some(Unfit::PseudoMissing)
            }
            Place::Request { .. } if self.seen & (SCHEME | PATH) != 0 => {
                Some(Unfit::ConnectWithTarget)
            }
            Place::Request { .. } => (!seen(AUTHORITY)).then_some(Unfit::PseudoMissing),
        };
        let bodiless = (self.place == Place::Request { ends: true }
            && self.length.is_some_and(|length| length > 0))
        .then_some(Unfit::LengthWithoutBody);
        Section {
            unfit: self.unfit.or(missing).or(bodiless),
            cost: self.cost,
            status: self.status,
            legible: self.legible,
            accept: self.accept,
            anew: self.anew,
            written: self.written,
            pseudo_end: self.pseudo_end,
        }
    }
}

/// Control characters, which no value has; tabs aren't meant.
fn has_control(value: &[u8]) -> bool {
    value
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

/// A response's status. HTTP/2 has no 101 (RFC 9113 section 8.6).
fn status(value: &[u8]) -> Option<u16> {
    let digits: [u8; 3] = value.try_into().ok()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    ((100..600).contains(&status) && status != 101).then_some(status)
}

/// Whether it needs no closer look to know that the `http` crate takes it.
fn is_plain_authority(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
    !text.is_empty() && text.iter().all(plain)
}

/// As [`is_plain_authority`].
fn is_plain_path(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/?&=%+".contains(byte);
    text.first() == Some(&b'/') && text.iter().all(plain)
}

fn write_pseudo(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    match name {
        b"method" => write_literal(b":method", value, out),
        b"scheme" => write_literal(b":scheme", value, out),
        b"authority" => write_literal(b":authority", value, out),
        b"status" => write_literal(b":status", value, out),
        _ => write_literal(b":path", value, out),
    }
}

#[cfg(test)]
mod tests;
