//! The text of a header section that was compressed: names and values, one behind the other.

use std::ops::Range;

use bytes::Bytes;

use crate::headers::Fields;
use crate::headers::names::Name;
use crate::http::wire::buffers;

/// What the values of a section's fields are parts of.
#[derive(Debug)]
pub struct SectionText(Vec<u8>);

impl SectionText {
    /// None yet.
    pub fn new() -> Self {
        Self(buffers::take())
    }

    /// Adds text, and says where it is.
    pub fn add(&mut self, value: &[u8]) -> Range<usize> {
        let begin = self.0.len();
        self.0.extend_from_slice(value);
        begin..self.0.len()
    }

    /// Adds a field that is in order.
    pub fn add_field(&mut self, fields: &mut Fields, name: &[u8], value: &[u8]) {
        if let Some(name) = Name::parse(name) {
            let place = self.add(value);
            fields.add_value(name, place);
        }
    }

    /// The text at a place.
    pub fn get(&self, place: &Range<usize>) -> Option<&[u8]> {
        self.0.get(place.clone())
    }

    /// All of it, to be looked at from now on.
    pub fn take(&mut self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl Drop for SectionText {
    fn drop(&mut self) {
        buffers::give_back(std::mem::take(&mut self.0));
    }
}
