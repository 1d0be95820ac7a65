//! The header section of a message: its fields in the order in which they came.
//!
//! Few look for many fields, and most of those that are looked for aren't there: a word of marks answers that without a look
//! at the list. Names are compared rather than hashed, and the frequent ones aren't made anew for each message.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::names::{self, Name};

/// The fields of a message.
///
/// A name keeps the spelling that it came with ([`Self::add_received`]), for whoever looks closer than they should.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    list: Vec<Field>,
    /// The marks of all names in the list, and maybe of some that were.
    marks: u64,
    /// Whether a name came that [`names::is_plain`] doesn't vouch for.
    has_odd_names: bool,
    /// The bytes that spellings lie in.
    received: Bytes,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Field {
    name: HeaderName,
    value: HeaderValue,
    /// Where in the received bytes the name is spelt; [`NOWHERE`] if it didn't come from there.
    spelt: u32,
    /// The name's.
    hash: u8,
}

const NOWHERE: u32 = u32::MAX;

/// What a field is looked up by.
pub trait Key {
    /// The name, if it is one.
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName) -> T) -> Option<T>;
}

impl Key for HeaderName {
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName) -> T) -> Option<T> {
        Some(then(self))
    }
}

impl Key for &HeaderName {
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName) -> T) -> Option<T> {
        Some(then(self))
    }
}

impl Key for &str {
    fn with_name<T>(&self, then: impl FnOnce(&HeaderName) -> T) -> Option<T> {
        Name::parse(self.as_bytes()).map(|known| then(&known.name))
    }
}

impl Fields {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, with room for so many.
    pub fn with_capacity(count: usize) -> Self {
        Self {
            list: Vec::with_capacity(count),
            ..Self::default()
        }
    }

    /// None yet, with room for so many that come in `received`.
    pub fn of_received(received: Bytes, count: usize) -> Self {
        Self {
            received,
            ..Self::with_capacity(count)
        }
    }

    /// Adds a field that came: its name is spelt in the received bytes from there on.
    pub fn add_received(&mut self, name: Name, value: HeaderValue, spelt: usize) {
        self.add(name, value, u32::try_from(spelt).unwrap_or(NOWHERE));
    }

    fn add(&mut self, name: Name, value: HeaderValue, spelt: u32) {
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
    #[expect(
        clippy::needless_pass_by_value,
        reason = "constants of names are made where they are given"
    )]
    pub fn get(&self, name: impl Key) -> Option<&HeaderValue> {
        let found = name.with_name(|name| self.find(name).map(|(_, field)| &field.value));
        found.flatten()
    }

    /// Whether there is a field of that name.
    pub fn contains_key(&self, name: impl Key) -> bool {
        self.get(name).is_some()
    }

    /// The values of all lines of that name, in their order.
    pub fn get_all<K: Key>(&self, name: K) -> Lines<'_, K> {
        let hash = name.with_name(hash_of);
        let list = match hash {
            Some(hash) if self.marks & mark(hash) != 0 => self.list.iter(),
            _ => [].iter(),
        };
        let hash = hash.unwrap_or_default();
        Lines { list, name, hash }
    }

    /// Makes `value` the only value of `name`, in the place of the first if there was any.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let first = self.find(&name).map(|(at, _)| at);
        let Some(first) = first else {
            self.append(name, value);
            return;
        };
        let mut at = 0;
        self.list.retain(|field| {
            let stays = at <= first || field.name != name;
            at += 1;
            stays
        });
        if let Some(field) = self.list.get_mut(first) {
            (field.value, field.spelt) = (value, NOWHERE);
        }
    }

    /// Adds a line behind all others.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.add(name.into(), value, NOWHERE);
    }

    /// Takes out every line of `name`. Returns the value of the first.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "constants of names are made where they are given"
    )]
    pub fn remove(&mut self, name: impl Key) -> Option<HeaderValue> {
        let removed = name.with_name(|name| {
            let (first, _) = self.find(name)?;
            let removed = self.list.remove(first).value;
            self.list.retain(|field| field.name != *name);
            Some(removed)
        });
        removed.flatten()
    }

    /// Takes out every field whose name is one of those that `doomed` knows.
    pub fn remove_where(&mut self, doomed: impl Fn(&HeaderName) -> bool) {
        self.list.retain(|field| !doomed(&field.name));
    }

    /// Replaces all lines of `name` by `lines`, in their order; none at all removes the field.
    pub fn replace_lines(
        &mut self,
        name: &HeaderName,
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
    pub fn values(&self) -> impl Iterator<Item = &HeaderValue> {
        self.list.iter().map(|field| &field.value)
    }

    /// All lines.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&HeaderName, &HeaderValue)> {
        self.list.iter().map(|field| (&field.name, &field.value))
    }

    /// All lines, and how their names were spelt, if they came from somewhere.
    pub fn spelt(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue, Option<&[u8]>)> {
        self.list.iter().map(|field| {
            let spelling = || {
                let at = usize::try_from(field.spelt).ok()?;
                self.received.get(at..at + field.name.as_str().len())
            };
            let came = field.spelt != NOWHERE;
            (&field.name, &field.value, came.then(spelling).flatten())
        })
    }

    fn find(&self, name: &HeaderName) -> Option<(usize, &Field)> {
        let hash = hash_of(name);
        if self.marks & mark(hash) == 0 {
            return None;
        }
        let mut list = self.list.iter().enumerate();
        list.find(|(_, field)| field.hash == hash && field.name == *name)
    }
}

