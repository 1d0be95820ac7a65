//! Where a message's body ends (RFC 9112 section 6.3), told from the bytes as they come.
//!
//! What belongs to one message can't reach into the next one, which is what request smuggling lives on. Requests are read
//! strictly; of responses what RFC 9112 lets a client put right is put right.

use bytes::{Buf, Bytes, BytesMut};

use crate::headers::is_tchar;

/// How a message's body is delimited (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The end of the connection. Only of responses.
    UntilClose,
}

/// A body that breaks the rules of chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunked body")]
pub struct MalformedBody;

/// What is left of the body that is being read.
#[derive(Debug)]
pub struct BodyReader {
    state: Body,
}

#[derive(Debug)]
enum Body {
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

impl BodyReader {
    /// For a request's body.
    pub fn of_request(framing: Framing) -> Self {
        Self::new(framing, false)
    }

    /// For a response's body.
    pub fn of_response(framing: Framing) -> Self {
        Self::new(framing, true)
    }

    fn new(framing: Framing, lenient: bool) -> Self {
        Self {
            state: match framing {
                Framing::None => Body::Length(0),
                Framing::Length(length) => Body::Length(length),
                Framing::Chunked => Body::Chunked(Chunks::new(lenient)),
                Framing::UntilClose => Body::UntilClose,
            },
        }
    }

    /// Whether all of it has been read.
    pub fn is_done(&self) -> bool {
        match &self.state {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunks) => chunks.state == State::Done,
            Body::UntilClose => false,
        }
    }

    /// Whether the end of the connection is its end.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.state, Body::UntilClose)
    }

    /// Bytes that are still to be read; `None` where only its end will tell.
    pub fn left(&self) -> Option<u64> {
        match &self.state {
            Body::Length(left) => Some(*left),
            Body::Chunked(chunks) => (chunks.state == State::Done).then_some(0),
            Body::UntilClose => None,
        }
    }

    /// Takes the next piece out of what has come. `None`: more has to come first, or it is done.
    ///
    /// # Errors
    ///
    /// What has come breaks the rules of chunked coding.
    pub fn next(&mut self, inbox: &mut BytesMut) -> Result<Option<Bytes>, MalformedBody> {
        let most = match &mut self.state {
            Body::Length(left) => {
                let most = inbox
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= most as u64;
                most
            }
            Body::Chunked(chunks) => {
                let framing = chunks.pass_framing(inbox)?;
                inbox.advance(framing);
                chunks.take_data(inbox.len())
            }
            Body::UntilClose => inbox.len(),
        };
        Ok((most > 0).then(|| inbox.split_to(most).freeze()))
    }

    /// Goes over what isn't data, so that an end that has come is known. What is wrong is told by [`Self::next`].
    pub fn look_ahead(&mut self, inbox: &mut BytesMut) {
        if let Body::Chunked(chunks) = &mut self.state {
            // What breaks the rules stays where it is.
            let framing = chunks.pass_framing(inbox).unwrap_or_default();
            inbox.advance(framing);
        }
    }

    /// Goes over what has come without taking it. Returns how many bytes belong to the body.
    ///
    /// # Errors
    ///
    /// They break the rules of chunked coding.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, MalformedBody> {
        match &mut self.state {
            Body::Length(left) => {
                let here = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= here as u64;
                Ok(here)
            }
            Body::Chunked(chunks) => {
                let mut at = 0;
                while let Some(rest) = bytes.get(at..)
                    && !rest.is_empty()
                    && chunks.state != State::Done
                {
                    at += chunks.pass_framing(rest)?;
                    at += chunks.take_data(bytes.len() - at);
                }
                Ok(at)
            }
            Body::UntilClose => Ok(bytes.len()),
        }
    }

    /// The lines of the trailer section, once it is done; each ends in CR LF.
    pub fn take_trailers(&mut self) -> Vec<u8> {
        match &mut self.state {
            Body::Chunked(chunks) => std::mem::take(&mut chunks.trailers),
            Body::Length(_) | Body::UntilClose => Vec::new(),
        }
    }
}

