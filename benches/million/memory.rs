//! An allocator that counts: what is alive, on whose account, in blocks of which size.
//!
//! The accounts are those of one thread that says, whenever it changes, for whom it works. A block
//! is counted with what it really takes: glibc rounds up and puts eight bytes in front of it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

use nix::libc;

/// Who works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The bench itself and the kernel in memory.
    Other,
    Reactor,
    Relay,
}

/// The header of a block (malloc(3), NOTES).
const HEADER: usize = 8;
/// Blocks up to this size are counted by size, in steps of [`STEP`] bytes.
const SMALL: usize = 2048;
const STEP: usize = 16;
const CLASSES: usize = SMALL / STEP + 1;

static NOW: AtomicUsize = AtomicUsize::new(Account::Other as usize);
static BOOKS: [Book; 3] = [const { Book::new() }; 3];

/// What one account has.
pub(crate) struct Book {
    /// Blocks by size class; those above [`SMALL`] in the last.
    blocks: [AtomicI64; CLASSES],
}

/// Works for `account` while it lives.
pub(crate) struct Working(usize);

impl Working {
    pub(crate) fn on(account: Account) -> Self {
        Self(NOW.swap(account as usize, Relaxed))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        NOW.store(self.0, Relaxed);
    }
}

impl Book {
    const fn new() -> Self {
        Self { blocks: [const { AtomicI64::new(0) }; CLASSES] }
    }

    pub(crate) fn of(account: Account) -> &'static Self {
        &BOOKS[account as usize]
    }

    /// Sizes of small blocks and how many of them are alive.
    pub(crate) fn small(&self) -> impl Iterator<Item = (usize, i64)> {
        let sizes = (0..CLASSES - 1).map(|class| (class + 1) * STEP);
        sizes.zip(&self.blocks).map(|(size, count)| (size, count.load(Relaxed)))
    }

    fn count(&self, size: usize, sign: i64) {
        self.blocks[(size.max(1) - 1).min(SMALL) / STEP].fetch_add(sign, Relaxed);
    }
}

pub(crate) struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

impl Counting {
    /// Notes that the block at `block` came (1) or goes (-1).
    fn note(block: *mut u8, sign: i64) {
        if !block.is_null() {
            // SAFETY: `block` is one that the system's allocator, which is glibc's, has handed out
            // and has not been given back.
            let usable = unsafe { libc::malloc_usable_size(block.cast()) };
            BOOKS[NOW.load(Relaxed)].count(usable + HEADER, sign);
        }
    }
}

// SAFETY: all is left to the system's allocator; what is counted are atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the contract, which is the same.
        let block = unsafe { System.alloc(layout) };
        Self::note(block, 1);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::note(block, -1);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note(block, -1);
        // SAFETY: as above.
        let moved = unsafe { System.realloc(block, layout, size) };
        Self::note(if moved.is_null() { block } else { moved }, 1);
        moved
    }
}
