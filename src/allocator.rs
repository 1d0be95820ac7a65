//! The allocator, mimalloc, and when the system gets back what it keeps.
//!
//! Each thread has pages of its own (mimalloc's "theap"), and what another thread frees in them is only found when their
//! owner allocates again. A thread that has nothing to do never does: what a burst of requests took would stay with the
//! process for as long as it is idle. So every few seconds each thread is asked, and gives back before it next sleeps.
//!
//! The unsafe code is the contract of [`GlobalAlloc`] and the calls of mimalloc.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use libmimalloc_sys as ffi;

/// Every block of mimalloc is aligned to this many bytes, or to its size if that is less
/// (`MI_MAX_ALIGN_SIZE` in mimalloc's `types.h`).
const NATURAL_ALIGNMENT: usize = 16;

/// mimalloc as the program's allocator.
///
/// The `mimalloc` crate asks for an alignment with every allocation. That has mimalloc take more than was asked for, and look
/// for the aligned place in it, wherever the size is above a kibibyte and no power of two. Nearly all of what Rust asks
/// for is aligned anyway; this asks for an alignment only where it isn't.
pub struct Allocator;

/// Whether a plain block has the alignment of `layout`.
const fn is_natural(layout: Layout) -> bool {
    layout.align() <= NATURAL_ALIGNMENT && layout.align() <= layout.size()
}

// SAFETY: mimalloc's blocks are as large as was asked for, don't overlap, stay where they are until they are freed, and may be
// freed by any thread. `is_natural` tells when a plain one is aligned as it must be; else the alignment is asked for. None of
// its functions unwinds; they return null when there is no memory.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = if is_natural(layout) {
            // SAFETY: any size may be asked for.
            unsafe { ffi::mi_malloc(layout.size()) }
        } else {
            // SAFETY: the alignment of a layout is a power of two.
            unsafe { ffi::mi_malloc_aligned(layout.size(), layout.align()) }
        };
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = if is_natural(layout) {
            // SAFETY: as in `alloc`.
            unsafe { ffi::mi_zalloc(layout.size()) }
        } else {
            // SAFETY: as in `alloc`.
            unsafe { ffi::mi_zalloc_aligned(layout.size(), layout.align()) }
        };
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller says that it is a block of ours, and mimalloc finds its size.
        unsafe { ffi::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let natural = layout.align() <= NATURAL_ALIGNMENT && layout.align() <= size;
        let block = block.cast();
        let grown = if natural {
            // SAFETY: the caller says that it is a block of ours; what is in it is kept.
            unsafe { ffi::mi_realloc(block, size) }
        } else {
            // SAFETY: the same, and the alignment of a layout is a power of two.
            unsafe { ffi::mi_realloc_aligned(block, size, layout.align()) }
        };
        grown.cast()
    }
}

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
        unsafe { ffi::mi_collect(true) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Blocks are aligned and hold what is written to them, also when they grow and shrink.
        #[test]
        fn blocks_are_aligned_and_keep_what_they_hold(
            size in 1_usize..20_000,
            later in 1_usize..20_000,
            exponent in 0_u32..10,
            zeroed: bool,
        ) {
            let layout = Layout::from_size_align(size, 1 << exponent).unwrap();
            let is_aligned = |block: *mut u8| !block.is_null() && block.addr().is_multiple_of(layout.align());
            // SAFETY: the block is used within its size, with the layout that it has, and freed once.
            unsafe {
                let block = if zeroed { Allocator.alloc_zeroed(layout) } else { Allocator.alloc(layout) };
                prop_assert!(is_aligned(block));
                let bytes = std::slice::from_raw_parts_mut(block, size);
                prop_assert!(!zeroed || bytes.iter().all(|byte| *byte == 0));
                bytes.fill(0xa5);
                let block = Allocator.realloc(block, layout, later);
                prop_assert!(is_aligned(block));
                let kept = std::slice::from_raw_parts(block, size.min(later));
                prop_assert!(kept.iter().all(|byte| *byte == 0xa5));
                Allocator.dealloc(block, Layout::from_size_align(later, layout.align()).unwrap());
            }
        }
    }
}
