//! The header section of a message: its fields in the order in which they came.
//!
//! Few look for many fields, and most of those that are looked for aren't there: a word of marks answers that without a look
//! at the list. Names are compared rather than hashed, and the frequent ones aren't made anew for each message.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::list::List;
use super::names::{self, KnownName, Name};
use super::{Text, ValueRef, list_members};

mod convert;
mod iter;
#[cfg(test)]
mod tests;

pub use iter::{Iter, Lines};

/// The fields of a message.
///
/// What was received stays where it is ([`Self::add_received`]): of a value only its place is kept, and a name keeps the
/// spelling that it came with, for whoever looks closer than they should.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    list: List,
    /// The marks of all names in the list, and maybe of some that were.
    marks: u64,
    /// Whether a name came that [`names::is_plain`] doesn't vouch for.
    has_odd_names: bool,
    /// The bytes that received values and spellings lie in.
    received: Bytes,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Field {
    name: HeaderName,
    value: Stored,
    /// Where in the received bytes the name is spelt; [`NOWHERE`] if it didn't come from there.
    spelt: u32,
    /// The name's.
    hash: u8,
}

/// Where a value is.
#[derive(Debug, Clone)]
enum Stored {
    Own(HeaderValue),
    /// A short one, in the field itself.
    Text(Text),
    /// A part of the received bytes.
    Received {
        begin: u32,
        end: u32,
    },
}

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// It stays as it is.
    Keep,
    /// This part of its value is left.
    Part(Range<usize>),
    /// It has this value instead.
    Value(HeaderValue),
    /// It goes.
    Remove,
}

const NOWHERE: u32 = u32::MAX;

/// A place in received bytes, which are few.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NOWHERE)
}

/// What a field is looked up by.
pub trait Key {
    /// The name with its hash, if it is one.
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName, u8) -> T) -> Option<T>;
}

impl Key for KnownName {
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName, u8) -> T) -> Option<T> {
        Some(then(self.name(), self.hash()))
    }
}

impl Key for HeaderName {
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName, u8) -> T) -> Option<T> {
        Some(then(self, hash_of(self)))
    }
}

impl<K: Key> Key for &K {
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName, u8) -> T) -> Option<T> {
        (**self).with_name(then)
    }
}

impl Key for &str {
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName, u8) -> T) -> Option<T> {
        Name::parse(self.as_bytes()).map(|known| then(&known.name, known.hash))
    }
}

impl Fields {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, with room for those of a usual message.
    pub fn with_room() -> Self {
        Self {
            list: List::usual(),
            ..Self::default()
        }
    }

    /// Adds a field of a message that is being received: its name is spelt in the message's bytes from `spelt` on, and
    /// `value`, which has no control characters but tabs, is a part of them. [`Self::set_received`] brings the bytes.
    pub fn add_received(&mut self, name: Name, value: Range<usize>, spelt: usize) {
        let value = Stored::Received {
            begin: place(value.start),
            end: place(value.end),
        };
        self.add(name, value, place(spelt));
    }

    /// The same for a field whose name is spelt as names are in HTTP/2.
    pub fn add_value(&mut self, name: Name, value: Range<usize>) {
        self.add_received(name, value, usize::MAX);
    }

    /// The first field of that name has its value in that part of the message's bytes.
    pub fn set_value(&mut self, name: impl Key, value: Range<usize>) {
        let found = name.with_name(|name, hash| self.find(name, hash).map(|(at, _)| at));
        if let Some(field) = found.flatten().and_then(|at| self.list.get_mut(at)) {
            field.value = Stored::Received {
                begin: place(value.start),
                end: place(value.end),
            };
        }
    }

    /// The same for a field whose value had to be put right first.
    pub fn append_spelt(&mut self, name: Name, value: HeaderValue, spelt: usize) {
        self.add(name, Stored::Own(value), place(spelt));
    }

    /// The bytes of the message that the fields came with.
    pub fn set_received(&mut self, received: Bytes) {
        self.received = received;
    }

