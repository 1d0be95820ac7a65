//! The header section of a message: its fields in the order in which they came.
//!
//! Few look for many fields, and most of those that are looked for aren't there: a word of marks answers that without a look
//! at the list. Names are compared rather than hashed, and the frequent ones aren't made anew for each message.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::List;
use super::names::{self, KnownName, Name};
use super::{Text, ValueRef, list_members};

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
            if !is_one(field, name, name.hash()) {
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

/// All lines.
#[derive(Clone)]
pub struct Iter<'a> {
    list: std::slice::Iter<'a, Field>,
    received: &'a Bytes,
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
    list: std::slice::Iter<'a, Field>,
    received: &'a Bytes,
    name: K,
    hash: u8,
}

impl<K: Key + Clone> Lines<'_, K> {
    /// Those that are left.
    #[must_use]
    pub fn iter(&self) -> Self {
        self.clone()
    }
}

fn is_one(field: &Field, name: &impl Key, hash: u8) -> bool {
    field.hash == hash && name.with_name(|name, _| field.name == *name) == Some(true)
}

impl<'a, K: Key> Iterator for Lines<'a, K> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<ValueRef<'a>> {
        let (name, hash) = (&self.name, self.hash);
        let found = self.list.find(|field| is_one(field, name, hash));
        found.map(|field| field.value(self.received))
    }
}

impl<K: Key> DoubleEndedIterator for Lines<'_, K> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (name, hash) = (&self.name, self.hash);
        let found = self.list.rfind(|field| is_one(field, name, hash));
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

impl Extend<(HeaderName, HeaderValue)> for Fields {
    fn extend<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(&mut self, lines: I) {
        for (name, value) in lines {
            self.append(name, value);
        }
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(lines: I) -> Self {
        let mut fields = Self::new();
        fields.extend(lines);
        fields
    }
}

impl PartialEq for Fields {
    /// Whether the lines are the same, in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self::with_room();
        let mut last = None;
        for (name, value) in map {
            // Further lines of a name come without it.
            if let Some(name) = name.or_else(|| last.clone()) {
                last = Some(name.clone());
                fields.append(name, value);
            }
        }
        fields
    }
}

impl From<Fields> for HeaderMap {
    fn from(mut fields: Fields) -> Self {
        let mut map = Self::with_capacity(fields.list.len());
        let Fields { list, received, .. } = &mut fields;
        for field in list.drain(..) {
            let value = field.value(received).to_value();
            map.append(field.name, value);
        }
        map
    }
}

fn hash_of(name: &HeaderName) -> u8 {
    names::hash(name.as_str().as_bytes())
}

/// The mark of a name by its hash: one bit of several, which others may have, too.
fn mark(hash: u8) -> u64 {
    1 << (hash & 63)
}

#[cfg(test)]
impl<K: Key> std::ops::Index<K> for Fields {
    type Output = HeaderValue;

    /// A copy for the rest of the test.
    fn index(&self, name: K) -> &HeaderValue {
        let value = self.get(name).expect("no field of that name").to_value();
        Box::leak(Box::new(value))
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HOST, VIA};
    use proptest::prelude::*;

