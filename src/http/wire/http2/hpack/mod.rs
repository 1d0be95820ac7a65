//! HPACK (RFC 7541), read: header blocks become names and values, byte for byte as the other side means them.
//!
//! What no name or value can be is told apart from what can't be read: the first is one message's fault, the second the
//! connection's end. How much a block says is known before anything of it is kept.

mod encoder;
mod huffman;
mod table;

pub use encoder::Encoder;
use table::Table;

/// The size that the dynamic table may have: what we announce, which is the protocol's default (RFC 9113 section 6.5.2).
const TABLE_SIZE: usize = 4096;
/// Octets that an integer may have after its first, as the `h2` crate has it: enough for 2²⁸.
const INTEGER_OCTETS: usize = 4;
/// Bytes that one block may put into the table. More than that are a few that are said again and again, which costs its sender next
/// to nothing.
const MOST_KEPT: usize = 4 * 1024 * 1024;
/// A buffer larger than this isn't kept from one block to the next.
const KEPT: usize = 1024;

/// A block that can't be read. The state that the blocks of a connection share is lost with it, and so the connection
/// is (RFC 9113 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// What the header blocks of one direction of a connection share.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// For a connection that begins.
    pub fn new() -> Self {
        Self {
            table: Table::new(TABLE_SIZE),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    #[cfg(test)]
    fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Reads a whole block and hands over its fields, in order.
    ///
    /// # Errors
    ///
    /// [`Broken`]: it can't be read, and no later one can.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Broken> {
        let mut input = Input(block);
        let (mut begun, mut kept) = (false, 0);
        while let Some(first) = input.peek() {
            match first {
                // Section 6.1.
                0x80.. => {
                    let (name, value) = self.table.get(input.integer(7)?)?;
                    field(name, value);
                }
                // Section 6.2.1.
                0x40.. => {
                    self.name.clear();
                    match input.integer(6)? {
                        0 => input.string(&mut self.name)?,
                        index => self.name.extend_from_slice(self.table.get(index)?.0),
                    }
                    self.value.clear();
                    input.string(&mut self.value)?;
                    kept += self.name.len() + self.value.len();
                    if kept > MOST_KEPT {
                        return Err(Broken);
                    }
                    field(&self.name, &self.value);
                    self.table.add(&self.name, &self.value);
                }
                // Section 6.3: before all fields (section 4.2).
                0x20.. => {
                    let size = input.integer(5)?;
                    if begun || size > TABLE_SIZE {
                        return Err(Broken);
                    }
                    self.table.resize(size);
                    continue;
                }
                // Sections 6.2.2 and 6.2.3.
                _ => {
                    let index = input.integer(4)?;
                    self.name.clear();
                    if index == 0 {
                        input.string(&mut self.name)?;
                    }
                    self.value.clear();
                    input.string(&mut self.value)?;
                    let name = match index {
                        0 => &self.name,
                        index => self.table.get(index)?.0,
                    };
                    field(name, &self.value);
                }
            }
            begun = true;
        }
        for buffer in [&mut self.name, &mut self.value] {
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
        Ok(())
    }
}

/// What is left of a block.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.0.split_first().ok_or(Broken)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Section 5.1.
    fn integer(&mut self, prefix: u32) -> Result<usize, Broken> {
        let mask = (1_usize << prefix) - 1;
        let mut value = usize::from(self.next()?) & mask;
        if value < mask {
            return Ok(value);
        }
        for octet in 0..INTEGER_OCTETS {
            let next = usize::from(self.next()?);
            value += (next & 0x7f) << (7 * octet);
            if next & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    /// Section 5.2.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let coded = self.peek().ok_or(Broken)? & 0x80 != 0;
        let length = self.integer(7)?;
        let text = self.take(length)?;
        if coded {
            return huffman::decode(text, out);
        }
        out.extend_from_slice(text);
        Ok(())
    }
}

/// Appends a field written out, without reference to any table (section 6.2.2).
#[cfg(test)]
pub fn write_literal(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.push(0);
    write_text(name, out);
    write_text(value, out);
}

/// Section 5.2.
fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_integer((0, 7), text.len(), out);
    out.extend_from_slice(text);
}

/// Section 5.1: the first byte's other bits, and how many of its bits are the integer's.
fn write_integer((first, prefix): (u8, u32), value: usize, out: &mut Vec<u8>) {
    let most = (1_usize << prefix) - 1;
    let low = |value: usize| u8::try_from(value & 0xff).unwrap_or_default();
    let Some(mut rest) = value.checked_sub(most) else {
        out.push(first | low(value));
        return;
    };
    out.push(first | low(most));
    while rest >= 0x80 {
        out.push(low(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.push(low(rest));
}

#[cfg(test)]
mod tests;