    fn add(&mut self, name: Name, value: Stored, spelt: u32) {
        let Name {
            name,
            hash,
            is_plain,
        } = name;
        self.marks |= mark(hash);
        self.has_odd_names |= !is_plain;
        self.list.push(Field {
            name,
            value,
            spelt,
            hash,
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a name has a character that CGI can't tell from a hyphen, or had one. See
    /// [`is_ambiguous`](super::is_ambiguous).
    pub fn has_odd_names(&self) -> bool {
        self.has_odd_names
    }

    /// The value of the first line of that name.
    pub fn get(&self, name: impl Key) -> Option<ValueRef<'_>> {
        let found = name.with_name(|name, hash| self.find(name, hash).map(|(_, field)| field));
        found.flatten().map(|field| field.value(&self.received))
    }

    /// Whether there is a field of that name.
    pub fn contains_key(&self, name: impl Key) -> bool {
        self.get(name).is_some()
    }

    /// The values of all lines of that name, in their order.
    pub fn get_all<K: Key>(&self, name: K) -> Lines<'_, K> {
        let hash = name.with_name(|_, hash| hash);
        let list = match hash {
            Some(hash) if self.marks & mark(hash) != 0 => self.list.iter(),
            _ => [].iter(),
        };
        Lines {
            list,
            received: &self.received,
            name,
            hash: hash.unwrap_or_default(),
        }
    }

    /// The members of a field whose value is a list, over all of its lines (RFC 9110 section 5.6.1).
    pub fn members(&self, name: KnownName) -> impl Iterator<Item = &[u8]> {
        let lines = self.get_all(name).iter();
        lines.flat_map(|line| list_members(line.as_bytes()))
    }

    /// Makes `value` the only value of `name`, in the place of the first if there was any.
    pub fn insert(&mut self, name: impl Into<Name>, value: HeaderValue) {
        self.set(name.into(), Stored::Own(value));
    }

    /// The same for a short text of ours.
    pub fn insert_text(&mut self, name: impl Into<Name>, text: Text) {
        self.set(name.into(), Stored::Text(text));
    }

    /// Makes the value of the first line of `of` the only one of `name` as well. Whether there is one.
    pub fn insert_same(&mut self, name: impl Into<Name>, of: &KnownName) -> bool {
        let found = self.find(of.name(), of.hash());
        let value = found.map(|(_, field)| field.value.clone());
        let is_there = value.is_some();
        if let Some(value) = value {
            self.set(name.into(), value);
        }
        is_there
    }

    fn set(&mut self, name: Name, value: Stored) {
        let first = self.find(&name.name, name.hash).map(|(at, _)| at);
        let Some(first) = first else {
            self.add(name, value, NOWHERE);
            return;
        };
        let mut at = 0;
        self.list.retain(|field| {
            let stays = at <= first || field.name != name.name;
            at += 1;
            stays
        });
        if let Some(field) = self.list.get_mut(first) {
            (field.value, field.spelt) = (value, NOWHERE);
        }
    }

    /// Adds a line behind all others.
    pub fn append(&mut self, name: impl Into<Name>, value: HeaderValue) {
        self.add(name.into(), Stored::Own(value), NOWHERE);
    }

    /// Takes out every line of `name`. Whether there was one.
    pub fn remove(&mut self, name: impl Key) -> bool {
        let removed = name.with_name(|name, hash| {
            let Some((first, _)) = self.find(name, hash) else {
                return false;
            };
            self.list.remove(first);
            self.list.retain(|field| field.name != *name);
            true
        });
        removed == Some(true)
    }

    /// Takes out every field whose name is one of those that `doomed` knows.
    pub fn remove_where(&mut self, doomed: impl Fn(&HeaderName) -> bool) {
        self.list.retain(|field| !doomed(&field.name));
    }

    /// Changes each line of `name` as `edit` says.
    pub fn edit_lines(&mut self, name: &KnownName, edit: impl Fn(ValueRef<'_>) -> Edit) {
        if self.marks & mark(name.hash()) == 0 {
            return;
        }
        let received = &self.received;
        self.list.retain_mut(|field| {
            if !field.is(name, name.hash()) {
                return true;
            }
            match edit(field.value(received)) {
                Edit::Keep => {}
                Edit::Part(range) => field.value = field.value.part(range),
                Edit::Value(value) => field.value = Stored::Own(value),
                Edit::Remove => return false,
            }
            true
        });
    }

    /// Replaces all lines of `name` by `lines`, in their order; none at all removes the field.
    pub fn replace_lines<K: Key + Clone + Into<Name>>(
        &mut self,
        name: &K,
        lines: impl IntoIterator<Item = HeaderValue>,
    ) {
        self.remove(name);
        for line in lines {
            self.append(name.clone(), line);
        }
    }

    /// All names, one for each line.
    pub fn keys(&self) -> impl Iterator<Item = &HeaderName> {
        self.list.iter().map(|field| &field.name)
    }

    /// All values, one for each line.
    pub fn values(&self) -> impl Iterator<Item = ValueRef<'_>> {
        self.iter().map(|(_, value)| value)
    }

    /// All lines.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            list: self.list.iter(),
            received: &self.received,
        }
    }

    /// All lines, and how their names were spelt, if they came from somewhere.
    pub fn spelt(&self) -> impl Iterator<Item = (&HeaderName, ValueRef<'_>, Option<&[u8]>)> {
        self.list.iter().map(|field| {
            let spelling = || {
                let at = usize::try_from(field.spelt).ok()?;
                self.received.get(at..at + field.name.as_str().len())
            };
            let came = field.spelt != NOWHERE;
            let value = field.value(&self.received);
            (&field.name, value, came.then(spelling).flatten())
        })
    }

    fn find(&self, name: &HeaderName, hash: u8) -> Option<(usize, &Field)> {
        if self.marks & mark(hash) == 0 {
            return None;
        }
        let mut list = self.list.iter().enumerate();
        list.find(|(_, field)| field.hash == hash && field.name == *name)
    }
}

