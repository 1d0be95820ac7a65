//! Memory for heads, small bodies and frames, kept by each thread for the next connection that has something to say.

use crate::spare;
use crate::spare::Spare;

/// Bytes of a new one.
const SIZE: usize = 4 * 1024;
/// Larger ones aren't kept.
const LARGEST: usize = 64 * 1024;
/// How many are kept by a thread.
const KEPT: usize = 64;

thread_local! {
    static BUFFERS: Spare<u8> = const { Spare::new(SIZE, LARGEST, KEPT) };
}

/// An empty buffer.
pub fn take() -> Vec<u8> {
    spare::take(&BUFFERS)
}

/// Takes a buffer back that is needed no more.
pub fn give_back(buffer: Vec<u8>) {
    spare::give_back(&BUFFERS, buffer);
}
