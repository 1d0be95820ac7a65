//! Memory for heads and small bodies, kept by each thread for the next connection that has something to say.

use std::cell::RefCell;

/// Bytes of a new one.
const SIZE: usize = 4 * 1024;
/// Larger ones aren't kept.
const LARGEST: usize = 32 * 1024;
/// How many are kept by a thread.
const KEPT: usize = 64;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub fn take() -> Vec<u8> {
    let kept = BUFFERS.try_with(|buffers| buffers.borrow_mut().pop());
    let kept = kept.ok().flatten();
    kept.unwrap_or_else(|| Vec::with_capacity(SIZE))
}

/// Takes a buffer back that is needed no more.
pub fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > LARGEST {
        return;
    }
    buffer.clear();
    // At the thread's end there is nobody to keep it for.
    let _ = BUFFERS.try_with(|buffers| {
        let mut buffers = buffers.borrow_mut();
        if buffers.len() < KEPT {
            buffers.push(buffer);
        }
    });
}
