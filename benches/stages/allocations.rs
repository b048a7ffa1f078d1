//! An allocator that counts while it is asked to.

#![allow(
    unsafe_code,
    reason = "an allocator is, and those of crates.io count while time is measured too"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

static ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counted. To grow is to allocate.
pub(crate) struct Counting;

fn note(bytes: usize) {
    if ON.load(Relaxed) {
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(bytes as u64, Relaxed);
    }
}

// SAFETY: every call is the system's, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

/// What it returns, with how often all threads have allocated meanwhile, and how many bytes.
pub(crate) fn counted<T>(run: impl FnOnce() -> T) -> (T, u64, u64) {
    let before = (COUNT.load(Relaxed), BYTES.load(Relaxed));
    ON.store(true, Relaxed);
    let result = run();
    ON.store(false, Relaxed);
    (result, COUNT.load(Relaxed) - before.0, BYTES.load(Relaxed) - before.1)
}
