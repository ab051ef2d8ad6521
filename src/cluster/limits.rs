//! Every bound of what is kept in the engine and said to it, with its unit and its reason.

use std::time::Duration;

pub use crate::limits::{
    BOX_BYTES, BOX_LETTERS, FULL_OF, FULL_UNTIL, LETTER_KEY_GRACE, MAX_BOUND_NAMES, SENDER_BYTES,
    STRANGER_LETTERS, UPKEEP_LETTERS, WRITTEN_KEPT,
};

// --- What the engine may answer (`resp.rs`) ---

/// The deepest nesting of an answer: an answer to `XREAD` has a depth of 4.
pub const MAX_DEPTH: usize = 16;
/// The longest line of an answer, in bytes: a number, an error, or a short text.
pub const MAX_LINE: usize = 4 * 1024;
/// The longest bulk string of an answer, in bytes: the longest frame that an operator may allow
/// (16 MiB), and what stands beside it.
pub const MAX_BULK: usize = 17 * 1024 * 1024;
/// The longest answer, in bytes: the whole of [`MAX_INBOX`], and what stands beside it.
pub const MAX_ANSWER: usize = 40 * 1024 * 1024;
/// The most values in one answer. A value takes 32 bytes of memory, and 3 bytes on the wire may
/// make one.
pub const MAX_VALUES: usize = 256 * 1024;

// --- One connection to the engine (`engine.rs`) ---

/// Commands that may be under way on one connection.
pub const COMMANDS_UNDER_WAY: usize = 4096;
/// Bytes of such commands. One command alone may be longer.
pub const BYTES_UNDER_WAY: usize = 32 * 1024 * 1024;
/// Characters of a text of the engine that an error repeats.
pub const QUOTED: usize = 200;
/// The oldest engine that is accepted, as major and minor version: flags of scripts begin with it.
pub const LEAST_VERSION: (u32, u32) = (7, 0);

// --- Leases (`lease.rs`) ---

/// How long a relay counts as alive after the engine took its last renewal.
pub const LEASE: Duration = Duration::from_secs(10);
/// How long after it sent one renewal a relay sends the next.
pub const RENEWAL: Duration = Duration::from_secs(3);
/// How long after the engine ends a lease that was not renewed the other relays look for it.
pub const LEASE_MARGIN: Duration = Duration::from_millis(100);
/// How long after the engine has refused something about a lease or the copy of who is where a
/// relay asks again: an engine whose disk fails refuses at once, and would be asked all the time.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// A relay stops to believe in its lease so long after it sent the last renewal that was answered:
/// before the lease ends, and with 2 s for clocks that do not run at the same speed.
pub const FENCE: Duration = Duration::from_secs(8);
/// Relays that may be known to the engine, those included that ended and were not reaped yet.
pub const MAX_RELAYS: usize = 256;

// --- What lies in the engine (`scripts`) ---

/// Names that one call of `reap` frees: some 10 ms of the engine's only thread.
pub const REAPED_A_CALL: usize = 1_000;
/// Names that one call of `restore` binds.
pub const RESTORED_A_CALL: usize = 1_000;
/// Changes of who is where that are kept. A relay that missed more reads a snapshot.
pub const CHANGES: usize = 65_536;
/// Bytes that may wait for one relay. What is above is refused, unless nothing waits.
pub const MAX_INBOX: usize = 8 * 1024 * 1024;
/// What each entry counts beside its bytes, in bytes: its id and the names of its fields.
pub const ENTRY_BYTES: usize = 64;
/// The highest number of an entry of what waits for a relay: scripts count exactly up to it.
pub const LAST_NUMBER: u64 = 1 << 53;
/// Entries of who is where that are asked for at once; the engine may give more.
pub const SCANNED_AT_ONCE: usize = 1_000;
/// Entries that one read of a stream brings at most: 2 MiB of frames, which a relay passes on in
/// some milliseconds.
pub const READ_AT_ONCE: usize = 32;
/// How long a read of the streams waits in the engine when nothing is there.
pub const READ_WAIT: Duration = Duration::from_secs(2);
/// The same while the copy of who is where is being made, which is to be followed soon.
pub const READ_WAIT_COPYING: Duration = Duration::from_millis(50);
/// Names of whose place a relay keeps a copy, some 120 bytes each.
pub const MAX_MEMBERS: usize = 1_000_000;
/// Where names had no room in that copy, it is read anew once this part of it (one of so many) is
/// free.
pub const ROOM_AGAIN: usize = 16;
/// A box of which older letters are in the file of a relay is closed for this long, each time that
/// the relay says so: if it ends, others need not wait for it.
pub const BOX_CLOSED: Duration = Duration::from_mins(1);
/// For how long the engine remembers which letters it took from the file of a relay: longer than
/// any letter is kept.
pub const MOVED_KEPT: Duration = Duration::from_hours(16 * 24);
