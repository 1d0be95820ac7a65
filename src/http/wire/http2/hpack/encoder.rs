//! HPACK (RFC 7541), written: names and values become header blocks.
//!
//! What is said for the second time is kept in the table that both sides share, and from the third time on a byte or two stand for
//! it. What differs from message to message never gets there: identifiers, dates, lengths. Text isn't Huffman-coded, as it isn't
//! by HAProxy: that would save a quarter of what is said for the first time, and cost more than all the rest.

use std::collections::VecDeque;
use std::sync::LazyLock;

use http::{HeaderName, Method};

use super::table::{OVERHEAD, STATIC};
use super::{TABLE_SIZE, write_integer, write_text};
use crate::headers::names;
use crate::http::wire::http2::request_line::RequestLine;

/// Places by which fields are found again.
const PLACES: usize = 64;
/// A field that is larger than this part of the table isn't kept.
const LARGEST_PART: usize = 2;

/// First bytes of fields, and how many bits of an index stand in them (section 6).
const INDEXED: (u8, u32) = (0x80, 7);
const KEPT: (u8, u32) = (0x40, 6);
const RESIZED: (u8, u32) = (0x20, 5);
const NEVER_INDEXED: (u8, u32) = (0x10, 4);
const NOT_INDEXED: (u8, u32) = (0x00, 4);

/// Where the pseudo-fields begin in the static table: `GET` and `POST`, `/`, `http` and `https`, `200`.
const AUTHORITY: usize = 1;
const METHOD: usize = 2;
const PATH: usize = 4;
const SCHEME: usize = 6;
const STATUS: usize = 8;

/// What the header blocks of one direction of a connection share.
#[derive(Debug)]
pub struct Encoder {
    /// The fields that may be referred to, oldest first.
    entries: VecDeque<Entry>,
    /// As section 4.1 counts.
    size: usize,
    most: usize,
    /// Fields that were ever kept: the newest one's number.
    kept: u32,
    places: Box<[Place; PLACES]>,
    /// The least size that the table was to have since the last block, if it has changed.
    resized: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    name: usize,
}

/// What was seen last of the fields that belong here.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The hash of the last one that was said once.
    seen: u32,
    /// The hash and the number of the last one that was kept.
    kept: (u32, u32),
}

