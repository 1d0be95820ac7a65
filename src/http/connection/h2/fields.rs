//! What a client's header block has to be (RFC 9113 sections 8.1.1, 8.2, 8.3), judged field by field as it is read.
//!
//! A malformed message is an error of its stream, and one that is too large is answered. The `h2` crate ends the
//! connection over some of them, with everybody's requests on it, and learns of others only when it has kept all they
//! say. So it is given a [stand-in](Section::stand_in) for such a request, which says why it is refused.

use std::borrow::Cow;

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery};

use super::super::super::authority;
use super::super::super::head;
use super::super::super::head::{HeadLimits, MAX_FIELDS};
use super::hpack::{Broken, Decoder, write_literal};
use super::request::Refusal;
use crate::headers::{is_tchar, is_token};

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

/// The field of a stand-in that says what it stands for. No client gets it past this module.
pub const STAND_IN: &str = "equipoise-stand-in";
/// Trailers that the `h2` crate resets the stream for.
pub const MALFORMED_TRAILERS: &[u8] = b"\x00\x0aconnection\x00";

/// What a header block may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It begins a request; `ends`: which has no body.
    Request { ends: bool },
    /// It ends one.
    Trailers,
}

/// Why a header section isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Unfit {
    Pseudo = b'a',
    PseudoOrder,
    PseudoTwice,
    PseudoMissing,
    ConnectWithTarget,
    Method,
    Scheme,
    Authority,
    Path,
    Target,
    Name,
    LikeFraming,
    Value,
    Space,
    ConnectionField,
    Length,
    Lengths,
    LengthWithoutBody,
    LongTarget,
    Large,
    Many,
    /// It depends on itself (RFC 7540 section 5.3.1).
    SelfDependent,
    /// The connection's requests hold as much as they may.
    Busy,
}

impl Unfit {
    const ALL: [(Self, u16, &'static str); 23] = [
        (Self::Pseudo, 400, "an unknown pseudo-field"),
        (Self::PseudoOrder, 400, "a pseudo-field after a field"),
        (Self::PseudoTwice, 400, "a pseudo-field twice"),
        (Self::PseudoMissing, 400, "a pseudo-field is missing"),
        (
            Self::ConnectWithTarget,
            400,
            "CONNECT with :scheme or :path",
        ),
        (Self::Method, 400, "malformed method"),
        (Self::Scheme, 400, "a :scheme other than http and https"),
        (Self::Authority, 400, "malformed :authority"),
        (Self::Path, 400, "malformed :path"),
        (Self::Target, 400, head::NO_TARGET),
        (
            Self::Name,
            400,
            "a field name with a character that names don't have",
        ),
        (Self::LikeFraming, 400, head::LIKE_FRAMING),
        (Self::Value, 400, "a field value with a control character"),
        (
            Self::Space,
            400,
            "a field value begins or ends with white space",
        ),
        (
            Self::ConnectionField,
            400,
            "a field that is a connection's of HTTP/1",
        ),
        (Self::Length, 400, "malformed Content-Length"),
        (Self::Lengths, 400, "more than one Content-Length"),
        (Self::LengthWithoutBody, 400, "a Content-Length and no body"),
        (
            Self::LongTarget,
            414,
            "the URI is longer than max_uri_length",
        ),
        (
            Self::Large,
            431,
            "the header is larger than max_header_size",
        ),
        (Self::Many, 431, "too many header fields"),
        (Self::SelfDependent, 400, "a stream that depends on itself"),
        (Self::Busy, 503, "the connection's requests hold too much"),
    ];

    /// The status to answer and the reason in words.
    pub fn refusal(self) -> Refusal {
        Self::ALL
            .iter()
            .find(|(unfit, ..)| *unfit == self)
            .map_or((400, "malformed"), |(_, status, reason)| (*status, reason))
    }
}

/// What of a refused request could be made out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Legible {
    pub method: bool,
    pub target: bool,
    pub host: bool,
}

/// A header section as far as it is known.
#[derive(Debug)]
pub struct Section<'a> {
    /// Why it isn't taken; `None`: it is in order.
    pub unfit: Option<Unfit>,
    /// What is kept for it while its request lasts, in bytes.
    pub cost: usize,
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

impl Legible {
    /// All of it.
    pub const ALL: Self = Self {
        method: true,
        target: true,
        host: true,
    };

    fn letters(self) -> impl Iterator<Item = u8> {
        [(self.method, b'm'), (self.target, b't'), (self.host, b'h')]
            .into_iter()
            .filter_map(|(is, letter)| is.then_some(letter))
    }
}

/// What a stand-in's field says.
pub fn stands_for(value: &HeaderValue) -> (Unfit, Legible) {
    let said = value.as_bytes();
    let unfit = Unfit::ALL
        .iter()
        .find(|(unfit, ..)| said.first() == Some(&(*unfit as u8)))
        .map_or(Unfit::Pseudo, |(unfit, ..)| *unfit);
    let has = |letter| said.iter().skip(1).any(|byte| *byte == letter);
    (
        unfit,
        Legible {
            method: has(b'm'),
            target: has(b't'),
            host: has(b'h'),
        },
    )
}

/// What a header section of that size is at most as HTTP/2 counts (RFC 9113 section 6.5.2), in bytes.
pub fn largest_list(limits: &HeadLimits) -> usize {
    const OVERHEAD: usize = 32;
    limits
        .header
        .saturating_add(MAX_FIELDS * OVERHEAD)
        .saturating_add(1024)
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

struct Reader<'a, 'l> {
    place: Place,
    limits: &'l HeadLimits,
    anew: bool,
    unfit: Option<Unfit>,
    /// The pseudo-fields that have come.
    seen: u8,
    connect: bool,
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
    fn field(&mut self, name: &[u8], value: &[u8]) {
        if let [b':', pseudo @ ..] = name {
            self.pseudo(pseudo, value);
            return;
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
        } else if self.fields > MAX_FIELDS {
            Some(Unfit::Many)
        } else {
            self.judge(name, value).err()
        };
        self.unfit = unfit;
        if unfit.is_none() && self.anew {
            write_literal(name, value, self.written);
        }
    }

    fn judge(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unfit> {
        let lower = |byte: &u8| is_tchar(*byte) && !byte.is_ascii_uppercase();
        if name.is_empty() || !name.iter().all(lower) || name == STAND_IN.as_bytes() {
            return Err(Unfit::Name);
        }
        if head::is_like_framing(name) {
            return Err(Unfit::LikeFraming);
        }
        if value
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
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
            b"content-length" if self.place != Place::Trailers => {
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
        if self.place == Place::Trailers {
            return Err(Unfit::Pseudo);
        }
        if self.fields > 0 {
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
            Place::Trailers => None,
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
            legible: self.legible,
            accept: self.accept,
            anew: self.anew,
            written: self.written,
            pseudo_end: self.pseudo_end,
        }
    }
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
        _ => write_literal(b":path", value, out),
    }
}

#[cfg(test)]
mod tests;
