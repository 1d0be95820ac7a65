//! The encoders behind one door: a piece in, what there is of the coded body out.
//!
//! Levels and windows are those of servers that compress while somebody waits: near the ratio of the higher levels at a
//! fraction of their time, and at most about two and a half MiB of memory a response. Windows stay within what every decoder
//! takes: 8 MiB for zstd (RFC 9659), 16 MiB for Brotli.

use std::io;

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderCompressStream, BrotliEncoderCreateInstance, BrotliEncoderDestroyInstance,
    BrotliEncoderHasMoreOutput, BrotliEncoderIsFinished, BrotliEncoderOperation,
    BrotliEncoderParameter, BrotliEncoderSetParameter, BrotliEncoderStateStruct,
};
use bytes::Bytes;
use flate2::{Compress, Compression as Level, FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder as Zstd, InBuffer, Operation, OutBuffer};

use crate::config::model::Coding;

const GZIP_LEVEL: u32 = 5;
/// The largest that gzip has: 32 KiB.
const GZIP_WINDOW: u8 = 15;
const BROTLI_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// 512 KiB, as a power of two.
const ZSTD_WINDOW: u32 = 19;
/// 256 KiB, the same.
const BROTLI_WINDOW: u32 = 18;
/// 64 KiB: no response needs less than its encoder has anyway.
const BROTLI_SMALLEST: u32 = 16;
/// Bytes that Brotli may collect. It would go on for the length of its window and more, and hold all that it made of
/// them: three times the memory for hardly a byte less.
const BROTLI_COLLECTS: usize = 64 * 1024;
/// Bytes of output there is room for at least when an encoder is asked.
const ROOM: usize = 4096;

/// Encodes one body.
pub struct Encoder {
    kind: Kind,
    /// Whether what was put in is to come out at once.
    prompt: bool,
}

enum Kind {
    Gzip(Compress),
    Brotli(Box<Brotli>),
    Zstd(Zstd<'static>),
}

impl Encoder {
    /// An encoder for a body of that length. One whose length isn't known may be a stream that somebody waits for, so
    /// each piece of it comes out as it goes in.
    ///
    /// # Errors
    ///
    /// When it can't be set up, which says something about this build and nothing about the body.
    pub fn new(coding: Coding, length: Option<u64>) -> io::Result<Self> {
        let kind = match coding {
            Coding::Gzip => Kind::Gzip(Compress::new_gzip(Level::new(GZIP_LEVEL), GZIP_WINDOW)),
            Coding::Br => Kind::Brotli(Box::new(Brotli::new(length))),
            Coding::Zstd => {
                let mut zstd = Zstd::new(ZSTD_LEVEL)?;
                zstd.set_parameter(CParameter::WindowLog(ZSTD_WINDOW))?;
                if length.is_some() {
                    // Also makes it no larger than the body needs.
                    zstd.set_pledged_src_size(length)?;
                }
                Kind::Zstd(zstd)
            }
        };
        Ok(Self {
            kind,
            prompt: length.is_none(),
        })
    }

    /// Puts a piece in. At the end the coded body is complete.
    ///
    /// # Errors
    ///
    /// When the encoder fails: the body can't be completed.
    pub fn encode(&mut self, piece: &[u8], end: bool) -> io::Result<Bytes> {
        let then = match (end, self.prompt && !piece.is_empty()) {
            (true, _) => Then::Finish,
            (false, true) => Then::Flush,
            (false, false) => Then::GoOn,
        };
        let mut out = Vec::new();
        match &mut self.kind {
            Kind::Gzip(gzip) => encode_gzip(gzip, piece, then, &mut out)?,
            Kind::Brotli(brotli) => brotli.encode(piece, then, &mut out)?,
            Kind::Zstd(zstd) => encode_zstd(zstd, piece, then, &mut out)?,
        }
        Ok(Bytes::from(out))
    }
}

/// What is to happen after a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    /// All that went in comes out.
    Flush,
    /// The body ends.
    Finish,
}

fn stuck(what: &'static str) -> io::Error {
    io::Error::other(what)
}