impl Encoder {
    /// For a connection that begins.
    pub fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            most: TABLE_SIZE,
            kept: 0,
            places: Box::new([Place::default(); PLACES]),
            resized: None,
        }
    }

    /// The other side allows for a table of that size (RFC 9113 section 6.5.2).
    pub fn allow(&mut self, size: u32) {
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(TABLE_SIZE);
        if size != self.most || self.resized.is_some() {
            self.resized = Some(self.resized.map_or(size, |least| least.min(size)));
            self.most = size;
            self.shrink(size);
        }
    }

    /// Begins a block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some(least) = self.resized.take() else {
            return;
        };
        // Section 4.2.
        if least < self.most {
            write_integer(RESIZED, least, out);
        }
        write_integer(RESIZED, self.most, out);
    }

    /// Writes the pseudo-fields of a request.
    pub fn request_line(&mut self, line: &RequestLine<'_>, out: &mut Vec<u8>) {
        match *line.method {
            Method::GET => write_integer(INDEXED, METHOD, out),
            Method::POST => write_integer(INDEXED, METHOD + 1, out),
            _ => self.text(METHOD, b":method", line.method.as_str().as_bytes(), out),
        }
        let is_https = line.scheme == "https";
        write_integer(INDEXED, SCHEME + usize::from(is_https), out);
        self.text(AUTHORITY, b":authority", line.authority, out);
        match line.path {
            b"/" => write_integer(INDEXED, PATH, out),
            path => self.text(PATH, b":path", path, out),
        }
    }

    /// Writes a response's status.
    pub fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        let known = match status {
            200 => STATUS,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digit = |part: u16| b'0' + u8::try_from(part % 10).unwrap_or(0);
                let value = [digit(status / 100), digit(status / 10), digit(status)];
                return self.text(STATUS, b":status", &value, out);
            }
        };
        write_integer(INDEXED, known, out);
    }

    /// Writes a field. What is `secret` never gets into a table, here or further on (section 7.1.3).
    pub fn field(&mut self, name: &HeaderName, value: &[u8], secret: bool, out: &mut Vec<u8>) {
        let text = name.as_str().as_bytes();
        let known = known_name(name, text);
        if secret {
            write_literal(NEVER_INDEXED, known, text, value, out);
        } else {
            self.text(known, text, value, out);
        }
    }

    /// Writes a field whose name stands at `known` of the static table; 0 = nowhere.
    fn text(&mut self, known: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let size = name.len() + value.len() + OVERHEAD;
        if size > self.most / LARGEST_PART {
            return write_literal(NOT_INDEXED, known, name, value, out);
        }
        let hash = hash(name, value);
        if let Some(index) = self.find(hash, name, value) {
            return write_integer(INDEXED, index, out);
        }
        let Some(place) = self.place(hash) else {
            return;
        };
        if place.seen != hash {
            place.seen = hash;
            return write_literal(NOT_INDEXED, known, name, value, out);
        }
        write_literal(KEPT, known, name, value, out);
        self.keep(hash, size, name, value);
    }

    fn place(&mut self, hash: u32) -> Option<&mut Place> {
        self.places.get_mut(place_of(hash))
    }

    /// The index of a field that was kept.
    fn find(&self, hash: u32, name: &[u8], value: &[u8]) -> Option<usize> {
        let (kept, number) = self.places.get(place_of(hash))?.kept;
        let age = usize::try_from(self.kept.wrapping_sub(number)).ok()?;
        if kept != hash {
            return None;
        }
        let at = self.entries.len().checked_sub(age + 1)?;
        let entry = self.entries.get(at)?;
        let (its_name, its_value) = entry.text.split_at_checked(entry.name)?;
        (its_name == name && its_value == value).then_some(STATIC.len() + 1 + age)
    }

    fn keep(&mut self, hash: u32, size: usize, name: &[u8], value: &[u8]) {
        self.shrink(self.most.saturating_sub(size));
        self.entries.push_back(Entry {
            text: [name, value].concat().into_boxed_slice(),
            name: name.len(),
        });
        self.size += size;
        self.kept = self.kept.wrapping_add(1);
        let number = self.kept;
        if let Some(place) = self.place(hash) {
            place.kept = (hash, number);
        }
    }

    fn shrink(&mut self, most: usize) {
        while self.size > most {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.size -= oldest.text.len() + OVERHEAD;
        }
    }
}

fn write_literal(kind: (u8, u32), known: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    write_integer(kind, known, out);
    if known == 0 {
        write_text(name, out);
    }
    write_text(value, out);
}

fn place_of(hash: u32) -> usize {
    // The lowest bit says nothing.
    usize::try_from(hash >> 1).unwrap_or(0) % PLACES
}

