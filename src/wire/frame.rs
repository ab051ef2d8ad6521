//! Where objects lie in the stream.
use std::ops::Range;

/// Finds objects in a stream of bytes, however the network cut it. Each byte is looked at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanner {
    /// How many bytes of the unconsumed object have been looked at.
    looked: u32,
    depth: u32,
}

const _: () = assert!(size_of::<Scanner>() == 8);

/// What lies at the front of the unconsumed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// A whole object, here. The caller consumes everything up to its end.
    Frame(Range<usize>),
    /// No whole object yet. The caller consumes this much white space and shows the rest again with more behind.
    Incomplete {
        /// Leading white space, in bytes.
        consumed: usize,
    },
    /// The stream cannot be followed any more: nothing after this is to be scanned.
    Refused(StreamFault),
}

/// Why a stream cannot be followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFault {
    /// A byte between objects that is no white space: `bad_frame`.
    OutsideObject,
    /// An object longer than the limit: `frame_too_large`.
    TooLarge,
}

impl Scanner {
    /// Looks for the next object. `unconsumed` starts at the first byte that was not consumed yet; an object may
    /// have `max_frame` bytes, white space around it not counted.
    pub fn scan(&mut self, _unconsumed: &[u8], _max_frame: usize) -> Scan {
        todo!()
    }
}