/// Follows chunked coding (RFC 9112 section 7.1), strictly: a size of 1 to 16 hex digits, extensions of printable
/// characters, trailers that are fields, CRLF and nothing else at the end of a line.
#[derive(Debug)]
struct Chunks {
    state: State,
    /// White space may follow a size although no extension follows, as from servers it does.
    lenient: bool,
    trailers: Vec<u8>,
    /// Of the chunk: its size while that is read, then what is left of its data.
    left: u64,
    /// Digits of the size read so far.
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
    /// What came breaks the rules, and so does everything behind it.
    Broken,
}

/// The trailer section may be this long, and so may be the chunk extensions beyond what is usual for the data that they
/// come with. They are of no use to anybody here (RFC 9112 section 7.1.1 wants them limited).
const MAX_EXCESS: usize = 8 * 1024;
/// The trailer section of a response may be this long.
const MAX_RESPONSE_TRAILERS: usize = 64 * 1024;
/// An extension of that length is nothing unusual, however small the chunk.
const USUAL_EXTENSION: u64 = 16;
/// Larger chunks don't exist in requests; there are servers that count in 32, 53 or 63 bits.
const REQUEST_BITS: u32 = 48;
/// The same for what is read here and goes no further as it is.
const RESPONSE_BITS: u32 = 63;

impl Chunks {
    fn new(lenient: bool) -> Self {
        Self {
            state: State::Size,
            lenient,
            trailers: Vec::new(),
            left: 0,
            count: 0,
            excess: 0,
        }
    }

    fn bound_trailers(&self) -> Result<(), MalformedBody> {
        let most = if self.lenient {
            MAX_RESPONSE_TRAILERS
        } else {
            MAX_EXCESS
        };
        if self.trailers.len() >= most {
            return Err(MalformedBody);
        }
        Ok(())
    }

    /// Goes over what isn't data, up to where data begins or the body ends. Returns how many bytes that are.
    fn pass_framing(&mut self, bytes: &[u8]) -> Result<usize, MalformedBody> {
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(self.state, State::Data | State::Done) {
                return Ok(at);
            }
            if let Err(malformed) = self.step(*byte) {
                self.state = State::Broken;
                return Err(malformed);
            }
        }
        Ok(bytes.len())
    }

    /// How many of so many bytes are data.
    fn take_data(&mut self, available: usize) -> usize {
        if self.state != State::Data {
            return 0;
        }
        let taken = available.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= taken as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    fn step(&mut self, byte: u8) -> Result<(), MalformedBody> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.count > 0 => State::SizeLf,
            (State::Size, b';') if self.count > 0 => State::Extension,
            (State::Size, b' ' | b'\t') if self.count > 0 => State::SizeSpace,
            (State::SizeSpace, b' ' | b'\t') => {
                bounded(&mut self.excess)?;
                State::SizeSpace
            }
            (State::SizeSpace, b';') => State::Extension,
            (State::SizeSpace, b'\r') if self.lenient => State::SizeLf,
            (State::Size, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(MalformedBody)?;
                self.count += 1;
                self.left = self.left << 4 | u64::from(digit);
                let bits = if self.lenient {
                    RESPONSE_BITS
                } else {
                    REQUEST_BITS
                };
                if self.count > 16 || self.left >> bits != 0 {
                    return Err(MalformedBody);
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
                self.bound_trailers()?;
                self.trailers.push(byte);
                State::TrailerName
            }
            (State::TrailerName, b':') => {
                self.trailers.push(byte);
                State::TrailerValue
            }
            (State::TrailerValue, b'\r') => {
                self.trailers.extend_from_slice(b"\r\n");
                State::TrailerLf
            }
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                self.bound_trailers()?;
                self.trailers.push(byte);
                State::TrailerValue
            }
            (State::TrailerLf, b'\n') => State::Trailer,
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(MalformedBody),
        };
        Ok(())
    }
}

