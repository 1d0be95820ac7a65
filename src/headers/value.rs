//! A field's value, where it lies.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use thiserror::Error;

use super::Text;

/// A field's value: one of its own, a short text, or a part of the bytes that were received. Copying it copies a reference.
#[derive(Clone, Copy)]
pub struct ValueRef<'a>(Place<'a>);

#[derive(Clone, Copy)]
enum Place<'a> {
    Own(&'a HeaderValue),
    Text(&'a Text),
    Received { all: &'a Bytes, part: &'a [u8] },
}

/// A value has more than visible characters of ASCII, spaces and tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a value with characters outside ASCII")]
pub struct NotAsciiError;

impl<'a> ValueRef<'a> {
    /// A part of received bytes, which has no control characters but tabs.
    pub(super) fn received(all: &'a Bytes, part: &'a [u8]) -> Self {
        Self(Place::Received { all, part })
    }

    /// Its bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        match self.0 {
            Place::Own(value) => value.as_bytes(),
            Place::Text(text) => text.as_bytes(),
            Place::Received { part, .. } => part,
        }
    }

    /// It as text.
    ///
    /// # Errors
    ///
    /// It has other characters than those of ASCII.
    pub fn to_str(self) -> Result<&'a str, NotAsciiError> {
        let bytes = self.as_bytes();
        // It has no control characters but tabs.
        if !bytes.is_ascii() {
            return Err(NotAsciiError);
        }
        std::str::from_utf8(bytes).map_err(|_| NotAsciiError)
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Whether it is kept out of tables of compression.
    pub fn is_sensitive(self) -> bool {
        match self.0 {
            Place::Own(value) => value.is_sensitive(),
            Place::Text(_) | Place::Received { .. } => false,
        }
    }

    /// It as a value of its own. Received bytes are shared, not copied.
    pub fn to_value(self) -> HeaderValue {
        let value = match self.0 {
            Place::Own(value) => Ok(value.clone()),
            Place::Text(text) => HeaderValue::from_bytes(text.as_bytes()),
            Place::Received { all, part } => HeaderValue::from_maybe_shared(all.slice_ref(part)),
        };
        // Can't be: whoever received or wrote it has looked at it.
        value.unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl<'a> From<&'a HeaderValue> for ValueRef<'a> {
    fn from(value: &'a HeaderValue) -> Self {
        Self(Place::Own(value))
    }
}

impl<'a> From<&'a Text> for ValueRef<'a> {
    fn from(text: &'a Text) -> Self {
        Self(Place::Text(text))
    }
}

impl AsRef<[u8]> for ValueRef<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ValueRef<'_> {}

impl PartialEq<str> for ValueRef<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for ValueRef<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<HeaderValue> for ValueRef<'_> {
    fn eq(&self, other: &HeaderValue) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_wherever_it_lies() {
        let own = HeaderValue::from_static("a b");
        let all = Bytes::from_static(b"x: a b\r\n");
        let part = ValueRef::received(&all, &all[3..6]);
        assert_eq!(ValueRef::from(&own), part);
        assert_eq!(part, "a b");
        assert_eq!(part.to_value(), own);
        assert_eq!(part.to_str(), Ok("a b"));
        assert_eq!(format!("{part:?}"), "\"a b\"");
        let latin = Bytes::from_static(b"\xe9");
        assert_eq!(
            ValueRef::received(&latin, &latin).to_str(),
            Err(NotAsciiError)
        );
    }
}
