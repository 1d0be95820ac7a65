//! Where one request ends and the next begins on an HTTP/1.1 connection.
//!
//! The proxy behind gets the bytes of exactly one message and then nothing until that is answered.
//! So what it makes of a message can't reach into the next one, which is what request smuggling lives
//! on, and pipelined requests wait here, in order.

use crate::headers::is_tchar;

/// How a request's body is delimited (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What is left of the message being read.
#[derive(Debug)]
pub struct Message {
    head: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Length(u64),
    Chunked(Chunks),
}

/// A body that breaks the rules of chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunked body")]
pub struct Malformed;

impl Message {
    /// Nothing is being read.
    pub fn none() -> Self {
        Self::new(0, Framing::None)
    }

    /// A message whose header section is `head` bytes long.
    pub fn new(head: usize, framing: Framing) -> Self {
        Self {
            head,
            body: match framing {
                Framing::None => Body::Length(0),
                Framing::Length(length) => Body::Length(length),
                Framing::Chunked => Body::Chunked(Chunks::default()),
            },
        }
    }

    /// Bytes of its header section that are still to be read.
    pub fn head_left(&self) -> usize {
        self.head
    }

    /// Whether all of it has been read.
    pub fn is_done(&self) -> bool {
        self.head == 0
            && match &self.body {
                Body::Length(left) => *left == 0,
                Body::Chunked(chunks) => chunks.state == State::Done,
            }
    }

    /// Bytes of its body that are still to be read; `None` where only its end will tell.
    pub fn body_left(&self) -> Option<u64> {
        match &self.body {
            Body::Length(left) => Some(*left),
            Body::Chunked(chunks) => (chunks.state == State::Done).then_some(0),
        }
    }

    /// Takes in the next bytes of the connection. Returns how many of them belong to this message.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if they break the rules of chunked coding.
    pub fn take(&mut self, data: &[u8]) -> Result<usize, Malformed> {
        let head = self.head.min(data.len());
        self.head -= head;
        let rest = data.get(head..).unwrap_or_default();
        let body = match &mut self.body {
            Body::Length(left) => {
                let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                taken
            }
            Body::Chunked(chunks) => chunks.take(rest)?,
        };
        Ok(head + body)
    }
}

/// Follows chunked coding (RFC 9112 section 7.1) without decoding it, strictly: a size of 1 to 16 hex
/// digits, extensions of printable characters, trailers that are fields, CRLF and nothing else at the end of a line.
#[derive(Debug)]
struct Chunks {
    state: State,
    /// Of the chunk: its size while that is read, then what is left of its data.
    left: u64,
    /// Digits of the size, or bytes of the trailers, read so far.
    count: usize,
    /// Bytes of extensions that the data doesn't justify.
    excess: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// White space before an extension, which there shouldn't be (RFC 9110 section 5.6.3).
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    /// After the CR of the empty line.
    EndLf,
    Done,
}

/// The trailer section may be this long, and so may be the chunk extensions beyond what is usual for the data that they
/// come with. They are of no use to anybody here (RFC 9112 section 7.1.1 wants them limited).
const MAX_EXCESS: usize = 8 * 1024;
/// An extension of that length is nothing unusual, however small the chunk.
const USUAL_EXTENSION: u64 = 16;
/// Larger chunks don't exist; there are servers that count in 32, 53 or 63 bits.
const MAX_SIZE_BITS: u32 = 48;

impl Default for Chunks {
    fn default() -> Self {
        Self {
            state: State::Size,
            left: 0,
            count: 0,
            excess: 0,
        }
    }
}

impl Chunks {
    fn take(&mut self, data: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while self.state != State::Done {
            if self.state == State::Data {
                let here = (data.len() - at).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= here as u64;
                at += here;
                if self.left > 0 {
                    break;
                }
                self.state = State::DataCr;
            }
            let Some(&byte) = data.get(at) else { break };
            at += 1;
            self.step(byte)?;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.count > 0 => State::SizeLf,
            (State::Size, b';') if self.count > 0 => State::Extension,
            (State::Size, b' ' | b'\t') if self.count > 0 => State::SizeSpace,
            (State::SizeSpace, b' ' | b'\t') => {
                bounded(&mut self.excess)?;
                State::SizeSpace
            }
            (State::SizeSpace, b';') => State::Extension,
            (State::Size, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                self.count += 1;
                self.left = self.left << 4 | u64::from(digit);
                if self.count > 16 || self.left >> MAX_SIZE_BITS != 0 {
                    return Err(Malformed);
                }
                State::Size
            }
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                bounded(&mut self.excess)?;
                State::Extension
            }
            (State::SizeLf, b'\n') => {
                let usual = self.left.saturating_add(USUAL_EXTENSION);
                let usual = usize::try_from(usual).unwrap_or(usize::MAX);
                self.excess = self.excess.saturating_sub(usual);
                self.count = 0;
                if self.left == 0 {
                    State::Trailer
                } else {
                    State::Data
                }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Trailer, b'\r') => State::EndLf,
            (State::Trailer | State::TrailerName, _) if is_tchar(byte) => {
                bounded(&mut self.count)?;
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                bounded(&mut self.count)?;
                State::TrailerValue
            }
            (State::TrailerLf, b'\n') => State::Trailer,
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(Malformed),
        };
        Ok(())
    }
}

