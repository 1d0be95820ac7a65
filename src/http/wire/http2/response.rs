//! A response's header block, read and judged field by field (RFC 9113 sections 8.1.1, 8.2, 8.3).
//!
//! What comes out is the one message that everything in front of here knows. A malformed response is an error of its stream
//! alone, and nothing of it is kept.

use http::{StatusCode, Version};

use super::hpack::{Broken, Decoder};
use super::judge::{FieldJudge, has_control};
use super::section_text::SectionText;
use super::unfit::Unfit;
use crate::headers::Fields;
use crate::http::wire::head::HeadLimits;
use crate::http::wire::message::ResponseHeader;

/// What a server's header section may be.
pub const LIMITS: HeadLimits = HeadLimits {
    header: 256 * 1024,
    uri: 0,
    body: 0,
};
/// Fields that it may have, as one of HTTP/1.
const MAX_FIELDS: usize = 256;

/// What a header block said that isn't a response's trailers.
#[derive(Debug)]
pub struct ResponseBlock {
    /// The response's header, the final one or an interim one.
    pub header: ResponseHeader,
    /// The length that its body is said to have.
    pub length: Option<u64>,
    /// What it would take in HTTP/1, in bytes.
    pub size: usize,
}

/// Reads a block that begins a response, or is an interim one.
///
/// # Errors
///
/// [`Broken`]: the connection's header compression is lost.
pub fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Result<ResponseBlock, Unfit>, Broken> {
    let mut reader = Reader::new(false);
    decoder.decode(block, |name, value| reader.field(name, value))?;
    Ok(reader.end_header())
}

/// Reads a response's trailers.
///
/// # Errors
///
/// [`Broken`]: the connection's header compression is lost.
pub fn read_trailers(decoder: &mut Decoder, block: &[u8]) -> Result<Result<Fields, Unfit>, Broken> {
    let mut reader = Reader::new(true);
    decoder.decode(block, |name, value| reader.field(name, value))?;
    Ok(reader.end_trailers())
}

struct Reader {
    unfit: Option<Unfit>,
    status: Option<StatusCode>,
    judge: FieldJudge,
    fields: Fields,
    text: SectionText,
}

impl Reader {
    fn new(is_trailers: bool) -> Self {
        Self {
            unfit: None,
            status: None,
            judge: FieldJudge {
                is_servers: true,
                is_trailers,
                largest: LIMITS.header,
                most: MAX_FIELDS,
                count: 0,
                size: 0,
                length: None,
            },
            fields: if is_trailers {
                Fields::new()
            } else {
                Fields::with_room()
            },
            text: SectionText::new(),
        }
    }

    fn field(&mut self, name: &[u8], mut value: &[u8]) {
        if self.unfit.is_some() {
            return;
        }
        if let [b':', pseudo @ ..] = name {
            self.unfit = self.pseudo(pseudo, value).err();
            return;
        }
        if value.trim_ascii().len() < value.len() && !has_control(value) {
            // Servers of gRPC end messages in a space, and are understood all the same.
            value = value.trim_ascii();
        }
        self.judge.count += 1;
        match self.judge.judge(name, value) {
            Ok(()) => self.text.add_field(&mut self.fields, name, value),
            Err(unfit) => self.unfit = Some(unfit),
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
        self.status = Some(status(value).ok_or(Unfit::Status)?);
        Ok(())
    }

    fn end_header(mut self) -> Result<ResponseBlock, Unfit> {
        let status = self.status.ok_or(Unfit::PseudoMissing);
        let status = self.unfit.map_or(status, Err)?;
        self.fields.set_received(self.text.take());
        Ok(ResponseBlock {
            length: self.judge.length,
            size: self.judge.size,
            header: ResponseHeader::new(status, Version::HTTP_2, self.fields),
        })
    }

    fn end_trailers(mut self) -> Result<Fields, Unfit> {
        self.fields.set_received(self.text.take());
        self.unfit.map_or(Ok(self.fields), Err)
    }
}

/// A response's status. HTTP/2 has no 101 (RFC 9113 section 8.6).
fn status(value: &[u8]) -> Option<StatusCode> {
    let status = StatusCode::from_bytes(value).ok()?;
    let is_one = status.as_u16() < 600 && status != StatusCode::SWITCHING_PROTOCOLS;
    is_one.then_some(status)
}

#[cfg(test)]
mod tests;
