//! SPEC section 8, `compression`: what is compressed for whom, what its header says, and what passes untouched.

mod messages;
mod streams;

use crate::common::*;

/// A text that gets much smaller, of `length` bytes.
pub fn text(length: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|n| {
            format!("line {n} of a text that says the same again and again\n").into_bytes()
        })
        .take(length)
        .collect()
}

/// A load balancer that compresses, with further keys of `compression`.
pub fn compressing(origin: &Origin, more: &str) -> Equipoise {
    Setup::of([origin])
        .listener(&format!("http: {{compression: {{enabled: true{more}}}}}"))
        .start()
}

/// What is left of a response's body without its coding; of one that isn't complete what can be decoded.
pub fn decoded(coding: &str, coded: &[u8]) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut out = Vec::new();
    let mut reader: Box<dyn Read> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(coded)),
        "zstd" => Box::new(zstd::stream::read::Decoder::new(coded).unwrap()),
        "br" => {
            let mut writer = brotli::DecompressorWriter::new(&mut out, 4096);
            let _ = writer.write_all(coded);
            let _ = writer.flush();
            drop(writer);
            return out;
        }
        other => panic!("unknown coding {other}"),
    };
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = reader.read(&mut piece) {
        out.extend_from_slice(&piece[..n]);
    }
    out
}
