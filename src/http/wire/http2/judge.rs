//! What a field has to be, whoever sends it (RFC 9113 sections 8.2, 8.2.1, 8.2.2).

use super::unfit::Unfit;
use crate::headers::is_tchar;
use crate::http::wire::head;

/// What a field costs in a header section of HTTP/1 besides name and value.
pub const AROUND_FIELD: usize = ": \r\n".len();
/// The `http` crate has no longer names.
const LONGEST_NAME: usize = u16::MAX as usize;

/// The rules for the fields of one header section, and what they have come to so far.
#[derive(Debug)]
pub struct FieldJudge {
    pub is_servers: bool,
    pub is_trailers: bool,
    /// Bytes that the whole section may have, as HTTP/1 would write it.
    pub largest: usize,
    /// Fields that it may have.
    pub most: usize,
    /// Fields so far, a cookie's crumbs each for itself.
    pub count: usize,
    /// Bytes so far.
    pub size: usize,
    /// The length that the body is said to have.
    pub length: Option<u64>,
}

impl FieldJudge {
    /// Judges the next field.
    ///
    /// # Errors
    ///
    /// Why the message isn't taken.
    pub fn judge(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unfit> {
        self.size += name.len() + value.len() + AROUND_FIELD;
        if self.size > self.largest || name.len() > LONGEST_NAME {
            return Err(Unfit::Large);
        }
        if self.count > self.most {
            return Err(Unfit::Many);
        }
        let lower = |byte: &u8| is_tchar(*byte) && !byte.is_ascii_uppercase();
        if name.is_empty() || !name.iter().all(lower) {
            return Err(Unfit::Name);
        }
        if !self.is_servers && head::is_like_framing(name) {
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
            b"content-length" if !self.is_trailers => {
                if self.length.is_some() {
                    return Err(Unfit::Lengths);
                }
                self.length = Some(head::content_length(value).ok_or(Unfit::Length)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Control characters, which no value has; tabs aren't meant.
pub fn has_control(value: &[u8]) -> bool {
    value
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
}