fn bounded(count: &mut usize) -> Result<(), MalformedBody> {
    *count += 1;
    if *count > MAX_EXCESS {
        return Err(MalformedBody);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunks() -> BodyReader {
        BodyReader::of_request(Framing::Chunked)
    }

    fn chunked(body: &[u8]) -> Result<(usize, bool), MalformedBody> {
        let mut reader = chunks();
        let taken = reader.follow(body)?;
        Ok((taken, reader.is_done()))
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let mut reader = BodyReader::of_request(Framing::Length(3));
        let mut inbox = BytesMut::from(&b"bo"[..]);
        assert_eq!(reader.next(&mut inbox).unwrap().unwrap(), "bo");
        assert!(!reader.is_done());
        assert_eq!(reader.left(), Some(1));
        inbox.extend_from_slice(b"dGET / HTTP/1.1");
        assert_eq!(reader.next(&mut inbox).unwrap().unwrap(), "d");
        assert!(reader.is_done());
        assert_eq!(reader.next(&mut inbox).unwrap(), None);
        assert_eq!(&inbox[..], b"GET / HTTP/1.1");
    }

    #[test]
    fn data_and_trailers_are_taken_out_of_the_chunks() {
        let mut reader = chunks();
        let mut inbox =
            BytesMut::from(&b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\nU:w\r\n\r\nGET"[..]);
        assert_eq!(reader.next(&mut inbox).unwrap().unwrap(), "abc");
        assert_eq!(reader.next(&mut inbox).unwrap().unwrap(), "de");
        assert!(!reader.is_done());
        assert_eq!(reader.next(&mut inbox).unwrap(), None);
        assert!(reader.is_done());
        assert_eq!(reader.take_trailers(), b"T: v\r\nU:w\r\n");
        assert_eq!(&inbox[..], b"GET");
    }

    #[test]
    fn servers_may_put_white_space_behind_a_size() {
        // What was looked at ahead is remembered.
        let mut reader = BodyReader::of_response(Framing::Chunked);
        let mut inbox = BytesMut::from(&b"3\r\nabc\r\n0\r\n\n\r\n"[..]);
        assert_eq!(reader.next(&mut inbox).unwrap().unwrap(), "abc");
        reader.look_ahead(&mut inbox);
        assert_eq!(reader.next(&mut inbox), Err(MalformedBody));
        assert!(!reader.is_done());
        for body in ["3 \r\nabc\r\n0\r\n\r\n", "3\t;x\r\nabc\r\n0\r\n\r\n"] {
            let mut reader = BodyReader::of_response(Framing::Chunked);
            assert_eq!(reader.follow(body.as_bytes()), Ok(body.len()));
        }
        let mut reader = BodyReader::of_response(Framing::Chunked);
        assert_eq!(reader.follow(b"3 3\r\n"), Err(MalformedBody));
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
        let mut reader = chunks();
        assert_eq!(reader.left(), None);
        assert_eq!(reader.follow(b"0\r\n\r\n").unwrap(), 5);
        assert_eq!(reader.left(), Some(0));
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
                Err(MalformedBody),
                "{:?}",
                body.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn endless_lines_are_refused() {
        let mut body = b"3;".to_vec();
        body.resize(20_000, b'x');
        assert_eq!(chunked(&body), Err(MalformedBody));
        let mut body = b"0\r\n".to_vec();
        for _ in 0..2000 {
            body.extend_from_slice(b"T: v..\r\n");
        }
        assert_eq!(chunked(&body), Err(MalformedBody));
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
            chunks_of in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            tail in prop::collection::vec(any::<u8>(), 0..20),
            cuts in prop::collection::vec(1usize..30, 1..20),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks_of {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let end = wire.len();
            wire.extend_from_slice(&tail);
            let (mut reader, mut inbox, mut data) = (chunks(), BytesMut::new(), Vec::new());
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while !reader.is_done() {
                let next = (at + cuts.next().unwrap()).min(wire.len());
                inbox.extend_from_slice(&wire[at..next]);
                at = next;
                while let Some(piece) = reader.next(&mut inbox).unwrap() {
                    data.extend_from_slice(&piece);
                }
            }
            prop_assert_eq!(at - inbox.len(), end);
            prop_assert_eq!(data, chunks_of.concat());
        }

        #[test]
        fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(taken) = chunks().follow(&data) {
                prop_assert!(taken <= data.len());
            }
        }
    }
}
