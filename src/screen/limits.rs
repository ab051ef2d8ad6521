//! The bounds of what is typed and drawn: named, with their unit and the reason.

use std::time::Duration;

/// How long the rest of a key's sequence is waited for, before ESC counts as a key by itself. A
/// terminal sends a sequence at once; a network may cut it in two.
pub const KEY_WAIT: Duration = Duration::from_millis(50);
/// How long the rest of a paste is waited for: its end may have been lost.
pub const PASTE_WAIT: Duration = Duration::from_secs(1);
/// The longest sequence of a key that is kept, in bytes: known ones have at most 12.
pub const MAX_SEQUENCE: usize = 64;
/// The longest paste, in bytes: four of the longest messages.
pub const MAX_PASTE: usize = 64 * 1024;
/// Lines that an editor remembers, to be had again with the arrow up.
pub const HISTORY_LINES: usize = 500;
/// The shortest time between two frames: 30 a second, which an eye takes for motion.
pub const FRAME_INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 30);
/// The columns and rows of a terminal that does not tell its size (a serial line).
pub const USUAL_SIZE: (u16, u16) = (80, 24);
/// The most columns, and rows, that are drawn on: a size beyond is not believed.
pub const MAX_SIZE: u16 = 1000;
