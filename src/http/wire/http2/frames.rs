//! Frames of HTTP/2 (RFC 9113 section 4.1): their headers, and what we write.

/// What a client begins with, before its first frame (section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's header.
pub const FRAME_HEAD: usize = 9;
/// The largest frame that anybody may send us: the protocol's default, which is ours (section 6.5.2).
pub const LARGEST_FRAME: usize = 16_384;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
/// The flag PRIORITY of HEADERS.
pub const HAS_PRIORITY: u8 = 0x20;

/// Why a stream or a connection ends (section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ErrorCode {
    /// For no error.
    NoError = 0x0,
    /// The protocol was broken.
    Protocol = 0x1,
    /// We can't go on.
    Internal = 0x2,
    /// More was sent than a window has room for.
    FlowControl = 0x3,
    /// A frame came on a stream that had ended.
    StreamClosed = 0x5,
    /// A frame is longer or shorter than it may be.
    FrameSize = 0x6,
    /// Nothing was done for the request.
    RefusedStream = 0x7,
    /// The stream isn't needed any more.
    Cancel = 0x8,
    /// Header compression is lost.
    Compression = 0x9,
    /// The other side does too much.
    EnhanceYourCalm = 0xb,
}

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

    /// It as it stands on the wire.
    pub fn bytes(self) -> [u8; FRAME_HEAD] {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let [_, high, middle, low] = length.to_be_bytes();
        let [a, b, c, d] = self.stream.to_be_bytes();
        [high, middle, low, self.kind, self.flags, a, b, c, d]
    }

    /// Appends it as it stands on the wire.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }

    /// Whether a flag is set.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
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
    if head.has(HAS_PRIORITY) {
        let (depends_on, _) = fragment.split_first_chunk()?;
        self_dependent = u32::from_be_bytes(*depends_on) & 0x7fff_ffff == head.stream;
        fragment = fragment.get(5..)?;
    }
    let length = fragment.len().checked_sub(padding)?;
    Some((fragment.get(..length).unwrap_or_default(), self_dependent))
}

/// Writes a whole frame.
pub fn write_frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let head = Head {
        length: payload.len(),
        kind,
        flags,
        stream,
    };
    head.write(out);
    out.extend_from_slice(payload);
}

/// Writes that a stream ends (section 6.4).
pub fn write_reset(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    write_frame(RST_STREAM, 0, stream, &(code as u32).to_be_bytes(), out);
}

/// Writes that the other side may send so many bytes more (section 6.9) on a stream; 0 stands for the connection.
pub fn write_window_update(stream: u32, bytes: u32, out: &mut Vec<u8>) {
    write_frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes(), out);
}

/// Writes that streams after `last` aren't served, and why (section 6.8).
pub fn write_go_away(last: u32, code: ErrorCode, out: &mut Vec<u8>) {
    let head = Head {
        length: 8,
        kind: GOAWAY,
        flags: 0,
        stream: 0,
    };
    head.write(out);
    out.extend(last.to_be_bytes());
    out.extend((code as u32).to_be_bytes());
}

/// Writes what this side allows (section 6.5).
pub fn write_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    let head = Head {
        length: settings.len() * SETTING,
        kind: SETTINGS,
        flags: 0,
        stream: 0,
    };
    head.write(out);
    for (name, value) in settings {
        out.extend(name.to_be_bytes());
        out.extend(value.to_be_bytes());
    }
}

/// Bytes of one setting.
pub const SETTING: usize = 6;
/// Names of settings (section 6.5.2).
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

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