impl Field {
    /// Whether that is its name, which has this hash.
    fn is(&self, name: &impl Key, hash: u8) -> bool {
        self.hash == hash && name.with_name(|name, _| self.name == *name) == Some(true)
    }

    fn value<'a>(&'a self, received: &'a Bytes) -> ValueRef<'a> {
        match &self.value {
            Stored::Own(value) => value.into(),
            Stored::Text(text) => text.into(),
            Stored::Received { begin, end } => {
                let place = |at: &u32| usize::try_from(*at).unwrap_or(usize::MAX);
                let part = received.get(place(begin)..place(end));
                ValueRef::received(received, part.unwrap_or_default())
            }
        }
    }
}

impl Stored {
    /// A part of it.
    fn part(&self, range: Range<usize>) -> Self {
        match self {
            Self::Own(value) => {
                let part = value.as_bytes().get(range).unwrap_or_default();
                // A part of a valid value is one.
                let mut part =
                    HeaderValue::from_bytes(part).unwrap_or_else(|_| HeaderValue::from_static(""));
                part.set_sensitive(value.is_sensitive());
                Self::Own(part)
            }
            Self::Text(text) => {
                let part = text.as_bytes().get(range).and_then(Text::new);
                Self::Text(part.unwrap_or(*text))
            }
            Self::Received { begin, .. } => Self::Received {
                begin: begin.saturating_add(place(range.start)),
                end: begin.saturating_add(place(range.end)),
            },
        }
    }
}

impl PartialEq for Fields {
    /// Whether the lines are the same, in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

fn hash_of(name: &HeaderName) -> u8 {
    names::hash(name.as_str().as_bytes())
}

/// The mark of a name by its hash: one bit of several, which others may have, too.
fn mark(hash: u8) -> u64 {
    1 << (hash & 63)
}
