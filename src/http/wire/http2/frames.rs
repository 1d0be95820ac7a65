//! Frames of HTTP/2 (RFC 9113 section 4.1), as far as their headers go, and header blocks cut into them.

use crate::bodies::SMALL;

/// Bytes of a client's preface before its first frame (section 3.4).
pub const PREFACE: usize = 24;
/// Bytes of a frame's header.
pub const FRAME_HEAD: usize = 9;
/// The largest frame that anybody may send us: the protocol's default, which is ours (section 6.5.2).
pub const LARGEST_FRAME: usize = 16_384;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITY: u8 = 0x20;

/// A frame's header.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    /// As it stands on the wire.
    pub fn read(bytes: [u8; FRAME_HEAD]) -> Self {
        let [high, middle, low, kind, flags, a, b, c, d] = bytes;
        Self {
            length: usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low),
            kind,
            flags,
            stream: u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff,
        }
    }

    /// Appends it as it stands on the wire.
    pub fn write(self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        out.extend(length.iter().skip(1));
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
    }

    /// Whether a flag is set.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it is a piece of a body without a byte in it, padding included, and not the last one.
    pub fn is_empty_piece(self) -> bool {
        self.kind == DATA && self.length == 0 && !self.has(END_STREAM | PADDED)
    }

    /// Whether it is a piece of a body that is hardly worth its frame.
    pub fn is_small_piece(self) -> bool {
        self.kind == DATA && (self.length < SMALL || self.has(PADDED))
    }

    /// Whether its stream's sender says nothing more with it.
    pub fn ends_stream(self) -> bool {
        self.kind == RST_STREAM || self.kind == DATA && self.has(END_STREAM)
    }
}

/// What a HEADERS frame has besides padding and priority (section 6.2), and whether its stream depends on itself. `None`: it
/// is shorter than it says.
pub fn fragment(head: Head, payload: &[u8]) -> Option<(&[u8], bool)> {
    let (mut fragment, mut padding, mut self_dependent) = (payload, 0, false);
    if head.has(PADDED) {
        let (length, rest) = fragment.split_first()?;
        (padding, fragment) = (usize::from(*length), rest);
    }
    if head.has(PRIORITY) {
        let (depends_on, _) = fragment.split_first_chunk()?;
        self_dependent = u32::from_be_bytes(*depends_on) & 0x7fff_ffff == head.stream;
        fragment = fragment.get(5..)?;
    }
    let length = fragment.len().checked_sub(padding)?;
    Some((fragment.get(..length).unwrap_or_default(), self_dependent))
}

/// Writes a header block in as few frames as may be.
pub fn write_block(stream: u32, ends_stream: bool, written: &[u8], out: &mut Vec<u8>) {
    let (mut part, mut rest) = cut(written, LARGEST_FRAME);
    let mut head = Head {
        length: part.len(),
        kind: HEADERS,
        flags: if ends_stream { END_STREAM } else { 0 },
        stream,
    };
    loop {
        if rest.is_empty() {
            head.flags |= END_HEADERS;
        }
        head.write(out);
        out.extend_from_slice(part);
        if rest.is_empty() {
            return;
        }
        (part, rest) = cut(rest, LARGEST_FRAME);
        head = Head {
            length: part.len(),
            kind: CONTINUATION,
            flags: 0,
            ..head
        };
    }
}

/// The first bytes and the rest, or all of them if there are fewer.
pub fn cut(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_blocks_are_cut_as_frames_are() {
        let mut out = Vec::new();
        let written = vec![7; 2 * LARGEST_FRAME + 1];
        write_block(1, true, &written, &mut out);
        let mut kinds = Vec::new();
        let (mut rest, mut bytes) = (&out[..], 0);
        while let Some(head) = rest.first_chunk() {
            let head = Head::read(*head);
            kinds.push((head.kind, head.flags, head.stream));
            bytes += head.length;
            rest = &rest[FRAME_HEAD + head.length..];
        }
        assert_eq!(
            kinds,
            [
                (HEADERS, END_STREAM, 1),
                (CONTINUATION, 0, 1),
                (CONTINUATION, END_HEADERS, 1)
            ]
        );
        assert_eq!(bytes, written.len());
    }
}