fn encode_gzip(
    gzip: &mut Compress,
    mut piece: &[u8],
    then: Then,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let flush = match then {
        Then::GoOn => FlushCompress::None,
        Then::Flush => FlushCompress::Sync,
        Then::Finish => FlushCompress::Finish,
    };
    loop {
        out.reserve(ROOM);
        let (taken, given) = (gzip.total_in(), out.len());
        let status = gzip.compress_vec(piece, out, flush)?;
        let taken = usize::try_from(gzip.total_in() - taken).unwrap_or(usize::MAX);
        piece = piece.get(taken..).unwrap_or_default();
        if status == Status::StreamEnd {
            return Ok(());
        }
        let has_room = out.len() < out.capacity();
        if piece.is_empty() && has_room && then != Then::Finish {
            return Ok(());
        }
        if taken == 0 && out.len() == given {
            return Err(stuck("gzip makes no progress"));
        }
    }
}

fn encode_zstd(zstd: &mut Zstd<'_>, piece: &[u8], then: Then, out: &mut Vec<u8>) -> io::Result<()> {
    let mut input = InBuffer::around(piece);
    while input.pos() < piece.len() {
        let before = (input.pos(), out.len());
        out.reserve(ROOM);
        let at = out.len();
        zstd.run(&mut input, &mut OutBuffer::around_pos(out, at))?;
        if (input.pos(), out.len()) == before {
            return Err(stuck("zstd makes no progress"));
        }
    }
    if then == Then::GoOn {
        return Ok(());
    }
    loop {
        out.reserve(ROOM);
        let at = out.len();
        let mut room = OutBuffer::around_pos(out, at);
        let left = match then {
            Then::Finish => zstd.finish(&mut room, true)?,
            Then::Flush | Then::GoOn => zstd.flush(&mut room)?,
        };
        if left == 0 {
            return Ok(());
        }
        if out.len() == at {
            return Err(stuck("zstd makes no progress"));
        }
    }
}

/// Brotli's own writer would go on compressing when it is dropped, for a client that has gone; so this drives its
/// state by hand.
struct Brotli {
    state: BrotliEncoderStateStruct<StandardAlloc>,
    /// Bytes since what went in has come out.
    collected: usize,
}

impl Brotli {
    fn new(length: Option<u64>) -> Self {
        let mut state = BrotliEncoderCreateInstance(StandardAlloc::default());
        let mut set = |parameter, value| {
            BrotliEncoderSetParameter(&mut state, parameter, value);
        };
        // A body that fits into a smaller window needs no larger one.
        let needed = length.map_or(BROTLI_WINDOW, |length| u64::BITS - length.leading_zeros());
        let window = needed.clamp(BROTLI_SMALLEST, BROTLI_WINDOW);
        set(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, BROTLI_QUALITY);
        set(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window);
        Self {
            state,
            collected: 0,
        }
    }

    fn encode(&mut self, piece: &[u8], mut then: Then, out: &mut Vec<u8>) -> io::Result<()> {
        self.collected = self.collected.saturating_add(piece.len());
        if then == Then::GoOn && self.collected >= BROTLI_COLLECTS {
            then = Then::Flush;
        }
        if then == Then::Flush {
            self.collected = 0;
        }
        let operation = || match then {
            Then::GoOn => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
            Then::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
            Then::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
        };
        let mut to_take = piece.len();
        let mut taken = 0;
        loop {
            let begin = out.len();
            out.resize(begin + ROOM, 0);
            let (mut room, mut end) = (ROOM, begin);
            let took = taken;
            let fine = BrotliEncoderCompressStream(
                &mut self.state,
                operation(),
                &mut to_take,
                piece,
                &mut taken,
                &mut room,
                out,
                &mut end,
                &mut None,
                &mut |_, _, _, _| (),
            );
            out.truncate(end);
            if fine == 0 {
                return Err(stuck("brotli failed"));
            }
            let has_more = BrotliEncoderHasMoreOutput(&self.state) != 0;
            let done = match then {
                Then::GoOn | Then::Flush => to_take == 0 && !has_more,
                Then::Finish => BrotliEncoderIsFinished(&self.state) != 0,
            };
            if done {
                return Ok(());
            }
            if taken == took && end == begin {
                return Err(stuck("brotli makes no progress"));
            }
        }
    }
}

