//! Walks through the fields of a message.

use bytes::Bytes;
use http::HeaderName;

use super::{Field, Fields, Key};
use crate::headers::ValueRef;

/// All lines.
#[derive(Clone)]
pub struct Iter<'a> {
    pub(super) list: std::slice::Iter<'a, Field>,
    pub(super) received: &'a Bytes,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a HeaderName, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.list.next()?;
        Some((&field.name, field.value(self.received)))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let field = self.list.next_back()?;
        Some((&field.name, field.value(self.received)))
    }
}

/// The values of the lines of one name.
#[derive(Clone)]
pub struct Lines<'a, K> {
    pub(super) list: std::slice::Iter<'a, Field>,
    pub(super) received: &'a Bytes,
    pub(super) name: K,
    pub(super) hash: u8,
}

impl<K: Key + Clone> Lines<'_, K> {
    /// Those that are left.
    #[must_use]
    pub fn iter(&self) -> Self {
        self.clone()
    }
}

impl<'a, K: Key> Iterator for Lines<'a, K> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<ValueRef<'a>> {
        let (name, hash) = (&self.name, self.hash);
        let found = self.list.find(|field| field.is(name, hash));
        found.map(|field| field.value(self.received))
    }
}

impl<K: Key> DoubleEndedIterator for Lines<'_, K> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (name, hash) = (&self.name, self.hash);
        let found = self.list.rfind(|field| field.is(name, hash));
        found.map(|field| field.value(self.received))
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a HeaderName, ValueRef<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