fn bounded(count: &mut usize) -> Result<(), Malformed> {
    *count += 1;
    if *count > MAX_EXCESS {
        return Err(Malformed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunked(body: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut message = Message::new(0, Framing::Chunked);
        let taken = message.take(body)?;
        Ok((taken, message.is_done()))
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let mut message = Message::new(4, Framing::Length(3));
        assert_eq!(message.take(b"headbo").unwrap(), 6);
        assert!(!message.is_done());
        assert_eq!(message.body_left(), Some(1));
        assert_eq!(message.take(b"dGET / HTTP/1.1").unwrap(), 1);
        assert!(message.is_done());
        assert_eq!(message.take(b"ET").unwrap(), 0);
    }

    #[test]
    fn chunks_end_with_the_last_one_and_its_trailers() {
        assert_eq!(chunked(b"3\r\nabc\r\n0\r\n\r\nGET"), Ok((13, true)));
        assert_eq!(
            chunked(b"3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\nGET"),
            Ok((23, true))
        );
        assert_eq!(chunked(b"3 \t ;x=y\r\nabc\r\n0 ;z\r\n\r\n"), Ok((23, true)));
        assert_eq!(chunked(b"A\r\n0123456789\r\n"), Ok((15, false)));
        let mut message = Message::new(0, Framing::Chunked);
        assert_eq!(message.body_left(), None);
        assert_eq!(message.take(b"0\r\n\r\n").unwrap(), 5);
        assert_eq!(message.body_left(), Some(0));
    }

    #[test]
    fn sloppy_chunks_are_refused() {
        for body in [
            &b"\r\n"[..],
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b"-3\r\n",
            b"+3\r\n",
            b" 3\r\n",
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"3 4;x\r\nabc\r\n0\r\n\r\n",
            b" ;x\r\n",
            b"3\x0b;x\r\n",
            b"11111111111111111\r\n",
            b"3\r\r\nabc",
            b"3;a\nb\r\nabc\r\n0\r\n\r\n",
            b"3;\x00\r\n",
            b"0\r\n T: v\r\n\r\n",
            b"0\r\nT: v\n\r\n",
            b"0\r\n: v\r\n\r\n",
            b"0\r\nT : v\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
            b"0\r\nT\r\n\r\n",
            b"1000000000000\r\n",
        ] {
            assert_eq!(
                chunked(body),
                Err(Malformed),
                "{:?}",
                body.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn endless_lines_are_refused() {
        let mut body = b"3;".to_vec();
        body.resize(20_000, b'x');
        assert_eq!(chunked(&body), Err(Malformed));
        let mut body = b"0\r\n".to_vec();
        for _ in 0..2000 {
            body.extend_from_slice(b"T: v..\r\n");
        }
        assert_eq!(chunked(&body), Err(Malformed));
    }

    #[test]
    fn extensions_are_in_proportion_to_the_data() {
        let body = |extension: usize, data: usize| {
            let extension = "x".repeat(extension);
            let chunk = format!("{data:x};{extension}\r\n{}\r\n", "y".repeat(data));
            chunked(chunk.repeat(1000).as_bytes()).is_ok()
        };
        assert!(body(16, 1));
        assert!(body(100, 100));
        assert!(!body(40, 1));
    }

    proptest! {
        /// However the bytes arrive, the message ends at the same place.
        #[test]
        fn the_end_does_not_depend_on_the_reads(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            tail in prop::collection::vec(any::<u8>(), 0..20),
            cuts in prop::collection::vec(1usize..30, 1..20),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let end = wire.len();
            wire.extend_from_slice(&tail);
            let mut message = Message::new(0, Framing::Chunked);
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while !message.is_done() {
                let next = (at + cuts.next().unwrap()).min(wire.len());
                at += message.take(&wire[at..next]).unwrap();
            }
            prop_assert_eq!(at, end);
        }

        #[test]
        fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut message = Message::new(3, Framing::Chunked);
            if let Ok(taken) = message.take(&data) {
                prop_assert!(taken <= data.len());
            }
        }
    }
}
