//! Each fuzz target for some seconds: its seeds, then mutations of them. On the compiler that everybody has, without
//! coverage to guide it; `make fuzz` does the real thing.
//!
//! `EQUIPOISE_FUZZ_SECONDS` says for how long a target is tried. An input that breaks one is kept, and how to try it
//! again is printed: `EQUIPOISE_FUZZ_INPUT=FILE cargo test --test fuzz TARGET`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::naive_bytecount,
    reason = "a test that panics has done its duty"
)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use fuzz::targets;

const SECONDS: u64 = 3;
const LONGEST: usize = 4096;
/// Mutated inputs that are kept to be mutated further.
const KEPT: usize = 256;

/// Pieces that chance alone would seldom put together.
const WORDS: [&[u8]; 56] = [
    b"/",
    b"//",
    b"..",
    b"/../",
    b"/./",
    b"..;",
    b";",
    b"%2e",
    b"%2E",
    b"%2f",
    b"%5C",
    b"%3b",
    b"%25",
    b"%00",
    b"%",
    b"\\",
    b"*",
    b"*.",
    b"?",
    b"#",
    b"&",
    b"=",
    b",",
    b"\"",
    b"\\\"",
    b" ",
    b"\t",
    b"\r\n",
    b"\n",
    b"\r",
    b":",
    b"GET / HTTP/1.1\r\n",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n\r\n",
    b"for=",
    b"\"[::1]\"",
    b"10.0.0.1",
    b"unknown",
    b"ID=",
    b"; Path=/v1",
    b"; Domain=inside.test",
    b"http://",
    b"inside.test",
    b"/v1",
    b"${path}",
    b"${header:x-a}",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x01a",
    b"\x00\x00\x06\x01\x04\x00\x00\x00\x03\x83\x86\x84\x41\x01a",
    b"\x00\x00\x02\x00\x01\x00\x00\x00\x03ab",
    b"\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\x00\x01",
    b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",
    b"\x00\x00\x01\x09\x04\x00\x00\x00\x03\x84",
];

macro_rules! fuzzed {
    ($($test:ident: $target:ident;)*) => {$(
        #[test]
        fn $test() {
            fuzz(stringify!($target), targets::$target::run);
        }
    )*};
}

fuzzed! {
    certificate_files_are_read_or_told_to_be_broken: certificate;
    client_hellos_mean_the_same_in_pieces: client_hello;
    cookie_header_lines_lose_nothing_of_others: cookie_header;
    forwarding_fields_are_believed_of_nobody_untrusted: forwarding;
    header_list_members_make_the_same_list: header_list;
    http2_frames_mean_the_same_in_pieces: http2_frames;
    proxy_protocol_headers_mean_the_same_in_pieces: proxy_protocol;
    request_head_verdicts_are_the_same_however_it_comes: request_head;
    reverse_mapping_keeps_cookies_and_tells_no_address: reverse;
    routes_are_found_as_by_walking_through_the_list: routes;
    set_cookie_lines_come_back_to_their_server: set_cookie;
    target_paths_mean_one_thing_to_every_server: target;
    token_bytes_that_change_bind_nobody: token;
}

fn fuzz(target: &str, run: fn(&[u8])) {
    if let Some(file) = std::env::var_os("EQUIPOISE_FUZZ_INPUT") {
        run(&fs::read(file).expect("the input"));
        return;
    }
    let asked = std::env::var_os("EQUIPOISE_FUZZ_SECONDS").map(|seconds| {
        let seconds = seconds.to_str().and_then(|seconds| seconds.parse().ok());
        seconds.expect("EQUIPOISE_FUZZ_SECONDS is a number")
    });
    let seconds = asked.unwrap_or(SECONDS);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(&dir)
        .expect("seeds")
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut inputs: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(!inputs.is_empty(), "{} is empty", dir.display());
    for input in &inputs {
        attempt(target, run, input);
    }
    let seeds = inputs.len();
    // Every run of the suite tries the same; who asks for time looks for something new.
    let mut rng = match asked {
        Some(_) => StdRng::from_os_rng(),
        None => StdRng::seed_from_u64(0),
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        for _ in 0..64 {
            let input = mutated(&inputs, &mut rng);
            attempt(target, run, &input);
            if rng.random_ratio(1, 16) {
                if inputs.len() < seeds + KEPT {
                    inputs.push(input);
                } else {
                    let place = rng.random_range(seeds..inputs.len());
                    inputs[place] = input;
                }
            }
        }
    }
}

fn attempt(target: &str, run: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(input))) {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broke-{target}"));
        fs::write(&file, input).expect("a file for the input");
        eprintln!(
            "{target} broke on {} bytes; to try again:\n  \
             EQUIPOISE_FUZZ_INPUT={} cargo test --test fuzz {target}",
            input.len(),
            file.display()
        );
        resume_unwind(panic);
    }
}

fn mutated(inputs: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = inputs.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..8) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(1..32)).min(bytes.len());
        match rng.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => bytes.insert(at, rng.random()),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copy = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            5 => {
                let other = inputs.choose(rng).map(Vec::as_slice).unwrap_or_default();
                let from = rng.random_range(0..=other.len());
                let until = (from + rng.random_range(1..64)).min(other.len());
                bytes.splice(at..at, other[from..until].iter().copied());
            }
            _ => {
                let word = WORDS.choose(rng).copied().unwrap_or_default();
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
