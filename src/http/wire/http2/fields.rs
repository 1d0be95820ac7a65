//! What a server's header block has to be (RFC 9113 sections 8.1.1, 8.2, 8.3), judged field by field as it is read.
//!
//! A malformed response is an error of its stream. The `h2` crate ends the connection over some of them, with everybody's requests
//! on it. So it is given one that it [resets](MALFORMED) the stream for.

use super::hpack::{Broken, Decoder, write_literal};
use super::judge::{FieldJudge, has_control};
use super::request::largest_list;
use super::unfit::Unfit;
use crate::http::wire::head::HeadLimits;

/// Fields that a response may have, as one of HTTP/1.
const MAX_RESPONSE_FIELDS: usize = 256;

/// A header block that the `h2` crate resets the stream for.
pub const MALFORMED: &[u8] = b"\x00\x0aconnection\x00";

/// What a header block may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It begins a response, or is an interim one; `ends`: nothing follows.
    Response { ends: bool },
    /// It comes after a response has begun, and has to end it.
    Trailers { ends: bool },
    /// It comes on a stream that nobody waits for any more, and may be either.
    Late,
}

/// A header section as far as it is known.
#[derive(Debug)]
pub struct Section<'a> {
    /// Why it isn't taken; `None`: it is in order.
    pub unfit: Option<Unfit>,
    /// A response's status, if it is in order.
    pub status: Option<u16>,
    /// All of it is written anew, because that was wanted or the `h2` crate doesn't take it as it came.
    pub anew: bool,
    written: &'a mut Vec<u8>,
}

impl Section<'_> {
    /// A header block that says the same and refers to no table, if it is written anew.
    pub fn written(&self) -> &[u8] {
        self.written
    }
}

/// How long a header block may be, compressed and cut into frames however its sender likes, in bytes.
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
        anew,
        unfit: None,
        status: None,
        judge: FieldJudge {
            is_servers: true,
            is_trailers: matches!(place, Place::Trailers { .. }),
            largest: limits.header,
            most: MAX_RESPONSE_FIELDS,
            count: 0,
            size: 0,
            length: None,
        },
        written,
    };
    decoder.decode(block, |name, value| reader.field(name, value))?;
    Ok(reader.end())
}

struct Reader<'a> {
    place: Place,
    anew: bool,
    unfit: Option<Unfit>,
    status: Option<u16>,
    judge: FieldJudge,
    written: &'a mut Vec<u8>,
}

impl<'a> Reader<'a> {
    fn field(&mut self, name: &[u8], mut value: &[u8]) {
        if let [b':', pseudo @ ..] = name {
            if let Err(unfit) = self.pseudo(pseudo, value) {
                self.unfit = self.unfit.or(Some(unfit));
            }
            return;
        }
        if value.trim_ascii().len() < value.len() && !has_control(value) {
            // Servers of gRPC end messages in a space, and are understood all the same.
            value = value.trim_ascii();
            self.anew = true;
        }
        self.judge.count += 1;
        if self.unfit.is_some() {
            return;
        }
        self.unfit = self.judge.judge(name, value).err();
        if self.unfit.is_none() {
            // It may turn out late that the block is to be written anew.
            write_literal(name, value, self.written);
        }
    }

    /// A pseudo-field (section 8.3).
    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unfit> {
        if self.judge.is_trailers {
            return Err(Unfit::Pseudo);
        }
        if self.judge.count > 0 {
            return Err(Unfit::PseudoOrder);
        }
        if name != b"status" {
            return Err(Unfit::Pseudo);
        }
        if self.status.is_some() {
            return Err(Unfit::PseudoTwice);
        }
        let status = status(value).ok_or(Unfit::Status)?;
        self.status = Some(status);
        if status < 200 && self.place == (Place::Response { ends: true }) {
            return Err(Unfit::Interim);
        }
        write_literal(b":status", value, self.written);
        Ok(())
    }

    fn end(self) -> Section<'a> {
        let missing = match self.place {
            Place::Trailers { ends: false } => Some(Unfit::OpenEnd),
            Place::Response { .. } => self.status.is_none().then_some(Unfit::PseudoMissing),
            Place::Trailers { ends: true } | Place::Late => None,
        };
        Section {
            unfit: self.unfit.or(missing),
            status: self.status,
            anew: self.anew,
            written: self.written,
        }
    }
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

#[cfg(test)]
mod tests;
