//! Text of the wire and of logs: looked through eight bytes at a time, and written without `core::fmt`, which takes longer
//! than what it writes.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

const WORD: usize = 8;
const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// Bytes that something is wrong with, as marks in a word: the highest bit of the first of them is set, and maybe that of
/// others behind it ("Determine if a word has a byte less than n", Anderson's Bit Twiddling Hacks).
pub type Marks = u64;

/// Marks the bytes below `limit`, which is at most 128.
pub const fn below(word: u64, limit: u8) -> Marks {
    word.wrapping_sub(ONES * limit as u64) & !word & HIGH
}

/// Marks the bytes that are `byte`.
pub const fn equal(word: u64, byte: u8) -> Marks {
    below(word ^ (ONES * byte as u64), 1)
}

/// Marks the bytes that aren't ASCII.
pub const fn above(word: u64) -> Marks {
    word & HIGH
}

/// Where the first byte is that `test` marks.
pub fn position(text: &[u8], test: impl Fn(u64) -> Marks) -> Option<usize> {
    let (words, rest) = text.as_chunks::<WORD>();
    let within = |marks: Marks| usize::try_from(marks.trailing_zeros() / 8).ok();
    for (count, word) in words.iter().enumerate() {
        let marks = test(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(count * WORD + within(marks)?);
        }
    }
    if rest.is_empty() {
        return None;
    }
    if let Some(last) = text.last_chunk() {
        // Begins with bytes that are known to be fine.
        let marks = test(u64::from_le_bytes(*last));
        return Some(text.len() - WORD + within(marks).filter(|_| marks != 0)?);
    }
    // Filled up with its first byte, which says nothing new.
    let mut filled = [*rest.first()?; WORD];
    for (place, byte) in filled.iter_mut().zip(rest) {
        *place = *byte;
    }
    let marks = test(u64::from_le_bytes(filled));
    within(marks).filter(|at| marks != 0 && *at < rest.len())
}

/// Appends a number in decimal, to memory that has room for it.
pub fn push_number(out: &mut impl Write, number: u64) {
    // Writing to memory does not fail.
    drop(out.write_all(itoa::Buffer::new().format(number).as_bytes()));
}

/// Appends a number in decimal, with zeros in front of it up to that many digits.
pub fn push_padded(out: &mut Vec<u8>, number: u32, digits: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    for _ in text.len()..digits {
        out.push(b'0');
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends an address, IPv6 as RFC 5952 writes it and without brackets, to memory that has room for it.
pub fn push_address(out: &mut impl Write, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_ipv4(out, address),
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

fn push_ipv4(out: &mut impl Write, address: Ipv4Addr) {
    let [first, rest @ ..] = address.octets();
    push_number(out, first.into());
    for octet in rest {
        drop(out.write_all(b"."));
        push_number(out, octet.into());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn words_are_looked_at_as_bytes_are(
            text in prop::collection::vec(prop_oneof![any::<u8>(), 0x1e_u8..0x24, 0x7d_u8..0x82], 0..40),
            limit in 1_u8..=128,
            wanted: u8,
        ) {
            let plainly = |test: fn(u8, u8) -> bool, with| text.iter().position(|byte| test(*byte, with));
            prop_assert_eq!(position(&text, |word| below(word, limit)), plainly(|a, b| a < b, limit));
            prop_assert_eq!(position(&text, |word| equal(word, wanted)), plainly(|a, b| a == b, wanted));
            prop_assert_eq!(position(&text, above), plainly(|a, _| !a.is_ascii(), 0));
        }

        #[test]
        fn numbers_and_addresses_are_written_as_by_the_standard_library(
            number: u64,
            small: u32,
            digits in 0_usize..8,
            address: IpAddr,
        ) {
            prop_assert_eq!(written(|out| push_number(out, number)), number.to_string());
            prop_assert_eq!(written(|out| push_padded(out, small, digits)), format!("{small:0digits$}"));
            prop_assert_eq!(written(|out| push_address(out, address)), address.to_string());
        }
    }
}