/// Of a field; never 0, which stands for none.
fn hash(name: &[u8], value: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = u64::from(names::hash(name));
    let mut mix = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = value.as_chunks::<8>();
    for word in words {
        mix(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    mix(u64::from_le_bytes(last) ^ (value.len() as u64) << 56);
    let [.., a, b, c, d] = (hash ^ hash >> 29).to_be_bytes();
    u32::from_be_bytes([a, b, c, d]) | 1
}

/// The names of the static table by their hashes.
static NAMES: LazyLock<Vec<Vec<(HeaderName, usize)>>> = LazyLock::new(|| {
    let mut table = vec![Vec::new(); 1 << u8::BITS];
    for (at, (name, _)) in STATIC.iter().enumerate() {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            // A pseudo-field.
            continue;
        };
        let place = table.get_mut(usize::from(names::hash(name.as_str().as_bytes())));
        if let Some(place) = place {
            place.push((name, at + 1));
        }
    }
    table
});

/// Where a name stands in the static table; 0 = nowhere.
fn known_name(name: &HeaderName, text: &[u8]) -> usize {
    let place = NAMES.get(usize::from(names::hash(text)));
    let found = place.and_then(|place| place.iter().find(|(known, _)| known == name));
    found.map_or(0, |(_, index)| *index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Decoder;
    use super::*;

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).unwrap()
    }

    /// How many bytes a field takes each time that it is said.
    fn lengths(encoder: &mut Encoder, field: (&str, &str), times: usize) -> Vec<usize> {
        let mut length = || {
            let mut out = Vec::new();
            encoder.field(&name(field.0), field.1.as_bytes(), false, &mut out);
            out.len()
        };
        (0..times).map(|_| length()).collect()
    }

    #[test]
    fn what_is_said_again_becomes_a_byte() {
        let mut encoder = Encoder::new();
        // The name is one of the static table.
        assert_eq!(lengths(&mut encoder, ("server", "web"), 4), [6, 5, 1, 1]);
        assert_eq!(lengths(&mut encoder, ("x-a", "b"), 3), [7, 7, 1]);
        assert_eq!(lengths(&mut encoder, ("server", "web"), 1), [1]);
    }

    #[test]
    fn secrets_stay_out_of_every_table() {
        let mut encoder = Encoder::new();
        for _ in 0..3 {
            let mut out = Vec::new();
            encoder.field(&name("set-cookie"), b"a=b", true, &mut out);
            assert_eq!(out, [&[0x1f, 55 - 15, 3][..], b"a=b"].concat());
        }
    }

    #[test]
    fn statuses_are_what_they_are() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for status in [200, 204, 206, 304, 400, 404, 500, 101, 302, 302, 302, 599] {
            let mut out = Vec::new();
            encoder.status(status, &mut out);
            let mut read = Vec::new();
            decoder
                .decode(&out, |name, value| {
                    read.push((name.to_vec(), value.to_vec()));
                })
                .unwrap();
            let expected = (b":status".to_vec(), status.to_string().into_bytes());
            assert_eq!(read, [expected]);
        }
    }

    #[test]
    fn a_request_line_is_what_it_is_and_becomes_short() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for (method, scheme, path) in [
            (Method::GET, "http", "/"),
            (Method::POST, "https", "/a?b"),
            (Method::PUT, "http", "/a?b"),
            (Method::PUT, "http", "/a?b"),
            (Method::PUT, "http", "/a?b"),
        ] {
            let line = RequestLine {
                method: &method,
                scheme,
                authority: b"a.example",
                path: path.as_bytes(),
            };
            let (mut out, mut read) = (Vec::new(), Vec::new());
            encoder.request_line(&line, &mut out);
            decoder
                .decode(&out, |_, value| {
                    read.push(String::from_utf8(value.to_vec()).unwrap());
                })
                .unwrap();
            assert_eq!(read, [method.as_str(), scheme, "a.example", path]);
        }
        let line = RequestLine {
            method: &Method::PUT,
            scheme: "http",
            authority: b"a.example",
            path: b"/a?b",
        };
        let mut out = Vec::new();
        encoder.request_line(&line, &mut out);
        assert_eq!(out.len(), 4);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Block(Vec<(u8, u8, usize, bool)>),
        Allow(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let field = (0u8..6, 0u8..6, 0usize..3, prop::bool::weighted(0.1));
        prop_oneof![
            8 => prop::collection::vec(field, 0..30).prop_map(Step::Block),
            1 => prop_oneof![Just(0), 0u32..600, Just(4096), Just(100_000)].prop_map(Step::Allow),
        ]
    }

    proptest! {
        /// Whoever reads the blocks reads what was said, whatever size the table may have meanwhile.
        #[test]
        fn what_is_written_is_read(steps in prop::collection::vec(step(), 1..60)) {
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
            for step in steps {
                let fields = match step {
                    Step::Allow(size) => {
                        encoder.allow(size);
                        continue;
                    }
                    Step::Block(fields) => fields,
                };
                let (mut out, mut said, mut read) = (Vec::new(), Vec::new(), Vec::new());
                encoder.begin(&mut out);
                for (field, value, length, secret) in fields {
                    let field = ["server", "x-a", "x-b", "date", "vary", "etag"][usize::from(field)];
                    let value = vec![b'a' + value; [1, 40, 1500][length]];
                    encoder.field(&name(field), &value, secret, &mut out);
                    said.push((field.as_bytes().to_vec(), value));
                }
                decoder.decode(&out, |name, value| read.push((name.to_vec(), value.to_vec()))).unwrap();
                prop_assert_eq!(read, said);
                prop_assert!(decoder.table_size() == encoder.size);
            }
        }
    }
}
