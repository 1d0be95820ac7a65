//! The Huffman code of HPACK (RFC 7541 section 5.2, appendix B), read.
//!
//! The code is a canonical one: codes of the same length follow one another in their symbols' order, and the lengths
//! say all.

use super::Broken;

/// Symbols: the bytes, and the end of a string, which no string may have.
const SYMBOLS: usize = 257;
const END: u16 = 256;
const LONGEST: usize = 30;
/// Codes up to this length are looked up. Nearly all that headers have are.
const LOOKED_UP: u32 = 8;

/// The length of each symbol's code, in bits (appendix B).
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// What the lengths say.
struct Code {
    /// The symbols by length of their codes, and those of one length in order.
    symbols: [u16; SYMBOLS],
    /// The first code of each length.
    first: [u32; LONGEST + 1],
    /// How many codes there are of each length.
    count: [u32; LONGEST + 1],
    /// Where in `symbols` each length begins.
    begins: [usize; LONGEST + 1],
    /// For the next bits of a string: the symbol that they begin with and the length of its code; 0 = a longer one.
    short: [(u16, u8); 1 << LOOKED_UP],
}

static CODE: Code = code();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which refuses what is out of bounds; symbols are below 257"
)]
const fn code() -> Code {
    let mut code = Code {
        symbols: [0; SYMBOLS],
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        begins: [0; LONGEST + 1],
        short: [(0, 0); 1 << LOOKED_UP],
    };
    let (mut next, mut placed, mut length) = (0_u32, 0, 1);
    while length <= LONGEST {
        code.first[length] = next;
        code.begins[length] = placed;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                code.symbols[placed] = symbol as u16;
                placed += 1;
                if length <= LOOKED_UP as usize {
                    let free = LOOKED_UP as usize - length;
                    let mut rest = 0;
                    while rest < 1 << free {
                        code.short[((next as usize) << free) + rest] =
                            (symbol as u16, length as u8);
                        rest += 1;
                    }
                }
                next += 1;
                code.count[length] += 1;
            }
            symbol += 1;
        }
        next <<= 1;
        length += 1;
    }
    code
}

/// Appends what `coded` says.
///
/// # Errors
///
/// [`Broken`]: it has the end of a string in it, or ends in something else than the first bits of that.
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut coded = coded.iter();
    // The bits at hand stand at the upper end.
    let (mut bits, mut have) = (0_u64, 0_u32);
    loop {
        while have <= u64::BITS - u8::BITS {
            let Some(byte) = coded.next() else { break };
            bits |= u64::from(*byte) << (u64::BITS - u8::BITS - have);
            have += u8::BITS;
        }
        let (symbol, length) = first(bits)?;
        if length > have {
            // What fills up the last byte: fewer than 8 bits, all set.
            let padding = have < u8::BITS && bits.leading_ones() == have;
            return if padding { Ok(()) } else { Err(Broken) };
        }
        out.push(u8::try_from(symbol).map_err(|_| Broken)?);
        bits <<= length;
        have -= length;
    }
}

/// The symbol that these bits begin with, and the length of its code.
fn first(bits: u64) -> Result<(u16, u32), Broken> {
    let next = usize::try_from(bits >> (u64::BITS - LOOKED_UP)).map_err(|_| Broken)?;
    if let Some((symbol, length @ 1..)) = CODE.short.get(next) {
        return Ok((*symbol, u32::from(*length)));
    }
    for (length, ((first, count), begins)) in
        (0..).zip(CODE.first.iter().zip(&CODE.count).zip(&CODE.begins))
    {
        if length <= LOOKED_UP {
            continue;
        }
        let code = u32::try_from(bits >> (u64::BITS - length)).map_err(|_| Broken)?;
        if let Some(place) = code.checked_sub(*first).filter(|place| place < count) {
            let place = begins + usize::try_from(place).map_err(|_| Broken)?;
            let symbol = CODE.symbols.get(place).copied().unwrap_or(END);
            return Ok((symbol, length));
        }
    }
    Err(Broken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `text` is in the code.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let same = (0..=255_u16).filter(|s| usize::from(LENGTHS[usize::from(*s)]) == length);
            let place = same.take_while(|s| *s < u16::from(*byte)).count();
            let code = CODE.first[length] + u32::try_from(place).unwrap();
            bits.push_str(&format!("{code:0length$b}"));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let bytes = bits.as_bytes().chunks(8);
        bytes
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect()
    }

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, &mut out).ok().map(|()| out)
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7541 appendix C.4.1, C.4.2 and C.6.1.
        for (text, coded) in [
            (
                &b"www.example.com"[..],
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ][..],
            ),
            (b"no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
            (b"302", &[0x64, 0x02]),
            (b"private", &[0xae, 0xc3, 0x77, 0x1a, 0x4b]),
            (b"", &[]),
        ] {
            assert_eq!(decoded(coded).as_deref(), Some(text));
            assert_eq!(encode(text), coded);
        }
    }

    #[test]
    fn padding_is_short_and_of_ones_and_strings_have_no_end_in_them() {
        assert_eq!(decoded(&[0x64, 0x02, 0xff]), None, "a byte of padding");
        assert_eq!(decoded(&[0b0000_0000]), None, "padding of zeros");
        assert_eq!(decoded(&[0b0000_0111]).as_deref(), Some(&b"0"[..]));
        assert_eq!(decoded(&[0xff; 4]), None, "the end");
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc]), None, "the end");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(decoded(&encode(&text)), Some(text));
        }

        #[test]
        fn arbitrary_bytes_never_panic(coded in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(text) = decoded(&coded) {
                prop_assert_eq!(encode(&text), coded);
            }
        }
    }
}