/// The values of the lines of one name.
#[derive(Clone)]
pub struct Lines<'a, K> {
    list: std::slice::Iter<'a, Field>,
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
    field.hash == hash && name.with_name(|name| field.name == *name) == Some(true)
}

impl<'a, K: Key> Iterator for Lines<'a, K> {
    type Item = &'a HeaderValue;

    fn next(&mut self) -> Option<&'a HeaderValue> {
        let (name, hash) = (&self.name, self.hash);
        let found = self.list.find(|field| is_one(field, name, hash));
        found.map(|field| &field.value)
    }
}

impl<K: Key> DoubleEndedIterator for Lines<'_, K> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (name, hash) = (&self.name, self.hash);
        let found = self.list.rfind(|field| is_one(field, name, hash));
        found.map(|field| &field.value)
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, Field>,
        fn(&'a Field) -> (&'a HeaderName, &'a HeaderValue),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter().map(|field| (&field.name, &field.value))
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
        let mut fields = Self::with_capacity(map.len() + 8);
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
    fn from(fields: Fields) -> Self {
        let mut map = Self::with_capacity(fields.list.len());
        for field in fields.list {
            map.append(field.name, field.value);
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

    fn index(&self, name: K) -> &HeaderValue {
        self.get(name).expect("there is such a field")
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
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
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
        let mut fields = Fields::of_received(head, 2);
        fields.add_received(HOST.into(), value("a"), 0);
        fields.add_received(HeaderName::from_static("x-mine").into(), value("b"), 9);
        fields.insert(HOST, value("c"));
        let spelt: Vec<_> = fields.spelt().map(|(_, _, spelling)| spelling).collect();
        assert_eq!(spelt, [None, Some(&b"X-mine"[..])]);
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
                        prop_assert_eq!(fields.remove(&names[*at]), map.remove(&names[*at]));
                    }
                    Deed::RemoveWhere(at) => {
                        fields.remove_where(|name| *name == names[*at]);
                        map.remove(&names[*at]);
                    }
                }
                prop_assert_eq!(fields.len(), map.len());
                for name in &names {
                    prop_assert_eq!(fields.get(name), map.get(name));
                    prop_assert_eq!(fields.contains_key(name.as_str()), map.contains_key(name));
                    let (ours, theirs) = (fields.get_all(name), map.get_all(name));
                    prop_assert!(ours.iter().eq(theirs.iter()));
                    prop_assert!(ours.iter().rev().eq(theirs.iter().rev()));
                }
            }
            prop_assert_eq!(HeaderMap::from(fields.clone()), map.clone());
            prop_assert_eq!(lines(&Fields::from(map)).len(), fields.len());
        }
    }
}