    use super::*;

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
        let mut fields = Fields::new();
        fields.extend(
            lines
                .iter()
                .map(|(name, text)| (HeaderName::from_static(name), value(text))),
        );
        fields
    }

    fn lines(fields: &Fields) -> Vec<String> {
        let line =
            |(name, value): (&HeaderName, ValueRef)| format!("{name}: {}", value.to_str().unwrap());
        fields.iter().map(line).collect()
    }

    #[test]
    fn all_lines_of_the_doomed_go_and_no_other() {
        let mut fields = fields(&[("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")]);
        fields.remove_where(|name| name == "a" || name == "c");
        assert_eq!(lines(&fields), ["b: 2"]);
        fields.remove_where(|name| name == "a");
        assert_eq!(fields.len(), 1);
    }

    #[test]
    fn replacing_lines_keeps_their_order() {
        let mut fields = fields(&[("via", "old")]);
        fields.replace_lines(&VIA, ["1", "2", "3"].map(value));
        assert_eq!(lines(&fields), ["via: 1", "via: 2", "via: 3"]);
        fields.replace_lines(&VIA, []);
        assert!(!fields.contains_key(VIA));
    }

    #[test]
    fn a_name_keeps_its_spelling_as_long_as_its_value_does() {
        let head = Bytes::from_static(b"hOST: a\r\nX-mine: b\r\n");
        let mut fields = Fields::new();
        fields.add_received(HOST.into(), 6..7, 0);
        fields.add_received(HeaderName::from_static("x-mine").into(), 17..18, 9);
        fields.set_received(head);
        assert_eq!(lines(&fields), ["host: a", "x-mine: b"]);
        fields.insert(HOST, value("c"));
        let spelt: Vec<_> = fields.spelt().map(|(_, _, spelling)| spelling).collect();
        assert_eq!(spelt, [None, Some(&b"X-mine"[..])]);
    }

    #[test]
    fn a_part_of_a_value_stays_wherever_it_lies() {
        let mut fields = Fields::new();
        fields.add_received(HOST.into(), 0..5, 0);
        fields.set_received(Bytes::from_static(b"a b c"));
        fields.append(HOST, value("a b c"));
        fields.append(HOST, value("c"));
        fields.append(VIA, value("a"));
        fields.edit_lines(&names::HOST, |line| match line.as_bytes() {
            b"c" => Edit::Remove,
            _ => Edit::Part(2..3),
        });
        assert_eq!(lines(&fields), ["host: b", "host: b", "via: a"]);
        fields.insert_text(VIA, Text::new(b"x y").unwrap());
        fields.edit_lines(&names::VIA, |_| Edit::Part(0..1));
        assert_eq!(lines(&fields), ["host: b", "host: b", "via: x"]);
        fields.edit_lines(&names::VIA, |_| Edit::Value(value("z")));
        fields.edit_lines(&names::HOST, |_| Edit::Keep);
        assert_eq!(lines(&fields), ["host: b", "host: b", "via: z"]);
    }

    #[test]
    fn a_value_may_be_that_of_another_field() {
        let mut fields = fields(&[("host", "a"), ("host", "b"), ("via", "1"), ("via", "2")]);
        assert!(fields.insert_same(VIA, &names::HOST));
        assert!(!fields.insert_same(HOST, &names::COOKIE));
        assert_eq!(lines(&fields), ["host: a", "host: b", "via: a"]);
        let copy = HeaderMap::from(fields.clone());
        assert_eq!(Fields::from(copy), fields);
    }

    #[test]
    fn names_that_cgi_cant_tell_apart_are_noted() {
        assert!(!fields(&[("x-a", "1")]).has_odd_names());
        assert!(fields(&[("x_a", "1")]).has_odd_names());
    }

    /// What is done to a header section.
    #[derive(Debug, Clone)]
    enum Deed {
        Append(usize),
        Insert(usize),
        Remove(usize),
        RemoveWhere(usize),
    }

    proptest! {
        /// Whatever is done, all that can be asked is answered as by the map of the `http` crate.
        #[test]
        fn it_is_a_header_map_that_keeps_its_order(
            deeds in prop::collection::vec(
                (0usize..4, 0usize..6).prop_map(|(deed, name)| match deed {
                    0 => Deed::Append(name),
                    1 => Deed::Insert(name),
                    2 => Deed::Remove(name),
                    _ => Deed::RemoveWhere(name),
                }),
                0..24,
            ),
        ) {
            let names = ["host", "cookie", "x-a", "x-b", "vary", "x_odd"].map(HeaderName::from_static);
            let (mut fields, mut map) = (Fields::new(), HeaderMap::new());
            for (count, deed) in deeds.iter().enumerate() {
                let value = HeaderValue::from(count);
                match deed {
                    Deed::Append(at) => {
                        fields.append(names[*at].clone(), value.clone());
                        map.append(names[*at].clone(), value);
                    }
                    Deed::Insert(at) => {
                        fields.insert(names[*at].clone(), value.clone());
                        map.insert(names[*at].clone(), value);
                    }
                    Deed::Remove(at) => {
                        prop_assert_eq!(fields.remove(&names[*at]), map.remove(&names[*at]).is_some());
                    }
                    Deed::RemoveWhere(at) => {
                        fields.remove_where(|name| *name == names[*at]);
                        map.remove(&names[*at]);
                    }
                }
                prop_assert_eq!(fields.len(), map.len());
                for name in &names {
                    prop_assert_eq!(fields.get(name), map.get(name).map(ValueRef::from));
                    prop_assert_eq!(fields.contains_key(name.as_str()), map.contains_key(name));
                    let (ours, theirs) = (fields.get_all(name), map.get_all(name));
                    prop_assert!(ours.iter().eq(theirs.iter().map(ValueRef::from)));
                    prop_assert!(ours.iter().rev().eq(theirs.iter().rev().map(ValueRef::from)));
                }
            }
            prop_assert_eq!(HeaderMap::from(fields.clone()), map.clone());
            prop_assert_eq!(lines(&Fields::from(map)).len(), fields.len());
        }
    }
}
