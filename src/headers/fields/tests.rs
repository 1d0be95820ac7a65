use http::HeaderMap;
use http::header::{HOST, VIA};
use proptest::prelude::*;

use super::*;

impl<K: Key> std::ops::Index<K> for Fields {
    type Output = HeaderValue;

    /// A copy for the rest of the test.
    fn index(&self, name: K) -> &HeaderValue {
        let value = self.get(name).expect("no field of that name").to_value();
        Box::leak(Box::new(value))
    }
}

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