impl Drop for Brotli {
    fn drop(&mut self) {
        BrotliEncoderDestroyInstance(&mut self.state);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use proptest::prelude::*;

    use super::*;

    const ALL: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

    /// All that can be decoded of a coded body that may not be complete.
    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reader: Box<dyn Read> = match coding {
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(coded)),
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(coded).unwrap()),
            Coding::Br => {
                let mut writer = brotli::DecompressorWriter::new(&mut out, 4096);
                drop(writer.write_all(coded));
                drop(writer.flush());
                drop(writer);
                return out;
            }
        };
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = reader.read(&mut piece) {
            out.extend_from_slice(&piece[..n]);
        }
        out
    }

    fn encoded(coding: Coding, length: Option<u64>, pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding, length).unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&encoder.encode(piece, false).unwrap());
        }
        out.extend_from_slice(&encoder.encode(&[], true).unwrap());
        out
    }

    #[test]
    fn a_stream_comes_out_piece_by_piece() {
        for coding in ALL {
            let mut encoder = Encoder::new(coding, None).unwrap();
            let (mut all, mut coded) = (Vec::new(), Vec::new());
            for n in 0..20 {
                let piece = format!("data: event {n}\n\n").into_bytes();
                coded.extend_from_slice(&encoder.encode(&piece, false).unwrap());
                all.extend_from_slice(&piece);
                assert_eq!(decoded(coding, &coded), all, "{coding:?}");
            }
        }
    }

    #[test]
    fn a_body_of_known_length_is_collected() {
        for coding in ALL {
            let mut encoder = Encoder::new(coding, Some(2000)).unwrap();
            let first = encoder.encode(&[b'x'; 1000], false).unwrap();
            assert!(first.len() < 32, "{coding:?}: {}", first.len());
            let last = encoder.encode(&[b'x'; 1000], true).unwrap();
            let coded = [first, last].concat();
            assert_eq!(decoded(coding, &coded), [b'x'; 2000], "{coding:?}");
            assert!(coded.len() < 100, "{coding:?}: {}", coded.len());
        }
    }

    #[test]
    fn an_empty_body_is_a_coded_empty_body() {
        for coding in ALL {
            let coded = encoded(coding, None, &[]);
            assert!(!coded.is_empty(), "{coding:?}");
            assert_eq!(decoded(coding, &coded), b"", "{coding:?}");
        }
    }

    #[test]
    fn what_does_not_shrink_passes_too() {
        use rand::{RngCore, SeedableRng};
        let mut noise = vec![0; 300_000];
        rand::rngs::StdRng::seed_from_u64(1).fill_bytes(&mut noise);
        for coding in ALL {
            for length in [None, Some(noise.len() as u64)] {
                let pieces: Vec<_> = noise.chunks(65_536).map(<[u8]>::to_vec).collect();
                let coded = encoded(coding, length, &pieces);
                assert!(decoded(coding, &coded) == noise, "{coding:?} {length:?}");
            }
        }
    }

    #[test]
    fn a_length_that_was_wrong_is_an_error_or_no_matter() {
        for coding in ALL {
            let mut encoder = Encoder::new(coding, Some(10)).unwrap();
            let coded = encoder.encode(&[b'x'; 20], true);
            if let Ok(coded) = coded {
                assert_eq!(decoded(coding, &coded), [b'x'; 20], "{coding:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_goes_in_comes_out(
            pieces in proptest::collection::vec("[a-c]{0,3000}", 0..6), known: bool, which in 0..3_usize,
        ) {
            let pieces: Vec<_> = pieces.into_iter().map(String::into_bytes).collect();
            let all = pieces.concat();
            let length = known.then_some(all.len() as u64);
            let coded = encoded(ALL[which], length, &pieces);
            prop_assert_eq!(decoded(ALL[which], &coded), all);
        }
    }
}
