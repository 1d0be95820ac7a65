//! Short values of our own.

use std::io::{self, Write};
use std::net::IpAddr;

use crate::ascii;

/// The longest address, as IPv6 writes it, has so many characters.
const MOST: usize = 45;

/// An address, a number, or another short text that is a field's value: it takes no memory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    length: u8,
    bytes: [u8; MOST],
}

impl Text {
    /// A copy of a text without control characters; `None` if it isn't short.
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut made = Self::empty();
        made.write_all(text).is_ok().then_some(made)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }

    const fn empty() -> Self {
        Self {
            length: 0,
            bytes: [0; MOST],
        }
    }

    /// What `write` writes, which there is room for.
    fn written(write: impl FnOnce(&mut Self)) -> Self {
        let mut text = Self::empty();
        write(&mut text);
        text
    }
}

impl From<IpAddr> for Text {
    /// As [`ascii::push_address`] writes it.
    fn from(address: IpAddr) -> Self {
        Self::written(|text| ascii::push_address(text, address))
    }
}

impl From<u16> for Text {
    fn from(number: u16) -> Self {
        Self::written(|text| ascii::push_number(text, number.into()))
    }
}

impl Write for Text {
    /// Takes what there is room for.
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        let room = self.bytes.get_mut(self.length.into()..);
        let count = room.unwrap_or_default().write(more)?;
        self.length += u8::try_from(count).unwrap_or_default();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_there_are_have_room() {
        let longest: IpAddr = "1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap();
        let mapped: IpAddr = "::ffff:255.255.255.255".parse().unwrap();
        for address in [longest, mapped] {
            assert_eq!(
                Text::from(address).as_bytes(),
                address.to_string().as_bytes()
            );
        }
        assert_eq!(Text::from(u16::MAX).as_bytes(), b"65535");
    }

    proptest! {
        #[test]
        fn what_is_short_is_kept_whole_and_nothing_else(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let kept = Text::new(&text);
            prop_assert_eq!(kept.is_some(), text.len() <= MOST);
            if let Some(kept) = kept {
                prop_assert_eq!(kept.as_bytes(), text);
            }
        }
    }
}
