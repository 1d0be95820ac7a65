//! What the allocator keeps of memory that was given back, and when the system gets it.
//!
//! Each thread has pages of its own (mimalloc's "theap"), and what another thread frees in them is only found when their
//! owner allocates again. A thread that has nothing to do never does: what a burst of requests took would stay with the
//! process for as long as it is idle. So every few seconds each thread is asked, and gives back before it next sleeps.
//!
//! The unsafe code is the call of mimalloc that the `mimalloc` crate doesn't have.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often the threads were asked.
static ASKED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// How often this thread has heeded that.
    static HEEDED: Cell<u32> = const { Cell::new(0) };
}

/// Asks every thread to give back what it keeps. Those that sleep do so when they have been woken.
pub fn ask() {
    ASKED.fetch_add(1, Ordering::Relaxed);
}

/// This thread is about to sleep: gives back what it keeps, if it was asked since it last did.
pub fn heed() {
    let asked = ASKED.load(Ordering::Relaxed);
    if HEEDED.replace(asked) != asked {
        // SAFETY: mi_collect may be called at any time, by any thread, and touches free memory only.
        unsafe { libmimalloc_sys::mi_collect(true) };
    }
}
